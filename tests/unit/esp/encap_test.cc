// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of esp/encap.h: the octets on the wire, room, refusals.
#include "esp/encap.h"

#include <gtest/gtest.h>
#include <string.h>

#include <vector>

#include "esp_packets.h"

namespace nvo3::esp {
namespace {

using base::Bytes;
using base::Encap;
using tests::from_hex;
using tests::Packet;
using tests::TestSa;

struct WireRow {
    const char* name;
    TestSa sa;
    const char* options;
    bool vlan;
    uint64_t sequence;
    size_t frame_size;
    uint16_t entropy;
    const char* packet;
};

// Written by Python's cryptography from the RFCs, not by this code.
const WireRow kWireRows[] = {
    {"IPv4, Geneve, AES-128-GCM, ESN beyond 2^32", {.spi = 0x1234abcd, .vni = 0x13894a},
     "", false, 0x100000002, 60, 0xc001,
     "020000000002020000000001" "0800"
     "4500008c000040004011e21fac1f0001ac1f0002"
     "c001119400780000"
     "1234abcd00000002" "0000000100000002"
     "fd0eb9d90fb35fe24c759a4f76f1043945ee88abc5fdf8d085dac47bf9aff473"
     "4cc213ddd2633eb152f18f82bd3648b2150461fe2bbf51a439fa296f884f0bf0"
     "4b4b084fbfccdd6e62cdc13ac83802b1"
     "199b8e1b51bc88d9db8451ee41c8b617"},
    {"IPv4, Geneve with options, AES-256-GCM, no ESN",
     {.cipher = Cipher::aes256gcm, .esn = false, .spi = 0x100, .vni = 5001},
     "0102800101020304", false, 1, 61, 0xffff,
     "020000000002020000000001" "0800"
     "45000094000040004011e217ac1f0001ac1f0002"
     "ffff119400800000"
     "0000010000000001" "0000000000000001"
     "4a48855ad9e53397d5b67667b225c35f331563898568fade9862c753e3c36aa4"
     "aa369f2d9fe496925dd8e407166cd99addc3e1aee8b0d05f36abe26c6d611a3a"
     "96606adbb3fcef286cfc3c05d28910f455675696606e47b9"
     "5740443718c35c8c810221523ec2e4e6"},
    {"IPv6, VXLAN, ChaCha20-Poly1305",
     {.encap = Encap::vxlan, .cipher = Cipher::chacha20poly1305, .ipv6 = true,
      .spi = 0x7ffffffe, .vni = 1},
     "", false, 7, 62, 0xd234,
     "020000000002020000000001" "86dd"
     "6000000000781140fd310000000000000000000000000001fd310000000000000000000000000002"
     "d234119500780000"
     "7ffffffe00000007" "0000000000000007"
     "917f75bb2a17b3f16f014e7868067a085cd86f0defe6a1406d847f2aa6a586f5"
     "accebf21b4f0416e72f5651154fa1b546c929d176c995034947abd91dcba5b1c"
     "6ff039ac760b14e9a36f1d801f473efb"
     "1508a921a83c04e78146f9ad17003cab"},
    {"IPv6, VLAN tag, Geneve, AES-128-GMAC, three octets of padding in clear",
     {.cipher = Cipher::aes128gmac, .ipv6 = true, .spi = 0x01020304, .vni = 0xffffff},
     "", true, 0x1ffffffff, 63, 0xc000,
     "020000000002020000000001" "8100002a" "86dd"
     "60000000007c1140fd310000000000000000000000000001fd310000000000000000000000000002"
     "c0001194007c0000"
     "01020304ffffffff" "00000001ffffffff"
     "c00017c1004f0000" "00006558ffffff00"
     "01080f161d242b323940474e555c636a71787f868d949ba2a9b0b7bec5ccd3da"
     "e1e8eff6fd040b121920272e353c434a51585f666d747b828990979ea5acb3"
     "010203" "03" "11"
     "d5488922f4b790ca1896060227c5ecf6"},
    {"IPv4, VXLAN, AES-256-GMAC, no ESN, the last number",
     {.encap = Encap::vxlan, .cipher = Cipher::aes256gmac, .esn = false,
      .spi = 0x55667788, .vni = 0},
     "", false, 0xffffffff, 64, 0xc123,
     "020000000002020000000001" "0800"
     "45000090000040004011e21bac1f0001ac1f0002"
     "c1231195007c0000"
     "55667788ffffffff" "00000000ffffffff"
     "c12312b500500000" "0800000000000000"
     "01080f161d242b323940474e555c636a71787f868d949ba2a9b0b7bec5ccd3da"
     "e1e8eff6fd040b121920272e353c434a51585f666d747b828990979ea5acb3ba"
     "0102" "02" "11"
     "af4303f1684a4de03d43d2c4dc441407"},
};

TEST(Seal, OctetsOnTheWire)
{
    for (const AeadLibrary* library : aead_libraries()) {
        for (const WireRow& row : kWireRows) {
            SCOPED_TRACE(std::string(library->name()) + ": " + row.name);
            auto sa = row.sa.make(SaDirection::outbound, library);
            if (row.sequence > 1) {
                sa->reserve(row.sequence - 1);
            }
            const Bytes header = row.sa.header(from_hex(row.options), row.vlan);
            const Bytes packet = tests::seal_one(*sa, header, tests::test_frame(row.frame_size),
                                                 row.entropy);
            EXPECT_EQ(base::to_hex(packet), row.packet);
        }
    }
}

// Padding of 0 to 3 octets, seen in clear with GMAC.
TEST(Seal, PadsToFourOctets)
{
    TestSa test{.cipher = Cipher::aes128gmac};
    auto sa = test.make(SaDirection::outbound);
    const char* const trailers[] = {"01020211", "010111", "0011", "0102030311"};
    for (size_t size = 14; size < 80; size++) {
        const Bytes packet = tests::seal_one(*sa, test.header(), tests::test_frame(size));
        const std::string expected = trailers[size % 4];
        const size_t end = packet.size() - kIcvSize;
        EXPECT_EQ(base::to_hex(packet).substr(2 * end - expected.size(), expected.size()),
                  expected) << size;
        EXPECT_EQ((end - 14 - 20 - 8) % 4, 0u) << size;
    }
}

TEST(Seal, BatchTakesConsecutiveNumbersAndLeavesOthersAlone)
{
    TestSa test;
    auto sa = test.make(SaDirection::outbound);
    sa->reserve(99);
    const Bytes header = test.header();
    HeaderInfo info;
    ASSERT_TRUE(parse_header(test.encap, header, info));
    EXPECT_EQ(info.udp_source, 7);
    std::vector<Packet> packets;
    Frame frames[kMaxBatch];
    for (size_t i = 0; i < kMaxBatch; i++) {
        packets.emplace_back(tests::test_frame(14 + i));
        frames[i] = packets[i].frame;
        frames[i].entropy = static_cast<uint16_t>(0xc000 + i);
    }
    frames[3].drop(DropReason::offload);
    const Frame before = frames[3];
    frames[5].headroom = 0;
    EXPECT_EQ(seal(*sa, header, info, frames, kMaxBatch), kMaxBatch - 2);

    uint32_t sequence = 100;
    uint64_t bytes = 0;
    for (size_t i = 0; i < kMaxBatch; i++) {
        if (i == 3) {
            EXPECT_EQ(frames[i].reason, DropReason::offload);
            EXPECT_EQ(frames[i].data, before.data);
            EXPECT_EQ(frames[i].size, before.size);
            EXPECT_EQ(base::Bytes(before.data, before.data + before.size),
                      tests::test_frame(14 + i));
        } else if (i == 5) {
            EXPECT_EQ(frames[i].outcome, Outcome::dropped);
            EXPECT_EQ(frames[i].reason, DropReason::no_room);
        } else {
            ASSERT_EQ(frames[i].outcome, Outcome::passed);
            EXPECT_EQ(load_be<uint16_t>(frames[i].data + 34), 0xc000 + i);
            EXPECT_EQ(load_be<uint32_t>(frames[i].data + 46), sequence++);
            bytes += frames[i].size - 14 - 20 - 8 - 16 - 16;
        }
    }
    EXPECT_EQ(sa->last_sequence(), 99 + kMaxBatch - 2);
    EXPECT_EQ(sa->bytes(), bytes);
}

TEST(Seal, NeverLeavesItsRoom)
{
    TestSa test;
    const Bytes header = test.header();
    HeaderInfo info;
    ASSERT_TRUE(parse_header(test.encap, header, info));
    const size_t head = seal_headroom(header.size());
    // (8 + 8 + 60 + 2) + 2 = 80: two octets of padding.
    const size_t tail = 2 + 2 + 16;
    struct Row {
        const char* name;
        size_t headroom, tailroom;
        bool passes;
    };
    const Row rows[] = {
        {"exactly", head, tail, true},
        {"headroom short by one", head - 1, tail, false},
        {"tailroom short by one", head, tail - 1, false},
        {"none", 0, 0, false},
        {"only tailroom", 0, 64, false},
        {"plenty", 512, 512, true},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.name);
        auto sa = test.make(SaDirection::outbound);
        // The buffer ends where the room ends: ASan sees a step beyond.
        Packet packet(tests::test_frame(60), row.headroom, row.tailroom);
        EXPECT_EQ(seal(*sa, header, info, &packet.frame, 1), row.passes ? 1u : 0u);
        if (row.passes) {
            EXPECT_EQ(packet.frame.headroom, row.headroom - head);
            EXPECT_EQ(packet.frame.tailroom, row.tailroom - tail);
        } else {
            EXPECT_EQ(packet.frame.reason, DropReason::no_room);
            EXPECT_EQ(packet.bytes(), tests::test_frame(60));
            EXPECT_EQ(sa->last_sequence(), 0u);     // no number wasted
        }
    }
}

TEST(Seal, LargestPacketIsWhatIpCanHold)
{
    for (bool ipv6 : {false, true}) {
        TestSa test{.ipv6 = ipv6};
        const Bytes header = test.header();
        HeaderInfo info;
        ASSERT_TRUE(parse_header(test.encap, header, info));
        // IP packet of 65532 octets: what is before and after the text is known.
        const size_t fixed = (ipv6 ? 40 : 20) + 8 + 16 + 16;
        const size_t largest = (65535 - fixed) / 4 * 4 - 2 - 16;
        for (size_t size : {largest, largest + 1, size_t{65536}, size_t{70000}}) {
            auto sa = test.make(SaDirection::outbound);
            Packet packet(tests::test_frame(size));
            EXPECT_EQ(seal(*sa, header, info, &packet.frame, 1), size == largest) << size;
            if (size != largest) {
                EXPECT_EQ(packet.frame.reason, DropReason::no_room);
            }
        }
    }
}

TEST(Seal, RefusesAHeaderThatIsNotTheSas)
{
    struct Row {
        const char* name;
        TestSa header;
        DropReason reason;
    };
    TestSa other_peer;
    const Row rows[] = {
        {"other VNI", {.vni = 5002}, DropReason::wrong_vni},
        {"other encapsulation", {.encap = Encap::vxlan}, DropReason::wrong_encap},
        {"other peer", {.ipv6 = true}, DropReason::unknown_peer},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.name);
        auto sa = TestSa().make(SaDirection::outbound);
        const Bytes header = row.header.header();
        HeaderInfo info;
        ASSERT_TRUE(parse_header(row.header.encap, header, info));
        Packet packet(tests::test_frame(60));
        EXPECT_EQ(seal(*sa, header, info, &packet.frame, 1), 0u);
        EXPECT_EQ(packet.frame.outcome, Outcome::dropped);
        EXPECT_EQ(packet.frame.reason, row.reason);
        EXPECT_EQ(packet.bytes(), tests::test_frame(60));
        EXPECT_EQ(sa->last_sequence(), 0u);
    }
}

