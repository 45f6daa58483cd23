// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of esp/decap.h: what comes out, and everything that is refused.
#include "esp/decap.h"

#include <gtest/gtest.h>
#include <string.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "esp_packets.h"

namespace nvo3::esp {
namespace {

using base::Bytes;
using base::Encap;
using tests::from_hex;
using tests::Packet;
using tests::Receiver;
using tests::TestSa;

// An ESP packet of the SA around any text, with the headers of 'test'.
Bytes
seal_text(const TestSa& test, const Bytes& text, uint64_t sequence)
{
    const Bytes header = test.header();
    const size_t l3 = kEthernetSize;
    const size_t l4 = l3 + (test.ipv6 ? kIpv6Size : kIpv4Size);
    Bytes packet(header.begin(), header.begin() + static_cast<ptrdiff_t>(l4 + kUdpSize));
    const size_t udp_size = kUdpSize + kEspHeaderSize + kIvSize + text.size() + kIcvSize;
    store_be<uint16_t>(&packet[l4 + 4], static_cast<uint16_t>(udp_size));
    if (test.ipv6) {
        store_be<uint16_t>(&packet[l3 + 4], static_cast<uint16_t>(udp_size));
    } else {
        store_be<uint16_t>(&packet[l3 + 2], static_cast<uint16_t>(kIpv4Size + udp_size));
    }
    base::ByteWriter esp;
    esp.u32(test.spi);
    esp.u32(static_cast<uint32_t>(sequence));
    esp.u64(sequence);
    esp.bytes(text);
    esp.bytes(Bytes(kIcvSize));
    Bytes sealed = esp.take();

    AeadItem item{};
    item.iv = sealed.data() + kEspHeaderSize;
    item.text_size = static_cast<uint32_t>(text.size());
    store_be<uint32_t>(item.aad, test.spi);
    if (test.esn) {
        store_be<uint64_t>(item.aad + 4, sequence);
        item.aad_size = 12;
    } else {
        store_be<uint32_t>(item.aad + 4, static_cast<uint32_t>(sequence));
        item.aad_size = 8;
    }
    auto aead = aead_libraries().at(0)->make(test.cipher, tests::test_key(test.cipher));
    EXPECT_TRUE(aead->seal(&item, 1));
    packet.insert(packet.end(), sealed.begin(), sealed.end());
    return packet;
}

// UDP and tunnel header and a frame of 14 octets, with two octets of padding.
Bytes
good_text(const TestSa& test)
{
    base::ByteWriter text;
    text.u16(0xc001);
    text.u16(inner_port(test.encap));
    text.u16(8 + 8 + 14);
    text.u16(0);
    text.u32(test.encap == Encap::geneve ? 0x00006558 : 0x08000000);
    text.u32(test.vni << 8);
    text.bytes(tests::test_frame(14));
    text.bytes(Bytes{0, 17});
    return text.take();
}

// Outcomes of packets with this text: right in all but what 'change' does.
std::string
outcome_of_text(const TestSa& test, const std::function<void(Bytes&)>& change)
{
    Bytes text = good_text(test);
    change(text);
    return Receiver(test).outcome(seal_text(test, text, 1), test.encap);
}

TEST(Open, GivesBackWhatWasSealed)
{
    for (const AeadLibrary* library : aead_libraries()) {
        for (Cipher cipher : kCiphers) {
            for (int shape = 0; shape < 16; shape++) {
                const bool options = shape & 8;
                const TestSa test{.encap = shape & 1 ? Encap::vxlan : Encap::geneve,
                                  .cipher = cipher, .ipv6 = (shape & 2) != 0,
                                  .esn = (shape & 4) != 0};
                if (options && test.encap == Encap::vxlan) {
                    continue;
                }
                SCOPED_TRACE(std::string(library->name()) + " " + to_string(cipher) + " "
                             + std::to_string(shape));
                auto sender = test.make(SaDirection::outbound, library);
                Receiver receiver(test, library);
                const Bytes header =
                    test.header(from_hex(options ? "0102800101020304" : ""), shape & 1);
                for (size_t size : {14u, 15u, 16u, 17u, 60u, 1400u, 9000u}) {
                    const Bytes frame = tests::test_frame(size);
                    Packet packet(tests::seal_one(*sender, header, frame), 0, 0);
                    const Frame& out = receiver.open(packet, test.encap);
                    ASSERT_EQ(out.outcome, Outcome::passed) << to_string(out.reason);

                    // The header as prebuilt, with lengths and inner UDP.
                    Bytes expected = header;
                    expected.insert(expected.end(), frame.begin(), frame.end());
                    const size_t l3 = out.l3_ofs, l4 = out.l4_ofs;
                    const auto udp = static_cast<uint16_t>(expected.size() - l4);
                    store_be<uint16_t>(&expected[l4], 0xc001);
                    store_be<uint16_t>(&expected[l4 + 2], inner_port(test.encap));
                    store_be<uint16_t>(&expected[l4 + 4], udp);
                    if (test.ipv6) {
                        store_be<uint16_t>(&expected[l3 + 4], udp);
                    } else {
                        store_be<uint16_t>(&expected[l3 + 2],
                                           static_cast<uint16_t>(udp + kIpv4Size));
                        // Over a right header the sum is ffff (RFC 1071).
                        uint32_t sum = 0;
                        for (size_t ofs = 0; ofs < kIpv4Size; ofs += 2) {
                            sum += load_be<uint16_t>(out.data + l3 + ofs);
                        }
                        EXPECT_EQ((sum & 0xffff) + (sum >> 16), 0xffffu);
                        memcpy(&expected[l3 + 10], out.data + l3 + 10, 2);
                    }
                    ASSERT_EQ(base::to_hex(packet.view()), base::to_hex(expected));
                    EXPECT_EQ(out.headroom, 24u);
                    EXPECT_EQ(out.sa, receiver.sa);
                }
                EXPECT_EQ(receiver.sa->packets(), 7u);
                EXPECT_EQ(receiver.sa->last_sequence(), 7u);
                EXPECT_EQ(receiver.sa->bytes(), sender->bytes());
            }
        }
    }
}

struct ShapeRow {
    const char* name;
    std::function<void(Bytes&)> change;     // to the packet on the wire
    const char* outcome;
};

// Ethernet 14, IPv4 20 at 14, UDP 8 at 34, ESP at 42.
const ShapeRow kShapeRows[] = {
    {"as sealed", [](Bytes&) {}, "passed"},
    {"Ethernet padding behind it", [](Bytes& p) { p.resize(p.size() + 40); }, "passed"},
    {"IP packet larger than the frame", [](Bytes& p) { p[17]++; }, "short_packet"},
    {"IP packet smaller than UDP", [](Bytes& p) { p[17]--; }, "short_packet"},
    {"IP total length 0", [](Bytes& p) { p[16] = p[17] = 0; }, "short_packet"},
    {"more fragments", [](Bytes& p) { p[20] |= 0x20; }, "short_packet"},
    {"last fragment", [](Bytes& p) { p[21] = 1; }, "short_packet"},
    {"don't fragment, cleared", [](Bytes& p) { p[20] = 0; }, "passed"},
    {"not UDP", [](Bytes& p) { p[23] = 6; }, "short_packet"},
    {"UDP length beyond IP", [](Bytes& p) { p[39]++; }, "short_packet"},
    {"UDP length 7", [](Bytes& p) { p[38] = 0; p[39] = 7; }, "short_packet"},
    {"UDP ends before the ICV does", [](Bytes& p) { p[39] -= 4; }, "bad_icv"},
    {"UDP without payload", [](Bytes& p) { p[38] = 0; p[39] = 8; }, "short_packet"},
    {"NAT keep-alive", [](Bytes& p) { p[38] = 0; p[39] = 9; p[42] = 0xff; }, "short_packet"},
    {"a UDP checksum is not looked at", [](Bytes& p) { p[40] = 0x12; }, "passed"},
    {"port of clear Geneve", [](Bytes& p) { store_be<uint16_t>(&p[36], 6081); },
     "clear_packet"},
    {"another port", [](Bytes& p) { store_be<uint16_t>(&p[36], 4501); }, "clear_packet"},
    {"non-ESP marker", [](Bytes& p) { memset(&p[42], 0, 4); }, "non_esp"},
    {"non-ESP marker and nothing else",
     [](Bytes& p) { memset(&p[42], 0, 4); p[38] = 0; p[39] = 12; }, "non_esp"},
    {"ESP too short for its parts", [](Bytes& p) { p[38] = 0; p[39] = 8 + 35; }, "short_packet"},
    {"shortest ESP, wrong ICV", [](Bytes& p) { p[38] = 0; p[39] = 8 + 36; }, "bad_icv"},
    {"unknown SPI", [](Bytes& p) { p[42] ^= 0x80; }, "unknown_spi"},
    {"other source address", [](Bytes& p) { p[29]++; }, "wrong_address"},
    {"other destination address", [](Bytes& p) { p[33]++; }, "wrong_address"},
    {"another sequence number", [](Bytes& p) { p[49]++; }, "bad_icv"},
    {"sequence number 0", [](Bytes& p) { memset(&p[46], 0, 4); }, "old_sequence"},
    {"another IV", [](Bytes& p) { p[50]++; }, "bad_icv"},
    {"another octet", [](Bytes& p) { p[60]++; }, "bad_icv"},
    {"another ICV", [](Bytes& p) { p.back()++; }, "bad_icv"},
    // Several faults at once: the first check that fails is what counts.
    {"clear and short", [](Bytes& p) { store_be<uint16_t>(&p[36], 6081); p[39]++; },
     "short_packet"},
    {"clear and unknown SPI", [](Bytes& p) { store_be<uint16_t>(&p[36], 6081); p[42]++; },
     "clear_packet"},
    {"unknown SPI and address", [](Bytes& p) { p[42]++; p[29]++; }, "unknown_spi"},
    {"address and sequence number 0", [](Bytes& p) { p[29]++; memset(&p[46], 0, 4); },
     "wrong_address"},
    {"sequence number 0 and ICV", [](Bytes& p) { memset(&p[46], 0, 4); p.back()++; },
     "old_sequence"},
};

TEST(Open, RefusesByTheOutside)
{
    const TestSa test;
    for (const ShapeRow& row : kShapeRows) {
        SCOPED_TRACE(row.name);
        auto sender = test.make(SaDirection::outbound);
        Receiver receiver(test);
        const Bytes good = tests::seal_one(*sender, test.header(), tests::test_frame(60));
        Bytes packet = good;
        row.change(packet);
        EXPECT_EQ(receiver.outcome(packet), row.outcome);
        // Nothing that was refused has used up the number.
        EXPECT_EQ(receiver.outcome(good), strcmp(row.outcome, "passed") ? "passed" : "replayed");
        EXPECT_EQ(receiver.outcome(good), "replayed");
        EXPECT_EQ(receiver.sa->packets(), 1u);
    }
}

TEST(Open, RefusesByTheInside)
{
    struct Row {
        const char* name;
        std::function<void(Bytes&)> change;     // to the text before it is sealed
        const char* geneve;
        const char* vxlan;
    };
    // UDP 8, tunnel 8, frame 14, pad length at 30, next header at 31.
    const Row rows[] = {
        {"as it should be", [](Bytes&) {}, "passed", "passed"},
        {"padding 1 2 3 4", [](Bytes& t) { t = from_hex(base::to_hex(t).substr(0, 60) + "010203040411"); },
         "passed", "passed"},
        {"padding of 255", [](Bytes& t) {
             t.resize(30);
             for (int i = 1; i <= 255; i++) {
                 t.push_back(static_cast<uint8_t>(i));
             }
             t.push_back(255);
             t.push_back(17);
         }, "passed", "passed"},
        {"padding of zeros", [](Bytes& t) { t = from_hex(base::to_hex(t).substr(0, 60) + "0000000411"); },
         "bad_padding", "bad_padding"},
        {"padding from 0", [](Bytes& t) { t = from_hex(base::to_hex(t).substr(0, 60) + "000102030411"); },
         "bad_padding", "bad_padding"},
        {"padding larger than the text", [](Bytes& t) { t[30] = 31; }, "bad_padding", "bad_padding"},
        // The last octet of the IV would be its first, and all would be in order.
        {"padding that begins before the text", [](Bytes& t) {
             for (size_t i = 0; i < 30; i++) {
                 t[i] = static_cast<uint8_t>(i + 2);
             }
             t[30] = 31;
         }, "bad_padding", "bad_padding"},
        {"padding of 255 that is not there", [](Bytes& t) { t[30] = 255; }, "bad_padding", "bad_padding"},
        {"next header TCP", [](Bytes& t) { t[31] = 6; }, "bad_next_header", "bad_next_header"},
        {"next header IPv4: tunnel mode", [](Bytes& t) { t[31] = 4; }, "bad_next_header", "bad_next_header"},
        {"next header 0", [](Bytes& t) { t[31] = 0; }, "bad_next_header", "bad_next_header"},
        {"padding before next header", [](Bytes& t) { t[30] = 31; t[31] = 6; }, "bad_padding", "bad_padding"},
        {"dummy", [](Bytes& t) { t[31] = 59; }, "dummy", "dummy"},
        {"shortest dummy", [](Bytes& t) { t = from_hex("0102023b"); }, "dummy", "dummy"},
        {"dummy with wrong padding", [](Bytes& t) { t = from_hex("0202023b"); }, "bad_padding", "bad_padding"},
        {"text of the trailer alone", [](Bytes& t) { t = from_hex("01020211"); }, "bad_inner", "bad_inner"},
        {"inner UDP port 4500", [](Bytes& t) { store_be<uint16_t>(&t[2], 4500); }, "bad_inner", "bad_inner"},
        {"inner UDP port of the other", [](Bytes& t) { t[2] ^= 0x17 ^ 0x12; t[3] ^= 0xc1 ^ 0xb5; },
         "bad_inner", "bad_inner"},
        {"inner UDP length too large", [](Bytes& t) { t[5]++; }, "bad_inner", "bad_inner"},
        {"inner UDP length too small", [](Bytes& t) { t[5]--; }, "bad_inner", "bad_inner"},
        {"frame shorter than Ethernet", [](Bytes& t) {
             t = from_hex(base::to_hex(t).substr(0, 58) + "010111");
             t[5]--;
         }, "bad_inner", "bad_inner"},
        {"Geneve version 1, or no VXLAN flag changed", [](Bytes& t) { t[8] ^= 0x40; }, "bad_inner", "passed"},
        {"Geneve option beyond the end", [](Bytes& t) { t[8] ^= 0x01; }, "bad_inner", "passed"},
        {"Geneve options beyond the packet", [](Bytes& t) { t[8] ^= 0x3f; }, "bad_inner", "bad_inner"},
        {"VXLAN without VNI", [](Bytes& t) { t[8] &= 0xf7; }, "passed", "bad_inner"},
        {"Geneve of something else than Ethernet", [](Bytes& t) { t[11] ^= 1; }, "bad_inner", "passed"},
        {"other VNI", [](Bytes& t) { t[14]++; }, "wrong_vni", "wrong_vni"},
        {"other VNI, high octet", [](Bytes& t) { t[12] = 0x80; }, "wrong_vni", "wrong_vni"},
        {"reserved octet behind the VNI", [](Bytes& t) { t[15] = 1; }, "passed", "passed"},
        {"inner before VNI", [](Bytes& t) { t[5]++; t[14]++; }, "bad_inner", "bad_inner"},
    };
    for (const Row& row : rows) {
        for (bool ipv6 : {false, true}) {
            SCOPED_TRACE(row.name);
            EXPECT_EQ(outcome_of_text({.ipv6 = ipv6}, row.change), row.geneve);
            EXPECT_EQ(outcome_of_text({.encap = Encap::vxlan, .ipv6 = ipv6}, row.change),
                      row.vxlan);
        }
    }
}

TEST(Open, ReportsTheVniThatWasSeen)
{
    const TestSa test;
    Receiver receiver(test);
    Bytes text = good_text(test);
    store_be<uint32_t>(&text[12], 0xabcdef00);
    Packet packet(seal_text(test, text, 1), 0, 0);
    const Frame& frame = receiver.open(packet);
    EXPECT_EQ(frame.reason, DropReason::wrong_vni);
    EXPECT_EQ(frame.vni_seen, 0xabcdefu);
    EXPECT_EQ(frame.spi, test.spi);
    EXPECT_EQ(frame.sa, receiver.sa);
    EXPECT_EQ(outer_source(frame), receiver.sa->remote());
}

TEST(Open, SaOfAnotherTunnelKind)
{
    TestSa test;
    Receiver receiver(test);
    auto sender = test.make(SaDirection::outbound);
    Bytes packet = tests::seal_one(*sender, test.header(), tests::test_frame(60));
    store_be<uint16_t>(&packet[36], kVxlanPort);
    EXPECT_EQ(receiver.outcome(packet, Encap::vxlan), "wrong_encap");
    store_be<uint16_t>(&packet[36], kGenevePort);
    EXPECT_EQ(receiver.outcome(packet), "passed");
}

TEST(Open, ExpiredSa)
{
    TestSa test;
    Receiver receiver(test);
    auto sender = test.make(SaDirection::outbound);
    const Bytes packet = tests::seal_one(*sender, test.header(), tests::test_frame(60));
    receiver.sa->expire();
    EXPECT_EQ(receiver.outcome(packet), "sa_expired");
}

TEST(Open, AnyLocalAddress)
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
        Bytes octets = tests::seal_one(*sender, test.header(), tests::test_frame(60));
        octets[14 + (ipv6 ? 39 : 19)] = 77;
        Packet packet(octets);
        packet.find_headers();
        EXPECT_EQ(open(sad, test.encap, &packet.frame, 1), 1u);
    }
}

