// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of base/ip_address.h.
#include "base/ip_address.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <unordered_set>
#include <vector>

namespace nvo3::base {
namespace {

IpAddress
ip(const char* text)
{
    Result<IpAddress> address = IpAddress::parse(text);
    EXPECT_TRUE(address.ok()) << text;
    return address.ok() ? *address : IpAddress();
}

TEST(IpAddress, TextBothWays)
{
    for (const char* text : {"192.0.2.1", "0.0.0.0", "255.255.255.255",
                             "2001:db8::1", "::", "fe80::1"}) {
        EXPECT_EQ(ip(text).to_string(), text);
    }
    EXPECT_EQ(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
    EXPECT_EQ(ip("::ffff:192.0.2.1").to_string(), "192.0.2.1");
}

TEST(IpAddress, RefusesWhatIsNoAddress)
{
    for (std::string_view text : {std::string_view(""), std::string_view("flow"),
                                  std::string_view("192.0.2"), std::string_view("192.0.2.1/24"),
                                  std::string_view("fe80::1%eth0"), std::string_view("::1 "),
                                  std::string_view("192.0.2.1\0x", 11)}) {
        EXPECT_FALSE(IpAddress::parse(text).ok()) << text;
    }
}

TEST(IpAddress, Octets)
{
    const IpAddress v4 = ip("192.0.2.1");
    EXPECT_TRUE(v4.is_v4());
    EXPECT_EQ(to_hex(v4.bytes()), "00000000000000000000ffffc0000201");
    EXPECT_EQ(to_hex(v4.wire()), "c0000201");
    EXPECT_EQ(IpAddress::from_bytes(v4.wire()), v4);
    const IpAddress v6 = ip("2001:db8::1");
    EXPECT_FALSE(v6.is_v4());
    EXPECT_EQ(v6.wire().size(), 16u);
    EXPECT_EQ(IpAddress::from_bytes(v6.wire()), v6);
    EXPECT_EQ(IpAddress(v6.to_in6()), v6);
    EXPECT_TRUE(IpAddress::from_bytes(Bytes{1, 2, 3}).is_unspecified());
}

TEST(IpAddress, Kinds)
{
    EXPECT_TRUE(IpAddress().is_unspecified());
    EXPECT_FALSE(ip("0.0.0.0").is_unspecified());   // v4-mapped: an address given
    EXPECT_TRUE(ip("224.0.0.1").is_multicast());
    EXPECT_TRUE(ip("239.255.255.255").is_multicast());
    EXPECT_TRUE(ip("255.255.255.255").is_multicast());
    EXPECT_TRUE(ip("ff02::1").is_multicast());
    EXPECT_FALSE(ip("192.0.2.1").is_multicast());
    EXPECT_FALSE(ip("fd31::1").is_multicast());
    EXPECT_TRUE(ip("127.0.0.1").is_loopback());
    EXPECT_TRUE(ip("::1").is_loopback());
    EXPECT_FALSE(ip("::").is_loopback());
}

TEST(IpAddress, OrderAndHash)
{
    EXPECT_LT(ip("192.0.2.1"), ip("192.0.2.2"));
    std::unordered_set<IpAddress> set{ip("::1"), ip("::1"), ip("1.1.1.1")};
    EXPECT_EQ(set.size(), 2u);
}

TEST(IpAddress, NeighboursHashApart)
{
    // Into 1024 buckets by the low bits, as hash tables do.
    for (const char* first : {"10.0.0.0", "2001:db8::", "2001:db8:0:1::"}) {
        std::vector<int> buckets(1024);
        for (uint16_t i = 0; i < 1024; i++) {
            std::array<uint8_t, 16> octets = ip(first).bytes();
            octets[14] = static_cast<uint8_t>(i >> 8);
            octets[15] = static_cast<uint8_t>(i);
            buckets[IpAddress(octets).hash() & 1023]++;
        }
        EXPECT_LT(*std::max_element(buckets.begin(), buckets.end()), 12) << first;
    }
}

}  // namespace
}  // namespace nvo3::base
