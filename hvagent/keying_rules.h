// SPDX-License-Identifier: Apache-2.0
//
// Times and bounds of keying.
//
// Place: internal to keying.cc and keying_exchange.cc.
#ifndef HVAGENT_KEYING_RULES_H
#define HVAGENT_KEYING_RULES_H

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace nvo3::agent {

using namespace std::chrono_literals;

// Packets under way under the old key still arrive for this long.
inline constexpr auto kGrace = 5s;
inline constexpr auto kAnswerTimeout = 10s;
// After session_up the peer offers by itself; ask only when it did not.
inline constexpr auto kAskAfter = 3s;
inline constexpr auto kRetryMin = 1s, kRetryMax = 30s;
// A peer that does not serve the network offers by itself once it does.
inline constexpr auto kDeclinedRetry = 60s;
inline constexpr auto kMinGap = 1s;
// A hostile or confused peer must not make us collect SAs.
inline constexpr size_t kMaxReplaced = 8, kMaxAccepting = 8;
// Offers under way at once, over all channels: with thousands of networks the rate of the
// control channel would otherwise make the last ones wait beyond their time-out.
inline constexpr size_t kMaxOffers = 64;

inline std::chrono::seconds retry_delay(unsigned failures)
{
    return std::min<std::chrono::seconds>(kRetryMin * (1u << std::min(failures, 5u)), kRetryMax);
}

}  // namespace nvo3::agent
#endif
