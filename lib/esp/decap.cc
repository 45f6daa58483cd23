// SPDX-License-Identifier: Apache-2.0
//
// See decap.h.  A batch goes through the checks step by step, not packet by
// packet: what a step needs is fetched into the cache for all packets by the
// step before, so that many SAs cost little more than one.
#include "esp/decap.h"

#include <string.h>

#include <cassert>
#include <optional>

#include "esp/wire.h"

namespace nvo3::esp {
namespace {

using Refusal = std::optional<DropReason>;

// The smallest ESP packet: header, IV, a text of one padded word, ICV.
constexpr size_t kEspMin = kEspHeaderSize + kIvSize + kPadAlign + kIcvSize;

// So many keys are fetched before the one in use.
constexpr size_t kKeysAhead = 8;

// A packet on its way through the steps.
struct Work {
    Frame* frame;
    uint8_t* ip;
    uint8_t* esp;
    uint32_t text_size;
    uint32_t esp_size;      // SPI to ICV
    bool ipv6;
    uint64_t sequence;

    uint8_t* text() const noexcept { return esp + kEspHeaderSize + kIvSize; }
    const uint8_t* source() const noexcept { return ip + (ipv6 ? 8 : 12); }
    const uint8_t* destination() const noexcept { return ip + (ipv6 ? 24 : 16); }
};

// Step 1, the IP header: where its packet ends, counted from the frame's start;
// 0 if it is none that carries UDP at l4_ofs.
size_t
ipv6_end(const Frame& frame) noexcept
{
    const uint8_t* ip = frame.data + frame.l3_ofs;
    // With extension headers the stock code would not find UDP.
    if (frame.l4_ofs - frame.l3_ofs != kIpv6Size || ip[6] != kProtocolUdp) {
        return 0;
    }
    return frame.l3_ofs + kIpv6Size + load_be<uint16_t>(ip + 4);
}

size_t
ipv4_end(const Frame& frame) noexcept
{
    const uint8_t* ip = frame.data + frame.l3_ofs;
    const int header = frame.l4_ofs - frame.l3_ofs;
    const bool fragment = load_be<uint16_t>(ip + 6) & 0x3fff;
    if (ip[0] != (0x40 | header >> 2) || header & 3 || ip[9] != kProtocolUdp || fragment) {
        return 0;
    }
    return frame.l3_ofs + load_be<uint16_t>(ip + 2);
}

// Step 1.
Refusal
check_shape(base::Encap encap, Frame& frame, Work& work) noexcept
{
    const size_t l4 = frame.l4_ofs;
    if (frame.size < l4 + kUdpSize || l4 < frame.l3_ofs + kIpv4Size) {
        return DropReason::short_packet;
    }
    work.ip = frame.data + frame.l3_ofs;
    work.ipv6 = work.ip[0] >> 4 == 6;
    // Octets behind the IP packet are Ethernet's padding.
    const size_t end = work.ipv6 ? ipv6_end(frame) : ipv4_end(frame);
    const uint8_t* udp = frame.data + l4;
    const size_t udp_size = load_be<uint16_t>(udp + 4);
    if (end > frame.size || end < l4 + udp_size || udp_size < kUdpSize) {
        return DropReason::short_packet;
    }
    if (load_be<uint16_t>(udp + 2) != outer_port(encap)) {
        return DropReason::clear_packet;
    }
    work.esp = frame.data + l4 + kUdpSize;
    work.esp_size = static_cast<uint32_t>(udp_size - kUdpSize);
    if (work.esp_size >= 4 && load_be<uint32_t>(work.esp) == 0) {
        return DropReason::non_esp;     // RFC 3948 section 2.2
    }
    if (work.esp_size < kEspMin) {
        return DropReason::short_packet;
    }
    work.text_size = static_cast<uint32_t>(work.esp_size - kEspHeaderSize - kIvSize
                                           - kIcvSize);
    work.frame = &frame;
    frame.spi = load_be<uint32_t>(work.esp);
    // The cipher comes when all headers are through.
    __builtin_prefetch(work.esp + 64, 1);
    __builtin_prefetch(work.esp + work.esp_size - kIcvSize, 1);
    return {};
}

bool
is_address(const base::IpAddress& address, const uint8_t* octets, bool ipv6) noexcept
{
    static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const uint8_t* ours = address.bytes().data();
    return ipv6 ? memcmp(ours, octets, 16) == 0
                : memcmp(ours, kMapped, 12) == 0 && memcmp(ours + 12, octets, 4) == 0;
}

// To several hosts: limited broadcast too, as base::IpAddress has it.
bool
is_multicast(const uint8_t* octets, bool ipv6) noexcept
{
    return ipv6 ? octets[0] == 0xff
                : octets[0] >> 4 == 0xe || load_be<uint32_t>(octets) == 0xffffffff;
}

// An SA of a pair takes nothing that was sent to several, an SA of a group only
// what was sent to that group.
bool
is_destination(const SaRuntime& sa, const uint8_t* octets, bool ipv6) noexcept
{
    return sa.any_destination() ? !is_multicast(octets, ipv6)
                                : is_address(sa.destination(), octets, ipv6);
}

Refusal
verdict_of(ReplayVerdict verdict) noexcept
{
    switch (verdict) {
    case ReplayVerdict::fresh: return {};
    case ReplayVerdict::replayed: return DropReason::replayed;
    case ReplayVerdict::too_old: break;
    }
    return DropReason::old_sequence;
}

// Steps 2 to 4; the SA is known.
Refusal
check_sa(base::Encap encap, Work& work) noexcept
{
    const SaRuntime& sa = *work.frame->sa;
    if (sa.encap() != encap) {
        return DropReason::wrong_encap;
    } else if (!sa.alive()) {
        return DropReason::sa_expired;
    } else if (!is_address(sa.remote(), work.source(), work.ipv6)
               || !is_destination(sa, work.destination(), work.ipv6)) {
        return DropReason::wrong_address;
    }
    work.sequence = sa.window().infer(load_be<uint32_t>(work.esp + 4));
    return verdict_of(sa.window().check(work.sequence));
}

// In place: copied, the item would be read before its small stores are done.
void
fill_item(const Work& work, AeadItem& item) noexcept
{
    item.iv = work.esp + kEspHeaderSize;
    item.text_size = work.text_size;
    memcpy(item.aad, work.esp, 4);
    if (work.frame->sa->esn()) {
        store_be<uint64_t>(item.aad + 4, work.sequence);
        item.aad_size = 12;
    } else {
        memcpy(item.aad + 4, work.esp + 4, 4);
        item.aad_size = 8;
    }
    item.ok = false;
}

// Step 7.  The padding's size; 'next_header' as received.
std::optional<size_t>
check_padding(const Work& work, uint8_t& next_header) noexcept
{
    const uint8_t* end = work.text() + work.text_size;
    const size_t pad = end[-2];
    next_header = end[-1];
    if (pad + kEspTrailerSize > work.text_size) {
        return {};
    }
    const uint8_t* padding = end - kEspTrailerSize - pad;
    for (size_t i = 0; i < pad; i++) {
        if (padding[i] != i + 1) {
            return {};
        }
    }
    return pad;
}

// Step 8.
bool
inner_good(const uint8_t* udp, size_t size, base::Encap encap) noexcept
{
    if (size < kUdpSize + kTunnelSize + kEthernetSize
        || load_be<uint16_t>(udp + 2) != inner_port(encap)
        || load_be<uint16_t>(udp + 4) != size) {
        return false;
    }
    const uint8_t* tunnel = udp + kUdpSize;
    if (encap == base::Encap::vxlan) {
        return tunnel[0] & kVxlanFlagVni;
    }
    const size_t options = size_t{4} * (tunnel[0] & 0x3f);
    return tunnel[0] >> 6 == 0
           && load_be<uint16_t>(tunnel + 2) == kGeneveProtocolEthernet
           && size >= kUdpSize + kTunnelSize + options + kEthernetSize;
}

// RFC 1624: the checksum for a header in which 'from' became 'to'.  One that was
// wrong stays wrong, for the code after us to see.
uint16_t
updated_checksum(uint16_t checksum, uint16_t from, uint16_t to) noexcept
{
    uint32_t sum = static_cast<uint16_t>(~checksum);
    sum += static_cast<uint16_t>(~from);
    sum += to;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(~sum);
}

// memmove() by 'gap' octets towards the end, for the sizes that Ethernet and IP
// headers have: two halves in registers, which overlap.
void
move_up(uint8_t* data, size_t size, size_t gap) noexcept
{
    constexpr size_t kHalf = 32;
    if (size < kHalf || size > 2 * kHalf) {
        memmove(data + gap, data, size);
        return;
    }
    uint8_t first[kHalf], last[kHalf];
    memcpy(first, data, kHalf);
    memcpy(last, data + size - kHalf, kHalf);
    memcpy(data + gap, first, kHalf);
    memcpy(data + gap + size - kHalf, last, kHalf);
}

// Takes outer UDP, ESP header and IV out, by moving what is before them up to
// the inner UDP header, and cuts what is behind the inner packet off.
void
strip(const Work& work, size_t inner_size) noexcept
{
    constexpr size_t kGap = kUdpSize + kEspHeaderSize + kIvSize;
    Frame& frame = *work.frame;
    // Read before the move: a load of what was just moved would wait for it.
    const uint16_t ip_size = load_be<uint16_t>(work.ip + 2);
    const uint16_t checksum = load_be<uint16_t>(work.ip + 10);
    const size_t l4 = frame.l4_ofs;
    const auto size = static_cast<uint32_t>(l4 + inner_size);
    move_up(frame.data, l4, kGap);
    frame.data += kGap;
    frame.headroom += kGap;
    frame.tailroom += static_cast<uint32_t>(frame.size - kGap - size);
    frame.size = size;

    uint8_t* ip = work.ip + kGap;
    if (work.ipv6) {
        store_be<uint16_t>(ip + 4, static_cast<uint16_t>(inner_size));
    } else {
        const auto to = static_cast<uint16_t>(size - frame.l3_ofs);
        store_be<uint16_t>(ip + 2, to);
        store_be<uint16_t>(ip + 10, updated_checksum(checksum, ip_size, to));
    }
    store_be<uint16_t>(frame.data + l4 + 6, 0);
}

// Steps 7 to 9; the ICV was right and the number is taken.
Refusal
finish(base::Encap encap, const Work& work) noexcept
{
    Frame& frame = *work.frame;
    uint8_t next_header;
    const std::optional<size_t> pad = check_padding(work, next_header);
    if (!pad) {
        return DropReason::bad_padding;
    }
    if (next_header == kProtocolDummy) {
        frame.outcome = Outcome::dummy;
        return {};
    } else if (next_header != kProtocolUdp) {
        return DropReason::bad_next_header;
    }
    const size_t inner_size = work.text_size - *pad - kEspTrailerSize;
    if (!inner_good(work.text(), inner_size, encap)) {
        return DropReason::bad_inner;
    }
    const uint32_t vni = load_vni(work.text() + kUdpSize);
    if (vni != frame.sa->vni().value) {
        frame.vni_seen = vni;
        return DropReason::wrong_vni;
    }
    strip(work, inner_size);
    frame.outcome = Outcome::passed;
    return {};
}

// Steps 5 to 9 for packets of one SA, one after the other.
size_t
open_run(base::Encap encap, Work* const* run, size_t n) noexcept
{
    SaRuntime& sa = *run[0]->frame->sa;
    AeadItem items[kMaxBatch];
    for (size_t i = 0; i < n; i++) {
        fill_item(*run[i], items[i]);
    }
    sa.aead().open(items, n);

    Work* opened[kMaxBatch];
    uint64_t sequences[kMaxBatch];
    ReplayVerdict verdicts[kMaxBatch];
    size_t opened_count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!items[i].ok) {
            run[i]->frame->drop(DropReason::bad_icv);
            continue;
        }
        sequences[opened_count] = run[i]->sequence;
        opened[opened_count++] = run[i];
    }
    sa.window().mark(sequences, opened_count, verdicts);

