// SPDX-License-Identifier: Apache-2.0
//
// See clock.h.
#include "base/clock.h"

namespace nvo3::base {
namespace {

class SystemClock final : public Clock {
public:
    std::chrono::steady_clock::time_point now() const override
    {
        return std::chrono::steady_clock::now();
    }
    std::chrono::system_clock::time_point wall() const override
    {
        return std::chrono::system_clock::now();
    }
};

}  // namespace

Clock&
system_clock()
{
    static SystemClock clock;
    return clock;
}

}  // namespace nvo3::base
