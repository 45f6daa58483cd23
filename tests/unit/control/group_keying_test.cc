// SPDX-License-Identifier: Apache-2.0
//
// Keys of groups: group_keying.h.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <numeric>
#include <set>

#include "control/group_keying.h"
#include "tests/support/test_pki.h"

namespace nvo3::tests {
namespace {

using namespace control;

base::Bytes
counting(uint8_t first, size_t size)
{
    base::Bytes result(size);
    std::iota(result.begin(), result.end(), first);
    return result;
}

GroupEpoch
epoch()
{
    GroupEpoch result;
    result.vni = base::Vni(5001);
    result.group = *base::IpAddress::parse("239.1.1.1");
    result.epoch = 7;
    std::iota(result.nonce.begin(), result.nonce.end(), uint8_t{0xa0});
    return result;
}

GroupSenderContext
sender()
{
    GroupSenderContext result;
    result.vni = base::Vni(5001);
    result.group = *base::IpAddress::parse("239.1.1.1");
    result.epoch = 7;
    result.sender_name = "hv1";
    result.sender_address = *base::IpAddress::parse("192.0.2.1");
    std::iota(result.sender_id.begin(), result.sender_id.end(), uint8_t{0x10});
    result.spi = base::Spi(0x80000001);
    result.cipher = 2;
    return result;
}

std::string
hex(const base::Result<base::Secret>& secret)
{
    return secret.ok() ? base::to_hex(secret->view()) : secret.error().text;
}

// Both known answers are of another implementation, as
//   HKDF(hashes.SHA256(), size, None, info).derive(key)
// of Python's cryptography gives them, with
//   info = label with its u16 size | 01 | 00001389 | ::ffff:239.1.1.1 | 00000007 | ...
TEST(GroupSecret, KnownAnswer)
{
    EXPECT_EQ(hex(derive_group_secret(counting(0, 32), epoch())),
              "759fa15c2726f5d12a96ad7e8c407d33e52166ce65fe16dd4b9364bcc40cac27");
}

TEST(GroupSenderKey, KnownAnswer)
{
    const auto secret = derive_group_secret(counting(0, 32), epoch());
    ASSERT_TRUE(secret.ok());
    EXPECT_EQ(hex(derive_sender_key(secret->view(), sender(), 36)),
              "e54f512f35b3550af9463598648f85d3e1cd71bb2ddde26bd4dc18043d3991d3f8cce14d");
}

TEST(GroupSecret, EveryFieldChangesIt)
{
    const std::function<void(GroupEpoch&)> changes[] = {
        [](auto& e) { e.vni = base::Vni(5002); },
        [](auto& e) { e.group = *base::IpAddress::parse("239.1.1.2"); },
        [](auto& e) { e.group = *base::IpAddress::parse("ff05::1"); },
        [](auto& e) { e.epoch = 8; },
        [](auto& e) { e.nonce[0] ^= 1; },
        [](auto& e) { e.nonce[15] ^= 1; },
    };
    std::set<std::string> seen{hex(derive_group_secret(counting(0, 32), epoch()))};
    for (const auto& change : changes) {
        GroupEpoch changed = epoch();
        change(changed);
        const auto secret = derive_group_secret(counting(0, 32), changed);
        ASSERT_TRUE(secret.ok()) << secret.error().text;
        EXPECT_EQ(secret->size(), kGroupSecretSize);
        EXPECT_TRUE(seen.insert(hex(secret)).second) << seen.size();
    }
    EXPECT_TRUE(seen.insert(hex(derive_group_secret(counting(1, 32), epoch()))).second);
    EXPECT_TRUE(seen.insert(hex(derive_group_secret(counting(0, 33), epoch()))).second);
}

TEST(GroupSecret, BadInputs)
{
    EXPECT_EQ(derive_group_secret(counting(0, 31), epoch()).error().code, EINVAL);
    const std::function<void(GroupEpoch&)> changes[] = {
        [](auto& e) { e.vni = base::Vni(1 << 24); },
        [](auto& e) { e.group = *base::IpAddress::parse("192.0.2.1"); },
        [](auto& e) { e.group = {}; },
        [](auto& e) { e.epoch = 0; },
    };
    for (const auto& change : changes) {
        GroupEpoch changed = epoch();
        change(changed);
        const auto secret = derive_group_secret(counting(0, 32), changed);
        ASSERT_FALSE(secret.ok());
        EXPECT_EQ(secret.error().code, EINVAL);
    }
}

TEST(GroupSenderKey, EveryFieldChangesIt)
{
    const std::function<void(GroupSenderContext&)> changes[] = {
        [](auto& c) { c.vni = base::Vni(5002); },
        [](auto& c) { c.group = *base::IpAddress::parse("239.1.1.2"); },
        [](auto& c) { c.epoch = 8; },
        [](auto& c) { c.sender_name = "hv2"; },
        [](auto& c) { c.sender_name = "hv10"; },
        [](auto& c) { c.sender_address = *base::IpAddress::parse("192.0.2.2"); },
        [](auto& c) { c.sender_id[0] ^= 1; },
        [](auto& c) { c.sender_id[15] ^= 1; },
        [](auto& c) { c.spi = base::Spi(0x80000002); },
        [](auto& c) { c.encap = base::Encap::vxlan; },
        [](auto& c) { c.cipher = 1; },
    };
    const base::Bytes secret = counting(0, 32);
    std::set<std::string> seen{hex(derive_sender_key(secret, sender(), 20))};
    for (const auto& change : changes) {
        GroupSenderContext changed = sender();
        change(changed);
        const auto key = derive_sender_key(secret, changed, 20);
        ASSERT_TRUE(key.ok()) << key.error().text;
        EXPECT_EQ(key->size(), 20u);
        EXPECT_TRUE(seen.insert(hex(key)).second) << seen.size();
    }
    EXPECT_TRUE(seen.insert(hex(derive_sender_key(counting(1, 32), sender(), 20))).second);
}

TEST(GroupSenderKey, BadInputs)
{
    const std::function<void(GroupSenderContext&)> changes[] = {
        [](auto& c) { c.vni = base::Vni(1 << 24); },
        [](auto& c) { c.group = *base::IpAddress::parse("192.0.2.1"); },
        [](auto& c) { c.epoch = 0; },
        [](auto& c) { c.sender_name.clear(); },
        [](auto& c) { c.sender_name = std::string(256, 'x'); },
        [](auto& c) { c.sender_address = {}; },
        [](auto& c) { c.spi = base::Spi(0x7fffffff); },
        [](auto& c) { c.cipher = 0; },
    };
    for (const auto& change : changes) {
        GroupSenderContext changed = sender();
        change(changed);
        const auto key = derive_sender_key(counting(0, 32), changed, 20);
        ASSERT_FALSE(key.ok());
        EXPECT_EQ(key.error().code, EINVAL);
    }
    for (size_t size : {31u, 33u, 0u}) {
        EXPECT_EQ(derive_sender_key(counting(0, size), sender(), 20).error().code, EINVAL);
    }
    for (size_t size : {0u, 256u}) {
        EXPECT_EQ(derive_sender_key(counting(0, 32), sender(), size).error().code, EINVAL);
    }
}

TEST(MasterSecret, Files)
{
    const TempDir dir;
    const std::string digits(64, 'a');
    const struct {
        const char* what;
        std::string content;
        size_t size;        // 0: an error that says
        std::string says;
    } rows[] = {
        {"64 digits", digits, 32, ""},
        {"and a new line", digits + "\n", 32, ""},
        {"and one of DOS", digits + "\r\n", 32, ""},
        {"both cases", std::string(32, 'F') + std::string(34, '0'), 33, ""},
        {"62 digits", digits.substr(2), 0, "64 to 8192 hexadecimal digits"},
        {"odd", digits + "a", 0, "64 to 8192 hexadecimal digits"},
        {"far too long", std::string(8194, 'a'), 0, "64 to 8192 hexadecimal digits"},
        {"not hexadecimal", std::string(63, 'a') + "g", 0, "something else than hexadecimal"},
        {"a space inside", std::string(32, 'a') + ' ' + std::string(33, 'a'), 0,
         "something else than hexadecimal"},
        {"empty", "", 0, "is empty"},
        {"only a new line", "\n", 0, "64 to 8192 hexadecimal digits"},
    };
    for (const auto& row : rows) {
        SCOPED_TRACE(row.what);
        const std::string path = dir.write("group.key", row.content);
        const auto secret = read_master_secret(path);
        ASSERT_EQ(secret.ok(), row.size != 0);
        if (secret.ok()) {
            EXPECT_EQ(secret->size(), row.size);
            continue;
        }
        EXPECT_NE(secret.error().text.find(path), std::string::npos) << secret.error().text;
        EXPECT_NE(secret.error().text.find(row.says), std::string::npos) << secret.error().text;
        // What is in the file is in no text.
        EXPECT_EQ(secret.error().text.find("aaaa"), std::string::npos);
    }
    EXPECT_EQ(base::to_hex(read_master_secret(dir.write("group.key", "0123456789abcdefABCDEF" +
                                                                         std::string(42, '0')))
                               ->view()
                               .first(11)),
              "0123456789abcdefabcdef");
}

TEST(MasterSecret, OnlyItsOwnerMayReadIt)
{
    const TempDir dir;
    const std::string path = dir.write("group.key", std::string(64, 'a'));
    for (mode_t mode : {0640, 0604, 0620}) {
        ASSERT_EQ(chmod(path.c_str(), mode), 0);
        const auto secret = read_master_secret(path);
        ASSERT_FALSE(secret.ok()) << mode;
        EXPECT_EQ(secret.error().code, EACCES);
        EXPECT_NE(secret.error().text.find("chmod 0600"), std::string::npos);
    }
    ASSERT_EQ(chmod(path.c_str(), 0400), 0);
    EXPECT_TRUE(read_master_secret(path).ok());
    const auto missing = read_master_secret(dir.file("none.key"));
    ASSERT_FALSE(missing.ok());
    EXPECT_EQ(missing.error().code, ENOENT);
    EXPECT_NE(missing.error().text.find(dir.file("none.key")), std::string::npos);
}

}  // namespace
}  // namespace nvo3::tests
