// SPDX-License-Identifier: Apache-2.0
//
// What policy/show and policy/trace print.
//
// Place: renders what pipeline_feed.cc has.  Thread: pure functions.
#ifndef HVAGENT_SHOW_POLICY_H
#define HVAGENT_SHOW_POLICY_H

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "hvagent/policy_counters.h"
#include "hvagent/policy_keeper.h"
#include "hvagent/vn_pipeline.h"

namespace nvo3::agent {

struct PolicyState {
    const PolicyKeeper& keeper;
    std::shared_ptr<const policy::Policy> policy;       // in force, as with_names() has it; null: none
    const Pipeline& pipeline;
    const PolicyCounters& counters;
    const NetworkView& networks;
    std::optional<long long> counted;       // seconds since the switch was asked; nothing: not yet
    std::string why_none;                   // a sentence, if this host can have no policy
};

std::string show_policy(const PolicyState&, bool json);

// 'words': VN SRC DST PROTO [PORT].  The error says which is wrong.
base::Result<std::string> trace_policy(const PolicyState&, const std::vector<std::string>& words, bool json);

}  // namespace nvo3::agent
#endif
