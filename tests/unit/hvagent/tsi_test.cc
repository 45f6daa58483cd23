// SPDX-License-Identifier: Apache-2.0
#include "hvagent/tsi.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace nvo3::agent {
namespace {

constexpr const char* kMac = "52:54:00:00:00:01";

TEST(Tsi, Accepted)
{
    struct Row {
        const char* what;
        RawVmPort raw;
        const char* vn;
        std::vector<std::string> addresses;
    } const rows[] = {
        {"by name", {"tap1", 5, "blue", "", kMac, ""}, "blue", {}},
        {"by VNI", {"tap1", 5, "5001", "", kMac, ""}, "5001", {}},
        {"by libvirt's port profile", {"tap1", 5, "", "blue", kMac, ""}, "blue", {}},
        {"nvo3-vn wins over the profile", {"tap1", 5, "blue", "red", kMac, ""}, "blue", {}},
        {"no OpenFlow port yet", {"tap1", 0, "blue", "", kMac, ""}, "blue", {}},
        {"addresses, sorted and once each", {"tap1", 5, "blue", "", kMac, " 10.0.0.2,10.0.0.1 fd00::1, 10.0.0.2,"}, "blue",
         {"10.0.0.1", "10.0.0.2", "fd00::1"}},
    };
    for (const Row& row : rows) {
        auto tsi = parse_tsi(row.raw);
        ASSERT_TRUE(tsi.ok()) << row.what << ": " << tsi.error().text;
        EXPECT_EQ(tsi->port, "tap1") << row.what;
        EXPECT_EQ(tsi->ofport, row.raw.ofport) << row.what;
        EXPECT_EQ(tsi->vn, row.vn) << row.what;
        EXPECT_EQ(to_string(tsi->mac), kMac) << row.what;
        std::vector<std::string> addresses;
        for (const base::IpAddress& address : tsi->addresses) {
            addresses.push_back(address.to_string());
        }
        std::ranges::sort(addresses);
        EXPECT_EQ(addresses, row.addresses) << row.what;
        EXPECT_TRUE(std::ranges::is_sorted(tsi->addresses)) << row.what;
    }
}

TEST(Tsi, RefusedInWords)
{
    std::string seventeen;
    for (int i = 1; i <= 17; i++) {
        seventeen += "10.0.0." + std::to_string(i) + ",";
    }
    struct Row {
        const char* what;
        RawVmPort raw;
        const char* words;
    } const rows[] = {
        {"no network", {"tap1", 5, "", "", kMac, ""}, "nvo3-vn is empty"},
        {"no MAC", {"tap1", 5, "blue", "", "", ""}, "attached-mac is missing"},
        {"no MAC address", {"tap1", 5, "blue", "", "52:54", ""}, "attached-mac=52:54"},
        {"multicast MAC", {"tap1", 5, "blue", "", "01:54:00:00:00:01", ""}, "attached-mac=01:54:00:00:00:01"},
        {"zero MAC", {"tap1", 5, "blue", "", "00:00:00:00:00:00", ""}, "attached-mac=00:00:00:00:00:00"},
        {"no IP address", {"tap1", 5, "blue", "", kMac, "10.0.0.1,10.0.0"}, "nvo3-addresses: 10.0.0 is not"},
        {"prefix", {"tap1", 5, "blue", "", kMac, "10.0.0.1/24"}, "nvo3-addresses: 10.0.0.1/24"},
        {"multicast", {"tap1", 5, "blue", "", kMac, "224.0.0.1"}, "nvo3-addresses: 224.0.0.1"},
        {"any IPv4", {"tap1", 5, "blue", "", kMac, "0.0.0.0"}, "nvo3-addresses: 0.0.0.0"},
        {"any IPv6", {"tap1", 5, "blue", "", kMac, "::"}, "nvo3-addresses: ::"},
        {"too many", {"tap1", 5, "blue", "", kMac, seventeen}, "17 addresses, at most 16"},
    };
    for (const Row& row : rows) {
        auto tsi = parse_tsi(row.raw);
        ASSERT_FALSE(tsi.ok()) << row.what;
        EXPECT_NE(tsi.error().text.find("port tap1"), std::string::npos) << row.what;
        EXPECT_NE(tsi.error().text.find(row.words), std::string::npos) << row.what << ": " << tsi.error().text;
    }
}

}  // namespace
}  // namespace nvo3::agent
