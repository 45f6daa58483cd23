// SPDX-License-Identifier: Apache-2.0
//
// The commands of "ovs-appctl -t hvagent".
//
// Place: between unixctl (ovs_daemon.h) and the agent.  Thread: the OVS thread.
#ifndef HVAGENT_COMMANDS_H
#define HVAGENT_COMMANDS_H

#include "hvagent/agent.h"
#include "hvagent/pipeline_feed.h"

namespace nvo3::agent {

// Both must outlive the unixctl server.
void register_commands(Agent& agent, PipelineFeed& pipeline);

}  // namespace nvo3::agent
#endif
