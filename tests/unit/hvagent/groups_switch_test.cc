// SPDX-License-Identifier: Apache-2.0
//
// Groups and the switch: restarts of either, failed installs, limits; no packet is taken twice, no number used twice.
#include "tests/unit/hvagent/groups_fixture.h"

namespace nvo3::agent::group_rig {
namespace {

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

}  // namespace
}  // namespace nvo3::agent::group_rig
