// SPDX-License-Identifier: Apache-2.0
//
// The SA database (RFC 4301 section 4.4.2): inbound SAs by SPI, outbound SAs by
// (peer index, encapsulation, VNI).  Packet threads look up without locks while
// the control thread changes it.
// Place: lib/esp.  Threads: lookups from any thread that the Reclaimer knows;
// everything else from the control thread (a mutex keeps several apart).
#ifndef NVO3_ESP_SAD_H
#define NVO3_ESP_SAD_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "esp/sa_runtime.h"

namespace nvo3::esp {

// Frees what packet threads may still be reading.
class Reclaimer {
public:
    virtual ~Reclaimer() = default;
    // Calls 'destroy(p)' when no packet thread can hold 'p' any more (OVS's RCU
    // in the switch, at once in tests of one thread).
    virtual void retire(void* p, void (*destroy)(void*)) = 0;
};

// Number to SA: open addressing, at most half full.  A slot keeps its key for
// the life of the table, only its SA comes and goes; a table that fills up is
// replaced as a whole.  So a reader never sees the SA of another key.
class SaTable {
public:
    explicit SaTable(Reclaimer& reclaimer);
    // The SAs are the owner's.
    ~SaTable();
    SaTable(const SaTable&) = delete;
    SaTable& operator=(const SaTable&) = delete;

    SaRuntime* find(uint64_t key) const noexcept
    {
        const Slots& slots = *slots_.load(std::memory_order_acquire);
        for (size_t i = slots.first(key);; i = (i + 1) & slots.mask) {
            const uint64_t seen = slots.slot[i].key.load(std::memory_order_acquire);
            if (seen == key) {
                return slots.slot[i].sa.load(std::memory_order_acquire);
            } else if (seen == 0) {
                return nullptr;
            }
        }
    }
    void prefetch(uint64_t key) const noexcept
    {
        const Slots& slots = *slots_.load(std::memory_order_acquire);
        __builtin_prefetch(&slots.slot[slots.first(key)]);
    }

    // ---- Control thread ----

    // Files 'sa' (null: nothing any more) under 'key', which is not 0, and
    // returns what was there: the caller's to retire.
    SaRuntime* exchange(uint64_t key, SaRuntime* sa);
    size_t size() const noexcept { return live_; }
    // 'visit' may exchange the SA it is given for null.
    template <class F>
    void for_each(F&& visit) const
    {
        const Slots& slots = *slots_.load(std::memory_order_relaxed);
        for (size_t i = 0; i <= slots.mask; i++) {
            if (SaRuntime* sa = slots.slot[i].sa.load(std::memory_order_relaxed)) {
                visit(*sa);
            }
        }
    }

private:
    struct Slot {
        std::atomic<uint64_t> key{0};           // 0: never used
        std::atomic<SaRuntime*> sa{nullptr};    // null: removed
    };
    struct Slots {
        explicit Slots(unsigned bits);
        // Multiplicative hashing: VNIs and peers are consecutive.
        size_t first(uint64_t key) const noexcept
        {
            return (key * 0x9e3779b97f4a7c15u) >> shift;
        }
        Slot& of(uint64_t key) noexcept;        // its own or an unused one

        size_t mask;
        unsigned shift;
        std::unique_ptr<Slot[]> slot;
    };
    void rebuild();

    Reclaimer& reclaimer_;
    std::atomic<Slots*> slots_;
    // Control thread.
    size_t live_ = 0;
    size_t used_ = 0;       // slots with a key, of removed SAs as well
};

class Sad {
public:
    // 'reclaimer' must outlive it.
    explicit Sad(Reclaimer& reclaimer);
    // Retires all SAs.
    ~Sad();
    Sad(const Sad&) = delete;
    Sad& operator=(const Sad&) = delete;

    // ---- Packet path.  Null: none.  Valid until the thread is quiescent. ----

    SaRuntime* inbound(base::Spi spi) const noexcept { return inbound_.find(spi.value); }
    // 'peer' is not 0.
    SaRuntime* outbound(uint16_t peer, base::Encap encap, base::Vni vni) const noexcept
    {
        return outbound_.find(outbound_key(peer, encap, vni));
    }
    void prefetch_inbound(base::Spi spi) const noexcept { inbound_.prefetch(spi.value); }

    // ---- Control path ----

    // EEXIST: the SPI is taken.  EINVAL: not an inbound SA.
    base::Status add_inbound(std::unique_ptr<SaRuntime> sa);
    // Replaces the present one at once: a packet uses the one or the other.
    // EINVAL: not an outbound SA, or peer 0.  EEXIST: the present one has that
    // SPI: a key must not count from 1 twice.
    base::Status set_outbound(uint16_t peer, std::unique_ptr<SaRuntime> sa);
    // Whether there was one.  Outbound SPIs are the peers' choice and may coincide,
    // so an outbound SA is found by what it is for.
    bool remove_inbound(base::Spi spi, const base::IpAddress& remote);
    bool remove_outbound(uint16_t peer, base::Encap encap, base::Vni vni, base::Spi spi);
    // How many were removed.  remove_peer() leaves SAs of groups alone.
    size_t remove_if(const std::function<bool(const SaRuntime&)>& which);
    size_t remove_peer(const base::IpAddress& remote);
    // 'visit' must not call back.
    void for_each(const std::function<void(SaRuntime&)>& visit) const;
    size_t inbound_size() const;
    size_t outbound_size() const;

private:
    static uint64_t outbound_key(uint16_t peer, base::Encap encap, base::Vni vni) noexcept
    {
        return uint64_t{peer} << 32 | uint64_t{static_cast<uint8_t>(encap)} << 24
               | (vni.value & base::Vni::kMax);
    }
    void retire(SaRuntime* sa);

    Reclaimer& reclaimer_;
    mutable std::mutex mutex_;      // control path only
    SaTable inbound_;
    SaTable outbound_;
};

}  // namespace nvo3::esp

#endif
