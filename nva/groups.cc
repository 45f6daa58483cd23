// SPDX-License-Identifier: Apache-2.0
//
// See groups.h.
#include "nva/groups.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/log.h"

namespace nvo3::nva {
namespace {

using base::LogLevel;
using control::AuditKind;
using control::Envelope;

constexpr const char* kModule = "groups";
constexpr int kSpiTries = 5;            // the space is 2^31 large
constexpr size_t kSendersPerPart = 256;
constexpr std::chrono::seconds kEnrolGap{1};

void fill_random(void* data, size_t size)
{
    if (RAND_bytes(static_cast<unsigned char*>(data), static_cast<int>(size)) != 1) {
        base::log(LogLevel::error, kModule, "the machine gives no random numbers");
        std::abort();
    }
}

std::string octets(base::ByteView view)
{
    return {reinterpret_cast<const char*>(view.data()), view.size()};
}

// The first of a version; unspecified: none.
base::IpAddress address_of_version(const std::vector<base::IpAddress>& addresses, bool v4)
{
    auto it = std::ranges::find_if(addresses, [&](const base::IpAddress& address) { return address.is_v4() == v4; });
    return it == addresses.end() ? base::IpAddress() : *it;
}

const Group* group_of(const Vn& vn, const base::IpAddress& address)
{
    auto it = vn.groups.find(address);
    return it == vn.groups.end() ? nullptr : &it->second;
}

// Never one that agents have seen, which would refuse it, or take its keys for those of before:
// a group, or its network, that was removed and made anew begins at 0, and a store that was
// restored with what it had.  The clock is past all of them, as no epoch is as short as a second for long.
int64_t next_epoch(uint32_t epoch_now, std::chrono::system_clock::time_point now)
{
    return std::max<int64_t>(int64_t{epoch_now} + 1, std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
}

// Whether members must be told anything anew.
bool same_for_members(const Vn& a, const Vn& b, const base::IpAddress& address)
{
    const Group &x = a.groups.at(address), &y = b.groups.at(address);
    if (x.epoch != y.epoch || x.nonce != y.nonce || x.nonce_unreadable != y.nonce_unreadable || x.senders != y.senders || a.cipher != b.cipher) {
        return false;
    }
    return std::ranges::all_of(x.senders, [&](const auto& entry) {
        auto p = a.members.find(entry.first), q = b.members.find(entry.first);
        return p != a.members.end() && q != b.members.end() && p->second == q->second;
    });
}

void fill_sender(const std::string& name, const base::IpAddress& address, const std::array<uint8_t, control::kSenderIdSize>& id, base::Spi spi,
                 control::proto::GroupSender* sender)
{
    sender->set_name(name);
    sender->set_address(octets(address.wire()));
    sender->set_sender_id(octets(id));
    sender->set_spi(spi.value);
}

}  // namespace

Groups::Groups(base::Secret master, StoreWriter& writer, control::AuditLog& audit, const base::Clock& clock)
    : master_(std::move(master)), writer_(writer), audit_(audit), clock_(clock)
{
}

Groups::~Groups()
{
    *alive_ = false;
}

void Groups::apply(std::shared_ptr<const StoreView> view)
{
    store_ = std::move(view);
    std::erase_if(groups_, [&](const auto& entry) {
        const Vn* vn = store_->find(entry.first.vni);
        return !vn || !group_of(*vn, entry.first.address);
    });
    for (const auto& [vni, vn] : store_->vns) {
        for (const auto& [address, group] : vn->groups) {
            State& state = groups_[{vni, address}];
            update({vni, address}, state, vn);
        }
    }
    poll();
}

void Groups::update(const Key& key, State& state, std::shared_ptr<const Vn> vn)
{
    const Group& group = vn->groups.at(key.address);
    if (state.vn && state.vn->groups.at(key.address).epoch != group.epoch) {
        state.began = clock_.now();
    }
    bool same = state.vn && state.settings == store_->settings && (state.vn == vn || same_for_members(*state.vn, *vn, key.address));
    if (!same) {
        state.version = ++counter_;
        state.secret.reset();
        if (enabled() && group.epoch != 0 && !group.nonce_unreadable) {
            auto secret = control::derive_group_secret(master_.view(), {key.vni, key.address, group.epoch, group.nonce});
            if (secret) {
                state.secret = std::move(*secret);
            } else {
                base::log(LogLevel::error, kModule, "group " + key.address.to_string() + " of " + vn->name + ": " + secret.error().text);
            }
        }
    }
    state.vn = std::move(vn);
    state.settings = store_->settings;
}

void Groups::present(const std::string& nve, bool here)
{
    if (here) {
        present_.insert(nve);
        poll();
    } else {
        present_.erase(nve);
        for (auto& [key, state] : groups_) {
            state.waiting.erase(nve);
        }
    }
}

void Groups::poll()
{
    if (!enabled() || !store_) {
        return;
    }
    for (auto& [key, state] : groups_) {
        if (!busy_.contains(key)) {
            act(key, state);
        }
    }
}

// What the store calls for, if anything.
void Groups::act(const Key& key, State& state)
{
    const Vn& vn = *state.vn;
    const Group& group = vn.groups.at(key.address);
    if (group.epoch == 0 || group.nonce_unreadable) {
        if (!vn.members.empty()) {
            start_epoch(key, state, group.epoch == 0 ? "the group is new" : "its nonce cannot be read");
        }
        return;
    }
    for (const std::string& name : group.told) {
        if (!vn.members.contains(name)) {
            return start_epoch(key, state, "'" + name + "' is no member any more");
        }
    }
    int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall().time_since_epoch()).count();
    if (now - group.started >= static_cast<int64_t>(store_->settings.group_rekey_seconds) * 1000 && !vn.members.empty()) {
        return start_epoch(key, state, "its time is over");
    }
    if (const std::string* nve = due_renewal(state)) {
        return start_epoch(key, state, "'" + *nve + "' has lost its replay windows");
    }
    AddTold change{key.vni, key.address, group.epoch, {}};
    for (const auto& [name, addresses] : vn.members) {
        if (present_.contains(name) && !group.told.contains(name)) {
            change.nves.push_back(name);
        }
    }
    if (!change.nves.empty()) {
        busy_.insert(key);
        writer_.submit(0, std::move(change), [this, key, alive = alive_](const base::Status&) {
            if (*alive) {
                busy_.erase(key);   // the new contents, or poll(), go on
            }
        });
    }
}

// Who waits for a new epoch that may begin now; null: nobody.
const std::string* Groups::due_renewal(State& state) const
{
    const auto now = clock_.now();
    std::erase_if(state.renewed, [&](const auto& entry) { return now - entry.second >= kRenewGapOfNve; });
    if (state.began && now - *state.began < kRenewGap) {
        return nullptr;
    }
    auto it = std::ranges::find_if(state.waiting, [&](const auto& entry) { return entry.second.due <= now; });
    return it == state.waiting.end() ? nullptr : &it->first;
}

// Whatever the reason, it is what all who wait have asked for: it is not begun yet.
void Groups::start_epoch(const Key& key, State& state, const std::string& reason)
{
    const Vn& vn = *state.vn;
    const Group& group = vn.groups.at(key.address);
    StartEpoch change{key.vni, key.address, group.epoch, next_epoch(group.epoch, clock_.wall()), {}, 0, {}};
    fill_random(change.nonce.data(), change.nonce.size());
    change.started = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall().time_since_epoch()).count();
    for (const auto& [name, addresses] : vn.members) {
        change.told.push_back(name);
    }
    busy_.insert(key);
    auto epoch = static_cast<uint32_t>(change.epoch);
    auto waiting = std::make_shared<std::map<std::string, Waiting>>(std::exchange(state.waiting, {}));
    writer_.submit(0, std::move(change), [this, key, alive = alive_, epoch, reason, waiting](const base::Status& status) {
        if (!*alive) {
            return;
        }
        busy_.erase(key);
        if (status) {
            return epoch_started(key, epoch, reason, std::move(*waiting));
        }
        // Another NVA has started one, maybe before it was asked for here; or the store is away.
        if (auto it = groups_.find(key); it != groups_.end()) {
            std::erase_if(*waiting, [&](const auto& entry) { return !present_.contains(entry.first); });
            it->second.waiting.merge(*waiting);
        }
    });
}

