// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of ovs-ext/engine/guard_rules.h and guard.h.
#include "ovs-ext/engine/guard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <climits>
#include <functional>
#include <vector>

namespace nvo3::engine {
namespace {

using base::Vni;

constexpr uint32_t kTunnel = 9;         // its VNI is the flow's
constexpr uint32_t kVm = 3;             // of a network
constexpr uint32_t kOther = 4;

nvo3_guard_step
step(nvo3_guard_op op)
{
    nvo3_guard_step made{};
    made.op = op;
    return made;
}

nvo3_guard_step
vni(uint32_t value, uint32_t mask = Vni::kMax)
{
    nvo3_guard_step made = step(NVO3_GUARD_SET_VNI);
    made.value = value;
    made.mask = mask;
    return made;
}

nvo3_guard_step
port(nvo3_guard_op op, uint32_t number)
{
    nvo3_guard_step made = step(op);
    made.port = number;
    made.of_network = number == kVm || number == kTunnel;
    return made;
}

nvo3_guard_step
output(uint32_t number)
{
    return port(NVO3_GUARD_OUTPUT, number);
}

nvo3_guard_step
table(uint8_t number)
{
    nvo3_guard_step made = step(NVO3_GUARD_TABLE);
    made.table = number;
    return made;
}

nvo3_guard_step
zone(uint32_t number)
{
    nvo3_guard_step made = step(NVO3_GUARD_CT_COMMIT);
    made.value = number;
    return made;
}

using Steps = std::vector<nvo3_guard_step>;
using Change = std::function<void(nvo3_guard_change&)>;

GuardVerdict
verdict_of(nvo3_guard_who who, const Steps& steps, const Change& change, bool has_tunnel = true, bool awaits_pipeline = false,
           bool served_known = true)
{
    static const std::set<Vni> served{Vni(5001), Vni(5002)};
    const std::set<uint32_t> tunnels = has_tunnel ? std::set<uint32_t>{kTunnel} : std::set<uint32_t>{};
    nvo3_guard_change made{};
    made.what = NVO3_GUARD_FLOW;
    made.who = who;
    made.connection = "tcp:192.0.2.1";
    made.adds = true;
    made.table = 5;
    made.priority = 100;
    made.steps = steps.data();
    made.n_steps = steps.size();
    if (change) {
        change(made);
    }
    return judge(made, {served, tunnels, awaits_pipeline, served_known});
}

struct Row {
    const char* what;
    Steps steps;
    Change change;
    GuardReason reason;
};

// Whoever sends it.
TEST(GuardRules, Networks)
{
    using enum GuardReason;
    const auto matches = [](uint32_t value, uint32_t mask = Vni::kMax) {
        return [=](nvo3_guard_change& change) { change.vni = value; change.vni_mask = mask; };
    };
    const Row rows[] = {
        {"nothing", {}, {}, none},
        {"a served VNI, tunnel", {vni(5001), output(kTunnel)}, {}, none},
        {"another served one", {vni(5002), output(kTunnel)}, {}, none},
        {"an unserved VNI", {vni(7777)}, {}, sets_unserved_vni},
        {"an unserved VNI after a served one", {vni(5001), output(kTunnel), vni(7777)}, {}, sets_unserved_vni},
        {"out of its network", {vni(0)}, {}, none},
        {"out of its network and into a tunnel", {vni(5001), vni(0), output(kTunnel)}, {}, output_without_vni},
        {"a VNI that is not known", {step(NVO3_GUARD_SET_VNI_ANY)}, {}, sets_unknown_vni},
        {"a part of the VNI", {vni(0x89, 0xff)}, {}, sets_unknown_vni},
        {"a part of a known one: 0x1389", {vni(0x1300), vni(0x89, 0xff), output(kTunnel)}, {}, sets_unserved_vni},
        {"a part of a matched one: 0x138a", {vni(0x8a, 0xff), output(kTunnel)}, matches(5001), none},
        {"a part of a matched one: 0x138b", {vni(0x8b, 0xff)}, matches(5001), sets_unserved_vni},
        {"mask of nothing", {vni(0, 0)}, {}, sets_unknown_vni},
        {"tunnel without a VNI", {output(kTunnel)}, {}, output_without_vni},
        {"tunnel with a matched VNI", {output(kTunnel)}, matches(5001), none},
        {"a port from a register", {step(NVO3_GUARD_OUTPUT_ANY)}, {}, output_without_vni},
        {"a port from a register, VNI set", {vni(5001), step(NVO3_GUARD_OUTPUT_ANY)}, {}, none},
        {"no tunnel", {output(kOther)}, {}, none},
        {"behind another table", {vni(5001), table(7), output(kTunnel)}, {}, none},
        {"a part of what another table has set", {vni(5001), table(7), vni(0x8a, 0xff)}, {}, sets_unknown_vni},
        {"set on a copy only", {step(NVO3_GUARD_PUSH), vni(5001), step(NVO3_GUARD_POP), output(kTunnel)}, {}, output_without_vni},
        {"set before the copy", {vni(5001), step(NVO3_GUARD_PUSH), output(kTunnel), vni(0), step(NVO3_GUARD_POP), output(kTunnel)}, {}, none},
        {"unserved on a copy", {step(NVO3_GUARD_PUSH), vni(7777), step(NVO3_GUARD_POP)}, {}, sets_unserved_vni},
        {"more ends than copies", {step(NVO3_GUARD_POP), vni(5001), output(kTunnel)}, {}, none},
        {"matches a served VNI", {}, matches(5001), none},
        {"matches an unserved VNI", {}, matches(7777), matches_unserved_vni},
        {"matches VNIs of which some are served", {}, matches(0x1380, 0xfffff0), none},
        {"matches VNIs of which none is served", {}, matches(0x1370, 0xfffff0), matches_unserved_vni},
        {"matches no network", {}, matches(0), none},
        {"matches an unserved VNI from another port", {}, [](nvo3_guard_change& change) {
             change.vni = 7777, change.vni_mask = Vni::kMax, change.in_port_known = true, change.in_port = kOther; }, none},
        {"matches an unserved VNI from the tunnel", {}, [](nvo3_guard_change& change) {
             change.vni = 7777, change.vni_mask = Vni::kMax, change.in_port_known = true, change.in_port = kTunnel; }, matches_unserved_vni},
        {"a packet with an unserved VNI", {}, [](nvo3_guard_change& change) {
             change.what = NVO3_GUARD_PACKET_OUT, change.vni = 7777, change.vni_mask = Vni::kMax, change.in_port_known = true; }, sets_unserved_vni},
        {"a packet with a served VNI, tunnel", {output(kTunnel)}, [](nvo3_guard_change& change) {
             change.what = NVO3_GUARD_RESUME, change.vni = 5001, change.vni_mask = Vni::kMax, change.in_port_known = true; }, none},
        {"a bucket without a VNI", {step(NVO3_GUARD_PUSH), output(kTunnel), step(NVO3_GUARD_POP)},
         [](nvo3_guard_change& change) { change.what = NVO3_GUARD_GROUP; }, output_without_vni},
    };
    for (const Row& row : rows) {
        for (nvo3_guard_who who : {NVO3_GUARD_LOCAL, NVO3_GUARD_CONTROLLER, NVO3_GUARD_SWITCH}) {
            const GuardVerdict verdict = verdict_of(who, row.steps, row.change);
            EXPECT_STREQ(to_string(verdict.reason), to_string(row.reason)) << row.what << ", " << who << ": " << verdict.text;
            EXPECT_EQ(verdict.text.empty(), row.reason == none) << row.what;
        }
    }
}

TEST(GuardRules, WithoutSuchATunnelOnlyWhatIsSetCounts)
{
    EXPECT_TRUE(verdict_of(NVO3_GUARD_LOCAL, {output(kTunnel)}, {}, false));
    EXPECT_TRUE(verdict_of(NVO3_GUARD_LOCAL, {step(NVO3_GUARD_OUTPUT_ANY)}, {}, false));
    EXPECT_TRUE(verdict_of(NVO3_GUARD_LOCAL, {}, [](nvo3_guard_change& change) { change.vni = 7777, change.vni_mask = Vni::kMax; }, false));
    EXPECT_FALSE(verdict_of(NVO3_GUARD_LOCAL, {vni(7777)}, {}, false));
}

// What controllers may not, and "learn" neither, while the flows of hvagent are there.
TEST(GuardRules, Pipeline)
{
    using enum GuardReason;
    const auto at = [](uint8_t number, int priority, uint32_t in_port = 0) {
        return [=](nvo3_guard_change& change) {
            change.table = number;
            change.priority = priority;
            change.in_port_known = in_port != 0;
            change.in_port = in_port;
            change.in_port_of_network = in_port == kVm;
        };
    };
    const auto packet = [](nvo3_guard_what what, uint32_t in_port, uint8_t number = 0) {
        return [=](nvo3_guard_change& change) {
            change.what = what;
            change.table = number;
            change.in_port_known = true;
            change.in_port = in_port;
            change.in_port_of_network = in_port == kVm;
        };
    };
    const nvo3_guard_step any = step(NVO3_GUARD_OTHER);
    const Row rows[] = {
        {"a flow of its own", {any}, {}, none},
        {"hvagent's cookie", {any}, [](nvo3_guard_change& change) { change.own = true; }, claims_cookie},
        {"learns flows of hvagent's cookie", {step(NVO3_GUARD_LEARN_OWN), any}, {}, claims_cookie},
        {"the same on a copy", {step(NVO3_GUARD_PUSH), step(NVO3_GUARD_LEARN_OWN), step(NVO3_GUARD_POP)}, {}, claims_cookie},
        {"in place of hvagent's", {any}, [](nvo3_guard_change& change) { change.replaces_own = true; }, changes_pipeline},
        {"deletes hvagent's", {}, [](nvo3_guard_change& change) { change.replaces_own = true, change.adds = false; }, changes_pipeline},
        {"deletes another in its tables", {}, [](nvo3_guard_change& change) { change.table = 60, change.adds = false; }, none},
        {"table 59", {any}, at(59, 1), none},
        {"table 60", {any}, at(60, 1), uses_pipeline_table},
        {"table 60, drop", {}, at(60, 1), uses_pipeline_table},
        {"table 79", {any}, at(79, 1), uses_pipeline_table},
        {"table 80", {any}, at(80, 1), none},
        {"any port, before", {any}, at(0, 40000), bypasses_pipeline},
        {"any port, behind", {any}, at(0, 39999), none},
        {"any port, drop", {}, at(0, 50000), none},
        {"the port of a VM, before", {any}, at(0, 65535, kVm), bypasses_pipeline},
        {"the port of a VM, behind", {any}, at(0, 39999, kVm), none},
        {"another port, before", {any}, at(0, 65535, kOther), none},
        {"to a VM", {output(kVm)}, {}, output_to_network},
        {"to another port", {output(kOther)}, {}, none},
        {"to its tunnel", {vni(5001), output(kTunnel)}, {}, output_to_network},
        {"to a port from a register", {step(NVO3_GUARD_OUTPUT_ANY)}, {}, output_to_network},
        {"to a VM on a copy", {step(NVO3_GUARD_PUSH), output(kVm), step(NVO3_GUARD_POP)}, {}, output_to_network},
        {"in a group", {output(kVm)}, [](nvo3_guard_change& change) { change.what = NVO3_GUARD_GROUP; }, output_to_network},
        {"on to table 59", {table(59)}, {}, none},
        {"on to table 62", {table(62)}, {}, enters_pipeline},
        {"as a VM", {port(NVO3_GUARD_SET_IN_PORT, kVm), table(0)}, {}, injects_packets},
        {"as another port", {port(NVO3_GUARD_SET_IN_PORT, kOther), table(0)}, {}, none},
        {"as a port from a register", {step(NVO3_GUARD_SET_IN_PORT_ANY)}, {}, injects_packets},
        {"a packet from a VM", {any}, packet(NVO3_GUARD_PACKET_OUT, kVm), injects_packets},
        {"a packet to a VM", {output(kVm)}, packet(NVO3_GUARD_PACKET_OUT, kOther), output_to_network},
        {"a packet", {any}, packet(NVO3_GUARD_PACKET_OUT, kOther), none},
        {"resumes in table 61", {}, packet(NVO3_GUARD_RESUME, kOther, 61), enters_pipeline},
        {"resumes elsewhere", {any}, packet(NVO3_GUARD_RESUME, kOther, 6), none},
        {"the port of a VM", {}, packet(NVO3_GUARD_PORT_MOD, kVm), changes_port},
        {"another port", {}, packet(NVO3_GUARD_PORT_MOD, kOther), none},
        {"configures table 61", {}, packet(NVO3_GUARD_TABLE_MOD, kOther, 61), uses_pipeline_table},
        {"configures the table before", {}, packet(NVO3_GUARD_TABLE_MOD, kOther, 59), uses_pipeline_table},
        {"configures the one before that", {}, packet(NVO3_GUARD_TABLE_MOD, kOther, 58), none},
        {"configures all tables", {}, packet(NVO3_GUARD_TABLE_MOD, kOther, 255), uses_pipeline_table},
        {"configures another table", {}, packet(NVO3_GUARD_TABLE_MOD, kOther, 1), none},
        {"a connection of a network", {zone(5001)}, {}, changes_connections},
        {"a connection of none", {zone(5003)}, {}, none},
        {"a connection in everybody's zone", {zone(0)}, {}, none},
        {"a connection in a zone of a register", {step(NVO3_GUARD_CT_COMMIT_ANY)}, {}, changes_connections},
        {"ends connections", {}, packet(NVO3_GUARD_CT_FLUSH, kOther), changes_connections},
    };
    for (const Row& row : rows) {
        for (nvo3_guard_who who : {NVO3_GUARD_CONTROLLER, NVO3_GUARD_SWITCH}) {
            const GuardVerdict verdict = verdict_of(who, row.steps, [&](nvo3_guard_change& change) {
                change.pipeline = true;
                if (row.change) {
                    row.change(change);
                }
            });
            EXPECT_STREQ(to_string(verdict.reason), to_string(row.reason)) << row.what << ": " << verdict.text;
        }
        // The management socket may, as far as networks are served.
        const GuardVerdict local = verdict_of(NVO3_GUARD_LOCAL, row.steps, [&](nvo3_guard_change& change) {
            change.pipeline = true;
            if (row.change) {
                row.change(change);
            }
        });
        EXPECT_TRUE(local || local.reason == output_without_vni) << row.what << ": " << local.text;
        // Without the flows of hvagent there is nothing to bypass, only they themselves stay.
        const GuardVerdict bare = verdict_of(NVO3_GUARD_CONTROLLER, row.steps, row.change);
        EXPECT_TRUE(bare || bare.reason == output_without_vni || bare.reason == claims_cookie || bare.reason == changes_pipeline)
            << row.what << ": " << bare.text;
    }
}

// After a restart of the switch, say: a controller is there before hvagent.
TEST(GuardRules, BeforeTheFlowsOfHvagentAreThere)
{
    using enum GuardReason;
    const auto at = [](uint8_t number, int priority, uint32_t in_port = 0) {
        return [=](nvo3_guard_change& change) {
            change.table = number, change.priority = priority, change.in_port_known = in_port != 0, change.in_port = in_port;
        };
    };
    const auto packet = [](nvo3_guard_what what, uint32_t in_port, uint8_t number = 0) {
        return [=](nvo3_guard_change& change) { change.what = what, change.table = number, change.in_port_known = true, change.in_port = in_port; };
    };
    // The shim finds no port of a network, as there are no flows that tell.
    const auto to = [](nvo3_guard_op op, uint32_t number) {
        nvo3_guard_step made = step(op);
        made.port = number;
        return made;
    };
    const nvo3_guard_step any = step(NVO3_GUARD_OTHER);
    const Row rows[] = {
        {"a flow of its own", {any}, {}, none},
        {"before all, to a port", {to(NVO3_GUARD_OUTPUT, kVm)}, at(0, 65535), bypasses_pipeline},
        {"of a port", {any}, at(0, 65535, kOther), bypasses_pipeline},
        {"of a port, and nothing is there that goes before it", {any}, at(0, 1, kOther), bypasses_pipeline},
        {"of a port, drop", {}, at(0, 65535, kOther), none},
        {"in its tables", {any}, at(61, 1), uses_pipeline_table},
        {"to a port", {to(NVO3_GUARD_OUTPUT, kOther)}, {}, output_to_network},
        {"to LOCAL", {to(NVO3_GUARD_OUTPUT, 0xfffe)}, {}, output_to_network},
        {"to a port in a group", {to(NVO3_GUARD_OUTPUT, kOther)}, [](nvo3_guard_change& change) { change.what = NVO3_GUARD_GROUP; }, output_to_network},
        {"as a port", {to(NVO3_GUARD_SET_IN_PORT, kOther)}, {}, injects_packets},
        {"on to table 62", {table(62)}, {}, enters_pipeline},
        {"a connection of any network", {zone(77)}, {}, changes_connections},
        {"a connection in everybody's zone", {zone(0)}, {}, none},
        {"a packet from a port", {any}, packet(NVO3_GUARD_PACKET_OUT, kOther), injects_packets},
        {"a packet of the controller's own", {any}, packet(NVO3_GUARD_PACKET_OUT, 0xfffd), none},
        {"a port", {}, packet(NVO3_GUARD_PORT_MOD, kOther), changes_port},
        {"a table", {}, packet(NVO3_GUARD_TABLE_MOD, 0, 61), uses_pipeline_table},
        {"ends connections", {}, packet(NVO3_GUARD_CT_FLUSH, 0), changes_connections},
    };
    for (const Row& row : rows) {
        for (nvo3_guard_who who : {NVO3_GUARD_CONTROLLER, NVO3_GUARD_SWITCH}) {
            const GuardVerdict verdict = verdict_of(who, row.steps, row.change, true, true);
            EXPECT_STREQ(to_string(verdict.reason), to_string(row.reason)) << row.what << ": " << verdict.text;
        }
        EXPECT_TRUE(verdict_of(NVO3_GUARD_LOCAL, row.steps, row.change, false, true)) << row.what;
        EXPECT_TRUE(verdict_of(NVO3_GUARD_CONTROLLER, row.steps, row.change, false)) << row.what << ", and they do not belong there";
    }
}

// The flows are there, but hvagent has not said yet what is served: any zone may be of a network.
TEST(GuardRules, ZonesBeforeHvagentHasToldTheNetworks)
{
    const auto there = [](nvo3_guard_change& change) { change.pipeline = true; };
    EXPECT_EQ(verdict_of(NVO3_GUARD_CONTROLLER, {zone(77)}, there, true, true, false).reason, GuardReason::changes_connections);
    EXPECT_TRUE(verdict_of(NVO3_GUARD_CONTROLLER, {zone(0)}, there, true, true, false));
    EXPECT_TRUE(verdict_of(NVO3_GUARD_CONTROLLER, {zone(77)}, there, true, true, true));
    EXPECT_TRUE(verdict_of(NVO3_GUARD_CONTROLLER, {zone(77)}, {}, true, false, false)) << "no networks here";
}

void
expect_zones(const std::set<Vni>& served, std::initializer_list<std::pair<uint32_t, bool>> zones)
{
    const std::set<uint32_t> tunnels;
    for (const auto& [number, taken] : zones) {
        const nvo3_guard_step one = zone(number);
        nvo3_guard_change change{};
        change.who = NVO3_GUARD_CONTROLLER;
        change.pipeline = true;
        change.steps = &one;
        change.n_steps = 1;
        EXPECT_EQ(!judge(change, {served, tunnels}), taken) << number;
    }
}

// As hvagent gives them (policy_flows.cc): never zone 0.
TEST(GuardRules, ZonesOfNetworksWhoseLowBitsAreTheSame)
{
    expect_zones({Vni(0x00ffff), Vni(0x01ffff), Vni(0x02ffff)}, {{0xffff, true}, {0, false}, {1, true}, {2, true}, {3, false}});
    expect_zones({Vni(0x010000)}, {{0, false}, {1, true}, {2, false}});
    expect_zones({Vni(0x000001), Vni(0x010000)}, {{0, false}, {1, true}, {2, true}, {3, false}});
}

TEST(GuardRules, HvagentItselfIsBelieved)
{
    const auto own = [](nvo3_guard_change& change) { change.own = true, change.pipeline = true, change.table = 62; };
    EXPECT_TRUE(verdict_of(NVO3_GUARD_LOCAL, {vni(7777), output(kTunnel)}, own));
    EXPECT_FALSE(verdict_of(NVO3_GUARD_CONTROLLER, {vni(5001), output(kTunnel)}, own));
}

// ---- Guard ----

class GuardTest : public testing::Test {
protected:
    GuardTest()
    {
        EXPECT_TRUE(guard.set_bridge("br", "enforce").ok());
        set_ports("flow", {});
        guard.set_port("br", kTunnel, "tun");
    }

