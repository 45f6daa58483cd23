// SPDX-License-Identifier: Apache-2.0
//
// An SA as it is configured: a value that the agent sends over the SA socket.
// What a packet needs of it is SaRuntime.
// Place: lib/esp.  Threads: plain value.
#ifndef NVO3_ESP_SA_H
#define NVO3_ESP_SA_H

#include <cstdint>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "base/secret.h"
#include "esp/cipher.h"

namespace nvo3::esp {

// The numbers are those of the SA socket.
enum class SaDirection : uint8_t { inbound = 1, outbound = 2 };

// Packets are counted as sequence numbers used (outbound) or packets accepted
// (inbound), bytes as octets that the cipher has gone over.  0 = no limit of
// the configuration's own.  A soft limit raises an event, once; from a hard
// limit on the SA refuses (outbound bytes: after the batch that reached it).
struct SaLimits {
    uint64_t soft_packets = 0;
    uint64_t hard_packets = 0;
    uint64_t soft_bytes = 0;
    uint64_t hard_bytes = 0;
    uint32_t hard_seconds = 0;      // kept by the owner of the SA, not per packet
};

// What no configuration can exceed.  The IV is the sequence number, so a nonce
// never repeats; what remains for AES-GCM is the distinguishing advantage, about
// s^2/2^129 after s blocks of 16 octets under a key (draft-irtf-cfrg-aead-limits):
// 2^46 octets, two hours at 80 Gbit/s, keep it below 2^-44.  ChaCha20-Poly1305
// has no such bound and is held to the same.  One packet is far below the 2^36
// octets that GCM allows under one nonce.
inline constexpr uint64_t kHardBytesCeiling = uint64_t{1} << 46;

inline constexpr uint32_t kReplayWindowMin = 64;
inline constexpr uint32_t kReplayWindowMax = 8192;
inline constexpr uint32_t kReplayWindowDefault = 1024;

constexpr bool
is_replay_window(uint32_t size) noexcept
{
    return size >= kReplayWindowMin && size <= kReplayWindowMax
           && (size & (size - 1)) == 0;
}

struct SaConfig {
    SaDirection direction = SaDirection::inbound;
    base::Spi spi;
    base::IpAddress remote;             // the peer's underlay address
    base::IpAddress local;              // ours; unspecified = any
    // Of an SA of a group: its underlay multicast address, which inbound packets
    // are sent to ('remote' is then the sender); outbound it is 'remote' as well.
    // Unspecified: an SA of a pair.  SPIs tell the two apart: Spi::of_group().
    base::IpAddress group;
    base::Encap encap = base::Encap::geneve;
    base::Vni vni;
    Cipher cipher = Cipher::aes128gcm;
    bool esn = true;                    // not in a group (RFC 9838)
    uint32_t replay_window = kReplayWindowDefault;      // inbound
    SaLimits limits;
    uint32_t generation = 0;            // of the keys; for people
    base::Secret key;                   // key | salt

    bool of_group() const noexcept { return !group.is_unspecified(); }
};

// "inbound", "outbound".
const char* to_string(SaDirection direction) noexcept;

// Whether an SA can be made of it; the error names the field.
base::Status validate(const SaConfig& config);

}  // namespace nvo3::esp

#endif
