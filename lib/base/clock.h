// SPDX-License-Identifier: Apache-2.0
//
// Time as an object, so that tests can set it (tests/support/fake_clock.h).
// Place: lib/base.  Threads: any.
#ifndef NVO3_BASE_CLOCK_H
#define NVO3_BASE_CLOCK_H

#include <chrono>

namespace nvo3::base {

class Clock {
public:
    virtual ~Clock() = default;
    // For intervals; never goes back.
    virtual std::chrono::steady_clock::time_point now() const = 0;
    // For certificates and the audit log.
    virtual std::chrono::system_clock::time_point wall() const = 0;
};

// The machine's clock.
Clock& system_clock();

}  // namespace nvo3::base

#endif
