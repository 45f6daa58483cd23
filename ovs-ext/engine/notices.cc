// SPDX-License-Identifier: Apache-2.0
//
// See notices.h.
#include "ovs-ext/engine/notices.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace nvo3::engine {

bool
NoticeFilter::pass(uint64_t key, long long now_ms) noexcept
{
    // Spread, then the place from the low bits and a tag from the high ones.
    const uint64_t hash = (key ^ key >> 31) * 0x9e3779b97f4a7c15;
    std::atomic<uint64_t>& last = last_[(hash >> 20) % kSize];
    constexpr uint64_t time_mask = (uint64_t{1} << kTimeBits) - 1;
    const uint64_t now = static_cast<uint64_t>(now_ms) & time_mask;
    // The lowest bit of the tag is set, so that an empty place matches nothing.
    const uint64_t tag = (hash | uint64_t{1} << kTimeBits) & ~time_mask;

    uint64_t seen = last.load(std::memory_order_relaxed);
    if ((seen & ~time_mask) == tag
        && ((now - seen) & time_mask) < uint64_t{kIntervalMs}) {
        return false;
    }
    // Of several threads at once one passes.
    return last.compare_exchange_strong(seen, tag | now, std::memory_order_relaxed);
}

NoticeQueue::NoticeQueue()
    : cells_(std::make_unique<Cell[]>(kCapacity)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))
{
    for (size_t i = 0; i < kCapacity; i++) {
        cells_[i].turn.store(i, std::memory_order_relaxed);
    }
}

bool
NoticeQueue::post(const Notice& notice) noexcept
{
    uint64_t at = head_.load(std::memory_order_relaxed);
    Cell* cell;
    for (;;) {
        cell = &cells_[at % kCapacity];
        const uint64_t turn = cell->turn.load(std::memory_order_acquire);
        if (turn == at) {
            if (head_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) {
                break;
            }
        } else if (turn < at) {
            return false;       // not yet read since the last round
        } else {
            at = head_.load(std::memory_order_relaxed);
        }
    }
    cell->notice = notice;
    cell->turn.store(at + 1, std::memory_order_release);

    // begin() clears the flag by an exchange too: either it comes after this one
    // and then sees the cell, or before it and then is woken again.
    if (!woken_.exchange(true)) {
        const uint64_t one = 1;
        // It can only fail when the counter is full, i.e. readable anyway.
        (void) !write(wake_.get(), &one, sizeof one);
    }
    return true;
}

void
NoticeQueue::begin() noexcept
{
    uint64_t count;
    (void) !read(wake_.get(), &count, sizeof count);
    woken_.exchange(false);
}

bool
NoticeQueue::pop(Notice& notice) noexcept
{
    Cell& cell = cells_[tail_ % kCapacity];
    if (cell.turn.load(std::memory_order_acquire) != tail_ + 1) {
        return false;
    }
    notice = cell.notice;
    cell.turn.store(tail_ + kCapacity, std::memory_order_release);
    tail_++;
    return true;
}

}  // namespace nvo3::engine
