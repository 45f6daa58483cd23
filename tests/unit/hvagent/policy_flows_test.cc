// SPDX-License-Identifier: Apache-2.0
#include "hvagent/policy_flows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <sstream>

#include "hvagent/vn_pipeline.h"
#include "policy/decide.h"

namespace nvo3::agent {
namespace {

base::IpAddress ip(const std::string& text)
{
    return *base::IpAddress::parse(text);
}

base::MacAddress mac(int number)
{
    return {{0x52, 0x54, 0, 0, 0, static_cast<uint8_t>(number)}};
}

constexpr const char* kGateways =
    "gateway blue 10.1.0.254/24 fd01::fe/64\n"
    "gateway red 10.2.0.254/24 fd02::fe/64\n"
    "gateway green 10.3.0.254/24 mac 0e:00:00:00:00:33\n";

// Blue (5001) and red (5002) served here, green (5003) as 'green' says; hv2 has a VM in
// each; tap1 in blue, tap2 in red, tap3 in red without addresses.
struct World {
    PipelineInput input;
    bool green = true;
    std::map<std::string, VnView> vns;

    World()
    {
        for (auto [name, number] : {std::pair("blue", 5001u), {"red", 5002u}, {"green", 5003u}}) {
            VnView& vn = vns[name];
            vn.vni = base::Vni(number);
            vn.name = name;
            vn.encap = base::Encap::geneve;
            const std::string net = std::to_string(number - 5000);
            vn.mappings = {{mac(90), {{ip("10." + net + ".0.9"), ip("fd0" + net + "::9")}, "hv2"}}, {mac(80), {{ip("10." + net + ".0.8")}, "lost"}}};
        }
        input.tsis = {{"tap1", 1, "blue", mac(1), {ip("10.1.0.1"), ip("fd01::1")}}, {"tap2", 2, "red", mac(2), {ip("10.2.0.1"), ip("fd02::1")}},
                      {"tap3", 3, "red", mac(3), {}}};
        input.tunnel_ports = {{base::Encap::geneve, 100}};
    }

