// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of ovs-ext/engine/engine.cc, sa_keeper.cc, notifier.cc and
// report.cc: what the agent asks for and hears, lifetimes, status.
#include "tests/unit/engine/engine_fixture.h"

namespace nvo3::engine {
namespace {

using esp::ExpiryReason;
using esp::SaDirection;

bool
sends(EngineTest*, Engine& engine, base::ByteView header)
{
    FakePacket packet(tests::vm_frame(100));
    nvo3_frame frame = packet.frame();
    engine.seal(Encap::geneve, header, &frame, 1);
    return !frame.refused;
}

// ---- Acquire ----

TEST_F(EngineTest, AcquiresOnceASecondForEachNetwork)
{
    ASSERT_TRUE(set_port(*a, "tun2", kB.to_string(), "flow", "5001,5002").ok());
    auto agent = connect(*a);
    const auto acquired = [&] {
        a->run();
        EXPECT_TRUE(agent->read());
        return agent->take<msg::Acquire>();
    };
    for (int i = 0; i < 100; i++) {
        EXPECT_FALSE(sends(this, *a, header(5001)));
    }
    auto heard = acquired();
    ASSERT_EQ(heard.size(), 1u);
    EXPECT_EQ(heard[0], (msg::Acquire{kB, kA, Encap::geneve, Vni(5001)}));

    EXPECT_FALSE(sends(this, *a, header(5002)));
    heard = acquired();
    ASSERT_EQ(heard.size(), 1u);
    EXPECT_EQ(heard[0].vni, Vni(5002));

    host.advance_ms(999);
    EXPECT_FALSE(sends(this, *a, header(5001)));
    EXPECT_TRUE(acquired().empty());
    host.advance_ms(1);
    EXPECT_FALSE(sends(this, *a, header(5001)));
    EXPECT_EQ(acquired().size(), 1u);
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_drop_no_sa"), 103u);
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_acquires"), 3u);
}

TEST_F(EngineTest, NetworkThatNoPortCarriesIsNotAskedFor)
{
    auto agent = connect(*a);
    EXPECT_FALSE(sends(this, *a, header(6666)));
    a->run();
    ASSERT_TRUE(agent->read());
    EXPECT_TRUE(agent->take<msg::Acquire>().empty());
}

TEST_F(EngineTest, AcquireWakesTheMainLoop)
{
    host.clear_waits();
    a->wait();
    int readable = 0;
    FakePacket packet(tests::vm_frame(100));
    EXPECT_FALSE(seal(*a, header(), packet).has_value());
    for (auto [fd, events] : host.waiting) {
        char octets[8];
        readable += read(fd, octets, sizeof octets) == 8;
    }
    EXPECT_EQ(readable, 1);
}

// ---- SAs ----

TEST_F(EngineTest, InstallReplaceRemove)
{
    auto agent = connect(*a);
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB)), 0u);
    EXPECT_TRUE(sends(this, *a, header()));
    // A new one takes its place at once.
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1002, kB)), 0u);
    FakePacket packet(tests::vm_frame(100));
    const auto sealed = seal(*a, header(), packet);
    ASSERT_TRUE(sealed.has_value());
    EXPECT_EQ(sealed->data[42 + 3], 0x02);
    EXPECT_EQ(status(*a, "tun2").at("nvo3_sas"), "in=0 out=1");

    EXPECT_EQ(request(*a, *agent, msg::RemoveSa{5, SaDirection::outbound, Spi(0x1001), kB, Encap::geneve, Vni(5001)}),
              static_cast<uint32_t>(ENOENT));
    // The peer may have chosen that SPI for another network too.
    EXPECT_EQ(request(*a, *agent, msg::RemoveSa{6, SaDirection::outbound, Spi(0x1002), kB, Encap::geneve, Vni(5002)}),
              static_cast<uint32_t>(ENOENT));
    EXPECT_TRUE(sends(this, *a, header()));
    EXPECT_EQ(request(*a, *agent, msg::RemoveSa{7, SaDirection::outbound, Spi(0x1002), kB, Encap::geneve, Vni(5001)}), 0u);
    EXPECT_FALSE(sends(this, *a, header()));
}

