// SPDX-License-Identifier: Apache-2.0
//
// See check.h: the file of other_config:nvo3-policy.
#include "hvagent/check/check.h"
#include "hvagent/policy_keeper.h"
#include "policy/policy.h"

namespace nvo3::agent {

void check_policy(const Config& config, Findings& out)
{
    if (config.policy_file.empty()) {
        return;
    }
    const char* fix = "correct it: hvagent does not take it, and has none if it starts now";
    const std::string thing = "policy of file " + config.policy_file;
    auto text = read_policy(config.policy_file);
    if (!text) {
        out.push_back({Finding::Grade::fail, thing, text.error().text, fix});
        return;
    }
    auto policy = policy::parse_policy(*text);
    if (!policy) {
        out.push_back({Finding::Grade::fail, thing, policy.error().text, fix});
        return;
    }
    out.push_back({Finding::Grade::ok, thing, std::to_string(policy->gateways.size()) + " gateways, " + std::to_string(policy->rules.size()) + " rules", ""});
}

}  // namespace nvo3::agent
