// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of base/result.h, snapshot.h, log.h, clock.h and unique_fd.h.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "base/snapshot.h"
#include "base/unique_fd.h"
#include "tests/support/fake_clock.h"

namespace nvo3::base {
namespace {

TEST(Result, HoldsValueOrError)
{
    Result<std::unique_ptr<int>> good = std::make_unique<int>(7);
    ASSERT_TRUE(good);
    EXPECT_EQ(**good, 7);
    std::unique_ptr<int> taken = std::move(good).value();
    EXPECT_EQ(*taken, 7);

    Result<std::unique_ptr<int>> bad = Error{ENOENT, "no such thing"};
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().code, ENOENT);
    EXPECT_EQ(bad.error().text, "no such thing");

    EXPECT_TRUE(Status{}.ok());
    Status failed = Error{EPERM, "not you"};
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().text, "not you");
}

TEST(Result, OfAnError)
{
    // A value type that an Error converts to must not be confused with one.
    Result<std::string> text = std::string("fine");
    EXPECT_EQ(text.value(), "fine");
    EXPECT_EQ(text->size(), 4u);
}

TEST(Snapshot, ReaderKeepsTheOldValue)
{
    Snapshot<int> snapshot;
    EXPECT_EQ(snapshot.get(), nullptr);
    snapshot.set(std::make_shared<int>(1));
    std::shared_ptr<const int> old = snapshot.get();
    snapshot.set(std::make_shared<int>(2));
    EXPECT_EQ(*old, 1);
    EXPECT_EQ(*snapshot.get(), 2);
}

TEST(Log, GoesToTheSink)
{
    std::vector<std::string> lines;
    set_log_sink([&](LogLevel level, const char* module, std::string_view text) {
        lines.push_back(std::to_string(static_cast<int>(level)) + module + std::string(text));
    });
    log(LogLevel::warn, "unit", "text");
    set_log_sink(nullptr);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0], "1unittext");
}

TEST(Clock, FakeOneMovesOnlyWhenTold)
{
    tests::FakeClock clock;
    const auto now = clock.now();
    const auto wall = clock.wall();
    EXPECT_EQ(clock.now(), now);
    clock.advance(std::chrono::seconds(3));
    EXPECT_EQ(clock.now() - now, std::chrono::seconds(3));
    EXPECT_EQ(clock.wall() - wall, std::chrono::seconds(3));
    const auto before = system_clock().now();
    EXPECT_LE(before, system_clock().now());
}

TEST(UniqueFd, ClosesOnce)
{
    int number;
    {
        UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
        ASSERT_TRUE(fd);
        number = fd.get();
        UniqueFd moved = std::move(fd);
        EXPECT_FALSE(fd);
        EXPECT_EQ(moved.get(), number);
        EXPECT_EQ(fcntl(number, F_GETFD), FD_CLOEXEC);
    }
    EXPECT_EQ(fcntl(number, F_GETFD), -1);
}

}  // namespace
}  // namespace nvo3::base
