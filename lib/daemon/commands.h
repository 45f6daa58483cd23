// SPDX-License-Identifier: Apache-2.0
//
// Commands of "ovs-appctl -t DAEMON", each with "json" as its last argument if it is to
// answer in JSON.
//
// Place: lib/daemon, between unixctl (ovs_daemon.h) and the daemon's own functions.
// Thread: the OVS thread.
#ifndef NVO3_DAEMON_COMMANDS_H
#define NVO3_DAEMON_COMMANDS_H

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/result.h"

namespace nvo3::daemon {

// Arguments without the command's name; a trailing "json" is taken out.
struct Call {
    std::vector<std::string> arguments;
    bool json = false;
};

struct Command {
    const char* name;
    const char* usage;
    size_t arguments;           // "json" not counted; the command checks for fewer
    std::function<base::Result<std::string>(const Call&)> run;
};

// The answer of a command that need not be there when the command returns.  Any thread
// may give it, once; copies are one answer.  If the last is let go without it, the caller
// is told that there will be none.
class Answer {
public:
    class State;
    explicit Answer(std::shared_ptr<State> state) : state_(std::move(state)) {}

    void operator()(base::Result<std::string>) const;

private:
    std::shared_ptr<State> state_;
};

struct LaterCommand {
    const char* name;
    const char* usage;
    size_t arguments;
    std::function<void(const Call&, Answer)> run;
};

// For as long as the unixctl server lives.
void register_command(Command);
void register_later(LaterCommand);

// Sends the answers that have come since: in the loop of the OVS thread, after
// ovs_daemon_run().
void send_answers();

// The answer of a command that only does something.
std::string done(bool json, const std::string& what);

// For base::set_log_sink(): into OVS's log.  Any thread.
void log_to_ovs(base::LogLevel, const char* module, std::string_view text);

}  // namespace nvo3::daemon
#endif
