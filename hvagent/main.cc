// SPDX-License-Identifier: Apache-2.0
//
// hvagent: authenticates hosts and keys the protected tunnels of Open vSwitch.
// Start, the OVS thread's loop, stop.
#include <nvo3_config.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/log.h"
#include "daemon/commands.h"
#include "daemon/options.h"
#include "daemon/ovs_daemon.h"
#include "daemon/privileges.h"
#include "hvagent/agent.h"
#include "hvagent/commands.h"
#include "hvagent/ovs_feed.h"

using namespace nvo3;

namespace {

[[noreturn]] void fail(const std::string& text)
{
    std::fprintf(stderr, "hvagent: %s\n", text.c_str());
    std::exit(EXIT_FAILURE);
}

daemon::Options read_options(int argc, char* argv[])
{
    ovs_daemon_name(argv[0], PACKAGE_VERSION);
    boost::program_options::options_description own("Options of hvagent");
    own.add_options()("audit-log", boost::program_options::value<std::string>()->value_name("FILE"),
                      "append the audit log to FILE (default: LOGDIR/hvagent-audit.log)");
    auto options = daemon::parse_options(own, argc, argv);
    if (!options) {
        fail(options.error().text);
    }
    if (options->version) {
        std::printf("hvagent (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        std::exit(EXIT_SUCCESS);
    }
    if (options->help) {
        std::printf("hvagent: keys the protected tunnels of Open vSwitch\nusage: hvagent [OPTIONS] [DATABASE]\n"
                    "where DATABASE is a socket on which ovsdb-server is listening\n      (default: \"unix:%s/db.sock\").\n\n%s",
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
    ovs_daemon_parse(static_cast<int>(options.rest.size()), options.rest_argv.data(), "db.sock", &ovs);
    base::set_log_sink(daemon::log_to_ovs);
    ovs_daemon_start();     // forks: no thread before this line
    ovs_daemon_listen(&ovs);
    if (auto status = daemon::drop_privileges(); !status) {
        fail(status.error().text);
    }

    agent::Agent::Options settings;
    settings.sa_socket = std::string(ovs_daemon_rundir()) + "/nvo3-sa.sock";
    settings.audit_log = options.file("audit-log", std::string(ovs_daemon_logdir()) + "/hvagent-audit.log");
    settings.on_networks = ovs_daemon_wake;
    auto started = agent::Agent::start(std::move(settings));
    if (!started) {
        fail(started.error().text);
    }
    agent::register_commands(**started);
    agent::OvsFeed feed(ovs.database, **started);
    daemon::register_command({"vn/flows", "[json]", 0, [&feed](const daemon::Call& call) -> base::Result<std::string> { return feed.show_flows(call.json); }});
    ovs_daemon_ready();
    // The database first: a command then meets what was configured before it.
    for (feed.run(); !ovs_daemon_run(); feed.run()) {
        ovs_daemon_block();
    }
    started->reset();
    ovs_daemon_close();
}
