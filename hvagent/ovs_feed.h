// SPDX-License-Identifier: Apache-2.0
//
// Carries the database's contents to the agent.
//
// Place: between the C adapters and agent.h; used by main.cc.  Thread: the OVS
// thread.
#ifndef HVAGENT_OVS_FEED_H
#define HVAGENT_OVS_FEED_H

#include <optional>

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
    std::optional<RawConfig> handed_on_;
};

}  // namespace nvo3::agent
#endif