// The families do not mix: an IPv4 SA is not found by the same octets in IPv6.
TEST(Open, AddressOfTheOtherFamily)
{
    TestSa four;
    Receiver receiver(four);
    TestSa six{.ipv6 = true};
    auto sender = six.make(SaDirection::outbound);
    Bytes octets = tests::seal_one(*sender, six.header(), tests::test_frame(60));
    const auto mapped = receiver.sa->remote().bytes();
    EXPECT_EQ(receiver.outcome(octets), "wrong_address");
    // A v4-mapped source on the wire is not an IPv4 packet, but the same peer by
    // address; the destination still differs.
    memcpy(&octets[22], mapped.data(), 16);
    EXPECT_EQ(receiver.outcome(octets), "wrong_address");
}

TEST(Open, IpOptions)
{
    const TestSa test;
    auto sender = test.make(SaDirection::outbound);
    Receiver receiver(test);
    Bytes octets = tests::seal_one(*sender, test.header(), tests::test_frame(60));
    const Bytes options = from_hex("0101010194040000");
    octets.insert(octets.begin() + 34, options.begin(), options.end());
    octets[14] = 0x47;
    octets[17] = static_cast<uint8_t>(octets[17] + 8);
    Packet packet(octets);
    const Frame& frame = receiver.open(packet);
    ASSERT_EQ(frame.outcome, Outcome::passed);
    EXPECT_EQ(load_be<uint16_t>(frame.data + 16), frame.size - 14);
    EXPECT_EQ(base::to_hex({frame.data + 34, 8}), base::to_hex(options));
    // The stock code does not look for UDP behind options that it cannot see.
    Bytes wrong = octets;
    wrong[14] = 0x46;
    Packet second(wrong);
    second.find_headers();
    second.frame.l4_ofs = 42;
    EXPECT_EQ(open(receiver.sad, test.encap, &second.frame, 1), 0u);
    EXPECT_EQ(second.frame.reason, DropReason::short_packet);
}

