// SPDX-License-Identifier: Apache-2.0
//
// Packet counters in slots per thread: a batch is tallied on the stack and added
// to the slot of its thread once, so that threads do not fight for cache lines.
// Place: engine.  Threads: add() any; value() any, a sum that may miss what is
// being added right now.
#ifndef NVO3_ENGINE_COUNTERS_H
#define NVO3_ENGINE_COUNTERS_H

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "esp/drop_reason.h"

namespace nvo3::engine {

// Numbers of counters: first the drop reasons, then the events.
inline constexpr size_t kCounterCount = esp::kDropReasonCount + esp::kEventCount;
static_assert(kCounterCount <= 64, "CounterTally has one bit for each");

constexpr size_t
counter_of(esp::DropReason reason) noexcept
{
    return static_cast<size_t>(reason);
}

constexpr size_t
counter_of(esp::Event event) noexcept
{
    return esp::kDropReasonCount + static_cast<size_t>(event);
}

// Key in Interface statistics: nvo3_drop_<reason>, nvo3_<event>.
const char* counter_name(size_t counter) noexcept;

class Counters {
public:
    static constexpr size_t kSlots = 16;

    void add(size_t counter, uint64_t n) noexcept
    {
        slots_[slot_of_thread()].values[counter].fetch_add(n, std::memory_order_relaxed);
    }
    uint64_t value(size_t counter) const noexcept;

private:
    struct alignas(64) Slot {
        std::array<std::atomic<uint64_t>, kCounterCount> values{};
    };

    static size_t slot_of_thread() noexcept;

    std::array<Slot, kSlots> slots_;
};

// The counts of one batch; given to its Counters when those change or it ends.
class CounterTally {
public:
    CounterTally() noexcept = default;
    ~CounterTally() { flush(); }
    CounterTally(const CounterTally&) = delete;
    CounterTally& operator=(const CounterTally&) = delete;

    void add(Counters& to, size_t counter, uint64_t n = 1) noexcept
    {
        if (&to != to_) {
            flush();
            to_ = &to;
        }
        values_[counter] += n;
        touched_ |= uint64_t{1} << counter;
    }

    void flush() noexcept
    {
        for (; touched_; touched_ &= touched_ - 1) {
            const auto counter = static_cast<size_t>(std::countr_zero(touched_));
            to_->add(counter, values_[counter]);
            values_[counter] = 0;
        }
    }

private:
    Counters* to_ = nullptr;
    uint64_t touched_ = 0;
    std::array<uint64_t, kCounterCount> values_{};
};

}  // namespace nvo3::engine

#endif
