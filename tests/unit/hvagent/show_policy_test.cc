// SPDX-License-Identifier: Apache-2.0
#include "hvagent/show_policy.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace nvo3::agent {
namespace {

constexpr const char* kText =
    "gateway blue 10.1.0.254/24\n"
    "gateway red 10.2.0.254/24\n"
    "gateway green 10.3.0.254/24\n"
    "200 deny from blue to red proto tcp port 22 log\n"
    "100 allow from blue to red proto tcp\n"
    "50 log from blue to red\n"
    "10 allow from blue to green\n";

// Blue and red are served here, green is not; 10.2.0.9 is at hv2.
struct World {
    PolicyKeeper keeper;
    PolicyCounters counters;
    NetworkView networks;
    Pipeline pipeline;

    World()
    {
        auto directory = std::make_shared<DirectoryView>();
        for (auto [name, number] : {std::pair("blue", 5001u), {"red", 5002u}}) {
            auto vn = std::make_shared<VnView>();
            vn->vni = base::Vni(number);
            vn->name = name;
            vn->encap = base::Encap::geneve;
            vn->mappings[*base::MacAddress::parse("0a:00:00:00:00:09")] = {{*base::IpAddress::parse(number == 5001 ? "10.1.0.9" : "10.2.0.9")}, "hv2"};
            directory->vns[vn->vni] = vn;
            networks.reach[vn->vni].members = {{"hv2", {*base::IpAddress::parse("192.0.2.1"), *base::IpAddress::parse("192.0.2.2")}}};
        }
        networks.directory = directory;
        keeper.take("the NVA", kText, 3);
        PipelineInput input;
        input.networks = std::make_shared<const NetworkView>(networks);
        input.tunnel_ports = {{base::Encap::geneve, 1}};
        input.policy = keeper.policy();
        pipeline = make_pipeline(input);
        counters.set_flows(pipeline.counted);
    }

    PolicyState state() const { return {keeper, keeper.policy(), pipeline, counters, networks, 1, ""}; }

    std::string trace(std::vector<std::string> words, bool json = false)
    {
        auto answer = trace_policy(state(), words, json);
        return answer ? *answer : "error: " + answer.error().text;
    }
};

TEST(ShowPolicy, RulesWithTheirPackets)
{
    World world;
    for (const CountedFlow& flow : world.pipeline.counted) {
        if (flow.what.text.starts_with("200 ")) {
            world.counters.tell(flow.flow, 2);
        } else if (flow.what.kind == Counted::Kind::by_default && flow.what.text == "red") {
            world.counters.tell(flow.flow, 1);
        }
    }
    const std::string text = show_policy(world.state(), false);
    for (const char* words : {"policy of the NVA, version 3", "gateway blue 10.1.0.254/24: VNI 5001, 0e:6e:76:00:13:89, conntrack zone 5001",
                              "gateway green 10.3.0.254/24: not served here", "line 4: 200 deny from blue to red proto tcp port 22 log: 4 packets",
                              "line 7: 10 allow from blue to green: a network is not served here", "from red to blue, no rule: denied, 4 packets"}) {
        EXPECT_NE(text.find(words), std::string::npos) << words << "\n" << text;
    }
    const auto json = nlohmann::json::parse(show_policy(world.state(), true));
    EXPECT_EQ(json["rules"][0]["packets"], 4);
    EXPECT_EQ(json["gateways"].size(), 3u);
    EXPECT_TRUE(json["error"].is_null());
    world.keeper.take("the NVA", "what", 4);
    EXPECT_NE(show_policy(world.state(), false).find("problem: the NVA, line 1"), std::string::npos);
}

TEST(ShowPolicy, TraceTellsTheRuleAndWhy)
{
    World world;
    const struct {
        std::vector<std::string> words;
        const char* says;
        bool passes;
    } rows[] = {
        {{"blue", "10.1.0.9", "10.2.0.9", "tcp", "80"}, "rule of line 5", true},
        {{"blue", "10.1.0.9", "10.2.0.9", "tcp", "80"}, "logged by the rule of line 6", true},
        {{"5001", "10.1.0.9", "10.2.0.9", "tcp", "80"}, "to 0a:00:00:00:00:09 in network red (VNI 5002) at hv2", true},
        {{"blue", "10.1.0.9", "10.2.0.9", "tcp", "22"}, "rule of line 4", false},
        {{"blue", "10.1.0.9", "10.2.0.9", "udp", "22"}, "denied by default", false},
        {{"blue", "10.1.0.9", "10.2.0.8", "tcp", "80"}, "nobody in network red (VNI 5002) is known to have 10.2.0.8", false},
        {{"blue", "10.1.0.9", "10.2.0.254", "tcp", "80"}, "answers in its own network only", false},
        {{"blue", "10.1.0.9", "10.1.0.254", "icmp"}, "the gateway itself", false},
        {{"blue", "10.1.0.9", "10.3.0.9", "tcp", "80"}, "network green is not served here", false},
        {{"green", "10.3.0.9", "10.1.0.9", "tcp", "80"}, "network green is not served here", false},
        {{"blue", "10.1.0.9", "10.1.0.8", "tcp", "80"}, "no gateway between them", true},
    };
    for (const auto& row : rows) {
        const std::string answer = world.trace(row.words);
        EXPECT_NE(answer.find(row.says), std::string::npos) << answer;
        EXPECT_TRUE(answer.ends_with(row.passes ? "passes\n" : "dropped\n")) << answer;
    }
    const auto json = nlohmann::json::parse(world.trace({"blue", "10.1.0.9", "10.2.0.9", "tcp", "80"}, true));
    EXPECT_EQ(json["host"], "hv2");
    EXPECT_EQ(json["line"], 5);
    EXPECT_TRUE(world.trace({"blue"}).starts_with("error: say VN SRC DST PROTO"));
    EXPECT_EQ(world.trace({"blue", "10.1.0", "10.2.0.9", "tcp"}), "error: 10.1.0 is not an IP address");
    EXPECT_TRUE(world.trace({"blue", "10.1.0.1", "10.2.0.9", "tpc"}).starts_with("error: tpc"));
    EXPECT_EQ(world.trace({"blue", "10.1.0.1", "10.2.0.9", "tcp", "70000"}), "error: 70000 is not a port from 0 to 65535");
}

}  // namespace
}  // namespace nvo3::agent