TEST(Seal, StopsAtTheEndOfTheSa)
{
    struct Row {
        const char* name;
        bool esn;
        uint64_t hard_packets;
        uint64_t used;
        DropReason reason;
    };
    const Row rows[] = {
        {"packet limit", true, 10, 8, DropReason::sa_expired},
        {"32 bits are used up", false, 0, 0xfffffffd, DropReason::sequence_end},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.name);
        TestSa test{.esn = row.esn};
        SaConfig config = test.config(SaDirection::outbound);
        config.limits.hard_packets = row.hard_packets;
        auto sa = SaRuntime::make(config, *aead_libraries().at(0), {});
        ASSERT_TRUE(sa);
        (*sa)->reserve(row.used);
        const Bytes header = test.header();
        HeaderInfo info;
        ASSERT_TRUE(parse_header(test.encap, header, info));
        for (size_t passes : {2u, 0u}) {
            std::vector<Packet> packets;
            Frame frames[5];
            for (Frame& frame : frames) {
                packets.emplace_back(tests::test_frame(60));
                frame = packets.back().frame;
            }
            EXPECT_EQ(seal(**sa, header, info, frames, 5), passes);
            for (size_t i = 0; i < 5; i++) {
                EXPECT_EQ(frames[i].outcome, i < passes ? Outcome::passed : Outcome::dropped);
                if (i >= passes) {
                    EXPECT_EQ(frames[i].reason, row.reason);
                    EXPECT_EQ(packets[i].bytes(), tests::test_frame(60));
                }
            }
        }
    }
    TestSa test;
    auto sa = test.make(SaDirection::outbound);
    sa->expire();
    EXPECT_TRUE(tests::seal_one(*sa, test.header(), tests::test_frame(60)).empty());
}

