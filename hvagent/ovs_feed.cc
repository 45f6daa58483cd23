// SPDX-License-Identifier: Apache-2.0
//
// See ovs_feed.h.
#include "hvagent/ovs_feed.h"

#include <string>

#include "daemon/ovs_daemon.h"
#include "hvagent/ovsdb_adapter.h"

namespace nvo3::agent {
namespace {

RawConfig read_database()
{
    RawConfig raw;
    ovsdb_visitor visitor{};
    visitor.aux = &raw;
    visitor.other_config = [](void* aux, const char* key, const char* value) {
        static_cast<RawConfig*>(aux)->other_config[key] = value;
    };
    visitor.tunnel = [](void* aux, const char* name, const char* type) {
        static_cast<RawConfig*>(aux)->tunnels.push_back({name, type, {}});
    };
    visitor.tunnel_option = [](void* aux, const char* key, const char* value) {
        static_cast<RawConfig*>(aux)->tunnels.back().options[key] = value;
    };
    ovsdb_adapter_visit(&visitor);
    return raw;
}

}  // namespace

OvsFeed::OvsFeed(const char* database, Agent& agent) : agent_(agent)
{
    ovsdb_adapter_open(database);
}

OvsFeed::~OvsFeed()
{
    ovsdb_adapter_close();
}

void OvsFeed::run()
{
    if (ovsdb_adapter_run()) {
        agent_.configure(read_database());
    }
    ovsdb_adapter_wait();
}

void log_to_ovs(base::LogLevel level, const char* module, std::string_view text)
{
    static constexpr ovs_daemon_level kLevels[] = {OVS_DAEMON_ERR, OVS_DAEMON_WARN, OVS_DAEMON_INFO, OVS_DAEMON_DBG};
    ovs_daemon_log(kLevels[static_cast<size_t>(level)], module, std::string(text).c_str());
}

}  // namespace nvo3::agent
