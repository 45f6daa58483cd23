// SPDX-License-Identifier: Apache-2.0
//
// See model.h.
#include "nva/model.h"

#include <algorithm>
#include <cstdio>

namespace nvo3::nva {
namespace {

// Sorted; what cannot be read is left out and reported.
std::vector<base::IpAddress> parse_addresses(const std::vector<std::string>& texts, const std::string& whose, StoreView* view)
{
    std::vector<base::IpAddress> addresses;
    for (const std::string& text : texts) {
        auto address = base::IpAddress::parse(text);
        if (!address || address->is_multicast() || address->is_unspecified()) {
            view->problems.push_back(whose + ": '" + text + "' is no unicast IP address; correct it with nvo3-nvactl set");
            continue;
        }
        addresses.push_back(*address);
    }
    std::ranges::sort(addresses);
    addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
    return addresses;
}

Settings parse_settings(const std::map<std::string, std::string>& other_config, StoreView* view)
{
    Settings settings;
    struct Row {
        const char* key;
        uint64_t Settings::*field;
        uint64_t min, max;
    };
    static constexpr Row kRows[] = {
        {"control-rate", &Settings::control_rate, 1, 100000},
        {"control-burst", &Settings::control_burst, 16, 1000000},
        {"max-mappings-per-nve", &Settings::max_mappings_per_nve, 1, 1000000},
        {"max-mappings-per-vn", &Settings::max_mappings_per_vn, 1, 1000000},
        {"group-rekey-seconds", &Settings::group_rekey_seconds, 2, 86400},
        {"group-activation-ms", &Settings::group_activation_ms, 0, 60000},
        {"group-removal-ms", &Settings::group_removal_ms, 0, 600000},
    };
    for (const Row& row : kRows) {
        auto it = other_config.find(row.key);
        if (it == other_config.end()) {
            continue;
        }
        auto number = base::parse_number(it->second, row.max);
        if (!number || *number < row.min) {
            view->problems.push_back("other_config:" + it->first + "=" + it->second + " is not used: give a number from " +
                                     std::to_string(row.min) + " to " + std::to_string(row.max));
            continue;
        }
        settings.*row.field = *number;
    }
    return settings;
}

using Vns = std::map<base::Vni, std::shared_ptr<Vn>>;

Vn* find(const Vns& vns, uint32_t vni)
{
    auto it = vns.find(base::Vni(vni));
    return it == vns.end() ? nullptr : it->second.get();
}

void add_vns(const RawStore& raw, Vns* vns, StoreView* view)
{
    for (const RawStore::Vn& row : raw.vns) {
        auto encap = base::parse_encap(row.encap);
        auto cipher = esp::cipher_from_name(row.cipher);
        if (!base::Vni(row.vni).valid() || !encap || !cipher) {
            view->problems.push_back("network " + row.name + " is not served: its row cannot be read");
            continue;
        }
        auto vn = std::make_shared<Vn>();
        vn->vni = base::Vni(row.vni);
        vn->name = row.name;
        vn->encap = *encap;
        vn->cipher = *cipher;
        vns->emplace(vn->vni, std::move(vn));
    }
    for (const RawStore::Member& row : raw.members) {
        const Nve* nve = view->find_nve(row.nve);
        if (Vn* vn = find(*vns, row.vni); vn && nve && !nve->addresses.empty()) {
            vn->members.emplace(row.nve, nve->addresses);
        }
    }
}

void add_mappings(const RawStore& raw, const Vns& vns, StoreView* view)
{
    for (const RawStore::Mapping& row : raw.mappings) {
        Vn* vn = find(vns, row.vni);
        if (!vn || !vn->members.contains(row.nve)) {
            view->strays.push_back({base::Vni(row.vni), row.mac, row.nve});
            continue;
        }
        auto mac = base::MacAddress::parse(row.mac);
        std::string whose = "mapping " + row.mac + " of network " + vn->name;
        if (!mac || mac->is_multicast() || mac->is_zero() || to_string(*mac) != row.mac) {
            view->problems.push_back(whose + ": no MAC address of an interface; remove it with nvo3-nvactl mapping-del");
            continue;
        }
        vn->mappings[*mac] = {parse_addresses(row.addresses, whose, view), row.nve};
    }
}

void add_groups(const RawStore& raw, const Vns& vns, StoreView* view)
{
    for (const RawStore::Group& row : raw.groups) {
        Vn* vn = find(vns, row.vni);
        if (!vn) {
            continue;
        }
        auto address = base::IpAddress::parse(row.address);
        Group group;
        group.epoch = row.epoch;
        group.started = row.started;
        group.told = {row.told.begin(), row.told.end()};
        if (!address || !address->is_multicast() || address->to_string() != row.address) {
            view->problems.push_back("group " + row.address + " of network " + vn->name + ": no multicast address; remove it with nvo3-nvactl group-del");
            continue;
        }
        if (row.epoch != 0 && !parse_octets16(row.nonce, &group.nonce)) {
            view->problems.push_back("group " + row.address + " of network " + vn->name + ": its nonce cannot be read; its next epoch begins");
            group.nonce_unreadable = true;
        }
        vn->groups[*address] = std::move(group);
    }
    for (const RawStore::Sender& row : raw.senders) {
        Vn* vn = find(vns, row.vni);
        auto address = base::IpAddress::parse(row.group);
        if (!vn || !address || !vn->groups.contains(*address) || !vn->members.contains(row.nve)) {
            continue;
        }
        Group& group = vn->groups[*address];
        Sender sender{row.epoch, {}, base::Spi(row.spi)};
        if (row.epoch == group.epoch && sender.spi.of_group() && parse_octets16(row.sender_id, &sender.sender_id)) {
            group.senders[row.nve] = sender;
        }
    }
}

}  // namespace

bool parse_octets16(const std::string& text, std::array<uint8_t, 16>* octets)
{
    if (text.size() != 32 || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
        return false;
    }
    for (size_t i = 0; i < 16; i++) {
        unsigned octet = 0;
        std::sscanf(text.c_str() + 2 * i, "%2x", &octet);
        (*octets)[i] = static_cast<uint8_t>(octet);
    }
    return true;
}

std::shared_ptr<const StoreView> make_view(const RawStore& raw, const StoreView* before)
{
    auto view = std::make_shared<StoreView>();
    view->settings = parse_settings(raw.other_config, view.get());
    for (const RawStore::Nve& row : raw.nves) {
        view->nves[row.name] = {parse_addresses(row.addresses, "NVE " + row.name, view.get()), row.revoked};
    }
    Vns vns;
    add_vns(raw, &vns, view.get());
    add_mappings(raw, vns, view.get());
    add_groups(raw, vns, view.get());
    for (auto& [vni, vn] : vns) {
        auto same = before ? before->vns.find(vni) : std::map<base::Vni, std::shared_ptr<const Vn>>::const_iterator{};
        if (before && same != before->vns.end() && *same->second == *vn) {
            view->vns.emplace_hint(view->vns.end(), vni, same->second);
        } else {
            view->vns.emplace_hint(view->vns.end(), vni, std::move(vn));
        }
    }
    return view;
}

}  // namespace nvo3::nva