TEST_F(EngineTest, RefusesWhatIsNoSa)
{
    auto agent = connect(*a);
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::inbound, 0x1001, kB)), 0u);
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::inbound, 0x1001, kB)), static_cast<uint32_t>(EEXIST));
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::inbound, 7, kB)), static_cast<uint32_t>(EINVAL));
    esp::SaConfig short_key = sa(SaDirection::inbound, 0x1003, kB);
    short_key.key = base::Secret(size_t{19});
    EXPECT_EQ(install(*a, *agent, std::move(short_key)), static_cast<uint32_t>(EINVAL));
    EXPECT_EQ(status(*a, "tun2").at("nvo3_sas"), "in=1 out=0");
}

TEST_F(EngineTest, RefusesSasThatNoPortTowardsThePeerAllows)
{
    auto agent = connect(*a);
    // Another network, another kind of tunnel, another cipher than the port has.
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB, 5002)), static_cast<uint32_t>(EINVAL));
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::inbound, 0x1001, kB, 5002)), static_cast<uint32_t>(EINVAL));
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB, 5001, Encap::vxlan)),
              static_cast<uint32_t>(EINVAL));
    esp::SaConfig weaker = sa(SaDirection::outbound, 0x1001, kB);
    weaker.cipher = esp::Cipher::aes128gmac;
    EXPECT_EQ(install(*a, *agent, std::move(weaker)), static_cast<uint32_t>(EINVAL));
    EXPECT_EQ(a->sa_list(false), "no security associations\n");
    // The agent may have read of a peer's port before us.
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::inbound, 0x1001, *IpAddress::parse("192.0.2.3"))), 0u);
}

TEST_F(EngineTest, PortTowardsOnePeerAllowsNothingToAnother)
{
    const IpAddress c = *IpAddress::parse("192.0.2.3");
    ASSERT_TRUE(set_port(*a, "tun3", c.to_string(), "6000").ok());
    auto agent = connect(*a);
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::inbound, 0x1001, kB, 6000)), static_cast<uint32_t>(EINVAL));
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, c, 5001)), static_cast<uint32_t>(EINVAL));
    EXPECT_FALSE(sends(this, *a, header(6000)));
    a->run();
    ASSERT_TRUE(agent->read());
    EXPECT_TRUE(agent->take<msg::Acquire>().empty());
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, c, 6000)), 0u);
    EXPECT_EQ(status(*a, "tun2").at("nvo3_sas"), "in=0 out=0");
    EXPECT_EQ(status(*a, "tun3").at("nvo3_sas"), "in=0 out=1");
}

TEST_F(EngineTest, TellsTheHostOnlyWhatIsNew)
{
    auto agent = connect(*a);
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB)), 0u);
    host.status_changes.clear();
    // A rekey changes nothing that can be seen.
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1002, kB)), 0u);
    EXPECT_EQ(host.status_changes["tun2"], 0);
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::inbound, 0x2001, kB)), 0u);
    EXPECT_EQ(host.status_changes["tun2"], 1);
}

TEST_F(EngineTest, SasOutliveTheAgentAndAreListedToTheNext)
{
    {
        auto agent = connect(*a);
        ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB)), 0u);
        ASSERT_EQ(install(*a, *agent, sa(SaDirection::inbound, 0x2001, kB)), 0u);
    }
    a->run();
    EXPECT_EQ(status(*a, "tun2").at("nvo3_state"), "no-agent");
    EXPECT_TRUE(sends(this, *a, header()));
    host.advance_ms(3000);

    auto agent = connect(*a);
    agent->send(msg::ListSas{9});
    a->run();
    ASSERT_TRUE(agent->read());
    const auto records = agent->take<msg::SaRecord>();
    ASSERT_EQ(records.size(), 2u);
    const auto& out = records[0].direction == SaDirection::outbound ? records[0] : records[1];
    EXPECT_EQ(out.request, 9u);
    EXPECT_EQ(out.spi, Spi(0x1001));
    EXPECT_EQ(out.remote, kB);
    EXPECT_EQ(out.packets, 1u);
    EXPECT_EQ(out.age_seconds, 3u);
    const auto ends = agent->take<msg::Result>();
    ASSERT_EQ(ends.size(), 1u);
    EXPECT_EQ(ends[0].request, 9u);
}

TEST_F(EngineTest, RemovedPeerLosesItsSas)
{
    auto agent = connect(*a);
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB)), 0u);
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::inbound, 0x2001, kB)), 0u);
    EXPECT_EQ(request(*a, *agent, msg::RemovePeer{3, kB}), 0u);
    EXPECT_EQ(status(*a, "tun2").at("nvo3_sas"), "in=0 out=0");
    EXPECT_FALSE(sends(this, *a, header()));
}

