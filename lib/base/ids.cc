// SPDX-License-Identifier: Apache-2.0
//
// See ids.h.
#include "base/ids.h"

#include <charconv>
#include <cstdio>

namespace nvo3::base {

Result<uint64_t>
parse_number(std::string_view text, uint64_t max)
{
    const bool hex = text.starts_with("0x") || text.starts_with("0X");
    const std::string_view digits = hex ? text.substr(2) : text;
    uint64_t value = 0;
    const char* end = digits.data() + digits.size();
    auto [stop, code] = std::from_chars(digits.data(), end, value, hex ? 16 : 10);
    if (digits.empty() || code != std::errc() || stop != end || value > max) {
        return Error{EINVAL, "'" + std::string(text) + "' is not a number from 0 to "
                                 + std::to_string(max)};
    }
    return value;
}

Result<Vni>
Vni::parse(std::string_view text)
{
    Result<uint64_t> number = parse_number(text, kMax);
    if (!number) {
        return number.error();
    }
    return Vni(static_cast<uint32_t>(*number));
}

std::string
to_string(Spi spi)
{
    char text[9];
    std::snprintf(text, sizeof text, "%08x", spi.value);
    return text;
}

std::string
to_string(Vni vni)
{
    return std::to_string(vni.value);
}

const char*
to_string(Encap encap) noexcept
{
    switch (encap) {
    case Encap::geneve: return "geneve";
    case Encap::vxlan: return "vxlan";
    }
    return "?";
}

Result<Encap>
parse_encap(std::string_view text)
{
    if (text == "geneve") {
        return Encap::geneve;
    }
    if (text == "vxlan") {
        return Encap::vxlan;
    }
    return Error{EINVAL, "'" + std::string(text) + "' is neither geneve nor vxlan"};
}

}  // namespace nvo3::base
