// SPDX-License-Identifier: Apache-2.0
//
// What the main.cc of every daemon begins with.
//
// Place: lib/daemon, over options.h and ovs_daemon.h.  Thread: before any thread exists.
#ifndef NVO3_DAEMON_PROGRAM_H
#define NVO3_DAEMON_PROGRAM_H

#include <string>

#include "daemon/options.h"

namespace nvo3::daemon {

struct Program {
    const char* name;
    const char* summary;            // for --help: "keys the protected tunnels of Open vSwitch"
    const char* argument;           // "DATABASE"
    const char* argument_is;        // "a socket on which ovsdb-server is listening"
    const char* default_socket;     // of the argument, in the run directory: "db.sock"
};

// Names the program for OVS and parses the command line.  Answers --help and
// --version, and ends the process then and on errors.
Options read_options(const Program&, const boost::program_options::options_description& own, int argc, char* argv[]);

// Ends the process with a sentence.
[[noreturn]] void fail(const Program&, const std::string& text);

}  // namespace nvo3::daemon
#endif
