// SPDX-License-Identifier: Apache-2.0
//
// See groups.h: what the NVA tells, and what it is asked.
#include <algorithm>
#include <utility>

#include "hvagent/groups.h"
#include "hvagent/groups_rules.h"

namespace nvo3::agent {

namespace proto = control::proto;

namespace {

base::ByteView octets(const std::string& bytes)
{
    return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

GroupId group_of(uint32_t vni, const std::string& address)
{
    return {base::Vni(vni), base::IpAddress::from_bytes(octets(address))};
}

}  // namespace

void Groups::session_up(TimePoint now)
{
    session_up_ = true;
    for (auto& [id, group] : groups_) {
        group.told.reset();
        forget_register(group);
        forget_renew(group);
        renew_if_needed(id, group, now);
        register_if_needed(id, group, now);
    }
}

void Groups::session_down()
{
    session_up_ = false;
    for (auto& [id, group] : groups_) {
        group.told.reset();
        forget_register(group);
        forget_renew(group);
    }
}

// ---- Keys ----

base::Result<Groups::Sender> Groups::read_sender(const proto::GroupSender& told, const GroupId& id) const
{
    Sender sender;
    sender.name = told.name();
    sender.address = base::IpAddress::from_bytes(octets(told.address()));
    sender.spi = base::Spi(told.spi());
    if (sender.name.empty() || told.sender_id().size() != sender.id.size() || !sender.spi.of_group() ||
        sender.address.is_unspecified() || sender.address.is_multicast() || sender.address.is_v4() != id.address.is_v4()) {
        return base::Error{EPROTO, "the NVA told of a sender with a name, address, id or SPI that cannot be"};
    }
    std::ranges::copy(octets(told.sender_id()), sender.id.begin());
    return sender;
}

void Groups::on_key(const proto::GroupKey& key, TimePoint now)
{
    const GroupId id = group_of(key.vni(), key.group());
    Group* group = find(id);
    if (!group) {
        return note(id, "the NVA told a key of a group that this host does not serve");
    }
    if (key.epoch() == 0 || key.epoch() < group->epoch) {
        return note(id, "the NVA told a key of epoch " + std::to_string(key.epoch()) + ", but this host has epoch " + std::to_string(group->epoch));
    }
    if (key.secret().size() != control::kGroupSecretSize || key.cipher() > 255 || !esp::is_cipher(static_cast<uint8_t>(key.cipher()))) {
        return refuse(id, "the NVA told a key of a wrong size, or for a cipher that this host does not know");
    }
    if (key.epoch() == group->epoch && (!base::equal_constant_time(octets(key.secret()), group->secret.view()) ||
                                        static_cast<esp::Cipher>(key.cipher()) != group->cipher)) {
        // Senders' numbers would begin again under a key that is not told apart.
        return refuse(id, "the NVA told another key of the same epoch " + std::to_string(key.epoch()) +
                              ": have all NVAs the same master key?");
    }
    if (!group->told || group->told->epoch != key.epoch()) {
        group->told = Told{key.epoch(), {}};
    }
    for (const proto::GroupSender& told : key.senders()) {
        if (auto sender = read_sender(told, id); !sender) {
            refuse(id, sender.error().text);
        } else if (group->told->senders.size() < kMaxSenders) {
            group->told->senders.push_back(std::move(*sender));
        }
    }
    if (key.more()) {
        return;
    }
    const Told told = *std::exchange(group->told, std::nullopt);
    if (key.epoch() != group->epoch) {
        begin_epoch(id, *group, key, now);
    }
    group->activate_after = std::min(std::chrono::milliseconds(key.activate_after_ms()), kMaxDelay);
    group->remove_after = std::min(std::chrono::milliseconds(key.remove_after_ms()), kMaxDelay);
    set_senders(id, *group, told.senders, now);
    renew_if_needed(id, *group, now);
    register_if_needed(id, *group, now);
}

void Groups::begin_epoch(const GroupId& id, Group& group, const proto::GroupKey& key, TimePoint now)
{
    note(id, "epoch " + std::to_string(key.epoch()) + " begins");
    const TimePoint former_end = now + std::min(std::chrono::milliseconds(key.remove_after_ms()), kMaxDelay);
    std::erase_if(group.receivers, [](const auto& entry) { return !entry.second.installed && entry.second.token == 0; });
    for (auto& [spi, receiver] : group.receivers) {
        receiver.retry_at.reset();
        receiver.remove_at = receiver.remove_at ? std::min(*receiver.remove_at, former_end) : former_end;
    }
    if (group.outbound) {
        group.outbound->remove_at = former_end;
    }
    if (group.installing) {
        group.installing->remove_at = former_end;
    }
    group.granted.reset();
    forget_register(group);
    group.unnamed_since.reset();
    group.used.clear();
    group.taken.clear();
    group.epoch = key.epoch();
    group.secret = base::Secret(octets(key.secret()));
    group.cipher = static_cast<esp::Cipher>(key.cipher());
    group.error.clear();
}

// All senders of the present epoch.
void Groups::set_senders(const GroupId& id, Group& group, const std::vector<Sender>& senders, TimePoint now)
{
    std::set<std::string> names;
    std::map<base::Spi, const Sender*> by_spi;
    bool named = false;
    for (const Sender& sender : senders) {
        named |= sender.name == own_name_ && group.outbound && group.outbound->sender == sender;
        if (sender.name == own_name_ || std::ranges::find(group.locals, sender.address) != group.locals.end()) {
            continue;       // what we send does not come back
        }
        names.insert(sender.name);
        if (!by_spi.emplace(sender.spi, &sender).second) {
            refuse(id, "the NVA told the SPI " + to_string(sender.spi) + " of two senders, " + sender.name + " is one");
        }
    }
    for (auto it = group.receivers.begin(); it != group.receivers.end();) {
        Receiver& receiver = it->second;
        auto named_now = by_spi.find(it->first);
        if (receiver.epoch != group.epoch) {
            ++it;
        } else if (named_now != by_spi.end() && *named_now->second == receiver.sender) {
            receiver.remove_at.reset();
            ++it;
        } else if (named_now == by_spi.end() && names.contains(receiver.sender.name)) {
            // The sender has a newer one, which it does not use yet.
            receiver.remove_at = receiver.remove_at.value_or(now + group.remove_after);
            ++it;
        } else {
            remove(id, group, SaDirection::inbound, receiver.sender, "it is no longer a sender of the group");
            tokens_.erase(receiver.token);
            it = group.receivers.erase(it);
        }
    }
    for (const auto& [spi, sender] : by_spi) {
        add_receiver(id, group, *sender, now);
    }
    limit_found(id, group, now);
    if (named || !group.outbound || group.outbound->epoch != group.epoch) {
        group.unnamed_since.reset();
    } else if (!group.unnamed_since) {
        group.unnamed_since = now;
    }
}

void Groups::add_receiver(const GroupId& id, Group& group, const Sender& sender, TimePoint now)
{
    auto [it, is_new] = group.receivers.try_emplace(sender.spi);
    Receiver& receiver = it->second;
    if (!is_new && receiver.sender == sender && receiver.epoch == group.epoch) {
        return;
    }
    if (!is_new) {
        remove(id, group, SaDirection::inbound, receiver.sender, "another takes its number");
        tokens_.erase(receiver.token);
        receiver = {};
    }
    receiver.sender = sender;
    receiver.epoch = group.epoch;
    receiver.installed = claim_found(id, group, receiver);
    if (!receiver.installed) {
        install_receiver(id, group, receiver, now);
    }
}

// ---- Sending ----

bool Groups::needs_grant(const Group& group, TimePoint now) const
{
    if (group.epoch == 0 || group.granted || group.installing) {
        return false;
    }
    return !group.outbound || group.outbound->epoch != group.epoch || group.outbound_ends ||
           (group.unnamed_since && now - *group.unnamed_since >= kUnnamedLimit);
}

void Groups::register_if_needed(const GroupId& id, Group& group, TimePoint now)
{
    if (!session_up_ || !switch_up_ || group.registering || !needs_grant(group, now) || (group.register_at && *group.register_at > now)) {
        return;
    }
    group.registering = true;
    group.request_id = 0;
    group.register_at = now + kGrantTimeout;
    actions_.push_back(Register{id, group.epoch});
}

// Of a request that waits for no answer any more; the next one is due at once.
void Groups::forget_register(Group& group)
{
    group.registering = false;
    group.request_id = 0;
    group.register_at.reset();
}

void Groups::register_sent(const GroupId& id, uint64_t request_id)
{
    if (Group* group = find(id); group && group->registering) {
        group->request_id = request_id;
    }
}

void Groups::on_grant(uint64_t in_reply_to, const proto::GroupGrant& grant, TimePoint now)
{
    auto it = std::ranges::find_if(groups_, [&](const auto& entry) {
        return in_reply_to != 0 && entry.second.registering && entry.second.request_id == in_reply_to;
    });
    if (it == groups_.end()) {
        return;     // of an epoch, network or time-out ago
    }
    const GroupId& id = it->first;
    Group& group = it->second;
    forget_register(group);
    auto fail = [&](std::string text) {
        group.error = std::move(text);
        refuse(id, group.error);
        group.register_at = now + kRefusedRetry;
    };
    if (!grant.accepted()) {
        return fail("the NVA refuses a sender id: " + grant.reason().substr(0, 256));
    }
    auto sender = read_sender(grant.sender(), id);
    if (!sender || group_of(grant.vni(), grant.group()) != id || sender->name != own_name_ ||
        std::ranges::find(group.locals, sender->address) == group.locals.end()) {
        return fail("the NVA granted a sender id that is not for this host, its address or this group");
    }
    if (grant.epoch() != group.epoch) {
        group.register_at = now + kMinGap;      // the key of that epoch is on its way
        return;
    }
    if (!group.used.insert(sender->id).second) {
        return fail("the NVA granted a sender id for the second time");
    }
    group.error.clear();
    group.granted = Outbound{std::move(*sender), group.epoch, {}};
    group.activate_at = now + group.activate_after;
    group.unnamed_since.reset();
}

// ---- Replay windows ----

bool Groups::needs_renewal(const Group& group) const
{
    if (group.epoch == 0 || group.renewed > group.epoch) {
        return false;       // its key is on the way
    }
    return group.fresh_from == 0 || std::ranges::any_of(group.receivers, [&](const auto& entry) {
               const Receiver& receiver = entry.second;
               return receiver.epoch == group.epoch && !receiver.installed && receiver.token == 0 && !may_install(group, receiver);
           });
}

void Groups::renew_if_needed(const GroupId& id, Group& group, TimePoint now)
{
    if (!session_up_ || !switch_up_ || group.renewing || group.renew_at || !needs_renewal(group)) {
        return;
    }
    group.renewing = true;
    group.renew_id = 0;
    group.renew_at = now + kRenewTimeout;
    if (!group.registering) {
        group.register_at = std::max(group.register_at.value_or(now), now + kRenewGrace);
    }
    note(id, "asks for another epoch, as the switch has no replay windows of epoch " + std::to_string(group.epoch) + " (any more)");
    actions_.push_back(Renew{id});
}

void Groups::forget_renew(Group& group)
{
    group.renewing = false;
    group.renew_id = 0;
    group.renew_at.reset();
}

void Groups::renew_sent(const GroupId& id, uint64_t request_id)
{
    if (Group* group = find(id); group && group->renewing) {
        group->renew_id = request_id;
    }
}

void Groups::on_renewed(uint64_t in_reply_to, const proto::GroupRenewed& renewed, TimePoint now)
{
    const GroupId id = group_of(renewed.vni(), renewed.group());
    Group* group = find(id);
    if (!group || in_reply_to == 0 || group->renew_id != in_reply_to) {
        return;     // of a network, start of the switch or time-out ago
    }
    forget_renew(*group);
    if (!renewed.accepted()) {
        group->error = "the NVA refuses another epoch: " + renewed.reason().substr(0, 256);
        refuse(id, group->error);
        group->renew_at = now + kRefusedRetry;
        return;
    }
    group->fresh_from = group->renewed = renewed.epoch();
    if (renewed.epoch() <= group->epoch && !group->registering) {
        group->register_at.reset();
        register_if_needed(id, *group, now);
    }
    for (auto& [spi, receiver] : group->receivers) {
        if (receiver.epoch == group->epoch && !receiver.installed && receiver.token == 0) {
            install_receiver(id, *group, receiver, now);
        }
    }
}

}  // namespace nvo3::agent
