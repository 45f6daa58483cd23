// SPDX-License-Identifier: Apache-2.0
#include "hvagent/vn_pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <set>

#include "ovs-ext/api/nvo3_guard.h"

namespace nvo3::agent {
namespace {

base::IpAddress ip(const char* text)
{
    return *base::IpAddress::parse(text);
}

base::MacAddress mac(int number)
{
    return {{0x52, 0x54, 0, 0, 0, static_cast<uint8_t>(number)}};
}

Tsi tsi(std::string port, uint32_t ofport, std::string vn, int mac_number, std::vector<base::IpAddress> addresses = {})
{
    return {std::move(port), ofport, std::move(vn), mac(mac_number), std::move(addresses)};
}

// Networks blue (5001, Geneve) and red (5002, VXLAN), in both of which hv2 and the
// IPv6-only hv3 have the same MAC and IP addresses; tap1 in blue, tap2 in red.
struct World {
    NetworkView networks;
    std::map<base::Vni, VnView> vns;
    PipelineInput input;

    World()
    {
        for (auto [name, number, encap] : {std::tuple("blue", 5001u, base::Encap::geneve), {"red", 5002u, base::Encap::vxlan}}) {
            VnView& vn = vns[base::Vni(number)];
            vn.vni = base::Vni(number);
            vn.name = name;
            vn.encap = encap;
            vn.members = {{"hv1", {ip("192.0.2.1"), ip("fd00::1")}}, {"hv2", {ip("192.0.2.2")}}, {"hv3", {ip("fd00::3")}}};
            vn.mappings = {{mac(1), {{ip("10.0.0.1")}, "hv1"}},
                           {mac(2), {{ip("10.0.0.2"), ip("fd01::2")}, "hv2"}},
                           {mac(3), {{}, "hv3"}}};
            networks.reach[vn.vni].members = {{"hv2", {ip("192.0.2.1"), ip("192.0.2.2")}}, {"hv3", {ip("fd00::1"), ip("fd00::3")}}};
        }
        networks.has_pipeline = true;
        networks.own_name = "hv1";
        input.tsis = {tsi("tap1", 5, "blue", 1, {ip("10.0.0.1"), ip("fd01::1")}), tsi("tap2", 6, "5002", 1)};
        input.tunnel_ports = {{base::Encap::geneve, 100}, {base::Encap::vxlan, 101}};
    }

