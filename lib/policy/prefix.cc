// SPDX-License-Identifier: Apache-2.0
//
// See prefix.h.
#include "policy/prefix.h"

namespace nvo3::policy {
namespace {

using base::IpAddress;

// Where the bits of an address begin in its 128 (see ip_address.h).
int first_bit(bool v4)
{
    return v4 ? 96 : 0;
}

IpAddress cut(const IpAddress& address, uint8_t length)
{
    std::array<uint8_t, 16> octets = address.bytes();
    for (int bit = first_bit(address.is_v4()) + length; bit < 128; bit++) {
        octets[bit / 8] &= static_cast<uint8_t>(~(0x80 >> bit % 8));
    }
    return IpAddress(octets);
}

}  // namespace

Prefix Prefix::of(const IpAddress& address, uint8_t length)
{
    return {cut(address, length), length};
}

base::Result<Interface> parse_interface(std::string_view text)
{
    const size_t slash = text.find('/');
    base::Result<IpAddress> address = IpAddress::parse(text.substr(0, slash));
    if (!address) {
        return address.error();
    }
    const uint8_t whole = address->is_v4() ? 32 : 128;
    uint8_t length = whole;
    if (slash != std::string_view::npos) {
        const std::string_view digits = text.substr(slash + 1);
        base::Result<uint64_t> number = base::Error{};
        if (!digits.starts_with("0x")) {
            number = base::parse_number(digits, whole);
        }
        if (!number) {
            return base::Error{EINVAL, "the length of a prefix is 0 to " + std::to_string(whole)};
        }
        length = static_cast<uint8_t>(*number);
    }
    return Interface{*address, Prefix::of(*address, length)};
}

base::Result<Prefix> Prefix::parse(std::string_view text)
{
    base::Result<Interface> parsed = parse_interface(text);
    if (!parsed) {
        return parsed.error();
    }
    if (parsed->address != parsed->prefix.address) {
        return base::Error{EINVAL, "not a prefix: it has bits beyond its length; write " + policy::to_string(parsed->prefix)};
    }
    return parsed->prefix;
}

bool Prefix::contains(const IpAddress& other) const noexcept
{
    return other.is_v4() == is_v4() && cut(other, length) == address;
}

bool Prefix::contains(const Prefix& other) const noexcept
{
    return other.length >= length && contains(other.address);
}

std::string to_string(const Prefix& prefix)
{
    return prefix.address.to_string() + "/" + std::to_string(prefix.length);
}

std::string to_string(const Interface& interface)
{
    return interface.address.to_string() + "/" + std::to_string(interface.prefix.length);
}

}  // namespace nvo3::policy
