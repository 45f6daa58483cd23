// SPDX-License-Identifier: Apache-2.0
//
// An IPv4 or IPv6 address as 16 octets, IPv4 as v4-mapped (::ffff:a.b.c.d), as
// OVS keeps underlay addresses.  Place: lib/base.  Threads: plain value.
#ifndef NVO3_BASE_IP_ADDRESS_H
#define NVO3_BASE_IP_ADDRESS_H

#include <netinet/in.h>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace nvo3::base {

class IpAddress {
public:
    // All zero: unspecified, "any".
    constexpr IpAddress() noexcept = default;
    // 16 octets in network order.
    explicit constexpr IpAddress(const std::array<uint8_t, 16>& octets) noexcept
        : octets_(octets) {}
    explicit IpAddress(const in6_addr& address) noexcept;
    // 4 (IPv4) or 16 octets; any other size gives the unspecified address.
    static IpAddress from_bytes(ByteView octets) noexcept;

    // "192.0.2.1" or "2001:db8::1"; no name, port, zone or prefix length.
    static Result<IpAddress> parse(std::string_view text);
    // As parse() takes it; IPv4 as dotted quad, unspecified as "::".
    std::string to_string() const;

    bool is_v4() const noexcept;
    bool is_unspecified() const noexcept { return *this == IpAddress(); }
    bool is_multicast() const noexcept;
    bool is_loopback() const noexcept;

    const std::array<uint8_t, 16>& bytes() const noexcept { return octets_; }
    // The 4 octets of an IPv4 address, all 16 otherwise.
    ByteView wire() const noexcept;
    in6_addr to_in6() const noexcept;
    size_t hash() const noexcept;

    friend constexpr bool operator==(const IpAddress&, const IpAddress&) noexcept = default;
    friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) noexcept = default;

private:
    std::array<uint8_t, 16> octets_{};
};

}  // namespace nvo3::base

template <>
struct std::hash<nvo3::base::IpAddress> {
    size_t operator()(const nvo3::base::IpAddress& address) const noexcept
    {
        return address.hash();
    }
};

#endif
