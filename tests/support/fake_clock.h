// SPDX-License-Identifier: Apache-2.0
//
// A clock that moves only when the test says so.
// Place: tests/support.  Threads: any.
#ifndef NVO3_TESTS_SUPPORT_FAKE_CLOCK_H
#define NVO3_TESTS_SUPPORT_FAKE_CLOCK_H

#include <atomic>
#include <chrono>

#include "base/clock.h"

namespace nvo3::tests {

class FakeClock final : public base::Clock {
public:
    std::chrono::steady_clock::time_point now() const override
    {
        return std::chrono::steady_clock::time_point(
            std::chrono::nanoseconds(steady_.load()));
    }

    std::chrono::system_clock::time_point wall() const override
    {
        return std::chrono::system_clock::time_point(
            std::chrono::duration_cast<std::chrono::system_clock::duration>(
                std::chrono::nanoseconds(wall_.load())));
    }

    // Both clocks.
    void advance(std::chrono::nanoseconds by)
    {
        steady_ += by.count();
        wall_ += by.count();
    }

    void set_wall(std::chrono::system_clock::time_point to)
    {
        wall_ = std::chrono::duration_cast<std::chrono::nanoseconds>(
                    to.time_since_epoch()).count();
    }

private:
    // Not zero, so that "now minus a while" stays positive.
    std::atomic<int64_t> steady_{std::chrono::nanoseconds(std::chrono::hours(1000)).count()};
    // 2026-01-01 00:00 UTC.
    std::atomic<int64_t> wall_{std::chrono::nanoseconds(std::chrono::seconds(1767225600)).count()};
};

}  // namespace nvo3::tests

#endif
