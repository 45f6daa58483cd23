// SPDX-License-Identifier: Apache-2.0
#include "policy/prefix.h"

#include <gtest/gtest.h>

namespace nvo3::policy {
namespace {

TEST(Prefix, Parse)
{
    const struct {
        const char *what, *text, *printed;      // null: refused
    } rows[] = {
        {"IPv4", "10.0.0.0/24", "10.0.0.0/24"},
        {"IPv6", "fd00::/64", "fd00::/64"},
        {"an address alone", "10.0.0.7", "10.0.0.7/32"},
        {"an IPv6 address alone", "fd00::7", "fd00::7/128"},
        {"all", "0.0.0.0/0", "0.0.0.0/0"},
        {"all IPv6", "::/0", "::/0"},
        {"bits beyond", "10.0.0.1/24", nullptr},
        {"IPv6 bits beyond", "fd00::1/64", nullptr},
        {"too long", "10.0.0.0/33", nullptr},
        {"IPv6 too long", "fd00::/129", nullptr},
        {"hexadecimal length", "10.0.0.0/0x8", nullptr},
        {"negative", "10.0.0.0/-1", nullptr},
        {"no length", "10.0.0.0/", nullptr},
        {"netmask", "10.0.0.0/255.0.0.0", nullptr},
        {"nothing", "", nullptr},
    };
    for (const auto& row : rows) {
        auto prefix = Prefix::parse(row.text);
        ASSERT_EQ(prefix.ok(), row.printed != nullptr) << row.what;
        if (prefix) {
            EXPECT_EQ(to_string(*prefix), row.printed) << row.what;
        } else {
            EXPECT_FALSE(prefix.error().text.empty()) << row.what;
        }
    }
}

TEST(Prefix, Contains)
{
    const struct {
        const char *outer, *inner;
        bool contains, overlaps;
    } rows[] = {
        {"10.0.0.0/24", "10.0.0.255/32", true, true},   {"10.0.0.0/24", "10.0.1.0/32", false, false},
        {"10.0.0.0/24", "10.0.0.128/25", true, true},   {"10.0.0.128/25", "10.0.0.0/24", false, true},
        {"0.0.0.0/0", "10.0.0.0/8", true, true},        {"::/0", "10.0.0.0/8", false, false},
        {"0.0.0.0/0", "fd00::/8", false, false},        {"fd00::/63", "fd00:0:0:1::/64", true, true},
        {"fd00::/64", "fd00:0:0:1::/64", false, false},
    };
    for (const auto& row : rows) {
        const Prefix outer = *Prefix::parse(row.outer), inner = *Prefix::parse(row.inner);
        EXPECT_EQ(outer.contains(inner), row.contains) << row.outer << " " << row.inner;
        EXPECT_EQ(outer.overlaps(inner), row.overlaps) << row.outer << " " << row.inner;
        EXPECT_EQ(outer.contains(inner.address), row.contains || (row.overlaps && outer.address == inner.address)) << row.outer << " " << row.inner;
    }
}

}  // namespace
}  // namespace nvo3::policy
