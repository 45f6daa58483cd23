// SPDX-License-Identifier: Apache-2.0
//
// What packets need of an SA: cipher, sequence numbers or replay window,
// lifetime.  Fields are grouped by cache line: the first is read by every packet
// and never written.
// Place: lib/esp.  Threads: any number of packet threads, one control thread.
// The owner (Sad) frees it when no packet thread can hold it any more.
#ifndef NVO3_ESP_SA_RUNTIME_H
#define NVO3_ESP_SA_RUNTIME_H

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "esp/aead.h"
#include "esp/drop_reason.h"
#include "esp/replay_window.h"
#include "esp/sa.h"

namespace nvo3::esp {

// Bits of SaRuntime::take_events(), each raised once in the life of an SA.
// Bit 1 << (n - 1) is number n of ExpiryReason in sa_protocol.h.
enum LifetimeEvent : uint32_t {
    kSoftPackets = 1 << 0,
    kSoftBytes = 1 << 1,
    kHardPackets = 1 << 2,      // or the end of the sequence numbers
    kHardBytes = 1 << 3,
    kHardSeconds = 1 << 4,
};

class alignas(64) SaRuntime {
public:
    using TimePoint = std::chrono::steady_clock::time_point;

    // EINVAL: see validate(); ENOTSUP: the library lacks the cipher.
    static base::Result<std::unique_ptr<SaRuntime>>
    make(const SaConfig& config, const AeadLibrary& library, TimePoint now);

    // ---- Packet path ----

    // Sequence numbers 'first' to 'first + count - 1', of this caller alone.
    // 'count' is less than asked for at the end of the SA; see end_reason().
    struct SequenceBlock {
        uint64_t first;
        size_t count;
    };
    SequenceBlock reserve(size_t n) noexcept;

    // Counts what was sealed or opened, once per batch, and raises events.
    // 'packets' is for inbound SAs; outbound ones have the sequence number.
    void count(uint64_t packets, uint64_t bytes) noexcept;

    // Not past a hard limit.
    bool alive() const noexcept
    {
        return !(events_.load(std::memory_order_relaxed)
                 & (kHardPackets | kHardBytes | kHardSeconds));
    }
    // Why it is not: sa_expired or sequence_end.
    DropReason end_reason() const noexcept;

    Aead& aead() const noexcept { return *aead_; }
    ReplayWindow& window() noexcept { return window_; }
    const ReplayWindow& window() const noexcept { return window_; }

    // Fetches this object into the cache; then, once it is there, the key: its
    // start (round keys) and end (the powers of H that short packets use).
    void prefetch() const noexcept
    {
        const auto* line = reinterpret_cast<const char*>(this);
        __builtin_prefetch(line);
        __builtin_prefetch(line + 64);
        __builtin_prefetch(line + 128);
    }
    void prefetch_key() const noexcept
    {
        __builtin_prefetch(aead_.get());
        const auto* key = static_cast<const char*>(key_);
        for (size_t ofs = 0; ofs < 256; ofs += 64) {
            __builtin_prefetch(key + ofs);
            __builtin_prefetch(key_end_ - ofs - 1);
        }
    }

    base::Spi spi() const noexcept { return spi_; }
    base::Vni vni() const noexcept { return vni_; }
    base::Encap encap() const noexcept { return encap_; }
    SaDirection direction() const noexcept { return direction_; }
    bool esn() const noexcept { return esn_; }
    const base::IpAddress& remote() const noexcept { return remote_; }
    // Where its inbound packets must be addressed to: our address or the group's.
    const base::IpAddress& destination() const noexcept { return destination_; }
    bool any_destination() const noexcept { return any_destination_; }  // but no multicast
    bool of_group() const noexcept { return of_group_; }

    // ---- Control path ----

    // Ends it (hard_seconds, or the owner's wish): no packet from now on, apart
    // from those that a thread is in the middle of.
    void expire() noexcept { raise(kHardSeconds); }
    // LifetimeEvent bits that were raised since the last call.
    uint32_t take_events() noexcept;

    // Accepted (inbound), or sequence numbers given out (outbound).
    uint64_t packets() const noexcept;
    uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
    // Outbound: the last number given out; inbound: the highest accepted.
    uint64_t last_sequence() const noexcept;
    Cipher cipher() const noexcept { return cipher_; }
    const base::IpAddress& local() const noexcept { return local_; }
    const base::IpAddress& group() const noexcept { return group_; }    // or unspecified
    uint32_t generation() const noexcept { return generation_; }
    const SaLimits& limits() const noexcept { return limits_; }     // as configured
    TimePoint created() const noexcept { return created_; }

    // Sad's own: what it is filed under; fixed before it is published.
    uint64_t sad_key() const noexcept { return sad_key_; }
    void set_sad_key(uint64_t key) noexcept { sad_key_ = key; }

private:
    SaRuntime(const SaConfig& config, std::unique_ptr<Aead> aead, TimePoint now);
    void raise(uint32_t events) noexcept;

    // Line 0: fixed before publication.
    base::IpAddress remote_;
    base::IpAddress destination_;
    std::unique_ptr<Aead> aead_;
    const void* key_;               // expanded, inside aead_
    base::Spi spi_;
    base::Vni vni_;
    base::Encap encap_;
    SaDirection direction_;
    bool esn_;
    bool any_destination_;
    bool of_group_;

    // Line 1: atomics of all packet threads, with the limits they meet.
    alignas(64) std::atomic<uint64_t> next_sequence_{1};    // outbound
    std::atomic<uint64_t> packets_{0};                      // inbound
    std::atomic<uint64_t> bytes_{0};
    std::atomic<uint32_t> events_{0};   // raised so far
    bool packets_limited_;              // fixed: by configuration, not by number space
    uint64_t soft_packets_;             // fixed, as the next three
    uint64_t hard_packets_;             // outbound: the last sequence number
    uint64_t soft_bytes_;
    uint64_t hard_bytes_;

    // Line 2: inbound.
    alignas(64) ReplayWindow window_;
    const char* key_end_;               // fixed

    // Control path.
    base::IpAddress local_;
    base::IpAddress group_;
    SaLimits limits_;
    TimePoint created_;
    uint64_t sad_key_ = 0;
    uint32_t taken_events_ = 0;
    uint32_t generation_;
    Cipher cipher_;
};

}  // namespace nvo3::esp

#endif
