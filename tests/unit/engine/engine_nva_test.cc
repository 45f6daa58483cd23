// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of ports with nvo3_vnis=nva and of groups in the engine
// (engine.cc, ports.cc, sa_keeper.cc, report.cc): 'a' sends to the group, 'b' is
// a member.
#include <algorithm>

#include "tests/unit/engine/engine_fixture.h"

namespace nvo3::engine {
namespace {

using esp::SaDirection;

constexpr uint32_t kGroupSpi = Spi::kFirstOfGroups + 1;

class NvaTest : public EngineTest {
protected:
    NvaTest()
    {
        for (Engine* engine : {a.get(), b.get()}) {
            EXPECT_TRUE(set_nva_port(*engine).ok());
        }
        a->remove_port("tun2");
        b->remove_port("tun1");
    }

    static base::Status set_nva_port(Engine& engine, const char* name = "nva")
    {
        return set_port(engine, name, "flow", "flow", "nva");
    }

    esp::SaConfig group_sa(SaDirection direction, uint32_t spi = kGroupSpi)
    {
        esp::SaConfig config = sa(direction, spi, direction == SaDirection::inbound ? kA : kGroup);
        config.group = kGroup;
        config.esn = false;
        return config;
    }

    void connect_group()
    {
        {
            auto agent = connect(*a);
            ASSERT_EQ(install(*a, *agent, group_sa(SaDirection::outbound)), 0u);
        }
        a_socket_away();
        agent_b = connect(*b);
        ASSERT_EQ(install(*b, *agent_b, group_sa(SaDirection::inbound)), 0u);
    }

    base::Bytes group_packet()
    {
        FakePacket packet(tests::vm_frame(100));
        const auto sealed = seal(*a, group_header(), packet);
        EXPECT_TRUE(sealed.has_value());
        return sealed ? base::Bytes(sealed->data, sealed->data + sealed->size) : base::Bytes();
    }

    base::Bytes group_header()
    {
        return tests::tunnel_header(Encap::geneve, kA, kGroup, Vni(5001), a->peer_index(kGroup));
    }

    // SAs that 'engine' still has.
    size_t sas(Engine& engine)
    {
        const std::string list = engine.sa_list(false);
        return list.starts_with("no ") ? 0 : static_cast<size_t>(std::ranges::count(list, '\n'));
    }

    const IpAddress kGroup = *IpAddress::parse("239.1.1.1");
    std::unique_ptr<AgentClient> agent_b;
};

TEST_F(NvaTest, GroupPacketPassesOnce)
{
    connect_group();
    const base::Bytes first = group_packet(), second = group_packet();
    EXPECT_TRUE(open(*b, first).has_value());
    EXPECT_FALSE(open(*b, first).has_value());
    EXPECT_TRUE(open(*b, second).has_value());
    base::Bytes elsewhere = group_packet();
    elsewhere[33] = 2;      // another group
    EXPECT_FALSE(open(*b, elsewhere).has_value());
    EXPECT_EQ(statistic(*a, "nva", "nvo3_sealed"), 3u);
    EXPECT_EQ(statistic(*b, "nva", "nvo3_opened"), 2u);
    EXPECT_EQ(statistic(*b, "nva", "nvo3_drop_replayed"), 1u);
    EXPECT_EQ(statistic(*b, "nva", "nvo3_drop_wrong_address"), 1u);
}

// The pair's SAs and the group's are told apart where both have one remote.
TEST_F(NvaTest, CountsAndRemovesPairsAlone)
{
    connect_group();
    EXPECT_EQ(status(*b, "nva").at("nvo3_sas"), "in=0 out=0");
    ASSERT_EQ(install(*b, *agent_b, sa(SaDirection::inbound, 0x1001, kA)), 0u);
    EXPECT_EQ(status(*b, "nva").at("nvo3_sas"), "in=1 out=0");
    EXPECT_EQ(status(*b, "nva").at("nvo3_cipher"), "nva");
    EXPECT_NE(b->sa_list(false).find("192.0.2.1 group 239.1.1.1 geneve VNI 5001 SPI 80000001"),
              std::string::npos) << b->sa_list(false);
    EXPECT_NE(b->sa_list(true).find("\"group\":\"239.1.1.1\""), std::string::npos);
    EXPECT_EQ(request(*b, *agent_b, msg::RemovePeer{2, kA}), 0u);
    EXPECT_EQ(status(*b, "nva").at("nvo3_sas"), "in=0 out=0");
    EXPECT_TRUE(open(*b, group_packet()).has_value());
    EXPECT_EQ(request(*b, *agent_b, msg::RemoveSa{3, SaDirection::inbound, Spi(kGroupSpi), kA, Encap::geneve, Vni(5001)}), 0u);
    EXPECT_FALSE(open(*b, group_packet()).has_value());
}

TEST_F(NvaTest, ListSaysWhatIsOfAGroup)
{
    connect_group();
    agent_b->send(msg::ListSas{9});
    b->run();
    ASSERT_TRUE(agent_b->read());
    const auto records = agent_b->take<msg::SaRecord>();
    ASSERT_EQ(records.size(), 1u);
    EXPECT_EQ(records[0].group, kGroup);
    EXPECT_EQ(records[0].remote, kA);
    EXPECT_FALSE(records[0].esn);
}

TEST_F(NvaTest, ExpiringSaysTheGroup)
{
    auto agent = connect(*a);
    esp::SaConfig config = group_sa(SaDirection::outbound);
    config.limits.soft_packets = 1;
    ASSERT_EQ(install(*a, *agent, std::move(config)), 0u);
    group_packet();
    host.advance_ms(300);
    a->run();
    ASSERT_TRUE(agent->read());
    const auto told = agent->take<msg::SaExpiring>();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0], (msg::SaExpiring{SaDirection::outbound, Spi(kGroupSpi), kGroup, kGroup, Encap::geneve,
                                        Vni(5001), esp::ExpiryReason::soft_packets}));
}

