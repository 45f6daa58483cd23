// SPDX-License-Identifier: Apache-2.0
//
// See decide.h.
#include "policy/decide.h"

#include <algorithm>

namespace nvo3::policy {
namespace {

// There is one at most: check_policy() saw to it.
const Gateway* target(const Policy& policy, const std::string& from, const base::IpAddress& destination)
{
    for (const Rule& rule : policy.rules) {
        if (rule.action == Action::log) {
            continue;
        }
        for (auto [own, other] : {std::pair(&rule.from.vn, &rule.to.vn), {&rule.to.vn, &rule.from.vn}}) {
            const Gateway* gateway = *own == from ? policy.find(*other) : nullptr;
            if (gateway && gateway->prefix_of(destination)) {
                return gateway;
            }
        }
    }
    return nullptr;
}

}  // namespace

bool matches(const Rule& rule, const base::IpAddress& source, const base::IpAddress& destination, uint8_t proto, uint16_t port)
{
    // Each has its own family, whatever number a packet of the other one bears.
    const bool other_family = rule.proto == (source.is_v4() ? kIcmp6 : kIcmp);
    return !other_family && (!rule.from.prefix || rule.from.prefix->contains(source)) && (!rule.to.prefix || rule.to.prefix->contains(destination)) &&
           (!rule.proto || *rule.proto == proto) && (!rule.ports || (port >= rule.ports->first && port <= rule.ports->last));
}

Verdict decide(const Policy& policy, const std::string& from_vn, const base::IpAddress& source, const base::IpAddress& destination, uint8_t proto,
               uint16_t port)
{
    Verdict verdict;
    const Gateway* from = policy.find(from_vn);
    if (!from) {
        verdict.reason = "network " + from_vn + " has no gateway: nothing leaves it";
        return verdict;
    }
    if (!from->prefix_of(source)) {
        verdict.reason = source.to_string() + " is in no prefix of network " + from_vn;
        return verdict;
    }
    if (from->prefix_of(destination)) {
        verdict.to = from_vn;
        verdict.allowed = true;
        verdict.reason = "both are in network " + from_vn + ": no gateway between them";
        return verdict;
    }
    const Gateway* to = target(policy, from_vn, destination);
    if (!to) {
        verdict.reason = destination.to_string() + " is in no network that a rule connects with " + from_vn;
        return verdict;
    }
    verdict.to = to->vn;
    for (const Rule& rule : policy.rules) {
        if (rule.from.vn != from_vn || rule.to.vn != to->vn || !matches(rule, source, destination, proto, port)) {
            continue;
        }
        if (rule.action == Action::log) {
            verdict.log = verdict.log ? verdict.log : &rule;
        } else if (!verdict.rule) {
            verdict.rule = &rule;
        }
    }
    if (verdict.rule) {
        verdict.allowed = verdict.rule->action == Action::allow;
        verdict.reason = "rule of line " + std::to_string(verdict.rule->line) + ": " + to_string(*verdict.rule);
    } else {
        verdict.reason = "no rule from " + from_vn + " to " + to->vn + " matches: denied by default";
    }
    return verdict;
}

}  // namespace nvo3::policy
