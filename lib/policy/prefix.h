// SPDX-License-Identifier: Apache-2.0
//
// An IPv4 or IPv6 prefix.
// Place: lib/policy.  Threads: plain value.
#ifndef NVO3_POLICY_PREFIX_H
#define NVO3_POLICY_PREFIX_H

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/result.h"

namespace nvo3::policy {

// Bits beyond the length are zero.
struct Prefix {
    base::IpAddress address;
    uint8_t length = 0;         // of the address as written: 0 to 32 or 0 to 128

    static Prefix of(const base::IpAddress& address, uint8_t length);
    // "10.0.0.0/24", "fd00::/64", or an address alone.  Bits beyond the length are an
    // error, whose text is only what is wrong.
    static base::Result<Prefix> parse(std::string_view text);

    bool is_v4() const noexcept { return address.is_v4(); }
    bool contains(const base::IpAddress& other) const noexcept;
    bool contains(const Prefix& other) const noexcept;
    bool overlaps(const Prefix& other) const noexcept { return contains(other) || other.contains(*this); }
    friend auto operator<=>(const Prefix&, const Prefix&) noexcept = default;
};

// As parse() takes it, always with the length.
std::string to_string(const Prefix& prefix);

// An address and the prefix that it is in: "10.0.0.254/24".
struct Interface {
    base::IpAddress address;
    Prefix prefix;
    friend bool operator==(const Interface&, const Interface&) noexcept = default;
};
base::Result<Interface> parse_interface(std::string_view text);
std::string to_string(const Interface& interface);

}  // namespace nvo3::policy
#endif
