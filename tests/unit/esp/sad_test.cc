// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of esp/sad.h.
#include "esp/sad.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "esp_packets.h"

namespace nvo3::esp {
namespace {

using base::Encap;
using base::Spi;
using base::Vni;
using tests::ImmediateReclaimer;
using tests::TestSa;

std::unique_ptr<SaRuntime>
inbound(uint32_t spi)
{
    TestSa test;
    test.spi = spi;
    test.window = kReplayWindowMin;
    return test.make(SaDirection::inbound);
}

std::unique_ptr<SaRuntime>
outbound(uint32_t spi, uint32_t vni, Encap encap = Encap::geneve)
{
    TestSa test;
    test.spi = spi;
    test.vni = vni;
    test.encap = encap;
    return test.make(SaDirection::outbound);
}

const base::IpAddress kFirst = *base::IpAddress::parse("172.31.0.1");
const base::IpAddress kSecond = *base::IpAddress::parse("172.31.0.2");

TEST(Sad, FindsInboundBySpi)
{
    ImmediateReclaimer reclaimer;
    Sad sad(reclaimer);
    EXPECT_EQ(sad.inbound(Spi(0)), nullptr);
    EXPECT_EQ(sad.inbound(Spi(1000)), nullptr);
    ASSERT_TRUE(sad.add_inbound(inbound(1000)));
    ASSERT_TRUE(sad.add_inbound(inbound(1001)));
    ASSERT_TRUE(sad.inbound(Spi(1000)));
    EXPECT_EQ(sad.inbound(Spi(1000))->spi(), Spi(1000));
    EXPECT_EQ(sad.inbound(Spi(1001))->spi(), Spi(1001));
    EXPECT_EQ(sad.inbound(Spi(1002)), nullptr);
    EXPECT_EQ(sad.inbound(Spi(0)), nullptr);
    EXPECT_EQ(sad.inbound_size(), 2u);
}

TEST(Sad, RefusesASpiThatIsTaken)
{
    ImmediateReclaimer reclaimer;
    Sad sad(reclaimer);
    ASSERT_TRUE(sad.add_inbound(inbound(1000)));
    SaRuntime* first = sad.inbound(Spi(1000));
    const base::Status again = sad.add_inbound(inbound(1000));
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, EEXIST);
    EXPECT_EQ(sad.inbound(Spi(1000)), first);
    EXPECT_TRUE(sad.remove_inbound(Spi(1000), kFirst));
    EXPECT_TRUE(sad.add_inbound(inbound(1000)));
}

TEST(Sad, RefusesTheWrongDirection)
{
    ImmediateReclaimer reclaimer;
    Sad sad(reclaimer);
    EXPECT_FALSE(sad.add_inbound(outbound(1000, 1)));
    EXPECT_FALSE(sad.set_outbound(1, inbound(1000)));
    EXPECT_FALSE(sad.set_outbound(0, outbound(1000, 1)));
}

TEST(Sad, OutboundIsOnePerPeerEncapsulationAndVni)
{
    ImmediateReclaimer reclaimer;
    Sad sad(reclaimer);
    ASSERT_TRUE(sad.set_outbound(1, outbound(1000, 5001)));
    ASSERT_TRUE(sad.set_outbound(1, outbound(1001, 5001, Encap::vxlan)));
    ASSERT_TRUE(sad.set_outbound(1, outbound(1002, 5002)));
    ASSERT_TRUE(sad.set_outbound(65535, outbound(1003, 5001)));
    ASSERT_TRUE(sad.set_outbound(2, outbound(1004, 0)));
    EXPECT_EQ(sad.outbound(1, Encap::geneve, Vni(5001))->spi(), Spi(1000));
    EXPECT_EQ(sad.outbound(1, Encap::vxlan, Vni(5001))->spi(), Spi(1001));
    EXPECT_EQ(sad.outbound(1, Encap::geneve, Vni(5002))->spi(), Spi(1002));
    EXPECT_EQ(sad.outbound(65535, Encap::geneve, Vni(5001))->spi(), Spi(1003));
    EXPECT_EQ(sad.outbound(2, Encap::geneve, Vni(0))->spi(), Spi(1004));
    EXPECT_EQ(sad.outbound(2, Encap::geneve, Vni(5001)), nullptr);
    EXPECT_EQ(sad.outbound(2, Encap::vxlan, Vni(0)), nullptr);

    ASSERT_TRUE(sad.set_outbound(1, outbound(2000, 5001)));
    EXPECT_EQ(sad.outbound(1, Encap::geneve, Vni(5001))->spi(), Spi(2000));
    EXPECT_EQ(sad.outbound_size(), 5u);
}

// It would count from 1 again under the same key.
TEST(Sad, OutboundIsNotReplacedByItself)
{
    ImmediateReclaimer reclaimer;
    Sad sad(reclaimer);
    ASSERT_TRUE(sad.set_outbound(1, outbound(1000, 5001)));
    SaRuntime* present = sad.outbound(1, Encap::geneve, Vni(5001));
    const base::Status again = sad.set_outbound(1, outbound(1000, 5001));
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, EEXIST);
    EXPECT_EQ(sad.outbound(1, Encap::geneve, Vni(5001)), present);
    // Another peer may have chosen the same SPI.
    EXPECT_TRUE(sad.set_outbound(2, outbound(1000, 5001)));
}

