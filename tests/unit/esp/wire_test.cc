// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of esp/wire.h, esp/cipher.h and esp/drop_reason.h.
#include "esp/wire.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "esp/drop_reason.h"

namespace nvo3::esp {
namespace {

using base::Encap;

TEST(Wire, OverheadAndMtu)
{
    struct Row {
        const char* name;
        size_t underlay;
        bool ipv6;
        size_t options;
        size_t overhead;
        size_t mtu;
    };
    // 20 IP, 8 UDP, 8 ESP, 8 IV, 8 UDP, 8 Geneve, 14 Ethernet, 2 trailer, 16 ICV.
    const Row rows[] = {
        {"IPv4", 1500, false, 0, 92, 1408},
        {"IPv6", 1500, true, 0, 112, 1388},
        {"IPv4, options of 8 octets", 1500, false, 8, 100, 1400},
        {"jumbo", 9000, false, 0, 92, 8908},
        {"one octet short of the next word", 1503, false, 0, 92, 1408},
        {"the next word", 1504, false, 0, 92, 1412},
        {"no room for a packet", 92, false, 0, 92, 0},
        {"no room for ESP", 50, false, 0, 92, 0},
        {"unknown", 0, false, 0, 92, 0},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.name);
        for (Encap encap : {Encap::geneve, Encap::vxlan}) {
            EXPECT_EQ(overhead(encap, Cipher::aes128gcm, row.ipv6, row.options), row.overhead);
            EXPECT_EQ(effective_mtu(row.underlay, encap, Cipher::aes128gcm, row.ipv6,
                                    row.options),
                      row.mtu);
        }
    }
}

TEST(Wire, NetworkOrder)
{
    uint8_t octets[9] = {};
    store_be<uint64_t>(octets + 1, 0x0102030405060708);
    EXPECT_EQ(octets[1], 1);
    EXPECT_EQ(octets[8], 8);
    EXPECT_EQ(load_be<uint16_t>(octets + 1), 0x0102);
    EXPECT_EQ(load_be<uint32_t>(octets + 2), 0x02030405u);
    EXPECT_EQ(load_be<uint64_t>(octets + 1), 0x0102030405060708u);
    EXPECT_EQ(load_vni(octets), 0x040506u);
}

TEST(Cipher, NamesAndLevels)
{
    for (Cipher cipher : kCiphers) {
        auto parsed = cipher_from_name(to_string(cipher));
        ASSERT_TRUE(parsed);
        EXPECT_EQ(*parsed, cipher);
    }
    EXPECT_EQ(*cipher_from_level("integrity"), Cipher::aes128gmac);
    EXPECT_EQ(*cipher_from_level("confidential"), Cipher::aes128gcm);
    EXPECT_EQ(*cipher_from_level("high"), Cipher::aes256gcm);
    for (const char* wrong : {"", "AES128GCM", "aes128gcm ", "none", "des"}) {
        auto name = cipher_from_name(wrong);
        ASSERT_FALSE(name) << wrong;
        EXPECT_NE(name.error().text.find("chacha20poly1305"), std::string::npos);
        auto level = cipher_from_level(wrong);
        ASSERT_FALSE(level) << wrong;
        EXPECT_NE(level.error().text.find("confidential"), std::string::npos);
    }
    EXPECT_STREQ(to_string(Cipher{77}), "unknown");
}

TEST(DropReason, NamesAreDistinctAndMatch)
{
    std::set<std::string> names;
    for (size_t i = 0; i < kDropReasonCount; i++) {
        const auto reason = static_cast<DropReason>(i);
        names.insert(counter_name(reason));
        EXPECT_EQ(std::string("nvo3_drop_") + to_string(reason), counter_name(reason));
        EXPECT_NE(words(reason)[0], '\0');
    }
    for (size_t i = 0; i < kEventCount; i++) {
        const auto event = static_cast<Event>(i);
        names.insert(counter_name(event));
        EXPECT_EQ(std::string("nvo3_") + to_string(event), counter_name(event));
    }
    EXPECT_EQ(names.size(), kDropReasonCount + kEventCount);
    EXPECT_STREQ(counter_name(DropReason::bad_icv), "nvo3_drop_bad_icv");
    EXPECT_STREQ(counter_name(DropReason::wrong_encap), "nvo3_drop_wrong_encap");
    EXPECT_STREQ(counter_name(Event::opened_bytes), "nvo3_opened_bytes");
    EXPECT_STREQ(to_string(static_cast<DropReason>(200)), "unknown");
}

}  // namespace
}  // namespace nvo3::esp