TEST(Open, Ipv6ExtensionHeadersAreRefused)
{
    const TestSa test{.ipv6 = true};
    auto sender = test.make(SaDirection::outbound);
    Receiver receiver(test);
    Bytes octets = tests::seal_one(*sender, test.header(), tests::test_frame(60));
    const Bytes extension = from_hex("1100010400000000");
    octets.insert(octets.begin() + 54, extension.begin(), extension.end());
    octets[20] = 60;
    octets[19] = static_cast<uint8_t>(octets[19] + 8);
    Packet packet(octets);
    packet.find_headers();
    packet.frame.l4_ofs = 62;
    EXPECT_EQ(open(receiver.sad, test.encap, &packet.frame, 1), 0u);
    EXPECT_EQ(packet.frame.reason, DropReason::short_packet);
}

// A checksum of the outer header that was wrong is not put right.
TEST(Open, WrongIpChecksumStaysWrong)
{
    const TestSa test;
    auto sender = test.make(SaDirection::outbound);
    Receiver receiver(test);
    Bytes octets = tests::seal_one(*sender, test.header(), tests::test_frame(60));
    octets[25] ^= 1;
    Packet packet(octets);
    const Frame& frame = receiver.open(packet);
    ASSERT_EQ(frame.outcome, Outcome::passed);
    uint32_t sum = 0;
    for (size_t ofs = 0; ofs < kIpv4Size; ofs += 2) {
        sum += load_be<uint16_t>(frame.data + 14 + ofs);
    }
    EXPECT_NE((sum & 0xffff) + (sum >> 16), 0xffffu);
}

