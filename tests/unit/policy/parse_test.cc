// SPDX-License-Identifier: Apache-2.0
#include "policy/policy.h"

#include <gtest/gtest.h>

namespace nvo3::policy {
namespace {

constexpr const char* kGateways = "gateway blue 10.1.0.254/24 fd01::fe/64\n"
                                  "gateway red 10.2.0.254/24 fd02::fe/64 mac 0e:00:00:00:00:02\n"
                                  "gateway four 10.4.0.254/24\n"
                                  "gateway six fd06::fe/64\n";

struct Row {
    const char* what;
    std::string text;
    const char* error;          // that it begins with; null: taken
};

void check(const std::vector<Row>& rows)
{
    for (const Row& row : rows) {
        auto policy = parse_policy(row.text);
        EXPECT_EQ(policy.ok() ? "(taken)" : policy.error().text.substr(0, row.error ? std::string(row.error).size() : std::string::npos),
                  row.error ? row.error : "(taken)")
            << row.what << ": " << row.text << (policy.ok() ? "" : policy.error().text);
    }
}

TEST(PolicyText, Gateways)
{
    check({
        {"nothing", "", nullptr},
        {"comments and empty lines", "# all\n\n \t# more\r\n", nullptr},
        {"IPv4 and IPv6", kGateways, nullptr},
        {"no line end", "gateway blue 10.1.0.254/24", nullptr},
        {"by VNI", "gateway 5001 10.1.0.254/24", nullptr},
        {"unknown word", "route blue\n", "line 1, column 1, 'route': a statement begins with"},
        {"the line is said", "\n\n  gatewy blue", "line 3, column 3, 'gatewy'"},
        {"no name", "gateway", "line 1, at its end: a network's name is missing"},
        {"name of what cannot be one", "gateway bl\x01ue 10.1.0.254/24", "line 1, column 9, 'bl?ue': not a network's name"},
        {"no address", "gateway blue", "line 1, at its end: an address with its prefix's length is missing"},
        {"no address but a MAC", "gateway blue mac 0e:00:00:00:00:01", "line 1, column 14, 'mac': an address with"},
        {"no prefix", "gateway blue 10.1.0.254", "line 1, column 14, '10.1.0.254': the prefix has no room"},
        {"all addresses", "gateway blue 10.1.0.254/0", "line 1, column 14, '10.1.0.254/0': write ADDRESS/LENGTH"},
        {"the prefix itself", "gateway blue 10.1.0.0/24", "line 1, column 14, '10.1.0.0/24': the first address"},
        {"the broadcast address", "gateway blue 10.1.0.255/24", "line 1, column 14, '10.1.0.255/24': the first address"},
        {"IPv6 has none", "gateway blue fd00::ff/120", nullptr},
        {"link-local", "gateway blue fe80::1/64", "line 1, column 14, 'fe80::1/64': no address for a gateway"},
        {"IPv4 link-local", "gateway blue 169.254.0.1/16", "line 1, column 14, '169.254.0.1/16': no address for a gateway"},
        {"multicast", "gateway blue 239.0.0.1/24", "line 1, column 14, '239.0.0.1/24': no address for a gateway"},
        {"loopback", "gateway blue 127.0.0.1/24", "line 1, column 14, '127.0.0.1/24': no address for a gateway"},
        {"overlap inside", "gateway blue 10.1.0.254/24 10.1.0.1/25", "line 1, column 28, '10.1.0.1/25': overlaps 10.1.0.254/24"},
        {"multicast MAC", "gateway blue 10.1.0.254/24 mac 01:00:00:00:00:01", "line 1, column 32, '01:00:00:00:00:01': not a unicast MAC"},
        {"no MAC", "gateway blue 10.1.0.254/24 mac", "line 1, at its end: a MAC address is missing"},
        {"something after the MAC", "gateway blue 10.1.0.254/24 mac 0e:00:00:00:00:01 10.2.0.1/24", "line 1, column 50, '10.2.0.1/24': nothing may follow"},
        {"twice", "gateway blue 10.1.0.254/24\ngateway red 10.2.0.1/24\ngateway blue 10.3.0.254/24",
         "line 3: network blue has a gateway already (line 1)"},
        {"too many addresses", "gateway blue 10.1.0.1/24 10.2.0.1/24 10.3.0.1/24 10.4.0.1/24 10.5.0.1/24 10.6.0.1/24 10.7.0.1/24 10.8.0.1/24 10.9.0.1/24",
         "line 1, column 110, '10.9.0.1/24': more than 8"},
        {"overlapping networks between which there is no rule", "gateway a 10.1.0.254/24\ngateway b 10.1.0.254/24", nullptr},
    });
}

TEST(PolicyText, Rules)
{
    auto rule = [](const std::string& text) { return std::string(kGateways) + text; };
    check({
        {"plain", rule("100 allow from blue to red"), nullptr},
        {"all words", rule("100 allow from blue 10.1.0.0/25 to red 10.2.0.7 proto tcp port 80-90 log stateless"), nullptr},
        {"options in another order", rule("100 allow from blue to red log proto udp port 53"), nullptr},
        {"protocol by number", rule("1 deny from blue to red proto 47"), nullptr},
        {"priority 0", rule("0 allow from blue to red"), "line 5, column 1, '0': a statement begins with"},
        {"priority too high", rule("65536 allow from blue to red"), "line 5, column 1, '65536': a statement begins with"},
        {"unknown action", rule("1 permit from blue to red"), "line 5, column 3, 'permit': 'allow', 'deny' or 'log' is missing"},
        {"no action", rule("1"), "line 5, at its end: 'allow', 'deny' or 'log' is missing"},
        {"no from", rule("1 allow blue to red"), "line 5, column 9, 'blue': 'from NETWORK' is missing"},
        {"no to", rule("1 allow from blue"), "line 5, at its end: 'to NETWORK' is missing"},
        {"unknown word", rule("1 allow from blue into red"), "line 5, column 19, 'into': unknown word"},
        {"unknown word at the end", rule("1 allow from blue to red proto tcp dport 80"), "line 5, column 36, 'dport': unknown here"},
        {"unknown protocol", rule("1 allow from blue to red proto tpc"), "line 5, column 32, 'tpc': no such protocol"},
        {"twice", rule("1 allow from blue to red log log"), "line 5, column 30, 'log': unknown here"},
        {"not a prefix", rule("1 allow from blue 10.1.0.1/24 to red"), "line 5, column 19, '10.1.0.1/24': not a prefix: it has bits"},
        {"port without protocol", rule("1 allow from blue to red port 80"), "line 5, column 26, 'port': only tcp, udp and sctp"},
        {"port of ICMP", rule("1 allow from blue to red proto icmp port 80"), "line 5, column 37, 'port': only tcp, udp and sctp"},
        {"port of SCTP", rule("1 allow from blue to red proto sctp port 80"), nullptr},
        {"port too high", rule("1 allow from blue to red proto tcp port 65536"), "line 5, column 41, '65536': not a port"},
        {"range upside down", rule("1 allow from blue to red proto tcp port 90-80"), "line 5, column 41, '90-80': not a port"},
        {"no port", rule("1 allow from blue to red proto tcp port"), "line 5, at its end: a port is missing"},
        {"log without state", rule("1 log from blue to red stateless"), "line 5, column 24, 'stateless': a rule that only logs"},
        {"unknown network", rule("1 allow from blue to green"), "line 5: network green has no gateway"},
        {"inside of a network", rule("1 allow from blue to blue"), "line 5: a rule is between two networks"},
        {"outside of the network", rule("1 allow from blue 10.2.0.0/24 to red"), "line 5: 10.2.0.0/24 is outside of the prefixes of network blue (line 1)"},
        {"wider than the network", rule("1 allow from blue to red 10.2.0.0/16"), "line 5: 10.2.0.0/16 is outside"},
        {"two families", rule("1 allow from blue 10.1.0.0/24 to red fd02::/64"), "line 5: no packet can match"},
        {"networks of two families", rule("1 allow from four to six"), "line 5: no packet can match"},
        {"ICMP of IPv6", rule("1 allow from blue to six proto icmp"), "line 5: no packet can match"},
        {"ICMPv6 of IPv4", rule("1 allow from blue to four proto icmp6"), "line 5: no packet can match"},
        {"the first that is wrong", rule("9 allow from blue to green\n1 allow from blue to black"), "line 5: network green"},
    });
}

TEST(PolicyText, Together)
{
    auto two = [](const std::string& a, const std::string& b) { return std::string(kGateways) + a + "\n" + b; };
    const char* conflict = "line 6: same priority as line 5";
    check({
        {"same priority, same action", two("5 allow from blue to red", "5 allow from blue to red proto tcp"), nullptr},
        {"same priority, other action", two("5 allow from blue to red", "5 deny from blue to red proto tcp"), conflict},
        {"one without state", two("5 allow from blue to red", "5 allow from blue to red proto tcp stateless"), conflict},
        {"other priority", two("5 allow from blue to red", "6 deny from blue to red proto tcp"), nullptr},
        {"other direction", two("5 allow from blue to red", "5 deny from red to blue"), nullptr},
        {"other network", two("5 allow from blue to red", "5 deny from blue to four"), nullptr},
        {"log decides nothing", two("5 allow from blue to red", "5 log from blue to red"), nullptr},
        {"ports apart", two("5 allow from blue to red proto tcp port 1-9", "5 deny from blue to red proto tcp port 10"), nullptr},
        {"ports touch", two("5 allow from blue to red proto tcp port 1-10", "5 deny from blue to red proto tcp port 10-11"), conflict},
        {"protocols apart", two("5 allow from blue to red proto tcp", "5 deny from blue to red proto udp"), nullptr},
        {"prefixes apart", two("5 allow from blue 10.1.0.0/25 to red", "5 deny from blue 10.1.0.128/25 to red"), nullptr},
        {"prefixes inside", two("5 allow from blue 10.1.0.0/25 to red", "5 deny from blue 10.1.0.3 to red"), conflict},
        {"families apart", two("5 allow from blue 10.1.0.0/25 to red", "5 deny from blue fd01::/64 to red"), nullptr},
    });
    const std::string three = "gateway a 10.1.0.254/24\ngateway b 10.1.0.1/25\ngateway c 10.3.0.1/24\n";
    check({
        {"overlapping ends", three + "1 allow from a to b", "line 4: no route between overlapping prefixes: 10.1.0.0/25 of b overlaps 10.1.0.0/24 of a"},
        {"two targets", three + "1 allow from c to a\n1 allow from c to b",
         "line 5: no route between overlapping prefixes: 10.1.0.0/25 of b overlaps 10.1.0.0/24 of a, and both are reached from c"},
        {"two sources", three + "1 allow from a to c\n1 allow from b to c", "line 5: no route between overlapping prefixes"},
        {"one of them", three + "1 allow from c to a", nullptr},
    });
}

TEST(PolicyText, Limits)
{
    std::string many = kGateways;
    for (size_t i = 0; i <= kMaxRules; i++) {
        many += std::to_string(i + 1) + " allow from blue to red\n";
    }
    check({
        {"rules", many, "line 4101: more than 4096 rules"},
        {"a line", "gateway blue 10.1.0.1/24 #" + std::string(kMaxLine, ' '), "line 1: longer than"},
        {"the text", std::string(kMaxText + 1, '\n'), "the text is longer than"},
    });
}

TEST(PolicyText, PrintsWhatItReads)
{
    auto policy = parse_policy("5 log from 7 to red proto udp\n"
                               "100 deny   from red\tto 7 10.7.0.0/25 log proto sctp port 0x50\n"
                               "100 allow from red 10.2.0.4 to 7 proto icmp stateless # ping\n"
                               "gateway red 10.2.0.254/24\ngateway 7 10.7.0.1/24 mac 0E:00:00:00:00:0A\n");
    ASSERT_TRUE(policy.ok()) << policy.error().text;
    const char* printed = "gateway 7 10.7.0.1/24 mac 0e:00:00:00:00:0a\n"
                          "gateway red 10.2.0.254/24\n"
                          "100 allow from red 10.2.0.4/32 to 7 proto icmp stateless\n"
                          "100 deny from red to 7 10.7.0.0/25 proto sctp port 80 log\n"
                          "5 log from 7 to red proto udp\n";
    EXPECT_EQ(to_string(*policy), printed);
    auto again = parse_policy(printed);
    ASSERT_TRUE(again.ok()) << again.error().text;
    EXPECT_EQ(to_string(*again), printed);
}

TEST(PolicyText, MacOfTheGateway)
{
    auto policy = parse_policy("gateway a 10.2.0.254/24\ngateway b 10.7.0.1/24 mac 0e:00:00:00:00:0a\n");
    ASSERT_TRUE(policy.ok());
    EXPECT_EQ(to_string(gateway_mac(*policy->find("a"), base::Vni(0x123456))), "0e:6e:76:12:34:56");
    EXPECT_EQ(to_string(gateway_mac(*policy->find("b"), base::Vni(1))), "0e:00:00:00:00:0a");
}

}  // namespace
}  // namespace nvo3::policy
