// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of ovs-ext/engine/notices.h and counters.h.
#include "ovs-ext/engine/notices.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <set>
#include <thread>
#include <vector>

#include "ovs-ext/engine/counters.h"

namespace nvo3::engine {
namespace {

bool
readable(int fd)
{
    pollfd poll_fd{fd, POLLIN, 0};
    return poll(&poll_fd, 1, 0) == 1;
}

Notice
numbered(uint32_t number)
{
    Notice notice;
    notice.spi = base::Spi(number);
    return notice;
}

TEST(NoticeFilter, PassesOnceASecondForEachKey)
{
    NoticeFilter filter;
    EXPECT_TRUE(filter.pass(1, 5000));
    EXPECT_FALSE(filter.pass(1, 5000));
    EXPECT_FALSE(filter.pass(1, 5999));
    EXPECT_TRUE(filter.pass(2, 5000));
    EXPECT_TRUE(filter.pass(1, 6000));
    EXPECT_FALSE(filter.pass(1, 6001));
}

TEST(NoticeFilter, PassesAtTimeZero)
{
    NoticeFilter filter;
    EXPECT_TRUE(filter.pass(0, 0));
    EXPECT_FALSE(filter.pass(0, 0));
}

TEST(NoticeFilter, OfSeveralThreadsOnePasses)
{
    NoticeFilter filter;
    std::atomic<int> passed{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([&] {
            for (long long second = 0; second < 1000; second++) {
                passed += filter.pass(77, second * 1000);
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    // Threads are at different seconds, so more than once a second may pass as
    // the test has it; every second passes at least once.
    EXPECT_GE(passed, 1000);
    EXPECT_LE(passed, 4000);
}

TEST(NoticeQueue, KeepsOrderAndIsBounded)
{
    NoticeQueue queue;
    for (uint32_t i = 0; i < NoticeQueue::kCapacity; i++) {
        EXPECT_TRUE(queue.post(numbered(i)));
    }
    EXPECT_FALSE(queue.post(numbered(0)));
    queue.begin();
    Notice notice;
    for (uint32_t i = 0; i < NoticeQueue::kCapacity; i++) {
        ASSERT_TRUE(queue.pop(notice));
        EXPECT_EQ(notice.spi.value, i);
    }
    EXPECT_FALSE(queue.pop(notice));
    EXPECT_TRUE(queue.post(numbered(9)));
    EXPECT_TRUE(queue.pop(notice));
    EXPECT_EQ(notice.spi.value, 9u);
}

TEST(NoticeQueue, WakesTheMainThread)
{
    NoticeQueue queue;
    EXPECT_FALSE(readable(queue.wake_fd()));
    queue.post(numbered(1));
    EXPECT_TRUE(readable(queue.wake_fd()));
    queue.begin();
    EXPECT_FALSE(readable(queue.wake_fd()));
    // Posted after begin(): must wake again, or it would wait for the next one.
    queue.post(numbered(2));
    EXPECT_TRUE(readable(queue.wake_fd()));
}

TEST(NoticeQueue, NothingIsLostOrDoubledAmongThreads)
{
    constexpr uint32_t kThreads = 4, kEach = 5000;
    NoticeQueue queue;
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < kThreads; t++) {
        threads.emplace_back([&, t] {
            for (uint32_t i = 0; i < kEach; i++) {
                while (!queue.post(numbered(t * kEach + i))) {
                    std::this_thread::yield();
                }
            }
        });
    }
    std::set<uint32_t> seen;
    while (seen.size() < kThreads * kEach) {
        pollfd poll_fd{queue.wake_fd(), POLLIN, 0};
        ASSERT_EQ(poll(&poll_fd, 1, 10000), 1) << "a wake-up was lost";
        queue.begin();
        Notice notice;
        while (queue.pop(notice)) {
            EXPECT_TRUE(seen.insert(notice.spi.value).second);
        }
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}

TEST(Counters, AddUpOverThreads)
{
    Counters one, two;
    std::vector<std::thread> threads;
    for (int t = 0; t < 20; t++) {      // more than slots
        threads.emplace_back([&] {
            for (int i = 0; i < 100; i++) {
                CounterTally tally;
                tally.add(one, 3, 2);
                tally.add(two, 3);
                tally.add(one, 3);
                tally.add(one, 0);
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(one.value(3), 6000u);
    EXPECT_EQ(one.value(0), 2000u);
    EXPECT_EQ(two.value(3), 2000u);
    EXPECT_EQ(two.value(0), 0u);
}

TEST(Counters, AreNamedAsInStatistics)
{
    EXPECT_STREQ(counter_name(counter_of(esp::DropReason::wrong_vni)), "nvo3_drop_wrong_vni");
    EXPECT_STREQ(counter_name(counter_of(esp::Event::sealed)), "nvo3_sealed");
    std::set<std::string> names;
    for (size_t i = 0; i < kCounterCount; i++) {
        EXPECT_TRUE(names.insert(counter_name(i)).second) << counter_name(i);
    }
}

}  // namespace
}  // namespace nvo3::engine