TEST_F(EngineTest, SasGoWithTheirPort)
{
    ASSERT_TRUE(set_port(*a, "tun2", kB.to_string(), "flow", "5001,5002").ok());
    auto agent = connect(*a);
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB, 5001)), 0u);
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1002, kB, 5002)), 0u);
    EXPECT_TRUE(sends(this, *a, header(5002)));

    // One network leaves the port: its SA ends, the other's does not.
    ASSERT_TRUE(set_port(*a, "tun2", kB.to_string(), "flow", "5001").ok());
    EXPECT_FALSE(sends(this, *a, header(5002)));
    EXPECT_TRUE(sends(this, *a, header(5001)));
    a->run();
    ASSERT_TRUE(agent->read());
    auto ended = agent->take<msg::SaExpiring>();
    ASSERT_EQ(ended.size(), 1u);
    EXPECT_EQ(ended[0].vni, Vni(5002));
    EXPECT_EQ(ended[0].reason, ExpiryReason::removed);

    // A second port carries it as well: it stays when the first goes.
    ASSERT_TRUE(set_port(*a, "second", kB.to_string(), "5001").ok());
    a->remove_port("tun2");
    EXPECT_TRUE(sends(this, *a, header(5001)));
    a->remove_port("second");
    EXPECT_FALSE(sends(this, *a, header(5001)));
    a->run();
    ASSERT_TRUE(agent->read());
    EXPECT_EQ(agent->take<msg::SaExpiring>().size(), 1u);
    EXPECT_EQ(a->sa_list(false), "no security associations\n");
}

TEST_F(EngineTest, StrongerLevelEndsSasOfTheWeakerOne)
{
    auto agent = connect(*a);
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB)), 0u);
    ASSERT_TRUE(set_port(*a, "tun2", kB.to_string(), "5001", nullptr, "high").ok());
    EXPECT_FALSE(sends(this, *a, header()));
    // The same again changes nothing.
    esp::SaConfig strong = sa(SaDirection::outbound, 0x1002, kB);
    strong.cipher = esp::Cipher::aes256gcm;
    strong.key = base::Secret(size_t{36});
    ASSERT_EQ(install(*a, *agent, std::move(strong)), 0u);
    ASSERT_TRUE(set_port(*a, "tun2", kB.to_string(), "5001", nullptr, "high").ok());
    EXPECT_TRUE(sends(this, *a, header()));
}

TEST_F(EngineTest, NoPortIsServedWithLessThanItAsksFor)
{
    auto agent = connect(*a);
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB)), 0u);
    // A weaker one beside it is served better than it asks for.
    ASSERT_TRUE(set_port(*a, "weak", "flow", "flow", "5001", "integrity").ok());
    EXPECT_TRUE(sends(this, *a, header()));
    // A stronger one ends what does not suffice for it, and nothing of the kind comes back.
    ASSERT_TRUE(set_port(*a, "strong", "flow", "flow", "5001", "high").ok());
    EXPECT_FALSE(sends(this, *a, header()));
    EXPECT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1002, kB)), static_cast<uint32_t>(EINVAL));
    esp::SaConfig strong = sa(SaDirection::outbound, 0x1003, kB);
    strong.cipher = esp::Cipher::aes256gcm;
    strong.key = base::Secret(size_t{36});
    EXPECT_EQ(install(*a, *agent, std::move(strong)), 0u);
    EXPECT_TRUE(sends(this, *a, header()));
}

TEST_F(EngineTest, BadOptionsLeaveThePortAsItWas)
{
    connect_one_way();
    const base::Status bad = set_port(*a, "tun2", "239.1.1.1");
    ASSERT_FALSE(bad.ok());
    EXPECT_TRUE(sends(this, *a, header()));
}

TEST_F(EngineTest, FlowPortReachesPeersOfOtherPorts)
{
    ASSERT_TRUE(set_port(*a, "any", "flow", "flow", "7,8").ok());
    auto agent = connect(*a);
    EXPECT_FALSE(sends(this, *a, header(7)));
    a->run();
    ASSERT_TRUE(agent->read());
    EXPECT_EQ(agent->take<msg::Acquire>().size(), 1u);
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1007, kB, 7)), 0u);
    EXPECT_TRUE(sends(this, *a, header(7)));
    EXPECT_EQ(status(*a, "any").at("nvo3_sas"), "in=0 out=1");
    // Nobody knows the peer any more.
    a->remove_port("tun2");
    EXPECT_FALSE(sends(this, *a, header(7)));
    EXPECT_NE(a->counters(true).find("\"nvo3_drop_unknown_peer\":1"), std::string::npos);
}

