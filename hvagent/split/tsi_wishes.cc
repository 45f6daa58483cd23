// SPDX-License-Identifier: Apache-2.0
//
// See tsi_wishes.h.
#include "hvagent/split/tsi_wishes.h"

#include <algorithm>
#include <utility>

#include "control/session.h"

namespace nvo3::agent {

using namespace std::chrono_literals;
using control::Envelope;
namespace proto = control::proto;

namespace {

// After a refusal or removal: twice as long each time.
constexpr auto kFirstRetry = 1s;
constexpr auto kLastRetry = 60s;
// An NVE that lets a TSI move waits some seconds itself; one that has not answered
// after this is asked again.
constexpr auto kAnswerWithin = 20s;
// Of a report: more than an NVE takes of one hypervisor.
constexpr size_t kMaxReported = 8192;

std::string octets(base::ByteView bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

base::ByteView bytes_of(const std::string& octets)
{
    return {reinterpret_cast<const uint8_t*>(octets.data()), octets.size()};
}

// The state that it leads to.
proto::TsiState result_of(proto::TsiAction action)
{
    switch (action) {
    case proto::TSI_ACTIVATE:
        return proto::TSI_ACTIVE;
    case proto::TSI_ASSOCIATE:
    case proto::TSI_DEACTIVATE:
        return proto::TSI_ASSOCIATED;
    default:
        return proto::TSI_NONE;
    }
}

}  // namespace

// ---- What there is ----

void TsiWishes::set_wishes(const std::vector<TsiWish>& wishes, bool known)
{
    known_ = known_ || known;
    std::set<std::string> present;
    for (const TsiWish& wish : wishes) {
        const std::string key = key_of(wish.vn, wish.id);
        present.insert(key);
        auto [it, fresh] = entries_.try_emplace(key);
        Entry& entry = it->second;
        if (fresh) {
            entry.is_news = true;
        }
        if (wish.run == VmRun::incoming) {
            entry.arriving = true;
        } else if (wish.run != VmRun::paused && wish.run != VmRun::running && wish.run != VmRun::preparing) {
            entry.arriving = false;
        }
        const bool same = entry.wanted && entry.wish.run == wish.run && entry.wish.mac == wish.mac && entry.wish.addresses == wish.addresses;
        if (fresh || !same) {
            entry.is_news = true;
            entry.failure = {};         // what was refused was another wish
            if (fresh || entry.wish.mac != wish.mac) {
                entry.granted = false;
            }
        }
        entry.wish = wish;
        entry.wanted = true;
        auto [network, first] = networks_.try_emplace(wish.vn);
        if (!network->second.wanted) {
            network->second.wanted = network->second.is_news = true;
        }
    }
    for (auto& [key, entry] : entries_) {
        if (entry.wanted && !present.contains(key)) {
            entry.wanted = entry.granted = entry.arriving = false;
            entry.is_news = true;
            entry.failure = {};
        }
    }
    forget_gone();
}

bool TsiWishes::is_used(const std::string& vn) const
{
    return std::ranges::any_of(entries_, [&](const auto& entry) { return entry.second.wish.vn == vn; });
}

// Whether a network is wanted in another spelling as well: then it is not left.
bool TsiWishes::has_other_name(const std::string& vn, base::Vni vni) const
{
    return std::ranges::any_of(networks_, [&](const auto& other) {
        return other.first != vn && other.second.wanted && other.second.connected && other.second.connected->vni == vni;
    });
}

// What is not wanted and not at the NVE, as far as is known.
void TsiWishes::forget_gone()
{
    std::erase_if(entries_, [&](const auto& item) {
        const Entry& entry = item.second;
        return !entry.wanted && entry.state == proto::TSI_NONE && !entry.asked_at;
    });
    for (auto& [vn, network] : networks_) {
        if (network.wanted && !is_used(vn)) {
            network.wanted = false;
            network.is_news = true;
        }
    }
    std::erase_if(networks_, [&](const auto& item) {
        const Network& network = item.second;
        return !network.wanted && !network.asked_at && (!network.connected || has_other_name(item.first, network.connected->vni));
    });
}

void TsiWishes::ask_again(const std::string& vm)
{
    for (auto& [key, entry] : entries_) {
        if (entry.wish.vm == vm && entry.wanted) {
            entry.failure = {};
            entry.is_news = true;
            if (auto it = networks_.find(entry.wish.vn); it != networks_.end() && !it->second.unfit && !it->second.failure.reason.empty()) {
                it->second.failure = {};
                it->second.is_news = true;
            }
        }
    }
}

// ---- The session ----

void TsiWishes::session_up(bool same, esp::Cipher cipher)
{
    session_down();
    up_ = true;
    cipher_ = cipher;
    queried_ = reported_ = synced_ = false;
    report_.clear();
    for (auto& [vn, network] : networks_) {
        network.told = false;
        network.failure = {};
        network.is_news = true;
        if (!same || network.unfit) {
            network.connected.reset();
            network.unfit = false;
        }
    }
    for (auto& [key, entry] : entries_) {
        entry.told = false;
        entry.failure = {};
        entry.is_news = true;
    }
}

void TsiWishes::session_down()
{
    up_ = false;
    asked_.clear();
    for (auto& [vn, network] : networks_) {
        network.asked_at.reset();
    }
    for (auto& [key, entry] : entries_) {
        entry.asked_at.reset();
    }
}

void TsiWishes::forget_networks()
{
    for (auto& [vn, network] : networks_) {
        network.connected.reset();
        network.told = network.unfit = false;
        network.is_news = true;
    }
    for (auto& [key, entry] : entries_) {
        entry.state = proto::TSI_NONE;
        entry.granted = entry.told = false;
        entry.is_news = true;
    }
    forget_gone();
}

void TsiWishes::on_report(const proto::TsiReport& report)
{
    if (!up_ || reported_) {
        return;
    }
    for (const auto& tsi : report.tsis()) {
        if (report_.size() >= kMaxReported) {
            break;      // no NVE has more of one hypervisor
        }
        Reported& one = report_[{base::Vni(tsi.vni()), tsi.tsi()}];
        one = {tsi.state(), base::MacAddress::from_bytes(bytes_of(tsi.mac())), {}};
        for (const std::string& address : tsi.addresses()) {
            one.addresses.push_back(base::IpAddress::from_bytes(bytes_of(address)));
        }
        std::ranges::sort(one.addresses);
    }
    if (report.more()) {
        return;
    }
    reported_ = true;
    for (auto& [key, entry] : entries_) {
        entry.state = proto::TSI_NONE;      // until its network tells the VNI
    }
    for (auto& [vn, network] : networks_) {
        network.is_news = true;
    }
}

bool TsiWishes::is_settled() const
{
    for (const auto& [vn, network] : networks_) {
        if (network.asked_at || (network.wanted && !network.told && network.failure.reason.empty())) {
            return false;
        }
    }
    return std::ranges::none_of(entries_, [&](const auto& item) {
        const Entry& entry = item.second;
        return entry.asked_at || (entry.failure.reason.empty() && next(entry));
    });
}

std::optional<Envelope> TsiWishes::take_sync()
{
    Envelope message;
    if (up_ && !std::exchange(queried_, true)) {
        message.mutable_tsi_query();
        return message;
    }
    if (up_ && reported_ && known_ && !synced_ && is_settled()) {
        synced_ = true;
        message.mutable_tsi_sync_done();
        return message;
    }
    return {};
}

// ---- What is to be told ----

TsiWishes::State TsiWishes::wanted_state(const Entry& entry)
{
    if (!entry.wanted) {
        return proto::TSI_NONE;
    }
    switch (entry.wish.run) {
    case VmRun::running:
        return proto::TSI_ACTIVE;
    case VmRun::outgoing:
        // Nothing is reserved anew for what is about to leave.
        return entry.state == proto::TSI_NONE ? proto::TSI_NONE : proto::TSI_ASSOCIATED;
    default:
        return proto::TSI_ASSOCIATED;
    }
}

const TsiWishes::Network* TsiWishes::network_of(const Entry& entry) const
{
    auto it = networks_.find(entry.wish.vn);
    return it == networks_.end() || !it->second.connected || !it->second.told || it->second.unfit ? nullptr : &it->second;
}

std::optional<proto::TsiAction> TsiWishes::next(const Entry& entry) const
{
    if (!up_ || !reported_ || entry.asked_at || !network_of(entry)) {
        return {};
    }
    const State want = wanted_state(entry);
    const bool other_mac = entry.mac != entry.wish.mac;
    const bool other_addresses = entry.addresses != entry.wish.addresses;
    switch (entry.state) {
    case proto::TSI_ASSOCIATED:
        if (want == proto::TSI_NONE || other_mac) {
            return proto::TSI_DISASSOCIATE;
        }
        if (other_addresses) {
            return proto::TSI_ASSOCIATE;
        }
        if (want == proto::TSI_ACTIVE) {
            return proto::TSI_ACTIVATE;
        }
        return entry.told ? std::nullopt : std::optional(proto::TSI_ASSOCIATE);
    case proto::TSI_ACTIVE:
        if (want == proto::TSI_NONE || other_mac) {
            return proto::TSI_DISASSOCIATE;
        }
        if (want == proto::TSI_ASSOCIATED) {
            return proto::TSI_DEACTIVATE;
        }
        if (other_addresses) {
            return proto::TSI_ASSOCIATE;
        }
        return entry.told ? std::nullopt : std::optional(proto::TSI_ACTIVATE);
    default:
        return want == proto::TSI_NONE ? std::nullopt : std::optional(proto::TSI_ASSOCIATE);
    }
}

bool TsiWishes::wants_message(const std::string& vn, const Network& network) const
{
    if (!up_ || !reported_ || network.asked_at) {
        return false;
    }
    if (network.connected && (network.unfit || !network.wanted)) {
        return network.unfit || !is_used(vn);
    }
    return network.wanted && !network.told;
}

std::vector<TsiWishes::News> TsiWishes::news(TimePoint now)
{
    std::vector<News> result;
    auto is_due = [now](auto& one) {
        if (one.asked_at && now - *one.asked_at >= kAnswerWithin) {
            one.asked_at.reset();
            one.is_news = true;
        }
        if (one.failure.retry_at && *one.failure.retry_at <= now) {
            one.failure.retry_at.reset();
            one.is_news = true;
        }
        return one.is_news && !one.failure.retry_at;
    };
    for (auto& [vn, network] : networks_) {
        if ((is_due(network) || (network.is_news && network.unfit)) && wants_message(vn, network)) {
            network.is_news = false;
            result.push_back({"", vn});
        }
    }
    for (auto& [key, entry] : entries_) {
        if (is_due(entry) && next(entry)) {
            entry.is_news = false;
            result.push_back({entry.wish.vm, key});
        }
    }
    return result;
}

std::optional<TimePoint> TsiWishes::next_deadline() const
{
    std::optional<TimePoint> first;
    auto add = [&](const auto& one) {
        auto at = one.asked_at ? std::optional(*one.asked_at + kAnswerWithin) : one.failure.retry_at;
        if (at && (!first || *at < *first)) {
            first = at;
        }
    };
    if (up_) {
        for (const auto& [vn, network] : networks_) {
            add(network);
        }
        for (const auto& [key, entry] : entries_) {
            add(entry);
        }
    }
    return first;
}

Envelope TsiWishes::message_for(const Entry& entry, proto::TsiAction action) const
{
    Envelope message;
    auto& request = *message.mutable_tsi_request();
    request.set_action(action);
    request.set_vni(network_of(entry)->connected->vni.value);
    request.set_tsi(entry.wish.id);
    const base::MacAddress& mac = action == proto::TSI_DISASSOCIATE ? entry.mac : entry.wish.mac;
    request.set_mac(octets(mac.octets));
    if (action == proto::TSI_ASSOCIATE) {
        for (const base::IpAddress& address : entry.wish.addresses) {
            request.add_addresses(octets(address.wire()));
        }
    }
    const bool leaving = action == proto::TSI_DEACTIVATE && entry.wish.run == VmRun::outgoing;
    const bool coming = (action == proto::TSI_ASSOCIATE || action == proto::TSI_ACTIVATE) && entry.arriving;
    request.set_migration(leaving || coming);
    // In ASCII: half a character of UTF-8 would be no message any more.
    request.set_vm(control::quoted(entry.wish.vm_name).substr(0, 64));
    return message;
}

std::optional<Envelope> TsiWishes::take(const std::string& what, TimePoint now)
{
    if (auto it = networks_.find(what); it != networks_.end()) {
        Network& network = it->second;
        if (!wants_message(what, network)) {
            return {};
        }
        Envelope message;
        if (network.connected && (network.unfit || !network.wanted)) {
            message.mutable_vn_disconnect()->set_vni(network.connected->vni.value);
            message.mutable_vn_disconnect()->set_reason(control::quoted(network.unfit ? network.failure.reason : "no interface is in it any more"));
            network.connected.reset();
            network.unfit = network.told = false;
            network.is_news = true;
            forget_gone();
            return message;
        }
        message.mutable_vn_connect()->set_vn(what);
        network.asked_at = now;
        return message;
    }
    auto it = entries_.find(what);
    if (it == entries_.end()) {
        return {};
    }
    auto action = next(it->second);
    if (!action) {
        return {};
    }
    it->second.asked_at = now;
    it->second.asked = {*action, *action == proto::TSI_ASSOCIATE && it->second.state == proto::TSI_ACTIVE ? proto::TSI_ACTIVE : result_of(*action), it->second.wish.mac, it->second.wish.addresses};
    return message_for(it->second, *action);
}

void TsiWishes::sent(const std::string& what, uint64_t request_id)
{
    // What was asked before and not answered in time: a late answer is one to another question.
    std::erase_if(asked_, [&](const auto& before) { return before.second == what; });
    asked_[request_id] = what;
}

// ---- What the NVE says ----

void TsiWishes::fail(Failure& failure, const std::string& reason, TimePoint now) const
{
    failure.reason = reason.empty() ? "the NVE gave no reason" : reason;
    const auto wait = std::min<std::chrono::seconds>(kFirstRetry * (1 << std::min(failure.attempts++, 6u)), kLastRetry);
    failure.retry_at = now + wait;
}

std::optional<TsiWishes::Refused> TsiWishes::on_vn_result(uint64_t in_reply_to, const proto::VnConnectResult& result, TimePoint now)
{
    auto node = asked_.extract(in_reply_to);
    auto it = node ? networks_.find(node.mapped()) : networks_.end();
    if (it == networks_.end() || !it->second.asked_at) {
        return {};
    }
    auto& [vn, network] = *it;
    network.asked_at.reset();
    network.is_news = true;
    std::string reason = result.reason();
    if (result.accepted()) {
        network.connected = {result.name(), base::Vni(result.vni()), static_cast<base::Encap>(result.encap()),
                             static_cast<esp::Cipher>(result.cipher())};
        network.unfit = network.connected->cipher != cipher_;
        if (!network.unfit) {
            network.told = true;
            network.failure = {};
            for (auto& [key, entry] : entries_) {
                if (entry.wish.vn != vn) {
                    continue;
                }
                auto known = report_.find({network.connected->vni, entry.wish.id});
                if (known != report_.end() && !entry.told) {
                    entry.state = known->second.state;
                    entry.mac = known->second.mac;
                    // Which of an associated one's addresses there are is not told.
                    entry.addresses = entry.state == proto::TSI_ACTIVE ? known->second.addresses : entry.wish.addresses;
                }
                entry.is_news = true;
            }
            forget_gone();
            return {};
        }
        reason = "the NVE protects network " + vn + " with " + std::string(esp::to_string(network.connected->cipher)) +
                 ", other_config:nvo3-nve asks for " + esp::to_string(cipher_) + ": make them the same";
    } else {
        network.connected.reset();
    }
    network.told = false;
    for (auto& [key, entry] : entries_) {
        if (entry.wish.vn == vn) {
            entry.granted = false;
            entry.state = proto::TSI_NONE;
        }
    }
    const bool is_new = network.failure.reason != reason;
    fail(network.failure, reason, now);
    forget_gone();
    return is_new ? std::optional(Refused{vn, "", "", reason}) : std::nullopt;
}

std::optional<TsiWishes::Refused> TsiWishes::on_result(uint64_t in_reply_to, const proto::TsiResult& result, TimePoint now)
{
    auto node = asked_.extract(in_reply_to);
    auto it = node ? entries_.find(node.mapped()) : entries_.end();
    if (it == entries_.end() || !it->second.asked_at) {
        return {};
    }
    Entry& entry = it->second;
    entry.asked_at.reset();
    entry.is_news = entry.told = true;
    entry.state = result.state();
    entry.granted = entry.state == proto::TSI_ACTIVE && (result.accepted() || entry.granted);
    std::optional<Refused> refused;
    if (result.accepted() && entry.state == entry.asked.to) {
        entry.failure = {};
        entry.mac = entry.asked.mac;    // the wish may be another by now
        if (entry.asked.action == proto::TSI_ASSOCIATE) {
            entry.addresses = entry.asked.addresses;
        }
        if (entry.state == proto::TSI_ACTIVE) {
            entry.arriving = false;
        }
    } else {
        const std::string reason = result.accepted() ? "the NVE accepted it, but in another state" : result.reason();
        if (entry.failure.reason != reason) {
            refused = Refused{entry.wish.vn, entry.wish.vm_name, entry.wish.id, reason};
        }
        fail(entry.failure, reason, now);
    }
    forget_gone();
    return refused;
}

TsiWishes::Entry* TsiWishes::find(base::Vni vni, const std::string& tsi)
{
    for (auto& [key, entry] : entries_) {
        auto network = networks_.find(entry.wish.vn);
        if (entry.wish.id == tsi && network != networks_.end() && network->second.connected && network->second.connected->vni == vni) {
            return &entry;
        }
    }
    return nullptr;
}

std::optional<TsiWishes::Refused> TsiWishes::on_removed(const proto::TsiRemoved& removed, TimePoint now)
{
    Entry* entry = find(base::Vni(removed.vni()), removed.tsi());
    if (!entry) {
        return {};
    }
    Refused refused{entry->wish.vn, entry->wish.vm_name, entry->wish.id, removed.reason()};
    entry->state = proto::TSI_NONE;
    entry->granted = false;
    entry->is_news = true;
    if (entry->wanted) {
        fail(entry->failure, removed.reason(), now);
    }
    forget_gone();
    return refused;
}

std::optional<TsiWishes::Refused> TsiWishes::on_disconnect(const proto::VnDisconnect& message, TimePoint now)
{
    std::optional<Refused> refused;
    for (auto& [vn, network] : networks_) {
        if (!network.connected || network.connected->vni != base::Vni(message.vni())) {
            continue;
        }
        network.connected.reset();
        network.told = false;
        network.is_news = true;
        fail(network.failure, message.reason(), now);
        refused = Refused{vn, "", "", message.reason()};
        for (auto& [key, entry] : entries_) {
            if (entry.wish.vn == vn) {
                entry.state = proto::TSI_NONE;
                entry.granted = false;
                entry.is_news = true;
            }
        }
    }
    forget_gone();
    return refused;
}

}  // namespace nvo3::agent