TEST(Open, HeadersThatTheSwitchDidNotFind)
{
    const TestSa test;
    Receiver receiver(test);
    auto sender = test.make(SaDirection::outbound);
    Packet packet(tests::seal_one(*sender, test.header(), tests::test_frame(60)), 0, 0);
    for (const auto& [l3, l4] : {std::pair<int, int>{0xffff, 0xffff}, {14, 0xffff}, {14, 14},
                                 {34, 14}, {0, 0}, {14, 33}, {150, 170}}) {
        packet.frame.outcome = Outcome::pending;
        packet.frame.l3_ofs = static_cast<uint16_t>(l3);
        packet.frame.l4_ofs = static_cast<uint16_t>(l4);
        EXPECT_EQ(open(receiver.sad, test.encap, &packet.frame, 1), 0u) << l3 << " " << l4;
        EXPECT_EQ(packet.frame.reason, DropReason::short_packet);
        outer_source(packet.frame);
    }
}

TEST(Open, EsnMustAgree)
{
    for (bool sender_esn : {false, true}) {
        for (bool receiver_esn : {false, true}) {
            auto sender = TestSa{.esn = sender_esn}.make(SaDirection::outbound);
            Receiver receiver({.esn = receiver_esn});
            const Bytes packet =
                tests::seal_one(*sender, TestSa().header(), tests::test_frame(60));
            EXPECT_EQ(receiver.outcome(packet),
                      sender_esn == receiver_esn ? "passed" : "bad_icv");
        }
    }
}