    Pipeline make()
    {
        auto directory = std::make_shared<DirectoryView>();
        for (const auto& [vni, vn] : vns) {
            directory->vns[vni] = std::make_shared<const VnView>(vn);
        }
        networks.directory = directory;
        input.networks = std::make_shared<const NetworkView>(networks);
        return make_pipeline(input);
    }
};

// Of the flow whose match is 'match', null if there is none.
const std::string* actions(const Pipeline& pipeline, const std::string& match)
{
    static std::string found;
    for (const std::string& flow : pipeline.flows) {
        if (flow.starts_with(match + " actions=")) {
            found = flow.substr(match.size() + 9);
            return &found;
        }
    }
    return nullptr;
}

struct Row {
    const char* what;
    std::function<void(World&)> change;
    const char* match;
    const char* actions;    // null: no such flow
};

void check(const std::vector<Row>& rows)
{
    for (const Row& row : rows) {
        World world;
        if (row.change) {
            row.change(world);
        }
        Pipeline pipeline = world.make();
        const std::string* found = actions(pipeline, row.match);
        EXPECT_EQ(found ? *found : "(none)", row.actions ? row.actions : "(none)") << row.what << ": " << row.match;
    }
}

TEST(VnPipeline, PortsOfNoNetwork)
{
    auto plain = [](World& w) { w.input.plain_ports = {5, 7, 100, 65534}; };
    check({
        {"as the bridge has it", plain, "table=0,priority=0,send_flow_rem,in_port=7", "NORMAL"},
        {"the bridge's own", plain, "table=0,priority=0,send_flow_rem,in_port=LOCAL", "NORMAL"},
        {"one of a network", plain, "table=0,priority=0,send_flow_rem,in_port=5", nullptr},
        {"a tunnel port of ours", plain, "table=0,priority=0,send_flow_rem,in_port=100", nullptr},
        {"any other", plain, "table=0,priority=0", nullptr},
        {"the bridge serves them by itself", {}, "table=0,priority=0,send_flow_rem,in_port=7", nullptr},
    });
}

TEST(VnPipeline, Uplink)
{
    // A hypervisor: all that is not here is at its external NVE, and goes to no other port.
    auto hypervisor = [](World& w) {
        VnView& vn = w.vns[base::Vni(5001)];
        vn.mappings.clear();
        vn.members = {{"hv1", {ip("192.0.2.1")}}, {"nve1", {ip("192.0.2.2")}}};
        vn.uplink = "nve1";
        w.networks.reach[vn.vni].members = {{"nve1", {ip("192.0.2.1"), ip("192.0.2.2")}}};
    };
    const char* match = "table=62,priority=20,reg0=5001,reg1=1,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00";
    check({
        {"to the NVE", hypervisor, match, "set_field:5001->tun_id,set_field:192.0.2.1->tun_src,set_field:192.0.2.2->tun_dst,output:100"},
        {"which cannot be reached", [&](World& w) { hypervisor(w); w.networks.reach.clear(); }, match, nullptr},
        {"no port yet", [&](World& w) { hypervisor(w); w.input.tunnel_ports.clear(); }, match, nullptr},
        {"no hypervisor", {}, match, nullptr},
    });
}

TEST(VnPipeline, Classify)
{
    const char* tap1 = "table=0,priority=40000,send_flow_rem,in_port=5";
    const char* tap2 = "table=0,priority=40000,send_flow_rem,in_port=6";
    check({
        {"by name", {}, tap1, "set_field:5001->reg0,set_field:1->reg1,goto_table:60"},
        {"by VNI", {}, tap2, "set_field:5002->reg0,set_field:1->reg1,goto_table:60"},
        {"network that is not served", [](World& w) { w.vns.erase(base::Vni(5001)); }, tap1, "drop"},
        {"unknown network", [](World& w) { w.input.tsis[0].vn = "green"; }, tap1, "drop"},
        {"nothing known yet", [](World& w) { w.vns.clear(); }, tap1, "drop"},
        {"refused by the NVA", [](World& w) { w.networks.refused_tsis["tap1"] = "MAC is at hv2"; }, tap1, "drop"},
        {"unusable", [](World& w) { w.input.tsis.clear(); w.input.unusable = {{"tap1", 5, "blue", "", "", ""}}; }, tap1, "drop"},
        {"same MAC in one network: the second is closed", [](World& w) { w.input.tsis[1].vn = "blue"; }, tap2, "drop"},
        {"same MAC in one network: the first is not", [](World& w) { w.input.tsis[1].vn = "blue"; }, tap1,
         "set_field:5001->reg0,set_field:1->reg1,goto_table:60"},
        {"no OpenFlow port yet", [](World& w) { w.input.tsis[0].ofport = 0; }, "table=0,priority=40000,send_flow_rem,in_port=0", nullptr},
        {"tunnel, served", {}, "table=0,priority=40001,send_flow_rem,in_port=100,tun_id=5001",
         "set_field:5001->reg0,set_field:0->reg1,goto_table:62"},
        {"tunnel, of another encapsulation", {}, "table=0,priority=40001,send_flow_rem,in_port=100,tun_id=5002", nullptr},
        {"tunnel, not served", {}, "table=0,priority=40000,send_flow_rem,in_port=100", "drop"},
        {"tunnel port without network", [](World& w) { w.vns.clear(); }, "table=0,priority=40000,send_flow_rem,in_port=101", "drop"},
    });
}

TEST(VnPipeline, Spoofing)
{
    const std::string own = ",dl_src=52:54:00:00:00:01", pass = "goto_table:61";
    const std::string t5 = "table=60,priority=100,in_port=5" + own, t6 = "table=60,priority=100,in_port=6" + own;
    const std::string n5 = "table=60,priority=160,in_port=5" + own, n6 = "table=60,priority=160,in_port=6" + own;
    const struct {
        const char* what;
        std::string match;
        const char* actions;
    } rows[] = {
        {"all else", "table=60,priority=1,in_port=5", "goto_table:64"},
        {"and is counted", "table=64,priority=100,in_port=5", "drop"},
        {"all else, any address", "table=60,priority=1,in_port=6", "goto_table:64"},
        {"any address: own MAC", t6, "goto_table:61"},
        {"known addresses: MAC alone does not do", t5, nullptr},
        {"own IPv4", t5 + ",ip,nw_src=10.0.0.1", "goto_table:61"},
        {"own IPv6", t5 + ",ipv6,ipv6_src=fd01::1", "goto_table:61"},
        {"link-local", t5 + ",ipv6,ipv6_src=fe80::/10", "goto_table:61"},
        {"DHCP", t5 + ",udp,nw_src=0.0.0.0,nw_dst=255.255.255.255,tp_src=68,tp_dst=67", "goto_table:61"},
        {"ARP, own addresses", n5 + ",arp,arp_spa=10.0.0.1,arp_sha=52:54:00:00:00:01", "goto_table:61"},
        {"ARP probe", n5 + ",arp,arp_op=1,arp_spa=0.0.0.0,arp_sha=52:54:00:00:00:01", "goto_table:61"},
        {"ARP, any address: own MAC inside", n6 + ",arp,arp_sha=52:54:00:00:00:01", "goto_table:61"},
        {"ARP, any address: by default", "table=60,priority=150,in_port=6,arp", "goto_table:64"},
        {"solicitation by default", "table=60,priority=150,in_port=5,icmp6,icmp_type=135", "goto_table:64"},
        {"advertisement by default", "table=60,priority=150,in_port=6,icmp6,icmp_type=136", "goto_table:64"},
        {"solicitation", n5 + ",icmp6,icmp_type=135,ipv6_src=fd01::1,nd_sll=52:54:00:00:00:01", "goto_table:61"},
        {"solicitation without option", n5 + ",icmp6,icmp_type=135,ipv6_src=fe80::/10,nd_sll=00:00:00:00:00:00", "goto_table:61"},
        {"own address free?", n5 + ",icmp6,icmp_type=135,ipv6_src=::,nd_target=fd01::1,nd_sll=00:00:00:00:00:00", "goto_table:61"},
        {"advertisement of own", n5 + ",icmp6,icmp_type=136,ipv6_src=fd01::1,nd_target=fd01::1,nd_tll=52:54:00:00:00:01", "goto_table:61"},
        {"known addresses: no router", "table=60,priority=150,in_port=5,icmp6,icmp_type=134", "goto_table:64"},
        {"known addresses: no redirect", "table=60,priority=150,in_port=5,icmp6,icmp_type=137", "goto_table:64"},
        {"known addresses: no pieces", "table=60,priority=150,in_port=5,icmp6,ip_frag=yes", "goto_table:64"},
        {"any address: it may be a router", "table=60,priority=150,in_port=6,icmp6,icmp_type=134", nullptr},
        {"advertisement, any address", n6 + ",icmp6,icmp_type=136,nd_tll=52:54:00:00:00:01", "goto_table:61"},
    };
    World world;
    Pipeline pipeline = world.make();
    for (const auto& row : rows) {
        const std::string* found = actions(pipeline, row.match);
        EXPECT_EQ(found ? *found : "(none)", row.actions ? row.actions : "(none)") << row.what;
    }
}

TEST(VnPipeline, AddressResolution)
{
    const char* arp2 = "table=61,priority=100,reg0=5001,arp,vlan_tci=0x0000,dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_tpa=10.0.0.2";
    const char* nd2 = "table=61,priority=100,reg0=5001,icmp6,vlan_tci=0x0000,dl_dst=33:33:00:00:00:00/ff:ff:00:00:00:00,nw_ttl=255,"
                      "icmp_type=135,icmp_code=0,nd_target=fd01::2";
    check({
        {"ARP of a remote interface", {}, arp2,
         "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:52:54:00:00:00:02->eth_src,set_field:2->arp_op,"
         "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:52:54:00:00:00:02->arp_sha,move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],"
         "set_field:10.0.0.2->arp_spa,IN_PORT"},
        {"two claim it: nobody answers for them", [](World& w) { w.vns[base::Vni(5001)].mappings[mac(3)].addresses = {ip("10.0.0.2")}; }, arp2, nullptr},
        {"neighbour of a remote interface", {}, nd2,
         "set_field:136->icmpv6_type,set_field:2->nd_options_type,set_field:0x525400000002->xreg1,goto_table:63"},
        {"a local one asks for its own address", {},
         "table=61,priority=110,reg0=5001,arp,vlan_tci=0x0000,dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_tpa=10.0.0.1,dl_src=52:54:00:00:00:01",
         "goto_table:62"},
        {"all else goes on", {}, "table=61,priority=0", "goto_table:62"},
    });
}

TEST(VnPipeline, Forwarding)
{
    const char* to2 = "table=62,priority=100,reg0=5001,reg1=1,dl_dst=52:54:00:00:00:02";
    const char* flood = "table=62,priority=10,reg0=5001,reg1=1";
    const char* flood_in = "table=62,priority=10,reg0=5001,reg1=0";
    auto second = [](World& w) { w.input.tsis.push_back(tsi("tap3", 7, "blue", 4)); };
    check({
        {"local", {}, "table=62,priority=100,reg0=5001,dl_dst=52:54:00:00:00:01", "output:5"},
        {"same MAC in the other network", {}, "table=62,priority=100,reg0=5002,dl_dst=52:54:00:00:00:01", "output:6"},
        {"remote, IPv4", {}, to2, "set_field:5001->tun_id,set_field:192.0.2.1->tun_src,set_field:192.0.2.2->tun_dst,output:100"},
        {"remote, IPv6", {}, "table=62,priority=100,reg0=5002,reg1=1,dl_dst=52:54:00:00:00:03",
         "set_field:5002->tun_id,set_field:fd00::1->tun_ipv6_src,set_field:fd00::3->tun_ipv6_dst,output:101"},
        {"remote, only from VMs", {}, "table=62,priority=100,reg0=5001,dl_dst=52:54:00:00:00:02", nullptr},
        {"remote, without tunnel port", [](World& w) { w.input.tunnel_ports.clear(); }, to2, nullptr},
        {"remote, out of reach", [](World& w) { w.networks.reach.clear(); }, to2, nullptr},
        {"remote by the mapping, but plugged in here", [](World& w) { w.input.tsis[0].mac = mac(2); }, to2, nullptr},
        {"flood from a VM", second, flood,
         "output:5,output:7,set_field:5001->tun_id,set_field:192.0.2.1->tun_src,set_field:192.0.2.2->tun_dst,output:100,"
         "set_field:0.0.0.0->tun_src,set_field:0.0.0.0->tun_dst,set_field:fd00::1->tun_ipv6_src,set_field:fd00::3->tun_ipv6_dst,output:100"},
        {"flood to the group", [](World& w) { w.networks.reach[base::Vni(5001)].group = MemberPath{ip("192.0.2.1"), ip("239.1.1.1")}; }, flood,
         "output:5,set_field:5001->tun_id,set_field:192.0.2.1->tun_src,set_field:239.1.1.1->tun_dst,output:100"},
        {"flood without tunnel", [](World& w) { w.input.tunnel_ports.clear(); }, flood, "output:5"},
        {"flood from the tunnel, never back to it", second, flood_in, "output:5,output:7"},
        {"flood from the tunnel, nobody here", [](World& w) { w.input.tsis.clear(); }, flood_in, "drop"},
        {"nobody here, nobody sends", [](World& w) { w.input.tsis.clear(); }, flood, nullptr},
    });
}

// What one network's packets do names no port of the other.
TEST(VnPipeline, NetworksShareNothing)
{
    World world;
    for (const std::string& flow : world.make().flows) {
        bool blue = flow.find("reg0=5001") != flow.npos, red = flow.find("reg0=5002") != flow.npos;
        bool to_blue = flow.ends_with("output:5") || flow.find("output:5,") != flow.npos || flow.find("output:100") != flow.npos;
        bool to_red = flow.ends_with("output:6") || flow.find("output:6,") != flow.npos || flow.find("output:101") != flow.npos;
        EXPECT_FALSE(red && to_blue) << flow;
        EXPECT_FALSE(blue && to_red) << flow;
        EXPECT_FALSE((to_blue || to_red) && !blue && !red) << flow;
    }
}

TEST(VnPipeline, SortedWithoutDuplicates)
{
    World world;
    world.input.tsis.push_back(tsi("tap3", 7, "blue", 4, {ip("10.0.0.1")}));    // an address that tap1 has too
    world.input.tsis.push_back(tsi("tap4", 5, "red", 8));                       // a port that tap1 has too
    Pipeline pipeline = world.make();
    EXPECT_TRUE(std::ranges::is_sorted(pipeline.flows));
    std::set<std::string> matches;
    for (const std::string& flow : pipeline.flows) {
        EXPECT_TRUE(matches.insert(flow.substr(0, flow.find(" actions="))).second) << flow;
    }
}

TEST(VnPipeline, NobodyElseFloodsToOurPorts)
{
    World world;
    world.input.tsis.push_back(tsi("tap3", 7, "green", 1));
    world.input.tsis.push_back(tsi("tap4", 8, "blue", 1));
    world.input.unusable = {{"tap5", 9, "blue", "", "", ""}, {"tap6", 0, "blue", "", "", ""}};
    Pipeline pipeline = world.make();
    EXPECT_EQ(pipeline.closed_to_flood, (std::vector<uint32_t>{5, 6, 7, 8, 9, 100, 101}));
    ASSERT_EQ(pipeline.problems.size(), 1u);
    EXPECT_EQ(pipeline.problems[0].port, "tap4");
    EXPECT_NE(pipeline.problems[0].text.find("is that of port tap1"), std::string::npos);
}

// Hypervisor hv7 behind port 200: two TSIs of it in blue; red is Geneve here too.
void with_hypervisor(World& world)
{
    world.input.hypervisor_ports = {{"tun7", 200}, {"tun8", 201}};
    world.networks.remote_tsis = {{"hv7/a", "tun7", base::Vni(5001), mac(7), {ip("10.0.0.7")}},
                                  {"hv7/b", "tun7", base::Vni(5001), mac(8), {}},
                                  {"hv8/c", "tun8", base::Vni(5001), mac(9), {}}};
}

// The switch's rule guard knows the flows by what api/nvo3_guard.h says of them.
TEST(VnPipeline, RuleGuardKnowsTheseFlows)
{
    World world;
    world.input.unusable = {{"tap5", 9, "blue", "", "", ""}};
    world.input.plain_ports = {7};
    with_hypervisor(world);
    Pipeline pipeline = world.make();
    EXPECT_NE(actions(pipeline, "table=" + std::to_string(NVO3_GUARD_WITNESS_TABLE) + ",priority=0"), nullptr);
    ASSERT_FALSE(pipeline.closed_to_flood.empty());
    for (uint32_t port : pipeline.closed_to_flood) {
        EXPECT_NE(actions(pipeline, "table=0,priority=" + std::to_string(NVO3_GUARD_PRIORITY) + ",send_flow_rem,in_port=" + std::to_string(port)), nullptr)
            << port;
    }
    for (const std::string& flow : pipeline.flows) {
        int table = -1, priority = -1;
        ASSERT_EQ(std::sscanf(flow.c_str(), "table=%d,priority=%d", &table, &priority), 2) << flow;
        EXPECT_TRUE(table == 0 || (table >= NVO3_GUARD_FIRST_TABLE && table <= NVO3_GUARD_LAST_TABLE)) << flow;
        EXPECT_TRUE(table != 0 || priority >= NVO3_GUARD_PRIORITY || flow.find("in_port=7 ") != flow.npos) << flow;
    }
}

TEST(VnPipeline, TsisOfHypervisors)
{
    const std::string clear = "set_field:0.0.0.0->tun_src,set_field:0.0.0.0->tun_dst,set_field:::->tun_ipv6_src,set_field:::->tun_ipv6_dst,";
    const std::string from_a = clear + "set_field:5001->reg0,set_field:1->reg1,goto_table:60";
    const std::string a = "in_port=200,tun_id=5001,dl_src=52:54:00:00:00:07", spoof_a = "in_port=200,reg0=5001,dl_src=52:54:00:00:00:07";
    const std::string flood = "output:5,set_field:5001->tun_id,output:200,output:201";
    const std::string to_members = ",set_field:5001->tun_id,set_field:192.0.2.1->tun_src,set_field:192.0.2.2->tun_dst,output:100,"
                                   "set_field:0.0.0.0->tun_src,set_field:0.0.0.0->tun_dst,set_field:fd00::1->tun_ipv6_src,set_field:fd00::3->tun_ipv6_dst,output:100";
    const std::string base = "table=0,priority=40001,send_flow_rem," + a, closed = "table=0,priority=40000,send_flow_rem,in_port=200";
    const std::string unicast = "table=62,priority=100,reg0=5001,dl_dst=52:54:00:00:00:07";
    const std::string arp = "table=61,priority=100,reg0=5001,arp,vlan_tci=0x0000,dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_tpa=10.0.0.7";
    const std::string pass = "table=60,priority=100," + spoof_a + ",ip,nw_src=10.0.0.7", refuse = "table=60,priority=1," + spoof_a;
    check({
        {"its packets in its network", with_hypervisor, base.c_str(), from_a.c_str()},
        {"everything else of the port", with_hypervisor, closed.c_str(), "drop"},
        {"in another network", with_hypervisor, "table=0,priority=40001,send_flow_rem,in_port=200,tun_id=5002,dl_src=52:54:00:00:00:07", nullptr},
        {"another's MAC", with_hypervisor, "table=0,priority=40001,send_flow_rem,in_port=200,tun_id=5001,dl_src=52:54:00:00:00:09", nullptr},
        {"an address of its own", with_hypervisor, pass.c_str(), "goto_table:61"},
        {"another address", with_hypervisor, refuse.c_str(), "goto_table:64"},
        {"any address", with_hypervisor, "table=60,priority=100,in_port=200,reg0=5001,dl_src=52:54:00:00:00:08", "goto_table:61"},
        {"what was tried is counted", with_hypervisor, ("table=64,priority=100," + spoof_a).c_str(), "drop"},
        {"to it, from everywhere", with_hypervisor, unicast.c_str(), "set_field:5001->tun_id,output:200"},
        {"broadcast of a VM: a copy for each hypervisor", with_hypervisor, "table=62,priority=10,reg0=5001,reg1=1", (flood + to_members).c_str()},
        {"broadcast of the tunnel", with_hypervisor, "table=62,priority=10,reg0=5001,reg1=0", flood.c_str()},
        {"its address is answered for", with_hypervisor, arp.c_str(),
         "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:52:54:00:00:00:07->eth_src,set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],"
         "set_field:52:54:00:00:00:07->arp_sha,move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:10.0.0.7->arp_spa,IN_PORT"},
        {"refused by the NVA", [](World& w) { with_hypervisor(w); w.networks.refused_tsis["hv7/a"] = "it is at hv2"; }, base.c_str(), nullptr},
        {"no OpenFlow port yet", [](World& w) { with_hypervisor(w); w.input.hypervisor_ports["tun7"] = 0; }, unicast.c_str(), nullptr},
        {"no network", [](World& w) { with_hypervisor(w); w.vns.erase(base::Vni(5001)); }, base.c_str(), nullptr},
        {"no TSI: the port is closed", [](World& w) { with_hypervisor(w); w.networks.remote_tsis.clear(); }, closed.c_str(), "drop"},
        {"only hypervisors: no local port to flood to", [](World& w) { with_hypervisor(w); w.input.tsis.clear(); },
         "table=62,priority=10,reg0=5001,reg1=0", "set_field:5001->tun_id,output:200,output:201"},
        {"a MAC of a VM here", [](World& w) { with_hypervisor(w); w.networks.remote_tsis[0].mac = mac(1); },
         "table=62,priority=100,reg0=5001,dl_dst=52:54:00:00:00:01", "output:5"},
    });
    World world;
    with_hypervisor(world);
    world.networks.remote_tsis[0].mac = mac(1);
    Pipeline pipeline = world.make();
    EXPECT_EQ(pipeline.problems.size(), 1u);
    EXPECT_TRUE(std::ranges::find(pipeline.closed_to_flood, 200u) != pipeline.closed_to_flood.end());
    std::set<std::string> matches;
    for (const std::string& flow : pipeline.flows) {
        EXPECT_TRUE(matches.insert(flow.substr(0, flow.find(" actions="))).second) << flow;
    }
}

}  // namespace
}  // namespace nvo3::agent
