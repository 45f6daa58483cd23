// SPDX-License-Identifier: Apache-2.0
#include "hvagent/split/wish_list.h"

#include <gtest/gtest.h>

namespace nvo3::agent {
namespace {

const base::MacAddress kMac1 = *base::MacAddress::parse("52:54:00:00:00:01"), kMac2 = *base::MacAddress::parse("52:54:00:00:00:02");

Vm vm(const std::string& name, std::vector<VmInterface> interfaces, VmRun run = VmRun::running)
{
    return {"uuid-" + name, name, run, std::move(interfaces), {}};
}

WishList make(const std::vector<Vm>& vms, const std::vector<RawVmPort>& ports, bool with_libvirt = true)
{
    std::map<std::string, Vm> by_uuid;
    for (const Vm& one : vms) {
        by_uuid[one.uuid] = one;
    }
    return make_wish_list(by_uuid, ports, with_libvirt ? Libvirt::there : Libvirt::away);
}

TEST(WishList, InterfaceAndPortAreOne)
{
    // The network that libvirt tells wins over that of the port.
    auto list = make({vm("web", {{"id1", kMac1, "blue", "192.0.2.5 192.0.2.1"}}, VmRun::paused)},
                     {{"vnet0", 7, "red", "", "52:54:00:00:00:09", "", "id1"}});
    ASSERT_EQ(list.wishes.size(), 1u);
    EXPECT_EQ(list.wishes[0], (TsiWish{"id1", "uuid-web", "web", "blue", kMac1,
                                       {*base::IpAddress::parse("192.0.2.1"), *base::IpAddress::parse("192.0.2.5")}, "vnet0", VmRun::paused}));
    ASSERT_EQ(list.tsis.size(), 1u);
    EXPECT_EQ(list.tsis[0].vn, "blue");
    EXPECT_EQ(list.tsis[0].ofport, 7u);
    EXPECT_TRUE(list.problems.empty());
}

TEST(WishList, InterfaceWithoutPort)
{
    auto list = make({vm("web", {{"id1", kMac1, "blue", ""}}, VmRun::preparing)}, {{"vnet0", 7, "blue", "", "52:54:00:00:00:02", "", ""}});
    ASSERT_EQ(list.wishes.size(), 2u);
    EXPECT_EQ(list.wishes[0].port, "");
    EXPECT_EQ(list.wishes[1].id, "vnet0") << "no iface-id: the port's name";
    EXPECT_EQ(list.wishes[1].run, VmRun::running);
    EXPECT_EQ(list.tsis.size(), 1u);
}

TEST(WishList, UnclaimedPorts)
{
    struct Row {
        const char* what;
        RawVmPort port;
        bool with_libvirt;
        size_t wishes, problems;
    };
    const Row rows[] = {
        {"named by the operator", {"p", 1, "blue", "", "52:54:00:00:00:01", "", "id1"}, true, 1, 0},
        {"by libvirt, whose VM is not known yet", {"p", 1, "", "blue", "52:54:00:00:00:01", "", "id1"}, true, 0, 1},
        {"by its port profile, without libvirt", {"p", 1, "", "blue", "52:54:00:00:00:01", "", "id1"}, false, 1, 0},
        {"of no network", {"p", 1, "", "", "52:54:00:00:00:01", "", "id1"}, true, 0, 0},
        {"without a MAC", {"p", 1, "blue", "", "", "", ""}, true, 0, 1},
    };
    for (const Row& row : rows) {
        auto list = make({}, {row.port}, row.with_libvirt);
        EXPECT_EQ(list.wishes.size(), row.wishes) << row.what;
        EXPECT_EQ(list.tsis.size(), row.wishes) << row.what;
        EXPECT_EQ(list.problems.size(), row.problems) << row.what;
    }
}

// A port of the bridge that names no network: libvirt's may get one from its VM's metadata.
TEST(WishList, PortsInNoNetwork)
{
    Vm known = vm("web", {}), broken = known;
    known.ordinary = broken.ordinary = {"id0", "id1"};
    broken.problems = {"domain web, <metadata>: <vn> is not known"};
    struct Row {
        const char* what;
        std::vector<Vm> vms;
        const char* vm_id;
        Libvirt libvirt;
        bool ordinary;
        const char* problem;
    };
    const Row rows[] = {
        {"libvirt's, whose VM is not known yet", {}, "uuid-web", Libvirt::there, false, "libvirt has not told of this interface yet"},
        {"the same while libvirt is away", {}, "uuid-web", Libvirt::away, false, "libvirt has not told of this interface yet"},
        {"just plugged", {vm("web", {{"id2", kMac1, "blue", ""}})}, "uuid-web", Libvirt::there, false, "libvirt has not told of this interface yet"},
        {"of a VM that says no network", {known}, "uuid-web", Libvirt::there, true, ""},
        {"the same while libvirt is away", {known}, "uuid-web", Libvirt::away, true, ""},
        {"of a VM that cannot be read", {broken}, "uuid-web", Libvirt::there, false, "<vn> is not known"},
        {"of a VM that says its network", {vm("web", {{"id1", kMac1, "blue", ""}})}, "uuid-web", Libvirt::there, false, ""},
        {"of somebody else", {}, "", Libvirt::there, true, ""},
        {"without libvirt", {}, "uuid-web", Libvirt::none, true, ""},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        std::map<std::string, Vm> vms;
        for (const Vm& one : row.vms) {
            vms[one.uuid] = one;
        }
        auto list = make_wish_list(vms, {{"vnet0", 7, "", "", "52:54:00:00:00:01", "", "id1", row.vm_id}}, row.libvirt);
        EXPECT_EQ(list.ordinary_ports.contains("vnet0"), row.ordinary);
        EXPECT_NE(list.problems["vnet0"].find(row.problem), std::string::npos) << list.problems["vnet0"];
    }
}

TEST(WishList, WhatCannotBeUsed)
{
    struct Row {
        const char* what;
        std::vector<VmInterface> interfaces;
        const char* problem;
    };
    const Row rows[] = {
        {"address", {{"id1", kMac1, "blue", "192.0.2.300"}}, "192.0.2.300 is not the IP address"},
        {"no id", {{"", kMac1, "blue", ""}}, "'', cannot be used"},
        {"long id", {{std::string(65, 'x'), kMac1, "blue", ""}}, "1 to 64 printable ASCII characters"},
        {"id with a space", {{"my vm", kMac1, "blue", ""}}, "'my vm', cannot be used"},
        {"id that is not ASCII", {{"b\xc3\xbcro", kMac1, "blue", ""}}, "'b??ro', cannot be used"},
        {"id of two lines", {{"a\nb", kMac1, "blue", ""}}, "'a?b', cannot be used"},
        {"long network", {{"id1", kMac1, std::string(256, 'n'), ""}}, "has 256 octets, at most 255"},
        {"same MAC", {{"id1", kMac1, "blue", ""}, {"id2", kMac1, "blue", ""}}, "has the MAC address of one of web"},
        {"same id", {{"id1", kMac1, "blue", ""}, {"id1", kMac2, "blue", ""}}, "has the id of one of web"},
    };
    for (const Row& row : rows) {
        auto list = make({vm("web", row.interfaces)}, {});
        EXPECT_EQ(list.wishes.size(), row.interfaces.size() - 1) << row.what;
        ASSERT_TRUE(list.problems.contains("VM web")) << row.what;
        EXPECT_NE(list.problems["VM web"].find(row.problem), std::string::npos) << list.problems["VM web"];
        EXPECT_TRUE(list.unusable_vms.contains("uuid-web")) << row.what;
    }
    auto same = make({vm("web", {{"id1", kMac1, "blue", ""}, {"id1", kMac1, "red", ""}})}, {});
    EXPECT_EQ(same.wishes.size(), 2u) << "another network";
    Vm bad = vm("web", {});
    bad.problems = {"domain web: element vlan is not for us"};
    EXPECT_TRUE(make({bad}, {}).unusable_vms.contains("uuid-web"));
}

}  // namespace
}  // namespace nvo3::agent
