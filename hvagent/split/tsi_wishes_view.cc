// SPDX-License-Identifier: Apache-2.0
//
// See tsi_wishes.h: what ports, hooks and operators are told.
#include <algorithm>
#include <utility>

#include "hvagent/split/tsi_wishes.h"

namespace nvo3::agent {

namespace proto = control::proto;

std::vector<ConnectedVn> TsiWishes::networks() const
{
    std::map<base::Vni, ConnectedVn> found;
    for (const auto& [vn, network] : networks_) {
        if (network.connected && !network.unfit) {
            found.emplace(network.connected->vni, *network.connected);
        }
    }
    std::vector<ConnectedVn> result;
    for (auto& [vni, network] : found) {
        result.push_back(std::move(network));
    }
    return result;
}

bool TsiWishes::has_network(base::Vni vni) const
{
    return std::ranges::any_of(networks_, [&](const auto& item) { return item.second.connected && item.second.connected->vni == vni; });
}

std::string TsiWishes::waiting_for(const Entry& entry) const
{
    if (auto it = networks_.find(entry.wish.vn); it != networks_.end() && !it->second.failure.reason.empty()) {
        return "network " + entry.wish.vn + ": " + it->second.failure.reason;
    }
    if (!entry.failure.reason.empty()) {
        return entry.failure.reason;
    }
    if (wanted_state(entry) == proto::TSI_ACTIVE || entry.state == proto::TSI_NONE) {
        return up_ ? "the NVE has not answered yet" : "no external NVE can be reached";
    }
    return std::string("its VM is ") + to_string(entry.wish.run);
}

std::map<std::string, std::string> TsiWishes::closed_ports() const
{
    std::map<std::string, std::string> closed;
    for (const auto& [key, entry] : entries_) {
        if (entry.wanted && !entry.wish.port.empty() && !(entry.granted && entry.wish.run == VmRun::running)) {
            closed[entry.wish.port] = waiting_for(entry);
        }
    }
    return closed;
}

std::optional<base::Status> TsiWishes::reserved(const std::string& vm) const
{
    bool all = true;
    for (const auto& [key, entry] : entries_) {
        if (!entry.wanted || entry.wish.vm != vm) {
            continue;
        }
        auto network = networks_.find(entry.wish.vn);
        if (!entry.failure.reason.empty() || (network != networks_.end() && !network->second.failure.reason.empty())) {
            return base::Error{EACCES, "interface " + to_string(entry.wish.mac) + " of " + entry.wish.vm_name + ": " + waiting_for(entry)};
        }
        all = all && network_of(entry) && entry.state != proto::TSI_NONE && entry.mac == entry.wish.mac;
    }
    return all ? std::optional(base::Status{}) : std::nullopt;
}

std::vector<TsiView> TsiWishes::view() const
{
    std::vector<TsiView> views;
    for (const auto& [key, entry] : entries_) {
        TsiView view{entry.wish.port, entry.wish.vn, {}, entry.wish.mac, entry.wish.addresses, "waiting", "", entry.wish.id,
                     entry.wish.vm_name, entry.wanted ? to_string(entry.wish.run) : "gone"};
        auto network = networks_.find(entry.wish.vn);
        if (network != networks_.end() && network->second.connected) {
            view.vni = network->second.connected->vni;
        }
        const bool refused = !entry.failure.reason.empty() || (network != networks_.end() && !network->second.failure.reason.empty());
        if (entry.state == wanted_state(entry) && !refused && entry.state != proto::TSI_NONE) {
            view.state = entry.state == proto::TSI_ACTIVE ? "active" : "associated";
        } else {
            view.state = refused ? "refused" : "waiting";
            view.reason = waiting_for(entry);
        }
        views.push_back(std::move(view));
    }
    return views;
}

}  // namespace nvo3::agent
