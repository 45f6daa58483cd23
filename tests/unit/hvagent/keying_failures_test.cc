// SPDX-License-Identifier: Apache-2.0
//
// Keying when something fails: messages, sessions, agents, switches, and revocation.
#include "tests/unit/hvagent/keying_fixture.h"

namespace nvo3::agent::keying_rig {
namespace {

TEST_F(KeyingTest, LostOfferIsRepeatedWithAFreshSa)
{
    a.peer_hears = false;
    connect();
    EXPECT_EQ(b.count(SaDirection::outbound), 0u);
    run(11s);
    EXPECT_EQ(a.error(), "the peer did not answer an offer");
    a.peer_hears = true;
    run(60s);
    expect_up();
}

TEST_F(KeyingTest, LostAnswerLeavesTheSaThatThePeerSendsUnder)
{
    connect();
    b.peer_hears = false;   // b's answers are lost
    a.keying.rekey(now);
    for (int i = 0; i < 300; i++) {
        run(100ms);
        auto used = b.only(SaDirection::outbound).spi;
        ASSERT_TRUE(std::ranges::any_of(
            a.installed, [&](const Host::Sa& sa) { return sa.direction == SaDirection::inbound && sa.sa.spi == used; }))
            << "after " << i << " tenths of a second";
    }
    b.peer_hears = true;
    run(60s);
    expect_up();
}

TEST_F(KeyingTest, NeverAnsweredOffersStayBounded)
{
    connect();
    b.peer_hears = false;
    run(3h);
    EXPECT_LE(a.count(SaDirection::inbound), 10u);
}

TEST_F(KeyingTest, SessionLossKeepsSasAndANewSessionReplacesThem)
{
    connect();
    auto first = a.only(SaDirection::inbound).spi;
    a.keying.session_down(1, now);
    b.keying.session_down(1, now);
    run(30s);
    expect_up();
    EXPECT_EQ(a.only(SaDirection::inbound).spi, first);
    connect(2);
    run(6s);
    expect_up();
    EXPECT_NE(a.only(SaDirection::inbound).spi, first);
    for (const Host::Sa& sa : a.installed) {
        EXPECT_EQ(sa.session, 2u);
    }
}

TEST_F(KeyingTest, SessionRenewalInTheMiddleOfAnOffer)
{
    connect();
    b.peer_hears = false;
    a.keying.rekey(now);
    settle();
    b.peer_hears = true;
    connect(2);
    a.keying.session_down(1, now);
    b.keying.session_down(1, now);
    run(10s);
    expect_up();
}

TEST_F(KeyingTest, CrossingSessionsCostNoSecondSa)
{
    connect(1);
    a.keying.session_moved(2, now);
    b.keying.session_moved(2, now);
    settle();
    expect_up();
    EXPECT_EQ(a.offers, 1u);
    a.keying.session_down(1, now);
    b.keying.session_down(1, now);
    run(1h);
    EXPECT_EQ(a.offers, 2u) << "rekey goes on over the other session";
    run(6s);
    expect_up();
}

TEST_F(KeyingTest, CrossingSessionThatEndsInTheMiddleOfAnOffer)
{
    b.peer_hears = false;
    connect(1);
    b.peer_hears = true;
    a.keying.session_moved(2, now);
    b.keying.session_moved(2, now);
    a.keying.session_down(1, now);
    b.keying.session_down(1, now);
    run(8s);
    expect_up();
}

TEST_F(KeyingTest, LateOfferOfTheOldSessionDoesNotWin)
{
    connect();
    SaParameters late = a.only(SaDirection::outbound);
    connect(2);
    run(6s);
    late.nonce[0] ^= 1;
    a.keying.on_offer(1, 77, late, true, now);
    settle();
    expect_up();
}

TEST_F(KeyingTest, AgentRestartAdoptsWhatLivesInTheSwitch)
{
    connect();
    std::vector<Keying::LiveSa> live;
    for (const Host::Sa& sa : a.installed) {
        live.push_back({sa.direction, sa.sa.channel, sa.sa.spi, sa.sa.cipher, sa.sa.generation, 100s});
    }
    live.push_back({SaDirection::inbound, kRed, base::Spi(9999), esp::Cipher::aes128gcm, 3, 1s});
    live.push_back({SaDirection::inbound, kBlue, base::Spi(9998), esp::Cipher::aes256gcm, 3, 1s});
    auto before = a.installed;
    a.installed.push_back({SaDirection::inbound, {kRed, base::Spi(9999)}, 1});
    a.installed.push_back({SaDirection::inbound, {kBlue, base::Spi(9998)}, 1});
    uint32_t generation = a.only(SaDirection::inbound).generation;

    auto survived = std::move(a.installed);
    b.keying.session_down(1, now);
    Host restarted(3);
    std::swap(a.keying, restarted.keying);
    a.installed = std::move(survived);
    configure(a, {kBlue});
    a.keying.switch_up(live, now);
    settle();
    ASSERT_EQ(a.installed.size(), before.size()) << "SAs that are not configured go, the others stay";
    connect(2);
    run(6s);
    expect_up();
    EXPECT_GT(a.only(SaDirection::inbound).generation, generation);
}

TEST_F(KeyingTest, SwitchRestartKeysAnewBothWays)
{
    connect();
    auto in = a.only(SaDirection::inbound), out = a.only(SaDirection::outbound);
    a.keying.switch_down();
    a.installed.clear();
    run(2s);
    a.keying.switch_up({}, now);
    settle();
    run(6s);
    expect_up();
    EXPECT_NE(a.only(SaDirection::inbound).nonce, in.nonce);
    EXPECT_NE(a.only(SaDirection::outbound).nonce, out.nonce);
}

TEST_F(KeyingTest, PeerRestartIsNotTakenForAReplay)
{
    connect();
    a.keying.rekey(now);
    b.keying.rekey(now);
    run(10s);
    // The whole host b restarts: its generations start over.
    Host fresh(5);
    std::swap(b.keying, fresh.keying);
    b.installed.clear();
    configure(b, {kBlue});
    b.keying.switch_up({}, now);
    a.keying.session_down(1, now);
    connect(2);
    EXPECT_EQ(b.error(), "") << "its first offer is good";
    EXPECT_EQ(a.only(SaDirection::outbound), b.only(SaDirection::inbound));
    run(6s);
    expect_up();
}

TEST_F(KeyingTest, AcquireAsksThePeerOnceASecond)
{
    connect();
    std::erase_if(a.installed, [](const Host::Sa& sa) { return sa.direction == SaDirection::outbound; });
    b.keying.session_down(1, now);   // b is deaf for the moment
    for (int i = 0; i < 5; i++) {
        a.keying.acquire(kBlue, now);
        a.keying.acquire(kRed, now);
        act(a);
    }
    EXPECT_EQ(a.requests, 1u);
    wire.clear();
    b.keying.session_up(1, now);
    run(30s);
    expect_up();
}

TEST_F(KeyingTest, RevocationRemovesEverythingOnBothSides)
{
    connect();
    a.keying.remove_all("certificate of hv2 is revoked");
    settle();
    EXPECT_TRUE(a.installed.empty());
    EXPECT_TRUE(b.installed.empty());
    EXPECT_EQ(a.error(), "certificate of hv2 is revoked");
    run(1h);
    EXPECT_TRUE(a.installed.empty()) << "not even if the peer goes on";
}

TEST_F(KeyingTest, RevocationWhileTheSwitchIsAwayHoldsWhenItIsBack)
{
    connect();
    std::vector<Keying::LiveSa> live;
    for (const Host::Sa& sa : a.installed) {
        live.push_back({sa.direction, sa.sa.channel, sa.sa.spi, sa.sa.cipher, sa.sa.generation, 1s});
    }
    a.keying.switch_down();
    a.keying.remove_all("certificate of hv2 is revoked");
    settle();
    EXPECT_FALSE(a.installed.empty());
    a.keying.switch_up(live, now);
    settle();
    EXPECT_TRUE(a.installed.empty());
}

TEST_F(KeyingTest, TakenSpiIsReplacedByAnother)
{
    a.switch_error = EEXIST;
    connect();
    expect_up();
    EXPECT_EQ(a.only(SaDirection::inbound).generation, 2u);
}

TEST_F(KeyingTest, SwitchThatCannotInstallIsAnErrorAndTriedAgain)
{
    a.switch_error = ENOMEM;
    connect();
    EXPECT_EQ(a.error(), "the switch did not install an inbound SA: no room");
    run(20s);
    expect_up();
}

// As the directory tells of networks one by one, after the switch came up.
TEST_F(KeyingTest, ChannelsThatComeLaterAdoptWhatTheSwitchHas)
{
    connect();
    const std::set<ChannelId> both{kBlue, kRed};
    std::vector<Keying::LiveSa> live{{SaDirection::inbound, kRed, base::Spi(0x700), esp::Cipher::aes128gcm, 4, 10s},
                                     {SaDirection::inbound, kRed, base::Spi(0x701), esp::Cipher::aes128gcm, 5, 5s},
                                     {SaDirection::outbound, kRed, base::Spi(0x702), esp::Cipher::aes128gcm, 5, 5s},
                                     {SaDirection::outbound, {base::Encap::geneve, base::Vni(9)}, base::Spi(0x703), esp::Cipher::aes128gcm, 1, 5s}};
    for (const Keying::LiveSa& sa : live) {
        a.installed.push_back({sa.direction, {sa.channel, sa.spi, sa.cipher, sa.generation, {}, 0}, 0});
    }
    b.keying.session_down(1, now);      // nothing is agreed anew
    a.keying.session_down(1, now);
    configure(a, both);
    a.keying.adopt(live, now);
    settle();
    EXPECT_EQ(a.count(SaDirection::inbound, kRed), 2u);
    EXPECT_EQ(a.only(SaDirection::outbound, kRed).spi, base::Spi(0x702));
    EXPECT_TRUE(a.keying.health(kRed)->works);
    EXPECT_EQ(a.count(SaDirection::outbound, {base::Encap::geneve, base::Vni(9)}), 0u) << "of no channel";
    // And what comes of a session replaces it.
    configure(b, both);
    connect(2);
    EXPECT_NE(a.only(SaDirection::outbound, kRed).spi, base::Spi(0x702));
}

}  // namespace
}  // namespace nvo3::agent::keying_rig