// Along with the sender across 2^32, out of order and with replays.
TEST(Open, EsnAcross2To32)
{
    const TestSa test{.window = 64};
    auto sender = test.make(SaDirection::outbound);
    Receiver receiver(test);
    const auto next = [&] {
        return tests::seal_one(*sender, test.header(), tests::test_frame(60));
    };
    sender->reserve(0x80000000);
    EXPECT_EQ(receiver.outcome(next()), "passed");
    sender->reserve(0xfffffff0 - sender->last_sequence());
    std::vector<Bytes> packets;
    for (int i = 0; i < 40; i++) {
        packets.push_back(next());
    }
    EXPECT_EQ(receiver.outcome(packets[0]), "passed");
    EXPECT_EQ(receiver.outcome(packets[30]), "passed");
    EXPECT_EQ(receiver.outcome(packets[1]), "passed");
    EXPECT_EQ(receiver.outcome(packets[15]), "passed");
    EXPECT_EQ(receiver.outcome(packets[1]), "replayed");
    EXPECT_EQ(receiver.outcome(packets[30]), "replayed");
    EXPECT_EQ(receiver.outcome(packets[39]), "passed");
    EXPECT_EQ(receiver.sa->last_sequence(), 0xfffffff0 + 40ull);
}

TEST(Open, OldPackets)
{
    const TestSa test{.window = 64};
    auto sender = test.make(SaDirection::outbound);
    Receiver receiver(test);
    std::vector<Bytes> packets;
    for (int i = 0; i < 65; i++) {
        packets.push_back(tests::seal_one(*sender, test.header(), tests::test_frame(60)));
    }
    EXPECT_EQ(receiver.outcome(packets[64]), "passed");
    EXPECT_EQ(receiver.outcome(packets[1]), "passed");
    // With ESN the low half of number 1 now means one of the next cycle, which
    // the ICV refuses; without, it is old.
    EXPECT_EQ(receiver.outcome(packets[0]), "bad_icv");

    const TestSa plain{.esn = false, .window = 64};
    auto second = plain.make(SaDirection::outbound);
    Receiver old(plain);
    const Bytes first = tests::seal_one(*second, plain.header(), tests::test_frame(60));
    second->reserve(63);
    EXPECT_EQ(old.outcome(tests::seal_one(*second, plain.header(), tests::test_frame(60))),
              "passed");
    EXPECT_EQ(old.outcome(first), "old_sequence");
}