void Groups::epoch_started(const Key& key, uint32_t epoch, const std::string& reason, std::map<std::string, Waiting> waiting)
{
    base::log(LogLevel::info, kModule,
              "group " + key.address.to_string() + " of network " + to_string(key.vni) + ": epoch " + std::to_string(epoch) + ", as " + reason);
    control::AuditEvent event{AuditKind::config_changed, "", {}, "new epoch of a group: " + reason};
    event.vni = key.vni;
    event.text = {{"group", key.address.to_string()}};
    event.numbers = {{"epoch", epoch}};
    audit_.write(event);
    control::proto::GroupRenewed answer;
    answer.set_accepted(true);
    answer.set_vni(key.vni.value);
    answer.set_group(octets(key.address.wire()));
    answer.set_epoch(epoch);
    auto it = groups_.find(key);
    for (const auto& [nve, one] : waiting) {
        if (it != groups_.end()) {
            it->second.renewed[nve] = clock_.now();
        }
        one.renewed(answer);
    }
}

std::vector<Envelope> Groups::next(Subscriber& subscriber, const std::string& nve, const Directory& directory,
                                   const Directory::Subscriber& known)
{
    if (!enabled()) {
        return {};
    }
    auto gone = [&](const auto& entry) {
        return !groups_.contains(entry.first) || !directory.networks_of(nve).contains(entry.first.vni);
    };
    std::erase_if(subscriber.told, gone);
    std::erase_if(subscriber.enrolled, gone);
    for (base::Vni vni : directory.networks_of(nve)) {
        if (!directory.is_current(known, vni)) {
            continue;
        }
        for (auto it = groups_.lower_bound({vni, {}}); it != groups_.end() && it->first.vni == vni; ++it) {
            const auto& [key, state] = *it;
            const Group& group = state.vn->groups.at(key.address);
            uint64_t& told = subscriber.told[key];
            if (told == state.version || state.secret.empty() || !group.told.contains(nve) || !state.vn->members.contains(nve)) {
                continue;
            }
            told = state.version;
            std::vector<Envelope> messages;
            auto sender = group.senders.begin();
            do {
                auto& part = *messages.emplace_back().mutable_group_key();
                part.set_vni(vni.value);
                part.set_group(octets(key.address.wire()));
                part.set_epoch(group.epoch);
                part.set_secret(octets(state.secret.view()));
                part.set_cipher(static_cast<uint32_t>(state.vn->cipher));
                part.set_activate_after_ms(static_cast<uint32_t>(state.settings.group_activation_ms));
                part.set_remove_after_ms(static_cast<uint32_t>(state.settings.group_removal_ms));
                for (size_t i = 0; i < kSendersPerPart && sender != group.senders.end(); i++, ++sender) {
                    base::IpAddress address = address_of_version(state.vn->members.at(sender->first), key.address.is_v4());
                    if (!address.is_unspecified()) {
                        fill_sender(sender->first, address, sender->second.sender_id, sender->second.spi, part.add_senders());
                    }
                }
                part.set_more(sender != group.senders.end());
            } while (sender != group.senders.end());
            return messages;
        }
    }
    return {};
}

