// SPDX-License-Identifier: Apache-2.0
//
// See groups.h: networks, removal, time.  The switch is in groups_switch.cc, what the NVA
// tells in groups_exchange.cc.
#include "hvagent/groups.h"

#include <algorithm>
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
