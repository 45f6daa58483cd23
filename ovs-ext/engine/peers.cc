// SPDX-License-Identifier: Apache-2.0
//
// See peers.h.
#include "ovs-ext/engine/peers.h"

#include <new>

namespace nvo3::engine {

using base::IpAddress;

PeerTable::Table::Table(size_t size)
    : mask(size - 1), slots(std::make_unique<std::atomic<Peer*>[]>(size))
{
}

void
PeerTable::Table::insert(Peer* peer) noexcept
{
    size_t at = peer->address.hash();
    while (slots[at & mask].load(std::memory_order_relaxed)) {
        at++;
    }
    slots[at & mask].store(peer, std::memory_order_release);
}

PeerTable::PeerTable(const nvo3_host& host)
    : host_(host), table_(new Table(kFirstSlots)),
      by_index_(std::make_unique<std::atomic<Peer*>[]>(size_t{kMaxIndex} + 1))
{
}

PeerTable::~PeerTable()
{
    delete table_.load();
}

const Peer*
PeerTable::find(const IpAddress& address) const noexcept
{
    const Table& table = *table_.load(std::memory_order_acquire);
    for (size_t at = address.hash();; at++) {
        const Peer* peer = table.slots[at & table.mask].load(std::memory_order_acquire);
        if (!peer || peer->address == address) {
            return peer;
        }
    }
}

const Peer*
PeerTable::at(uint16_t index) const noexcept
{
    return index <= kMaxIndex ? by_index_[index].load(std::memory_order_acquire) : nullptr;
}

const Peer*
PeerTable::index_of(const IpAddress& address) noexcept
{
    if (const Peer* peer = find(address)) {
        return peer;
    }
    std::lock_guard lock(mutex_);
    if (const Peer* peer = find(address)) {
        return peer;        // another thread was faster
    }
    try {
        return add(address);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

// With mutex_ held.
const Peer*
PeerTable::add(const IpAddress& address)
{
    if (peers_.size() >= kMaxIndex) {
        return nullptr;
    }
    Table* table = table_.load(std::memory_order_relaxed);
    if ((peers_.size() + 1) * 2 > table->mask + 1) {
        auto* larger = new Table((table->mask + 1) * 2);
        for (const auto& old : peers_) {
            larger->insert(old.get());
        }
        table_.store(larger, std::memory_order_release);
        host_.retire([](void* old) { delete static_cast<Table*>(old); }, table);
        table = larger;
    }
    const auto index = static_cast<uint16_t>(peers_.size() + 1);
    peers_.push_back(std::make_unique<Peer>(index, address));
    Peer* peer = peers_.back().get();
    by_index_[index].store(peer, std::memory_order_release);
    table->insert(peer);
    last_.store(index, std::memory_order_release);
    return peer;
}

Lane*
PeerTable::serve(const IpAddress& address, base::Encap encap) noexcept
{
    const Peer* peer = index_of(address);
    if (!peer) {
        return nullptr;
    }
    if (Lane* lane = peer->lane(encap)) {
        return lane;
    }
    std::lock_guard lock(mutex_);
    try {
        lanes_.push_back(std::make_unique<Lane>());
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
    Peer& mine = *peers_[peer->index - 1];
    mine.lanes[Peer::place(encap)].store(lanes_.back().get(), std::memory_order_release);
    return lanes_.back().get();
}

uint16_t
PeerTable::last_index() const noexcept
{
    return last_.load(std::memory_order_acquire);
}

}  // namespace nvo3::engine
