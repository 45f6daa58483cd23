// SPDX-License-Identifier: Apache-2.0
//
// See commands.h.
#include "hvagent/commands.h"

#include <cstring>
#include <string>
#include <vector>

#include "daemon/ovs_daemon.h"
#include "hvagent/show.h"

namespace nvo3::agent {
namespace {

// Arguments without the command's name; a trailing "json" is taken out.
struct Call {
    std::vector<std::string> arguments;
    bool json = false;
};

using Command = base::Result<std::string> (*)(Agent&, const Call&);

struct Row {
    const char* name;
    const char* usage;
    int min_arguments;
    int max_arguments;
    Command run;
};

template <std::string (*render)(const AgentView&, bool)>
base::Result<std::string> show(Agent& agent, const Call& call)
{
    auto view = agent.view();
    if (!view) {
        return view.error();
    }
    return render(**view, call.json);
}

std::string done(bool json, const std::string& what)
{
    return json ? "{\"result\": \"" + what + "\"}\n" : what + "\n";
}

const Row kCommands[] = {
    {"peer/show", "[json]", 0, 1, show<show_peers>},
    {"sa/show", "[json]", 0, 1, show<show_sas>},
    {"throttle/show", "[json]", 0, 1, show<show_throttle>},
    {"tsi/show", "[json]", 0, 1, [](Agent&, const Call& call) -> base::Result<std::string> { return show_tsis(call.json); }},
    {"audit/show", "[json]", 0, 1,
     [](Agent& agent, const Call& call) -> base::Result<std::string> { return show_audit(agent.audit().recent(), call.json); }},
    {"audit/reopen", "[json]", 0, 1,
     [](Agent& agent, const Call& call) -> base::Result<std::string> {
         auto status = agent.audit().reopen();
         return status ? base::Result<std::string>(done(call.json, "reopened")) : status.error();
     }},
    {"peer/rekey", "NAME [json]", 1, 2,
     [](Agent& agent, const Call& call) -> base::Result<std::string> {
         if (call.arguments.size() != 1) {
             return base::Error{EINVAL, "name one peer; see peer/show"};
         }
         auto status = agent.rekey(call.arguments[0]);
         return status ? base::Result<std::string>(done(call.json, "rekeying")) : status.error();
     }},
    {"reload", "[json]", 0, 1,
     [](Agent& agent, const Call& call) -> base::Result<std::string> {
         auto status = agent.reload();
         return status ? base::Result<std::string>(done(call.json, "reloaded")) : status.error();
     }},
};

Agent* the_agent;

char* run(int argc, const char* argv[], bool* ok, void* row_)
{
    const Row& row = *static_cast<const Row*>(row_);
    Call call;
    call.arguments.assign(argv + 1, argv + argc);
    if (!call.arguments.empty() && call.arguments.back() == "json") {
        call.json = true;
        call.arguments.pop_back();
    }
    base::Result<std::string> reply = base::Error{EINVAL, "the only argument is json"};
    if (call.arguments.size() <= static_cast<size_t>(row.min_arguments)) {
        reply = row.run(*the_agent, call);
    }
    *ok = reply.ok();
    return strdup((reply ? *reply : reply.error().text).c_str());
}

}  // namespace

void register_commands(Agent& agent)
{
    the_agent = &agent;
    for (const Row& row : kCommands) {
        ovs_daemon_register(row.name, row.usage, row.min_arguments, row.max_arguments, run, const_cast<Row*>(&row));
    }
}

}  // namespace nvo3::agent
