// SPDX-License-Identifier: Apache-2.0
//
// See store_model.h: what rows mean, and what is wrong with them.
#include "nva/store_model.h"

#include <algorithm>
#include <cstdio>
#include <tuple>
#include <utility>

namespace nvo3::nva {
namespace {

// Sorted; what cannot be read is left out and reported.
std::vector<base::IpAddress> parse_addresses(const std::vector<std::string>& texts, const std::string& whose, std::vector<std::string>* problems)
{
    std::vector<base::IpAddress> addresses;
    for (const std::string& text : texts) {
        auto address = base::IpAddress::parse(text);
        if (!address || address->is_multicast() || address->is_unspecified()) {
            problems->push_back(whose + ": '" + text + "' is no unicast IP address; correct it with nvo3-nvactl set");
            continue;
        }
        addresses.push_back(*address);
    }
    std::ranges::sort(addresses);
    addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
    return addresses;
}

Settings parse_settings(const std::map<std::string, std::string>& other_config, std::vector<std::string>* problems)
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
        {"takeover-seconds", &Settings::takeover_seconds, 0, 86400},
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
            problems->push_back("other_config:" + it->first + "=" + it->second + " is not used: give a number from " +
                                     std::to_string(row.min) + " to " + std::to_string(row.max));
            continue;
        }
        settings.*row.field = *number;
    }
    return settings;
}

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

// Null if it cannot be read.
std::shared_ptr<Vn> read_vn(const raw::Vn& row, std::vector<std::string>* problems)
{
    auto encap = base::parse_encap(row.encap);
    auto cipher = esp::cipher_from_name(row.cipher);
    if (!base::Vni(row.vni).valid() || !encap || !cipher) {
        problems->push_back("network " + row.name + " is not served: its row cannot be read");
        return nullptr;
    }
    auto vn = std::make_shared<Vn>();
    vn->vni = base::Vni(row.vni);
    vn->name = row.name;
    vn->encap = *encap;
    vn->cipher = *cipher;
    return vn;
}

void add_mapping(const raw::Mapping& row, Vn* vn, std::vector<std::string>* problems)
{
    auto mac = base::MacAddress::parse(row.mac);
    std::string whose = "mapping " + row.mac + " of network " + vn->name;
    if (!mac || mac->is_multicast() || mac->is_zero() || to_string(*mac) != row.mac) {
        problems->push_back(whose + ": no MAC address of an interface; remove it with nvo3-nvactl mapping-del");
        return;
    }
    vn->mappings[*mac] = {parse_addresses(row.addresses, whose, problems), row.nve};
}

void add_group(const raw::Group& row, Vn* vn, std::vector<std::string>* problems)
{
    auto address = base::IpAddress::parse(row.address);
    if (!address || !address->is_multicast() || address->to_string() != row.address) {
        problems->push_back("group " + row.address + " of network " + vn->name + ": no multicast address; remove it with nvo3-nvactl group-del");
        return;
    }
    Group group;
    group.epoch = row.epoch;
    group.started = row.started;
    group.told = {row.told.begin(), row.told.end()};
    if (row.epoch != 0 && !parse_octets16(row.nonce, &group.nonce)) {
        problems->push_back("group " + row.address + " of network " + vn->name + ": its nonce cannot be read; its next epoch begins");
        group.nonce_unreadable = true;
    }
    vn->groups[*address] = std::move(group);
}

void add_sender(const raw::Sender& row, Vn* vn)
{
    auto address = base::IpAddress::parse(row.group);
    auto group = address ? vn->groups.find(*address) : vn->groups.end();
    if (group == vn->groups.end() || !vn->members.contains(row.nve)) {
        return;
    }
    Sender sender{row.epoch, {}, base::Spi(row.spi)};
    if (row.epoch == group->second.epoch && sender.spi.of_group() && parse_octets16(row.sender_id, &sender.sender_id)) {
        group->second.senders[row.nve] = sender;
    }
}

}  // namespace

// ---- Rows ----

void StoreModel::clear()
{
    for (const auto& [vni, network] : networks_) {
        changed_.insert(vni);
    }
    networks_.clear();
    network_of_.clear();
    nves_.clear();
    nvas_.clear();
    policies_.clear();
    nves_changed_ = sessions_changed_ = policy_changed_ = names_changed_ = true;
}

void StoreModel::set_settings(const std::map<std::string, std::string>& other_config)
{
    settings_changed_ |= other_config_ != other_config;
    other_config_ = other_config;
}

void StoreModel::put(const RowId& id, raw::Nve row)
{
    raw::Nve& before = nves_[id];
    sessions_changed_ |= before.session != row.session || before.name != row.name;
    // Sessions come and go: no network is another for that.
    nves_changed_ |= std::tie(before.name, before.addresses, before.revoked) != std::tie(row.name, row.addresses, row.revoked);
    before = std::move(row);
}

void StoreModel::put(const RowId& id, raw::Policy row)
{
    policies_[id] = std::move(row);
    policy_changed_ = true;
}

void StoreModel::erase(const RowId& id)
{
    if (nves_.erase(id) > 0) {
        nves_changed_ = sessions_changed_ = true;
    } else if (policies_.erase(id) > 0) {
        policy_changed_ = true;
    } else if (nvas_.erase(id) == 0) {
        forget(id);
    }
}

