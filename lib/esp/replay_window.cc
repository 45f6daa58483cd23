// SPDX-License-Identifier: Apache-2.0
//
// See replay_window.h.  Orders are relaxed throughout: nothing but the ring and
// the top is published through them, and each decision is one atomic step on
// one word.
#include "esp/replay_window.h"

#include <algorithm>

namespace nvo3::esp {

// A window of n blocks can lie across n + 1 of them; the next power of two is
// 2 n, which spares each packet a division.
ReplayWindow::ReplayWindow(uint32_t size, bool esn) : size_(size), esn_(esn)
{
    const size_t words = size ? 2 * (size >> kBlockShift) : 1;
    mask_ = static_cast<uint32_t>(words - 1);
    ring_ = std::make_unique<std::atomic<uint64_t>[]>(words);
}

void
ReplayWindow::mark(const uint64_t* sequences, size_t n, ReplayVerdict* verdicts) noexcept
{
    uint64_t seen = this->top();
    uint64_t top = seen;
    for (size_t i = 0; i < n;) {
        i += mark_block(sequences + i, n - i, top, verdicts + i);
    }
    while (top > seen
           && !top_.compare_exchange_weak(seen, top, std::memory_order_relaxed)) {
    }
}

// Takes the first number and those behind it of the same block; returns how many
// they were.  'top' is the highest so far, also of numbers that other threads do
// not see yet.
size_t
ReplayWindow::mark_block(const uint64_t* sequences, size_t n, uint64_t& top,
                         ReplayVerdict* verdicts) noexcept
{
    const uint64_t block = sequences[0] >> kBlockShift;
    std::atomic<uint64_t>& slot = ring_[index(sequences[0])];
    uint64_t word = slot.load(std::memory_order_relaxed);
    size_t count;
    uint64_t marked, top_after;
    do {
        marked = word;
        top_after = top;
        for (count = 0; count < n && sequences[count] >> kBlockShift == block; count++) {
            const uint64_t sequence = sequences[count];
            verdicts[count] = is_old(sequence, top_after)
                              ? ReplayVerdict::too_old : verdict_of(sequence, marked);
            if (verdicts[count] == ReplayVerdict::fresh) {
                marked = ahead(sequence, marked) == 0
                         ? marked | bit_of(sequence) : block << 32 | bit_of(sequence);
                top_after = std::max(top_after, sequence);
            }
        }
    } while (marked != word
             && !slot.compare_exchange_weak(word, marked, std::memory_order_relaxed));
    top = top_after;
    return count;
}

}  // namespace nvo3::esp
