// SPDX-License-Identifier: Apache-2.0
//
// Anti-replay window (RFC 4303 section 3.4.3), for several receiving threads at
// once and without locks.  A ring of 64-bit words, each the number of a block of
// 32 sequence numbers and a bit for each of them.  A word only ever goes to a
// higher block, so of all threads that mark one number exactly one sees it
// fresh, whatever happens in between.
// Place: lib/esp.  Threads: any.
#ifndef NVO3_ESP_REPLAY_WINDOW_H
#define NVO3_ESP_REPLAY_WINDOW_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace nvo3::esp {

enum class ReplayVerdict : uint8_t { fresh, replayed, too_old };

class ReplayWindow {
public:
    // 'size': a power of two, 64 to 8192 (is_replay_window()), or 0 for an SA
    // that receives nothing.  'esn': 64-bit sequence numbers.
    ReplayWindow(uint32_t size, bool esn);

    // The whole number of a received low half (RFC 4303 appendix A2.2).  What
    // would come before number 0 is given as 0, which is always too old.
    uint64_t infer(uint32_t low) const noexcept;

    // Looks only: for before the ICV is checked.
    ReplayVerdict check(uint64_t sequence) const noexcept;
    // Looks and takes the numbers, each in one step: for after it.  Numbers of one
    // batch are mostly neighbours, and those of a block cost one atomic step.
    void mark(const uint64_t* sequences, size_t n, ReplayVerdict* verdicts) noexcept;
    ReplayVerdict mark(uint64_t sequence) noexcept
    {
        ReplayVerdict verdict;
        mark(&sequence, 1, &verdict);
        return verdict;
    }

    void prefetch(uint64_t sequence) const noexcept
    {
        __builtin_prefetch(&ring_[index(sequence)], 1);
    }

    // The highest number marked.
    uint64_t top() const noexcept { return top_.load(std::memory_order_relaxed); }
    uint32_t size() const noexcept { return size_; }

private:
    static constexpr unsigned kBlockShift = 5;

    static constexpr uint64_t bit_of(uint64_t sequence) noexcept
    {
        return uint64_t{1} << (sequence & 31);
    }
    // How far the block of 'sequence' is ahead of the one in 'word'; negative:
    // the word has gone on.  Block numbers are compared modulo 2^32.
    static constexpr int32_t ahead(uint64_t sequence, uint64_t word) noexcept
    {
        return static_cast<int32_t>(static_cast<uint32_t>(sequence >> kBlockShift)
                                    - static_cast<uint32_t>(word >> 32));
    }
    // As far as the word of its block knows.
    static constexpr ReplayVerdict verdict_of(uint64_t sequence, uint64_t word) noexcept
    {
        const int32_t distance = ahead(sequence, word);
        if (distance < 0) {
            return ReplayVerdict::too_old;
        }
        return distance == 0 && (word & bit_of(sequence))
               ? ReplayVerdict::replayed : ReplayVerdict::fresh;
    }

    size_t index(uint64_t sequence) const noexcept
    {
        return (sequence >> kBlockShift) & mask_;
    }
    bool is_old(uint64_t sequence, uint64_t top) const noexcept
    {
        // Number 0 is never sent (RFC 4303 section 3.3.3).
        return sequence == 0 || (sequence <= top && top - sequence >= size_);
    }
    size_t mark_block(const uint64_t* sequences, size_t n, uint64_t& top,
                      ReplayVerdict* verdicts) noexcept;

    std::atomic<uint64_t> top_{0};
    std::unique_ptr<std::atomic<uint64_t>[]> ring_;     // {block 32 | bits 32}
    uint32_t mask_ = 0;
    uint32_t size_ = 0;
    bool esn_;
};

inline uint64_t
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

inline ReplayVerdict
ReplayWindow::check(uint64_t sequence) const noexcept
{
    if (is_old(sequence, top())) {
        return ReplayVerdict::too_old;
    }
    return verdict_of(sequence,
                      ring_[index(sequence)].load(std::memory_order_relaxed));
}

}  // namespace nvo3::esp

#endif
