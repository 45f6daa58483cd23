// SPDX-License-Identifier: Apache-2.0
//
// See program.h.
#include <nvo3_config.h>

#include "daemon/program.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "daemon/ovs_daemon.h"

namespace nvo3::daemon {

void fail(const Program& program, const std::string& text)
{
    std::fprintf(stderr, "%s: %s\n", program.name, text.c_str());
    std::exit(EXIT_FAILURE);
}

Options read_options(const Program& program, const boost::program_options::options_description& own, int argc, char* argv[])
{
    ovs_daemon_name(argv[0], PACKAGE_VERSION);
    auto options = parse_options(own, argc, argv);
    if (!options) {
        fail(program, options.error().text);
    }
    if (options->version) {
        std::printf("%s (%s) %s\n", program.name, PACKAGE_NAME, PACKAGE_VERSION);
        std::exit(EXIT_SUCCESS);
    }
    if (options->help) {
        std::printf("%s: %s\nusage: %s [OPTIONS] [%s]\nwhere %s is %s\n      (default: \"unix:%s/%s\").\n\n%s", program.name, program.summary,
                    program.name, program.argument, program.argument, program.argument_is, ovs_daemon_rundir(), program.default_socket,
                    options->usage.c_str());
        ovs_daemon_usage();
        std::exit(EXIT_SUCCESS);
    }
    return std::move(*options);
}

}  // namespace nvo3::daemon
