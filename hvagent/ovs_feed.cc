// SPDX-License-Identifier: Apache-2.0
//
// See ovs_feed.h.
#include "hvagent/ovs_feed.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "hvagent/ovsdb_adapter.h"

namespace nvo3::agent {

Database read_database()
{
    Database database;
    ovsdb_visitor visitor{};
    visitor.aux = &database;
    visitor.other_config = [](void* aux, const char* key, const char* value) {
        static_cast<Database*>(aux)->raw.other_config[key] = value;
    };
    visitor.tunnel = [](void* aux, const char* name, const char* type, uint32_t ofport) {
        static_cast<Database*>(aux)->raw.tunnels.push_back({name, type, {}, ofport});
    };
    visitor.tunnel_option = [](void* aux, const char* key, const char* value) {
        static_cast<Database*>(aux)->raw.tunnels.back().options[key] = value;
    };
    visitor.vm_port = [](void* aux, const char* name, uint32_t ofport) {
        static_cast<Database*>(aux)->raw.vm_ports.push_back({name, ofport, {}, {}, {}, {}, {}});
    };
    visitor.vm_port_id = [](void* aux, const char* key, const char* value) {
        RawVmPort& port = static_cast<Database*>(aux)->raw.vm_ports.back();
        const std::map<std::string_view, std::string*> fields = {{"nvo3-vn", &port.vn},
                                                                 {"port-profile", &port.port_profile},
                                                                 {"attached-mac", &port.mac},
                                                                 {"nvo3-addresses", &port.addresses},
                                                                 {"iface-id", &port.iface_id},
                                                                 {"vm-id", &port.vm_id}};
        if (auto field = fields.find(key); field != fields.end()) {
            *field->second = value;
        }
    };
    visitor.own_tunnel = [](void* aux, const char* type, uint32_t ofport) {
        if (auto encap = base::parse_encap(type)) {
            static_cast<Database*>(aux)->own_tunnels[*encap] = ofport;
        }
    };
    visitor.plain_port = [](void* aux, uint32_t ofport) { static_cast<Database*>(aux)->plain_ports.push_back(ofport); };
    ovsdb_adapter_visit(&visitor);
    std::ranges::sort(database.plain_ports);
    return database;
}

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
        // Most changes are of statistics and status, which are not ours.
        Database now = read_database();
        if (!handed_on_ || *handed_on_ != now) {
            handed_on_ = std::move(now);
            agent_.configure(handed_on_->raw);
            pipeline_.configure(agent_.config(), handed_on_->raw.vm_ports, handed_on_->own_tunnels, handed_on_->plain_ports);
        }
    }
    pipeline_.set_networks(agent_.networks());
    pipeline_.run();
    ovsdb_adapter_wait();
}

}  // namespace nvo3::agent
