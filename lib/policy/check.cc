// SPDX-License-Identifier: Apache-2.0
//
// What the statements of a policy ask of each other.  See policy.h.
#include <algorithm>
#include <map>
#include <set>

#include "policy/policy.h"

namespace nvo3::policy {
namespace {

using base::Error;
using base::Status;

Error wrong(size_t line, const std::string& reason)
{
    return {EINVAL, "line " + std::to_string(line) + ": " + reason};
}

// ---- One rule ----

struct Families {
    bool v4 = false, v6 = false;
};

Families families(const Gateway& gateway, const End& end)
{
    Families result;
    for (const Interface& address : gateway.addresses) {
        if (!end.prefix || end.prefix->is_v4() == address.prefix.is_v4()) {
            (address.prefix.is_v4() ? result.v4 : result.v6) = true;
        }
    }
    return result;
}

Status check_end(const Policy& policy, const Rule& rule, const End& end)
{
    const Gateway* gateway = policy.find(end.vn);
    if (!gateway) {
        return wrong(rule.line, "network " + end.vn + " has no gateway: add 'gateway " + end.vn + " ADDRESS/LENGTH'");
    }
    if (end.prefix && std::ranges::none_of(gateway->addresses, [&](const Interface& own) { return own.prefix.contains(*end.prefix); })) {
        return wrong(rule.line, to_string(*end.prefix) + " is outside of the prefixes of network " + end.vn + " (line " +
                                    std::to_string(gateway->line) + ")");
    }
    return {};
}

Status check_rule(const Policy& policy, const Rule& rule)
{
    for (const End* end : {&rule.from, &rule.to}) {
        if (Status ok = check_end(policy, rule, *end); !ok) {
            return ok;
        }
    }
    if (rule.from.vn == rule.to.vn) {
        return wrong(rule.line, "a rule is between two networks, not inside of " + rule.from.vn);
    }
    const Families from = families(*policy.find(rule.from.vn), rule.from), to = families(*policy.find(rule.to.vn), rule.to);
    const bool v4 = from.v4 && to.v4 && rule.proto != kIcmp6, v6 = from.v6 && to.v6 && rule.proto != kIcmp;
    if (!v4 && !v6) {
        return wrong(rule.line, "no packet can match: both ends and the protocol must be of one family, IPv4 or IPv6");
    }
    return {};
}

// ---- Two rules ----

bool overlap(const End& a, const End& b)
{
    return !a.prefix || !b.prefix || a.prefix->overlaps(*b.prefix);
}

bool overlap(const Rule& a, const Rule& b)
{
    return a.from.vn == b.from.vn && a.to.vn == b.to.vn && overlap(a.from, b.from) && overlap(a.to, b.to) &&
           (!a.proto || !b.proto || a.proto == b.proto) &&
           (!a.ports || !b.ports || (a.ports->first <= b.ports->last && b.ports->first <= a.ports->last));
}

// Rules are sorted by priority.
Status check_pairs(const Policy& policy)
{
    for (size_t i = 0; i < policy.rules.size(); i++) {
        const Rule& a = policy.rules[i];
        for (size_t j = i + 1; j < policy.rules.size() && policy.rules[j].priority == a.priority; j++) {
            const Rule& b = policy.rules[j];
            const bool decide = a.action != Action::log && b.action != Action::log;
            if (decide && (a.action != b.action || a.stateless != b.stateless) && overlap(a, b)) {
                return wrong(std::max(a.line, b.line), "same priority as line " + std::to_string(std::min(a.line, b.line)) +
                                                           ", and both match some packets, with different actions: give one another priority");
            }
        }
    }
    return {};
}

// ---- Routes ----

// What a network can be reached from, or reach, must have one meaning there.
Status check_routes(const Policy& policy)
{
    std::map<std::string, std::map<std::string, size_t>> neighbours;    // network, network, line of a rule
    for (const Rule& rule : policy.rules) {
        if (rule.action == Action::log) {
            continue;
        }
        for (auto [own, other] : {std::pair(rule.from.vn, rule.to.vn), {rule.to.vn, rule.from.vn}}) {
            size_t& line = neighbours[own].try_emplace(other, rule.line).first->second;
            line = std::min(line, rule.line);
        }
    }
    for (const auto& [vn, others] : neighbours) {
        std::vector<std::pair<const Gateway*, size_t>> seen{{policy.find(vn), 0}};
        for (const auto& [other, line] : others) {
            const Gateway* gateway = policy.find(other);
            for (const auto& [former, former_line] : seen) {
                for (const Interface& a : gateway->addresses) {
                    for (const Interface& b : former->addresses) {
                        if (!a.prefix.overlaps(b.prefix)) {
                            continue;
                        }
                        const std::string both = to_string(a.prefix) + " of " + other + " overlaps " + to_string(b.prefix) + " of " + former->vn;
                        return wrong(std::max(line, former_line),
                                     "no route between overlapping prefixes: " + both + (former->vn == vn ? "" : ", and both are reached from " + vn));
                    }
                }
            }
            seen.emplace_back(gateway, line);
        }
    }
    return {};
}

}  // namespace

Status check_policy(const Policy& policy)
{
    for (size_t i = 1; i < policy.gateways.size(); i++) {
        const Gateway &former = policy.gateways[i - 1], &gateway = policy.gateways[i];
        if (former.vn == gateway.vn) {
            return wrong(std::max(former.line, gateway.line), "network " + gateway.vn + " has a gateway already (line " +
                                                                  std::to_string(std::min(former.line, gateway.line)) + ")");
        }
    }
    // By line, so that what is wrong first is said.
    std::vector<const Rule*> rules;
    for (const Rule& rule : policy.rules) {
        rules.push_back(&rule);
    }
    std::ranges::stable_sort(rules, {}, &Rule::line);
    for (const Rule* rule : rules) {
        if (Status ok = check_rule(policy, *rule); !ok) {
            return ok;
        }
    }
    if (Status ok = check_pairs(policy); !ok) {
        return ok;
    }
    return check_routes(policy);
}

}  // namespace nvo3::policy
