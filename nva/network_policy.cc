// SPDX-License-Identifier: Apache-2.0
//
// See network_policy.h.
#include "nva/network_policy.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace nvo3::nva {
namespace {

std::string word(base::Vni vni)
{
    return std::to_string(vni.value);
}

}  // namespace

PolicyNetworks policy_networks(const policy::Policy& policy, const NetworkNames& names)
{
    PolicyNetworks networks;
    // Whatever a rule names has a gateway.
    for (const policy::Gateway& gateway : policy.gateways) {
        if (auto vni = base::Vni::parse(gateway.vn)) {
            if (names.vnis.contains(*vni)) {
                networks.emplace(gateway.vn, *vni);
            }
        } else if (auto it = names.by_name.find(gateway.vn); it != names.by_name.end()) {
            networks.emplace(gateway.vn, it->second);
        }
    }
    return networks;
}

std::string missing_networks(const policy::Policy& policy, const PolicyNetworks& networks)
{
    constexpr size_t kNamed = 8;
    std::string text;
    size_t missing = 0;
    for (const policy::Gateway& gateway : policy.gateways) {
        if (!networks.contains(gateway.vn) && ++missing <= kNamed) {
            text += (text.empty() ? "" : ", ") + gateway.vn + " (line " + std::to_string(gateway.line) + ")";
        }
    }
    return missing > kNamed ? text + " and " + std::to_string(missing - kNamed) + " more" : text;
}

base::Result<std::shared_ptr<const NetworkPolicy>> NetworkPolicy::make(policy::Policy policy, const PolicyNetworks& networks, uint64_t version)
{
    std::erase_if(policy.gateways, [&](const policy::Gateway& gateway) { return !networks.contains(gateway.vn); });
    std::erase_if(policy.rules, [&](const policy::Rule& rule) { return !networks.contains(rule.from.vn) || !networks.contains(rule.to.vn); });
    for (policy::Gateway& gateway : policy.gateways) {
        gateway.vn = word(networks.at(gateway.vn));
    }
    for (policy::Rule& rule : policy.rules) {
        rule.from.vn = word(networks.at(rule.from.vn));
        rule.to.vn = word(networks.at(rule.to.vn));
    }
    std::ranges::stable_sort(policy.gateways, {}, &policy::Gateway::vn);
    // Again: two words may have been one network.
    if (base::Status status = check_policy(policy); !status) {
        return status.error();
    }
    auto made = std::make_shared<NetworkPolicy>();
    made->version_ = version;
    size_t size = 0;
    auto add = [&](const std::string& from, const std::string& to, std::string text) {
        size += text.size() + 1;
        made->add(*base::Vni::parse(from), *base::Vni::parse(to), std::move(text) + "\n");
    };
    for (const policy::Gateway& gateway : policy.gateways) {
        made->networks_.insert(*base::Vni::parse(gateway.vn));
        add(gateway.vn, gateway.vn, to_string(gateway));
    }
    for (const policy::Rule& rule : policy.rules) {
        add(rule.from.vn, rule.to.vn, to_string(rule));
    }
    if (size > policy::kMaxText) {
        return base::Error{E2BIG, "all statements together, as NVEs are told them, are longer than " + std::to_string(policy::kMaxText) + " octets"};
    }
    return std::shared_ptr<const NetworkPolicy>(std::move(made));
}

void NetworkPolicy::add(base::Vni from, base::Vni to, std::string text)
{
    by_from_[from].push_back(statements_.size());
    statements_.push_back({from, to, std::move(text)});
}

std::string NetworkPolicy::counts() const
{
    return std::to_string(networks_.size()) + " gateways, " + std::to_string(statements_.size() - networks_.size()) + " rules";
}

std::string NetworkPolicy::text_of(const std::set<base::Vni>& networks) const
{
    std::vector<size_t> places;
    for (base::Vni vni : networks) {
        auto it = by_from_.find(vni);
        if (it != by_from_.end()) {
            std::ranges::copy_if(it->second, std::back_inserter(places), [&](size_t place) { return networks.contains(statements_[place].to); });
        }
    }
    std::ranges::sort(places);
    std::string text;
    for (size_t place : places) {
        text += statements_[place].text;
    }
    return text;
}

}  // namespace nvo3::nva
