// SPDX-License-Identifier: Apache-2.0
//
// A packet in somebody else's buffer, as seal() and open() work on it.
// Place: lib/esp.  Threads: one thread per frame.
#ifndef NVO3_ESP_FRAME_H
#define NVO3_ESP_FRAME_H

#include <cstdint>

#include "base/ip_address.h"
#include "esp/drop_reason.h"

namespace nvo3::esp {

class SaRuntime;

enum class Outcome : uint8_t {
    pending,    // in: to be handled; other frames are left alone
    passed,     // sealed or opened
    dropped,    // refused, see 'reason'
    dummy,      // open(): next header 59, to be dropped silently
};

struct Frame {
    uint8_t* data = nullptr;        // first octet of the (outer or inner) Ethernet header
    uint32_t size = 0;              // octets at 'data'
    uint32_t headroom = 0;          // free octets before 'data'
    uint32_t tailroom = 0;          // free octets after
    uint16_t l3_ofs = 0;            // open: outer IP header, from 'data'
    uint16_t l4_ofs = 0;            // open: outer UDP header, from 'data'
    uint16_t entropy = 0;           // seal: outer UDP source port, host order

    Outcome outcome = Outcome::pending;
    DropReason reason{};            // if dropped

    // open: what is known of the packet, for counters and alarms.
    SaRuntime* sa = nullptr;        // null until the SPI is found
    uint32_t spi = 0;               // 0 until it is read
    uint32_t vni_seen = 0;          // wrong_vni: the VNI inside

    void drop(DropReason why) noexcept
    {
        outcome = Outcome::dropped;
        reason = why;
    }
};

// Outer source address of a received frame, also of a dropped one; unspecified
// if there is none.
base::IpAddress outer_source(const Frame& frame) noexcept;

}  // namespace nvo3::esp

#endif
