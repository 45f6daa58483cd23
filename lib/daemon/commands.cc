// SPDX-License-Identifier: Apache-2.0
//
// See commands.h.
#include "daemon/commands.h"

#include <cstring>
#include <list>
#include <utility>

#include "daemon/ovs_daemon.h"

namespace nvo3::daemon {
namespace {

char* run(int argc, const char* argv[], bool* ok, void* command_)
{
    const Command& command = *static_cast<const Command*>(command_);
    Call call;
    call.arguments.assign(argv + 1, argv + argc);
    if (!call.arguments.empty() && call.arguments.back() == "json") {
        call.json = true;
        call.arguments.pop_back();
    }
    base::Result<std::string> reply =
        base::Error{EINVAL, command.arguments == 0 ? "the only argument is json" : std::string("usage: ") + command.name + " " + command.usage};
    if (call.arguments.size() <= command.arguments) {
        reply = command.run(call);
    }
    *ok = reply.ok();
    return strdup((reply ? *reply : reply.error().text).c_str());
}

}  // namespace

void register_command(Command command)
{
    static std::list<Command> commands;     // unixctl has pointers to them
    Command& kept = commands.emplace_back(std::move(command));
    ovs_daemon_register(kept.name, kept.usage, 0, static_cast<int>(kept.arguments) + 1, run, &kept);
}

std::string done(bool json, const std::string& what)
{
    return json ? "{\"result\": \"" + what + "\"}\n" : what + "\n";
}

void log_to_ovs(base::LogLevel level, const char* module, std::string_view text)
{
    static constexpr ovs_daemon_level kLevels[] = {OVS_DAEMON_ERR, OVS_DAEMON_WARN, OVS_DAEMON_INFO, OVS_DAEMON_DBG};
    ovs_daemon_log(kLevels[static_cast<size_t>(level)], module, std::string(text).c_str());
}

}  // namespace nvo3::daemon