TEST(ParseHeader, TakesWhatOvsPrebuilds)
{
    for (bool ipv6 : {false, true}) {
        for (bool vlan : {false, true}) {
            for (const char* options : {"", "01028001", "0102800101020304"}) {
                TestSa test{.ipv6 = ipv6, .vni = 0xabcdef};
                const Bytes header = test.header(from_hex(options), vlan);
                HeaderInfo info;
                ASSERT_TRUE(parse_header(Encap::geneve, header, info));
                EXPECT_EQ(info.remote, test.config(SaDirection::outbound).remote);
                EXPECT_EQ(info.vni, base::Vni(0xabcdef));
                EXPECT_EQ(info.ipv6, ipv6);
                EXPECT_EQ(info.l3_ofs, vlan ? 18 : 14);
                EXPECT_EQ(info.l4_ofs, info.l3_ofs + (ipv6 ? 40 : 20));
            }
        }
    }
}

TEST(ParseHeader, RefusesWhatIsNoSuchHeader)
{
    struct Row {
        const char* name;
        size_t ofs;
        uint8_t octet;
    };
    const Row rows[] = {
        {"EtherType ARP", 13, 0x06},   {"IP version 5", 14, 0x55},
        {"IP header too short", 14, 0x44}, {"IP header beyond the end", 14, 0x4f},
        {"TCP", 23, 6},                {"port 6081: in clear", 36, 0x17},
        {"options that are not there", 42, 0x01},
    };
    const Bytes good = TestSa().header();
    HeaderInfo info;
    ASSERT_TRUE(parse_header(Encap::geneve, good, info));
    EXPECT_FALSE(parse_header(Encap::vxlan, good, info));
    for (const Row& row : rows) {
        Bytes bad = good;
        bad[row.ofs] = row.octet;
        EXPECT_FALSE(parse_header(Encap::geneve, bad, info)) << row.name;
    }
    for (const TestSa& test : {TestSa(), TestSa{.ipv6 = true}, TestSa{.encap = Encap::vxlan}}) {
        for (bool vlan : {false, true}) {
            const Bytes whole = test.header({}, vlan);
            for (size_t size = 0; size < whole.size(); size++) {
                // In a buffer of that size, for ASan.
                const Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
                EXPECT_FALSE(parse_header(test.encap, cut, info)) << size;
            }
            Bytes longer = whole;
            longer.push_back(0);
            EXPECT_FALSE(parse_header(test.encap, longer, info));
        }
    }
    EXPECT_FALSE(parse_header(Encap::geneve, Bytes(600, 0x81), info));
}

}  // namespace
}  // namespace nvo3::esp
