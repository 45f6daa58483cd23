// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of esp/replay_window.h.
#include "esp/replay_window.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "esp/sa.h"

namespace nvo3::esp {
namespace {

constexpr auto kFresh = ReplayVerdict::fresh;
constexpr auto kReplayed = ReplayVerdict::replayed;
constexpr auto kTooOld = ReplayVerdict::too_old;
constexpr uint64_t kCycle = uint64_t{1} << 32;

// Takes the window to 'top' as a receiver would, which sees no gap of 2^32.
void
advance(ReplayWindow& window, uint64_t top)
{
    for (uint64_t at = window.top(); at != top;) {
        at += std::min(top - at, kCycle - 1);
        ASSERT_EQ(window.mark(at), kFresh) << at;
    }
}

struct MarkRow {
    const char* name;
    uint32_t size;
    uint64_t top;               // after marking it
    std::vector<std::pair<uint64_t, ReplayVerdict>> marks;  // in this order
};

const MarkRow kMarkRows[] = {
    {"number 0 is never right", 64, 0, {{0, kTooOld}}},
    {"the first is 1", 64, 0, {{1, kFresh}, {1, kReplayed}, {2, kFresh}}},
    {"lowest of the window, one below", 64, 1000,
     {{937, kFresh}, {936, kTooOld}, {937, kReplayed}, {1000, kReplayed}}},
    {"lowest of the window at a block's edge", 64, 1023,
     {{960, kFresh}, {959, kTooOld}, {960, kReplayed}}},
    {"lowest of the window just behind a block's edge", 64, 1024,
     {{961, kFresh}, {960, kTooOld}}},
    {"128", 128, 1000, {{873, kFresh}, {872, kTooOld}}},
    {"1024", 1024, 5000, {{3977, kFresh}, {3976, kTooOld}, {3977, kReplayed}}},
    {"8192", 8192, 100000, {{91809, kFresh}, {91808, kTooOld}, {91809, kReplayed}}},
    {"window larger than what was sent", 8192, 10,
     {{1, kFresh}, {9, kFresh}, {1, kReplayed}, {0, kTooOld}}},
    {"out of order", 64, 100, {{99, kFresh}, {97, kFresh}, {98, kFresh}, {99, kReplayed}}},
    {"ahead by less than the window: what is between stays open", 64, 100,
     {{163, kFresh}, {101, kFresh}, {100, kReplayed}, {99, kTooOld}}},
    {"ahead by the window: all before is too old", 64, 100,
     {{164, kFresh}, {100, kTooOld}, {101, kFresh}}},
    {"ahead by twice the ring: no bit of old blocks shows through", 64, 100,
     {{100 + 256, kFresh}, {100 + 255, kFresh}, {100 + 193, kFresh}, {100 + 192, kTooOld}}},
    {"ahead by far", 64, 100,
     {{1000000, kFresh}, {999937, kFresh}, {999936, kTooOld}, {999999, kFresh}}},
    {"across 2^32", 64, kCycle - 1,
     {{kCycle + 1, kFresh}, {kCycle, kFresh}, {kCycle - 1, kReplayed},
      {kCycle - 62, kFresh}, {kCycle - 63, kTooOld}}},
    {"across 5 * 2^32", 1024, 5 * kCycle - 3,
     {{5 * kCycle - 2, kFresh}, {5 * kCycle, kFresh}, {5 * kCycle, kReplayed},
      {5 * kCycle - 1023, kFresh}, {5 * kCycle - 1024, kTooOld}}},
};

TEST(ReplayWindow, Marks)
{
    for (const MarkRow& row : kMarkRows) {
        SCOPED_TRACE(row.name);
        ReplayWindow window(row.size, true);
        advance(window, row.top);
        EXPECT_EQ(window.size(), row.size);
        for (const auto& [sequence, verdict] : row.marks) {
            EXPECT_EQ(window.check(sequence), verdict) << sequence;
            EXPECT_EQ(window.check(sequence), verdict) << sequence << ": checking marked it";
            EXPECT_EQ(window.mark(sequence), verdict) << sequence;
        }
    }
}

struct InferRow {
    const char* name;
    bool esn;
    uint32_t size;
    uint64_t top;
    uint32_t low;
    uint64_t whole;
};

// RFC 4303 appendix A2.2.  Case A: the window is within one cycle of 2^32, case
// B: it reaches into the one before.
const InferRow kInferRows[] = {
    {"without ESN the low half is all", false, 64, 5000, 1, 1},
    {"without ESN, near the end", false, 64, 0xfffffff0, 5, 5},
    {"A: top itself", true, 64, 5 * kCycle + 1000, 1000, 5 * kCycle + 1000},
    {"A: bottom of the window", true, 64, 5 * kCycle + 1000, 937, 5 * kCycle + 937},
    {"A: below the bottom, so of the next cycle", true, 64, 5 * kCycle + 1000, 936,
     6 * kCycle + 936},
    {"A: ahead in this cycle", true, 64, 5 * kCycle + 1000, 0xffffffff,
     5 * kCycle + 0xffffffff},
    {"A: window ends where the cycle begins", true, 64, 5 * kCycle + 63, 0, 5 * kCycle},
    {"A: top is the last of the cycle", true, 64, 5 * kCycle - 1, 0, 5 * kCycle},
    {"B: ahead", true, 64, 5 * kCycle + 10, 11, 5 * kCycle + 11},
    {"B: window in this cycle", true, 64, 5 * kCycle + 10, 0, 5 * kCycle},
    {"B: window in the cycle before", true, 64, 5 * kCycle + 10, 0xffffffff,
     5 * kCycle - 1},
    {"B: bottom of the window", true, 64, 5 * kCycle + 10, 0xffffffcb, 5 * kCycle - 53},
    {"B: below the bottom: far ahead in this cycle", true, 64, 5 * kCycle + 10, 0xffffffca,
     5 * kCycle + 0xffffffca},
    {"B: nothing is before the first cycle", true, 64, 10, 0xffffffff, 0},
    {"at the start", true, 1024, 0, 1, 1},
    {"at the start, far ahead", true, 1024, 0, 0x80000000, 0x80000000},
};

TEST(ReplayWindow, InfersTheHighHalf)
{
    for (const InferRow& row : kInferRows) {
        SCOPED_TRACE(row.name);
        ReplayWindow window(row.size, row.esn);
        advance(window, row.top);
        EXPECT_EQ(window.infer(row.low), row.whole);
    }
}

TEST(ReplayWindow, FollowsASenderAcross2To32)
{
    ReplayWindow window(64, true);
    advance(window, kCycle - 500);
    for (uint64_t sequence = kCycle - 499; sequence < kCycle + 500; sequence++) {
        ASSERT_EQ(window.infer(static_cast<uint32_t>(sequence)), sequence);
        ASSERT_EQ(window.mark(sequence), kFresh);
        ASSERT_EQ(window.infer(static_cast<uint32_t>(sequence)), sequence);
        ASSERT_EQ(window.mark(sequence), kReplayed);
    }
}

// Against a model that keeps every number ever marked.
TEST(ReplayWindow, AgreesWithAModelOnRandomNumbers)
{
    std::mt19937_64 random(4303);
    for (uint32_t size = kReplayWindowMin; size <= kReplayWindowMax; size *= 2) {
        ReplayWindow window(size, true);
        std::set<uint64_t> seen;
        uint64_t top = 0;
        for (int i = 0; i < 20000; i++) {
            const uint64_t reach = random() % 8 ? size * 2 : size * 20;
            const uint64_t base = top > size ? top - size : 0;
            const uint64_t sequence = base + random() % reach;
            const ReplayVerdict expected =
                sequence == 0 || (sequence <= top && top - sequence >= size) ? kTooOld
                : seen.count(sequence) ? kReplayed : kFresh;
            ASSERT_EQ(window.mark(sequence), expected) << size << ": " << sequence;
            seen.insert(sequence);
            if (expected == kFresh) {
                top = std::max(top, sequence);
            }
        }
        EXPECT_EQ(window.top(), top);
    }
}

// All threads mark all numbers, in an order of their own: no number is taken
// twice, and while the window covers them all, each is taken once.
TEST(ReplayWindow, ExactlyOneThreadTakesANumber)
{
    constexpr uint64_t kNumbers = 8000;
    constexpr size_t kThreads = 4;
    for (uint32_t size : {kReplayWindowMin, kReplayWindowMax}) {
        SCOPED_TRACE(size);
        ReplayWindow window(size, true);
        std::vector<std::atomic<int>> taken(kNumbers + 1);
        std::atomic<size_t> waiting{kThreads};
        std::vector<std::thread> threads;
        for (size_t t = 0; t < kThreads; t++) {
            threads.emplace_back([&, t] {
                std::mt19937 random(static_cast<unsigned>(t));
                waiting--;
                while (waiting) {
                }
                for (uint64_t base = 1; base <= kNumbers; base += 16) {
                    const uint64_t turn = random() % 16;
                    for (uint64_t i = 0; i < 16; i++) {
                        const uint64_t sequence = base + (i + turn) % 16;
                        taken[sequence] += window.mark(sequence) == kFresh;
                    }
                }
            });
        }
        for (auto& thread : threads) {
            thread.join();
        }
        for (uint64_t sequence = 1; sequence <= kNumbers; sequence++) {
            ASSERT_LE(taken[sequence], 1) << sequence;
            if (size > kNumbers) {
                ASSERT_EQ(taken[sequence], 1) << sequence;
            }
        }
        EXPECT_EQ(window.top(), kNumbers);
    }
}

TEST(ReplayWindow, SizesThatAreAllowed)
{
    for (uint32_t size : {64u, 128u, 1024u, 8192u}) {
        EXPECT_TRUE(is_replay_window(size)) << size;
    }
    for (uint32_t size : {0u, 1u, 32u, 63u, 65u, 1000u, 8191u, 16384u, 0x80000000u}) {
        EXPECT_FALSE(is_replay_window(size)) << size;
    }
}

}  // namespace
}  // namespace nvo3::esp
