// SPDX-License-Identifier: Apache-2.0
//
// Carries the database's contents to the agent, and log lines to OVS's log.
//
// Place: between the C adapters and agent.h; used by main.cc.  Thread: the OVS
// thread, but log_to_ovs() any.
#ifndef HVAGENT_OVS_FEED_H
#define HVAGENT_OVS_FEED_H

#include <string_view>

#include "base/log.h"
#include "hvagent/agent.h"

namespace nvo3::agent {

class OvsFeed {
public:
    // Starts following 'database'; 'agent' must outlive the feed.
    OvsFeed(const char* database, Agent& agent);
    ~OvsFeed();
    OvsFeed(const OvsFeed&) = delete;

    // Hands on what has changed and arranges the next wake-up; never blocks.
    void run();

private:
    Agent& agent_;
};

void log_to_ovs(base::LogLevel, const char* module, std::string_view text);

}  // namespace nvo3::agent
#endif
