// SPDX-License-Identifier: Apache-2.0
//
// The command line: our own options; those that every daemon of OVS has are left
// for ovs_daemon_parse().
//
// Place: used by main.cc.  Thread: before any thread exists.
#ifndef HVAGENT_OPTIONS_H
#define HVAGENT_OPTIONS_H

#include <string>
#include <vector>

#include "base/result.h"

namespace nvo3::agent {

struct Options {
    Options() = default;
    Options(Options&&) = default;
    Options& operator=(Options&&) = default;

    bool help = false, version = false;
    std::string audit_log;              // absolute; empty: the default
    std::vector<std::string> rest;      // argv[0] and what is not ours, in order
    std::vector<char*> rest_argv;       // the same for getopt, which may reorder it; null at the end
    std::string usage;                  // of our own
};

base::Result<Options> parse_options(int argc, char* argv[]);

}  // namespace nvo3::agent
#endif