    // One port with key=flow and these networks by its own configuration.
    void set_ports(const char*, std::vector<Vni> vnis)
    {
        PortConfig config;
        config.name = "tun";
        config.key_flow = true;
        config.vnis = std::move(vnis);
        PortTable table;
        table.put(config);
        guard.ports_changed(table.all());
    }

    bool sets(uint32_t number, const char* bridge = "br")
    {
        const Steps steps{vni(number)};
        nvo3_guard_change change{};
        change.adds = true;
        change.connection = "punix:mgmt";
        change.steps = steps.data();
        change.n_steps = steps.size();
        return guard.permits(bridge, change, now);
    }

    int woken = 0;
    long long now = 100000;
    Guard guard{[this] { woken++; }};
};

TEST_F(GuardTest, Modes)
{
    EXPECT_TRUE(guard.is_on("br"));
    EXPECT_FALSE(sets(7777));
    ASSERT_TRUE(guard.set_bridge("br", "log").ok());
    EXPECT_TRUE(guard.is_on("br"));
    EXPECT_TRUE(sets(7777));
    ASSERT_TRUE(guard.set_bridge("br", "off").ok());
    EXPECT_FALSE(guard.is_on("br"));
    EXPECT_TRUE(sets(7777));
    EXPECT_TRUE(sets(7777, "another"));
    ASSERT_TRUE(guard.set_bridge("br", nullptr).ok());
    EXPECT_TRUE(sets(7777)) << "the default is log";
    EXPECT_NE(guard.show("br", false).find("refused 1, would have refused 2"), std::string::npos) << guard.show("br", false);
}

// Whether hvagent's flows belong in the bridge is the bridge's configuration.
TEST_F(GuardTest, FlowsOfHvagentThatBelongHere)
{
    const Steps steps{step(NVO3_GUARD_OTHER)};
    nvo3_guard_change change{};
    change.who = NVO3_GUARD_CONTROLLER;
    change.adds = true;
    change.table = 62;
    change.steps = steps.data();
    change.n_steps = steps.size();
    EXPECT_TRUE(guard.permits("br", change, now));
    ASSERT_TRUE(guard.set_bridge("br", "enforce", true).ok());
    EXPECT_FALSE(guard.permits("br", change, now));
    EXPECT_NE(guard.objection("br", change), "");
    ASSERT_TRUE(guard.set_bridge("br", nullptr, true).ok());
    EXPECT_TRUE(guard.permits("br", change, now)) << "the default is log";
    EXPECT_NE(guard.show("br", false).find("refused 1, would have refused 1"), std::string::npos) << "which counts: " << guard.show("br", false);
    EXPECT_EQ(guard.take_notices(now).size(), 1u) << "and tells";

    ASSERT_TRUE(guard.set_bridge("br", "enforce", true).ok());
    const Steps commits{zone(77)};
    change.table = 5;
    change.pipeline = true;
    change.steps = commits.data();
    EXPECT_FALSE(guard.permits("br", change, now)) << "nobody has told which networks there are";
    guard.agent_serves({Vni(5001)});
    EXPECT_TRUE(guard.permits("br", change, now));
    change.pipeline = false;
    EXPECT_FALSE(guard.permits("br", change, now));
    ASSERT_TRUE(guard.set_bridge("br", "enforce").ok());
    EXPECT_TRUE(guard.permits("br", change, now)) << "they belong here no longer";
}

TEST_F(GuardTest, NoticesWaitForAnAgent)
{
    EXPECT_TRUE(guard.take_held().empty());
    guard.hold({"br", "tcp:192.0.2.1", "bypasses_pipeline", "one", true, 2});
    guard.hold({"br", "tcp:192.0.2.2", "bypasses_pipeline", "two", true, 3});
    guard.hold({"br", "tcp:192.0.2.2", "bypasses_pipeline", "passed", false, 1});
    guard.hold({"br", "tcp:192.0.2.2", "claims_cookie", "another kind", true, 1});
    const auto notices = guard.take_held();
    ASSERT_EQ(notices.size(), 3u);
    EXPECT_NE(std::ranges::find(notices, esp::msg::GuardNotice{"br", "tcp:192.0.2.2", "bypasses_pipeline", "two", true, 5}), notices.end());
    EXPECT_TRUE(guard.take_held().empty());
}

TEST_F(GuardTest, AWrongModeEnforcesAndIsNamed)
{
    for (const char* mode : {"", "Enforce", "on", "logg"}) {
        ASSERT_TRUE(guard.set_bridge("br", "off").ok());
        const base::Status status = guard.set_bridge("br", mode);
        ASSERT_FALSE(status.ok());
        for (const std::string& word : {std::string("bridge br"), std::string("nvo3-guard=") + mode, std::string("off, log, enforce")}) {
            EXPECT_NE(status.error().text.find(word), std::string::npos) << status.error().text;
        }
        EXPECT_FALSE(sets(7777));
        EXPECT_NE(guard.show("br", false).find(status.error().text), std::string::npos);
    }
}

TEST_F(GuardTest, ServedNetworks)
{
    EXPECT_FALSE(sets(5001));
    guard.sas_serve({Vni(5001)});
    EXPECT_TRUE(sets(5001));
    EXPECT_FALSE(guard.agent_has_told());
    guard.agent_serves({Vni(5002)});
    EXPECT_TRUE(guard.agent_has_told());
    EXPECT_FALSE(sets(5001)) << "the agent's word counts";
    EXPECT_TRUE(sets(5002));
    set_ports("flow", {Vni(5003)});
    EXPECT_TRUE(sets(5002));
    EXPECT_TRUE(sets(5003)) << "a port's own configuration";
    guard.agent_serves({});
    EXPECT_FALSE(sets(5002));
    EXPECT_TRUE(sets(5003));
    set_ports("flow", {});
    EXPECT_FALSE(sets(5003));
}

TEST_F(GuardTest, TunnelsComeAndGo)
{
    const Steps steps{output(kTunnel)};
    nvo3_guard_change change{};
    change.steps = steps.data();
    change.n_steps = steps.size();
    EXPECT_FALSE(guard.permits("br", change, now));
    guard.set_port("br", kTunnel, nullptr);
    EXPECT_TRUE(guard.permits("br", change, now));
    guard.set_port("br", kTunnel, "tun");
    EXPECT_FALSE(guard.permits("br", change, now));
    guard.ports_changed(PortTable().all());
    EXPECT_TRUE(guard.permits("br", change, now));
    EXPECT_EQ(guard.objection("br", change), "");
    set_ports("flow", {});
    EXPECT_NE(guard.objection("br", change), "");
}

TEST_F(GuardTest, EachKindIsToldOnceASecondWithItsCount)
{
    EXPECT_EQ(guard.next_notice_ms(), LLONG_MAX);
    EXPECT_FALSE(sets(7777));
    EXPECT_EQ(woken, 1);
    EXPECT_LE(guard.next_notice_ms(), now);
    auto notices = guard.take_notices(now);
    ASSERT_EQ(notices.size(), 1u);
    EXPECT_EQ(notices[0].bridge, "br");
    EXPECT_EQ(notices[0].connection, "punix:mgmt");
    EXPECT_EQ(notices[0].reason, "sets_unserved_vni");
    EXPECT_EQ(notices[0].text, "a flow that sets tun_id to VNI 7777, which this host does not serve");
    EXPECT_TRUE(notices[0].refused);
    EXPECT_EQ(notices[0].count, 1u);

    EXPECT_FALSE(sets(7778));
    EXPECT_FALSE(sets(7779));
    EXPECT_TRUE(guard.take_notices(now + 999).empty());
    EXPECT_EQ(guard.next_notice_ms(), now + 1000);
    notices = guard.take_notices(now + 1000);
    ASSERT_EQ(notices.size(), 1u);
    EXPECT_EQ(notices[0].count, 2u);
    EXPECT_NE(notices[0].text.find("7779"), std::string::npos) << "the last one";
    EXPECT_EQ(guard.next_notice_ms(), LLONG_MAX);

    ASSERT_TRUE(guard.set_bridge("br", "log").ok());
    now += 5000;
    EXPECT_TRUE(sets(7777));
    notices = guard.take_notices(now);
    ASSERT_EQ(notices.size(), 1u);
    EXPECT_FALSE(notices[0].refused);
    guard.remove_bridge("br");
    EXPECT_EQ(guard.show("br", false), "");
}

}  // namespace
}  // namespace nvo3::engine
