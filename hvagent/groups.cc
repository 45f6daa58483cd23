// SPDX-License-Identifier: Apache-2.0
//
// See groups.h: networks, the switch, time.  What the NVA tells is in groups_exchange.cc.
#include "hvagent/groups.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "hvagent/groups_rules.h"

namespace nvo3::agent {

using esp::SaConfig;

std::string to_string(const GroupId& id)
{
    return "group " + id.address.to_string() + " of VNI " + to_string(id.vni);
}

std::vector<Groups::Action> Groups::take()
{
    return std::exchange(actions_, {});
}

Groups::Group* Groups::find(const GroupId& id)
{
    auto it = groups_.find(id);
    return it == groups_.end() ? nullptr : &it->second;
}

void Groups::note(const GroupId& id, std::string text)
{
    actions_.push_back(Note{id, std::move(text)});
}

void Groups::refuse(const GroupId& id, std::string reason)
{
    actions_.push_back(Refused{id, std::move(reason)});
}

// ---- Networks ----

namespace {

struct WantedGroup {
    base::Encap encap;
    std::vector<base::IpAddress> locals;
};

std::map<GroupId, WantedGroup> wanted_groups(const DirectoryView& directory, const std::string& own_name)
{
    std::map<GroupId, WantedGroup> wanted;
    for (const auto& [vni, vn] : directory.vns) {
        auto own = vn->members.find(own_name);
        if (own == vn->members.end()) {
            continue;
        }
        for (const base::IpAddress& group : vn->groups) {
            WantedGroup one{vn->encap, {}};
            std::ranges::copy_if(own->second, std::back_inserter(one.locals),
                                 [&](const base::IpAddress& address) { return address.is_v4() == group.is_v4(); });
            if (group.is_multicast() && !one.locals.empty()) {
                wanted.emplace(GroupId{vni, group}, std::move(one));
            }
        }
    }
    return wanted;
}

}  // namespace

void Groups::configure(const DirectoryView& directory, const std::string& own_name, TimePoint now, bool complete)
{
    if (own_name != own_name_) {
        // Keys and sender ids belong to the name.
        for (auto& [id, group] : groups_) {
            remove_all(id, group, "this host has another name now");
        }
        groups_.clear();
        if (!own_name_.empty()) {
            found_epochs_.clear();
        }
        own_name_ = own_name;
    }
    auto wanted = wanted_groups(directory, own_name);
    for (auto it = groups_.begin(); it != groups_.end();) {
        if (wanted.contains(it->first)) {
            ++it;
            continue;
        }
        remove_all(it->first, it->second, "this host does not serve it any more");
        found_epochs_.erase(it->first);     // what was installed since is not remembered
        it = groups_.erase(it);
    }
    for (auto& [id, one] : wanted) {
        auto [at, is_new] = groups_.try_emplace(id);
        Group& group = at->second;
        if (auto found = found_epochs_.find(id); is_new && found != found_epochs_.end()) {
            group.fresh_from = found->second + 1;
        }
        bool rebuilds = group.epoch != 0 && group.encap != one.encap;
        if (rebuilds) {
            remove_all(id, group, "the network's encapsulation has changed");
        }
        group.encap = one.encap;
        group.locals = std::move(one.locals);
        if (rebuilds) {
            rebuild(group);
        }
        for (std::optional<Outbound>* sending : {&group.granted, &group.installing, &group.outbound}) {
            if (*sending && std::ranges::find(group.locals, (*sending)->sender.address) == group.locals.end()) {
                remove_sending(id, group, "this host has another address now");
                break;
            }
        }
    }
    // Who has left a network is not listened to any more, new epoch or not.
    std::map<base::Vni, std::set<std::string>> before = std::exchange(members_, {});
    for (const auto& [vni, vn] : directory.vns) {
        for (const auto& [name, addresses] : vn->members) {
            members_[vni].insert(name);
        }
    }
    for (auto& [id, group] : groups_) {
        std::erase_if(group.receivers, [&](const auto& entry) {
            const Receiver& receiver = entry.second;
            bool gone = before[id.vni].contains(receiver.sender.name) && !members_[id.vni].contains(receiver.sender.name);
            if (gone) {
                remove(id, group, SaDirection::inbound, receiver.sender, "the sender has left the network");
            }
            return gone;
        });
        renew_if_needed(id, group, now);
        register_if_needed(id, group, now);
    }
    drop_found_of_unknown_groups(complete);
    follow_membership();
}

// The same senders with other keys, but those of before if the network has had this
// encapsulation in the same epoch once: they wait for the next one.
void Groups::rebuild(Group& group)
{
    std::erase_if(group.receivers, [&](const auto& entry) { return entry.second.epoch != group.epoch; });
    for (auto& [spi, receiver] : group.receivers) {
        receiver.installed = false;
        receiver.remove_at.reset();
        receiver.retry_at.reset();
    }
}

void Groups::follow_membership()
{
    std::map<base::IpAddress, base::IpAddress> wanted;
    for (const auto& [id, group] : groups_) {
        wanted.try_emplace(id.address, group.locals[0]);
    }
    std::erase_if(joined_, [&](const auto& entry) {
        auto it = wanted.find(entry.first);
        bool goes = it == wanted.end() || it->second != entry.second;
        if (goes) {
            actions_.push_back(Leave{entry.first});
        }
        return goes;
    });
    for (const auto& [group, local] : wanted) {
        if (joined_.emplace(group, local).second) {
            actions_.push_back(Join{group, local});
        }
    }
}

// ---- The switch ----

void Groups::switch_up(const std::vector<esp::msg::SaRecord>& live, uint64_t instance, TimePoint now)
{
    switch_up_ = true;
    const bool restarted = std::exchange(switch_instance_, instance) != instance;
    found_.clear();
    found_epochs_.clear();
    for (const esp::msg::SaRecord& sa : live) {
        if (!sa.group.is_unspecified()) {
            found_.push_back({sa, {}});
        }
        if (!sa.group.is_unspecified() && sa.direction == SaDirection::inbound) {
            // Whoever installed it kept the rule: no later epoch was there before this start.
            uint32_t& epoch = found_epochs_[{sa.vni, sa.group}];
            epoch = std::max(epoch, sa.generation);
        }
    }
    for (auto& [id, group] : groups_) {
        if (restarted) {
            auto found = found_epochs_.find(id);
            group.fresh_from = found == found_epochs_.end() ? 0 : found->second + 1;
            group.renewed = 0;
        }
        for (auto it = group.receivers.begin(); it != group.receivers.end();) {
            Receiver& receiver = it->second;
            receiver.installed = claim_found(id, group, receiver);
            if (!receiver.installed && receiver.epoch != group.epoch) {
                it = group.receivers.erase(it);     // its secret is gone
                continue;
            }
            if (!receiver.installed) {
                install_receiver(id, group, receiver, now);
            }
            ++it;
        }
        // A sender id that a switch was given is not given again: which of its numbers
        // were used is not known.
        auto has = [&](const std::optional<Outbound>& sending) {
            return sending && std::erase_if(found_, [&](const Found& found) {
                       return found.sa.direction == SaDirection::outbound && found.sa.spi == sending->sender.spi && found.sa.group == id.address;
                   }) > 0;
        };
        if (has(group.installing)) {
            group.outbound = group.installing;
        } else if (!has(group.outbound)) {
            group.outbound.reset();
        }
        group.installing.reset();
        group.outbound_ends = false;
        limit_found(id, group, now);
        renew_if_needed(id, group, now);
        register_if_needed(id, group, now);
    }
}

// What none of the senders that were told has claimed.
void Groups::limit_found(const GroupId& id, const Group& group, TimePoint now)
{
    for (Found& found : found_) {
        if (group.epoch != 0 && found.sa.direction == SaDirection::inbound && found.sa.vni == id.vni && found.sa.group == id.address &&
            !found.remove_at) {
            found.remove_at = now + group.remove_after;
        }
    }
}

void Groups::switch_down()
{
    switch_up_ = false;
    tokens_.clear();
    found_.clear();
    for (auto& [id, group] : groups_) {
        group.token = 0;
        forget_register(group);
        forget_renew(group);
        for (auto& [spi, receiver] : group.receivers) {
            receiver.installed = false;
            receiver.token = 0;
            receiver.retry_at.reset();
        }
    }
}

// Whether the switch has the very SA, of before this agent's start.
bool Groups::claim_found(const GroupId& id, Group& group, const Receiver& receiver)
{
    bool has = std::erase_if(found_, [&](const Found& found) {
               const auto& sa = found.sa;
               return sa.direction == SaDirection::inbound && sa.spi == receiver.sender.spi && sa.remote == receiver.sender.address &&
                      sa.group == id.address && sa.vni == id.vni && sa.encap == group.encap && sa.cipher == group.cipher &&
                      sa.generation == receiver.epoch;
           }) > 0;
    if (has && receiver.epoch == group.epoch) {
        group.taken.insert(receiver.sender.id);
    }
    return has;
}

// Its replay window would be empty: only where nothing can have been taken from the
// sender under this key.
bool Groups::may_install(const Group& group, const Receiver& receiver) const
{
    return group.fresh_from != 0 && receiver.epoch >= group.fresh_from && !group.taken.contains(receiver.sender.id);
}

void Groups::drop_found_of_unknown_groups(bool complete)
{
    if (!complete) {
        return;
    }
    std::erase_if(found_, [&](const Found& found) {
        bool goes = !groups_.contains({found.sa.vni, found.sa.group});
        if (goes) {
            remove_found(found, "this host does not serve its group");
        }
        return goes;
    });
}

base::Result<SaConfig> Groups::make_sa(const GroupId& id, const Group& group, const Sender& sender, SaDirection direction) const
{
    control::GroupSenderContext context{id.vni,    id.address, group.epoch,  sender.name, sender.address,
                                        sender.id, sender.spi, group.encap, static_cast<uint8_t>(group.cipher)};
    auto key = control::derive_sender_key(group.secret.view(), context, esp::key_material_size(group.cipher));
    if (!key) {
        return key.error();
    }
    bool inbound = direction == SaDirection::inbound;
    SaConfig sa;
    sa.direction = direction;
    sa.spi = sender.spi;
    sa.remote = inbound ? sender.address : id.address;
    sa.local = inbound ? base::IpAddress{} : sender.address;
    sa.group = id.address;
    sa.encap = group.encap;
    sa.vni = id.vni;
    sa.cipher = group.cipher;
    sa.esn = false;
    sa.limits.hard_packets = kHardPackets;
    sa.limits.hard_seconds = kHardSeconds;
    sa.limits.soft_packets = inbound ? 0 : kSoftPackets;
    sa.generation = group.epoch;
    sa.key = std::move(*key);
    return sa;
}

void Groups::install_receiver(const GroupId& id, Group& group, Receiver& receiver, TimePoint now)
{
    receiver.retry_at.reset();
    if (!switch_up_ || !may_install(group, receiver)) {
        return;
    }
    auto sa = make_sa(id, group, receiver.sender, SaDirection::inbound);
    if (!sa) {
        group.error = "no key for sender " + receiver.sender.name + ": " + sa.error().text;
        receiver.retry_at = now + retry_delay(receiver.failures++);
        return;
    }
    receiver.token = next_token_++;
    tokens_[receiver.token] = {id, receiver.sender.spi};
    group.taken.insert(receiver.sender.id);
    actions_.push_back(Install{receiver.token, std::move(*sa), receiver.sender.name});
}

void Groups::activate(const GroupId& id, Group& group, TimePoint now)
{
    auto sa = make_sa(id, group, group.granted->sender, SaDirection::outbound);
    if (!sa) {
        group.error = "no key to send with: " + sa.error().text;
        group.granted.reset();
        group.register_at = now + kRefusedRetry;
        return;
    }
    group.installing = std::exchange(group.granted, std::nullopt);
    group.token = next_token_++;
    tokens_[group.token] = {id, group.installing->sender.spi};
    actions_.push_back(Install{group.token, std::move(*sa), group.installing->sender.name});
}

void Groups::installed(uint64_t token, int error, const std::string& text, TimePoint now)
{
    auto node = tokens_.extract(token);
    Group* group = node ? find(node.mapped().first) : nullptr;
    if (!group) {
        return;     // gone meanwhile, and its SA with it
    }
    const GroupId& id = node.mapped().first;
    if (group->token == token) {
        return sender_installed(id, *group, error, text, now);
    }
    auto it = group->receivers.find(node.mapped().second);
    if (it != group->receivers.end() && it->second.token == token) {
        receiver_installed(id, it->second, error, text, now);
    }
}

void Groups::sender_installed(const GroupId& id, Group& group, int error, const std::string& text, TimePoint now)
{
    group.token = 0;
    auto done = std::exchange(group.installing, std::nullopt);
    if (error != 0) {
        // Not again with the same sender id, whatever the switch has made of it.
        group.error = "the switch did not install the SA to send with: " + text;
        note(id, group.error);
        group.register_at = now + kInstallRetry;
        return;
    }
    // It has replaced the former one, and any of before this agent's start.
    group.outbound = std::move(done);
    group.outbound_ends = false;
    group.unnamed_since.reset();
    group.error.clear();
    std::erase_if(found_, [&](const Found& found) {
        return found.sa.direction == SaDirection::outbound && found.sa.group == id.address && found.sa.vni == id.vni;
    });
    register_if_needed(id, group, now);
}

void Groups::receiver_installed(const GroupId& id, Receiver& receiver, int error, const std::string& text, TimePoint now)
{
    receiver.token = 0;
    if (error == 0) {
        receiver.installed = true;
        receiver.failures = 0;
        return;
    }
    Group& group = groups_.at(id);
    group.taken.erase(receiver.sender.id);
    if (receiver.epoch != group.epoch) {
        group.receivers.erase(receiver.sender.spi);
        return;
    }
    if (error == EEXIST) {
        // Left of before; numbers of this range are of one sender alone.
        remove(id, group, SaDirection::inbound, receiver.sender, "another takes its number");
    }
    group.error = "the switch did not install the SA of sender " + receiver.sender.name + ": " + text;
    note(id, group.error);
    receiver.retry_at = now + retry_delay(receiver.failures++);
}

void Groups::expiring(const esp::msg::SaExpiring& event, TimePoint now)
{
    const GroupId id{event.vni, event.group};
    Group* group = find(id);
    if (!group) {
        return;
    }
    const bool hard = event.reason >= esp::ExpiryReason::hard_packets;
    if (event.direction == SaDirection::outbound) {
        if (!group->outbound || group->outbound->sender.spi != event.spi) {
            return;
        }
        group->outbound_ends = true;
        if (hard) {
            group->outbound.reset();
        }
        return register_if_needed(id, *group, now);
    }
    auto it = group->receivers.find(event.spi);
    if (it != group->receivers.end() && hard) {
        it->second.installed = false;
        renew_if_needed(id, *group, now);
    }
}

// ---- Removal ----

void Groups::remove(const GroupId& id, const Group& group, SaDirection direction, const Sender& sender, const std::string& reason)
{
    if (switch_up_) {
        const base::IpAddress& remote = direction == SaDirection::inbound ? sender.address : id.address;
        actions_.push_back(Remove{direction, sender.spi, remote, group.encap, id.vni, sender.name, reason});
    }
}

void Groups::remove_found(const Found& found, const std::string& reason)
{
    const auto& sa = found.sa;
    actions_.push_back(Remove{sa.direction, sa.spi, sa.remote, sa.encap, sa.vni, "", reason});
}

void Groups::remove_sending(const GroupId& id, Group& group, const std::string& reason)
{
    for (std::optional<Outbound>* sending : {&group.installing, &group.outbound}) {
        if (*sending) {
            remove(id, group, SaDirection::outbound, (*sending)->sender, reason);
            sending->reset();
        }
    }
    tokens_.erase(std::exchange(group.token, 0));
    group.granted.reset();
    forget_register(group);
}

void Groups::remove_all(const GroupId& id, Group& group, const std::string& reason)
{
    remove_sending(id, group, reason);
    for (auto& [spi, receiver] : group.receivers) {
        remove(id, group, SaDirection::inbound, receiver.sender, reason);
        tokens_.erase(std::exchange(receiver.token, 0));
    }
}

// ---- Time ----

void Groups::tick(TimePoint now)
{
    for (auto& [id, group] : groups_) {
        tick_group(id, group, now);
    }
    std::erase_if(found_, [&](const Found& found) {
        bool goes = found.remove_at && *found.remove_at <= now;
        if (goes) {
            remove_found(found, "no sender of the group has it");
        }
        return goes;
    });
}

void Groups::tick_group(const GroupId& id, Group& group, TimePoint now)
{
    for (auto it = group.receivers.begin(); it != group.receivers.end();) {
        Receiver& receiver = it->second;
        if (receiver.remove_at && *receiver.remove_at <= now) {
            remove(id, group, SaDirection::inbound, receiver.sender, "a newer one has taken its place");
            it = group.receivers.erase(it);
            continue;
        }
        if (receiver.retry_at && *receiver.retry_at <= now) {
            install_receiver(id, group, receiver, now);
        }
        ++it;
    }
    if (group.outbound && group.outbound->remove_at && *group.outbound->remove_at <= now) {
        remove(id, group, SaDirection::outbound, group.outbound->sender, "no receiver has its epoch any more");
        group.outbound.reset();
    }
    if (group.granted && group.activate_at <= now && switch_up_) {
        activate(id, group, now);
    }
    if (group.registering && group.register_at && *group.register_at <= now) {
        group.error = "the NVA does not answer the request for a sender id";
        forget_register(group);
    }
    if (!group.registering && group.register_at && *group.register_at <= now) {
        group.register_at.reset();
    }
    if (group.renew_at && *group.renew_at <= now) {
        forget_renew(group);
    }
    renew_if_needed(id, group, now);
    register_if_needed(id, group, now);
}

std::optional<TimePoint> Groups::next_deadline() const
{
    std::optional<TimePoint> next;
    auto add = [&](const std::optional<TimePoint>& at) {
        if (at && (!next || *at < *next)) {
            next = at;
        }
    };
    for (const auto& [id, group] : groups_) {
        for (const auto& [spi, receiver] : group.receivers) {
            add(receiver.remove_at);
            add(receiver.retry_at);
        }
        if (group.outbound) {
            add(group.outbound->remove_at);
        }
        if (switch_up_ && group.granted) {
            add(group.activate_at);
        }
        if (session_up_ && switch_up_) {
            add(group.register_at);
            add(group.renew_at);
            if (group.unnamed_since && group.outbound && !group.registering && !group.granted && !group.register_at) {
                add(*group.unnamed_since + kUnnamedLimit);
            }
        }
    }
    for (const Found& found : found_) {
        add(found.remove_at);
    }
    return next;
}

// ---- For people ----

std::optional<base::IpAddress> Groups::sending_from(const GroupId& id) const
{
    auto it = groups_.find(id);
    if (it == groups_.end() || !switch_up_ || !it->second.outbound) {
        return {};
    }
    return it->second.outbound->sender.address;
}

std::vector<GroupView> Groups::view() const
{
    std::vector<GroupView> views;
    for (const auto& [id, group] : groups_) {
        GroupView view{id, group.epoch, group.cipher, {}, 0, {}, "waiting", group.error};
        for (const auto& [spi, receiver] : group.receivers) {
            if (receiver.epoch == group.epoch && !receiver.remove_at && receiver.installed) {
                view.senders.push_back(receiver.sender.name);
            } else {
                view.former += receiver.installed;
            }
        }
        std::ranges::sort(view.senders);
        if (group.outbound && switch_up_) {
            view.spi = group.outbound->sender.spi;
            view.state = "sending";
        } else if (group.granted || group.installing) {
            view.state = "activating";
        }
        if (view.error.empty() && view.state[0] == 'w') {
            view.error = group.epoch == 0 ? "no key from the NVA yet" : !switch_up_ ? "the switch is away" : !session_up_ ? "the NVA is away" : "";
        }
        if (view.error.empty() && switch_up_ && needs_renewal(group)) {
            view.error = "replay windows of this epoch are lost: waiting for the next one";
        }
        views.push_back(std::move(view));
    }
    return views;
}

}  // namespace nvo3::agent
