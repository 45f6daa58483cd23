// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of groups: what a member takes from which sender (esp/decap.h), and
// what its SAs have in common with those of pairs (esp/sad.h).
#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "esp/decap.h"
#include "esp_packets.h"

namespace nvo3::esp {
namespace {

using base::Bytes;
using tests::from_hex;
using tests::Receiver;
using tests::TestSa;

Bytes
next(SaRuntime& sender, const TestSa& test)
{
    return tests::seal_one(sender, test.header(), tests::test_frame(60));
}

struct Row {
    const char* name;
    std::function<void(Bytes&)> change;     // to the packet on the wire
    const char* outcome;
};

// Ethernet 14, IPv4 20 at 14, UDP 8 at 34, ESP at 42.
const Row kRows[] = {
    {"as sealed", [](Bytes&) {}, "passed"},
    {"from another member", [](Bytes& p) { p[29] = 3; }, "wrong_address"},
    {"to another group", [](Bytes& p) { p[33] = 2; }, "wrong_address"},
    {"to one host", [](Bytes& p) { memcpy(&p[30], from_hex("ac1f0002").data(), 4); },
     "wrong_address"},
    {"from the group itself", [](Bytes& p) { memcpy(&p[26], &p[30], 4); }, "wrong_address"},
    {"another SPI of the group", [](Bytes& p) { p[45]++; }, "unknown_spi"},
    {"number of the next cycle", [](Bytes& p) { p[46] = 0xff; }, "bad_icv"},
    {"number 0", [](Bytes& p) { memset(&p[46], 0, 4); }, "old_sequence"},
    {"high half of a number in the IV", [](Bytes& p) { p[53] ^= 1; }, "bad_icv"},
    {"damaged", [](Bytes& p) { p[70] ^= 1; }, "bad_icv"},
    {"damaged ICV", [](Bytes& p) { p.back() ^= 1; }, "bad_icv"},
    {"Ethernet address of one host", [](Bytes& p) { p[0] = 2; }, "passed"},
};

TEST(Group, WhatAMemberTakes)
{
    for (const Row& row : kRows) {
        SCOPED_TRACE(row.name);
        const TestSa test = TestSa::of_group();
        auto sender = test.make(SaDirection::outbound);
        Bytes packet = next(*sender, test);
        row.change(packet);
        EXPECT_EQ(Receiver(test).outcome(packet), row.outcome);
    }
}

TEST(Group, Ipv6)
{
    const TestSa test = TestSa::of_group(1, true);
    auto sender = test.make(SaDirection::outbound);
    Receiver member(test);
    Bytes packet = next(*sender, test);
    EXPECT_EQ(packet[38], 0xff);
    EXPECT_EQ(member.outcome(packet), "passed");
    EXPECT_EQ(member.outcome(packet), "replayed");
    packet = next(*sender, test);
    packet[37]++;
    EXPECT_EQ(member.outcome(packet), "wrong_address");
    packet[37]--;
    packet[53]++;
    EXPECT_EQ(member.outcome(packet), "wrong_address");
}

// Senders count by themselves: the same number of two senders passes twice, a
// second copy of either does not.
TEST(Group, ReplayIsPerSender)
{
    const TestSa first = TestSa::of_group(1), second = TestSa::of_group(2);
    Receiver member(first);
    ASSERT_TRUE(member.sad.add_inbound(second.make(SaDirection::inbound)));
    auto sender1 = first.make(SaDirection::outbound), sender2 = second.make(SaDirection::outbound);
    for (int i = 0; i < 3; i++) {
        const Bytes packet1 = next(*sender1, first), packet2 = next(*sender2, second);
        EXPECT_EQ(member.outcome(packet1), "passed");
        EXPECT_EQ(member.outcome(packet2), "passed");
        EXPECT_EQ(member.outcome(packet1), "replayed");
        EXPECT_EQ(member.outcome(packet2), "replayed");
    }
}

// No extended numbers: the sender stops at 2^32 - 1 for good, and what a member
// has seen then stays seen.
TEST(Group, NumbersEndAt32Bits)
{
    const TestSa test = TestSa::of_group();
    auto sender = test.make(SaDirection::outbound);
    Receiver member(test);
    const Bytes first = next(*sender, test);
    EXPECT_EQ(member.outcome(first), "passed");
    sender->reserve(0xfffffffe - sender->last_sequence());
    EXPECT_NE(sender->take_events() & kSoftPackets, 0u);
    const Bytes last = next(*sender, test);
    EXPECT_EQ(base::to_hex(base::ByteView(last).subspan(46, 12)), "ffffffff00000000ffffffff");
    EXPECT_EQ(member.outcome(last), "passed");
    EXPECT_EQ(member.outcome(last), "replayed");
    EXPECT_EQ(member.outcome(first), "old_sequence");
    EXPECT_EQ(sender->reserve(1).count, 0u);
    EXPECT_FALSE(sender->alive());
    EXPECT_EQ(sender->end_reason(), DropReason::sequence_end);
}

// Whoever may send to the group knows the key of the pair with no one: under an
// SA of a pair nothing passes that was sent to several hosts.
TEST(Group, SaOfAPairTakesNoMulticast)
{
    for (bool ipv6 : {false, true}) {
        TestSa test{.ipv6 = ipv6};
        SaConfig config = test.config(SaDirection::inbound);
        config.local = {};
        tests::ImmediateReclaimer reclaimer;
        Sad sad(reclaimer);
        auto sa = SaRuntime::make(config, *aead_libraries().at(0), {});
        ASSERT_TRUE(sa && sad.add_inbound(std::move(*sa)));
        auto sender = test.make(SaDirection::outbound);
        for (const char* to : {"", "ef010101", "e0000001", "ffffffff", "df010101"}) {
            Bytes octets = next(*sender, test);
            const Bytes destination = from_hex(to);
            std::ranges::copy(destination, octets.begin() + (ipv6 ? 38 : 30));
            const bool multicast = *to && (ipv6 ? destination[0] == 0xff : to[0] != 'd');
            tests::Packet packet(octets);
            packet.find_headers();
            EXPECT_EQ(open(sad, test.encap, &packet.frame, 1), multicast ? 0u : 1u) << to;
            if (multicast) {
                EXPECT_EQ(packet.frame.reason, DropReason::wrong_address) << to;
            }
        }
    }
}

TEST(Group, LeavesWithRemoveOnly)
{
    const TestSa test = TestSa::of_group();
    Receiver member(test);
    ASSERT_TRUE(member.sad.add_inbound(TestSa().make(SaDirection::inbound)));
    ASSERT_TRUE(member.sad.set_outbound(7, test.make(SaDirection::outbound)));
    const SaConfig config = test.config(SaDirection::inbound);
    EXPECT_EQ(member.sad.remove_peer(config.remote), 1u);
    EXPECT_EQ(member.sad.inbound(base::Spi(TestSa().spi)), nullptr);
    EXPECT_EQ(member.sad.inbound(config.spi), member.sa);
    EXPECT_EQ(member.sad.remove_peer(config.group), 0u);
    EXPECT_TRUE(member.sad.remove_inbound(config.spi, config.remote));
    EXPECT_TRUE(member.sad.remove_outbound(7, config.encap, config.vni, config.spi));
    EXPECT_EQ(member.sad.inbound_size() + member.sad.outbound_size(), 0u);
}

}  // namespace
}  // namespace nvo3::esp
