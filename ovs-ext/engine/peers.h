// SPDX-License-Identifier: Apache-2.0
//
// Remote underlay addresses and their stable indices.  A peer stays for the life
// of the process, so an index in a flow's prebuilt header always means the
// same address and packet threads may hold what they found.
// Place: engine.  Threads: find() and at() any, without lock; index_of() any,
// takes a mutex; serve() main.
#ifndef NVO3_ENGINE_PEERS_H
#define NVO3_ENGINE_PEERS_H

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "ovs-ext/api/nvo3_host.h"
#include "ovs-ext/engine/counters.h"

namespace nvo3::engine {

// What one encapsulation has with one peer.  Made when a port first names the
// peer, kept for the life of the process.
struct Lane {
    Counters counters;
    std::atomic<bool> served{false};            // a port names the peer now
    std::atomic<uint32_t> underlay_mtu{0};      // 0: unknown
};

struct Peer {
    Peer(uint16_t number, const base::IpAddress& at) : index(number), address(at) {}

    const uint16_t index;               // 1..65534
    const base::IpAddress address;

    // Null until a port names the peer.
    Lane* lane(base::Encap encap) const noexcept
    {
        return lanes[place(encap)].load(std::memory_order_acquire);
    }
    // Null unless a port names it now.
    Lane* served_lane(base::Encap encap) const noexcept
    {
        Lane* found = lane(encap);
        return found && found->served.load(std::memory_order_relaxed) ? found : nullptr;
    }

    static size_t place(base::Encap encap) noexcept { return static_cast<size_t>(encap) - 1; }

    std::array<std::atomic<Lane*>, 2> lanes{};  // by place(), set once
};

class PeerTable {
public:
    static constexpr uint16_t kMaxIndex = 65534;

    explicit PeerTable(const nvo3_host& host);
    // No packet thread may be left.
    ~PeerTable();
    PeerTable(const PeerTable&) = delete;
    PeerTable& operator=(const PeerTable&) = delete;

    // The peer at 'address', made if new; null if all indices are taken or
    // there is no memory.
    const Peer* index_of(const base::IpAddress& address) noexcept;
    // Null if there is none.
    const Peer* find(const base::IpAddress& address) const noexcept;
    const Peer* at(uint16_t index) const noexcept;
    // The lane towards 'address', made if new; null as index_of().
    Lane* serve(const base::IpAddress& address, base::Encap encap) noexcept;

    // Highest index given out.
    uint16_t last_index() const noexcept;

private:
    struct Table {      // open addressing, replaced as a whole when it grows
        explicit Table(size_t slots);
        void insert(Peer* peer) noexcept;

        const size_t mask;
        const std::unique_ptr<std::atomic<Peer*>[]> slots;
    };
    static constexpr size_t kFirstSlots = 64;

    const Peer* add(const base::IpAddress& address);

    const nvo3_host& host_;
    std::atomic<Table*> table_;
    const std::unique_ptr<std::atomic<Peer*>[]> by_index_;   // [index]
    std::atomic<uint16_t> last_{0};
    std::mutex mutex_;                                  // writers
    std::vector<std::unique_ptr<Peer>> peers_;          // under mutex_
    std::vector<std::unique_ptr<Lane>> lanes_;          // under mutex_
};

}  // namespace nvo3::engine

#endif
