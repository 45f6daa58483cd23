// SPDX-License-Identifier: Apache-2.0
//
// What tests of groups.h need: keys and senders as the NVA tells them, and a machine around Groups.
#ifndef TESTS_UNIT_HVAGENT_GROUPS_FIXTURE_H
#define TESTS_UNIT_HVAGENT_GROUPS_FIXTURE_H

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "hvagent/groups.h"

namespace nvo3::agent::group_rig {

using namespace std::chrono_literals;
namespace proto = control::proto;

const base::Vni kVni(5);
const base::IpAddress kGroup = *base::IpAddress::parse("239.1.1.5");
const GroupId kId{kVni, kGroup};
const auto kActivate = 2s, kRemove = 5s;

inline base::IpAddress ip(const std::string& text)
{
    return *base::IpAddress::parse(text);
}

inline std::string octets(base::ByteView bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct Member {
    std::string name;
    base::IpAddress address;
};
const Member kSelf{"hv1", ip("192.0.2.1")}, kHv2{"hv2", ip("192.0.2.2")}, kHv3{"hv3", ip("192.0.2.3")};

inline proto::GroupSender sender(const Member& member, uint32_t number)
{
    proto::GroupSender sender;
    sender.set_name(member.name);
    sender.set_address(octets(member.address.wire()));
    sender.set_sender_id(std::string(15, 'i') + static_cast<char>(number));
    sender.set_spi(0x80000000u + number);
    return sender;
}

inline proto::GroupKey key(uint32_t epoch, std::initializer_list<proto::GroupSender> senders = {}, const base::IpAddress& group = kGroup)
{
    proto::GroupKey key;
    key.set_vni(kVni.value);
    key.set_group(octets(group.wire()));
    key.set_epoch(epoch);
    key.set_secret(std::string(32, static_cast<char>('a' + epoch)));
    key.set_cipher(2);
    key.set_activate_after_ms(2000);
    key.set_remove_after_ms(5000);
    for (const auto& one : senders) {
        *key.add_senders() = one;
    }
    return key;
}

inline DirectoryView directory(std::vector<Member> members = {kSelf, kHv2, kHv3}, std::vector<base::IpAddress> groups = {kGroup},
                        base::Encap encap = base::Encap::geneve)
{
    auto vn = std::make_shared<VnView>();
    vn->vni = kVni;
    vn->encap = encap;
    vn->cipher = esp::Cipher::aes256gcm;
    vn->groups = std::move(groups);
    for (const Member& member : members) {
        vn->members[member.name].push_back(member.address);
    }
    DirectoryView view;
    view.complete = true;
    view.vns[kVni] = vn;
    return view;
}

// The machine with a switch that keeps what it is told, and an NVA that only listens.
struct Rig {
    struct Sa {
        base::IpAddress remote, local;
        base::Encap encap;
        base::Bytes key;
        uint32_t epoch;
        SaLimits limits;
    };

    Groups groups;
    TimePoint now{1h};
    bool switch_up = false;
    int refuse_installs = 0;        // errno
    std::map<base::Spi, Sa> inbound;
    std::map<base::IpAddress, std::pair<base::Spi, Sa>> outbound;     // by group, as a switch has them
    std::vector<base::Bytes> sent_with;         // keys, in order
    std::vector<std::pair<GroupId, uint32_t>> registered;
    std::map<base::IpAddress, base::IpAddress> joined;
    std::vector<std::string> refused, notes;
    uint64_t request_id = 0, renew_id = 0;
    std::vector<GroupId> renewals;
    uint32_t begun = 1;             // what the next GroupRenew is answered with; 0: not answered
    uint64_t instance = 1;          // of the switch
    std::vector<base::Bytes> received_with;     // keys of inbound SAs
    bool hold = false;              // results are not told

    explicit Rig(bool begin = true)
    {
        if (begin) {
            configure(directory());
            up({});
            groups.session_up(now);
            pump();
        }
    }

    void configure(const DirectoryView& view, const std::string& name = "hv1")
    {
        groups.configure(view, name, now, view.complete);
        pump();
    }
    void up(const std::vector<esp::msg::SaRecord>& live)
    {
        switch_up = true;
        groups.switch_up(live, instance, now);
        pump();
    }
    void down(bool restarts)
    {
        switch_up = false;
        if (restarts) {
            instance++;
            inbound.clear();
            outbound.clear();
        }
        groups.switch_down();
        pump();
    }
    // What the switch would list.
    std::vector<esp::msg::SaRecord> live() const
    {
        std::vector<esp::msg::SaRecord> list;
        auto add = [&](SaDirection direction, base::Spi spi, const Sa& sa, const base::IpAddress& group) {
            esp::msg::SaRecord record;
            record.direction = direction;
            record.spi = spi;
            record.remote = sa.remote;
            record.local = sa.local;
            record.group = group;
            record.encap = sa.encap;
            record.vni = kVni;
            record.cipher = esp::Cipher::aes256gcm;
            record.esn = false;
            record.generation = sa.epoch;
            list.push_back(record);
        };
        for (const auto& [spi, sa] : inbound) {
            add(SaDirection::inbound, spi, sa, kGroup);
        }
        for (const auto& [group, entry] : outbound) {
            add(SaDirection::outbound, entry.first, entry.second, group);
        }
        return list;
    }
    void told(const proto::GroupKey& key)
    {
        groups.on_key(key, now);
        pump();
    }
    void granted(const Member& member, uint32_t number, uint32_t epoch, const std::function<void(proto::GroupGrant&)>& change = {})
    {
        proto::GroupGrant grant;
        grant.set_accepted(true);
        grant.set_vni(kVni.value);
        grant.set_group(octets(kGroup.wire()));
        grant.set_epoch(epoch);
        *grant.mutable_sender() = sender(member, number);
        if (change) {
            change(grant);
        }
        groups.on_grant(request_id, grant, now);
        pump();
    }
    void renewed(uint32_t epoch, const std::function<void(proto::GroupRenewed&)>& change = {})
    {
        proto::GroupRenewed renewed;
        renewed.set_accepted(true);
        renewed.set_vni(kVni.value);
        renewed.set_group(octets(kGroup.wire()));
        renewed.set_epoch(epoch);
        if (change) {
            change(renewed);
        }
        groups.on_renewed(renew_id, renewed, now);
        pump();
    }
    // Time goes on, by way of every deadline.
    void pass(std::chrono::milliseconds time)
    {
        const TimePoint end = now + time;
        for (int i = 0; i < 1000; i++) {
            auto next = groups.next_deadline();
            if (!next || *next > end) {
                now = end;
                return;
            }
            now = std::max(now, *next);
            groups.tick(now);
            pump();
        }
        ADD_FAILURE() << "the timer never rests";
    }
    void pump()
    {
        for (auto actions = groups.take(); !actions.empty(); actions = groups.take()) {
            for (auto& action : actions) {
                std::visit([this](auto& what) { perform(what); }, action);
            }
        }
    }
    bool has(uint32_t number) const { return inbound.contains(base::Spi(0x80000000u + number)); }
    bool sends(uint32_t number) const
    {
        auto it = outbound.find(kGroup);
        return it != outbound.end() && it->second.first == base::Spi(0x80000000u + number);
    }
    // Sending, in epoch 1 as number 1, with hv2 as number 2 and hv3 as number 3.
    void settle()
    {
        told(key(1, {sender(kHv2, 2), sender(kHv3, 3)}));
        granted(kSelf, 1, 1);
        pass(kActivate);
        ASSERT_TRUE(sends(1) && has(2) && has(3));
    }

private:
    void perform(Groups::Install& what)
    {
        ASSERT_TRUE(switch_up);
        auto& sa = what.sa;
        ASSERT_TRUE(esp::validate(sa));
        EXPECT_FALSE(sa.esn);
        EXPECT_EQ(sa.group, kGroup);
        EXPECT_EQ(sa.limits.hard_packets, 0xffffffffu);
        Sa kept{sa.remote, sa.local, sa.encap, {sa.key.data(), sa.key.data() + sa.key.size()}, sa.generation, sa.limits};
        int error = refuse_installs;
        if (sa.direction == SaDirection::inbound) {
            if (error == 0 && inbound.contains(sa.spi)) {
                error = EEXIST;
            }
            if (error == 0) {
                EXPECT_EQ(std::ranges::find(received_with, kept.key), received_with.end()) << "a replay window never begins again under a key";
                received_with.push_back(kept.key);
                inbound[sa.spi] = kept;
            }
        } else {
            EXPECT_EQ(sa.remote, sa.group);
            EXPECT_EQ(std::ranges::find(sent_with, kept.key), sent_with.end()) << "a key never begins again at number 1";
            sent_with.push_back(kept.key);
            if (error == 0) {
                outbound[sa.group] = {sa.spi, kept};
            }
        }
        if (!hold) {
            groups.installed(what.token, error, error ? "no room" : "", now);
        }
    }
    void perform(Groups::Remove& what)
    {
        ASSERT_TRUE(switch_up);
        EXPECT_FALSE(what.reason.empty());
        if (what.direction == SaDirection::inbound) {
            inbound.erase(what.spi);
        } else if (auto it = outbound.find(what.remote); it != outbound.end() && it->second.first == what.spi) {
            outbound.erase(it);
        }
    }
    void perform(Groups::Register& what)
    {
        registered.emplace_back(what.group, what.epoch);
        groups.register_sent(what.group, ++request_id);
    }
    void perform(Groups::Renew& what)
    {
        renewals.push_back(what.group);
        groups.renew_sent(what.group, ++renew_id);
        if (begun != 0) {
            renewed(std::exchange(begun, 0));
        }
    }
    void perform(Groups::Join& what) { joined[what.group] = what.local; }
    void perform(Groups::Leave& what) { joined.erase(what.group); }
    void perform(Groups::Refused& what) { refused.push_back(what.reason); }
    void perform(Groups::Note& what) { notes.push_back(what.text); }
};

}  // namespace nvo3::agent::group_rig
#endif
