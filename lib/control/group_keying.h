// SPDX-License-Identifier: Apache-2.0
//
// Keys of groups: from the NVAs' master secret the secret of a group's epoch,
// from that the traffic key of each sender, by HKDF (RFC 5869) with SHA-256.
// The master secret is in a file of each NVA, never in the store; members only
// ever see the secret of an epoch.
// Place: lib/control; the first step in nva, the second in hvagent.  Threads:
// pure functions.
#ifndef NVO3_CONTROL_GROUP_KEYING_H
#define NVO3_CONTROL_GROUP_KEYING_H

#include <array>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "base/secret.h"

namespace nvo3::control {

constexpr size_t kGroupSecretSize = 32;
constexpr size_t kGroupNonceSize = 16;
constexpr size_t kSenderIdSize = 16;

// What makes one epoch of a group differ from all others: the nonce is drawn at
// its start, so that a store restored from a backup repeats nothing.
struct GroupEpoch {
    base::Vni vni;
    base::IpAddress group;      // underlay multicast address
    uint32_t epoch = 0;
    std::array<uint8_t, kGroupNonceSize> nonce{};
};

// 'master' has at least 32 octets; EINVAL otherwise.
base::Result<base::Secret> derive_group_secret(base::ByteView master, const GroupEpoch&);

// What makes one sender's SA differ from all others of the epoch.
struct GroupSenderContext {
    base::Vni vni;
    base::IpAddress group;
    uint32_t epoch = 0;
    std::string sender_name;
    base::IpAddress sender_address;
    std::array<uint8_t, kSenderIdSize> sender_id{};
    base::Spi spi;
    base::Encap encap = base::Encap::geneve;
    uint8_t cipher = 0;         // number of esp::Cipher
};

// 'size' octets, key | salt.  EINVAL for a secret of another size than
// kGroupSecretSize, a name missing or too long, an SPI that is of no group.
base::Result<base::Secret> derive_sender_key(base::ByteView secret, const GroupSenderContext&, size_t size);

// Reads a master secret: at least 64 hexadecimal digits, in a file that only its
// owner may read.  The error names the file and the fix.
base::Result<base::Secret> read_master_secret(const std::string& file);

}  // namespace nvo3::control

#endif
