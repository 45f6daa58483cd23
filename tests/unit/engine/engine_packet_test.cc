// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of ovs-ext/engine/packet.cc: from one engine to another, and what is
// refused on the way, under which counter.
#include "tests/unit/engine/engine_fixture.h"

namespace nvo3::engine {
namespace {

constexpr size_t kOuter = 14 + 20 + 8;      // Ethernet, IPv4, UDP
constexpr size_t kEsp = kOuter;             // of a sealed packet: SPI, sequence, IV

TEST_F(EngineTest, FrameArrivesAsItWas)
{
    connect_one_way();
    for (size_t size : {0u, 1u, 46u, 47u, 48u, 49u, 1400u, 9000u}) {
        const base::Bytes frame = tests::vm_frame(size);
        const base::Bytes wire = on_the_wire(frame);
        // Nothing of the frame can be seen.
        if (size >= 46) {
            EXPECT_EQ(std::search_n(wire.begin(), wire.end(), 16, 0x45), wire.end());
        }
        const auto opened = open(*b, wire);
        ASSERT_TRUE(opened.has_value()) << size;
        ASSERT_EQ(opened->size(), kOuter + 8 + frame.size());
        EXPECT_TRUE(std::equal(frame.begin(), frame.end(), opened->begin() + kOuter + 8)) << size;
        // IP and UDP lengths; no UDP checksum.
        EXPECT_EQ((*opened)[16] << 8 | (*opened)[17], static_cast<int>(opened->size() - 14));
        EXPECT_EQ((*opened)[38] << 8 | (*opened)[39], static_cast<int>(opened->size() - 34));
        EXPECT_EQ((*opened)[40] << 8 | (*opened)[41], 0);
    }
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_sealed"), 8u);
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_opened"), 8u);
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_sealed_bytes"), statistic(*b, "tun1", "nvo3_opened_bytes"));
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_opened_bytes"), 8u * 14 + 46 + 47 + 48 + 49 + 1 + 1400 + 9000);
}

TEST_F(EngineTest, VxlanAndIpv6)
{
    const IpAddress a6 = *IpAddress::parse("fd31::1");
    const IpAddress b6 = *IpAddress::parse("fd31::2");
    ASSERT_TRUE(set_port(*a, "v6", "fd31::2", "7", nullptr, nullptr, NVO3_ENCAP_VXLAN).ok());
    ASSERT_TRUE(set_port(*b, "v6", "fd31::1", "7", nullptr, nullptr, NVO3_ENCAP_VXLAN).ok());
    {
        auto agent = connect(*a);
        ASSERT_EQ(install(*a, *agent, sa(esp::SaDirection::outbound, 300, b6, 7, Encap::vxlan)), 0u);
    }
    a_socket_away();
    auto agent = connect(*b);
    ASSERT_EQ(install(*b, *agent, sa(esp::SaDirection::inbound, 300, a6, 7, Encap::vxlan)), 0u);

    const base::Bytes frame = tests::vm_frame(100);
    FakePacket packet(frame);
    const auto sealed = seal(*a, tests::tunnel_header(Encap::vxlan, a6, b6, Vni(7), a->peer_index(b6)),
                             packet, Encap::vxlan);
    ASSERT_TRUE(sealed.has_value());
    const auto opened = open(*b, FakePacket::octets(*sealed), Encap::vxlan);
    ASSERT_TRUE(opened.has_value());
    EXPECT_TRUE(std::equal(frame.begin(), frame.end(), opened->end() - static_cast<ptrdiff_t>(frame.size())));
    EXPECT_EQ(statistic(*b, "v6", "nvo3_opened_bytes"), frame.size());
    EXPECT_EQ(statistic(*b, "v6", "nvo3_opened"), 1u);
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_opened"), 0u);
}

// ---- Refused on sending ----

TEST_F(EngineTest, WithoutAnSaNothingLeaves)
{
    FakePacket packet(tests::vm_frame(100));
    EXPECT_FALSE(seal(*a, header(), packet).has_value());
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_drop_no_sa"), 1u);
    // With one for another network of the same port, neither.
    ASSERT_TRUE(set_port(*a, "tun2", kB.to_string(), "flow", "5001,5002").ok());
    ASSERT_TRUE(set_port(*b, "tun1", kA.to_string(), "flow", "5001,5002").ok());
    connect_one_way(0x1001, 5002);
    EXPECT_FALSE(seal(*a, header(), packet).has_value());
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_drop_no_sa"), 2u);
}

TEST_F(EngineTest, UnknownPeerIsRefused)
{
    const IpAddress stranger = *IpAddress::parse("192.0.2.99");
    FakePacket packet(tests::vm_frame(100));
    const base::Bytes to_stranger =
        tests::tunnel_header(Encap::geneve, kA, stranger, Vni(5001), a->peer_index(stranger));
    EXPECT_FALSE(seal(*a, to_stranger, packet).has_value());
    // An index that was never given out, and none.
    for (uint16_t index : {uint16_t{999}, uint16_t{0}, uint16_t{65535}}) {
        const base::Bytes odd = tests::tunnel_header(Encap::geneve, kA, kB, Vni(5001), index);
        EXPECT_FALSE(seal(*a, odd, packet).has_value());
    }
    // One peer's index with another's address.
    connect_one_way();
    const base::Bytes mixed =
        tests::tunnel_header(Encap::geneve, kA, stranger, Vni(5001), a->peer_index(kB));
    EXPECT_FALSE(seal(*a, mixed, packet).has_value());
    EXPECT_NE(a->counters(true).find("\"nvo3_drop_unknown_peer\":5"), std::string::npos);
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_drop_unknown_peer"), 0u);
}

TEST_F(EngineTest, OffloadedFrameIsRefusedOthersPass)
{
    connect_one_way();
    FakePacket first(tests::vm_frame(10)), second(tests::vm_frame(10));
    nvo3_frame frames[] = {first.frame(), second.frame()};
    frames[0].offload = true;
    a->seal(Encap::geneve, header(), frames, 2);
    EXPECT_TRUE(frames[0].refused);
    EXPECT_FALSE(frames[1].refused);
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_drop_offload"), 1u);
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_sealed"), 1u);
}

TEST_F(EngineTest, MakesRoomWhereThereIsNone)
{
    connect_one_way();
    struct Row {
        size_t headroom, tailroom;
    };
    for (const Row& row : {Row{0, 64}, Row{128, 4}, Row{0, 0}}) {
        FakePacket packet(tests::vm_frame(100), row.headroom, row.tailroom);
        host.made_room = 0;
        const auto sealed = seal(*a, header(), packet);
        ASSERT_TRUE(sealed.has_value());
        EXPECT_EQ(host.made_room, 1);
        EXPECT_TRUE(open(*b, FakePacket::octets(*sealed)).has_value());
    }
    host.memory = false;
    FakePacket packet(tests::vm_frame(100), 0, 0);
    EXPECT_FALSE(seal(*a, header(), packet).has_value());
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_drop_no_room"), 1u);
}

TEST_F(EngineTest, TooBigIsCountedAndSent)
{
    connect_one_way();
    const auto send = [&](size_t size) {
        FakePacket packet(tests::vm_frame(size));
        EXPECT_TRUE(seal(*a, header(), packet).has_value());
        return statistic(*a, "tun2", "nvo3_too_big");
    };
    EXPECT_EQ(send(9000), 0u);      // the underlay's MTU is unknown
    a->set_underlay_mtu("tun2", 1500);
    const size_t fits = std::stoul(status(*a, "tun2").at("nvo3_effective_mtu"));
    EXPECT_EQ(fits, 1408u);
    EXPECT_EQ(send(fits), 0u);
    EXPECT_EQ(send(fits + 1), 1u);
}

// ---- Refused on receiving ----

TEST_F(EngineTest, EachForgeryHasItsCounter)
{
    connect_one_way();
    struct Row {
        const char* counter;
        void (*change)(base::Bytes&);
    };
    const Row rows[] = {
        {"nvo3_drop_bad_icv", [](base::Bytes& p) { p[kEsp + 20] ^= 1; }},
        {"nvo3_drop_bad_icv", [](base::Bytes& p) { p.back() ^= 1; }},
        {"nvo3_drop_unknown_spi", [](base::Bytes& p) { p[kEsp] ^= 1; }},
        {"nvo3_drop_non_esp", [](base::Bytes& p) { std::memset(&p[kEsp], 0, 4); }},
        {"nvo3_drop_short_packet", [](base::Bytes& p) { p.resize(p.size() - 1); }},
        {"nvo3_drop_clear_packet", [](base::Bytes& p) { p[36] = 6081 >> 8; p[37] = 6081 & 0xff; }},
    };
    for (const Row& row : rows) {
        base::Bytes packet = on_the_wire(tests::vm_frame(100));
        row.change(packet);
        const uint64_t before = statistic(*b, "tun1", row.counter);
        EXPECT_FALSE(open(*b, packet).has_value()) << row.counter;
        EXPECT_EQ(statistic(*b, "tun1", row.counter), before + 1) << row.counter;
    }
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_opened"), 0u);
}

TEST_F(EngineTest, ReplayIsRefused)
{
    connect_one_way();
    const base::Bytes packet = on_the_wire(tests::vm_frame(100));
    EXPECT_TRUE(open(*b, packet).has_value());
    EXPECT_FALSE(open(*b, packet).has_value());
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_drop_replayed"), 1u);
}

TEST_F(EngineTest, StrangersPacketsAreOfNoPort)
{
    connect_one_way();
    base::Bytes packet = on_the_wire(tests::vm_frame(100));
    packet[14 + 15] = 77;       // outer source 192.0.2.77
    packet[kEsp] ^= 1;          // and an SPI of nobody
    EXPECT_FALSE(open(*b, packet).has_value());
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_drop_unknown_spi"), 0u);
    EXPECT_NE(b->counters(false).find("of no port:\n  nvo3_drop_unknown_spi: 1"), std::string::npos)
        << b->counters(false);

    // With the SPI of an SA, it is that SA's peer who is concerned.
    base::Bytes spoofed = on_the_wire(tests::vm_frame(100));
    spoofed[14 + 15] = 77;
    EXPECT_FALSE(open(*b, spoofed).has_value());
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_drop_wrong_address"), 1u);
}

TEST_F(EngineTest, ClearTunnelPacketIsRefused)
{
    connect_one_way();
    base::Bytes packet = tests::tunnel_header(Encap::geneve, kA, kB, Vni(5001), 0);
    const base::Bytes frame = tests::vm_frame(100);
    packet.insert(packet.end(), frame.begin(), frame.end());
    const auto ip_size = static_cast<uint16_t>(packet.size() - 14);
    packet[16] = static_cast<uint8_t>(ip_size >> 8);
    packet[17] = static_cast<uint8_t>(ip_size);
    packet[36] = 6081 >> 8;
    packet[37] = 6081 & 0xff;
    packet[38] = static_cast<uint8_t>((ip_size - 20) >> 8);
    packet[39] = static_cast<uint8_t>(ip_size - 20);
    EXPECT_FALSE(open(*b, packet).has_value());
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_drop_clear_packet"), 1u);
}

TEST_F(EngineTest, OtherNetworksVniUnderAValidKeyIsRefusedAndAlarmed)
{
    // Both ends have SPI 0x1001 with one key, but 'b' has it for VNI 5001: a
    // peer that puts another network's VNI into its own tunnel.
    ASSERT_TRUE(set_port(*a, "evil", kB.to_string(), "6666").ok());
    {
        auto agent = connect(*a);
        ASSERT_EQ(install(*a, *agent, sa(esp::SaDirection::outbound, 0x1001, kB, 6666)), 0u);
    }
    a_socket_away();
    auto agent = connect(*b);
    ASSERT_EQ(install(*b, *agent, sa(esp::SaDirection::inbound, 0x1001, kA, 5001)), 0u);

    for (int i = 0; i < 3; i++) {
        EXPECT_FALSE(open(*b, on_the_wire(tests::vm_frame(100), 6666)).has_value());
    }
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_drop_wrong_vni"), 3u);

    b->run();
    ASSERT_TRUE(agent->read());
    auto alarms = agent->take<msg::Alarm>();
    ASSERT_EQ(alarms.size(), 1u);
    EXPECT_EQ(alarms[0].reason, esp::DropReason::wrong_vni);
    EXPECT_EQ(alarms[0].remote, kA);
    EXPECT_EQ(alarms[0].vni_expected, Vni(5001));
    EXPECT_EQ(alarms[0].vni_seen, Vni(6666));
    EXPECT_EQ(alarms[0].spi, Spi(0x1001));
    EXPECT_EQ(alarms[0].count, 3u);

    // Once a second, with the number since.
    EXPECT_FALSE(open(*b, on_the_wire(tests::vm_frame(100), 6666)).has_value());
    b->run();
    ASSERT_TRUE(agent->read());
    EXPECT_TRUE(agent->take<msg::Alarm>().empty());
    host.advance_ms(1000);
    EXPECT_FALSE(open(*b, on_the_wire(tests::vm_frame(100), 6666)).has_value());
    b->run();
    ASSERT_TRUE(agent->read());
    alarms = agent->take<msg::Alarm>();
    ASSERT_EQ(alarms.size(), 1u);
    EXPECT_EQ(alarms[0].count, 2u);
}

TEST_F(EngineTest, BatchOfMixedFramesInOneCall)
{
    connect_one_way();
    std::vector<FakePacket> packets;
    packets.reserve(32);
    std::vector<nvo3_frame> frames;
    for (int i = 0; i < 32; i++) {
        packets.emplace_back(tests::vm_frame(static_cast<size_t>(100 + i)));
        frames.push_back(packets.back().frame());
    }
    a->seal(Encap::geneve, header(), frames.data(), frames.size());
    std::vector<FakePacket> received;
    received.reserve(32);
    std::vector<nvo3_frame> in;
    for (int i = 0; i < 32; i++) {
        ASSERT_FALSE(frames[static_cast<size_t>(i)].refused);
        base::Bytes wire(frames[static_cast<size_t>(i)].data,
                         frames[static_cast<size_t>(i)].data + frames[static_cast<size_t>(i)].size);
        if (i % 4 == 3) {
            wire.back() ^= 1;
        }
        received.emplace_back(wire);
        in.push_back(received.back().frame());
        in.back().l3_ofs = 14;
        in.back().l4_ofs = 34;
    }
    b->open(Encap::geneve, in.data(), in.size());
    for (size_t i = 0; i < 32; i++) {
        EXPECT_EQ(in[i].refused, i % 4 == 3) << i;
    }
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_opened"), 24u);
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_drop_bad_icv"), 8u);
}

}  // namespace
}  // namespace nvo3::engine
