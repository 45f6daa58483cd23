// SPDX-License-Identifier: Apache-2.0
//
// Carries the database's contents to the agent, and to the integration bridge what
// both of them say.
//
// Place: between the C adapters and agent.h; used by main.cc.  Thread: the OVS
// thread.
#ifndef HVAGENT_OVS_FEED_H
#define HVAGENT_OVS_FEED_H

#include <map>
#include <optional>
#include <string>

#include "hvagent/agent.h"
#include "hvagent/pipeline_feed.h"

namespace nvo3::agent {

// What ovsdb_adapter.h delivers.
struct Database {
    RawConfig raw;
    std::map<base::Encap, uint32_t> own_tunnels;    // OpenFlow ports
    std::vector<uint32_t> plain_ports;              // ovsdb_visitor's; sorted
    bool operator==(const Database&) const = default;
};
Database read_database();

class OvsFeed {
public:
    // Starts following 'database'; 'agent' must outlive the feed.
    OvsFeed(const char* database, Agent& agent);
    ~OvsFeed();
    OvsFeed(const OvsFeed&) = delete;

    // Hands on what has changed and arranges the next wake-up; never blocks.
    void run();

    // The flows that the integration bridge is to have.
    std::string show_flows(bool json) const { return pipeline_.show(json); }
    PipelineFeed& pipeline() { return pipeline_; }

private:
    Agent& agent_;
    std::optional<Database> handed_on_;
    PipelineFeed pipeline_;
};

}  // namespace nvo3::agent
#endif
