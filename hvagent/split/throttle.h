// SPDX-License-Identifier: Apache-2.0
//
// Whose turn it is to tell the external NVE something, so that no storm of events of
// VMs becomes a storm of messages.
//
// It holds what is to be told of, not the message: who takes a turn tells the newest
// state, and what changed in between is never sent.  Two token buckets bound the rate,
// one of the host and one of each VM; the VMs that wait take turns, so that a VM
// waits for one message of each other, however much the others have to tell.
//
// Place: owned by hypervisor.cc; a pure state machine.  Thread: the I/O thread.
#ifndef HVAGENT_SPLIT_THROTTLE_H
#define HVAGENT_SPLIT_THROTTLE_H

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "base/clock.h"
#include "control/rate_limiter.h"

namespace nvo3::agent {

struct ThrottleLimits {
    uint32_t per_second = 40;       // messages of this host, at most twice as many at once
    uint32_t vm_per_second = 5;     // of one VM, at most twice as many at once
    bool operator==(const ThrottleLimits&) const = default;
};

struct ThrottleView {
    ThrottleLimits limits;          // as configured
    uint32_t told = 0;              // the NVE has asked for no more messages a second; 0: it has not
    uint64_t sent = 0;              // turns given
    uint64_t merged = 0;            // news of what was held already
    uint64_t waited = 0;            // turns that were not given at once
    std::chrono::milliseconds longest_wait{};
    std::map<std::string, size_t> held;     // now, by VM
};

class Throttle {
public:
    using TimePoint = std::chrono::steady_clock::time_point;

    // 'clock' must outlive it.
    explicit Throttle(const base::Clock& clock, ThrottleLimits = {});

    void set_limits(const ThrottleLimits&);
    // The NVE has asked for no more than that, until resume().
    void slow_down(uint32_t per_second);

    // 'what' of 'vm' is to be told.  What concerns no VM has an empty 'vm': it goes
    // first, and only the host's bucket holds it back.
    void offer(const std::string& vm, const std::string& what);
    // There is nothing to tell of it any more.
    void withdraw(const std::string& vm, const std::string& what);

    // No turn is given before resume(), after which the first is given 'jitter' later: all
    // hypervisors of an NVE come back at the same moment.
    void pause();
    void resume(std::chrono::milliseconds jitter);

    struct Turn {
        std::string vm, what;
    };
    // The next that may be told now; its token is spent.
    std::optional<Turn> take();
    // When take() may have one; nothing if none is held or it is paused.
    std::optional<TimePoint> next_deadline();

    bool empty() const { return held_ == 0; }
    ThrottleView view() const;

private:
    struct Held {
        std::string what;
        TimePoint since;
    };
    struct Queue {
        std::deque<Held> held;
        control::TokenBucket bucket;
    };

    control::Rate host_rate() const;
    control::Rate vm_rate() const;
    Turn give(std::map<std::string, Queue>::iterator);
    void forget_idle();

    const base::Clock& clock_;
    ThrottleLimits limits_;
    uint32_t told_ = 0;
    control::TokenBucket host_;
    std::map<std::string, Queue> queues_;       // by VM
    std::string last_;                          // VM that had the last turn
    size_t held_ = 0;
    std::optional<TimePoint> not_before_;       // nothing: paused
    uint64_t sent_ = 0, merged_ = 0, waited_ = 0;
    std::chrono::nanoseconds longest_{};
};

}  // namespace nvo3::agent
#endif
