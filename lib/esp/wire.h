// SPDX-License-Identifier: Apache-2.0
//
// What is on the wire, in octets:
//
//     IP | UDP | SPI 4 | sequence 4 | IV 8 | UDP | Geneve or VXLAN | frame
//        | padding 0..3 | pad length 1 | next header 1 | ICV 16
//
// ESP in UDP (RFC 4303, RFC 3948), transport mode.  Place: lib/esp.  Threads:
// pure functions.
#ifndef NVO3_ESP_WIRE_H
#define NVO3_ESP_WIRE_H

#include <cstddef>
#include <cstdint>

#include "base/ids.h"
#include "esp/cipher.h"

namespace nvo3::esp {

// UDP destination ports: outside ESP, and of the tunnel inside.
inline constexpr uint16_t kGenevePort = 4500;
inline constexpr uint16_t kVxlanPort = 4501;
inline constexpr uint16_t kInnerGenevePort = 6081;
inline constexpr uint16_t kInnerVxlanPort = 4789;

constexpr uint16_t
outer_port(base::Encap encap) noexcept
{
    return encap == base::Encap::geneve ? kGenevePort : kVxlanPort;
}

constexpr uint16_t
inner_port(base::Encap encap) noexcept
{
    return encap == base::Encap::geneve ? kInnerGenevePort : kInnerVxlanPort;
}

// Sizes in octets.
inline constexpr size_t kEthernetSize = 14;
inline constexpr size_t kVlanTagSize = 4;
inline constexpr size_t kIpv4Size = 20;         // without options
inline constexpr size_t kIpv6Size = 40;
inline constexpr size_t kUdpSize = 8;
inline constexpr size_t kTunnelSize = 8;        // Geneve without options, VXLAN
inline constexpr size_t kEspHeaderSize = 8;     // SPI, sequence number
inline constexpr size_t kEspTrailerSize = 2;    // pad length, next header
inline constexpr size_t kPadAlign = 4;          // RFC 4303 section 2.4
inline constexpr size_t kMaxPadding = kPadAlign - 1;

inline constexpr uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr uint16_t kEtherTypeIpv6 = 0x86dd;
inline constexpr uint16_t kEtherTypeVlan = 0x8100;
inline constexpr uint16_t kEtherTypeVlanService = 0x88a8;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolDummy = 59;   // RFC 4303 section 2.6
inline constexpr uint16_t kGeneveProtocolEthernet = 0x6558;
inline constexpr uint8_t kVxlanFlagVni = 0x08;  // RFC 7348 section 5

// What sealing puts before and behind the frame, beside the prebuilt header.
inline constexpr size_t kSealHead = kEspHeaderSize + kIvSize + kUdpSize;
inline constexpr size_t kSealTail = kMaxPadding + kEspTrailerSize + kIcvSize;

// Network byte order in memory, at any alignment.
constexpr uint16_t swap_be(uint16_t value) noexcept { return __builtin_bswap16(value); }
constexpr uint32_t swap_be(uint32_t value) noexcept { return __builtin_bswap32(value); }
constexpr uint64_t swap_be(uint64_t value) noexcept { return __builtin_bswap64(value); }
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "swap_be() swaps");

template <class T>
inline T
load_be(const uint8_t* p) noexcept
{
    T value;
    __builtin_memcpy(&value, p, sizeof value);
    return swap_be(value);
}

template <class T>
inline void
store_be(uint8_t* p, T value) noexcept
{
    value = swap_be(value);
    __builtin_memcpy(p, &value, sizeof value);
}

// The 24-bit VNI of a Geneve or VXLAN header.
inline uint32_t
load_vni(const uint8_t* tunnel) noexcept
{
    return load_be<uint32_t>(tunnel + 4) >> 8;
}

// Octets by which an IP packet of a VM grows, from its own size to that of the
// outer IP packet: inner Ethernet, tunnel, inner UDP, ESP, outer UDP and IP.
// Without padding: 0 to kMaxPadding octets come on top, depending on the size.
size_t overhead(base::Encap encap, Cipher cipher, bool ipv6,
                size_t geneve_options = 0) noexcept;

// The largest IP packet of a VM that fits, padding included: 1408 for 1500 with
// IPv4, Geneve without options, AES-GCM.  0 if none fits.
size_t effective_mtu(size_t underlay_mtu, base::Encap encap, Cipher cipher,
                     bool ipv6, size_t geneve_options = 0) noexcept;

}  // namespace nvo3::esp

#endif
