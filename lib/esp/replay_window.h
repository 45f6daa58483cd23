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
    // Looks and takes the number in one step: for after it.
    ReplayVerdict mark(uint64_t sequence) noexcept;

    void prefetch(uint64_t sequence) const noexcept
    {
        __builtin_prefetch(&ring_[(sequence >> 5) & mask_], 1);
    }

    // The highest number marked.
    uint64_t top() const noexcept { return top_.load(std::memory_order_relaxed); }
    uint32_t size() const noexcept { return size_; }

private:
    std::atomic<uint64_t> top_{0};
    std::unique_ptr<std::atomic<uint64_t>[]> ring_;     // {block 32 | bits 32}
    uint32_t mask_ = 0;
    uint32_t size_ = 0;
    bool esn_;
};

}  // namespace nvo3::esp

#endif
