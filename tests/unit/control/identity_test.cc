// SPDX-License-Identifier: Apache-2.0
//
// Names and roles from certificates, and the many that are none.
#include "control/identity.h"

#include <gtest/gtest.h>

#include "test_pki.h"

namespace nvo3::tests {
namespace {

using control::identity_of;
using control::parse_spiffe_id;
using control::PeerIdentity;
using control::Role;

TEST(SpiffeId, Good)
{
    const auto id = parse_spiffe_id("spiffe://lab-1.example/nvo3/hypervisor/Host_7.a-b");
    ASSERT_TRUE(id.ok());
    EXPECT_EQ(id->trust_domain, "lab-1.example");
    EXPECT_EQ(id->role, Role::hypervisor);
    EXPECT_EQ(id->name, "Host_7.a-b");
    EXPECT_EQ(parse_spiffe_id("spiffe://d/nvo3/nve/x")->role, Role::nve);
    EXPECT_EQ(parse_spiffe_id("spiffe://d/nvo3/nva/x")->role, Role::nva);
    EXPECT_TRUE(parse_spiffe_id("spiffe://d/nvo3/nve/" + std::string(128, 'n')).ok());
}

TEST(SpiffeId, Bad)
{
    using namespace std::string_literals;
    for (const std::string& uri : {
             ""s,
             "spiffe://"s,
             "spiffe://d"s,
             "spiffe://d/nvo3/nve"s,
             "spiffe://d/nvo3/nve/"s,
             "spiffe://d/nvo3/nve/x/"s,
             "spiffe://d/nvo3/nve/x/y"s,
             "spiffe://d/nvo3//x"s,
             "spiffe:///nvo3/nve/x"s,
             "spiffe://d//nvo3/nve/x"s,
             "spiffe://d/nvo4/nve/x"s,
             "spiffe://d/NVO3/nve/x"s,
             "spiffe://d/nvo3/NVE/x"s,
             "spiffe://d/nvo3/king/x"s,
             "SPIFFE://d/nvo3/nve/x"s,
             "https://d/nvo3/nve/x"s,
             "spiffe:/d/nvo3/nve/x"s,
             "spiffe://D/nvo3/nve/x"s,
             "spiffe://user@d/nvo3/nve/x"s,
             "spiffe://d:443/nvo3/nve/x"s,
             "spiffe://d/nvo3/nve/x?q"s,
             "spiffe://d/nvo3/nve/x#f"s,
             "spiffe://d/nvo3/nve/%78"s,
             "spiffe://d/nvo3/nve/a b"s,
             "spiffe://d/nvo3/nve/."s,
             "spiffe://d/nvo3/nve/.."s,
             "spiffe://d/nvo3/nve/x\0y"s,
             "spiffe://d/nvo3/nve/x\0"s,
             "spiffe://d/nvo3/nve/\xc3\xa4"s,
             " spiffe://d/nvo3/nve/x"s,
             "spiffe://d/nvo3/nve/x\n"s,
             "spiffe://d/nvo3/nve/" + std::string(129, 'n'),
             "spiffe://" + std::string(256, 'd') + "/nvo3/nve/x",
         }) {
        EXPECT_FALSE(parse_spiffe_id(uri).ok()) << uri;
    }
}

class CertificateIdentity : public ::testing::Test {
protected:
    base::Result<PeerIdentity> of(const LeafOptions& options)
    {
        return identity_of(ca_.issue("leaf", options).certificate.get());
    }

    TempDir dir_;
    TestCa ca_{dir_, "CA"};
};

TEST_F(CertificateIdentity, Spiffe)
{
    LeafOptions options;
    options.uri = "spiffe://d/nvo3/nve/hv1";
    options.cn = "something else";
    options.dns = {"hv1.example"};
    const auto identity = of(options);
    ASSERT_TRUE(identity.ok());
    EXPECT_TRUE(identity->spiffe());
    EXPECT_EQ(identity->name, "hv1");
    EXPECT_TRUE(identity->matches_name("hv1"));
    // Only the SPIFFE name counts where there is one.
    EXPECT_FALSE(identity->matches_name("something else"));
    EXPECT_FALSE(identity->matches_name("hv1.example"));
    const auto left = identity->not_after - std::chrono::system_clock::now();
    EXPECT_GT(left, std::chrono::hours(23));
    EXPECT_LT(left, std::chrono::hours(25));
}

TEST_F(CertificateIdentity, Refused)
{
    using namespace std::string_literals;
    const LeafOptions rows[] = {
        {.uri = "spiffe://d/nvo3/nve/a", .second_uri = "spiffe://d/nvo3/nve/b"},
        {.uri = "spiffe://d/nvo3/nve/a", .second_uri = "spiffe://d/nvo3/nve/a"},
        {.uri = "spiffe://d/nvo3/nve/a", .second_uri = "https://d/"},
        {.uri = "https://d/", .second_uri = "spiffe://d/nvo3/nve/a"},
        {.uri = "spiffe://d/other/workload"},
        {.uri = "SPIFFE://d/nvo3/nve/a"},
        {.uri = "spiffe://d/nvo3/nve/a\0b"s},
        {.cn = ""},
        {.cn = "a\nb"},
        {.cn = "a\x7f"},
        {.cn = "h\xc3\xa4user"},
        {.cn = "psk:192.0.2.1"},
        {.dns = {"a\0.evil"s}},
        {.dns = std::vector<std::string>(33, "name")},
    };
    for (const LeafOptions& options : rows) {
        const auto identity = of(options);
        EXPECT_FALSE(identity.ok()) << options.uri << " " << options.cn;
        if (!identity.ok()) {
            EXPECT_NE(identity.error().text.find("certificate"), std::string::npos);
        }
    }
}

TEST_F(CertificateIdentity, PlainNames)
{
    auto identity = of({.cn = "hv2 id:1f", .dns = {"a.example", "b.example"}});
    ASSERT_TRUE(identity.ok());
    EXPECT_EQ(identity->kind, PeerIdentity::Kind::plain);
    EXPECT_EQ(identity->name, "hv2 id:1f");
    EXPECT_TRUE(identity->matches_name("b.example"));
    EXPECT_FALSE(identity->matches_name(""));
    identity = of({.cn = "", .dns = {"only.example"}});
    ASSERT_TRUE(identity.ok());
    EXPECT_EQ(identity->name, "only.example");
}

TEST(PskIdentity, Name)
{
    EXPECT_EQ(control::psk_identity(*base::IpAddress::parse("192.0.2.1")).name, "psk:192.0.2.1");
    EXPECT_FALSE(control::psk_identity(*base::IpAddress::parse("::1")).matches_name("psk:::1"));
}

}  // namespace
}  // namespace nvo3::tests
