// SPDX-License-Identifier: Apache-2.0
//
// Tunnels of two agents: how they come up, live through restarts, and go.
#include "tests/unit/hvagent/agent_fixture.h"

namespace nvo3::agent::agent_rig {
namespace {

TEST_F(AgentTest, AgreesOnKeysAndNeverSendsFirst)
{
    a->options()["key"] = b->options()["key"] = "flow";
    a->options()["nvo3_vnis"] = b->options()["nvo3_vnis"] = "5001,5002,5003";
    // An outbound SA may appear only where the other end has the inbound one.
    auto first = std::make_shared<std::atomic<int>>(0);
    for (auto [host, peer] : {std::pair{&*a, &*b}, {&*b, &*a}}) {
        host->sw->on_install([first, peer = peer](const FakeSwitch::Sa& sa) {
            auto there = peer->sw->sas(SaDirection::inbound);
            if (sa.direction == SaDirection::outbound && std::ranges::none_of(there, [&](const auto& in) { return in.spi == sa.spi; })) {
                (*first)++;
            }
        });
    }
    start();
    expect_up();
    EXPECT_EQ(*first, 0);
    auto sas = a->sw->sas();
    EXPECT_EQ(a->sw->sas(SaDirection::outbound).size(), 3u);
    std::vector<base::Bytes> keys;
    for (const auto& sa : sas) {
        EXPECT_EQ(sa.key.size(), 20u);
        keys.push_back(sa.key);
    }
    std::ranges::sort(keys);
    EXPECT_TRUE(std::ranges::adjacent_find(keys) == keys.end()) << "each network and direction has a key of its own";
    EXPECT_EQ(a->sw->port("tun").peer, "hv2");
    EXPECT_EQ(b->sw->port("tun").peer, "hv1");
    for (const char* word : {"\"authenticated\"", "\"sa_installed\"", "\"config_changed\"", "\"hv2\""}) {
        EXPECT_NE(a->audit().find(word), std::string::npos) << word;
    }
    for (const auto& sa : sas) {
        EXPECT_EQ(a->audit().find(base::to_hex(sa.key)), std::string::npos);
    }
}

TEST_F(AgentTest, AgentRestartKeepsSasAndReplacesThem)
{
    start();
    expect_up();
    auto before = a->sw->sas();
    a->agent.reset();
    EXPECT_EQ(a->sw->sas().size(), before.size()) << "the switch keeps what it has";
    EXPECT_NE(a->audit().find("\"stopped\""), std::string::npos);
    auto gap = std::make_shared<std::atomic<bool>>(false);      // outlives the test: the switch calls until it ends
    a->sw->on_install([gap, host = &*a](const FakeSwitch::Sa&) { *gap = *gap || host->sw->sas(SaDirection::outbound).empty(); });
    a->start();
    ASSERT_TRUE(await([&] {
        auto now = a->sw->sas(SaDirection::outbound);
        return up() && std::ranges::none_of(now, [&](const auto& sa) {
                   return std::ranges::any_of(before, [&](const auto& old) { return old.spi == sa.spi; });
               });
    }));
    EXPECT_FALSE(*gap);
}

TEST_F(AgentTest, SwitchRestartKeysAnew)
{
    start();
    expect_up();
    auto before = a->sw->sas();
    a->sw->kill();
    a->sw->start();
    ASSERT_TRUE(await([&] { return up(); }));
    for (const auto& sa : a->sw->sas()) {
        EXPECT_TRUE(std::ranges::none_of(before, [&](const auto& old) { return old.key == sa.key; }));
    }
}

TEST_F(AgentTest, PeerAgentThatDiesIsNoticedAndComesBack)
{
    start();
    expect_up();
    b->agent.reset();
    ASSERT_TRUE(await([&] { return a->state() == "connecting"; })) << a->state();
    EXPECT_FALSE(a->sw->sas().empty());
    EXPECT_NE(a->error().find("traffic goes on"), std::string::npos) << a->error();
    b->start();
    expect_up();
}

TEST_F(AgentTest, SessionRenewalLosesNothing)
{
    auto gap = std::make_shared<std::atomic<bool>>(false);      // outlives the test: the switch calls until it ends
    start({.renew_after = 700ms});
    expect_up();
    auto before = a->sw->sas(SaDirection::inbound);
    for (Host* host : {&*a, &*b}) {
        host->sw->on_install([gap, host](const FakeSwitch::Sa&) { *gap = *gap || host->sw->sas(SaDirection::outbound).empty(); });
    }
    ASSERT_TRUE(await([&] {
        auto view = a->agent->view();
        return view && (*view)->peers[0].sessions >= 3;
    }));
    expect_up();
    EXPECT_FALSE(*gap);
    for (const auto& sa : a->sw->sas(SaDirection::outbound)) {
        EXPECT_TRUE(std::ranges::none_of(before, [&](const auto& old) { return old.key == sa.key; }));
    }
}

TEST_F(AgentTest, RemovedTunnelAndNetworkGoOnBothSides)
{
    a->options()["key"] = b->options()["key"] = "flow";
    a->options()["nvo3_vnis"] = b->options()["nvo3_vnis"] = "5001,5002";
    start();
    expect_up();
    auto networks = [](const Host& host) {
        std::vector<uint32_t> vnis;
        for (const auto& sa : host.sw->sas(SaDirection::outbound)) {
            vnis.push_back(sa.vni.value);
        }
        std::ranges::sort(vnis);
        return vnis;
    };
    a->options()["nvo3_vnis"] = "5001";
    a->agent->configure(a->raw);
    const std::vector<uint32_t> one{5001};
    ASSERT_TRUE(await([&] { return networks(*a) == one && networks(*b) == one; }));
    ASSERT_TRUE(await([&] { return b->state() == "waiting"; })) << b->state();
    a->raw.tunnels.clear();
    a->agent->configure(a->raw);
    ASSERT_TRUE(await([&] { return a->sw->sas().empty() && b->sw->sas().empty(); }));
}

TEST_F(AgentTest, CipherMismatchIsSaidOnBothSides)
{
    a->options()["security_level"] = "high";
    start();
    ASSERT_TRUE(await([&] { return a->state() == "error" && b->state() == "error"; })) << a->state() << b->state();
    EXPECT_EQ(a->error(), "cipher mismatch: aes256gcm is configured here, aes128gcm was offered");
    EXPECT_EQ(b->error(), "cipher mismatch: aes128gcm is configured here, aes256gcm was offered");
    b->options()["security_level"] = "high";
    b->agent->configure(b->raw);
    expect_up();
    EXPECT_EQ(a->sw->sas()[0].key.size(), 36u);
}

TEST_F(AgentTest, RekeyByCommandAndByTheSwitch)
{
    start();
    expect_up();
    auto spi = [](Host& host) { return host.sw->sas(SaDirection::outbound).at(0).spi; };
    auto in = spi(*b), out = spi(*a);
    ASSERT_TRUE(a->agent->rekey("hv2"));
    EXPECT_FALSE(a->agent->rekey("nobody"));
    ASSERT_TRUE(await([&] { return up() && spi(*a) != out && spi(*b) != in; }));
    out = spi(*a);
    a->sw->send(esp::msg::SaExpiring{SaDirection::outbound, out, *base::IpAddress::parse(kAddress[1]), {}, base::Encap::geneve,
                                     base::Vni(5001), esp::ExpiryReason::soft_bytes});
    ASSERT_TRUE(await([&] { return up() && spi(*a) != out; }));
}

TEST_F(AgentTest, AlarmIsAudited)
{
    start();
    expect_up();
    a->sw->send(esp::msg::Alarm{esp::DropReason::wrong_vni, *base::IpAddress::parse(kAddress[1]), base::Vni(5001), base::Vni(6666), base::Spi(4711), 3});
    ASSERT_TRUE(await([&] { return a->audit().find("\"alarm\"") != std::string::npos; }));
    EXPECT_NE(a->audit().find("6666"), std::string::npos);
    EXPECT_NE(a->audit().find("wrong_vni"), std::string::npos);
}

TEST_F(AgentTest, AdoptedSasWaitForTheirPeerSoLongOnly)
{
    start();
    expect_up();
    a->agent.reset();
    b->agent.reset();
    ASSERT_FALSE(a->sw->sas().empty());
    a->start({.adopted_for = 300ms});
    ASSERT_TRUE(await([&] { return a->sw->sas().empty(); }));
    EXPECT_NE(a->audit().find("has not come back"), std::string::npos);
    b->start();
    expect_up();
}

TEST_F(AgentTest, TunnelThatIsMadeAnewComesUpAtOnce)
{
    start();
    expect_up();
    // So that the numbers of the offers of before are above those after.
    for (int i = 0; i < 3; i++) {
        auto out = b->sw->sas(SaDirection::outbound).at(0).spi;
        ASSERT_TRUE(a->agent->rekey("hv2"));
        ASSERT_TRUE(await([&] { return up() && b->sw->sas(SaDirection::outbound).at(0).spi != out; }));
    }
    auto saved = a->raw;
    a->raw.tunnels.clear();
    a->agent->configure(a->raw);
    ASSERT_TRUE(await([&] { return a->sw->sas().empty() && b->sw->sas().empty(); }));
    a->raw = saved;
    a->agent->configure(a->raw);
    expect_up();
}

TEST_F(AgentTest, RemovedTunnelOfManyNetworksGoesOnBothSides)
{
    for (Host* host : {&*a, &*b}) {
        host->options()["key"] = "flow";
        host->options()["nvo3_vnis"] = "5001,5002,5003,5004,5005,5006";
        // What cannot be said before the session closes must not be missed.
        host->raw.other_config["nvo3-control-rate"] = "20";
        host->raw.other_config["nvo3-control-burst"] = "1";
    }
    start();
    ASSERT_TRUE(await([&] { return up() && a->sw->sas(SaDirection::outbound).size() == 6 && b->sw->sas(SaDirection::outbound).size() == 6; }));
    a->raw.tunnels.clear();
    a->agent->configure(a->raw);
    ASSERT_TRUE(await([&] { return a->sw->sas().empty() && b->sw->sas().empty(); })) << b->sw->sas().size();
}

}  // namespace
}  // namespace nvo3::agent::agent_rig
