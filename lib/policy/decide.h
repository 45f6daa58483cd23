// SPDX-License-Identifier: Apache-2.0
//
// What a policy says to the first packet of a connection.
//
// The flows of hvagent/policy_flows.cc do the same in the switch; this is for
// `policy/trace`, and what the flows are tested against.
//
// Place: lib/policy.  Threads: pure.
#ifndef NVO3_POLICY_DECIDE_H
#define NVO3_POLICY_DECIDE_H

#include "policy/policy.h"

namespace nvo3::policy {

struct Verdict {
    bool allowed = false;
    const Rule* rule = nullptr;         // that decided; null: none did
    const Rule* log = nullptr;          // of action log, that saw it as well
    std::string to;                     // the network that 'destination' is in, empty: none
    std::string reason;                 // a sentence
};

// 'port' counts only for protocols that have ports.  Pointers are into 'policy'.
Verdict decide(const Policy& policy, const std::string& from_vn, const base::IpAddress& source, const base::IpAddress& destination, uint8_t proto,
               uint16_t port);

bool matches(const Rule& rule, const base::IpAddress& source, const base::IpAddress& destination, uint8_t proto, uint16_t port);

}  // namespace nvo3::policy
#endif
