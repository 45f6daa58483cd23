// SPDX-License-Identifier: Apache-2.0
//
// What the rule guard refuses: pure functions of what a change would do
// (api/nvo3_guard.h), of the networks that this host serves and of the bridge's
// tunnels.  doc/guard.md explains them.
// Place: engine, called by guard.cc.  Threads: plain values.
#ifndef NVO3_ENGINE_GUARD_RULES_H
#define NVO3_ENGINE_GUARD_RULES_H

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "base/ids.h"
#include "ovs-ext/api/nvo3_guard.h"

namespace nvo3::engine {

enum class GuardReason : uint8_t {
    none,
    // What a flow carries, whoever sends it.
    sets_unserved_vni,
    sets_unknown_vni,
    output_without_vni,
    matches_unserved_vni,
    // What controllers may not do to the flows of hvagent.
    claims_cookie,
    changes_pipeline,
    uses_pipeline_table,
    bypasses_pipeline,
    output_to_network,
    enters_pipeline,
    injects_packets,
    changes_port,
    changes_connections,
};
inline constexpr size_t kGuardReasonCount = static_cast<size_t>(GuardReason::changes_connections) + 1;

// One word, for counters and JSON.
const char* to_string(GuardReason reason) noexcept;

struct GuardVerdict {
    GuardReason reason = GuardReason::none;
    std::string text;       // what it would do; empty for none

    explicit operator bool() const noexcept { return reason == GuardReason::none; }
};

// What the guard knows of the bridge and the host.
struct GuardKnowledge {
    const std::set<base::Vni>& served;
    const std::set<uint32_t>& tunnels;  // OpenFlow ports of protected tunnels whose VNI is the flow's
    bool awaits_pipeline = false;       // hvagent's flows belong in the bridge, even if they are not there yet
    bool served_known = true;           // 'served' is the agent's word
};

GuardVerdict judge(const nvo3_guard_change& change, const GuardKnowledge& known);

}  // namespace nvo3::engine

#endif
