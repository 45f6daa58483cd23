// SPDX-License-Identifier: Apache-2.0
//
// The traffic key of an SA from the TLS session of the two NVEs: RFC 8446
// section 7.5 exporter, every parameter of the SA in the context.  Two SAs
// that differ in anything have unrelated keys, and no key crosses a wire.
// Place: lib/control.  Threads: pure functions.
#ifndef NVO3_CONTROL_KEYING_H
#define NVO3_CONTROL_KEYING_H

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/secret.h"
#include "control/identity.h"

namespace nvo3::control {

class Session;

inline constexpr std::string_view kTrafficKeyLabel = "EXPERIMENTAL-nvo3-esp-sa";
constexpr size_t kOfferNonceSize = 16;

// The SA as both ends see it: sender and receiver are those of the traffic.
struct TrafficKeyContext {
    std::string sender_name;
    Role sender_role = Role::nve;
    std::string receiver_name;
    Role receiver_role = Role::nve;
    base::Vni vni;
    base::Encap encap = base::Encap::geneve;
    base::Spi spi;
    uint8_t cipher = 0;  // number of esp::Cipher
    bool esn = true;
    uint32_t generation = 0;
    std::array<uint8_t, kOfferNonceSize> nonce{};
};

// The canonical octets: version 1, then the fields in the order above; names
// with a u16 size before them, so that no two contexts serialise alike.
base::Bytes serialize(const TrafficKeyContext& context);

using Exporter = std::function<base::Result<base::Secret>(std::string_view label,
                                                          base::ByteView context, size_t size)>;
// The exporter of an open session, which must outlive it.
Exporter exporter_of(const Session& session);

// 'size' octets, key | salt.  EINVAL for a context that no SA can have (a name
// missing or too long, number out of range) or a size of 0.
base::Result<base::Secret> derive_traffic_key(const Exporter& exporter,
                                              const TrafficKeyContext& context, size_t size);

}  // namespace nvo3::control

#endif
