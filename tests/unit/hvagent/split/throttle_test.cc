// SPDX-License-Identifier: Apache-2.0
#include "hvagent/split/throttle.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "tests/support/fake_clock.h"

namespace nvo3::agent {
namespace {

using namespace std::chrono_literals;

struct ThrottleTest : testing::Test {
    tests::FakeClock clock;
    Throttle throttle{clock};

    // All turns that are given now.
    std::vector<std::string> turns()
    {
        std::vector<std::string> given;
        while (auto turn = throttle.take()) {
            given.push_back(turn->vm + "/" + turn->what);
        }
        return given;
    }
};

TEST_F(ThrottleTest, NothingBeforeItIsResumed)
{
    throttle.offer("a", "1");
    EXPECT_TRUE(turns().empty());
    EXPECT_FALSE(throttle.next_deadline());
    throttle.resume(300ms);
    EXPECT_TRUE(turns().empty());
    ASSERT_TRUE(throttle.next_deadline());
    EXPECT_EQ(*throttle.next_deadline() - clock.now(), 300ms);
    clock.advance(300ms);
    EXPECT_EQ(turns(), std::vector<std::string>{"a/1"});
    throttle.pause();
    throttle.offer("a", "1");
    EXPECT_TRUE(turns().empty());
}

TEST_F(ThrottleTest, WhatIsHeldIsMerged)
{
    throttle.resume(0ms);
    throttle.offer("a", "1");
    throttle.offer("a", "1");
    throttle.offer("a", "2");
    EXPECT_EQ(turns(), (std::vector<std::string>{"a/1", "a/2"}));
    EXPECT_EQ(throttle.view().merged, 1u);
    EXPECT_EQ(throttle.view().sent, 2u);
    throttle.offer("a", "3");
    throttle.withdraw("a", "3");
    EXPECT_TRUE(turns().empty());
    EXPECT_TRUE(throttle.empty());
}

TEST_F(ThrottleTest, VmsTakeTurnsAndNoneHasMoreThanItsShare)
{
    throttle.resume(0ms);
    for (int i = 0; i < 20; i++) {
        throttle.offer("loud", std::to_string(i));
    }
    throttle.offer("quiet", "x");
    auto given = turns();
    ASSERT_EQ(given.size(), 11u) << "ten of the loud one at once, and the quiet one's";
    EXPECT_EQ(given[1], "quiet/x");
    EXPECT_EQ(*throttle.next_deadline() - clock.now(), 200ms);
    clock.advance(200ms);
    EXPECT_EQ(turns().size(), 1u);
    EXPECT_EQ(throttle.view().held.at("loud"), 9u);
}

TEST_F(ThrottleTest, WhatConcernsNoVmGoesFirstUnderTheLimitOfTheHost)
{
    throttle.resume(0ms);
    throttle.offer("a", "1");
    for (int i = 0; i < 100; i++) {
        throttle.offer("", std::to_string(i));
    }
    auto given = turns();
    ASSERT_EQ(given.size(), 80u);
    EXPECT_EQ(given.front(), "/0");
}

TEST_F(ThrottleTest, SlowDownHoldsUntilTheNextSession)
{
    throttle.resume(0ms);
    throttle.slow_down(10);
    for (int i = 0; i < 50; i++) {
        throttle.offer(std::to_string(i), "x");
    }
    EXPECT_EQ(turns().size(), 1u) << "no burst";
    clock.advance(1s);
    EXPECT_EQ(turns().size(), 1u);
    clock.advance(100ms);
    EXPECT_EQ(turns().size(), 1u);
    EXPECT_EQ(throttle.view().told, 10u);
    throttle.resume(0ms);
    clock.advance(1s);
    EXPECT_EQ(turns().size(), 40u);
}

TEST_F(ThrottleTest, SlowDownIsNoLicenceForMore)
{
    throttle.resume(0ms);
    throttle.slow_down(1000);
    for (int i = 0; i < 100; i++) {
        throttle.offer(std::to_string(i), "x");
    }
    size_t given = turns().size();
    for (int i = 0; i < 1000; i++) {
        clock.advance(1ms);
        given += turns().size();
    }
    EXPECT_LE(given, 41u) << "the NVE allows more than this host's own limit";
}

TEST_F(ThrottleTest, StormOfTenThousandEventsOfTwoHundredVms)
{
    constexpr int kVms = 200, kEvents = 10000;
    std::mt19937 random(7);
    std::map<std::string, int> state, told;     // of each interface: the newest, the last that was told
    std::vector<Throttle::TimePoint> sent;
    throttle.resume(0ms);
    const auto began = clock.now();
    std::optional<Throttle::TimePoint> quiet_offered, quiet_sent;
    auto drain = [&] {
        while (auto turn = throttle.take()) {
            sent.push_back(clock.now());
            if (turn->vm == "quiet") {
                quiet_sent = clock.now();
            } else {
                told[turn->what] = state[turn->what];
            }
        }
    };
    for (int i = 0; i < kEvents; i++) {     // in a second
        const std::string vm = "vm" + std::to_string(random() % kVms);
        const std::string what = vm + "-" + std::to_string(random() % 2);
        state[what] = i;
        throttle.offer(vm, what);
        if (i == kEvents / 2) {
            quiet_offered = clock.now();
            throttle.offer("quiet", "q");
        }
        drain();
        clock.advance(100us);
    }
    while (!throttle.empty()) {
        auto next = throttle.next_deadline();
        ASSERT_TRUE(next);
        ASSERT_LE(*next - clock.now(), 1s);
        clock.advance(std::max<std::chrono::nanoseconds>(*next - clock.now(), 1us));
        drain();
    }
    EXPECT_EQ(told, state) << "each interface's last state";
    ASSERT_TRUE(quiet_sent);
    // One message of each other VM at most.
    EXPECT_LE(*quiet_sent - *quiet_offered, kVms * 1000ms / 40 + 100ms);
    // Of no window more than rate and burst allow.
    for (size_t from = 0; from < sent.size(); from++) {
        for (size_t to = from; to < sent.size(); to += 13) {
            double seconds = std::chrono::duration<double>(sent[to] - sent[from]).count();
            ASSERT_LE(static_cast<double>(to - from + 1), 80 + 40 * seconds + 1e-3) << from << " to " << to;
        }
    }
    EXPECT_EQ(throttle.view().merged + sent.size(), static_cast<size_t>(kEvents) + 1);
    EXPECT_LT(sent.size(), 700u) << "most was never sent";
    EXPECT_LT(clock.now() - began, 15s);
}

}  // namespace
}  // namespace nvo3::agent