    size_t passed = 0;
    uint64_t accepted = 0;
    uint64_t octets = 0;
    for (size_t i = 0; i < opened_count; i++) {
        Frame& frame = *opened[i]->frame;
        octets += opened[i]->text_size;
        Refusal refusal = verdict_of(verdicts[i]);
        if (!refusal) {
            accepted++;
            refusal = finish(encap, *opened[i]);
        }
        if (refusal) {
            frame.drop(*refusal);
        }
        passed += frame.outcome == Outcome::passed;
    }
    if (octets) {
        sa.count(accepted, octets);
    }
    return passed;
}

}  // namespace

size_t
open(const Sad& sad, base::Encap encap, Frame* frames, size_t n) noexcept
{
    assert(n <= kMaxBatch);
    Work works[kMaxBatch];
    size_t count = 0;
    for (Frame* frame = frames; frame != frames + n; frame++) {
        if (frame->outcome != Outcome::pending) {
            continue;
        }
        if (Refusal refusal = check_shape(encap, *frame, works[count])) {
            frame->drop(*refusal);
            continue;
        }
        sad.prefetch_inbound(base::Spi(frame->spi));
        count++;
    }
    const SaRuntime* before = nullptr;
    for (size_t i = 0; i < count; i++) {
        Frame& frame = *works[i].frame;
        frame.sa = sad.inbound(base::Spi(frame.spi));
        if (!frame.sa) {
            frame.drop(DropReason::unknown_spi);
        } else if (frame.sa != before) {
            frame.sa->prefetch();
            before = frame.sa;
        }
    }
    Work* ready[kMaxBatch];
    size_t ready_count = 0;
    size_t runs[kMaxBatch];     // where each begins in 'ready'
    size_t run_count = 0;
    before = nullptr;
    for (size_t i = 0; i < count; i++) {
        Frame& frame = *works[i].frame;
        if (!frame.sa) {
            continue;
        }
        if (Refusal refusal = check_sa(encap, works[i])) {
            frame.drop(*refusal);
            continue;
        }
        if (frame.sa != before) {
            frame.sa->window().prefetch(works[i].sequence);
            before = frame.sa;
            runs[run_count++] = ready_count;
        }
        ready[ready_count++] = &works[i];
    }
    // Keys are too large to have all of a batch's fetched at once.
    const auto prefetch_run = [&](size_t run) {
        if (run < run_count) {
            ready[runs[run]]->frame->sa->prefetch_key();
        }
    };
    for (size_t run = 0; run < kKeysAhead; run++) {
        prefetch_run(run);
    }
    size_t passed = 0;
    for (size_t run = 0; run < run_count; run++) {
        prefetch_run(run + kKeysAhead);
        const size_t end = run + 1 < run_count ? runs[run + 1] : ready_count;
        passed += open_run(encap, ready + runs[run], end - runs[run]);
    }
    return passed;
}

}  // namespace nvo3::esp
