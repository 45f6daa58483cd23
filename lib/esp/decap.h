// SPDX-License-Identifier: Apache-2.0
//
// Receiving: ESP packets back into tunnel packets, in place, or not at all.
// Place: lib/esp.  Threads: any; several may receive on one SA.
#ifndef NVO3_ESP_DECAP_H
#define NVO3_ESP_DECAP_H

#include <cstddef>

#include "base/ids.h"
#include "esp/frame.h"
#include "esp/sad.h"

namespace nvo3::esp {

// Opens the pending ones of 'n' (at most kMaxBatch) frames that came to the
// protected port of 'encap', and returns how many passed.  The order of checks,
// the cheapest first, and what each refuses:
//   1. length, IP, UDP, ESP shape   short_packet, clear_packet, non_esp
//   2. SPI                          unknown_spi, wrong_encap, sa_expired
//   3. outer addresses              wrong_address
//      (source: the peer or a group's sender; destination: ours or the group)
//   4. sequence number, read only   old_sequence, replayed
//   5. ICV                          bad_icv
//   6. replay window, marked        old_sequence, replayed
//   7. padding, next header         bad_padding, bad_next_header
//   8. inner UDP, tunnel header     bad_inner
//   9. VNI                          wrong_vni
// A dummy packet (next header 59, RFC 4303 section 2.6) ends at 7 as such.
// What passed is Ethernet | IP | UDP | Geneve or VXLAN | frame: the UDP header is
// the inner one with checksum zero, lengths and IP checksum are put right, and
// octets behind the IP packet are gone.  A wrong checksum of the outer IPv4
// header stays wrong.  Of a refused frame the outer headers are as they were, the
// payload may be decrypted.  No lock, no allocation.
size_t open(const Sad& sad, base::Encap encap, Frame* frames, size_t n) noexcept;

}  // namespace nvo3::esp

#endif
