// SPDX-License-Identifier: Apache-2.0
//
// A policy's text on its way: control/policy_text.h.
#include "control/policy_text.h"

#include <gtest/gtest.h>

#include "tests/support/policy_messages.h"

namespace nvo3::tests {
namespace {

using namespace control;

proto::PolicyUpdate
part(const std::string& text, bool more, uint64_t version = 1)
{
    proto::PolicyUpdate update;
    update.set_version(version);
    update.set_text(text);
    update.set_more(more);
    return update;
}

TEST(PolicyText, ComesWholeOutOfItsParts)
{
    for (const size_t size : {size_t{0}, size_t{1}, kPolicyPartSize, kPolicyPartSize + 1, 3 * kPolicyPartSize, size_t{1} << 20}) {
        SCOPED_TRACE(size);
        std::string text(size, 'x');
        for (size_t i = 0; i < size; i += 100) {
            text[i] = static_cast<char>(i / 100);
        }
        PolicyParts parts(1 << 20);
        std::vector<Envelope> messages = policy_messages(text, 7);
        for (size_t i = 0; i < messages.size(); i++) {
            messages[i].set_request_id(i + 1);
            const std::string octets = messages[i].SerializeAsString();
            ASSERT_LE(octets.size(), 65536u);
            const auto parsed = parse_envelope({reinterpret_cast<const uint8_t*>(octets.data()), octets.size()});
            ASSERT_TRUE(parsed.ok()) << parsed.error().text;
            const auto whole = parts.add(parsed->policy_update());
            ASSERT_TRUE(whole.ok()) << whole.error().text;
            ASSERT_EQ(whole->has_value(), i + 1 == messages.size());
            if (whole->has_value()) {
                EXPECT_EQ((*whole)->text, text);
                EXPECT_EQ((*whole)->version, 7u);
            }
        }
    }
}

TEST(PolicyText, AnotherFollows)
{
    PolicyParts parts(10);
    ASSERT_TRUE(parts.add(part("12345", true)).ok());
    ASSERT_EQ((*parts.add(part("67890", false)))->text, "1234567890");
    EXPECT_EQ((*parts.add(part("abc", false, 2)))->text, "abc");
    EXPECT_EQ((*parts.add(part("", false, 3)))->text, "");
}

TEST(PolicyText, TooMuchIsRefused)
{
    PolicyParts parts(10);
    ASSERT_TRUE(parts.add(part("12345", true)).ok());
    ASSERT_TRUE(parts.add(part("67890", true)).ok());
    const auto more = parts.add(part("x", true));
    ASSERT_FALSE(more.ok());
    EXPECT_EQ(more.error().code, EPROTO);
    EXPECT_NE(more.error().text.find("more than 10 octets"), std::string::npos);
    EXPECT_EQ((*parts.add(part("abc", false)))->text, "abc") << "nothing of it is left";
}

TEST(PolicyText, PartsOfTwoAreRefused)
{
    PolicyParts parts(10);
    ASSERT_TRUE(parts.add(part("12345", true, 1)).ok());
    EXPECT_FALSE(parts.add(part("67890", false, 2)).ok());
    EXPECT_EQ((*parts.add(part("abc", false, 2)))->text, "abc");
    ASSERT_TRUE(parts.add(part("12345", true, 1)).ok());
    parts.clear();
    EXPECT_EQ((*parts.add(part("abc", false, 2)))->text, "abc") << "another session";
}

TEST(PolicyText, Digest)
{
    // FIPS 180-4: SHA-256 of "abc" begins so.
    EXPECT_EQ(policy_digest("abc").substr(0, 4), "\xba\x78\x16\xbf");
    EXPECT_EQ(policy_digest("abc").size(), kPolicyDigestSize);
    EXPECT_NE(policy_digest(""), policy_digest("\n"));
}

}  // namespace
}  // namespace nvo3::tests