void Groups::enrol(uint64_t owner, const std::string& nve, Subscriber& subscriber, const control::proto::GroupRegister& request, Granted granted)
{
    Key key{base::Vni(request.vni()),
            base::IpAddress::from_bytes({reinterpret_cast<const uint8_t*>(request.group().data()), request.group().size()})};
    control::proto::GroupGrant grant;
    grant.set_vni(request.vni());
    grant.set_group(request.group());
    grant.set_epoch(request.epoch());
    auto refuse = [&](const std::string& reason) {
        grant.set_reason(reason);
        granted(grant);
    };
    auto it = groups_.find(key);
    if (!enabled()) {
        return refuse("this NVA has no group key (--group-key): groups are off");
    }
    if (it == groups_.end()) {
        return refuse("the network has no group " + key.address.to_string());
    }
    const Vn& vn = *it->second.vn;
    const Group& group = vn.groups.at(key.address);
    if (!vn.members.contains(nve)) {
        return refuse("'" + nve + "' does not serve this network");
    }
    if (group.epoch != request.epoch() || group.epoch == 0) {
        return refuse("the group is in epoch " + std::to_string(group.epoch) + ", not " + std::to_string(request.epoch()));
    }
    base::IpAddress address = address_of_version(vn.members.at(nve), key.address.is_v4());
    if (address.is_unspecified()) {
        return refuse("'" + nve + "' has no underlay address of the group's IP version; see nvo3-nvactl nve-add");
    }
    auto last = subscriber.enrolled.find(key);
    if (last != subscriber.enrolled.end() && last->second.epoch == group.epoch && clock_.now() - last->second.at < kEnrolGap) {
        return refuse("a sender id of this group and epoch was asked for less than a second ago");
    }
    subscriber.enrolled[key] = {group.epoch, clock_.now()};
    grant.mutable_sender()->set_address(octets(address.wire()));
    try_enrol(owner, PutSender{key.vni, key.address, group.epoch, nve, {}, {}}, grant, kSpiTries, std::move(granted));
}

