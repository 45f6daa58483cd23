// SPDX-License-Identifier: Apache-2.0
//
// See ovs_feed.h.
#include "hvagent/ovs_feed.h"

#include <string>
#include <utility>

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
        // Most changes are of statistics and status, which are not ours.
        RawConfig now = read_database();
        if (!handed_on_ || *handed_on_ != now) {
            handed_on_ = std::move(now);
            agent_.configure(*handed_on_);
        }
    }
    ovsdb_adapter_wait();
}

}  // namespace nvo3::agent
