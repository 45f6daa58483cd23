// SPDX-License-Identifier: Apache-2.0
//
// See tsi_table.h.
#include "hvagent/split/tsi_table.h"

#include <algorithm>
#include <iterator>

namespace nvo3::agent {

namespace proto = control::proto;
using Addresses = std::vector<base::IpAddress>;

const char* to_string(TsiState state)
{
    switch (state) {
    case proto::TSI_ASSOCIATED: return "associated";
    case proto::TSI_ACTIVE: return "active";
    default: return "none";
    }
}

const char* to_string(TsiAction action)
{
    switch (action) {
    case proto::TSI_ASSOCIATE: return "associate";
    case proto::TSI_ACTIVATE: return "activate";
    case proto::TSI_DEACTIVATE: return "deactivate";
    case proto::TSI_DISASSOCIATE: return "disassociate";
    default: return "unknown";
    }
}

namespace {

Addresses sorted(Addresses addresses)
{
    std::ranges::sort(addresses);
    addresses.erase(std::ranges::unique(addresses).begin(), addresses.end());
    return addresses;
}

std::string seconds(std::chrono::seconds time)
{
    return std::to_string(time.count()) + " seconds";
}

}  // namespace

// ---- Sessions ----

void TsiTable::session_up(const std::string& hypervisor, TimePoint now)
{
    up_.insert(hypervisor);
    std::erase_if(waiting_, [&](const Waiting& one) { return one.hypervisor == hypervisor; });
    for (auto& [key, claims] : tsis_) {
        if (auto it = claims.find(hypervisor); it != claims.end()) {
            it->second.away = it->second.gives_way = false;
            it->second.told = false;
            it->second.expires_at = now + kKeep;
        }
    }
}

void TsiTable::session_down(const std::string& hypervisor, TimePoint now)
{
    up_.erase(hypervisor);
    std::erase_if(waiting_, [&](const Waiting& one) { return one.hypervisor == hypervisor; });
    for (auto& [key, claims] : tsis_) {
        if (auto it = claims.find(hypervisor); it != claims.end()) {
            it->second.away = true;
            it->second.expires_at = now + kKeep;
            for (Waiting& one : waiting_) {
                if (!one.for_nva && Key{one.asked.vni, one.asked.tsi} == key && it->second.state == proto::TSI_ACTIVE) {
                    one.until = now + kGiveWay;
                }
            }
        }
    }
    settle();
}

void TsiTable::forget(const std::string& hypervisor, const std::string& reason)
{
    std::erase_if(waiting_, [&](const Waiting& one) { return one.hypervisor == hypervisor; });
    remove_if([&](const Claim& claim) { return claim.hypervisor == hypervisor; }, reason, true);
    up_.erase(hypervisor);
    settle();
}

void TsiTable::sync_done(const std::string& hypervisor)
{
    remove_if([&](const Claim& claim) { return claim.hypervisor == hypervisor && !claim.told; },
              "its hypervisor did not name it any more when it came back", false);
    settle();
}

void TsiTable::leave(const std::string& hypervisor, base::Vni vni, const std::string& reason)
{
    std::erase_if(waiting_, [&](const Waiting& one) { return one.hypervisor == hypervisor && one.asked.vni == vni; });
    // A VnDisconnect says as much.
    remove_if([&](const Claim& claim) { return claim.hypervisor == hypervisor && claim.vni == vni; }, reason, false);
    settle();
}

void TsiTable::set_local(LocalMacs local)
{
    if (local == local_) {
        return;
    }
    local_ = std::move(local);
    remove_if([&](const Claim& claim) { return local_.contains({claim.vni, claim.mac}); }, "a VM port of this NVE has its MAC", true);
    settle();
}

// ---- Requests ----

TsiTable::Claim* TsiTable::find(const std::string& hypervisor, const TsiAsked& asked)
{
    auto tsi = tsis_.find({asked.vni, asked.tsi});
    if (tsi == tsis_.end()) {
        return nullptr;
    }
    auto it = tsi->second.find(hypervisor);
    return it == tsi->second.end() ? nullptr : &it->second;
}

const TsiTable::Claim* TsiTable::holder(const std::string& other_than, const Key& key) const
{
    auto tsi = tsis_.find(key);
    if (tsi == tsis_.end()) {
        return nullptr;
    }
    for (const auto& [hypervisor, claim] : tsi->second) {
        if (hypervisor != other_than && claim.state == proto::TSI_ACTIVE) {
            return &claim;
        }
    }
    return nullptr;
}

void TsiTable::request(const std::string& hypervisor, uint64_t request_id, const TsiAsked& asked, TimePoint now)
{
    if (!up_.contains(hypervisor)) {
        return;
    }
    if (auto tsi = tsis_.find({asked.vni, asked.tsi}); tsi != tsis_.end()) {
        mark_away(tsi->second, now);
    }
    // What it asks now is what it wants.
    std::erase_if(waiting_, [&](const Waiting& one) {
        bool same = one.hypervisor == hypervisor && one.asked.vni == asked.vni && one.asked.tsi == asked.tsi;
        if (same) {
            answer(hypervisor, one.request_id, one.asked, "another request for the same interface came after it");
        }
        return same;
    });
    std::optional<std::string> refusal;
    switch (asked.action) {
    case proto::TSI_ASSOCIATE: refusal = associate(hypervisor, asked); break;
    case proto::TSI_ACTIVATE: refusal = activate(hypervisor, asked); break;
    case proto::TSI_DEACTIVATE: refusal = deactivate(hypervisor, asked); break;
    case proto::TSI_DISASSOCIATE: refusal = disassociate(hypervisor, asked); break;
    default: refusal = "there is no such action";
    }
    if (!refusal) {
        waiting_.push_back({hypervisor, request_id, asked, now + kGiveWay});
        return;
    }
    if (asked.action == proto::TSI_ACTIVATE && refusal->empty() && waits_for_nva(hypervisor, asked)) {
        waiting_.push_back({hypervisor, request_id, asked, now + kNvaAnswers, true});
        return settle();
    }
    answer(hypervisor, request_id, asked, *refusal);
    settle();
}

void TsiTable::answer(const std::string& hypervisor, uint64_t request_id, const TsiAsked& asked, const std::string& refusal)
{
    Claim* claim = find(hypervisor, asked);
    if (claim && refusal.empty()) {
        claim->told = true;
        claim->expires_at.reset();
        claim->vm = asked.vm;
    }
    actions_.answers.push_back({hypervisor, request_id, refusal.empty(), refusal, claim ? claim->state : proto::TSI_NONE, asked});
}

// One TSI has one MAC, and of one network no two have the same.
std::string TsiTable::check_mac(const std::string& hypervisor, const TsiAsked& asked) const
{
    if (auto tsi = tsis_.find({asked.vni, asked.tsi}); tsi != tsis_.end() && tsi->second.begin()->second.mac != asked.mac) {
        return "it has the MAC " + to_string(tsi->second.begin()->second.mac) +
               (tsi->second.contains(hypervisor) ? ": disassociate it first" : " at " + tsi->second.begin()->first);
    }
    if (auto owner = macs_.find({asked.vni, asked.mac}); owner != macs_.end() && owner->second != asked.tsi) {
        return "its MAC is that of another interface in the same network";
    }
    if (local_.contains({asked.vni, asked.mac})) {
        return "its MAC is that of a VM port of this NVE";
    }
    return "";
}

std::string TsiTable::associate(const std::string& hypervisor, const TsiAsked& asked)
{
    if (std::string wrong = check_mac(hypervisor, asked); !wrong.empty()) {
        return wrong;
    }
    const Key key{asked.vni, asked.tsi};
    Claim* claim = find(hypervisor, asked);
    if (!claim) {
        if (auto tsi = tsis_.find(key); tsi != tsis_.end() && !asked.migration) {
            return "it is at " + tsi->second.begin()->first + ", and no migration was said";
        }
        if (counts_[hypervisor] >= kMaxOfHypervisor) {
            return "this hypervisor has " + std::to_string(kMaxOfHypervisor) + " interfaces, more are not taken";
        }
        counts_[hypervisor]++;
        macs_[{asked.vni, asked.mac}] = asked.tsi;
        claim = &tsis_[key][hypervisor];
        claim->hypervisor = hypervisor;
        claim->vni = asked.vni;
        claim->tsi = asked.tsi;
        claim->vm = asked.vm;
        claim->mac = asked.mac;
    }
    claim->addresses = sorted(asked.addresses);
    if (claim->state == proto::TSI_NONE) {
        set_state(*claim, proto::TSI_ASSOCIATED);
    } else if (!claim->active.empty() && !claim->addresses.empty()) {
        std::erase_if(claim->active, [&](const base::IpAddress& address) { return !std::ranges::binary_search(claim->addresses, address); });
        if (claim->active.empty()) {
            set_state(*claim, proto::TSI_ASSOCIATED);       // none is left that it may use
        }
    }
    return "";
}

std::optional<std::string> TsiTable::activate(const std::string& hypervisor, const TsiAsked& asked)
{
    Claim* claim = find(hypervisor, asked);
    if (!claim) {
        return "it is not associated: associate it first";
    }
    if (std::string wrong = check_mac(hypervisor, asked); !wrong.empty()) {
        return wrong;
    }
    for (const base::IpAddress& address : asked.addresses) {
        if (!claim->addresses.empty() && !std::ranges::binary_search(claim->addresses, address)) {
            return "it was not associated with " + address.to_string();
        }
    }
    const Key key{asked.vni, asked.tsi};
    if (const Claim* other = holder(hypervisor, key)) {
        if (!asked.migration) {
            return "it is active at " + other->hypervisor + ", and no migration was said";
        }
        if (!other->gives_way) {
            return std::nullopt;
        }
    }
    if (asked.migration) {
        std::vector<std::string> others;
        for (const auto& [name, other] : tsis_[key]) {
            if (name != hypervisor) {
                others.push_back(name);
            }
        }
        for (const std::string& name : others) {
            remove(key, name, "moved to " + hypervisor, true);
        }
    }
    if (asked.addresses.empty()) {
        claim->active.clear();
    } else if (claim->state != proto::TSI_ACTIVE) {
        claim->active = sorted(asked.addresses);
    } else if (!claim->active.empty()) {
        claim->active.insert(claim->active.end(), asked.addresses.begin(), asked.addresses.end());
        claim->active = sorted(claim->active);
    }
    if (claim->state != proto::TSI_ACTIVE) {
        set_state(*claim, proto::TSI_ACTIVE);
    }
    return "";
}

std::string TsiTable::deactivate(const std::string& hypervisor, const TsiAsked& asked)
{
    Claim* claim = find(hypervisor, asked);
    if (!claim || claim->state != proto::TSI_ACTIVE) {
        return claim ? "it is not active" : "it is not associated";
    }
    if (std::string wrong = check_mac(hypervisor, asked); !wrong.empty()) {
        return wrong;
    }
    if (!asked.addresses.empty()) {
        Addresses left = claim->in_use();
        if (left.empty()) {
            return "it may use any address: deactivate all of them at once";
        }
        std::erase_if(left, [&](const base::IpAddress& address) { return std::ranges::find(asked.addresses, address) != asked.addresses.end(); });
        claim->active = left;
        if (!left.empty()) {
            return "";
        }
    }
    claim->active.clear();
    set_state(*claim, proto::TSI_ASSOCIATED);
    return "";
}

std::string TsiTable::disassociate(const std::string& hypervisor, const TsiAsked& asked)
{
    if (!find(hypervisor, asked)) {
        return "";
    }
    std::string wrong = check_mac(hypervisor, asked);
    if (wrong.empty()) {
        remove({asked.vni, asked.tsi}, hypervisor, "", false);
    }
    return wrong;
}

bool TsiTable::waits_for_nva(const std::string& hypervisor, const TsiAsked& asked)
{
    return nva_answers_ && !find(hypervisor, asked)->confirmed;
}

void TsiTable::set_nva(bool answers)
{
    nva_answers_ = answers;
    for (auto one = waiting_.begin(); one != waiting_.end() && !answers;) {
        if (one->for_nva) {
            answer(one->hypervisor, one->request_id, one->asked, "");
            one = waiting_.erase(one);
        } else {
            ++one;
        }
    }
}

void TsiTable::nva_says(base::Vni vni, const base::MacAddress& mac, const std::optional<std::string>& refusal)
{
    auto owner = macs_.find({vni, mac});
    if (owner == macs_.end()) {
        return;
    }
    const Key key{vni, owner->second};
    auto& claims = tsis_.at(key);
    auto active = std::ranges::find(claims, proto::TSI_ACTIVE, [](const auto& entry) { return entry.second.state; });
    if (active == claims.end()) {
        return;
    }
    Claim& claim = active->second;
    const std::string hypervisor = claim.hypervisor;
    auto waits = std::ranges::find_if(waiting_, [&](const Waiting& one) {
        return one.for_nva && one.hypervisor == hypervisor && one.asked.vni == vni && one.asked.tsi == key.tsi;
    });
    if (!refusal) {
        claim.confirmed = true;
        if (waits != waiting_.end()) {
            answer(hypervisor, waits->request_id, waits->asked, "");
            waiting_.erase(waits);
        }
    } else if (waits != waiting_.end()) {
        claim.active.clear();
        set_state(claim, proto::TSI_ASSOCIATED, *refusal);
        answer(hypervisor, waits->request_id, waits->asked, *refusal);
        waiting_.erase(waits);
    } else {
        remove(key, hypervisor, *refusal, true);
    }
    settle();
}

void TsiTable::settle()
{
    for (auto one = waiting_.begin(); one != waiting_.end();) {
        if (one->for_nva) {
            ++one;
        } else if (auto refusal = activate(one->hypervisor, one->asked)) {
            if (refusal->empty() && waits_for_nva(one->hypervisor, one->asked)) {
                one->for_nva = true;        // in what is left of its time
                ++one;
                continue;
            }
            answer(one->hypervisor, one->request_id, one->asked, *refusal);
            one = waiting_.erase(one);
        } else {
            ++one;
        }
    }
}

// ---- Claims ----

void TsiTable::set_state(Claim& claim, TsiState state, const std::string& reason)
{
    TsiState before = std::exchange(claim.state, state);
    claim.confirmed = claim.confirmed && state == proto::TSI_ACTIVE;
    actions_.changes.push_back({claim, before, reason, false});
}

void TsiTable::remove(const Key& key, const std::string& hypervisor, const std::string& reason, bool tell)
{
    auto tsi = tsis_.find(key);
    auto node = tsi->second.extract(hypervisor);
    TsiClaim claim = std::move(node.mapped());
    if (tsi->second.empty()) {
        macs_.erase({key.vni, claim.mac});
        tsis_.erase(tsi);
    }
    if (--counts_[hypervisor] == 0) {
        counts_.erase(hypervisor);
    }
    TsiState before = std::exchange(claim.state, proto::TSI_NONE);
    actions_.changes.push_back({std::move(claim), before, reason, tell && up_.contains(hypervisor)});
}

template <class Which>
void TsiTable::remove_if(Which which, const std::string& reason, bool tell)
{
    std::vector<std::pair<Key, std::string>> gone;
    for (const auto& [key, claims] : tsis_) {
        for (const auto& [hypervisor, claim] : claims) {
            if (which(claim)) {
                gone.emplace_back(key, hypervisor);
            }
        }
    }
    for (const auto& [key, hypervisor] : gone) {
        remove(key, hypervisor, reason, tell);
    }
}

// ---- Time ----

void TsiTable::mark_away(Claims& claims, TimePoint now)
{
    for (auto& [hypervisor, claim] : claims) {
        claim.gives_way = claim.away && claim.expires_at && *claim.expires_at - kKeep + kGiveWay <= now;
    }
}

void TsiTable::tick(TimePoint now)
{
    for (auto& [key, claims] : tsis_) {
        mark_away(claims, now);
    }
    auto due = [now](const Claim& claim) { return claim.expires_at && *claim.expires_at <= now; };
    remove_if([&](const Claim& claim) { return due(claim) && claim.away; }, "its hypervisor was away for " + seconds(kKeep), false);
    remove_if([&](const Claim& claim) { return due(claim); }, "its hypervisor came back and did not name it for " + seconds(kKeep), true);
    settle();
    for (auto one = waiting_.begin(); one != waiting_.end();) {
        if (one->until > now) {
            ++one;
            continue;
        }
        if (one->for_nva) {
            answer(one->hypervisor, one->request_id, one->asked, "");
            one = waiting_.erase(one);
            continue;
        }
        const Claim* other = holder(one->hypervisor, {one->asked.vni, one->asked.tsi});
        answer(one->hypervisor, one->request_id, one->asked,
               (other ? other->hypervisor : std::string("its holder")) + " has not given way for " + seconds(kGiveWay));
        one = waiting_.erase(one);
    }
}

std::optional<TsiTable::TimePoint> TsiTable::next_deadline() const
{
    std::optional<TimePoint> next;
    auto add = [&](TimePoint at) { next = next ? std::min(*next, at) : at; };
    for (const auto& [key, claims] : tsis_) {
        for (const auto& [hypervisor, claim] : claims) {
            if (claim.expires_at) {
                add(*claim.expires_at);
            }
            if (claim.away && !claim.gives_way && claim.expires_at && !waiting_.empty()) {
                add(*claim.expires_at - kKeep + kGiveWay);
            }
        }
    }
    for (const Waiting& one : waiting_) {
        add(one.until);
    }
    return next;
}

// ---- What there is ----

std::vector<TsiClaim> TsiTable::claims() const
{
    std::vector<TsiClaim> result;
    for (const auto& [key, claims] : tsis_) {
        for (const auto& [hypervisor, claim] : claims) {
            result.push_back(claim);
        }
    }
    return result;
}

std::vector<TsiClaim> TsiTable::claims(const std::string& hypervisor) const
{
    std::vector<TsiClaim> result;
    for (const auto& [key, claims] : tsis_) {
        if (auto it = claims.find(hypervisor); it != claims.end()) {
            result.push_back(it->second);
        }
    }
    return result;
}

}  // namespace nvo3::agent
