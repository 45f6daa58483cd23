// SPDX-License-Identifier: Apache-2.0
//
// See encap.h.  What is the same for all frames of a batch is made once: the
// headers in front of the frame, and the IPv4 header's sum without the length.
#include "esp/encap.h"

#include <string.h>

#include <cassert>
#include <optional>

namespace nvo3::esp {
namespace {

constexpr size_t kMaxIpSize = 65535;

// One's complement sum of 16-bit words (RFC 1071), 'size' is even.
uint32_t
sum16(const uint8_t* p, size_t size) noexcept
{
    uint32_t sum = 0;
    for (size_t ofs = 0; ofs < size; ofs += 2) {
        sum += load_be<uint16_t>(p + ofs);
    }
    return sum;
}

uint16_t
fold(uint32_t sum) noexcept
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(~sum);
}

// The octets in front of a frame, with zero for what differs between frames.
struct Head {
    uint8_t octets[kMaxHeaderSize + kSealHead];
    size_t size;
    size_t esp_ofs;
    size_t inner_udp_ofs;
    uint32_t ip_sum;        // IPv4

    Head(const SaRuntime& sa, base::ByteView header, const HeaderInfo& info) noexcept
    {
        esp_ofs = info.l4_ofs + kUdpSize;
        inner_udp_ofs = esp_ofs + kEspHeaderSize + kIvSize;
        size = header.size() + kSealHead;
        memcpy(octets, header.data(), esp_ofs);
        uint8_t* udp = octets + info.l4_ofs;
        store_be<uint16_t>(udp, 0);
        // Checksums are zero: ESP protects better what they would cover (RFC
        // 3948 section 2.1, RFC 6935 for IPv6).
        store_be<uint16_t>(udp + 6, 0);
        uint8_t* esp = octets + esp_ofs;
        memset(esp, 0, kSealHead);
        store_be<uint32_t>(esp, sa.spi().value);
        store_be<uint16_t>(octets + inner_udp_ofs + 2, inner_port(sa.encap()));
        memcpy(octets + inner_udp_ofs + kUdpSize, header.data() + esp_ofs,
               header.size() - esp_ofs);

        ip_sum = 0;
        if (!info.ipv6) {
            uint8_t* ip = octets + info.l3_ofs;
            store_be<uint16_t>(ip + 2, 0);
            store_be<uint16_t>(ip + 10, 0);
            ip_sum = sum16(ip, info.l4_ofs - info.l3_ofs);
        }
    }
};

std::optional<DropReason>
refusal(const SaRuntime& sa, const HeaderInfo& info) noexcept
{
    if (info.remote != sa.remote()) {
        return DropReason::unknown_peer;
    } else if (info.encap != sa.encap() || sa.direction() != SaDirection::outbound) {
        return DropReason::wrong_encap;
    } else if (info.vni != sa.vni()) {
        return DropReason::wrong_vni;
    } else if (!sa.alive()) {
        return sa.end_reason();
    }
    return {};
}

// Sizes of one frame on the wire.
struct Layout {
    size_t pad;
    size_t text;        // inner UDP to next header
    size_t tail;        // padding to ICV
    size_t udp;         // outer UDP with its payload

    Layout(const Head& head, size_t frame_size) noexcept
    {
        const size_t inner = head.size - head.inner_udp_ofs + frame_size;
        pad = -(inner + kEspTrailerSize) % kPadAlign;
        text = inner + pad + kEspTrailerSize;
        tail = pad + kEspTrailerSize + kIcvSize;
        udp = kUdpSize + kEspHeaderSize + kIvSize + text + kIcvSize;
    }
};

bool
has_room(const Frame& frame, const Head& head, const HeaderInfo& info) noexcept
{
    if (frame.size > kMaxIpSize || frame.headroom < head.size) {
        return false;
    }
    const Layout layout(head, frame.size);
    return frame.tailroom >= layout.tail
           && info.l4_ofs - info.l3_ofs + layout.udp <= kMaxIpSize;
}

// Everything but the cipher.
void
write_packet(const Frame& frame, const Head& head, const HeaderInfo& info,
             const Layout& layout, uint64_t sequence) noexcept
{
    uint8_t* packet = frame.data - head.size;
    memcpy(packet, head.octets, head.size);

    uint8_t* ip = packet + info.l3_ofs;
    const auto udp_size = static_cast<uint16_t>(layout.udp);
    if (info.ipv6) {
        store_be<uint16_t>(ip + 4, udp_size);
    } else {
        const auto ip_size = static_cast<uint16_t>(info.l4_ofs - info.l3_ofs + udp_size);
        store_be<uint16_t>(ip + 2, ip_size);
        store_be<uint16_t>(ip + 10, fold(head.ip_sum + ip_size));
    }
    uint8_t* udp = packet + info.l4_ofs;
    store_be<uint16_t>(udp, frame.entropy);
    store_be<uint16_t>(udp + 4, udp_size);

    uint8_t* esp = packet + head.esp_ofs;
    store_be<uint32_t>(esp + 4, static_cast<uint32_t>(sequence));
    store_be<uint64_t>(esp + kEspHeaderSize, sequence);

    uint8_t* inner_udp = packet + head.inner_udp_ofs;
    store_be<uint16_t>(inner_udp, frame.entropy);
    store_be<uint16_t>(inner_udp + 4, static_cast<uint16_t>(
        layout.text - layout.pad - kEspTrailerSize));

    uint8_t* tail = frame.data + frame.size;
    for (size_t i = 0; i < layout.pad; i++) {
        tail[i] = static_cast<uint8_t>(i + 1);
    }
    tail[layout.pad] = static_cast<uint8_t>(layout.pad);
    tail[layout.pad + 1] = kProtocolUdp;
}

// RFC 4106 section 5, RFC 4543, RFC 7634: SPI | [sequence high |] sequence low.
// In place: copied, the item would be read before its small stores are done.
void
fill_item(const SaRuntime& sa, uint8_t* esp, const Layout& layout, uint64_t sequence,
          AeadItem& item) noexcept
{
    item.iv = esp + kEspHeaderSize;
    item.text_size = static_cast<uint32_t>(layout.text);
    store_be<uint32_t>(item.aad, sa.spi().value);
    if (sa.esn()) {
        store_be<uint64_t>(item.aad + 4, sequence);
        item.aad_size = 12;
    } else {
        store_be<uint32_t>(item.aad + 4, static_cast<uint32_t>(sequence));
        item.aad_size = 8;
    }
}

}  // namespace

