// SPDX-License-Identifier: Apache-2.0
//
// Times and bounds of groups.
//
// Place: internal to groups.cc, groups_switch.cc and groups_exchange.cc.
#ifndef HVAGENT_GROUPS_RULES_H
#define HVAGENT_GROUPS_RULES_H

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "hvagent/keying_rules.h"

namespace nvo3::agent {

// Of 32-bit sequence numbers (RFC 9838 forbids ESN): another SA at half of them, none
// is used twice.
inline constexpr uint64_t kSoftPackets = uint64_t{1} << 31;
inline constexpr uint64_t kHardPackets = (uint64_t{1} << 32) - 1;

// An epoch lasts a day at most (the NVA's group-rekey-seconds); one that nobody renews
// ends after two of them and an hour, so that no key lives for as long as an NVA is away.
inline constexpr uint32_t kHardSeconds = 49 * 3600;

inline constexpr auto kGrantTimeout = 10s;
// A sender id of an epoch that is about to end is worth nothing, and told to all: so long
// the next one is waited for.
inline constexpr auto kRenewGrace = 1s;
// The NVA may hold a request back for ten seconds.
inline constexpr auto kRenewTimeout = 15s;
inline constexpr auto kRefusedRetry = 30s;
inline constexpr auto kInstallRetry = 5s;
// A list of senders may have left the NVA before our grant did.
inline constexpr auto kUnnamedLimit = 10s;
// No confused NVA shall have the switch filled, or stop a group for days.
inline constexpr size_t kMaxSenders = 4096;
inline constexpr std::chrono::milliseconds kMaxDelay = 10min;

}  // namespace nvo3::agent

#endif