// Served from the first SA on, so that its end is noticed.
TEST_F(NvaTest, AcquiresWhatThereWasAnSaFor)
{
    auto agent = connect(*a);
    const auto acquired = [&](base::ByteView header) {
        host.advance_ms(1000);
        FakePacket packet(tests::vm_frame(100));
        EXPECT_FALSE(seal(*a, header, packet).has_value());
        a->run();
        EXPECT_TRUE(agent->read());
        return agent->take<msg::Acquire>();
    };
    EXPECT_TRUE(acquired(group_header()).empty());
    ASSERT_EQ(install(*a, *agent, group_sa(SaDirection::outbound)), 0u);
    ASSERT_EQ(request(*a, *agent, msg::RemoveSa{5, SaDirection::outbound, Spi(kGroupSpi), kGroup, Encap::geneve, Vni(5001)}), 0u);
    const auto heard = acquired(group_header());
    ASSERT_EQ(heard.size(), 1u);
    EXPECT_EQ(heard[0], (msg::Acquire{kGroup, kA, Encap::geneve, Vni(5001)}));
    EXPECT_EQ(statistic(*a, "nva", "nvo3_drop_no_sa"), 1u);
    EXPECT_EQ(statistic(*a, "nva", "nvo3_acquires"), 1u);
}

// Any remote, network and cipher, before the port is there and after.
TEST_F(NvaTest, CarriesWhatTheAgentInstalls)
{
    auto agent = connect(*a);
    a->remove_port("nva");
    ASSERT_EQ(install(*a, *agent, group_sa(SaDirection::outbound)), 0u);
    FakePacket refused(tests::vm_frame(100));
    EXPECT_FALSE(seal(*a, group_header(), refused).has_value());
    ASSERT_TRUE(set_nva_port(*a).ok());
    group_packet();

    for (uint32_t vni : {1u, 0xffffffu}) {
        esp::SaConfig config = sa(SaDirection::outbound, 0x2000 + (vni & 1) + vni % 7, kB, vni);
        config.cipher = esp::Cipher::aes256gmac;
        config.key = base::Secret(esp::key_material_size(config.cipher));
        ASSERT_EQ(install(*a, *agent, std::move(config)), 0u);
        FakePacket packet(tests::vm_frame(100));
        EXPECT_TRUE(seal(*a, header(vni), packet).has_value()) << vni;
    }
}

TEST_F(NvaTest, PortTakesItsSasAlong)
{
    auto agent = connect(*a);
    ASSERT_TRUE(set_port(*a, "tun2", kB.to_string()).ok());
    ASSERT_EQ(install(*a, *agent, group_sa(SaDirection::outbound)), 0u);
    ASSERT_EQ(install(*a, *agent, group_sa(SaDirection::inbound, kGroupSpi + 1)), 0u);
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB)), 0u);
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1002, kB, 5002)), 0u);
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::inbound, 0x1003, kA, 5001)), 0u);
    EXPECT_EQ(sas(*a), 5u);
    // Nothing changes as long as there is another one.
    ASSERT_TRUE(set_nva_port(*a, "nva2").ok());
    a->remove_port("nva2");
    EXPECT_EQ(sas(*a), 5u);
    a->remove_port("nva");
    // What tun2 carries stays.
    EXPECT_EQ(sas(*a), 1u);
    EXPECT_NE(a->sa_list(false).find("00001001"), std::string::npos);
    FakePacket packet(tests::vm_frame(100));
    EXPECT_FALSE(seal(*a, group_header(), packet).has_value());
}

TEST_F(NvaTest, GroupOutlivesAPortTowardsTheSender)
{
    connect_group();
    ASSERT_TRUE(set_port(*b, "tun1", kA.to_string()).ok());
    b->remove_port("tun1");
    EXPECT_TRUE(open(*b, group_packet()).has_value());
}

// A port towards the sender is for the pair: it keeps no SA of a group.
TEST_F(NvaTest, GroupGoesWithThePortOfTheNva)
{
    connect_group();
    ASSERT_TRUE(set_port(*b, "tun1", kA.to_string()).ok());
    b->remove_port("nva");
    EXPECT_EQ(sas(*b), 0u);
}

// What the configuration asks for, the NVA cannot weaken.
TEST_F(NvaTest, CipherOfAnotherPortHolds)
{
    auto agent = connect(*a);
    ASSERT_TRUE(set_port(*a, "tun2", kB.to_string(), "5001", nullptr, "high").ok());
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB)), static_cast<uint32_t>(EINVAL));
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB, 5002)), 0u);
    EXPECT_EQ(status(*a, "nva").at("nvo3_sas"), "in=0 out=1");
    EXPECT_EQ(status(*a, "tun2").at("nvo3_sas"), "in=0 out=0");
}

}  // namespace
}  // namespace nvo3::engine
