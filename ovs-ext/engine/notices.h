// SPDX-License-Identifier: Apache-2.0
//
// What packet threads tell the main thread: an SA is missing, a packet was
// refused.  A bounded ring; when it is full the notice is lost, the packet is
// refused all the same.
// Place: engine.  Threads: post() any, without lock or allocation (a system call
// when the main thread must be woken, at most once between two of its runs);
// the rest main only.
#ifndef NVO3_ENGINE_NOTICES_H
#define NVO3_ENGINE_NOTICES_H

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/unique_fd.h"
#include "esp/drop_reason.h"

namespace nvo3::engine {

// guard: the rule guard has something to tell, and keeps what.
enum class NoticeKind : uint8_t { acquire, alarm, guard };

struct Notice {
    NoticeKind kind = NoticeKind::acquire;
    esp::DropReason reason{};           // alarm
    base::Encap encap = base::Encap::geneve;
    uint16_t peer = 0;                  // index; 0: of no peer
    base::Vni vni;                      // acquire: wanted; alarm: of the SA
    base::Vni vni_seen;                 // alarm wrong_vni
    base::Spi spi;                      // alarm
    base::IpAddress remote;
    base::IpAddress local;              // acquire
};

// Lets a notice of one kind pass once a second.  A hash table without chains: of
// two keys in one place both may pass oftener, none is held back for ever.
class NoticeFilter {
public:
    static constexpr long long kIntervalMs = 1000;

    // Whether the notice named by 'key' has its turn at 'now_ms'.
    bool pass(uint64_t key, long long now_ms) noexcept;

private:
    static constexpr size_t kSize = 4096;
    static constexpr int kTimeBits = 40;    // milliseconds: 34 years

    std::array<std::atomic<uint64_t>, kSize> last_{};
};

class NoticeQueue {
public:
    static constexpr size_t kCapacity = 1024;

    NoticeQueue();

    // Packet threads.  False: full.
    bool post(const Notice& notice) noexcept;

    // Main thread: readable when there may be notices; -1 if there is none, then
    // they wait for the next run.
    int wake_fd() const noexcept { return wake_.get(); }
    // Main thread, before the first pop() of a run.
    void begin() noexcept;
    bool pop(Notice& notice) noexcept;

private:
    // Bounded queue of many producers: a cell's turn says who may use it next.
    struct alignas(64) Cell {
        std::atomic<uint64_t> turn;
        Notice notice;
    };

    const std::unique_ptr<Cell[]> cells_;
    const base::UniqueFd wake_;
    alignas(64) std::atomic<uint64_t> head_{0};     // next to be written
    alignas(64) std::atomic<bool> woken_{false};
    uint64_t tail_ = 0;                             // main thread
};

}  // namespace nvo3::engine

#endif