// Batches of several SAs, in turns and in runs, with every kind of frame.
TEST(Open, Batch)
{
    const TestSa tests_of[] = {{.spi = 1000}, {.cipher = Cipher::aes256gmac, .spi = 1001},
                               {.cipher = Cipher::chacha20poly1305, .spi = 1002, .vni = 7}};
    tests::ImmediateReclaimer reclaimer;
    Sad sad(reclaimer);
    std::vector<std::unique_ptr<SaRuntime>> senders;
    for (const TestSa& test : tests_of) {
        senders.push_back(test.make(SaDirection::outbound));
        ASSERT_TRUE(sad.add_inbound(test.make(SaDirection::inbound)));
    }
    std::vector<Packet> packets;
    Frame frames[kMaxBatch];
    const auto add = [&](size_t i, const Bytes& octets) {
        packets.emplace_back(octets, 0, 0);
        packets.back().find_headers();
        frames[i] = packets.back().frame;
    };
    const auto sealed = [&](size_t which) {
        return tests::seal_one(*senders[which], tests_of[which].header(),
                               tests::test_frame(60));
    };
    Bytes again;
    for (size_t i = 0; i < kMaxBatch; i++) {
        Bytes octets = sealed(i < 12 ? i / 4 : i % 3);
        if (i == 9) {
            octets[60] ^= 1;
        } else if (i == 10) {
            octets[42] ^= 1;
        } else if (i == 13) {
            again = octets;
        } else if (i == 16 || i == 17) {
            octets = again;
        }
        add(i, octets);
    }
    frames[20].outcome = Outcome::dummy;        // somebody else's affair
    EXPECT_EQ(open(sad, Encap::geneve, frames, kMaxBatch), kMaxBatch - 5);
    for (size_t i = 0; i < kMaxBatch; i++) {
        SCOPED_TRACE(i);
        if (i == 9) {
            EXPECT_EQ(frames[i].reason, DropReason::bad_icv);
        } else if (i == 10) {
            EXPECT_EQ(frames[i].reason, DropReason::unknown_spi);
            EXPECT_EQ(frames[i].sa, nullptr);
        } else if (i == 16 || i == 17) {
            EXPECT_EQ(frames[i].reason, DropReason::replayed);
        } else if (i == 20) {
            EXPECT_EQ(frames[i].outcome, Outcome::dummy);
        } else {
            ASSERT_EQ(frames[i].outcome, Outcome::passed);
            const Bytes frame(frames[i].data + 50, frames[i].data + frames[i].size);
            EXPECT_EQ(frame, tests::test_frame(60));
        }
    }
}

// Several threads receive copies of the same packets: each number passes once.
TEST(Open, ThreadsOnOneSaTakeEachPacketOnce)
{
    constexpr size_t kPackets = 500;
    const TestSa test;
    auto sender = test.make(SaDirection::outbound);
    Receiver receiver(test);
    std::vector<Bytes> octets;
    for (size_t i = 0; i < kPackets; i++) {
        octets.push_back(tests::seal_one(*sender, test.header(), tests::test_frame(60)));
    }
    std::vector<std::atomic<int>> passed(kPackets);
    std::vector<std::thread> threads;
    for (size_t t = 0; t < 3; t++) {
        threads.emplace_back([&, t] {
            for (size_t i = 0; i < kPackets; i++) {
                const size_t which = i ^ (t * 5 % 8);
                if (which < kPackets) {
                    Packet packet(octets[which]);
                    packet.find_headers();
                    passed[which] += static_cast<int>(
                        open(receiver.sad, test.encap, &packet.frame, 1));
                }
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    for (size_t i = 0; i < kPackets; i++) {
        EXPECT_EQ(passed[i], 1) << i;
    }
    EXPECT_EQ(receiver.sa->packets(), kPackets);
}

}  // namespace
}  // namespace nvo3::esp
