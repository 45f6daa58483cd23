// SPDX-License-Identifier: Apache-2.0
//
// Strong types for the numbers that name things on the wire.
// Place: lib/base.  Threads: plain values.
#ifndef NVO3_BASE_IDS_H
#define NVO3_BASE_IDS_H

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nvo3::base {

// Virtual network identifier, 24 bits (RFC 8926, RFC 7348).
struct Vni {
    static constexpr uint32_t kMax = 0xffffff;

    constexpr Vni() noexcept = default;
    explicit constexpr Vni(uint32_t number) noexcept : value(number) {}
    // Decimal, or hexadecimal after 0x, 0 to 16777215.
    static Result<Vni> parse(std::string_view text);

    constexpr bool valid() const noexcept { return value <= kMax; }
    friend constexpr auto operator<=>(const Vni&, const Vni&) noexcept = default;

    uint32_t value = 0;
};

// Security parameters index (RFC 4303 section 2.1), host byte order.
struct Spi {
    // 0 is the non-ESP marker (RFC 3948), 1..255 are reserved.
    static constexpr uint32_t kMin = 256;

    constexpr Spi() noexcept = default;
    explicit constexpr Spi(uint32_t number) noexcept : value(number) {}

    // From here on an NVA gives them out, to senders of groups; receivers of
    // pairs choose below.
    static constexpr uint32_t kFirstOfGroups = 0x80000000;

    constexpr bool valid() const noexcept { return value >= kMin; }
    constexpr bool of_group() const noexcept { return value >= kFirstOfGroups; }
    friend constexpr auto operator<=>(const Spi&, const Spi&) noexcept = default;

    uint32_t value = 0;
};

// Eight hexadecimal digits, as ip-xfrm(8) prints an SPI.
std::string to_string(Spi spi);
std::string to_string(Vni vni);

// The tunnel inside ESP; the numbers are those of the SA socket and nvo3_ext.h.
enum class Encap : uint8_t { geneve = 1, vxlan = 2 };

const char* to_string(Encap encap) noexcept;
Result<Encap> parse_encap(std::string_view text);
constexpr bool
is_encap(uint8_t number) noexcept
{
    return number == 1 || number == 2;
}

// A number in decimal or, after 0x, hexadecimal; nothing before or behind it.
// The error's text is only what is wrong, the caller names the option.
Result<uint64_t> parse_number(std::string_view text, uint64_t max);

}  // namespace nvo3::base

template <>
struct std::hash<nvo3::base::Vni> {
    size_t operator()(nvo3::base::Vni vni) const noexcept { return vni.value; }
};

template <>
struct std::hash<nvo3::base::Spi> {
    size_t operator()(nvo3::base::Spi spi) const noexcept { return spi.value; }
};

#endif
