// SPDX-License-Identifier: Apache-2.0
//
// See announcer.h.
#include "hvagent/announcer.h"

#include <algorithm>
#include <utility>

#include "hvagent/vn_pipeline.h"

namespace nvo3::agent {

using namespace std::chrono_literals;
using control::proto::MappingAnnounce;

namespace {

// Whoever has the MAC may be gone without the directory telling, or be away, of which the
// NVA hears no sooner than we do; so the first retries are soon.
constexpr auto kFirstRetry = 2s;
constexpr auto kRefusedRetry = 30s;
constexpr size_t kMaxAddresses = 16;    // of control.proto

std::string octets(base::ByteView bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

MappingAnnounce message_for(base::Vni vni, const base::MacAddress& mac)
{
    MappingAnnounce message;
    message.set_vni(vni.value);
    message.set_mac(octets(mac.octets));
    return message;
}

}  // namespace

void Announcer::set_tsis(const std::vector<Tsi>& tsis)
{
    if (tsis_ != tsis) {
        tsis_ = tsis;
        match();
    }
}

void Announcer::set_directory(std::shared_ptr<const DirectoryView> directory, const std::string& own_name)
{
    directory_ = std::move(directory);
    own_name_ = own_name;
    match();
    for (auto& [key, entry] : entries_) {
        if (entry.state == State::refused && !entry.holder.empty() && holder(key).empty()) {
            entry.state = State::untold;        // the MAC is free now
        }
    }
}

std::string Announcer::holder(const Key& key) const
{
    const VnView* vn = directory_->find(key.vni);
    if (!vn) {
        return {};
    }
    auto it = vn->mappings.find(key.mac);
    return it == vn->mappings.end() || it->second.nve == own_name_ ? "" : it->second.nve;
}

// Interfaces with the networks that the directory has.
void Announcer::match()
{
    std::map<Key, Entry> before = std::exchange(entries_, {});
    unserved_.clear();
    for (const Tsi& tsi : tsis_) {
        const VnView* vn = find_vn(*directory_, tsi.vn);
        if (!vn) {
            unserved_[tsi.port] = directory_->complete ? "the NVA does not let this host serve network " + tsi.vn
                                                       : "the NVA has not told of network " + tsi.vn + " yet";
            continue;
        }
        Key key{vn->vni, tsi.mac};
        Entry entry{tsi.port, tsi.addresses, State::untold, "", "", 0, false, {}};
        if (entry.addresses.size() > kMaxAddresses) {
            entry.addresses.resize(kMaxAddresses);
        }
        if (auto it = entries_.find(key); it != entries_.end()) {
            unserved_[tsi.port] = "port " + it->second.port + " has the same MAC in the same network";
            continue;
        }
        if (auto it = before.find(key); it != before.end()) {
            if (it->second.addresses == entry.addresses) {
                entry = std::move(it->second);
                entry.port = tsi.port;
            }
            before.erase(it);
        }
        to_withdraw_.erase(key);
        entries_.emplace(key, std::move(entry));
    }
    for (const auto& [key, entry] : before) {
        if (entry.state == State::asked || entry.state == State::accepted) {
            to_withdraw_.insert(key);
        }
    }
    // Of a network that is gone the NVA keeps nothing of us.
    std::erase_if(to_withdraw_, [&](const Key& key) { return !directory_->find(key.vni); });
}

void Announcer::session_up()
{
    session_up_ = true;
    ready_ = false;
    asked_.clear();
    to_withdraw_.clear();
    withdrawn_.clear();
    for (auto& [key, entry] : entries_) {
        entry.state = State::untold;
    }
}

void Announcer::session_down()
{
    session_up_ = ready_ = false;
    asked_.clear();
}

void Announcer::ready()
{
    ready_ = true;
}

std::vector<MappingAnnounce> Announcer::take(TimePoint now)
{
    std::vector<MappingAnnounce> messages;
    if (!session_up_) {
        return messages;
    }
    if (ready_) {
        for (const auto& [vni, vn] : directory_->vns) {
            for (const auto& [mac, mapping] : vn->mappings) {
                Key key{vni, mac};
                if (mapping.nve == own_name_ && !entries_.contains(key) && !withdrawn_.contains(key)) {
                    to_withdraw_.insert(key);
                }
            }
        }
    }
    for (const Key& key : std::exchange(to_withdraw_, {})) {
        messages.push_back(message_for(key.vni, key.mac));
        messages.back().set_withdraw(true);
        withdrawn_.insert(key);
    }
    for (auto& [key, entry] : entries_) {
        bool again = entry.state == State::refused && entry.retry_at && *entry.retry_at <= now;
        if (entry.state != State::untold && !again) {
            continue;
        }
        entry.state = State::asked;
        withdrawn_.erase(key);
        messages.push_back(message_for(key.vni, key.mac));
        for (const base::IpAddress& address : entry.addresses) {
            messages.back().add_addresses(octets(address.wire()));
        }
    }
    return messages;
}

void Announcer::sent(const MappingAnnounce& message, uint64_t request_id)
{
    if (!message.withdraw()) {
        asked_[request_id] = {base::Vni(message.vni()),
                              base::MacAddress::from_bytes({reinterpret_cast<const uint8_t*>(message.mac().data()), message.mac().size()})};
    }
}

std::optional<Announcer::Refused> Announcer::on_result(uint64_t in_reply_to, const control::proto::MappingResult& result, TimePoint now)
{
    auto node = asked_.extract(in_reply_to);
    auto it = node ? entries_.find(node.mapped()) : entries_.end();
    // An answer to a former announcement of the same interface tells nothing any more.
    if (it == entries_.end() || it->second.state != State::asked ||
        std::ranges::any_of(asked_, [&](const auto& entry) { return entry.second == it->first; })) {
        return {};
    }
    Entry& entry = it->second;
    entry.retry_at.reset();
    if (result.accepted()) {
        entry.state = State::accepted;
        entry.reason.clear();
        entry.refusals = 0;
        return {};
    }
    bool news = entry.reason != result.reason();
    entry.state = State::refused;
    entry.reason = result.reason();
    entry.holder = holder(it->first);
    std::chrono::milliseconds wait = std::min<std::chrono::seconds>(kFirstRetry * (1 << std::min(entry.refusals++, 5u)), kRefusedRetry);
    entry.for_now = result.retry_after_ms() != 0;
    if (entry.for_now) {
        wait = std::clamp<std::chrono::milliseconds>(std::chrono::milliseconds(result.retry_after_ms()), 1s, kRefusedRetry);
    }
    entry.retry_at = now + wait;
    if (!news) {
        return {};
    }
    return Refused{entry.port, it->first.vni, it->first.mac, entry.reason};
}

std::optional<TimePoint> Announcer::next_deadline() const
{
    std::optional<TimePoint> next;
    for (const auto& [key, entry] : entries_) {
        if (session_up_ && entry.state == State::refused && entry.retry_at && (!next || *entry.retry_at < *next)) {
            next = entry.retry_at;
        }
    }
    return next;
}

std::map<Announcer::Key, Announcer::Answer> Announcer::answers() const
{
    std::map<Key, Answer> result;
    for (const auto& [key, entry] : entries_) {
        if (entry.state == State::accepted || entry.state == State::refused) {
            result[key] = {entry.state == State::accepted ? "" : entry.reason, entry.for_now};
        }
    }
    return result;
}

std::map<std::string, std::string> Announcer::refused() const
{
    std::map<std::string, std::string> result;
    for (const auto& [key, entry] : entries_) {
        if (std::string why = why_closed(key, entry); !why.empty()) {
            result[entry.port] = std::move(why);
        }
    }
    return result;
}

std::string Announcer::why_closed(const Key& key, const Entry& entry) const
{
    // While it is asked again, the former answer holds.
    if (entry.state == State::accepted || !entry.reason.empty()) {
        return entry.state == State::accepted ? "" : entry.reason;
    }
    // Another's MAC: no packet of it before it is given to us.
    const std::string other = holder(key);
    return other.empty() ? "" : "its MAC lives at " + other + ", the NVA has not given it to this host";
}

std::vector<TsiView> Announcer::view() const
{
    std::vector<TsiView> views;
    for (const Tsi& tsi : tsis_) {
        TsiView view{tsi.port, tsi.vn, {}, tsi.mac, tsi.addresses, "waiting", ""};
        if (auto it = unserved_.find(tsi.port); it != unserved_.end()) {
            view.reason = it->second;
        }
        if (const VnView* vn = find_vn(*directory_, tsi.vn)) {
            view.vni = vn->vni;
            auto it = entries_.find({vn->vni, tsi.mac});
            if (it != entries_.end() && it->second.port == tsi.port) {
                const Entry& entry = it->second;
                view.state = entry.state == State::accepted ? "announced" : entry.reason.empty() ? "waiting" : "refused";
                view.reason = why_closed(it->first, entry);
                if (entry.state == State::accepted && !holder(it->first).empty()) {
                    view.state = "elsewhere";
                    view.reason = "its MAC lives at " + holder(it->first) + " now";
                } else if (entry.state == State::untold && view.reason.empty()) {
                    view.reason = "the NVA is away";
                }
            }
        }
        views.push_back(std::move(view));
    }
    return views;
}

}  // namespace nvo3::agent
