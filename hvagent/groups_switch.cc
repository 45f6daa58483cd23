// SPDX-License-Identifier: Apache-2.0
//
// See groups.h: what the switch has, what is installed, and what it tells.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "hvagent/groups.h"
#include "hvagent/groups_rules.h"

namespace nvo3::agent {

using esp::SaConfig;

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

}  // namespace nvo3::agent