TEST(Sad, RemovesOnlyWhatIsNamed)
{
    ImmediateReclaimer reclaimer;
    Sad sad(reclaimer);
    ASSERT_TRUE(sad.add_inbound(inbound(1000)));
    ASSERT_TRUE(sad.set_outbound(1, outbound(1000, 1)));
    // The peer may choose an SPI once for each network.
    ASSERT_TRUE(sad.set_outbound(1, outbound(1000, 2)));
    EXPECT_FALSE(sad.remove_inbound(Spi(1001), kFirst));
    EXPECT_FALSE(sad.remove_inbound(Spi(1000), kSecond));
    EXPECT_FALSE(sad.remove_outbound(2, Encap::geneve, Vni(1), Spi(1000)));
    EXPECT_FALSE(sad.remove_outbound(1, Encap::vxlan, Vni(1), Spi(1000)));
    EXPECT_FALSE(sad.remove_outbound(1, Encap::geneve, Vni(1), Spi(1001)));
    EXPECT_EQ(sad.inbound_size() + sad.outbound_size(), 3u);
    EXPECT_TRUE(sad.remove_outbound(1, Encap::geneve, Vni(1), Spi(1000)));
    EXPECT_EQ(sad.outbound(1, Encap::geneve, Vni(1)), nullptr);
    EXPECT_NE(sad.outbound(1, Encap::geneve, Vni(2)), nullptr);
    EXPECT_NE(sad.inbound(Spi(1000)), nullptr);
    EXPECT_EQ(sad.remove_peer(kFirst), 1u);
    EXPECT_EQ(sad.inbound(Spi(1000)), nullptr);
    EXPECT_EQ(sad.remove_peer(kSecond), 1u);
    EXPECT_EQ(sad.inbound_size() + sad.outbound_size(), 0u);
    EXPECT_EQ(sad.remove_peer(kSecond), 0u);
}

TEST(Sad, VisitsAll)
{
    ImmediateReclaimer reclaimer;
    Sad sad(reclaimer);
    for (uint32_t i = 0; i < 100; i++) {
        ASSERT_TRUE(sad.add_inbound(inbound(1000 + i)));
        ASSERT_TRUE(sad.set_outbound(1, outbound(1000 + i, i)));
    }
    uint64_t sum = 0;
    sad.for_each([&](SaRuntime& sa) { sum += sa.spi().value; });
    EXPECT_EQ(sum, 2u * (100 * 1000 + 99 * 50));
}

