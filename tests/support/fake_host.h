// SPDX-License-Identifier: Apache-2.0
//
// What OVS lends to the engine, for tests: time that the test moves, packets in
// plain memory, log lines kept.  One at a time, as the C interface has no
// argument for an object.
// Place: tests/support.  Threads: as nvo3_host.h; the rest one thread.
#ifndef NVO3_TESTS_SUPPORT_FAKE_HOST_H
#define NVO3_TESTS_SUPPORT_FAKE_HOST_H

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/ip_address.h"
#include "ovs-ext/api/nvo3_ext.h"

namespace nvo3::tests {

class FakeHost {
public:
    // Makes a run directory of its own, removed in the end.
    FakeHost();
    ~FakeHost();
    FakeHost(const FakeHost&) = delete;
    FakeHost& operator=(const FakeHost&) = delete;

    const nvo3_host& host() const { return host_; }
    std::string socket_path() const { return rundir_ + "/nvo3-sa.sock"; }

    void advance_ms(long long by) { now_ms_ += by; }
    // Destroys what was retired: no packet thread can hold it any more.
    void reclaim();

    std::atomic<bool> memory{true};         // make_room succeeds
    std::atomic<int> made_room{0};
    std::vector<std::string> log_lines;
    std::map<std::string, int> status_changes;
    std::map<int, short> waiting;           // of wait_fd
    long long wake_ms = 0;                  // the earliest of wait_until
    // Forgets what was waited for.
    void clear_waits();

private:
    const std::string rundir_;
    nvo3_host host_{};
    std::atomic<long long> now_ms_{1000000};
    std::mutex mutex_;
    std::vector<std::pair<void (*)(void*), void*>> retired_;    // under mutex_
};

// A packet in a buffer with room around it.
class FakePacket {
public:
    explicit FakePacket(base::ByteView frame, size_t headroom = 128, size_t tailroom = 64);

    nvo3_frame frame();
    // As it is now, after nvo3_seal() or nvo3_open().
    static base::ByteView octets(const nvo3_frame& frame) { return {frame.data, frame.size}; }

    // For make_room.
    base::Bytes buffer;
    size_t begin;
    size_t size;
};

// What OVS builds once for a flow, with the peer index in the UDP source port.
base::Bytes tunnel_header(base::Encap encap, const base::IpAddress& from, const base::IpAddress& to,
                          base::Vni vni, uint16_t peer_index);

// A frame of a VM: Ethernet, then 'size' octets of 'fill'.
base::Bytes vm_frame(size_t size, uint8_t fill = 0x45);

}  // namespace nvo3::tests

#endif
