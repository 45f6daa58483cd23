// SPDX-License-Identifier: Apache-2.0
//
// See counters.h.
#include "ovs-ext/engine/counters.h"

namespace nvo3::engine {

const char*
counter_name(size_t counter) noexcept
{
    return counter < esp::kDropReasonCount
           ? esp::counter_name(static_cast<esp::DropReason>(counter))
           : esp::counter_name(static_cast<esp::Event>(counter - esp::kDropReasonCount));
}

uint64_t
Counters::value(size_t counter) const noexcept
{
    uint64_t sum = 0;
    for (const Slot& slot : slots_) {
        sum += slot.values[counter].load(std::memory_order_relaxed);
    }
    return sum;
}

size_t
Counters::slot_of_thread() noexcept
{
    static std::atomic<size_t> threads{0};
    // Two threads in one slot still count right, only slower.
    thread_local const size_t slot =
        threads.fetch_add(1, std::memory_order_relaxed) % kSlots;
    return slot;
}

}  // namespace nvo3::engine
