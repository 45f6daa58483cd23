// SPDX-License-Identifier: Apache-2.0
//
// See mac_address.h.
#include "base/mac_address.h"

#include <algorithm>
#include <cerrno>

namespace nvo3::base {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

int
digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : -1;
}

}  // namespace

Result<MacAddress>
MacAddress::parse(std::string_view text)
{
    constexpr size_t kSize = 17;
    MacAddress mac;
    bool good = text.size() == kSize;
    for (size_t i = 0; good && i < mac.octets.size(); i++) {
        const int high = digit(text[3 * i]);
        const int low = digit(text[3 * i + 1]);
        good = high >= 0 && low >= 0 && (i + 1 == mac.octets.size() || text[3 * i + 2] == ':');
        if (good) {
            mac.octets[i] = static_cast<uint8_t>(high << 4 | low);
        }
    }
    if (!good) {
        return Error{EINVAL, "is not a MAC address like 52:54:00:12:34:56"};
    }
    return mac;
}

MacAddress
MacAddress::from_bytes(ByteView octets) noexcept
{
    MacAddress mac;
    if (octets.size() == mac.octets.size()) {
        std::ranges::copy(octets, mac.octets.begin());
    }
    return mac;
}

std::string
to_string(const MacAddress& mac)
{
    std::string text;
    for (uint8_t octet : mac.octets) {
        text += kDigits[octet >> 4];
        text += kDigits[octet & 15];
        text += ':';
    }
    text.pop_back();
    return text;
}

}  // namespace nvo3::base
