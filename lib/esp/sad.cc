// SPDX-License-Identifier: Apache-2.0
//
// See sad.h.
#include "esp/sad.h"

#include <string>
#include <utility>

namespace nvo3::esp {
namespace {

constexpr unsigned kFirstBits = 4;

}  // namespace

// ---- SaTable ----

SaTable::Slots::Slots(unsigned bits)
    : mask((size_t{1} << bits) - 1), shift(64 - bits),
      slot(std::make_unique<Slot[]>(size_t{1} << bits))
{
}

SaTable::Slot&
SaTable::Slots::of(uint64_t key) noexcept
{
    size_t i = first(key);
    for (;; i = (i + 1) & mask) {
        const uint64_t seen = slot[i].key.load(std::memory_order_relaxed);
        if (seen == key || seen == 0) {
            return slot[i];
        }
    }
}

SaTable::SaTable(Reclaimer& reclaimer)
    : reclaimer_(reclaimer), slots_(new Slots(kFirstBits))
{
}

SaTable::~SaTable()
{
    delete slots_.load(std::memory_order_relaxed);
}

SaRuntime*
SaTable::exchange(uint64_t key, SaRuntime* sa)
{
    Slot* slot = &slots_.load(std::memory_order_relaxed)->of(key);
    if (slot->key.load(std::memory_order_relaxed) == 0) {
        if (!sa) {
            return nullptr;
        }
        if (2 * (used_ + 1) > slots_.load(std::memory_order_relaxed)->mask) {
            rebuild();
            slot = &slots_.load(std::memory_order_relaxed)->of(key);
        }
        // The SA before its key: who finds the key finds the SA.
        slot->sa.store(sa, std::memory_order_relaxed);
        slot->key.store(key, std::memory_order_release);
        used_++;
        live_++;
        return nullptr;
    }
    SaRuntime* former = slot->sa.exchange(sa, std::memory_order_acq_rel);
    live_ += (sa ? 1 : 0);
    live_ -= (former ? 1 : 0);
    return former;
}

// A quarter full, without the keys of removed SAs.
void
SaTable::rebuild()
{
    unsigned bits = kFirstBits;
    while ((size_t{1} << bits) < 4 * (live_ + 1)) {
        bits++;
    }
    auto fresh = std::make_unique<Slots>(bits);
    for_each([&](SaRuntime& sa) {
        Slot& slot = fresh->of(sa.sad_key());
        slot.sa.store(&sa, std::memory_order_relaxed);
        slot.key.store(sa.sad_key(), std::memory_order_relaxed);
    });
    used_ = live_;
    Slots* old = slots_.exchange(fresh.release(), std::memory_order_acq_rel);
    reclaimer_.retire(old, [](void* p) { delete static_cast<Slots*>(p); });
}

// ---- Sad ----

Sad::Sad(Reclaimer& reclaimer)
    : reclaimer_(reclaimer), inbound_(reclaimer), outbound_(reclaimer)
{
}

Sad::~Sad()
{
    remove_if([](const SaRuntime&) { return true; });
}

void
Sad::retire(SaRuntime* sa)
{
    if (sa) {
        reclaimer_.retire(sa, [](void* p) { delete static_cast<SaRuntime*>(p); });
    }
}

base::Status
Sad::add_inbound(std::unique_ptr<SaRuntime> sa)
{
    if (sa->direction() != SaDirection::inbound) {
        return base::Error{EINVAL, "an outbound SA cannot be filed as inbound"};
    }
    std::lock_guard lock(mutex_);
    const uint64_t key = sa->spi().value;
    if (inbound_.find(key)) {
        return base::Error{EEXIST, "SPI " + base::to_string(sa->spi())
                                       + " is in use: offer another one"};
    }
    sa->set_sad_key(key);
    inbound_.exchange(key, sa.get());
    (void) sa.release();
    return {};
}

base::Status
Sad::set_outbound(uint16_t peer, std::unique_ptr<SaRuntime> sa)
{
    if (sa->direction() != SaDirection::outbound || peer == 0) {
        return base::Error{EINVAL, "an inbound SA, or one without peer, cannot be "
                                   "filed as outbound"};
    }
    std::lock_guard lock(mutex_);
    const uint64_t key = outbound_key(peer, sa->encap(), sa->vni());
    // The same SA anew would count from 1 again under the same key.
    if (const SaRuntime* present = outbound_.find(key); present && present->spi() == sa->spi()) {
        return base::Error{EEXIST, "SA " + to_string(present->spi()) + " is in use already"};
    }
    sa->set_sad_key(key);
    SaRuntime* former = outbound_.exchange(key, sa.get());
    (void) sa.release();
    retire(former);
    return {};
}

bool
Sad::remove_inbound(base::Spi spi, const base::IpAddress& remote)
{
    std::lock_guard lock(mutex_);
    const SaRuntime* sa = inbound_.find(spi.value);
    if (!sa || sa->remote() != remote) {
        return false;
    }
    retire(inbound_.exchange(spi.value, nullptr));
    return true;
}

bool
Sad::remove_outbound(uint16_t peer, base::Encap encap, base::Vni vni, base::Spi spi)
{
    std::lock_guard lock(mutex_);
    const uint64_t key = outbound_key(peer, encap, vni);
    const SaRuntime* sa = outbound_.find(key);
    if (!sa || sa->spi() != spi) {
        return false;
    }
    retire(outbound_.exchange(key, nullptr));
    return true;
}

size_t
Sad::remove_if(const std::function<bool(const SaRuntime&)>& which)
{
    std::lock_guard lock(mutex_);
    size_t removed = 0;
    for (SaTable* table : {&inbound_, &outbound_}) {
        table->for_each([&](SaRuntime& sa) {
            if (which(sa)) {
                retire(table->exchange(sa.sad_key(), nullptr));
                removed++;
            }
        });
    }
    return removed;
}

size_t
Sad::remove_peer(const base::IpAddress& remote)
{
    return remove_if([&](const SaRuntime& sa) { return sa.remote() == remote && !sa.of_group(); });
}

void
Sad::for_each(const std::function<void(SaRuntime&)>& visit) const
{
    std::lock_guard lock(mutex_);
    inbound_.for_each(visit);
    outbound_.for_each(visit);
}

size_t
Sad::inbound_size() const
{
    std::lock_guard lock(mutex_);
    return inbound_.size();
}

size_t
Sad::outbound_size() const
{
    std::lock_guard lock(mutex_);
    return outbound_.size();
}

}  // namespace nvo3::esp
