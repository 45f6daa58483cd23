// SPDX-License-Identifier: Apache-2.0
//
// nvo3-nva: tells NVEs who serves which network, where each interface is, and group keys.
// Start, the OVS thread's loop, stop.
#include <nvo3_config.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/log.h"
#include "daemon/commands.h"
#include "daemon/ovs_daemon.h"
#include "daemon/privileges.h"
#include "nva/commands.h"
#include "nva/command_line.h"
#include "nva/nva.h"
#include "nva/store_feed.h"

using namespace nvo3;

namespace {

[[noreturn]] void fail(const std::string& text)
{
    std::fprintf(stderr, "nvo3-nva: %s\n", text.c_str());
    std::exit(EXIT_FAILURE);
}

daemon::Options read_options(int argc, char* argv[])
{
    ovs_daemon_name(argv[0], PACKAGE_VERSION);
    auto options = daemon::parse_options(nva::own_options(), argc, argv);
    if (!options) {
        fail(options.error().text);
    }
    if (options->version) {
        std::printf("nvo3-nva (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        std::exit(EXIT_SUCCESS);
    }
    if (options->help) {
        std::printf("nvo3-nva: network virtualization authority\nusage: nvo3-nva [OPTIONS] [STORE]\n"
                    "where STORE is one or more remotes of the NVO3 database, separated by commas\n      (default: \"unix:%s/nvo3_db.sock\").\n\n%s",
                    ovs_daemon_rundir(), options->usage.c_str());
        ovs_daemon_usage();
        std::exit(EXIT_SUCCESS);
    }
    return std::move(*options);
}

}  // namespace

int main(int argc, char* argv[])
{
    daemon::Options options = read_options(argc, argv);
    ovs_daemon_options ovs;
    ovs_daemon_parse(static_cast<int>(options.rest.size()), options.rest_argv.data(), "nvo3_db.sock", &ovs);
    auto settings = nva::read_settings(options, ovs);
    if (!settings) {
        fail(settings.error().text);
    }
    base::set_log_sink(daemon::log_to_ovs);
    ovs_daemon_start();     // forks: no thread before this line
    ovs_daemon_listen(&ovs);
    if (auto status = daemon::drop_privileges(); !status) {
        fail(status.error().text);
    }

    nva::StoreFeed feed(ovs.database);
    auto started = nva::Nva::start(std::move(*settings), feed);
    if (!started) {
        fail(started.error().text);
    }
    nva::register_commands(**started);
    ovs_daemon_ready();
    for (feed.run(**started); !ovs_daemon_run(); feed.run(**started)) {
        ovs_daemon_block();
    }
    started->reset();
    ovs_daemon_close();
}