void Groups::try_enrol(uint64_t owner, PutSender change, control::proto::GroupGrant grant, int tries_left, Granted granted)
{
    uint32_t spi = 0;
    fill_random(change.sender_id.data(), change.sender_id.size());
    fill_random(&spi, sizeof spi);
    change.spi = base::Spi(spi | base::Spi::kFirstOfGroups);
    writer_.submit(owner, change,
                   [this, alive = alive_, owner, change, grant, tries_left, granted = std::move(granted)](const base::Status& status) mutable {
                       if (!*alive) {
                           return;
                       }
                       if (!status && status.error().code == EEXIST && tries_left > 1) {
                           return try_enrol(owner, change, grant, tries_left - 1, std::move(granted));
                       }
                       if (!status) {
                           grant.clear_sender();
                           grant.set_reason(status.error().text.substr(0, 256));
                           return granted(grant);
                       }
                       grant.set_accepted(true);
                       grant.mutable_sender()->set_name(change.nve);
                       grant.mutable_sender()->set_sender_id(octets(change.sender_id));
                       grant.mutable_sender()->set_spi(change.spi.value);
                       granted(grant);
                   });
}

void Groups::renew(const std::string& nve, const control::proto::GroupRenew& request, Renewed renewed)
{
    Key key{base::Vni(request.vni()),
            base::IpAddress::from_bytes({reinterpret_cast<const uint8_t*>(request.group().data()), request.group().size()})};
    auto it = groups_.find(key);
    if (!enabled() || it == groups_.end() || !it->second.vn->members.contains(nve)) {
        control::proto::GroupRenewed answer;
        answer.set_vni(request.vni());
        answer.set_group(request.group());
        answer.set_reason(!enabled()             ? "this NVA has no group key (--group-key): groups are off"
                          : it == groups_.end()  ? "the network has no group " + key.address.to_string()
                                                 : "'" + nve + "' does not serve this network");
        return renewed(answer);
    }
    State& state = it->second;
    const auto now = clock_.now();
    TimePoint due = now;
    if (auto last = state.renewed.find(nve); last != state.renewed.end() && now - last->second < kRenewGapOfNve) {
        due = last->second + kRenewGapOfNve;
        state.postponed++;
        control::AuditEvent event{AuditKind::refused, nve, {}, "asks for new epochs of a group too often: the next one begins later"};
        event.vni = key.vni;
        event.text = {{"group", key.address.to_string()}, {"message", "GroupRenew"}};
        audit_.write(event);
    }
    state.waiting[nve] = {due, std::move(renewed)};    // the later request counts
    if (!busy_.contains(key)) {
        act(key, state);
    }
}

std::vector<GroupView> Groups::view() const
{
    std::vector<GroupView> list;
    int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall().time_since_epoch()).count();
    for (const auto& [key, state] : groups_) {
        const Group& group = state.vn->groups.at(key.address);
        list.push_back({key.vni, state.vn->name, key.address, group.epoch, group.epoch == 0 ? 0 : std::max<int64_t>(0, (now - group.started) / 1000),
                        state.vn->members.size(), group.told.size(), group.senders.size(), state.waiting.size(), state.postponed});
    }
    return list;
}

}  // namespace nvo3::nva
