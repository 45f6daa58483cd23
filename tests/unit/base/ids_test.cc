// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of base/ids.h.
#include "base/ids.h"

#include <gtest/gtest.h>

#include <unordered_set>

namespace nvo3::base {
namespace {

struct VniRow {
    const char* text;
    bool ok;
    uint32_t value;
};

TEST(Ids, ParsesVni)
{
    const VniRow rows[] = {
        {"0", true, 0},
        {"5001", true, 5001},
        {"16777215", true, 16777215},
        {"0xffffff", true, 16777215},
        {"16777216", false, 0},
        {"", false, 0},
        {"0x", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1,2", false, 0},
        {"flow", false, 0},
        {"99999999999999999999999", false, 0},
    };
    for (const VniRow& row : rows) {
        Result<Vni> vni = Vni::parse(row.text);
        ASSERT_EQ(vni.ok(), row.ok) << row.text;
        if (row.ok) {
            EXPECT_EQ(vni->value, row.value) << row.text;
        } else {
            EXPECT_NE(vni.error().text.find(row.text), std::string::npos);
        }
    }
}

TEST(Ids, SpiBounds)
{
    EXPECT_FALSE(Spi(0).valid());
    EXPECT_FALSE(Spi(255).valid());
    EXPECT_TRUE(Spi(256).valid());
    EXPECT_EQ(to_string(Spi(0x1a2b)), "00001a2b");
}

TEST(Ids, EncapWords)
{
    for (Encap encap : {Encap::geneve, Encap::vxlan}) {
        Result<Encap> parsed = parse_encap(to_string(encap));
        ASSERT_TRUE(parsed.ok());
        EXPECT_EQ(*parsed, encap);
        EXPECT_TRUE(is_encap(static_cast<uint8_t>(encap)));
    }
    EXPECT_FALSE(parse_encap("gre").ok());
    EXPECT_FALSE(is_encap(0));
    EXPECT_FALSE(is_encap(3));
}

TEST(Ids, AreHashKeys)
{
    std::unordered_set<Vni> vnis{Vni(1), Vni(2), Vni(1)};
    std::unordered_set<Spi> spis{Spi(256), Spi(256)};
    EXPECT_EQ(vnis.size(), 2u);
    EXPECT_EQ(spis.size(), 1u);
}

}  // namespace
}  // namespace nvo3::base