// ---- Lifetimes ----

TEST_F(EngineTest, TellsOfSoftAndHardLimits)
{
    auto agent = connect(*a);
    esp::SaConfig config = sa(SaDirection::outbound, 0x1001, kB);
    config.limits.soft_packets = 2;
    config.limits.hard_packets = 4;
    ASSERT_EQ(install(*a, *agent, std::move(config)), 0u);
    const auto expiring = [&] {
        host.advance_ms(300);
        a->run();
        EXPECT_TRUE(agent->read());
        return agent->take<msg::SaExpiring>();
    };
    EXPECT_TRUE(sends(this, *a, header()));
    EXPECT_TRUE(expiring().empty());
    EXPECT_TRUE(sends(this, *a, header()));
    EXPECT_TRUE(sends(this, *a, header()));
    auto told = expiring();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0], (msg::SaExpiring{SaDirection::outbound, Spi(0x1001), kB, {}, Encap::geneve,
                                        Vni(5001), ExpiryReason::soft_packets}));
    EXPECT_TRUE(expiring().empty());

    EXPECT_TRUE(sends(this, *a, header()));
    EXPECT_FALSE(sends(this, *a, header()));
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_drop_sa_expired"), 1u);
    told = expiring();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].reason, ExpiryReason::hard_packets);
    EXPECT_EQ(status(*a, "tun2").at("nvo3_sas"), "in=0 out=0");
    // The agent is asked as if there were none.
    EXPECT_EQ(agent->take<msg::Acquire>().size(), 1u);

    // After a while it is gone altogether.
    host.advance_ms(11000);
    a->run();
    EXPECT_FALSE(sends(this, *a, header()));
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_drop_no_sa"), 1u);
}

TEST_F(EngineTest, EndsAfterItsSeconds)
{
    auto agent = connect(*a);
    esp::SaConfig config = sa(SaDirection::outbound, 0x1001, kB);
    config.limits.hard_seconds = 10;
    ASSERT_EQ(install(*a, *agent, std::move(config)), 0u);
    host.advance_ms(9900);
    a->run();
    EXPECT_TRUE(sends(this, *a, header()));
    host.clear_waits();
    a->wait();
    EXPECT_LE(host.wake_ms, host.host().now_ms() + 300);
    host.advance_ms(300);
    a->run();
    EXPECT_FALSE(sends(this, *a, header()));
    ASSERT_TRUE(agent->read());
    const auto told = agent->take<msg::SaExpiring>();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].reason, ExpiryReason::hard_seconds);
}

TEST_F(EngineTest, SoftLimitReachedWithoutAnAgentIsToldToTheNext)
{
    {
        auto agent = connect(*a);
        esp::SaConfig config = sa(SaDirection::outbound, 0x1001, kB);
        config.limits.soft_packets = 1;
        config.limits.hard_packets = 100;
        ASSERT_EQ(install(*a, *agent, std::move(config)), 0u);
    }
    a->run();
    EXPECT_TRUE(sends(this, *a, header()));
    host.advance_ms(300);
    a->run();

    auto agent = connect(*a);
    agent->send(msg::ListSas{1});
    a->run();
    a->run();
    ASSERT_TRUE(agent->read());
    EXPECT_EQ(agent->take<msg::SaExpiring>().size(), 1u);
}

// ---- Status ----

