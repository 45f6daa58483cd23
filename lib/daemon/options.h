// SPDX-License-Identifier: Apache-2.0
//
// The command line of a daemon: its own options; those that every daemon of OVS
// has are left for ovs_daemon_parse().
//
// Place: lib/daemon, used by the main.cc of each daemon.  Thread: before any
// thread exists.
#ifndef NVO3_DAEMON_OPTIONS_H
#define NVO3_DAEMON_OPTIONS_H

#include <boost/program_options.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace nvo3::daemon {

struct Options {
    Options() = default;
    Options(Options&&) = default;
    Options& operator=(Options&&) = default;

    bool help = false, version = false;
    boost::program_options::variables_map own;
    std::vector<std::string> rest;      // argv[0] and what is not ours, in order
    std::vector<char*> rest_argv;       // the same for getopt, which may reorder it; null at the end
    std::string usage;                  // of our own

    // Of an option that names a file, absolute since daemons change their directory;
    // 'fallback' if it was not given.
    std::string file(const char* name, const std::string& fallback = {}) const;
};

// 'own' are the daemon's options without --help and --version, which all have.
base::Result<Options> parse_options(boost::program_options::options_description own, int argc, char* argv[]);

}  // namespace nvo3::daemon
#endif
