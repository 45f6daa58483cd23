// SPDX-License-Identifier: Apache-2.0
//
// The packet path of the engine: from the shim's frames to lib/esp and back,
// with counters, acquires and alarms.  Nothing here locks or allocates, except
// the host's make_room.
// Threads: any.
#include <algorithm>
#include <array>

#include "esp/wire.h"
#include "ovs-ext/engine/engine.h"

namespace nvo3::engine {

using base::ByteView;
using base::Encap;
using base::IpAddress;
using esp::DropReason;
using esp::Event;
using esp::Frame;
using esp::Outcome;
using esp::SaRuntime;

// Where the frames of one prebuilt header go.
struct Engine::SealTarget {
    ByteView header;
    esp::HeaderInfo info;
    const Peer* peer;
    Lane* lane;
    SaRuntime* sa;      // null: none
};

namespace {

constexpr size_t kBatch = esp::kMaxBatch;

void
refuse_all(nvo3_frame* frames, size_t n, Counters& counters, DropReason reason) noexcept
{
    for (size_t i = 0; i < n; i++) {
        frames[i].refused = true;
    }
    counters.add(counter_of(reason), n);
}

Frame
to_esp(const nvo3_frame& from) noexcept
{
    Frame to;
    to.data = from.data;
    to.size = from.size;
    to.headroom = from.headroom;
    to.tailroom = from.tailroom;
    to.l3_ofs = from.l3_ofs;
    to.l4_ofs = from.l4_ofs;
    to.entropy = from.entropy;
    return to;
}

void
to_host(const Frame& from, nvo3_frame& to) noexcept
{
    to.data = from.data;
    to.size = from.size;
    to.headroom = from.headroom;
    to.tailroom = from.tailroom;
    to.refused = from.outcome != Outcome::passed;
}

// The source address in a prebuilt header: what the agent is told we send from.
IpAddress
header_source(ByteView header, const esp::HeaderInfo& info) noexcept
{
    return IpAddress::from_bytes(info.ipv6 ? header.subspan(info.l3_ofs + 8u, 16)
                                           : header.subspan(info.l3_ofs + 12u, 4));
}

// Octets of the frame inside an opened packet.
uint32_t
inner_size(const Frame& frame, Encap encap) noexcept
{
    const uint8_t* tunnel = frame.data + frame.l4_ofs + esp::kUdpSize;
    const size_t options = encap == Encap::geneve ? size_t{4} * (tunnel[0] & 0x3f) : 0;
    return static_cast<uint32_t>(frame.size - frame.l4_ofs - esp::kUdpSize - esp::kTunnelSize
                                 - options);
}

// A name for NoticeFilter.
uint64_t
filter_key(NoticeKind kind, uint16_t peer, Encap encap, uint32_t detail) noexcept
{
    return uint64_t{static_cast<uint8_t>(kind)} << 56 | uint64_t{static_cast<uint8_t>(encap)} << 48
           | uint64_t{peer} << 32 | detail;
}

// What a late packet after a rekey meets as well is no alarm.
bool
is_alarming(DropReason reason) noexcept
{
    return reason != DropReason::sa_expired;
}

}  // namespace

uint16_t
Engine::peer_index(const IpAddress& remote) noexcept
{
    const Peer* peer = peers_.index_of(remote);
    return peer ? peer->index : 0;
}

// ---- Sending ----

// False: all frames are refused and counted.
bool
Engine::find_target(Encap encap, ByteView header, nvo3_frame* frames, size_t n,
                    SealTarget& target) noexcept
{
    target.header = header;
    if (!esp::parse_header(encap, header, target.info)) {
        refuse_all(frames, n, global_, DropReason::unknown_peer);
        return false;
    }
    target.peer = peers_.at(target.info.udp_source);
    target.lane = target.peer ? target.peer->served_lane(encap) : nullptr;
    // The index is of the address for which it was asked: a header that says
    // another was tampered with by a flow.
    if (!target.lane || target.peer->address != target.info.remote) {
        refuse_all(frames, n, global_, DropReason::unknown_peer);
        return false;
    }
    target.sa = keeper_.sad().outbound(target.peer->index, encap, target.info.vni);
    return true;
}

void
Engine::want_sa(const SealTarget& target, CounterTally& tally) noexcept
{
    const uint64_t key = filter_key(NoticeKind::acquire, target.peer->index, target.info.encap,
                                    target.info.vni.value);
    if (!filter_.pass(key, host_.now_ms())) {
        return;
    }
    tally.add(target.lane->counters, counter_of(Event::acquires));
    Notice notice;
    notice.kind = NoticeKind::acquire;
    notice.encap = target.info.encap;
    notice.peer = target.peer->index;
    notice.vni = target.info.vni;
    notice.remote = target.peer->address;
    notice.local = header_source(target.header, target.info);
    notices_.post(notice);
}

void
Engine::seal_batch(const SealTarget& target, nvo3_frame* frames, size_t n) noexcept
{
    Counters& counters = target.lane->counters;
    CounterTally tally;
    if (!target.sa) {
        refuse_all(frames, n, counters, DropReason::no_sa);
        want_sa(target, tally);
        return;
    }

    std::array<Frame, kBatch> batch;
    std::array<uint32_t, kBatch> before;
    const size_t headroom = esp::seal_headroom(target.header.size());
    for (size_t i = 0; i < n; i++) {
        nvo3_frame& frame = frames[i];
        bool room = frame.headroom >= headroom && frame.tailroom >= esp::kSealTailroom;
        if (!frame.offload && !room) {
            room = host_.make_room(&frame, headroom, esp::kSealTailroom);
        }
        batch[i] = to_esp(frame);
        before[i] = frame.size;
        if (frame.offload) {
            batch[i].drop(DropReason::offload);
        } else if (!room) {
            batch[i].drop(DropReason::no_room);
        }
    }

    esp::seal(*target.sa, target.header, target.info, batch.data(), n);

    const uint32_t mtu = target.lane->underlay_mtu.load(std::memory_order_relaxed);
    bool ended = false;
    for (size_t i = 0; i < n; i++) {
        to_host(batch[i], frames[i]);
        if (batch[i].outcome != Outcome::passed) {
            const DropReason reason = batch[i].reason;
            tally.add(counters, counter_of(reason));
            ended |= reason == DropReason::sa_expired || reason == DropReason::sequence_end;
            continue;
        }
        tally.add(counters, counter_of(Event::sealed));
        tally.add(counters, counter_of(Event::sealed_bytes), before[i]);
        if (mtu && batch[i].size - target.info.l3_ofs > mtu) {
            tally.add(counters, counter_of(Event::too_big));
        }
    }
    if (ended) {
        want_sa(target, tally);
    }
}

void
Engine::seal(Encap encap, ByteView header, nvo3_frame* frames, size_t n) noexcept
{
    SealTarget target;
    if (n == 0 || !find_target(encap, header, frames, n, target)) {
        return;
    }
    for (size_t at = 0; at < n; at += kBatch) {
        seal_batch(target, frames + at, std::min(kBatch, n - at));
    }
}

// ---- Receiving ----

// Whose counters a received frame belongs in: the SA's peer, else the peer at
// the outer source, else nobody (peer = 0).
Counters&
Engine::blame(const Frame& frame, Encap encap, uint16_t& index) noexcept
{
    const Peer* peer = peers_.find(frame.sa ? frame.sa->remote() : esp::outer_source(frame));
    const Lane* lane = peer ? peer->lane(encap) : nullptr;
    index = lane ? peer->index : 0;
    return lane ? const_cast<Lane*>(lane)->counters : global_;
}

void
Engine::raise_alarm(const Frame& frame, Encap encap, uint16_t index, CounterTally& tally) noexcept
{
    const uint64_t key = filter_key(NoticeKind::alarm, index, index ? encap : Encap::geneve,
                                    static_cast<uint32_t>(frame.reason));
    if (!filter_.pass(key, host_.now_ms())) {
        return;
    }
    tally.flush();      // the alarm says how many
    Notice notice;
    notice.kind = NoticeKind::alarm;
    notice.reason = frame.reason;
    notice.encap = encap;
    notice.peer = index;
    notice.vni = frame.sa ? frame.sa->vni() : base::Vni();
    notice.vni_seen = base::Vni(frame.vni_seen);
    notice.spi = base::Spi(frame.spi);
    notice.remote = esp::outer_source(frame);
    notices_.post(notice);
}

void
Engine::open_batch(Encap encap, nvo3_frame* frames, size_t n) noexcept
{
    std::array<Frame, kBatch> batch;
    for (size_t i = 0; i < n; i++) {
        batch[i] = to_esp(frames[i]);
    }

    esp::open(keeper_.sad(), encap, batch.data(), n);

    CounterTally tally;
    const SaRuntime* last_sa = nullptr;
    Counters* counters = nullptr;
    uint16_t index = 0;
    for (size_t i = 0; i < n; i++) {
        Frame& frame = batch[i];
        to_host(frame, frames[i]);
        if (!frame.sa || frame.sa != last_sa) {
            counters = &blame(frame, encap, index);
            last_sa = frame.sa;
        }
        if (frame.outcome == Outcome::passed) {
            frames[i].l3_ofs = frame.l3_ofs;
            frames[i].l4_ofs = frame.l4_ofs;
            tally.add(*counters, counter_of(Event::opened));
            tally.add(*counters, counter_of(Event::opened_bytes), inner_size(frame, encap));
        } else if (frame.outcome == Outcome::dummy) {
            tally.add(*counters, counter_of(Event::dummy));
        } else {
            tally.add(*counters, counter_of(frame.reason));
            if (is_alarming(frame.reason)) {
                raise_alarm(frame, encap, index, tally);
            }
        }
    }
}

void
Engine::open(Encap encap, nvo3_frame* frames, size_t n) noexcept
{
    for (size_t at = 0; at < n; at += kBatch) {
        open_batch(encap, frames + at, std::min(kBatch, n - at));
    }
}

}  // namespace nvo3::engine
