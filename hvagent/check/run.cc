// SPDX-License-Identifier: Apache-2.0
//
// See check.h: the order of the checks, and what they get from the database.
#include <algorithm>
#include <cstdio>

#include "daemon/ovs_daemon.h"
#include "daemon/privileges.h"
#include "hvagent/check/check.h"
#include "hvagent/ovs_feed.h"
#include "hvagent/ovsdb_adapter.h"

namespace nvo3::agent {
namespace {

constexpr int kDatabasePatienceMs = 3000;

Facts read_facts(const std::string& database)
{
    Facts facts;
    facts.database = database;
    ovsdb_adapter_open(database.c_str());
    ovsdb_adapter_want_facts();
    facts.reached = ovsdb_adapter_wait_for_contents(kDatabasePatienceMs);
    ovsdb_facts_visitor visitor{};
    visitor.aux = &facts;
    visitor.datapath_type = [](void* aux, const char* type) { static_cast<Facts*>(aux)->datapath_types.emplace_back(type); };
    visitor.interface = [](void* aux, const char* bridge, const char* bridge_type, const char* name, const char* type, int64_t mtu) {
        static_cast<Facts*>(aux)->interfaces.push_back({bridge, bridge_type, name, type, mtu});
    };
    ovsdb_adapter_visit_facts(&visitor);
    return facts;
}

void check_configuration(const Config& config, Findings& out)
{
    for (const Problem& problem : config.problems) {
        out.push_back({Finding::Grade::fail, "configuration" + (problem.port.empty() ? "" : " of port " + problem.port), problem.text, "see ovs-nvo3.conf(5)"});
    }
    if (config.problems.empty()) {
        out.push_back({Finding::Grade::ok, "configuration", std::to_string(config.tunnels.size()) + " tunnel ports, " + std::to_string(config.nvas.size()) + " NVAs", ""});
    }
}

}  // namespace

int run_checks(const std::string& database)
{
    ovs_daemon_quiet();
    const Facts facts = read_facts(database);
    Findings found;
    check_host(facts, ovs_daemon_rundir(), found);      // while other processes may be looked at
    if (auto status = daemon::drop_privileges(); !status) {
        found.push_back({Finding::Grade::fail, "privileges", status.error().text, "let this program give up its own"});
    } else if (facts.reached) {
        const auto config = make_config(read_database().raw, nullptr);
        check_configuration(*config, found);
        check_policy(*config, found);
        const Identity identity = check_credentials(*config, base::system_clock(), found);
        reach_all(targets_of(*config, identity), found);
        check_mtu(facts, *config, underlays_of(*config), found);
        check_uplinks(facts, *config, found);
    }
    ovsdb_adapter_close();
    for (const Finding& finding : found) {
        std::printf("%s\n", to_line(finding).c_str());
    }
    return std::ranges::any_of(found, [](const Finding& finding) { return finding.grade == Finding::Grade::fail; }) ? 1 : 0;
}

}  // namespace nvo3::agent