bool
parse_header(base::Encap encap, base::ByteView header, HeaderInfo& info) noexcept
{
    if (header.size() > kMaxHeaderSize || header.size() < kEthernetSize) {
        return false;
    }
    size_t ofs = 12;
    uint16_t type = load_be<uint16_t>(&header[ofs]);
    while (type == kEtherTypeVlan || type == kEtherTypeVlanService) {
        ofs += kVlanTagSize;
        if (header.size() < ofs + 2) {
            return false;
        }
        type = load_be<uint16_t>(&header[ofs]);
    }
    ofs += 2;
    const size_t left = header.size() - ofs;
    const uint8_t* ip = header.data() + ofs;
    info.l3_ofs = static_cast<uint16_t>(ofs);
    info.encap = encap;
    if (type == kEtherTypeIpv4 && left >= kIpv4Size && ip[0] >> 4 == 4
        && (ip[0] & 0x0f) >= 5 && ip[9] == kProtocolUdp) {
        info.ipv6 = false;
        info.l4_ofs = static_cast<uint16_t>(ofs + 4 * (ip[0] & 0x0f));
        info.remote = base::IpAddress::from_bytes({ip + 16, 4});
    } else if (type == kEtherTypeIpv6 && left >= kIpv6Size && ip[0] >> 4 == 6
               && ip[6] == kProtocolUdp) {
        info.ipv6 = true;
        info.l4_ofs = static_cast<uint16_t>(ofs + kIpv6Size);
        info.remote = base::IpAddress::from_bytes({ip + 24, 16});
    } else {
        return false;
    }
    if (header.size() < info.l4_ofs + kUdpSize + kTunnelSize) {
        return false;
    }
    const uint8_t* udp = header.data() + info.l4_ofs;
    const uint8_t* tunnel = udp + kUdpSize;
    const size_t options =
        encap == base::Encap::geneve ? 4 * (size_t{tunnel[0]} & 0x3f) : 0;
    info.udp_source = load_be<uint16_t>(udp);
    info.vni = base::Vni(load_vni(tunnel));
    return load_be<uint16_t>(udp + 2) == outer_port(encap)
           && header.size() == info.l4_ofs + kUdpSize + kTunnelSize + options;
}

size_t
seal(SaRuntime& sa, base::ByteView header, const HeaderInfo& info, Frame* frames,
     size_t n) noexcept
{
    assert(n <= kMaxBatch);
    const std::optional<DropReason> refused = refusal(sa, info);
    const Head head(sa, header, info);
    Frame* ready[kMaxBatch];
    size_t count = 0;
    for (Frame* frame = frames; frame != frames + n; frame++) {
        if (frame->outcome != Outcome::pending) {
            continue;
        } else if (refused) {
            frame->drop(*refused);
        } else if (!has_room(*frame, head, info)) {
            frame->drop(DropReason::no_room);
        } else {
            ready[count++] = frame;
        }
    }
    if (count == 0) {
        return 0;
    }

    const SaRuntime::SequenceBlock block = sa.reserve(count);
    for (size_t i = block.count; i < count; i++) {
        ready[i]->drop(sa.end_reason());
    }
    AeadItem items[kMaxBatch];
    uint64_t octets = 0;
    for (size_t i = 0; i < block.count; i++) {
        const Layout layout(head, ready[i]->size);
        const uint64_t sequence = block.first + i;
        write_packet(*ready[i], head, info, layout, sequence);
        fill_item(sa, ready[i]->data - head.size + head.esp_ofs, layout, sequence,
                  items[i]);
        octets += layout.text;
    }
    const bool sealed = sa.aead().seal(items, block.count);
    for (size_t i = 0; i < block.count; i++) {
        Frame& frame = *ready[i];
        if (!sealed) {
            frame.drop(DropReason::sa_expired);
            continue;
        }
        const Layout layout(head, frame.size);
        frame.data -= head.size;
        frame.headroom -= static_cast<uint32_t>(head.size);
        frame.size += static_cast<uint32_t>(head.size + layout.tail);
        frame.tailroom -= static_cast<uint32_t>(layout.tail);
        frame.outcome = Outcome::passed;
    }
    sa.count(block.count, octets);
    return sealed ? block.count : 0;
}

}  // namespace nvo3::esp
