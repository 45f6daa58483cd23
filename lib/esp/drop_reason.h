// SPDX-License-Identifier: Apache-2.0
//
// Why a packet was refused: one list for the enum, the counter, the words in
// log and audit, and the manual page.  Then what is counted besides refusals.
// Place: lib/esp.  Threads: pure functions.
#ifndef NVO3_ESP_DROP_REASON_H
#define NVO3_ESP_DROP_REASON_H

#include <cstddef>
#include <cstdint>

namespace nvo3::esp {

// X(name, words).  The counter is nvo3_drop_<name>.  The numbers go over the SA
// socket: new ones at the end.
#define NVO3_DROP_REASONS(X)                                                     \
    X(short_packet, "too short or not shaped as ESP in UDP")                     \
    X(non_esp, "non-ESP marker: IKE is not spoken on this port")                 \
    X(unknown_spi, "no SA has this SPI")                                         \
    X(wrong_address, "outer addresses are not those of the SA")                  \
    X(old_sequence, "sequence number is older than the replay window")           \
    X(replayed, "sequence number was seen before")                               \
    X(bad_icv, "integrity check failed: forged, altered or another key")         \
    X(bad_padding, "ESP padding is not 1, 2, 3...")                              \
    X(bad_next_header, "ESP next header is not UDP")                             \
    X(bad_inner, "no well-formed Geneve or VXLAN packet inside")                 \
    X(wrong_vni, "authenticated peer sent a VNI that its SA does not cover")     \
    X(clear_packet, "tunnel packet in clear for a protected port")               \
    X(no_sa, "no SA to send with yet")                                           \
    X(unknown_peer, "destination is not a configured peer")                      \
    X(sa_expired, "SA is past a hard limit")                                     \
    X(sequence_end, "sequence numbers of the SA are used up")                    \
    X(no_room, "packet buffer has no room for headers and trailer")              \
    X(offload, "packet asks for checksum or segmentation offload")               \
    X(wrong_encap, "SA belongs to another kind of tunnel")

// X(name, words).  The counter is nvo3_<name>.
#define NVO3_EVENTS(X)                                                           \
    X(sealed, "packets sealed")                                                  \
    X(opened, "packets opened")                                                  \
    X(sealed_bytes, "octets of frames sealed")                                   \
    X(opened_bytes, "octets of frames opened")                                   \
    X(too_big, "sealed packets that exceed the underlay's MTU")                  \
    X(acquires, "SAs asked for")                                                 \
    X(dummy, "dummy packets (next header 59), dropped silently")

enum class DropReason : uint8_t {
#define NVO3_X(name, words) name,
    NVO3_DROP_REASONS(NVO3_X)
#undef NVO3_X
};

enum class Event : uint8_t {
#define NVO3_X(name, words) name,
    NVO3_EVENTS(NVO3_X)
#undef NVO3_X
};

#define NVO3_X(name, words) + 1
inline constexpr size_t kDropReasonCount = 0 NVO3_DROP_REASONS(NVO3_X);
inline constexpr size_t kEventCount = 0 NVO3_EVENTS(NVO3_X);
#undef NVO3_X

// "bad_icv", the word in logs and JSON.
const char* to_string(DropReason reason) noexcept;
const char* to_string(Event event) noexcept;
// "nvo3_drop_bad_icv", the key in Interface statistics.
const char* counter_name(DropReason reason) noexcept;
const char* counter_name(Event event) noexcept;
// A half sentence for people.
const char* words(DropReason reason) noexcept;
const char* words(Event event) noexcept;

}  // namespace nvo3::esp

#endif