    Pipeline make(const std::string& text)
    {
        auto policy = policy::parse_policy(text);
        EXPECT_TRUE(policy) << policy.error().text;
        input.policy = std::make_shared<const policy::Policy>(*policy);
        auto directory = std::make_shared<DirectoryView>();
        NetworkView networks;
        for (const auto& [name, vn] : vns) {
            if (name != "green" || green) {
                directory->vns[vn.vni] = std::make_shared<const VnView>(vn);
                networks.reach[vn.vni].members = {{"hv2", {ip("192.0.2.1"), ip("192.0.2.2")}}};
            }
        }
        networks.directory = directory;
        input.networks = std::make_shared<const NetworkView>(networks);
        return make_pipeline(input);
    }
};

// Of the flow whose match is 'match'; empty if there is none.
std::string actions(const Pipeline& pipeline, const std::string& match)
{
    for (const std::string& flow : pipeline.flows) {
        if (flow.starts_with(match + " actions=")) {
            return flow.substr(match.size() + 9);
        }
    }
    return "";
}

size_t count(const Pipeline& pipeline, const std::string& part)
{
    return static_cast<size_t>(std::ranges::count_if(pipeline.flows, [&](const std::string& flow) { return flow.find(part) != std::string::npos; }));
}

// ---- Flows of a table as the switch reads them ----

struct Packet {
    std::map<std::string, uint64_t> numbers;        // registers, proto, port
    base::IpAddress source, destination;            // of the connection's first
    bool reply = false;
    uint64_t label = 0;                             // of a connection that conntrack knows; 0: it is its first packet
};

bool in(const base::IpAddress& address, const std::string& text)
{
    return policy::Prefix::parse(text)->contains(address);
}

// Whether a match of table 66, 67 or 69 takes a packet; a field that is not known fails the test.
bool takes(const std::string& match, const Packet& packet)
{
    std::istringstream in_(match);
    for (std::string word; std::getline(in_, word, ',');) {
        const std::string key = word.substr(0, word.find('=')), value = word.find('=') == word.npos ? "" : word.substr(word.find('=') + 1);
        if (key == "table" || key == "priority") {
            continue;
        }
        bool yes = true;
        if (key == "ip" || key == "ipv6") {
            yes = packet.source.is_v4() == (key == "ip");
        } else if (key == "ct_state") {
            const std::string direction = packet.reply ? "-inv+rpl+trk" : "-inv-rpl+trk";
            yes = value == direction || value == (packet.label ? "-new" : "+new") + direction;
        } else if (key == "ct_label") {
            yes = packet.label == std::stoull(value, nullptr, 16);
        } else if (key == "ct_nw_src" || key == "ct_ipv6_src" || key == "nw_src" || key == "ipv6_src") {
            yes = in(packet.source, value);
        } else if (key == "ct_nw_dst" || key == "ct_ipv6_dst" || key == "nw_dst" || key == "ipv6_dst") {
            yes = in(packet.destination, value);
        } else if (key == "ct_tp_dst" || key == "tp_dst") {
            const size_t slash = value.find('/');
            const unsigned long mask = std::stoul(value.substr(slash + 1), nullptr, 16);
            yes = (packet.numbers.at("port") & mask) == std::stoul(value, nullptr, 16);
        } else if (key == "ip_frag") {
            yes = false;
        } else if (key == "ct_nw_proto" || key == "nw_proto") {
            yes = packet.numbers.at("proto") == std::stoul(value);
        } else if (key == "reg0" || key == "reg4") {
            yes = packet.numbers.at(key) == std::stoul(value);
        } else {
            ADD_FAILURE() << "unknown field in " << match;
        }
        if (!yes) {
            return false;
        }
    }
    return true;
}

// The flows of a table, those of the highest priority first.
class Table {
public:
    Table(const Pipeline& pipeline, int number)
    {
        const std::string head = "table=" + std::to_string(number) + ",priority=";
        for (const std::string& flow : pipeline.flows) {
            if (flow.starts_with(head)) {
                const size_t end = flow.find(" actions=");
                flows_.emplace(std::stoi(flow.substr(head.size())), std::pair(flow.substr(0, end), flow.substr(end + 9)));
            }
        }
    }

