// SPDX-License-Identifier: Apache-2.0
//
// MAC addresses.
#include "base/mac_address.h"

#include <gtest/gtest.h>

namespace nvo3::base {
namespace {

TEST(MacAddress, TextAndBack)
{
    const auto mac = MacAddress::parse("52:54:00:AB:cd:0f");
    ASSERT_TRUE(mac.ok());
    EXPECT_EQ(to_string(*mac), "52:54:00:ab:cd:0f");
    EXPECT_EQ(MacAddress::from_bytes(Bytes{0x52, 0x54, 0, 0xab, 0xcd, 0x0f}), *mac);
    EXPECT_TRUE(MacAddress::from_bytes(Bytes{1, 2, 3}).is_zero());
}

TEST(MacAddress, RefusedTexts)
{
    for (const char* text : {"", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:567", "52-54-00-12-34-56",
                             "52:54:00:12:34:5g", " 52:54:00:12:34:56", "52:54:00:12:34:56:78"}) {
        EXPECT_FALSE(MacAddress::parse(text).ok()) << text;
    }
}

TEST(MacAddress, Multicast)
{
    EXPECT_TRUE(MacAddress::parse("ff:ff:ff:ff:ff:ff")->is_multicast());
    EXPECT_TRUE(MacAddress::parse("01:00:5e:00:00:01")->is_multicast());
    EXPECT_FALSE(MacAddress::parse("52:54:00:00:00:01")->is_multicast());
}

}  // namespace
}  // namespace nvo3::base
