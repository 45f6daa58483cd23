// SPDX-License-Identifier: Apache-2.0
#include "hvagent/groups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <functional>

namespace nvo3::agent {
namespace {

using namespace std::chrono_literals;
namespace proto = control::proto;

const base::Vni kVni(5);
const base::IpAddress kGroup = *base::IpAddress::parse("239.1.1.5");
const GroupId kId{kVni, kGroup};
const auto kActivate = 2s, kRemove = 5s;

base::IpAddress ip(const std::string& text)
{
    return *base::IpAddress::parse(text);
}

std::string octets(base::ByteView bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct Member {
    std::string name;
    base::IpAddress address;
};
const Member kSelf{"hv1", ip("192.0.2.1")}, kHv2{"hv2", ip("192.0.2.2")}, kHv3{"hv3", ip("192.0.2.3")};

proto::GroupSender sender(const Member& member, uint32_t number)
{
    proto::GroupSender sender;
    sender.set_name(member.name);
    sender.set_address(octets(member.address.wire()));
    sender.set_sender_id(std::string(15, 'i') + static_cast<char>(number));
    sender.set_spi(0x80000000u + number);
    return sender;
}

proto::GroupKey key(uint32_t epoch, std::initializer_list<proto::GroupSender> senders = {}, const base::IpAddress& group = kGroup)
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

DirectoryView directory(std::vector<Member> members = {kSelf, kHv2, kHv3}, std::vector<base::IpAddress> groups = {kGroup},
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

TEST(Groups, ReceiversAtOnceTheSenderLater)
{
    Rig rig;
    EXPECT_EQ(rig.joined, (std::map<base::IpAddress, base::IpAddress>{{kGroup, kSelf.address}}));
    EXPECT_TRUE(rig.registered.empty()) << "there is no epoch yet";
    rig.told(key(1, {sender(kHv2, 2)}));
    ASSERT_TRUE(rig.has(2));
    const auto& in = rig.inbound.begin()->second;
    EXPECT_EQ(in.remote, kHv2.address);
    EXPECT_TRUE(in.local.is_unspecified());
    EXPECT_EQ(in.epoch, 1u);
    EXPECT_EQ(in.limits.soft_packets, 0u);
    EXPECT_EQ(in.limits.hard_seconds, 176400u);
    EXPECT_EQ(rig.registered, (std::vector<std::pair<GroupId, uint32_t>>{{kId, 1}}));
    rig.granted(kSelf, 1, 1);
    rig.pass(kActivate - 1ms);
    EXPECT_TRUE(rig.outbound.empty());
    EXPECT_FALSE(rig.groups.sending_from(kId));
    EXPECT_EQ(rig.groups.view()[0].state, "activating");
    rig.pass(1ms);
    ASSERT_TRUE(rig.sends(1));
    EXPECT_EQ(rig.outbound[kGroup].second.local, kSelf.address);
    EXPECT_EQ(rig.outbound[kGroup].second.limits.soft_packets, uint64_t{1} << 31);
    EXPECT_EQ(rig.outbound[kGroup].second.limits.hard_seconds, 176400u);
    EXPECT_EQ(rig.groups.sending_from(kId), kSelf.address);
    auto view = rig.groups.view()[0];
    EXPECT_EQ(view.state, "sending");
    EXPECT_EQ(view.epoch, 1u);
    EXPECT_EQ(view.senders, std::vector<std::string>{"hv2"});
    EXPECT_EQ(view.error, "");
    rig.pass(1h);
    EXPECT_EQ(rig.registered.size(), 1u);
}

// The key that a sender seals with is the one that receivers derive.
TEST(Groups, BothEndsDeriveTheSame)
{
    Rig rig;
    rig.settle();
    Rig other(false);
    other.configure(directory(), "hv2");
    other.up({});
    other.groups.session_up(other.now);
    other.told(key(1, {sender(kSelf, 1), sender(kHv2, 2)}));
    ASSERT_TRUE(other.has(1));
    EXPECT_FALSE(other.has(2)) << "what it sends itself";
    EXPECT_EQ(other.inbound.begin()->second.key, rig.outbound[kGroup].second.key);
    EXPECT_NE(rig.inbound.begin()->second.key, rig.outbound[kGroup].second.key);
}

TEST(Groups, NewEpoch)
{
    Rig rig;
    rig.settle();
    rig.told(key(2));
    EXPECT_EQ(rig.registered.back(), (std::pair<GroupId, uint32_t>{kId, 2}));
    EXPECT_TRUE(rig.has(2) && rig.has(3) && rig.sends(1)) << "packets of the former epoch are under way";
    EXPECT_EQ(rig.groups.view()[0].former, 2u);
    rig.granted(kSelf, 11, 2);
    rig.told(key(2, {sender(kSelf, 11), sender(kHv2, 12)}));
    EXPECT_TRUE(rig.has(12));
    rig.pass(kActivate);
    EXPECT_TRUE(rig.sends(11));
    EXPECT_TRUE(rig.has(2));
    rig.pass(kRemove - kActivate - 1ms);
    EXPECT_TRUE(rig.has(2) && rig.has(3));
    rig.pass(1ms);
    EXPECT_FALSE(rig.has(2) || rig.has(3));
    EXPECT_TRUE(rig.has(12) && rig.sends(11));
    EXPECT_EQ(rig.groups.view()[0].former, 0u);
}

TEST(Groups, FormerEpochEndsForTheSenderTooWithoutAGrant)
{
    Rig rig;
    rig.settle();
    rig.told(key(2));
    rig.groups.session_down();
    rig.pass(kRemove);
    EXPECT_TRUE(rig.outbound.empty()) << "nobody hears it any more";
    EXPECT_FALSE(rig.groups.sending_from(kId));
}

TEST(Groups, SendersOfAnEpoch)
{
    struct Row {
        const char* what;
        std::vector<proto::GroupSender> senders;
        bool hv2, hv3, fresh, hv2_later;
    };
    const Row rows[] = {
        {"the same again", {sender(kSelf, 1), sender(kHv2, 2), sender(kHv3, 3)}, true, true, false, true},
        {"one less", {sender(kSelf, 1), sender(kHv3, 3)}, false, true, false, false},
        {"one renews", {sender(kSelf, 1), sender(kHv2, 9), sender(kHv3, 3)}, true, true, true, false},
        {"none", {}, false, false, false, false},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Rig rig;
        rig.settle();
        proto::GroupKey again = key(1);
        for (const auto& one : row.senders) {
            *again.add_senders() = one;
        }
        auto before = rig.inbound;
        rig.told(again);
        EXPECT_EQ(rig.has(2), row.hv2);
        EXPECT_EQ(rig.has(3), row.hv3);
        EXPECT_EQ(rig.has(9), row.fresh);
        rig.pass(kRemove);
        EXPECT_EQ(rig.has(2), row.hv2_later);
        EXPECT_EQ(rig.has(9), row.fresh);
        EXPECT_TRUE(rig.refused.empty());
    }
}

TEST(Groups, ListOfSendersInParts)
{
    Rig rig;
    proto::GroupKey first = key(1, {sender(kHv2, 2)}), second = key(1, {sender(kHv3, 3)});
    first.set_more(true);
    rig.told(first);
    EXPECT_TRUE(rig.inbound.empty());
    rig.told(second);
    EXPECT_TRUE(rig.has(2) && rig.has(3));
    // Half a list of an epoch that is overtaken counts for nothing.
    rig.told(first);
    rig.told(key(2, {sender(kHv3, 13)}));
    rig.pass(kRemove);
    EXPECT_TRUE(rig.has(13));
    EXPECT_EQ(rig.inbound.size(), 1u);
}

TEST(Groups, KeysThatAreNotTaken)
{
    struct Row {
        const char* what;
        std::function<void(proto::GroupKey&)> change;
        bool refused;
    };
    const Row rows[] = {
        {"epoch 0", [](auto& k) { k.set_epoch(0); }, false},
        {"a former epoch", [](auto& k) { k.set_epoch(1); }, false},
        {"another group", [](auto& k) { k.set_group(octets(ip("239.9.9.9").wire())); }, false},
        {"another network", [](auto& k) { k.set_vni(6); }, false},
        {"a short secret", [](auto& k) { k.set_secret("short"); }, true},
        {"another secret of the epoch", [](auto& k) { k.set_secret(std::string(32, 'z')); }, true},
        {"another cipher of the epoch", [](auto& k) { k.set_cipher(1); }, true},
        {"a cipher that is none", [](auto& k) { k.set_cipher(99); k.set_epoch(3); }, true},
    };
    for (const Row& row : rows) {
        Rig rig;
        rig.told(key(2, {sender(kHv2, 2)}));
        proto::GroupKey wrong = key(2, {sender(kHv3, 3)});
        row.change(wrong);
        rig.told(wrong);
        EXPECT_TRUE(rig.has(2)) << row.what;
        EXPECT_FALSE(rig.has(3)) << row.what;
        EXPECT_EQ(rig.refused.size(), row.refused ? 1u : 0u) << row.what;
        for (const auto* texts : {&rig.refused, &rig.notes}) {
            for (const std::string& text : *texts) {
                EXPECT_EQ(text.find("zzzz"), std::string::npos) << "no secret is told";
            }
        }
    }
}

TEST(Groups, SendersThatAreNotTaken)
{
    struct Row {
        const char* what;
        std::function<void(proto::GroupSender&)> change;
        bool refused;
    };
    const Row rows[] = {
        {"no name", [](auto& s) { s.clear_name(); }, true},
        {"a short id", [](auto& s) { s.set_sender_id("x"); }, true},
        {"an SPI of pairs", [](auto& s) { s.set_spi(0x1000); }, true},
        {"the SPI of another", [](auto& s) { s.set_spi(0x80000002); }, true},
        {"an address of another IP version", [](auto& s) { s.set_address(octets(ip("fd00::3").wire())); }, true},
        {"a group's address", [](auto& s) { s.set_address(octets(kGroup.wire())); }, true},
        {"our address", [](auto& s) { s.set_address(octets(kSelf.address.wire())); }, false},
        {"our name", [](auto& s) { s.set_name("hv1"); }, false},
    };
    for (const Row& row : rows) {
        Rig rig;
        proto::GroupSender bad = sender(kHv3, 3);
        row.change(bad);
        rig.told(key(1, {sender(kHv2, 2), bad}));
        EXPECT_EQ(rig.inbound.size(), 1u) << row.what;
        EXPECT_EQ(rig.refused.size(), row.refused ? 1u : 0u) << row.what;
    }
}

TEST(Groups, Grants)
{
    struct Row {
        const char* what;
        std::function<void(proto::GroupGrant&)> change;
        bool taken;
        const char* error;
        std::chrono::seconds again;     // until it is asked for again
    };
    const Row rows[] = {
        {"good", {}, true, "", 0s},
        {"refused", [](auto& g) { g.set_accepted(false); g.set_reason("full"); g.clear_sender(); }, false, "full", 30s},
        {"another group", [](auto& g) { g.set_group(octets(ip("239.9.9.9").wire())); }, false, "not for this host", 30s},
        {"another network", [](auto& g) { g.set_vni(6); }, false, "not for this host", 30s},
        {"somebody else's", [](auto& g) { g.mutable_sender()->set_name("hv2"); }, false, "not for this host", 30s},
        {"an address that is not ours", [](auto& g) { g.mutable_sender()->set_address(octets(kHv2.address.wire())); }, false, "not for this host", 30s},
        {"an SPI of pairs", [](auto& g) { g.mutable_sender()->set_spi(300); }, false, "not for this host", 30s},
        {"of an epoch that is not told yet", [](auto& g) { g.set_epoch(2); }, false, "", 1s},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Rig rig;
        rig.told(key(1, {sender(kHv2, 2)}));
        rig.granted(kSelf, 1, 1, row.change);
        EXPECT_EQ(rig.groups.view()[0].error.find(row.error) != std::string::npos, true) << rig.groups.view()[0].error;
        EXPECT_EQ(rig.registered.size(), 1u);
        if (row.taken) {
            rig.pass(kActivate);
            EXPECT_TRUE(rig.sends(1));
        } else {
            rig.pass(row.again - 1ms);
            EXPECT_EQ(rig.registered.size(), 1u);
            EXPECT_TRUE(rig.outbound.empty());
            rig.pass(1ms);
            EXPECT_EQ(rig.registered.size(), 2u);
            rig.granted(kSelf, 5, 1);
            rig.pass(kActivate);
            EXPECT_TRUE(rig.sends(5));
        }
    }
}

TEST(Groups, NoAnswerIsAskedAgain)
{
    Rig rig;
    rig.told(key(1));
    rig.pass(10s);
    EXPECT_EQ(rig.registered.size(), 2u);
    // The late answer to the first is not taken: its number may count elsewhere.
    uint64_t second = rig.request_id;
    rig.request_id = 1;
    rig.granted(kSelf, 1, 1);
    rig.request_id = second;
    rig.pass(kActivate);
    EXPECT_TRUE(rig.outbound.empty());
    rig.granted(kSelf, 2, 1);
    rig.pass(kActivate);
    EXPECT_TRUE(rig.sends(2));
}

TEST(Groups, NeverTheSameSenderIdTwice)
{
    Rig rig;
    rig.settle();
    rig.down(true);
    rig.up({});
    rig.pass(1s);
    rig.granted(kSelf, 1, 1);
    EXPECT_EQ(rig.refused.size(), 1u);
    rig.pass(kActivate);
    EXPECT_TRUE(rig.outbound.empty());
    rig.pass(30s);
    rig.granted(kSelf, 4, 1);
    rig.pass(kActivate);
    EXPECT_TRUE(rig.sends(4));
}

TEST(Groups, SwitchRestart)
{
    Rig rig;
    rig.settle();
    rig.told(key(2, {sender(kHv2, 12)}));
    EXPECT_EQ(rig.renewals.size(), 1u) << "by the first start";
    rig.down(true);
    EXPECT_FALSE(rig.groups.sending_from(kId));
    rig.up({});
    EXPECT_TRUE(rig.inbound.empty()) << "captured packets of this epoch would be taken once more";
    EXPECT_EQ(rig.renewals.size(), 2u);
    EXPECT_NE(rig.groups.view()[0].error.find("replay windows"), std::string::npos);
    EXPECT_EQ(rig.registered.size(), 2u) << "the next epoch is about to begin";
    rig.pass(1s);
    EXPECT_EQ(rig.registered.size(), 3u) << "to send it needs no window";
    rig.granted(kSelf, 21, 2);
    rig.pass(kActivate);
    EXPECT_TRUE(rig.sends(21));
    rig.told(key(2, {sender(kHv2, 12), sender(kHv3, 13)}));
    EXPECT_TRUE(rig.inbound.empty()) << "not even who is new: the former start may have known of it";
    rig.renewed(3);
    rig.pass(1s);
    EXPECT_TRUE(rig.inbound.empty());
    EXPECT_EQ(rig.renewals.size(), 2u) << "its key is on the way";
    rig.told(key(3, {sender(kHv2, 22)}));
    EXPECT_TRUE(rig.has(22));
    EXPECT_EQ(rig.groups.view()[0].error, "");
    EXPECT_EQ(rig.renewals.size(), 2u);
}

// An epoch counts only if it began after this process had asked, whenever its key comes.
TEST(Groups, RestartOfAgentAndSwitch)
{
    for (bool key_first : {true, false}) {
        Rig rig(false);
        rig.begun = 0;
        rig.configure(directory());
        rig.up({});
        rig.groups.session_up(rig.now);
        rig.told(key(1, {sender(kHv2, 2)}));
        EXPECT_TRUE(rig.inbound.empty());
        EXPECT_EQ(rig.renewals, std::vector<GroupId>{kId});
        rig.told(key(2, {sender(kHv2, 12)}));
        EXPECT_TRUE(rig.inbound.empty()) << "the NVA may have had that already";
        if (key_first) {
            rig.told(key(3, {sender(kHv2, 22)}));
            EXPECT_TRUE(rig.inbound.empty());
            rig.renewed(3);
        } else {
            rig.renewed(3);
            EXPECT_TRUE(rig.inbound.empty());
            rig.told(key(3, {sender(kHv2, 22)}));
        }
        EXPECT_TRUE(rig.has(22));
        rig.told(key(4, {sender(kHv2, 32)}));
        EXPECT_TRUE(rig.has(32)) << "and all that come later";
        EXPECT_EQ(rig.renewals.size(), 1u);
    }
}

TEST(Groups, AnSaIsInstalledOnce)
{
    struct Row {
        const char* what;
        std::function<void(Rig&)> lose;
    };
    auto ended = [](Rig& rig, esp::ExpiryReason reason) {
        esp::msg::SaExpiring event;
        event.direction = SaDirection::inbound;
        event.spi = base::Spi(0x80000002);
        event.remote = kHv2.address;
        event.group = kGroup;
        event.vni = kVni;
        event.reason = reason;
        rig.inbound.erase(event.spi);
        rig.groups.expiring(event, rig.now);
        rig.pump();
    };
    const Row rows[] = {
        {"named no longer, then again", [](Rig& rig) { rig.told(key(1, {sender(kHv3, 3)})); }},
        {"its time is over", [&](Rig& rig) { ended(rig, esp::ExpiryReason::hard_seconds); }},
        {"its numbers are used up", [&](Rig& rig) { ended(rig, esp::ExpiryReason::hard_packets); }},
        {"the switch has removed it", [&](Rig& rig) { ended(rig, esp::ExpiryReason::removed); }},
        {"it is gone when the switch is back", [](Rig& rig) {
             rig.inbound.erase(base::Spi(0x80000002));
             auto live = rig.live();
             rig.down(false);
             rig.up(live);
         }},
        {"this host left the network", [](Rig& rig) {
             rig.configure({true, {}});
             rig.configure(directory());
         }},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Rig rig;
        rig.settle();
        row.lose(rig);
        rig.told(key(1, {sender(kHv2, 2), sender(kHv3, 3)}));
        rig.pass(1s);
        EXPECT_FALSE(rig.has(2));
        EXPECT_EQ(rig.renewals.size(), 2u);
        rig.renewed(2);
        rig.told(key(2, {sender(kHv2, 12), sender(kHv3, 13)}));
        EXPECT_TRUE(rig.has(12) && rig.has(13));
        EXPECT_EQ(rig.renewals.size(), 2u);
    }
}

TEST(Groups, RenewalThatIsNotAnswered)
{
    Rig rig;
    rig.begun = 0;
    rig.told(key(1, {sender(kHv2, 2)}));
    EXPECT_EQ(rig.renewals.size(), 1u);
    const uint64_t first = rig.renew_id;
    rig.pass(15s - 1ms);
    EXPECT_EQ(rig.renewals.size(), 1u);
    rig.pass(1ms);
    EXPECT_EQ(rig.renewals.size(), 2u);
    const uint64_t second = std::exchange(rig.renew_id, first);
    rig.renewed(1);
    EXPECT_TRUE(rig.inbound.empty()) << "an answer to a former request";
    rig.renew_id = second;
    rig.renewed(0, [](auto& r) { r.set_accepted(false); r.set_reason("groups are off"); });
    EXPECT_EQ(rig.refused.size(), 1u);
    EXPECT_NE(rig.groups.view()[0].error.find("groups are off"), std::string::npos);
    rig.pass(30s);
    EXPECT_EQ(rig.renewals.size(), 3u);
    rig.groups.session_down();
    rig.pass(1min);
    EXPECT_EQ(rig.renewals.size(), 3u);
    rig.groups.session_up(rig.now);
    rig.pump();
    EXPECT_EQ(rig.renewals.size(), 4u);
    // The start of the switch that it was asked for is over.
    const uint64_t fourth = rig.renew_id;
    rig.down(true);
    rig.up({});
    EXPECT_EQ(rig.renewals.size(), 5u);
    const uint64_t fifth = std::exchange(rig.renew_id, fourth);
    rig.renewed(1);
    EXPECT_TRUE(rig.inbound.empty());
    rig.renew_id = fifth;
    rig.renewed(1);
    EXPECT_TRUE(rig.has(2));
}

TEST(Groups, SwitchThatIsOnlyReconnectedKeepsAll)
{
    Rig rig;
    rig.settle();
    auto before = rig.inbound.size();
    auto live = rig.live();
    rig.down(false);
    rig.up(live);
    EXPECT_EQ(rig.inbound.size(), before);
    EXPECT_TRUE(rig.sends(1));
    EXPECT_TRUE(rig.groups.sending_from(kId));
    EXPECT_EQ(rig.registered.size(), 1u);
    EXPECT_EQ(rig.sent_with.size(), 1u);
}

TEST(Groups, AnswerOfTheSwitchThatNeverCame)
{
    for (bool installed : {true, false}) {
        Rig rig;
        rig.told(key(1));
        rig.granted(kSelf, 1, 1);
        rig.hold = true;
        rig.pass(kActivate);
        rig.hold = false;
        if (!installed) {
            rig.outbound.clear();
        }
        auto live = rig.live();
        rig.down(false);
        rig.up(live);
        EXPECT_EQ(rig.sends(1), installed);
        EXPECT_EQ(rig.registered.size(), installed ? 1u : 2u) << "what may have been used is not used again";
    }
}

TEST(Groups, SoftLimit)
{
    Rig rig;
    rig.settle();
    esp::msg::SaExpiring event;
    event.direction = SaDirection::outbound;
    event.spi = base::Spi(0x80000001);
    event.remote = event.group = kGroup;
    event.vni = kVni;
    event.reason = esp::ExpiryReason::soft_packets;
    rig.groups.expiring(event, rig.now);
    rig.pump();
    EXPECT_EQ(rig.registered.size(), 2u);
    EXPECT_TRUE(rig.sends(1)) << "until there is another";
    rig.granted(kSelf, 7, 1);
    rig.pass(kActivate);
    EXPECT_TRUE(rig.sends(7));
    rig.pass(1h);
    EXPECT_EQ(rig.registered.size(), 2u);
    event.spi = base::Spi(0x80000007);
    event.reason = esp::ExpiryReason::hard_packets;
    rig.groups.expiring(event, rig.now);
    rig.pump();
    EXPECT_FALSE(rig.groups.sending_from(kId));
    EXPECT_EQ(rig.registered.size(), 3u);
}

TEST(Groups, InstallThatFails)
{
    Rig rig;
    rig.refuse_installs = ENOSPC;
    rig.told(key(1, {sender(kHv2, 2)}));
    rig.granted(kSelf, 1, 1);
    rig.pass(kActivate);
    EXPECT_TRUE(rig.inbound.empty() && rig.outbound.empty());
    EXPECT_NE(rig.groups.view()[0].error.find("no room"), std::string::npos);
    rig.refuse_installs = 0;
    rig.pass(6s);
    EXPECT_TRUE(rig.has(2));
    EXPECT_EQ(rig.registered.size(), 2u) << "with another sender id";
    rig.granted(kSelf, 6, 1);
    rig.pass(kActivate);
    EXPECT_TRUE(rig.sends(6));
    EXPECT_EQ(rig.groups.view()[0].error, "");
}

TEST(Groups, RemovedByTheSwitch)
{
    Rig rig;
    rig.settle();
    esp::msg::SaExpiring event;
    event.direction = SaDirection::inbound;
    event.spi = base::Spi(0x80000002);
    event.remote = kHv2.address;
    event.group = kGroup;
    event.vni = kVni;
    event.reason = esp::ExpiryReason::removed;
    rig.inbound.erase(event.spi);
    rig.groups.expiring(event, rig.now);
    rig.pump();
    EXPECT_FALSE(rig.has(2));
    EXPECT_EQ(rig.renewals.size(), 2u);
    rig.renewed(2);
    rig.refuse_installs = ENODEV;
    rig.told(key(2, {sender(kHv2, 12)}));
    EXPECT_FALSE(rig.has(12));
    rig.refuse_installs = 0;
    rig.pass(2s);
    EXPECT_TRUE(rig.has(12)) << "a port may be back";
}

TEST(Groups, WhoLeavesIsNotHeardAnyMore)
{
    Rig rig;
    rig.settle();
    rig.configure(directory({kSelf, kHv2}));
    EXPECT_TRUE(rig.has(2));
    EXPECT_FALSE(rig.has(3)) << "before the new epoch";
    EXPECT_TRUE(rig.sends(1));
}

TEST(Groups, NetworkGone)
{
    struct Row {
        const char* what;
        DirectoryView then;
        const char* name;
    };
    const Row rows[] = {
        {"the network", {true, {}}, "hv1"},
        {"the group", directory({kSelf, kHv2}, {}), "hv1"},
        {"this host is no member", directory({kHv2}), "hv1"},
        {"this host has another name", directory({kSelf, kHv2}), "hv9"},
        {"no address of the group's IP version", directory({{"hv1", ip("fd00::1")}, kHv2}), "hv1"},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Rig rig;
        rig.settle();
        rig.told(key(2, {sender(kHv2, 12)}));
        rig.granted(kSelf, 11, 2);
        rig.configure(row.then, row.name);
        EXPECT_TRUE(rig.inbound.empty() && rig.outbound.empty());
        EXPECT_TRUE(rig.joined.empty());
        EXPECT_TRUE(rig.groups.view().empty());
        EXPECT_FALSE(rig.groups.next_deadline());
        rig.told(key(3, {sender(kHv2, 22)}));
        EXPECT_TRUE(rig.inbound.empty());
    }
}

TEST(Groups, OtherEncapsulation)
{
    Rig rig;
    rig.settle();
    rig.configure(directory({kSelf, kHv2, kHv3}, {kGroup}, base::Encap::vxlan));
    EXPECT_TRUE(rig.inbound.empty() && rig.outbound.empty());
    rig.pass(1s);
    EXPECT_EQ(rig.registered.size(), 2u);
    EXPECT_EQ(rig.renewals.size(), 2u) << "it may have had this one before";
    rig.renewed(2);
    rig.told(key(2, {sender(kHv2, 12), sender(kHv3, 13)}));
    ASSERT_TRUE(rig.has(12) && rig.has(13));
    for (const auto& [spi, sa] : rig.inbound) {
        EXPECT_EQ(sa.encap, base::Encap::vxlan);
    }
}

TEST(Groups, OtherAddress)
{
    Rig rig;
    rig.settle();
    rig.configure(directory({{"hv1", ip("192.0.2.9")}, kHv2, kHv3}));
    EXPECT_TRUE(rig.has(2));
    EXPECT_TRUE(rig.outbound.empty());
    EXPECT_EQ(rig.registered.size(), 2u);
    EXPECT_EQ(rig.joined[kGroup], ip("192.0.2.9"));
}

TEST(Groups, AgentRestart)
{
    for (bool switch_first : {false, true}) {
        Rig former;
        former.settle();
        // The same senders: their SAs, with their replay windows, go on.
        Rig rig(false);
        rig.begun = 0;
        rig.inbound = former.inbound;
        rig.outbound = former.outbound;
        DirectoryView nothing;
        if (!switch_first) {
            rig.configure(nothing);
        }
        rig.up(former.live());
        rig.configure(nothing);
        EXPECT_EQ(rig.inbound.size(), 2u) << "while the directory is not complete nothing goes";
        EXPECT_TRUE(rig.sends(1));
        rig.groups.session_up(rig.now);
        rig.configure(directory());
        EXPECT_EQ(rig.inbound.size(), 2u);
        rig.told(key(1, {sender(kSelf, 1), sender(kHv2, 2)}));
        EXPECT_TRUE(rig.has(2) && rig.has(3));
        EXPECT_FALSE(rig.groups.sending_from(kId)) << "how far its numbers went is not known";
        EXPECT_EQ(rig.registered.size(), 1u);
        rig.granted(kSelf, 4, 1);
        rig.pass(kActivate);
        EXPECT_TRUE(rig.sends(4));
        rig.pass(kRemove);
        EXPECT_TRUE(rig.has(2));
        EXPECT_FALSE(rig.has(3)) << "nobody named it";
        EXPECT_TRUE(rig.notes.size() == 1u) << "no failed install";
        EXPECT_TRUE(rig.renewals.empty());
        // Of one that is new to this process it is not known whether the switch had it.
        rig.told(key(1, {sender(kSelf, 4), sender(kHv2, 2), sender(kHv3, 9)}));
        EXPECT_TRUE(rig.has(2));
        EXPECT_FALSE(rig.has(9));
        EXPECT_EQ(rig.renewals.size(), 1u);
        rig.told(key(2, {sender(kHv2, 12)}));
        EXPECT_TRUE(rig.has(12)) << "no epoch after those in the switch had been there before";
    }
}

// Only inbound SAs tell that their epoch began after the switch.
TEST(Groups, AgentRestartWithASenderOnly)
{
    Rig former;
    former.settle();
    Rig rig(false);
    rig.begun = 0;
    rig.outbound = former.outbound;
    auto live = rig.live();
    rig.configure(directory());
    rig.up(live);
    rig.groups.session_up(rig.now);
    rig.told(key(2, {sender(kHv2, 12)}));
    EXPECT_TRUE(rig.inbound.empty());
    EXPECT_EQ(rig.renewals.size(), 1u);
}

TEST(Groups, FoundInTheSwitchButNotServed)
{
    Rig former;
    former.settle();
    Rig rig(false);
    rig.inbound = former.inbound;
    rig.outbound = former.outbound;
    rig.up(former.live());
    EXPECT_FALSE(rig.inbound.empty());
    rig.configure({true, {}});
    EXPECT_TRUE(rig.inbound.empty() && rig.outbound.empty());
}

TEST(Groups, NvaThatForgetsOurSenderIsAskedAnew)
{
    Rig rig;
    rig.settle();
    rig.told(key(1, {sender(kHv2, 2)}));
    EXPECT_EQ(rig.registered.size(), 1u) << "the list may be older than the grant";
    rig.pass(9s);
    EXPECT_EQ(rig.registered.size(), 1u);
    rig.pass(1s);
    EXPECT_EQ(rig.registered.size(), 2u);
    EXPECT_TRUE(rig.sends(1));
    rig.granted(kSelf, 8, 1);
    rig.pass(kActivate);
    EXPECT_TRUE(rig.sends(8));
    // Named in time, all is well.
    rig.told(key(1, {sender(kHv2, 2)}));
    rig.pass(5s);
    rig.told(key(1, {sender(kSelf, 8), sender(kHv2, 2)}));
    rig.pass(1h);
    EXPECT_EQ(rig.registered.size(), 2u);
}

TEST(Groups, NvaAway)
{
    Rig rig;
    rig.settle();
    rig.groups.session_down();
    rig.pass(24h);
    EXPECT_TRUE(rig.sends(1) && rig.has(2) && rig.has(3)) << "what is known goes on";
    rig.groups.session_up(rig.now);
    rig.pump();
    EXPECT_EQ(rig.registered.size(), 1u);
}

TEST(Groups, RefusalWaitsForTheSession)
{
    Rig rig;
    rig.told(key(1));
    rig.groups.session_down();
    rig.pass(1h);
    EXPECT_EQ(rig.registered.size(), 1u);
    rig.groups.session_up(rig.now);
    rig.pump();
    EXPECT_EQ(rig.registered.size(), 2u);
}

}  // namespace
}  // namespace nvo3::agent
