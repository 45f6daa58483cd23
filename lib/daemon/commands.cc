// SPDX-License-Identifier: Apache-2.0
//
// See commands.h.
#include "daemon/commands.h"

#include <cstring>
#include <list>
#include <mutex>
#include <utility>

#include "daemon/ovs_daemon.h"

namespace nvo3::daemon {
namespace {

// Of all commands, from any thread to the OVS thread.
struct Given {
    ovs_daemon_call* call;
    base::Result<std::string> text;
};
std::mutex given_mutex;
std::vector<Given> given_answers;       // under given_mutex

Call read_call(int argc, const char* argv[])
{
    Call call;
    call.arguments.assign(argv + 1, argv + argc);
    if (!call.arguments.empty() && call.arguments.back() == "json") {
        call.json = true;
        call.arguments.pop_back();
    }
    return call;
}

template <class C>
base::Error wrong_arguments(const C& command)
{
    return {EINVAL, command.arguments == 0 ? "the only argument is json" : std::string("usage: ") + command.name + " " + command.usage};
}

char* run(int argc, const char* argv[], bool* ok, void* command_)
{
    const Command& command = *static_cast<const Command*>(command_);
    const Call call = read_call(argc, argv);
    base::Result<std::string> reply = wrong_arguments(command);
    if (call.arguments.size() <= command.arguments) {
        reply = command.run(call);
    }
    *ok = reply.ok();
    return strdup((reply ? *reply : reply.error().text).c_str());
}

}  // namespace

class Answer::State {
public:
    explicit State(ovs_daemon_call* call) : call_(call) {}
    ~State() { give(base::Error{ECANCELED, "this was not answered"}); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    void give(base::Result<std::string> text)
    {
        {
            std::lock_guard lock(given_mutex);
            if (!call_) {
                return;
            }
            given_answers.push_back({std::exchange(call_, nullptr), std::move(text)});
        }
        ovs_daemon_wake();
    }

private:
    ovs_daemon_call* call_;     // under given_mutex; null: answered
};

void Answer::operator()(base::Result<std::string> text) const
{
    state_->give(std::move(text));
}

namespace {

void run_later(int argc, const char* argv[], ovs_daemon_call* unixctl_call, void* command_)
{
    const LaterCommand& command = *static_cast<const LaterCommand*>(command_);
    const Answer answer(std::make_shared<Answer::State>(unixctl_call));
    const Call call = read_call(argc, argv);
    if (call.arguments.size() <= command.arguments) {
        command.run(call, answer);
    } else {
        answer(wrong_arguments(command));
    }
}

}  // namespace

void register_later(LaterCommand command)
{
    static std::list<LaterCommand> commands;        // unixctl has pointers to them
    LaterCommand& kept = commands.emplace_back(std::move(command));
    ovs_daemon_register_later(kept.name, kept.usage, 0, static_cast<int>(kept.arguments) + 1, run_later, &kept);
}

void send_answers()
{
    std::vector<Given> given;
    {
        std::lock_guard lock(given_mutex);
        given.swap(given_answers);
    }
    for (const Given& one : given) {
        ovs_daemon_answer(one.call, one.text.ok(), (one.text ? *one.text : one.text.error().text).c_str());
    }
}

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
