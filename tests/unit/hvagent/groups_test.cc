// SPDX-License-Identifier: Apache-2.0
//
// Groups as the NVA and the directory tell of them: epochs, senders, grants, and what is not taken.
#include "tests/unit/hvagent/groups_fixture.h"

namespace nvo3::agent::group_rig {
namespace {

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
}  // namespace nvo3::agent::group_rig
