// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of the engine with several packet threads; meant for TSan as well.
#include <atomic>
#include <thread>
#include <unordered_set>

#include "tests/unit/engine/engine_fixture.h"

namespace nvo3::engine {
namespace {

constexpr int kThreads = 4;
constexpr int kBatches = 400;
constexpr size_t kBatchSize = 32;

uint64_t
iv_of(const nvo3_frame& frame)
{
    return base::ByteReader(base::ByteView(frame.data + 14 + 20 + 8 + 8, 8)).u64();
}

TEST_F(EngineTest, ThreadsNeverRepeatASequenceNumber)
{
    connect_one_way();
    const base::Bytes head = header();
    std::vector<std::vector<uint64_t>> seen(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; t++) {
        threads.emplace_back([&, t] {
            for (int round = 0; round < kBatches; round++) {
                std::vector<FakePacket> packets;
                std::vector<nvo3_frame> frames;
                packets.reserve(kBatchSize);
                for (size_t i = 0; i < kBatchSize; i++) {
                    packets.emplace_back(tests::vm_frame(60));
                    frames.push_back(packets.back().frame());
                }
                a->seal(Encap::geneve, head, frames.data(), frames.size());
                for (const nvo3_frame& frame : frames) {
                    if (!frame.refused) {
                        seen[static_cast<size_t>(t)].push_back(iv_of(frame));
                    }
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    std::unordered_set<uint64_t> all;
    for (const auto& numbers : seen) {
        EXPECT_EQ(numbers.size(), kBatches * kBatchSize);
        for (uint64_t number : numbers) {
            EXPECT_TRUE(all.insert(number).second) << number;
        }
    }
    EXPECT_EQ(all.size(), size_t{kThreads} * kBatches * kBatchSize);
    EXPECT_EQ(statistic(*a, "tun2", "nvo3_sealed"), all.size());
}

TEST_F(EngineTest, OfCopiesInSeveralThreadsOnePasses)
{
    connect_one_way();
    constexpr size_t kPackets = 600;
    std::vector<base::Bytes> wire;
    for (size_t i = 0; i < kPackets; i++) {
        wire.push_back(on_the_wire(tests::vm_frame(60)));
    }
    std::vector<std::atomic<int>> passed(kPackets);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; t++) {
        threads.emplace_back([&] {
            for (size_t i = 0; i < kPackets; i++) {
                passed[i] += open(*b, wire[i]).has_value();
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    uint64_t all = 0;
    for (size_t i = 0; i < kPackets; i++) {
        EXPECT_EQ(passed[i], 1) << i;
        all += static_cast<uint64_t>(passed[i].load());
    }
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_opened"), all);
    EXPECT_EQ(statistic(*b, "tun1", "nvo3_drop_replayed"), kPackets * (kThreads - 1));
}

TEST_F(EngineTest, SasMayBeReplacedUnderTraffic)
{
    auto agent = connect(*a);
    ASSERT_EQ(install(*a, *agent, sa(esp::SaDirection::outbound, 0x1000, kB)), 0u);
    const base::Bytes head = header();
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> refused{0}, sent{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; t++) {
        threads.emplace_back([&] {
            while (!stop) {
                FakePacket packet(tests::vm_frame(60));
                nvo3_frame frame = packet.frame();
                a->seal(Encap::geneve, head, &frame, 1);
                (frame.refused ? refused : sent)++;
            }
        });
    }
    for (uint32_t spi = 0x1001; spi < 0x1081; spi++) {
        ASSERT_EQ(install(*a, *agent, sa(esp::SaDirection::outbound, spi, kB)), 0u);
    }
    while (sent < 1000) {
        std::this_thread::yield();
    }
    stop = true;
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(refused, 0u);
}

}  // namespace
}  // namespace nvo3::engine
