// SPDX-License-Identifier: Apache-2.0
//
// One request and its answer in JSON-RPC over a Unix socket, as the daemons of Open vSwitch
// and its database server speak it.
//
// Place: utilities/libvirt-hook; the messages are pure, call() blocks.  Thread: one.
#ifndef LIBVIRT_HOOK_EXCHANGE_H
#define LIBVIRT_HOOK_EXCHANGE_H

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nvo3::hook {

using Deadline = std::chrono::steady_clock::time_point;

// ---- messages ----

// "METHOD ARGUMENT..." of a daemon's control socket.  Octets that are no UTF-8 are replaced.
std::string command_request(const std::string& method, const std::vector<std::string>& arguments);
// Asks the database for other_config of Open_vSwitch.
std::string other_config_request();

// Whether 'text' is a whole message; more than kMaxReply is none.
inline constexpr size_t kMaxReply = 1 << 18;
bool is_whole(std::string_view text);

// What the daemon answered.  EPERM and its words if that is an error, EPROTO if it is no answer.
base::Result<std::string> command_reply(std::string_view text);
// The value of a key of other_config; empty if it is not set.
base::Result<std::string> other_config_reply(std::string_view text, const std::string& key);

// ---- socket ----

// ETIMEDOUT, or why nobody is there (any other code).
base::Result<std::string> call(const std::string& socket, const std::string& request, Deadline);

}  // namespace nvo3::hook
#endif
