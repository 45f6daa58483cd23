// SPDX-License-Identifier: Apache-2.0
//
// See policy_check.h.
#include "nva/policy_check.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "nva/network_policy.h"

using namespace nvo3;

static_assert(POLICY_MAX_TEXT == policy::kMaxText);

namespace {

char* copy(const std::string& text)
{
    char* result = static_cast<char*>(std::malloc(text.size() + 1));
    if (!result) {
        std::abort();
    }
    std::memcpy(result, text.c_str(), text.size() + 1);
    return result;
}

// A statement of this policy as its parser writes it; else with single spaces.
std::string canonical(const policy::Policy& policy, const std::string& statement)
{
    std::string words;
    for (size_t at = 0; (at = statement.find_first_not_of(" \t", at)) != std::string::npos;) {
        const size_t end = std::min(statement.find_first_of(" \t", at), statement.size());
        words += (words.empty() ? "" : " ") + statement.substr(at, end - at);
        at = end;
    }
    if (auto read = policy::parse_policy(to_string(policy::Policy{policy.gateways, {}}) + words); read && read->rules.size() == 1) {
        return to_string(read->rules[0]);
    }
    if (auto read = policy::parse_policy(words); read && read->gateways.size() == 1) {
        return to_string(read->gateways[0]);
    }
    return words;
}

}  // namespace

char* policy_check(const char* text, const policy_network* networks, size_t n_networks, char** summary)
{
    auto policy = policy::parse_policy(text);
    if (!policy) {
        return copy(policy.error().text);
    }
    nva::NetworkNames names;
    for (size_t i = 0; i < n_networks; i++) {
        names.by_name.emplace(networks[i].name, base::Vni(networks[i].vni));
        names.vnis.insert(base::Vni(networks[i].vni));
    }
    const nva::PolicyNetworks found = nva::policy_networks(*policy, names);
    if (const std::string missing = nva::missing_networks(*policy, found); !missing.empty()) {
        return copy("there is no such network: " + missing + "; see vn-list and vn-add");
    }
    auto made = nva::NetworkPolicy::make(*std::move(policy), found, 0);
    if (!made) {
        return copy(made.error().text);
    }
    *summary = copy((*made)->counts());
    return nullptr;
}

size_t policy_find(const char* text, const char* statement, size_t** lines)
{
    std::vector<size_t> found;
    if (auto policy = policy::parse_policy(text)) {
        const std::string wanted = canonical(*policy, statement);
        for (const policy::Gateway& gateway : policy->gateways) {
            if (wanted == to_string(gateway) || wanted == "gateway " + gateway.vn) {
                found.push_back(gateway.line);
            }
        }
        for (const policy::Rule& rule : policy->rules) {
            if (wanted == to_string(rule)) {
                found.push_back(rule.line);
            }
        }
    }
    *lines = static_cast<size_t*>(std::malloc((found.size() + 1) * sizeof **lines));
    if (!*lines) {
        std::abort();
    }
    std::ranges::copy(found, *lines);
    return found.size();
}

size_t policy_line_of(const char* text, const policy_network* network)
{
    auto policy = policy::parse_policy(text);
    if (!policy) {
        return 0;
    }
    const nva::NetworkNames names{{{network->name, base::Vni(network->vni)}}, {base::Vni(network->vni)}};
    const nva::PolicyNetworks found = nva::policy_networks(*policy, names);
    size_t line = 0;
    for (const policy::Gateway& gateway : policy->gateways) {
        if (found.contains(gateway.vn) && (line == 0 || gateway.line < line)) {
            line = gateway.line;
        }
    }
    return line;
}
