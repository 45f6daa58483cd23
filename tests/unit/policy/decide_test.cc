// SPDX-License-Identifier: Apache-2.0
#include "policy/decide.h"

#include <gtest/gtest.h>

#include <tuple>

namespace nvo3::policy {
namespace {

const char* kText = "gateway blue 10.1.0.254/24 fd01::fe/64\n"
                    "gateway red 10.2.0.254/24 fd02::fe/64\n"
                    "gateway green 10.3.0.254/24\n"
                    "200 deny from blue 10.1.0.66 to red\n"
                    "150 log from blue to red proto tcp\n"
                    "100 allow from blue to red proto tcp port 80-90\n"
                    "100 allow from blue to red proto icmp\n"
                    "90 deny from blue to red proto tcp port 0-1023\n"
                    "80 allow from blue 10.1.0.0/25 to red 10.2.0.0/25 proto tcp\n"
                    "70 allow from blue fd01::/65 to red proto 47\n"
                    "1 log from blue to green\n";

TEST(Decide, Rows)
{
    const struct {
        const char *what, *from, *source, *destination;
        uint8_t proto;
        uint16_t port;
        bool allowed;
        size_t line;            // of the rule; 0: none
        const char* reason;     // that it begins with
    } rows[] = {
        {"first port of the range", "blue", "10.1.0.1", "10.2.0.1", kTcp, 80, true, 6, "rule of line 6: 100 allow"},
        {"last port of the range", "blue", "10.1.0.1", "10.2.0.1", kTcp, 90, true, 6, "rule of line 6"},
        {"behind the range", "blue", "10.1.0.1", "10.2.0.1", kTcp, 91, false, 8, "rule of line 8: 90 deny"},
        {"higher priority", "blue", "10.1.0.66", "10.2.0.1", kTcp, 80, false, 4, "rule of line 4: 200 deny"},
        {"its neighbour", "blue", "10.1.0.67", "10.2.0.1", kTcp, 80, true, 6, "rule of line 6"},
        {"no rule for the protocol", "blue", "10.1.0.1", "10.2.0.1", kUdp, 80, false, 0, "no rule from blue to red matches: denied by default"},
        {"both prefixes", "blue", "10.1.0.1", "10.2.0.1", kTcp, 2000, true, 9, "rule of line 9"},
        {"source outside of the prefix", "blue", "10.1.0.129", "10.2.0.1", kTcp, 2000, false, 0, "no rule"},
        {"destination outside of the prefix", "blue", "10.1.0.1", "10.2.0.129", kTcp, 2000, false, 0, "no rule"},
        {"ICMP", "blue", "10.1.0.1", "10.2.0.1", kIcmp, 0, true, 7, "rule of line 7"},
        {"the other direction", "red", "10.2.0.1", "10.1.0.1", kIcmp, 0, false, 0, "no rule from red to blue matches"},
        {"IPv6", "blue", "fd01::1", "fd02::1", kTcp, 80, true, 6, "rule of line 6"},
        {"IPv6 prefix", "blue", "fd01::1", "fd02::1", 47, 0, true, 10, "rule of line 10"},
        {"IPv6 outside of the prefix", "blue", "fd01::8000:0:0:1", "fd02::1", 47, 0, false, 0, "no rule"},
        {"another's source", "blue", "10.2.0.1", "10.2.0.2", kTcp, 80, false, 0, "10.2.0.1 is in no prefix of network blue"},
        {"inside of the network", "blue", "10.1.0.1", "10.1.0.2", kUdp, 1, true, 0, "both are in network blue"},
        {"nowhere", "blue", "10.1.0.1", "192.0.2.1", kTcp, 80, false, 0, "192.0.2.1 is in no network that a rule connects"},
        {"a rule that only logs connects nothing", "blue", "10.1.0.1", "10.3.0.1", kTcp, 80, false, 0, "10.3.0.1 is in no network"},
        {"unknown network", "black", "10.1.0.1", "10.3.0.1", kTcp, 80, false, 0, "network black has no gateway"},
    };
    auto policy = parse_policy(kText);
    ASSERT_TRUE(policy.ok()) << policy.error().text;
    for (const auto& row : rows) {
        const Verdict verdict = decide(*policy, row.from, *base::IpAddress::parse(row.source), *base::IpAddress::parse(row.destination), row.proto, row.port);
        EXPECT_EQ(verdict.allowed, row.allowed) << row.what;
        EXPECT_EQ(verdict.rule ? verdict.rule->line : 0, row.line) << row.what;
        EXPECT_EQ(verdict.reason.substr(0, std::string(row.reason).size()), row.reason) << row.what;
    }
}

TEST(Decide, LogGoesBeside)
{
    auto policy = parse_policy(kText);
    ASSERT_TRUE(policy.ok());
    const auto source = *base::IpAddress::parse("10.1.0.1"), destination = *base::IpAddress::parse("10.2.0.1");
    const Verdict tcp = decide(*policy, "blue", source, destination, kTcp, 80);
    ASSERT_TRUE(tcp.log);
    EXPECT_EQ(tcp.log->line, 5u);
    EXPECT_EQ(decide(*policy, "blue", source, destination, kIcmp, 0).log, nullptr);
}

TEST(Decide, IcmpIsOfOneFamily)
{
    auto policy = parse_policy("gateway a 10.1.0.254/24 fd01::fe/64\ngateway b 10.2.0.254/24 fd02::fe/64\n10 allow from a to b proto icmp\n9 allow from a to b proto icmp6\n");
    ASSERT_TRUE(policy.ok());
    for (const auto& [source, destination, proto, allowed] :
         {std::tuple("10.1.0.1", "10.2.0.1", kIcmp, true), {"10.1.0.1", "10.2.0.1", kIcmp6, false}, {"fd01::1", "fd02::1", kIcmp6, true}, {"fd01::1", "fd02::1", kIcmp, false}}) {
        EXPECT_EQ(decide(*policy, "a", *base::IpAddress::parse(source), *base::IpAddress::parse(destination), proto, 0).allowed, allowed) << source << " " << int(proto);
    }
}

}  // namespace
}  // namespace nvo3::policy