void StoreModel::forget(const RowId& id)
{
    auto node = network_of_.extract(id);
    if (!node) {
        return;
    }
    Network& network = networks_[node.mapped()];
    names_changed_ |= network.vns.contains(id);
    size_t erased = network.vns.erase(id) + network.members.erase(id) + network.mappings.erase(id) + network.groups.erase(id) +
                    network.senders.erase(id);
    if (erased > 0) {
        changed_.insert(node.mapped());
    }
}

// ---- Views ----

void StoreModel::build_settings()
{
    settings_problems_.clear();
    settings_ = parse_settings(other_config_, &settings_problems_);
    settings_changed_ = false;
}

// Networks have the addresses of their members, and none that is revoked.
void StoreModel::build_nves()
{
    auto now = std::make_shared<StoreView::Nves>();
    nves_problems_.clear();
    for (const auto& [id, row] : nves_) {
        (*now)[row.name] = {parse_addresses(row.addresses, "NVE " + row.name, &nves_problems_), row.revoked};
    }
    auto same = [&](const std::string& name) {
        auto a = now->find(name);
        auto b = built_nves_->find(name);
        return a == now->end() ? b == built_nves_->end() : b != built_nves_->end() && a->second == b->second;
    };
    for (const auto& [vni, network] : networks_) {
        if (std::ranges::any_of(network.members, [&](const auto& entry) { return !same(entry.second.nve); })) {
            changed_.insert(vni);
        }
    }
    built_nves_ = std::move(now);
    nves_changed_ = false;
}

void StoreModel::build_sessions()
{
    auto now = std::make_shared<StoreView::Sessions>();
    for (const auto& [id, row] : nves_) {
        if (!row.session.empty()) {
            now->emplace(row.name, row.session);
        }
    }
    built_sessions_ = std::move(now);
    sessions_changed_ = false;
}

void StoreModel::build_network(uint32_t vni)
{
    auto rows = networks_.find(vni);
    Built built;
    std::shared_ptr<Vn> vn;
    for (const auto& [id, row] : rows->second.vns) {
        vn = read_vn(row, &built.problems);
    }
    for (const auto& [id, row] : rows->second.members) {
        auto nve = built_nves_->find(row.nve);
        if (vn && nve != built_nves_->end() && !nve->second.revoked && !nve->second.addresses.empty()) {
            vn->members.emplace(row.nve, nve->second.addresses);
        }
    }
    for (const auto& [id, row] : rows->second.mappings) {
        if (vn && vn->members.contains(row.nve)) {
            add_mapping(row, vn.get(), &built.problems);
        } else {
            built.strays.push_back({base::Vni(vni), row.mac, row.nve});
        }
    }
    for (const auto& [id, row] : rows->second.groups) {
        if (vn) {
            add_group(row, vn.get(), &built.problems);
        }
    }
    for (const auto& [id, row] : rows->second.senders) {
        if (vn) {
            add_sender(row, vn.get());
        }
    }
    Built& before = built_[vni];
    built.vn = before.vn && vn && *before.vn == *vn ? before.vn : std::move(vn);
    before = std::move(built);
}

// Both are compared with what they were: many changes are of no meaning for the policy.
void StoreModel::build_policy()
{
    if (std::exchange(policy_changed_, false)) {
        policy_.read(policies_.empty() ? raw::Policy{} : policies_.begin()->second);
    }
    NetworkNames names;
    for (const auto& [vni, network] : networks_) {
        for (const auto& [id, row] : network.vns) {
            names.by_name.emplace(row.name, base::Vni(vni));
            names.vnis.insert(base::Vni(vni));
        }
    }
    policy_.resolve(names);
    names_changed_ = false;
}

std::shared_ptr<const StoreView> StoreModel::view()
{
    if (settings_changed_) {
        build_settings();
    }
    if (nves_changed_) {
        build_nves();
    }
    if (sessions_changed_) {
        build_sessions();
    }
    for (uint32_t vni : std::exchange(changed_, {})) {
        if (networks_.contains(vni)) {
            build_network(vni);
        } else {
            built_.erase(vni);
        }
    }
    if (policy_changed_ || names_changed_) {
        build_policy();
    }
    auto view = std::make_shared<StoreView>();
    view->settings = settings_;
    view->nves = built_nves_;
    view->sessions = built_sessions_;
    for (const auto& [id, row] : nvas_) {
        view->nvas.emplace(row.instance, row.beat);
    }
    view->problems = settings_problems_;
    view->problems.insert(view->problems.end(), nves_problems_.begin(), nves_problems_.end());
    view->policy = policy_.policy();
    view->policy_error = policy_.error();
    view->problems.insert(view->problems.end(), policy_.problems().begin(), policy_.problems().end());
    for (const auto& [vni, built] : built_) {
        if (built.vn) {
            view->vns.emplace_hint(view->vns.end(), base::Vni(vni), built.vn);
        }
        view->strays.insert(view->strays.end(), built.strays.begin(), built.strays.end());
        view->problems.insert(view->problems.end(), built.problems.begin(), built.problems.end());
    }
    return view;
}

}  // namespace nvo3::nva
