// SPDX-License-Identifier: Apache-2.0
//
// An Ethernet address.
// Place: lib/base.  Threads: plain value.
#ifndef NVO3_BASE_MAC_ADDRESS_H
#define NVO3_BASE_MAC_ADDRESS_H

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace nvo3::base {

struct MacAddress {
    std::array<uint8_t, 6> octets{};

    // "52:54:00:12:34:56", hexadecimal digits of either case.
    static Result<MacAddress> parse(std::string_view text);
    // 6 octets; any other size gives all zero.
    static MacAddress from_bytes(ByteView octets) noexcept;

    bool is_multicast() const noexcept { return octets[0] & 1; }
    bool is_zero() const noexcept { return *this == MacAddress(); }
    friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) noexcept = default;
};

// As parse() takes it, in lower case.
std::string to_string(const MacAddress& mac);

}  // namespace nvo3::base

#endif
