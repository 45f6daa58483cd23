// SPDX-License-Identifier: Apache-2.0
//
// Keying of two hosts of which nothing fails: how keys come, are replaced and go, and what is not taken.
#include "tests/unit/hvagent/keying_fixture.h"

namespace nvo3::agent::keying_rig {
namespace {

TEST_F(KeyingTest, NothingHappensWithoutSessionOrSwitch)
{
    run(1h);
    EXPECT_TRUE(a.installed.empty());
    a.keying.switch_down();
    b.keying.switch_down();
    connect();
    run(1h);
    EXPECT_TRUE(a.installed.empty());
}

TEST_F(KeyingTest, BothDirectionsComeUpAheadOfNeed)
{
    configure(a, {kBlue, kRed});
    configure(b, {kBlue, kRed});
    connect();
    expect_up(kBlue);
    expect_up(kRed);
    EXPECT_EQ(a.offers + b.offers, 4u);
    EXPECT_EQ(a.requests + b.requests, 0u);
}

TEST_F(KeyingTest, RepeatedMessagesChangeNothing)
{
    repeat = true;
    connect();
    expect_up();
    a.keying.rekey(now);
    run(20s);
    expect_up();
}

TEST_F(KeyingTest, RekeyByTimeKeepsTheOldInboundForAGrace)
{
    connect();
    auto first = a.only(SaDirection::inbound).spi;
    run(3230s);     // a rekey is due within the last tenth
    EXPECT_EQ(a.only(SaDirection::inbound).spi, first);
    run(371s);
    run(6s);
    expect_up();
    EXPECT_NE(a.only(SaDirection::inbound).spi, first);
    EXPECT_GT(a.only(SaDirection::inbound).generation, 1u);
}

TEST_F(KeyingTest, GraceIsFiveSeconds)
{
    connect();
    run(2s);
    EXPECT_EQ(a.keying.rekeys(), 0u);
    a.keying.rekey(now);
    settle();
    EXPECT_EQ(a.keying.rekeys(), 1u);
    EXPECT_EQ(a.count(SaDirection::inbound), 2u);
    EXPECT_EQ(a.count(SaDirection::outbound), 1u);
    run(4900ms);
    EXPECT_EQ(a.count(SaDirection::inbound), 2u);
    run(200ms);
    expect_up();
}

TEST_F(KeyingTest, RekeyEverySecondStaysBounded)
{
    policy.rekey_after = 1s;
    configure(a, {kBlue});
    configure(b, {kBlue});
    connect();
    run(100s);
    EXPECT_LE(a.count(SaDirection::inbound), 8u);
    EXPECT_GE(a.offers, 95u);
    EXPECT_EQ(a.count(SaDirection::outbound), 1u);
    EXPECT_EQ(a.error(), "");
}

TEST_F(KeyingTest, NewRekeyTimeCountsForLivingSas)
{
    connect();
    run(100s);
    policy.rekey_after = 60s;
    configure(a, {kBlue});
    run(1s);
    EXPECT_EQ(a.offers, 2u);
    EXPECT_EQ(b.offers, 1u);
}

TEST_F(KeyingTest, SoftLimitAtTheSenderAsksTheReceiver)
{
    connect();
    auto spi = a.only(SaDirection::outbound).spi;
    a.keying.expiring(SaDirection::outbound, kBlue, base::Spi(spi.value ^ 1), false, now);
    settle();
    EXPECT_EQ(a.requests, 0u) << "another SA's limit";
    a.keying.expiring(SaDirection::outbound, kBlue, spi, false, now);
    run(6s);
    expect_up();
    EXPECT_NE(a.only(SaDirection::outbound).spi, spi);
}

TEST_F(KeyingTest, HardLimitBringsANewSa)
{
    connect();
    for (SaDirection direction : {SaDirection::inbound, SaDirection::outbound}) {
        auto spi = a.only(direction).spi;
        std::erase_if(a.installed, [&](const Host::Sa& sa) { return sa.sa.spi == spi; });
        a.keying.expiring(direction, kBlue, spi, true, now);
        run(6s);
        expect_up();
        EXPECT_NE(a.only(direction).spi, spi);
    }
}

TEST_F(KeyingTest, NetworkNotServedHereIsRefusedAndAudited)
{
    configure(a, {kBlue, kRed});
    connect();
    expect_up(kBlue);
    EXPECT_EQ(b.count(SaDirection::outbound, kRed), 0u);
    ASSERT_FALSE(b.refused.empty());
    EXPECT_EQ(b.refused[0], "offer: vxlan VNI 7 is not served here");
    EXPECT_EQ(a.error(kRed), "the peer refused: vxlan VNI 7 is not served here");
    EXPECT_EQ(a.count(SaDirection::inbound, kRed), 0u);
    unsigned offers = a.offers;
    run(10min);
    EXPECT_LE(a.offers, offers + 25) << "it must not insist";
    configure(b, {kBlue, kRed});
    run(6s);
    expect_up(kRed);
}

TEST_F(KeyingTest, CipherMismatchIsSaidOnBothSides)
{
    configure(b, {kBlue}, esp::Cipher::aes256gcm);
    connect();
    EXPECT_EQ(a.error(), "the peer refused: cipher mismatch: aes256gcm is configured here, aes128gcm was offered");
    EXPECT_EQ(b.error(), "the peer refused: cipher mismatch: aes128gcm is configured here, aes256gcm was offered");
    EXPECT_EQ(a.count(SaDirection::outbound) + b.count(SaDirection::outbound), 0u);
    run(5min);
    configure(a, {kBlue}, esp::Cipher::aes256gcm);
    run(6s);
    expect_up();
    EXPECT_EQ(a.only(SaDirection::inbound).cipher, esp::Cipher::aes256gcm);
}

TEST_F(KeyingTest, CipherChangeEndsTheOldKeysAtOnce)
{
    connect();
    configure(a, {kBlue}, esp::Cipher::aes128gmac);
    settle();
    EXPECT_TRUE(a.installed.empty());
    EXPECT_TRUE(b.installed.empty());
    configure(b, {kBlue}, esp::Cipher::aes128gmac);
    run(6s);
    expect_up();
}

TEST_F(KeyingTest, ReplayWindowChangeIsARekey)
{
    connect();
    configure(a, {kBlue}, esp::Cipher::aes128gcm, 4096);
    run(6s);
    expect_up();
    EXPECT_EQ(a.only(SaDirection::inbound).replay_window, 4096u);
}

TEST_F(KeyingTest, RemovedNetworkGoesOnBothSides)
{
    configure(a, {kBlue, kRed});
    configure(b, {kBlue, kRed});
    connect();
    configure(a, {kBlue});
    settle();
    EXPECT_EQ(a.count(SaDirection::inbound, kRed) + a.count(SaDirection::outbound, kRed), 0u);
    EXPECT_EQ(b.count(SaDirection::inbound, kRed) + b.count(SaDirection::outbound, kRed), 0u);
    EXPECT_EQ(b.error(kRed), "the peer says: VNI no longer served here");
    expect_up(kBlue);
}

TEST_F(KeyingTest, MalformedOffersAreRefused)
{
    connect();
    SaParameters sa = a.only(SaDirection::outbound);
    sa.generation = 100;
    auto before = a.installed.size();
    SaParameters low_spi = sa;
    low_spi.spi = base::Spi(255);
    a.keying.on_offer(1, 900, low_spi, true, now);
    a.keying.on_offer(1, 901, sa, false, now);
    act(a);
    EXPECT_EQ(a.installed.size(), before);
    EXPECT_EQ(a.refused.size(), 2u);
}

TEST_F(KeyingTest, ManyNetworksWaitForTheirTurn)
{
    std::set<ChannelId> many;
    for (uint32_t vni = 1; vni <= 1000; vni++) {
        many.insert({base::Encap::geneve, base::Vni(vni)});
    }
    configure(a, many);
    configure(b, many);
    a.keying.session_up(1, now);
    EXPECT_EQ(a.keying.take().size(), 64u) << "no more offers at once";
    a.keying.session_down(1, now);
    now += 10s;
    connect();
    run(6s);
    EXPECT_EQ(a.installed.size(), 2000u);
    EXPECT_EQ(b.installed.size(), 2000u);
    EXPECT_EQ(a.error({base::Encap::geneve, base::Vni(1000)}), "");
}

TEST_F(KeyingTest, FloodOfOffersStaysBounded)
{
    connect();
    a.switch_mute = true;
    SaParameters sa = a.only(SaDirection::outbound);
    a.limits.clear();
    for (uint32_t i = 0; i < 100; i++) {
        sa.generation++;
        a.keying.on_offer(1, 1000 + i, sa, true, now);
    }
    act(a);
    EXPECT_EQ(a.limits.size(), 8u);
}

TEST(Limits, RowsOfPolicy)
{
    struct Row {
        const char* what;
        std::chrono::seconds rekey;
        uint64_t bytes, soft, hard, seconds;
    };
    const Row rows[] = {
        {"defaults", 3600s, 0, 1ull << 38, 1ull << 39, 7200},
        {"every second: an absent peer is tolerated for an hour", 1s, 0, 1ull << 38, 1ull << 39, 3601},
        {"one megabyte: room to agree on the next key", 3600s, 1000000, 1000000, 4000000 + (1ull << 30), 7200},
        {"more than the cipher bears", 3600s, UINT64_MAX, 1ull << 38, 1ull << 39, 7200},
    };
    for (const Row& row : rows) {
        SaLimits limits = limits_for(SaDirection::outbound, KeyingPolicy{row.rekey, row.bytes});
        EXPECT_EQ(limits.soft_bytes, row.soft) << row.what;
        EXPECT_EQ(limits.hard_bytes, row.hard) << row.what;
        EXPECT_EQ(limits.hard_seconds, row.seconds) << row.what;
        EXPECT_LT(limits.soft_packets, limits.hard_packets);
        EXPECT_EQ(limits_for(SaDirection::inbound, KeyingPolicy{row.rekey, row.bytes}).soft_bytes, 0u) << "the sender's business";
    }
}

// A hundred peers with ten networks each, at the default rate of 400 messages at once for each
// session: no message has to wait.
TEST_F(KeyingTest, NetworksOfADirectoryComeUpWithinTheBurst)
{
    std::set<ChannelId> ids;
    for (uint32_t vni = 1; vni <= 10; vni++) {
        ids.insert({base::Encap::geneve, base::Vni(vni)});
    }
    configure(a, ids);
    configure(b, ids);
    connect();
    for (const ChannelId& id : ids) {
        EXPECT_TRUE(a.keying.health(id)->works && b.keying.health(id)->works);
    }
    EXPECT_EQ(a.offers, 10u);
    EXPECT_EQ(a.requests, 0u);
}

}  // namespace
}  // namespace nvo3::agent::keying_rig
