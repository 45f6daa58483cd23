// SPDX-License-Identifier: Apache-2.0
//
// nvo3-nva: tells NVEs who serves which network, where each interface is, and group keys.
// Start, the OVS thread's loop, stop.
#include <string>

#include "base/log.h"
#include "daemon/commands.h"
#include "daemon/ovs_daemon.h"
#include "daemon/privileges.h"
#include "daemon/program.h"
#include "nva/commands.h"
#include "nva/command_line.h"
#include "nva/nva.h"
#include "nva/store_feed.h"

using namespace nvo3;

namespace {

constexpr daemon::Program kProgram{"nvo3-nva", "network virtualization authority", "STORE",
                                   "one or more remotes of the NVO3 database, separated by commas", "nvo3_db.sock"};

}  // namespace

int main(int argc, char* argv[])
{
    daemon::Options options = daemon::read_options(kProgram, nva::own_options(), argc, argv);
    ovs_daemon_options ovs;
    ovs_daemon_parse(static_cast<int>(options.rest.size()), options.rest_argv.data(), kProgram.default_socket, &ovs);
    auto settings = nva::read_settings(options, ovs);
    if (!settings) {
        daemon::fail(kProgram, settings.error().text);
    }
    base::set_log_sink(daemon::log_to_ovs);
    ovs_daemon_start();     // forks: no thread before this line
    ovs_daemon_listen(&ovs);
    if (auto status = daemon::drop_privileges(); !status) {
        daemon::fail(kProgram, status.error().text);
    }

    nva::StoreFeed feed(ovs.database);
    auto started = nva::Nva::start(std::move(*settings), feed);
    if (!started) {
        daemon::fail(kProgram, started.error().text);
    }
    nva::register_commands(**started);
    ovs_daemon_ready();
    for (feed.run(**started); !ovs_daemon_run(); feed.run(**started)) {
        ovs_daemon_block();
    }
    started->reset();
    ovs_daemon_close();
}