TEST_F(EngineTest, StatusSaysWhatTheAgentSaysAndNoMore)
{
    EXPECT_EQ(status(*a, "tun2").at("nvo3_state"), "no-agent");
    EXPECT_NE(status(*a, "tun2").at("nvo3_error").find("hvagent"), std::string::npos);

    auto agent = connect(*a);
    EXPECT_EQ(status(*a, "tun2").at("nvo3_state"), "waiting");
    host.status_changes.clear();
    agent->send(msg::PortStatus{"tun2", "up", "hv2", ""});
    a->run();
    EXPECT_GE(host.status_changes["tun2"], 1);
    auto words = status(*a, "tun2");
    // Up it is only with SAs both ways.
    EXPECT_EQ(words.at("nvo3_state"), "connecting");
    EXPECT_EQ(words.at("nvo3_peer"), "hv2");
    EXPECT_FALSE(words.contains("nvo3_error"));
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::outbound, 0x1001, kB)), 0u);
    EXPECT_EQ(status(*a, "tun2").at("nvo3_state"), "connecting");
    ASSERT_EQ(install(*a, *agent, sa(SaDirection::inbound, 0x2001, kB)), 0u);
    words = status(*a, "tun2");
    EXPECT_EQ(words.at("nvo3_state"), "up");
    EXPECT_EQ(words.at("nvo3_sas"), "in=1 out=1");
    EXPECT_EQ(words.at("nvo3_cipher"), "aes128gcm");
    EXPECT_EQ(words.at("nvo3_overhead"), "95");
    EXPECT_FALSE(words.contains("nvo3_effective_mtu"));
    a->set_underlay_mtu("tun2", 1500);
    EXPECT_EQ(status(*a, "tun2").at("nvo3_effective_mtu"), "1408");

    agent->send(msg::PortStatus{"tun2", "error", "", "no certificate"});
    a->run();
    EXPECT_EQ(status(*a, "tun2").at("nvo3_error"), "no certificate");
    agent->send(msg::PortStatus{"tun2", "rm -rf", "", ""});
    a->run();
    EXPECT_EQ(status(*a, "tun2").at("nvo3_state"), "error");
    EXPECT_TRUE(status(*a, "nosuch").empty());
}

TEST_F(EngineTest, WordsOfAFormerAgentAreForgotten)
{
    {
        auto agent = connect(*a);
        agent->send(msg::PortStatus{"tun2", "error", "hv2", "no certificate"});
        a->run();
        EXPECT_EQ(status(*a, "tun2").at("nvo3_error"), "no certificate");
    }
    a->run();
    EXPECT_EQ(status(*a, "tun2").at("nvo3_state"), "no-agent");
    auto agent = connect(*a);
    EXPECT_EQ(status(*a, "tun2").at("nvo3_state"), "waiting");
    EXPECT_FALSE(status(*a, "tun2").contains("nvo3_peer"));
}

TEST_F(EngineTest, StatusOfAPortThatComesLaterIsKept)
{
    auto agent = connect(*a);
    agent->send(msg::PortStatus{"late", "error", "", "expired"});
    a->run();
    ASSERT_TRUE(set_port(*a, "late", "192.0.2.3").ok());
    EXPECT_EQ(status(*a, "late").at("nvo3_error"), "expired");
}

TEST_F(EngineTest, SocketThatCannotBeHadIsAnErrorOfThePortAndTriedAgain)
{
    ASSERT_EQ(mkdir(host.socket_path().c_str(), 0700), 0);
    EXPECT_FALSE(a->open_socket().ok());
    EXPECT_NE(status(*a, "tun2").at("nvo3_error").find(host.socket_path()), std::string::npos);
    ASSERT_EQ(rmdir(host.socket_path().c_str()), 0);
    a->run();
    EXPECT_FALSE(AgentClient(host.socket_path()).connected());
    host.advance_ms(2000);
    a->run();
    EXPECT_TRUE(AgentClient(host.socket_path()).connected());
}

TEST_F(EngineTest, ShowsNoKey)
{
    connect_one_way();
    const std::string key = base::to_hex(sa(SaDirection::outbound, 0x1001, kB).key.view());
    for (bool json : {false, true}) {
        for (const std::string& text : {a->show(nullptr, json), a->show("tun2", json),
                                        a->sa_list(json), a->counters(json)}) {
            EXPECT_FALSE(text.empty());
            EXPECT_EQ(text.find(key.substr(0, 16)), std::string::npos) << text;
        }
    }
    EXPECT_EQ(a->show("nosuch", false), "");
    EXPECT_NE(a->sa_list(true).find("\"spi\":\"00001001\""), std::string::npos);
    EXPECT_NE(a->show(nullptr, true).find("\"name\":\"tun2\""), std::string::npos);
}

TEST_F(EngineTest, MessageOfTheWrongSideIsIgnored)
{
    auto agent = connect(*a);
    agent->send(msg::Alarm{});
    EXPECT_EQ(request(*a, *agent, msg::RemovePeer{1, kB}), 0u);
}

}  // namespace
}  // namespace nvo3::engine
