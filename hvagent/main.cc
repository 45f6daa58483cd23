// SPDX-License-Identifier: Apache-2.0
//
// hvagent: authenticates hosts and keys the protected tunnels of Open vSwitch.
// Start, the OVS thread's loop, stop.
#include <memory>
#include <string>

#include "base/log.h"
#include "daemon/commands.h"
#include "daemon/ovs_daemon.h"
#include "daemon/privileges.h"
#include "daemon/program.h"
#include "hvagent/agent.h"
#include "hvagent/check/check.h"
#include "hvagent/commands.h"
#include "hvagent/libvirt/libvirt_feed.h"
#include "hvagent/ovs_feed.h"

using namespace nvo3;

namespace {

constexpr daemon::Program kProgram{"hvagent", "keys the protected tunnels of Open vSwitch", "DATABASE",
                                   "a socket on which ovsdb-server is listening", "db.sock"};

boost::program_options::options_description own_options()
{
    boost::program_options::options_description own("Options of hvagent");
    own.add_options()("audit-log", boost::program_options::value<std::string>()->value_name("FILE"),
                      "append the audit log to FILE (default: LOGDIR/hvagent-audit.log)")
        ("check", "look at all that this host needs, say what is wrong and how to mend it, and end");
    return own;
}

}  // namespace

int main(int argc, char* argv[])
{
    daemon::Options options = daemon::read_options(kProgram, own_options(), argc, argv);
    ovs_daemon_options ovs;
    ovs_daemon_parse(static_cast<int>(options.rest.size()), options.rest_argv.data(), kProgram.default_socket, &ovs);
    base::set_log_sink(daemon::log_to_ovs);
    if (options.own.contains("check")) {
        return agent::run_checks(ovs.database);
    }
    ovs_daemon_start();     // forks: no thread before this line
    ovs_daemon_listen(&ovs);
    if (auto status = daemon::drop_privileges(); !status) {
        daemon::fail(kProgram, status.error().text);
    }

    agent::Agent::Options settings;
    settings.sa_socket = std::string(ovs_daemon_rundir()) + "/nvo3-sa.sock";
    settings.audit_log = options.file("audit-log", std::string(ovs_daemon_logdir()) + "/hvagent-audit.log");
    settings.on_networks = ovs_daemon_wake;
    auto started = agent::Agent::start(std::move(settings));
    if (!started) {
        daemon::fail(kProgram, started.error().text);
    }
    agent::OvsFeed feed(ovs.database, **started);
    agent::register_commands(**started, feed.pipeline());
    daemon::register_command({"vn/flows", "[json]", 0, [&feed](const daemon::Call& call) -> base::Result<std::string> { return feed.show_flows(call.json); }});
    auto libvirt = std::make_unique<agent::LibvirtFeed>(**started);
    daemon::register_later({"hook/qemu", "DOMAIN OPERATION SUB-OPERATION EXTRA XML", 5,
                            [&libvirt](const daemon::Call& call, const daemon::Answer& answer) { libvirt->on_hook(call, answer); }});
    ovs_daemon_ready();
    // The database first: a command then meets what was configured before it.
    for (feed.run(); !ovs_daemon_run(); feed.run()) {
        libvirt->run();
        daemon::send_answers();
        ovs_daemon_block();
    }
    libvirt.reset();
    started->reset();
    ovs_daemon_close();
}
