// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of esp/decap.h: packets damaged at every bit and cut at every octet.
#include <gtest/gtest.h>

#include "esp/decap.h"
#include "esp_packets.h"

namespace nvo3::esp {
namespace {

using base::Bytes;
using tests::Packet;
using tests::Receiver;
using tests::TestSa;

// Bits that no check covers: Ethernet, TOS, identification, DF and reserved
// flag, TTL, IP checksum, UDP source port and checksum.
bool
may_pass(size_t octet, int bit)
{
    return octet < 14 || octet == 15 || octet == 18 || octet == 19
           || (octet == 20 && bit >= 6) || octet == 22 || octet == 24 || octet == 25
           || octet == 34 || octet == 35 || octet == 40 || octet == 41;
}

TEST(Open, EveryChangedBit)
{
    for (Cipher cipher : kCiphers) {
        const TestSa test{.cipher = cipher};
        auto sender = test.make(SaDirection::outbound);
        const Bytes good = tests::seal_one(*sender, test.header(), tests::test_frame(14));
        for (size_t octet = 0; octet < good.size(); octet++) {
            for (int bit = 0; bit < 8; bit++) {
                Receiver receiver(test);
                Bytes changed = good;
                changed[octet] = static_cast<uint8_t>(changed[octet] ^ 1 << bit);
                Packet packet(changed, 0, 0);
                packet.find_headers();
                // The switch found them before; Ethernet is not ours to check.
                packet.frame.l3_ofs = 14;
                packet.frame.l4_ofs = 34;
                const size_t passed = open(receiver.sad, test.encap, &packet.frame, 1);
                EXPECT_EQ(passed, may_pass(octet, bit)) << to_string(cipher) << " octet "
                    << octet << " bit " << bit << ": " << to_string(packet.frame.reason);
                if (!passed) {
                    EXPECT_EQ(receiver.outcome(good), "passed");
                }
            }
        }
    }
}

TEST(Open, TruncatedAnywhere)
{
    for (bool ipv6 : {false, true}) {
        const TestSa test{.ipv6 = ipv6};
        auto sender = test.make(SaDirection::outbound);
        Receiver receiver(test);
        const Bytes good = tests::seal_one(*sender, test.header(), tests::test_frame(60));
        for (size_t size = 0; size < good.size(); size++) {
            Packet packet(base::ByteView(good).first(size), 0, 0);
            packet.frame.l3_ofs = 14;
            packet.frame.l4_ofs = ipv6 ? 54 : 34;
            EXPECT_EQ(open(receiver.sad, test.encap, &packet.frame, 1), 0u) << size;
            EXPECT_EQ(packet.frame.reason, DropReason::short_packet) << size;
            outer_source(packet.frame);
        }
        EXPECT_EQ(receiver.outcome(good), "passed");
    }
}

// The same with lengths that fit, so that ESP itself is too short or cut.
TEST(Open, TruncatedWithLengthsPutRight)
{
    const TestSa test;
    auto sender = test.make(SaDirection::outbound);
    Receiver receiver(test);
    const Bytes good = tests::seal_one(*sender, test.header(), tests::test_frame(60));
    for (size_t size = 42; size < good.size(); size++) {
        Bytes cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(size));
        store_be<uint16_t>(&cut[16], static_cast<uint16_t>(size - 14));
        store_be<uint16_t>(&cut[38], static_cast<uint16_t>(size - 34));
        EXPECT_EQ(receiver.outcome(cut), size < 42 + 36 ? "short_packet" : "bad_icv") << size;
    }
}

}  // namespace
}  // namespace nvo3::esp
