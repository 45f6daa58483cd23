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
#include <string>
#include <string_view>
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

// For as long as the unixctl server lives.
void register_command(Command);

// The answer of a command that only does something.
std::string done(bool json, const std::string& what);

// For base::set_log_sink(): into OVS's log.  Any thread.
void log_to_ovs(base::LogLevel, const char* module, std::string_view text);

}  // namespace nvo3::daemon
#endif
