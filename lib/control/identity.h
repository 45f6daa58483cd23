// SPDX-License-Identifier: Apache-2.0
//
// Who a peer is: name and role, taken from its verified certificate only.
// URI SAN spiffe://<trust domain>/nvo3/<role>/<name>, strictly parsed.  A
// certificate without such a URI (ovs-pki) keeps its CN and DNS names, for a
// configuration that names the peer.
// Place: lib/control.  Threads: plain values and pure functions.
#ifndef NVO3_CONTROL_IDENTITY_H
#define NVO3_CONTROL_IDENTITY_H

#include <openssl/x509.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "base/result.h"

namespace nvo3::control {

// Numbers as in control.proto.
enum class Role : uint8_t { nve = 1, nva = 2, hypervisor = 3 };

const char* to_string(Role role) noexcept;
base::Result<Role> parse_role(std::string_view text);

struct SpiffeId {
    std::string trust_domain;  // [a-z0-9._-]{1,255}
    Role role = Role::nve;
    std::string name;  // [A-Za-z0-9._-]{1,128}, not "." or ".."
};

// Exactly spiffe://<trust domain>/nvo3/<role>/<name>: nothing escaped, no port,
// query or fragment.
base::Result<SpiffeId> parse_spiffe_id(std::string_view uri);

using Fingerprint = std::array<uint8_t, 32>;  // SHA-256 of the DER

struct PeerIdentity {
    enum class Kind : uint8_t {
        spiffe,  // name and role are from the URI
        plain,   // no SPIFFE URI: name is the CN, role is nve; take it only
                 // where configuration names it (matches_name()) or pins it
        pinned,  // trusted only as that very certificate (options:remote_cert),
                 // not through the CA: its names prove nothing, compare the
                 // fingerprint
        psk,     // name is "psk:<address>"
    };

    Kind kind = Kind::plain;
    std::string name;
    Role role = Role::nve;
    std::string trust_domain;            // empty unless kind is spiffe
    std::vector<std::string> dns_names;  // DNS SANs
    std::chrono::system_clock::time_point not_after =
        std::chrono::system_clock::time_point::max();
    Fingerprint fingerprint{};

    bool spiffe() const noexcept { return kind == Kind::spiffe; }
    // Whether 'remote_name' means this peer: the SPIFFE name; for a plain
    // certificate CN or a DNS name.  Never for pinned and psk.
    bool matches_name(std::string_view remote_name) const;
};

// What a host trusts ends by itself, of each kind the first; empty: there is none.
struct TrustEnds {
    std::optional<std::chrono::system_clock::time_point> ca;    // nobody of that CA is let in from then on
    std::optional<std::chrono::system_clock::time_point> crl;   // nextUpdate; as if it revoked all of its CA from then on
};

// Reads names, role and end of 'certificate', which must have been verified.
// Fails (EPERM) on a malformed or second SPIFFE URI, another URI beside it, an
// unknown role, or no usable name.
base::Result<PeerIdentity> identity_of(const X509* certificate);

// The identity of an end of a PSK connection.
PeerIdentity psk_identity(const base::IpAddress& address);

}  // namespace nvo3::control

#endif
