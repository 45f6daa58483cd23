// SPDX-License-Identifier: Apache-2.0
//
// Sending: frames into ESP packets, in place.
// Place: lib/esp.  Threads: any; several may seal with one SA.
#ifndef NVO3_ESP_ENCAP_H
#define NVO3_ESP_ENCAP_H

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/ip_address.h"
#include "esp/frame.h"
#include "esp/sa_runtime.h"
#include "esp/wire.h"

namespace nvo3::esp {

// Room that seal() needs around a frame, for a prebuilt header of this size.
constexpr size_t
seal_headroom(size_t header_size) noexcept
{
    return header_size + kSealHead;
}
inline constexpr size_t kSealTailroom = kSealTail;

// As large as OVS prebuilds headers.
inline constexpr size_t kMaxHeaderSize = 512;

// What a prebuilt header says: Ethernet, VLAN tags, IPv4 or IPv6, UDP to the
// protected port, Geneve with options or VXLAN.
struct HeaderInfo {
    base::IpAddress remote;     // IP destination
    base::Vni vni;
    base::Encap encap = base::Encap::geneve;
    bool ipv6 = false;
    uint16_t l3_ofs = 0;
    uint16_t l4_ofs = 0;
    uint16_t udp_source = 0;    // the peer index, as the shim leaves it there
};

// False: not such a header, or its parts do not fit together.
bool parse_header(base::Encap encap, base::ByteView header, HeaderInfo& info) noexcept;

// Seals the pending ones of 'n' (at most kMaxBatch) frames with one block of
// sequence numbers and returns how many passed.  In front of each frame goes
// 'header' with ESP and inner UDP put in; 'info' is its parse_header().  Refused
// as a whole: unknown_peer (the header's destination is not the SA's peer),
// wrong_encap, wrong_vni, sa_expired, sequence_end; singly: no_room, and the two
// ends of an SA that comes to it within the batch.
// A refused frame has its data and size as before.  No lock, no allocation.
size_t seal(SaRuntime& sa, base::ByteView header, const HeaderInfo& info,
            Frame* frames, size_t n) noexcept;

}  // namespace nvo3::esp

#endif