    // Actions of the first that takes it; empty: none does.
    std::string lookup(const Packet& packet) const
    {
        for (const auto& [priority, flow] : flows_) {
            if (takes(flow.first, packet)) {
                return flow.second;
            }
        }
        return "";
    }

private:
    std::multimap<int, std::pair<std::string, std::string>, std::greater<>> flows_;
};

// ---- Tests ----

TEST(PolicyFlows, NothingChangesWithoutAGateway)
{
    World world;
    const Pipeline none = world.make("");
    EXPECT_EQ(count(none, "reg4"), 0u);
    EXPECT_EQ(count(none, "table=65"), 0u);
    // Green has none: it has the same flows whether the others have one or not.
    const Pipeline some = world.make("gateway blue 10.1.0.254/24\ngateway red 10.2.0.254/24\n10 allow from blue to red\n");
    auto green = [](const Pipeline& pipeline) {
        std::vector<std::string> flows;
        std::ranges::copy_if(pipeline.flows, std::back_inserter(flows), [](const std::string& flow) { return flow.find("5003") != flow.npos; });
        return flows;
    };
    EXPECT_FALSE(green(none).empty());
    EXPECT_EQ(green(none), green(some));
}

TEST(PolicyFlows, GatewayIsAnsweredForAndNobodyElseMayBeIt)
{
    World world;
    const Pipeline made = world.make(kGateways);
    EXPECT_NE(actions(made, "table=61,priority=150,reg0=5001,arp,vlan_tci=0x0000,dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_tpa=10.1.0.254")
                  .find("set_field:0e:6e:76:00:13:89->arp_sha"),
              std::string::npos);
    EXPECT_NE(actions(made, "table=61,priority=150,reg0=5001,icmp6,vlan_tci=0x0000,dl_dst=0e:6e:76:00:13:89,nw_ttl=255,icmp_type=135,icmp_code=0,nd_target=fd01::fe")
                  .find("set_field:0xe6e76001389->xreg1"),
              std::string::npos);
    for (const char* claim : {"arp,arp_spa=10.1.0.254", "ip,nw_src=10.1.0.254", "ipv6,ipv6_src=fd01::fe", "icmp6,icmp_type=136,nd_target=fd01::fe",
                              // What the switch cannot read, and a neighbour may.
                              "arp,arp_op=0", "icmp6,icmp_type=136,nd_target=::", "icmp6,icmp_type=135,nd_target=::"}) {
        EXPECT_EQ(actions(made, std::string("table=60,priority=170,in_port=1,") + claim), "goto_table:64") << claim;
        EXPECT_TRUE(actions(made, std::string("table=65,priority=290,reg0=5001,reg1=0,") + claim).ends_with("goto_table:72")) << claim;
    }
    // By its MAC: the port is closed.
    world.input.tsis.push_back({"tap9", 9, "green", *base::MacAddress::parse("0e:00:00:00:00:33"), {}});
    const Pipeline closed = world.make(kGateways);
    EXPECT_EQ(actions(closed, "table=0,priority=40000,send_flow_rem,in_port=9"), "drop");
    ASSERT_EQ(closed.problems.size(), 1u);
    EXPECT_NE(closed.problems[0].text.find("gateway"), std::string::npos);
    // A mapping that claims the gateway's address or MAC changes nothing.
    world.input.tsis.pop_back();
    world.vns["red"].mappings[mac(66)] = {{ip("10.2.0.254")}, "hv2"};
    world.vns["green"].mappings[*base::MacAddress::parse("0e:00:00:00:00:33")] = {{ip("10.3.0.66")}, "hv2"};
    const Pipeline claimed = world.make(kGateways);
    EXPECT_EQ(count(claimed, "set_field:52:54:00:00:00:42->arp_sha"), 0u);
    EXPECT_EQ(count(claimed, "10.3.0.66"), 0u);
    EXPECT_EQ(actions(claimed, "table=62,priority=100,reg0=5003,reg1=1,dl_dst=0e:00:00:00:00:33"), "");
}

TEST(PolicyFlows, RoutesAtTheHostWhereThePacketEnters)
{
    World world;
    const Pipeline made = world.make(std::string(kGateways) + "10 allow from blue to red proto tcp port 80\n");
    EXPECT_EQ(actions(made, "table=61,priority=140,reg0=5001,ip,vlan_tci=0x0000,dl_dst=0e:6e:76:00:13:89"), "goto_table:65");
    EXPECT_EQ(actions(made, "table=65,priority=124,reg0=5001,reg1=1,ip,nw_src=10.1.0.0/24,nw_dst=10.2.0.0/24"),
              "dec_ttl,set_field:5001->reg4,set_field:5002->reg0,set_field:5001->reg5,set_field:1->reg6,set_field:0e:6e:76:00:13:8a->eth_src,goto_table:66");
    EXPECT_EQ(actions(made, "table=65,priority=280,reg0=5001,reg1=1,ip,nw_ttl=1"), "set_field:4->reg7,goto_table:72");
    EXPECT_EQ(count(made, "nw_dst=10.3.0.0/24"), 0u);       // no rule connects green
    // To whom it is for: by the tunnel, or as what comes by it if the VM is here.
    EXPECT_EQ(actions(made, "table=71,priority=100,reg0=5002,reg6=1,ip,nw_dst=10.2.0.9/32"), "set_field:52:54:00:00:00:5a->eth_dst,resubmit(,62)");
    EXPECT_EQ(actions(made, "table=71,priority=100,reg0=5002,reg6=1,ip,nw_dst=10.2.0.1/32"),
              "set_field:52:54:00:00:00:02->eth_dst,set_field:5002->reg5,set_field:2->reg6,resubmit(,66)");
    EXPECT_EQ(actions(made, "table=71,priority=100,reg0=5002,reg6=2,dl_dst=52:54:00:00:00:02"), "resubmit(,62)");
    // A host that cannot be reached would make it an unknown destination, which is flooded.
    EXPECT_EQ(count(made, "nw_dst=10.2.0.8"), 0u);
}

TEST(PolicyFlows, TheHostOfTheTargetAsksAgain)
{
    World world;
    const Pipeline made = world.make(std::string(kGateways) + "10 allow from blue to red proto tcp port 80\n");
    const std::string tunnel = "table=0,priority=40001,send_flow_rem,in_port=100,tun_id=500";
    for (const char* vni : {"1", "2", "3"}) {
        EXPECT_TRUE(actions(made, tunnel + vni).ends_with("goto_table:65")) << vni;
    }
    EXPECT_EQ(actions(made, "table=65,priority=300,reg0=5002,reg1=0,vlan_tci=0x0000,ip,dl_src=0e:6e:76:00:13:8a,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00,"
                            "nw_src=10.1.0.0/24,nw_dst=10.2.0.0/24"),
              "set_field:5001->reg4,set_field:5002->reg5,set_field:2->reg6,goto_table:66");
    for (const char* forged : {"dl_src=0e:6e:76:00:13:8a", "dl_dst=0e:6e:76:00:13:8a", "ip,nw_src=10.1.0.0/24", "ipv6,ipv6_src=fd01::/64"}) {
        EXPECT_TRUE(actions(made, std::string("table=65,priority=290,reg0=5002,reg1=0,") + forged).ends_with("goto_table:72")) << forged;
    }
    EXPECT_EQ(count(made, "table=65,priority=290,reg0=5003,reg1=0,ip,nw_src=10.1.0.0"), 0u);      // green may have such addresses of its own
}

TEST(PolicyFlows, ANetworkThatIsNotServedHereIsNotRouted)
{
    World world;
    world.green = false;
    const Pipeline made = world.make(std::string(kGateways) + "10 allow from blue to green\n");
    EXPECT_EQ(count(made, "10.3.0"), 0u);
    EXPECT_EQ(count(made, "5003"), 0u);
    EXPECT_TRUE(made.gateways.find("blue")->neighbours.empty());
    EXPECT_EQ(made.gateways.find("green"), nullptr);
}

TEST(PolicyFlows, ZonesDiffer)
{
    World world;
    world.vns["red"].vni = base::Vni(5001 + 0x10000);
    world.vns["green"].vni = base::Vni(0x20000);
    const Pipeline made = world.make(kGateways);
    EXPECT_EQ(made.gateways.find("blue")->zone, 5001);
    EXPECT_EQ(made.gateways.find("red")->zone, 5002);
    EXPECT_EQ(made.gateways.find("green")->zone, 1);
}

TEST(PolicyFlows, AConnectionBearsItsNetworks)
{
    World world;
    const Pipeline made = world.make(std::string(kGateways) + "10 allow from blue to red\n");
    EXPECT_EQ(actions(made, "table=70,priority=100,ct_state=+new+trk,ip"),
              "ct(commit,zone=NXM_NX_REG5[0..15],exec(move:NXM_NX_REG4[]->NXM_NX_CT_LABEL[32..63],move:NXM_NX_REG0[]->NXM_NX_CT_LABEL[0..31])),goto_table:71");
    EXPECT_EQ(actions(made, "table=67,priority=100,reg4=5002,reg0=5001,ct_state=-new-inv+rpl+trk,ip,ct_nw_src=10.1.0.0/24,ct_nw_dst=10.2.0.0/24,ct_label=0x13890000138a"),
              "goto_table:68");
}

TEST(PolicyFlows, PeopleSeeNames)
{
    World world;
    world.make("");
    auto policy = policy::parse_policy("gateway 5001 10.1.0.254/24\ngateway 5002 10.2.0.254/24\ngateway 7 10.7.0.254/24\n10 allow from 5001 to 5002\n5 deny from 7 to 5001\n");
    ASSERT_TRUE(policy);
    const auto named = with_names(std::make_shared<const policy::Policy>(*policy), *world.input.networks->directory);
    EXPECT_EQ(to_string(*named), "gateway 7 10.7.0.254/24\ngateway blue 10.1.0.254/24\ngateway red 10.2.0.254/24\n10 allow from blue to red\n5 deny from 7 to blue\n");
    EXPECT_NE(named->find("red"), nullptr);
}

TEST(PolicyFlows, OneNetworkByTwoNames)
{
    World world;
    const Pipeline made = world.make("gateway 5001 10.1.0.254/24\ngateway blue 10.9.0.254/24\n");
    ASSERT_EQ(made.gateways.problems().size(), 1u);
    EXPECT_NE(made.gateways.problems()[0].find("line 2"), std::string::npos);
    EXPECT_EQ(count(made, "10.9.0.254"), 0u);
}

TEST(PolicyFlows, EachMatchIsThereOnce)
{
    World world;
    const Pipeline made = world.make(std::string(kGateways) +
                                     "10 allow from blue to red proto tcp port 80\n10 allow from blue to red proto tcp port 80 log\n"
                                     "9 deny from blue to red stateless\n8 log from red to blue\n");
    std::map<std::string, int> matches;
    for (const std::string& flow : made.flows) {
        EXPECT_EQ(++matches[flow.substr(0, flow.find(" actions="))], 1) << flow;
    }
    auto counts = [&](const Counted& what) { return std::ranges::count(made.counted, what, &CountedFlow::what); };
    EXPECT_EQ(counts({Counted::Kind::rule, "10 allow from blue to red proto tcp port 80"}), 8);       // both families and directions, and fragments
    EXPECT_EQ(counts({Counted::Kind::rule, "10 allow from blue to red proto tcp port 80 log"}), 8);
    EXPECT_EQ(counts({Counted::Kind::by_default, "red", "blue"}), 4);
}

// In table 66 no fragment has a port: it must meet the rule that speaks of one all the same.
TEST(PolicyFlows, FragmentsDoNotPassByRulesOfPorts)
{
    World world;
    const std::string head = "table=66,priority=200,reg4=5001,reg0=5002,ip,nw_proto=6", rest = "100 allow from blue to red proto tcp stateless\n";
    const auto with = [&](const std::string& rule) { return world.make(kGateways + rule + "\n" + rest); };
    EXPECT_EQ(actions(with("200 deny from blue to red proto tcp port 22 stateless"), head + ",ip_frag=yes"), "set_field:9->reg7,goto_table:72");
    EXPECT_TRUE(actions(with("200 deny from blue to red proto tcp port 22"), head + ",ip_frag=yes").starts_with("ct("));
    EXPECT_TRUE(actions(with("200 allow from blue to red proto tcp port 22"), head + ",ip_frag=yes").starts_with("ct("));
    EXPECT_EQ(actions(with("200 allow from blue to red proto tcp port 22 stateless"), head + ",ip_frag=yes"), "");
}

// Flows and policy::decide() agree about the first packet of each connection, and its
// answers share its fate.
TEST(PolicyFlows, DecideAsThePolicySays)
{
    std::mt19937 random(20261130);
    auto pick = [&](auto list) { return std::string(*(std::begin(list) + random() % std::size(list))); };
    const std::map<std::string, uint64_t> vnis = {{"blue", 5001}, {"red", 5002}, {"green", 5003}};
    const std::vector<std::string> names = {"blue", "red", "green"};
    size_t allowed = 0, denied = 0, stateless = 0;
    for (int round = 0; round < 30; round++) {
        std::string text = kGateways;
        for (int i = 0; i < 12; i++) {
            const std::string from = pick(names);
            std::string to = pick(names);
            if (from == to) {
                continue;
            }
            auto end = [&](const std::string& vn) {
                const std::string net = std::to_string(vnis.at(vn) - 5000);
                return vn + pick(std::vector<std::string>{"", "", " 10." + net + ".0.0/28", " 10." + net + ".0.9/32"});
            };
            const std::string proto = pick(std::vector<std::string>{"", " proto tcp", " proto udp port 53", " proto tcp port 22-1030", " proto icmp"});
            text += std::to_string(100 + i) + pick(std::vector<std::string>{" allow", " allow", " deny"}) + " from " + end(from) + " to " + end(to) + proto +
                    pick(std::vector<std::string>{"", "", "", " stateless"}) + "\n";
        }
        if (!policy::parse_policy(text)) {
            continue;
        }
        World world;
        const Pipeline made = world.make(text);
        const Table entry(made, 66), connections(made, 67), rules(made, 69);
        for (int i = 0; i < 60; i++) {
            const std::string from = pick(names), net = std::to_string(vnis.at(from) - 5000);
            const std::string to = pick(names), other = std::to_string(vnis.at(to) - 5000);
            if (from == to) {
                continue;
            }
            const std::string host = pick(std::vector<std::string>{"1", "9", "100"}), peer = pick(std::vector<std::string>{"1", "9", "100"});
            const bool v4 = random() % 3 != 0 || from == "green" || to == "green";
            Packet packet{{}, ip(v4 ? "10." + net + ".0." + host : "fd0" + net + "::" + host), ip(v4 ? "10." + other + ".0." + peer : "fd0" + other + "::" + peer)};
            packet.numbers = {{"reg4", vnis.at(from)}, {"reg0", vnis.at(to)}, {"proto", std::stoul(pick(std::vector<std::string>{"1", "6", "6", "17"}))},
                              {"port", std::stoul(pick(std::vector<std::string>{"0", "21", "22", "53", "80", "1024", "1030", "1031"}))}};
            const policy::Verdict verdict = policy::decide(*world.input.policy, from, packet.source, packet.destination,
                                                           static_cast<uint8_t>(packet.numbers["proto"]), static_cast<uint16_t>(packet.numbers["port"]));
            const std::string said = text + packet.source.to_string() + " " + packet.destination.to_string() + " " +
                                     std::to_string(packet.numbers["proto"]) + " " + std::to_string(packet.numbers["port"]) + ": " + verdict.reason;
            if (verdict.to.empty()) {
                EXPECT_EQ(count(made, "nw_src=10." + net + ".0.0/24,nw_dst=10." + other + ".0.0/24"), 0u) << said;
                continue;
            }
            std::string decided = entry.lookup(packet);
            if (decided.starts_with("ct(")) {
                EXPECT_EQ(connections.lookup(packet), "goto_table:68") << said;
                decided = rules.lookup(packet);
                EXPECT_FALSE(verdict.rule && verdict.rule->stateless) << said;
                Packet second = packet;
                second.label = vnis.at(from) << 32 | vnis.at(to);
                Packet answer = second;
                answer.reply = true;
                std::swap(answer.numbers["reg0"], answer.numbers["reg4"]);
                for (Packet later : {second, answer}) {
                    EXPECT_EQ(connections.lookup(later), "goto_table:68") << said;
                    EXPECT_EQ(rules.lookup(later), decided) << said;
                    // Of networks that had the zone before, or of nobody that we know.
                    for (uint64_t other_label : {second.label ^ 0x10000, second.label ^ 0x1000000000000, uint64_t{1}}) {
                        later.label = other_label;
                        EXPECT_EQ(connections.lookup(later), "set_field:7->reg7,goto_table:72") << said;
                    }
                }
            } else {
                ASSERT_TRUE(verdict.rule && verdict.rule->stateless) << said;
                stateless++;
            }
            const std::string expected = !verdict.allowed ? "set_field:9->reg7,goto_table:72" : verdict.rule->stateless ? "goto_table:71" : "goto_table:70";
            EXPECT_EQ(decided, expected) << said;
            (verdict.allowed ? allowed : denied)++;
        }
    }
    // All of it was met.
    EXPECT_GT(allowed, 60u);
    EXPECT_GT(denied, 60u);
    EXPECT_GT(stateless, 20u);
}

}  // namespace
}  // namespace nvo3::agent
