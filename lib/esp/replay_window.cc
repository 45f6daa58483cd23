// SPDX-License-Identifier: Apache-2.0
//
// See replay_window.h.  Orders are relaxed throughout: nothing but the ring and
// the top is published through them, and each decision is one atomic step on
// one word.
#include "esp/replay_window.h"

namespace nvo3::esp {
namespace {

constexpr unsigned kBlockShift = 5;

constexpr uint64_t
bit_of(uint64_t sequence) noexcept
{
    return uint64_t{1} << (sequence & 31);
}

// How far the block of 'sequence' is ahead of the one in 'word'; negative: the
// word has gone on to a newer block.  Block numbers are compared modulo 2^32.
constexpr int32_t
ahead(uint64_t sequence, uint64_t word) noexcept
{
    return static_cast<int32_t>(static_cast<uint32_t>(sequence >> kBlockShift)
                                - static_cast<uint32_t>(word >> 32));
}

}  // namespace

// A window of n blocks can lie across n + 1 of them; the next power of two is
// 2 n, which spares each packet a division.
ReplayWindow::ReplayWindow(uint32_t size, bool esn) : size_(size), esn_(esn)
{
    const size_t words = size ? 2 * (size >> kBlockShift) : 1;
    mask_ = static_cast<uint32_t>(words - 1);
    ring_ = std::make_unique<std::atomic<uint64_t>[]>(words);
}

uint64_t
ReplayWindow::infer(uint32_t low) const noexcept
{
    if (!esn_) {
        return low;
    }
    const uint64_t top = this->top();
    const uint32_t top_low = static_cast<uint32_t>(top);
    const uint64_t top_high = top >> 32;
    const uint32_t bottom = top_low - size_ + 1;        // modulo 2^32
    uint64_t high = top_high;
    if (top_low >= size_ - 1) {
        // The window lies within one cycle: what is below it is of the next.
        high += low < bottom;
    } else if (low >= bottom) {
        // The window reaches back into the cycle before, if there was one.
        if (high == 0) {
            return 0;
        }
        high--;
    }
    return high << 32 | low;
}

ReplayVerdict
ReplayWindow::check(uint64_t sequence) const noexcept
{
    // Number 0 is never sent (RFC 4303 section 3.3.3).
    const uint64_t top = this->top();
    if (sequence == 0 || (sequence <= top && top - sequence >= size_)) {
        return ReplayVerdict::too_old;
    }
    const uint64_t word =
        ring_[(sequence >> kBlockShift) & mask_].load(std::memory_order_relaxed);
    const int32_t distance = ahead(sequence, word);
    if (distance < 0) {
        return ReplayVerdict::too_old;
    }
    return distance == 0 && (word & bit_of(sequence))
           ? ReplayVerdict::replayed : ReplayVerdict::fresh;
}

ReplayVerdict
ReplayWindow::mark(uint64_t sequence) noexcept
{
    const ReplayVerdict verdict = check(sequence);
    if (verdict != ReplayVerdict::fresh) {
        return verdict;
    }
    std::atomic<uint64_t>& slot = ring_[(sequence >> kBlockShift) & mask_];
    uint64_t word = slot.load(std::memory_order_relaxed);
    uint64_t marked;
    do {
        const int32_t distance = ahead(sequence, word);
        if (distance < 0) {
            return ReplayVerdict::too_old;
        }
        if (distance == 0 && (word & bit_of(sequence))) {
            return ReplayVerdict::replayed;
        }
        marked = distance == 0
                 ? word | bit_of(sequence)
                 : (sequence >> kBlockShift) << 32 | bit_of(sequence);
    } while (!slot.compare_exchange_weak(word, marked, std::memory_order_relaxed));

    uint64_t top = this->top();
    while (sequence > top
           && !top_.compare_exchange_weak(top, sequence, std::memory_order_relaxed)) {
    }
    return ReplayVerdict::fresh;
}

}  // namespace nvo3::esp
