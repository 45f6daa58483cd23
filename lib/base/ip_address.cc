// SPDX-License-Identifier: Apache-2.0
//
// See ip_address.h.
#include "base/ip_address.h"

#include <arpa/inet.h>
#include <string.h>

#include <algorithm>

namespace nvo3::base {
namespace {

constexpr std::array<uint8_t, 12> kV4Prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

IpAddress::IpAddress(const in6_addr& address) noexcept
{
    memcpy(octets_.data(), &address, octets_.size());
}

IpAddress
IpAddress::from_bytes(ByteView octets) noexcept
{
    IpAddress address;
    if (octets.size() == 4) {
        std::copy(kV4Prefix.begin(), kV4Prefix.end(), address.octets_.begin());
        std::copy(octets.begin(), octets.end(), address.octets_.begin() + 12);
    } else if (octets.size() == 16) {
        std::copy(octets.begin(), octets.end(), address.octets_.begin());
    }
    return address;
}

Result<IpAddress>
IpAddress::parse(std::string_view text)
{
    const std::string copy(text);       // inet_pton() wants a terminated string
    std::array<uint8_t, 16> octets;
    // A zero octet inside would hide the rest from inet_pton().
    if (copy.find('\0') == std::string::npos) {
        if (inet_pton(AF_INET, copy.c_str(), octets.data()) == 1) {
            return from_bytes(ByteView(octets).first(4));
        }
        if (inet_pton(AF_INET6, copy.c_str(), octets.data()) == 1) {
            return IpAddress(octets);
        }
    }
    return Error{EINVAL, "'" + copy + "' is not an IPv4 or IPv6 address"};
}

std::string
IpAddress::to_string() const
{
    char text[INET6_ADDRSTRLEN];
    inet_ntop(is_v4() ? AF_INET : AF_INET6, wire().data(), text, sizeof text);
    return text;
}

bool
IpAddress::is_v4() const noexcept
{
    return std::equal(kV4Prefix.begin(), kV4Prefix.end(), octets_.begin());
}

bool
IpAddress::is_multicast() const noexcept
{
    // Limited broadcast reaches several hosts just as well.
    return is_v4() ? (octets_[12] & 0xf0) == 0xe0
                     || std::all_of(octets_.begin() + 12, octets_.end(),
                                    [](uint8_t octet) { return octet == 0xff; })
                   : octets_[0] == 0xff;
}

bool
IpAddress::is_loopback() const noexcept
{
    if (is_v4()) {
        return octets_[12] == 127;
    }
    return octets_[15] == 1
           && std::all_of(octets_.begin(), octets_.end() - 1,
                          [](uint8_t octet) { return octet == 0; });
}

ByteView
IpAddress::wire() const noexcept
{
    return ByteView(octets_).last(is_v4() ? 4 : 16);
}

in6_addr
IpAddress::to_in6() const noexcept
{
    in6_addr address;
    memcpy(&address, octets_.data(), octets_.size());
    return address;
}

size_t
IpAddress::hash() const noexcept
{
    uint64_t high, low;
    memcpy(&high, octets_.data(), 8);
    memcpy(&low, octets_.data() + 8, 8);
    // Neighbours differ in the last octets of either half: every bit of the input
    // must reach the low bits of the result (the finalizer of MurmurHash3).
    uint64_t mixed = high * 0x9e3779b97f4a7c15 ^ low;
    mixed = (mixed ^ mixed >> 33) * 0xff51afd7ed558ccd;
    mixed = (mixed ^ mixed >> 33) * 0xc4ceb9fe1a85ec53;
    return static_cast<size_t>(mixed ^ mixed >> 33);
}

}  // namespace nvo3::base
