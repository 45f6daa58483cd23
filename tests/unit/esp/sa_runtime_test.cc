// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of esp/sa.h and esp/sa_runtime.h: what an SA may be, its sequence
// numbers and its end.
#include "esp/sa_runtime.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "esp_packets.h"

namespace nvo3::esp {
namespace {

using tests::TestSa;

std::unique_ptr<SaRuntime>
make(SaDirection direction, const SaLimits& limits, bool esn = true)
{
    TestSa test;
    test.esn = esn;
    SaConfig config = test.config(direction);
    config.limits = limits;
    auto sa = SaRuntime::make(config, *aead_libraries().at(0), {});
    return sa ? std::move(*sa) : nullptr;
}

struct Row {
    const char* name;
    SaDirection direction;
    std::function<void(SaConfig&)> change;
    const char* word;       // in the error; null: it is valid
};

void
expect_rows(const TestSa& test, std::span<const Row> rows)
{
    for (const Row& row : rows) {
        SCOPED_TRACE(row.name);
        SaConfig config = test.config(row.direction);
        row.change(config);
        const base::Status status = validate(config);
        EXPECT_EQ(status.ok(), row.word == nullptr);
        EXPECT_EQ(SaRuntime::make(config, *aead_libraries().at(0), {}).ok(),
                  row.word == nullptr);
        if (!status && row.word) {
            EXPECT_NE(status.error().text.find(row.word), std::string::npos)
                << status.error().text;
            EXPECT_EQ(status.error().code, EINVAL);
        }
    }
}

TEST(Sa, WhatIsRefused)
{
    const auto in = SaDirection::inbound;
    const auto out = SaDirection::outbound;
    const Row rows[] = {
        {"as it is, inbound", in, [](SaConfig&) {}, nullptr},
        {"as it is, outbound", out, [](SaConfig&) {}, nullptr},
        {"any local address", in, [](SaConfig& c) { c.local = {}; }, nullptr},
        {"lowest SPI", in, [](SaConfig& c) { c.spi = base::Spi(256); }, nullptr},
        {"reserved SPI", in, [](SaConfig& c) { c.spi = base::Spi(255); }, "SPI"},
        {"non-ESP marker", in, [](SaConfig& c) { c.spi = base::Spi(0); }, "SPI"},
        {"no remote address", out, [](SaConfig& c) { c.remote = {}; }, "remote"},
        {"VNI of 25 bits", in, [](SaConfig& c) { c.vni = base::Vni(1 << 24); }, "VNI"},
        {"encapsulation", in, [](SaConfig& c) { c.encap = base::Encap{3}; }, "encapsulation"},
        {"cipher", in, [](SaConfig& c) { c.cipher = Cipher{9}; }, "cipher"},
        {"direction", in, [](SaConfig& c) { c.direction = SaDirection{3}; }, "direction"},
        {"key too short", in, [](SaConfig& c) { c.key = base::Secret(size_t{19}); }, "20"},
        {"key of another cipher", in, [](SaConfig& c) { c.cipher = Cipher::aes256gcm; }, "36"},
        {"no key", out, [](SaConfig& c) { c.key.reset(); }, "key"},
        {"window not a power of two", in, [](SaConfig& c) { c.replay_window = 1000; }, "window"},
        {"window too large", in, [](SaConfig& c) { c.replay_window = 16384; }, "window"},
        {"window too small", in, [](SaConfig& c) { c.replay_window = 32; }, "window"},
        {"outbound has no window", out, [](SaConfig& c) { c.replay_window = 0; }, nullptr},
        {"pair without ESN", in, [](SaConfig& c) { c.esn = false; }, nullptr},
        {"highest SPI of pairs", in, [](SaConfig& c) { c.spi = base::Spi(0x7fffffff); }, nullptr},
        {"pair with an SPI of groups", in, [](SaConfig& c) { c.spi = base::Spi(0x80000000); },
         "80000000"},
        {"pair with a multicast address", out,
         [](SaConfig& c) { c.remote = *base::IpAddress::parse("239.1.1.1"); }, "multicast"},
    };
    expect_rows(TestSa(), rows);
}

TEST(Sa, WhatIsRefusedOfAGroup)
{
    const auto address = [](const char* text) { return *base::IpAddress::parse(text); };
    const auto in = SaDirection::inbound;
    const auto out = SaDirection::outbound;
    const Row rows[] = {
        {"as it is, inbound", in, [](SaConfig&) {}, nullptr},
        {"as it is, outbound", out, [](SaConfig&) {}, nullptr},
        {"any local address", in, [](SaConfig& c) { c.local = {}; }, nullptr},
        {"no group", in, [](SaConfig& c) { c.group = {}; }, "group is missing"},
        {"an SPI of pairs", in, [](SaConfig& c) { c.spi = base::Spi(0x7fffffff); }, "SPI"},
        {"group of one host", in, [&](SaConfig& c) { c.group = address("192.0.2.1"); },
         "not a multicast"},
        {"limited broadcast", in, [&](SaConfig& c) { c.group = address("255.255.255.255"); },
         "not a multicast"},
        {"ESN", in, [](SaConfig& c) { c.esn = true; }, "9838"},
        {"ESN, outbound", out, [](SaConfig& c) { c.esn = true; }, "9838"},
        {"the sender is the group", in, [](SaConfig& c) { c.remote = c.group; }, "sender"},
        {"sent to one host", out, [&](SaConfig& c) { c.remote = address("192.0.2.1"); },
         "not the group"},
        {"sent to another group", out, [&](SaConfig& c) { c.remote = address("239.1.1.2"); },
         "not the group"},
        {"sender of the other IP version", in, [&](SaConfig& c) { c.remote = address("fd31::1"); },
         "IP version"},
    };
    expect_rows(TestSa::of_group(), rows);
    EXPECT_TRUE(validate(TestSa::of_group(1, true).config(in)));
    EXPECT_TRUE(validate(TestSa::of_group(1, true).config(out)));
}

TEST(SaRuntime, NumbersStartAt1AndDoNotOverlap)
{
    auto sa = make(SaDirection::outbound, {});
    EXPECT_EQ(sa->last_sequence(), 0u);
    EXPECT_EQ(sa->reserve(3).first, 1u);
    EXPECT_EQ(sa->reserve(32).first, 4u);
    EXPECT_EQ(sa->reserve(1).first, 36u);
    EXPECT_EQ(sa->last_sequence(), 36u);
    EXPECT_EQ(sa->packets(), 36u);
}

TEST(SaRuntime, ThreadsNeverShareANumber)
{
    constexpr uint64_t kLast = 100000;
    SaLimits limits;
    limits.hard_packets = kLast;
    auto sa = make(SaDirection::outbound, limits);
    std::vector<std::vector<uint64_t>> taken(4);
    std::vector<std::thread> threads;
    for (auto& mine : taken) {
        threads.emplace_back([&sa, &mine] {
            for (size_t n = 1;; n = n % 32 + 1) {
                const auto block = sa->reserve(n);
                for (size_t i = 0; i < block.count; i++) {
                    mine.push_back(block.first + i);
                }
                if (block.count < n) {
                    return;
                }
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    std::vector<uint64_t> all;
    for (const auto& mine : taken) {
        all.insert(all.end(), mine.begin(), mine.end());
    }
    std::sort(all.begin(), all.end());
    ASSERT_EQ(all.size(), kLast);
    for (uint64_t i = 0; i < kLast; i++) {
        ASSERT_EQ(all[i], i + 1);
    }
}

TEST(SaRuntime, StopsAtTheLastNumber)
{
    struct Row {
        const char* name;
        bool esn;
        uint64_t hard_packets;
        uint64_t last;
        DropReason reason;
    };
    const Row rows[] = {
        {"configured", true, 10, 10, DropReason::sa_expired},
        {"configured, without ESN", false, 10, 10, DropReason::sa_expired},
        {"32 bits", false, 0, 0xffffffff, DropReason::sequence_end},
        {"configured beyond 32 bits", false, uint64_t{1} << 40, 0xffffffff,
         DropReason::sequence_end},
        {"64 bits", true, 0, UINT64_MAX - 1, DropReason::sequence_end},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.name);
        SaLimits limits;
        limits.hard_packets = row.hard_packets;
        auto sa = make(SaDirection::outbound, limits, row.esn);
        EXPECT_EQ(sa->reserve(row.last - 3).first, 1u);
        EXPECT_TRUE(sa->alive());
        const auto block = sa->reserve(32);
        EXPECT_EQ(block.first, row.last - 2);
        EXPECT_EQ(block.count, 3u);
        EXPECT_FALSE(sa->alive());
        EXPECT_EQ(sa->end_reason(), row.reason);
        for (int i = 0; i < 3; i++) {
            EXPECT_EQ(sa->reserve(1).count, 0u);
        }
        EXPECT_EQ(sa->last_sequence(), row.last);
        EXPECT_EQ(sa->take_events(), kSoftPackets | kHardPackets);
    }
}

TEST(SaRuntime, OutboundLimitsRaiseEventsOnce)
{
    SaLimits limits;
    limits.soft_packets = 10;
    limits.hard_packets = 100;
    limits.soft_bytes = 1000;
    limits.hard_bytes = 2000;
    auto sa = make(SaDirection::outbound, limits);
    sa->reserve(9);
    sa->count(9, 999);
    EXPECT_EQ(sa->take_events(), 0u);
    sa->reserve(1);
    EXPECT_EQ(sa->take_events(), kSoftPackets);
    sa->reserve(1);
    sa->count(1, 1);
    EXPECT_EQ(sa->take_events(), kSoftBytes);
    sa->reserve(1);
    sa->count(1, 1);
    EXPECT_EQ(sa->take_events(), 0u);
    EXPECT_TRUE(sa->alive());
    sa->count(1, 999);
    EXPECT_EQ(sa->bytes(), 2000u);
    EXPECT_EQ(sa->take_events(), kHardBytes);
    EXPECT_FALSE(sa->alive());
    EXPECT_EQ(sa->end_reason(), DropReason::sa_expired);
}

TEST(SaRuntime, InboundLimitsCountWhatWasAccepted)
{
    SaLimits limits;
    limits.soft_packets = 3;
    limits.hard_packets = 4;
    auto sa = make(SaDirection::inbound, limits);
    sa->count(2, 100);
    EXPECT_EQ(sa->take_events(), 0u);
    sa->count(1, 100);
    EXPECT_EQ(sa->take_events(), kSoftPackets);
    EXPECT_TRUE(sa->alive());
    sa->count(1, 100);
    EXPECT_EQ(sa->take_events(), kHardPackets);
    EXPECT_FALSE(sa->alive());
    EXPECT_EQ(sa->end_reason(), DropReason::sa_expired);
    EXPECT_EQ(sa->packets(), 4u);
    EXPECT_EQ(sa->bytes(), 300u);
}

TEST(SaRuntime, LimitsThatNobodySet)
{
    auto sa = make(SaDirection::outbound, {});
    sa->count(1, kHardBytesCeiling / 4 * 3);
    EXPECT_EQ(sa->take_events(), kSoftBytes);
    sa->count(1, kHardBytesCeiling / 4);
    EXPECT_EQ(sa->take_events(), kHardBytes);

    // Without ESN a rekey is asked for long before the numbers end.
    sa = make(SaDirection::outbound, {}, false);
    sa->reserve(0xc0000000);
    EXPECT_EQ(sa->take_events(), kSoftPackets);
    EXPECT_TRUE(sa->alive());
}

TEST(SaRuntime, ExpiresByHand)
{
    auto sa = make(SaDirection::inbound, {});
    sa->expire();
    EXPECT_FALSE(sa->alive());
    EXPECT_EQ(sa->end_reason(), DropReason::sa_expired);
    EXPECT_EQ(sa->take_events(), kHardSeconds);
    EXPECT_EQ(sa->take_events(), 0u);
}

}  // namespace
}  // namespace nvo3::esp
