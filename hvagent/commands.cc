// SPDX-License-Identifier: Apache-2.0
//
// See commands.h.
#include "hvagent/commands.h"

#include <string>

#include "daemon/commands.h"
#include "hvagent/show.h"

namespace nvo3::agent {
namespace {

using daemon::Call;
using Reply = base::Result<std::string>;

template <std::string (*render)(const AgentView&, bool)>
daemon::Command show(Agent& agent, const char* name)
{
    return {name, "[json]", 0, [&agent](const Call& call) -> Reply {
                auto view = agent.view();
                return view ? Reply(render(**view, call.json)) : view.error();
            }};
}

Reply reply(const base::Status& status, const Call& call, const char* what)
{
    return status ? Reply(daemon::done(call.json, what)) : status.error();
}

void register_policy_commands(PipelineFeed& pipeline)
{
    daemon::register_command({"policy/show", "[json]", 0, [&pipeline](const Call& call) -> Reply { return pipeline.show_policy(call.json); }});
    daemon::register_command({"policy/trace", "VN SRC DST PROTO [PORT] [json]", 5,
                              [&pipeline](const Call& call) { return pipeline.trace_policy(call.arguments, call.json); }});
    daemon::register_command(
        {"policy/reload", "[json]", 0, [&pipeline](const Call& call) { return reply(pipeline.reload_policy(), call, "reloaded"); }});
}

}  // namespace

void register_commands(Agent& agent, PipelineFeed& pipeline)
{
    daemon::register_command(show<show_peers>(agent, "peer/show"));
    daemon::register_command(show<show_sas>(agent, "sa/show"));
    daemon::register_command(show<show_throttle>(agent, "throttle/show"));
    daemon::register_command(show<show_nvas>(agent, "nva/show"));
    daemon::register_command(show<show_nves>(agent, "nve/show"));
    daemon::register_command(show<show_vns>(agent, "vn/show"));
    daemon::register_command(show<show_groups>(agent, "group/show"));
    daemon::register_command(show<show_tsis>(agent, "tsi/show"));
    daemon::register_command(show<show_hypervisors>(agent, "hypervisor/show"));
    daemon::register_command({"metrics/show", "", 0, [&agent, &pipeline](const Call&) -> Reply {
                                  auto view = agent.view();
                                  return view ? Reply(show_metrics(**view, agent.audit().counts(), !pipeline.policy_error().empty())) : view.error();
                              }});
    daemon::register_command(
        {"audit/show", "[json]", 0, [&agent](const Call& call) -> Reply { return control::show_audit(agent.audit().recent(), call.json); }});
    daemon::register_command({"peer/rekey", "NAME [json]", 1, [&agent](const Call& call) -> Reply {
                                  if (call.arguments.size() != 1) {
                                      return base::Error{EINVAL, "name one peer; see peer/show"};
                                  }
                                  return reply(agent.rekey(call.arguments[0]), call, "rekeying");
                              }});
    daemon::register_command({"reload", "[json]", 0, [&agent](const Call& call) { return reply(agent.reload(), call, "reloaded"); }});
    register_policy_commands(pipeline);
}

}  // namespace nvo3::agent