TEST(Sad, GrowsAndForgets)
{
    ImmediateReclaimer reclaimer;
    Sad sad(reclaimer);
    // Each round leaves the keys of removed SAs behind, which must not add up.
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < 500; i++) {
            ASSERT_TRUE(sad.add_inbound(inbound(256 + round * 500 + i)));
        }
        EXPECT_EQ(sad.inbound_size(), 500u);
        for (uint32_t i = 0; i < 500; i++) {
            ASSERT_NE(sad.inbound(Spi(256 + round * 500 + i)), nullptr);
            ASSERT_TRUE(sad.remove_inbound(Spi(256 + round * 500 + i), kFirst));
            ASSERT_EQ(sad.inbound(Spi(256 + round * 500 + i)), nullptr);
        }
    }
    EXPECT_EQ(sad.inbound_size(), 0u);
}

TEST(Sad, RetiresEverySaOnce)
{
    ImmediateReclaimer reclaimer;
    {
        Sad sad(reclaimer);
        ASSERT_TRUE(sad.add_inbound(inbound(1000)));
        ASSERT_TRUE(sad.set_outbound(1, outbound(1000, 1)));
        EXPECT_EQ(reclaimer.retired, 0);
        ASSERT_TRUE(sad.set_outbound(1, outbound(1001, 1)));
        EXPECT_EQ(reclaimer.retired, 1);
        ASSERT_TRUE(sad.remove_inbound(Spi(1000), kFirst));
        EXPECT_EQ(reclaimer.retired, 2);
    }
    EXPECT_EQ(reclaimer.retired, 3);
}

// Keeps what is retired until nobody reads any more.
class KeepingReclaimer final : public Reclaimer {
public:
    ~KeepingReclaimer() override
    {
        for (auto& [p, destroy] : kept_) {
            destroy(p);
        }
    }
    void retire(void* p, void (*destroy)(void*)) override { kept_.emplace_back(p, destroy); }

private:
    std::vector<std::pair<void*, void (*)(void*)>> kept_;
};

// Readers always find the SAs that stay, and never one under another's key,
// while others come and go and the table is replaced.
TEST(Sad, ReadersSeeAConsistentTable)
{
    KeepingReclaimer reclaimer;
    Sad sad(reclaimer);
    constexpr uint32_t kStay = 16;
    for (uint32_t i = 0; i < kStay; i++) {
        ASSERT_TRUE(sad.add_inbound(inbound(1000 + i)));
        ASSERT_TRUE(sad.set_outbound(1, outbound(1000, i)));
    }
    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0};
    std::atomic<uint64_t> lookups{0};
    std::vector<std::thread> readers;
    for (int t = 0; t < 2; t++) {
        readers.emplace_back([&] {
            while (!stop) {
                for (uint32_t i = 0; i < kStay; i++) {
                    const SaRuntime* in = sad.inbound(Spi(1000 + i));
                    wrong += !in || in->spi() != Spi(1000 + i);
                    const SaRuntime* out = sad.outbound(1, Encap::geneve, Vni(i));
                    wrong += !out || out->vni() != Vni(i);
                    const SaRuntime* passing = sad.inbound(Spi(5000 + i));
                    wrong += passing && passing->spi() != Spi(5000 + i);
                }
                lookups++;
            }
        });
    }
    for (uint32_t round = 0; round < 60 || lookups < 100; round++) {
        for (uint32_t i = 0; i < 20; i++) {
            ASSERT_TRUE(sad.add_inbound(inbound(5000 + i + round % 7)));
        }
        for (uint32_t i = 0; i < kStay; i++) {
            ASSERT_TRUE(sad.set_outbound(1, outbound(1001 + round, i)));
        }
        for (uint32_t i = 0; i < 20; i++) {
            ASSERT_TRUE(sad.remove_inbound(Spi(5000 + i + round % 7), kFirst));
        }
    }
    stop = true;
    for (auto& reader : readers) {
        reader.join();
    }
    EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace nvo3::esp
