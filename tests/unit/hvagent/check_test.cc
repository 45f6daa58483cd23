// SPDX-License-Identifier: Apache-2.0
//
// hvagent --check: what needs no host; the rest is in tests/system/test_doctor.py.
#include "hvagent/check/check.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/unique_fd.h"

namespace nvo3::agent {
namespace {

using Grade = Finding::Grade;

TEST(Check, Lines)
{
    EXPECT_EQ(to_line({Grade::ok, "CPU", "AES-NI", ""}), "ok: CPU: AES-NI");
    EXPECT_EQ(to_line({Grade::fail, "peer x", "is\nhv9\x1b[31m", "correct it"}), "fail: peer x: is?hv9?[31m - correct it");
    EXPECT_EQ(from_sentence(Grade::warn, "CA", "file /x:y expired at 12:00:00: issue it anew", "no"),
              (Finding{Grade::warn, "CA", "file /x:y expired at 12:00:00", "issue it anew"}));
    EXPECT_EQ(from_sentence(Grade::warn, "CA", "it is odd", "look"), (Finding{Grade::warn, "CA", "it is odd", "look"}));
}

Finding mtu(size_t underlay, std::vector<InterfaceFact> interfaces, bool ipv6 = false)
{
    Findings found;
    Facts facts;
    facts.interfaces = std::move(interfaces);
    check_mtu(facts, Config{}, {{"192.0.2.9", 9500, false}, {"192.0.2.2", underlay, ipv6}, {"192.0.2.3", 0, false}}, found);
    return found.size() == 1 ? found[0] : Finding{};
}

TEST(Check, Mtu)
{
    const InterfaceFact vm{"br-int", "nvo3", "vm1", "", 1408}, big{"br-int", "nvo3", "vm2", "", 9000};
    // What is no VM's, or on another bridge.
    const InterfaceFact own{"br-int", "nvo3", "br-int", "internal", 9000}, tunnel{"br-int", "nvo3", "tun2", "geneve", 65000},
        uplink{"br-phy", "nvo3", "eth1", "", 1500}, unknown{"br-int", "nvo3", "vm3", "", 0};
    EXPECT_EQ(mtu(1500, {vm, own, tunnel, uplink, unknown}),
              (Finding{Grade::ok, "MTU", "the way to 192.0.2.2 has an MTU of 1500, of which 1408 are left to VMs", ""}));
    EXPECT_EQ(mtu(1499, {vm}).grade, Grade::warn);
    EXPECT_EQ(mtu(1500, {vm}, true).grade, Grade::warn);
    Finding finding = mtu(1500, {vm, big});
    EXPECT_EQ(finding.grade, Grade::warn);
    EXPECT_NE(finding.what.find("; vm2 may send up to 9000"), finding.what.npos);
    // The MTU that is asked for is enough, and not much more than that.
    EXPECT_NE(finding.fix.find("MTU of 1408, or the underlay at least 9092"), finding.fix.npos) << finding.fix;
    EXPECT_EQ(mtu(9092, {big}).grade, Grade::ok);
    EXPECT_EQ(mtu(9091, {big}).grade, Grade::warn);
    EXPECT_EQ(mtu(1300, {}).grade, Grade::fail);
}

TEST(Check, NothingToReachIsNoFinding)
{
    Findings found;
    check_mtu({}, Config{}, {}, found);
    reach_all({}, found);
    EXPECT_TRUE(found.empty());
}

TEST(Check, PolicyOfAFile)
{
    char name[] = "/tmp/nvo3-policy-XXXXXX";
    const base::UniqueFd fd(::mkstemp(name));
    Config config;
    auto finding_of = [&](const std::string& text) {
        std::ofstream(name) << text;
        Findings found;
        check_policy(config, found);
        return found.size() == 1 ? to_line(found[0]) : std::to_string(found.size()) + " findings";
    };
    EXPECT_EQ(finding_of("what?"), "0 findings") << "no file is configured";
    config.policy_file = name;
    const std::string thing = "policy of file " + config.policy_file + ": ";
    EXPECT_EQ(finding_of("gateway 5001 10.1.0.254/24\n"), "ok: " + thing + "1 gateways, 0 rules");
    EXPECT_TRUE(finding_of("gateway 5001 10.1.0.254/24\nwhat?\n").starts_with("fail: " + thing + "line 2"));
    ::unlink(name);
    Findings found;
    check_policy(config, found);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].grade, Grade::fail);
    EXPECT_NE(found[0].what.find("No such file"), found[0].what.npos) << found[0].what;
}

TEST(Check, WhomToReach)
{
    Config config;
    config.listen_port = 7000;
    config.nvas = {{*base::IpAddress::parse("2001:db8::1"), 6654}};
    Tunnel tunnel;
    tunnel.port = "tun2";
    tunnel.remote = *base::IpAddress::parse("192.0.2.2");
    tunnel.remote_name = "hv2";
    Tunnel flow = tunnel, again = tunnel, hypervisor = tunnel;
    flow.flow_remote = true;
    again.port = "tun3";
    hypervisor.remote = *base::IpAddress::parse("192.0.2.3");
    hypervisor.role = control::Role::hypervisor;
    config.tunnels = {tunnel, flow, again, hypervisor};
    auto targets = targets_of(config, {});
    ASSERT_EQ(targets.size(), 2u);
    EXPECT_EQ(targets[0].thing, "NVA [2001:db8::1]:6654");
    EXPECT_EQ(targets[0].role, control::Role::nva);
    EXPECT_EQ(targets[1].thing, "peer 192.0.2.2:7000 of port tun2");
    EXPECT_EQ(targets[1].name, "hv2");
}

}  // namespace
}  // namespace nvo3::agent
