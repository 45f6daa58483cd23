// SPDX-License-Identifier: Apache-2.0
//
// Two Keyings against each other, each with a pretended switch, over a wire that can lose,
// hold and repeat.  Time is a number.
#include "hvagent/keying.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <set>

namespace nvo3::agent {
namespace {

using namespace std::chrono_literals;

const ChannelId kBlue{base::Encap::geneve, base::Vni(5001)};
const ChannelId kRed{base::Encap::vxlan, base::Vni(7)};

struct Host {
    explicit Host(unsigned seed)
        : random(seed), keying([this](uint8_t* out, size_t size) {
              for (size_t i = 0; i < size; i++) {
                  out[i] = static_cast<uint8_t>(random());
              }
          })
    {
    }

    struct Sa {
        SaDirection direction;
        SaParameters sa;
        SessionId session;
    };

    std::mt19937 random;
    Keying keying;
    std::vector<Sa> installed;              // what lives in its switch
    std::vector<std::string> refused, notes;
    std::vector<SaLimits> limits;
    std::map<base::Spi, SaParameters> sent_first;   // outbound installed before an answer: for the receive-first check
    int switch_error = 0;                   // for the next InstallSa
    bool switch_mute = false;
    uint64_t next_request = 1;
    unsigned offers = 0, requests = 0;
    bool peer_hears = true;                 // messages to the other side arrive

    size_t count(SaDirection direction, const ChannelId& id = kBlue) const
    {
        return static_cast<size_t>(std::ranges::count_if(
            installed, [&](const Sa& sa) { return sa.direction == direction && sa.sa.channel == id; }));
    }
    const SaParameters& only(SaDirection direction, const ChannelId& id = kBlue) const
    {
        auto it = std::ranges::find_if(
            installed, [&](const Sa& sa) { return sa.direction == direction && sa.sa.channel == id; });
        EXPECT_NE(it, installed.end());
        return it->sa;
    }
    std::string error(const ChannelId& id = kBlue) const
    {
        for (const ChannelView& view : keying.view()) {
            if (view.id == id) {
                return view.error.empty() ? view.send_error : view.error;
            }
        }
        return "no such channel";
    }
};

class KeyingTest : public testing::Test {
protected:
    KeyingTest() : a(1), b(2)
    {
        for (Host* host : {&a, &b}) {
            configure(*host, {kBlue});
            host->keying.switch_up({}, now);
        }
    }

    void configure(Host& host, std::set<ChannelId> ids, esp::Cipher cipher = esp::Cipher::aes128gcm, uint32_t window = 1024)
    {
        std::map<ChannelId, ChannelConfig> channels;
        for (const ChannelId& id : ids) {
            channels[id] = ChannelConfig{cipher, window};
        }
        host.keying.configure(channels, policy, now);
    }

    void connect(SessionId session = 1)
    {
        a.keying.session_up(session, now);
        b.keying.session_up(session, now);
        settle();
    }

    Host& other(Host& host) { return &host == &a ? b : a; }

    // Carries out what a host wants; messages wait in wire.
    void act(Host& host)
    {
        for (Action& action : host.keying.take()) {
            std::visit([&](auto& what) { perform(host, what); }, action);
        }
    }

    void perform(Host& host, InstallSa& what)
    {
        host.limits.push_back(what.limits);
        if (host.switch_mute) {
            return;
        }
        int error = std::exchange(host.switch_error, 0);
        if (error == 0) {
            if (what.direction == SaDirection::outbound) {
                // Receive first: whoever holds the other end has it installed by now.
                bool receiver_has = std::ranges::any_of(other(host).installed, [&](const Host::Sa& sa) {
                    return sa.direction == SaDirection::inbound && sa.sa == what.sa && sa.session == what.session;
                });
                EXPECT_TRUE(receiver_has) << "outbound SA before the inbound one";
                std::erase_if(host.installed, [&](const Host::Sa& sa) {
                    return sa.direction == SaDirection::outbound && sa.sa.channel == what.sa.channel;
                });
            }
            host.installed.push_back({what.direction, what.sa, what.session});
        }
        wire.push_back([this, &host, token = what.token, error] { host.keying.installed(token, error, "no room", now); });
    }
    void perform(Host& host, RemoveSa& what)
    {
        std::erase_if(host.installed, [&](const Host::Sa& sa) { return sa.direction == what.direction && sa.sa.spi == what.spi; });
    }
    void perform(Host& host, SendOffer& what)
    {
        uint64_t id = host.next_request++;
        host.offers++;
        host.keying.offer_sent(what.token, id);
        send(host, [this, &host, id, what] { other(host).keying.on_offer(what.session, id, what.sa, true, now); });
    }
    void perform(Host& host, SendAnswer& what)
    {
        send(host, [this, &host, what] { other(host).keying.on_answer(what.session, what.offer, what.accepted, what.reason, now); });
    }
    void perform(Host& host, SendRequest& what)
    {
        host.requests++;
        send(host, [this, &host, what] { other(host).keying.on_request(what.session, what.channel, what.reason, now); });
    }
    void perform(Host& host, SendDelete& what)
    {
        send(host, [this, &host, what] { other(host).keying.on_delete(what.session, what.channel, what.spi, what.reason, now); });
    }
    void perform(Host& host, Refused& what) { host.refused.push_back(what.reason); }
    void perform(Host& host, Note& what) { host.notes.push_back(what.text); }

    void send(Host& from, std::function<void()> deliver)
    {
        if (from.peer_hears) {
            wire.push_back(std::move(deliver));
            if (repeat) {
                wire.push_back(wire.back());
            }
        }
    }

    void settle()
    {
        for (int rounds = 0; rounds < 100000; rounds++) {
            act(a);
            act(b);
            if (wire.empty()) {
                return;
            }
            auto next = std::move(wire.front());
            wire.pop_front();
            next();
        }
        ADD_FAILURE() << "the hosts never come to rest";
    }

    // Lets time pass, from deadline to deadline.
    void run(std::chrono::milliseconds time)
    {
        TimePoint end = now + time;
        settle();
        for (int rounds = 0; rounds < 10000; rounds++) {
            TimePoint next = end;
            for (Host* host : {&a, &b}) {
                if (auto at = host->keying.next_deadline()) {
                    next = std::min(next, *at);
                }
            }
            now = std::max(now, next);
            a.keying.tick(now);
            b.keying.tick(now);
            settle();
            if (now >= end) {
                return;
            }
        }
        ADD_FAILURE() << "deadlines that never pass";
    }

    void expect_up(const ChannelId& id = kBlue)
    {
        EXPECT_EQ(a.count(SaDirection::inbound, id), 1u);
        EXPECT_EQ(b.count(SaDirection::inbound, id), 1u);
        ASSERT_EQ(a.count(SaDirection::outbound, id), 1u);
        ASSERT_EQ(b.count(SaDirection::outbound, id), 1u);
        EXPECT_EQ(a.only(SaDirection::outbound, id), b.only(SaDirection::inbound, id));
        EXPECT_EQ(b.only(SaDirection::outbound, id), a.only(SaDirection::inbound, id));
        EXPECT_EQ(a.error(id), "");
        EXPECT_EQ(b.error(id), "");
    }

    TimePoint now{1000s};
    KeyingPolicy policy;
    std::deque<std::function<void()>> wire;
    bool repeat = false;
    Host a, b;
};

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
}  // namespace nvo3::agent
