// SPDX-License-Identifier: Apache-2.0
//
// See vn_pipeline.h; the numbers of tables, registers and priorities are those of
// doc/vn-pipeline.md.
#include "hvagent/vn_pipeline.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>

namespace nvo3::agent {
namespace {

using base::IpAddress;
using base::MacAddress;

constexpr const char* kFromVm = "reg1=1";
constexpr const char* kFromTunnel = "reg1=0";
constexpr uint32_t kLocal = 65534;      // the bridge's own port
constexpr const char* kNoOuterAddresses = "set_field:0.0.0.0->tun_src,set_field:0.0.0.0->tun_dst,set_field:::->tun_ipv6_src,set_field:::->tun_ipv6_dst,";
constexpr const char* kBroadcast = "ff:ff:ff:ff:ff:ff";

// A TSI behind an OpenFlow port: of a VM here, or one of many of a hypervisor.
struct LocalPort {
    uint32_t ofport = 0;
    const Tsi* tsi = nullptr;
    bool remote = false;
};

std::string number(uint64_t value)
{
    return std::to_string(value);
}

// ---- Tables 60 and 64: what a VM may say of itself ----

class Spoofing {
public:
    // 'forbidden': what nobody may claim in a network with a gateway.
    Spoofing(std::vector<std::string>& flows, const LocalPort& port, const std::string& reg, const std::vector<Claim>& forbidden)
        : flows_(flows),
          tsi_(*port.tsi),
          forbidden_(forbidden),
          mac_(to_string(tsi_.mac)),
          prefix_(",in_port=" + number(port.ofport) + (port.remote ? reg + ",dl_src=" + mac_ : "")),
          source_(port.remote ? "" : ",dl_src=" + mac_)
    {
    }

    void write()
    {
        // One flow of the port, whose counter shows that something was tried.
        flows_.push_back("table=64,priority=100" + prefix_ + " actions=drop");
        refuse(1, "");
        for (const Claim& claim : forbidden_) {
            refuse(170, claim.match);
        }
        if (tsi_.addresses.empty()) {
            pass(100, "");
        } else {
            addresses();
        }
        arp();
        neighbours();
    }

private:
    void refuse(int priority, const std::string& match)
    {
        flows_.push_back("table=60,priority=" + number(priority) + prefix_ + match + " actions=goto_table:64");
    }
    void pass(int priority, const std::string& match)
    {
        flows_.push_back("table=60,priority=" + number(priority) + prefix_ + source_ + match + " actions=goto_table:61");
    }

    void addresses()
    {
        for (const IpAddress& address : tsi_.addresses) {
            pass(100, address.is_v4() ? ",ip,nw_src=" + address.to_string() : ",ipv6,ipv6_src=" + address.to_string());
        }
        pass(100, ",udp,nw_src=0.0.0.0,nw_dst=255.255.255.255,tp_src=68,tp_dst=67");            // DHCP
        pass(100, ",ipv6,ipv6_src=fe80::/10");
        pass(100, ",icmp6,ipv6_src=::,ipv6_dst=ff02::16,icmp_type=143");                        // MLD, RFC 3590
        pass(100, ",icmp6,ipv6_src=::,ipv6_dst=ff02::2,icmp_type=133");                         // router solicitation
        pass(100, ",rarp,arp_spa=0.0.0.0,arp_sha=" + mac_);                                     // a VM that was migrated
        // It is no router.  What is in pieces cannot be checked (RFC 6980).
        refuse(150, ",icmp6,icmp_type=134");
        refuse(150, ",icmp6,icmp_type=137");
        refuse(150, ",icmp6,ip_frag=yes");
    }

    // The sender's hardware address is checked whatever addresses it may use.
    void arp()
    {
        if (tsi_.addresses.empty()) {
            refuse(150, ",arp");
            refuse(150, ",rarp");
            pass(160, ",arp,arp_sha=" + mac_);
            pass(160, ",rarp,arp_sha=" + mac_);
            return;
        }
        pass(160, ",arp,arp_op=1,arp_spa=0.0.0.0,arp_sha=" + mac_);                             // probe, RFC 5227
        for (const IpAddress& address : tsi_.addresses) {
            if (address.is_v4()) {
                pass(160, ",arp,arp_spa=" + address.to_string() + ",arp_sha=" + mac_);
            }
        }
    }

    // Neighbour discovery (RFC 4861): an option that is not there reads as zero.
    void neighbours()
    {
        refuse(150, ",icmp6,icmp_type=135");
        refuse(150, ",icmp6,icmp_type=136");
        std::vector<std::string> own;       // that it may use as source and answer for
        for (const IpAddress& address : tsi_.addresses) {
            if (!address.is_v4()) {
                own.push_back(address.to_string());
            }
        }
        own.push_back("fe80::/10");
        for (const std::string& option : {mac_, std::string("00:00:00:00:00:00")}) {
            if (tsi_.addresses.empty()) {
                pass(160, ",icmp6,icmp_type=135,nd_sll=" + option);
                pass(160, ",icmp6,icmp_type=136,nd_tll=" + option);
                continue;
            }
            for (const std::string& source : own) {
                pass(160, ",icmp6,icmp_type=135,ipv6_src=" + source + ",nd_sll=" + option);
                for (const std::string& target : own) {
                    pass(160, ",icmp6,icmp_type=136,ipv6_src=" + source + ",nd_target=" + target + ",nd_tll=" + option);
                }
            }
        }
        if (!tsi_.addresses.empty()) {
            for (const std::string& target : own) {     // is the address free? RFC 4862
                pass(160, ",icmp6,icmp_type=135,ipv6_src=::,nd_target=" + target + ",nd_sll=00:00:00:00:00:00");
            }
        }
    }

    std::vector<std::string>& flows_;
    const Tsi& tsi_;
    const std::vector<Claim>& forbidden_;
    const std::string mac_;
    // Of a hypervisor's port table 0 has sorted by MAC and network already.
    const std::string prefix_, source_;
};

// ---- Tables 61 and 62: one network ----

class Network {
public:
    // 'gateway' is that of the network, null if it has none.
    Network(std::vector<std::string>& flows, const PipelineInput& input, const VnView& vn, const std::vector<LocalPort>& ports,
            const GatewayVn* gateway, std::vector<Claim> forbidden)
        : flows_(flows), vn_(vn), ports_(ports), gateway_(gateway), forbidden_(std::move(forbidden)), reg_(",reg0=" + number(vn.vni.value))
    {
        if (auto it = input.tunnel_ports.find(vn.encap); it != input.tunnel_ports.end()) {
            tunnel_ = it->second;
        }
        if (auto it = input.networks->reach.find(vn.vni); it != input.networks->reach.end()) {
            reach_ = &it->second;
        }
        for (const LocalPort& port : ports) {
            local_.emplace(port.tsi->mac, port.remote);
        }
        learn_all();
    }

    // Whom a packet that is routed to this network can be sent to.
    NextHops hops() const
    {
        NextHops result;
        for (const auto& [address, mac] : known_) {
            if (!mac) {
                continue;
            }
            if (auto port = local_.find(*mac); port != local_.end()) {
                result[address] = {*mac, true, port->second};
            } else if (auto mapping = vn_.mappings.find(*mac); mapping != vn_.mappings.end() && tunnel_ && reach_ &&
                                                               reach_->members.contains(mapping->second.nve)) {
                result[address] = {*mac};
            }
        }
        return result;
    }

    void write()
    {
        classify();
        answers();
        unicast();
        flood();
    }

private:
    void classify()
    {
        for (const LocalPort& port : ports_) {
            const std::string from = ",in_port=" + number(port.ofport);
            const std::string actions = "set_field:" + number(vn_.vni.value) + "->reg0,set_field:1->reg1,goto_table:60";
            if (port.remote) {
                // Outer addresses of one IP version must not stay when the other is set.
                flows_.push_back("table=0,priority=40001,send_flow_rem" + from + ",tun_id=" + number(vn_.vni.value) + ",dl_src=" +
                                 to_string(port.tsi->mac) + " actions=" + kNoOuterAddresses + actions);
            } else {
                flows_.push_back("table=0,priority=40000,send_flow_rem" + from + " actions=" + actions);
            }
            Spoofing(flows_, port, reg_, forbidden_).write();
        }
        if (tunnel_) {
            flows_.push_back("table=0,priority=40001,send_flow_rem,in_port=" + number(tunnel_) + ",tun_id=" + number(vn_.vni.value) +
                             " actions=set_field:" + number(vn_.vni.value) + "->reg0,set_field:0->reg1,goto_table:" +
                             (gateway_ ? "65" : "62"));
        }
    }

    // Who has which address; nobody if two claim it.
    void learn_all()
    {
        auto learn = [&](const IpAddress& address, const MacAddress& mac) {
            if (gateway_ && (gateway_->gateway->has_address(address) || mac == gateway_->mac)) {
                return;
            }
            auto [it, fresh] = known_.try_emplace(address, mac);
            if (!fresh && it->second != mac) {
                it->second.reset();
            }
        };
        for (const LocalPort& port : ports_) {
            for (const IpAddress& address : port.tsi->addresses) {
                learn(address, port.tsi->mac);
            }
        }
        for (const auto& [mac, mapping] : vn_.mappings) {
            for (const IpAddress& address : mapping.addresses) {
                learn(address, mac);
            }
        }
    }

    // Address resolution is answered here where the answer is known and only one.
    void answers()
    {
        for (const auto& [address, mac] : known_) {
            if (mac) {
                address.is_v4() ? answer_arp(address.to_string(), *mac) : answer_neighbour(address.to_string(), *mac);
            }
        }
    }

    void answer_arp(const std::string& address, const MacAddress& mac)
    {
        const std::string match = reg_ + ",arp,vlan_tci=0x0000,dl_dst=" + kBroadcast + ",arp_op=1,arp_tpa=" + address;
        const std::string owner = to_string(mac);
        if (local_.contains(mac)) {     // who asks for its own address looks for another that uses it
            flows_.push_back("table=61,priority=110" + match + ",dl_src=" + owner + " actions=goto_table:62");
        }
        flows_.push_back("table=61,priority=100" + match + " actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:" + owner +
                         "->eth_src,set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:" + owner +
                         "->arp_sha,move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:" + address + "->arp_spa,IN_PORT");
    }

    void answer_neighbour(const std::string& address, const MacAddress& mac)
    {
        const std::string match = reg_ + ",icmp6,vlan_tci=0x0000,dl_dst=33:33:00:00:00:00/ff:ff:00:00:00:00,nw_ttl=255,"
                                         "icmp_type=135,icmp_code=0,nd_target=" + address;
        if (local_.contains(mac)) {
            flows_.push_back("table=61,priority=110" + match + ",dl_src=" + to_string(mac) + " actions=goto_table:62");
        }
        char hex[20];
        uint64_t value = 0;
        for (uint8_t octet : mac.octets) {
            value = value << 8 | octet;
        }
        std::snprintf(hex, sizeof hex, "0x%llx", static_cast<unsigned long long>(value));
        flows_.push_back("table=61,priority=100" + match + " actions=set_field:136->icmpv6_type,set_field:2->nd_options_type,set_field:" +
                         hex + "->xreg1,goto_table:63");
    }

    void unicast()
    {
        for (const LocalPort& port : ports_) {
            flows_.push_back("table=62,priority=100" + reg_ + ",dl_dst=" + to_string(port.tsi->mac) + " actions=" + (port.remote ? tag() : "") +
                             "output:" + number(port.ofport));
        }
        if (!tunnel_ || !reach_) {
            return;
        }
        if (auto path = reach_->members.find(vn_.uplink); path != reach_->members.end()) {
            // To it alone, if the destination is one interface: other ports have no part in it.
            flows_.push_back("table=62,priority=20" + reg_ + "," + kFromVm + ",dl_dst=00:00:00:00:00:00/01:00:00:00:00:00 actions=set_field:" +
                             number(vn_.vni.value) + "->tun_id," + to(path->second));
        }
        for (const auto& [mac, mapping] : vn_.mappings) {
            auto path = reach_->members.find(mapping.nve);
            if (path != reach_->members.end() && !local_.contains(mac) && !(gateway_ && mac == gateway_->mac)) {
                flows_.push_back("table=62,priority=100" + reg_ + "," + kFromVm + ",dl_dst=" + to_string(mac) + " actions=set_field:" +
                                 number(vn_.vni.value) + "->tun_id," + to(path->second));
            }
        }
    }

    // Broadcast, multicast and unknown.  OVS sends nothing to the port that it came from.
    void flood()
    {
        // A hypervisor gets one copy, whatever it has of the network.
        std::string local, hypervisors;
        std::set<uint32_t> told;
        for (const LocalPort& port : ports_) {
            std::string& list = port.remote ? hypervisors : local;
            if (told.insert(port.ofport).second) {
                list += (list.empty() ? "output:" : ",output:") + number(port.ofport);
            }
        }
        if (!hypervisors.empty()) {
            local += (local.empty() ? "" : ",") + tag() + hypervisors;
        }
        const std::string head = "table=62,priority=10" + reg_ + ",";
        flows_.push_back(head + kFromTunnel + " actions=" + (local.empty() ? "drop" : local));
        if (ports_.empty()) {
            return;
        }
        std::string remote;
        bool v4 = false;
        for (const MemberPath& path : flood_paths()) {
            if (v4 && !path.remote.is_v4()) {   // one address at a time
                remote += ",set_field:0.0.0.0->tun_src,set_field:0.0.0.0->tun_dst";
            }
            v4 = path.remote.is_v4();
            remote += "," + to(path);
        }
        if (!remote.empty()) {
            remote = ",set_field:" + number(vn_.vni.value) + "->tun_id" + remote;
        }
        flows_.push_back(head + kFromVm + " actions=" + local + remote);
    }

    // The group, or a copy to each member; IPv4 first.
    std::vector<MemberPath> flood_paths() const
    {
        std::vector<MemberPath> result;
        if (!tunnel_ || !reach_) {
            return result;
        }
        if (reach_->group) {
            return {*reach_->group};
        }
        for (const auto& [name, path] : reach_->members) {
            result.push_back(path);
        }
        std::ranges::stable_partition(result, [](const MemberPath& path) { return path.remote.is_v4(); });
        return result;
    }

    // Packets of the network in a tunnel.
    std::string tag() const { return "set_field:" + number(vn_.vni.value) + "->tun_id,"; }

    std::string to(const MemberPath& path) const
    {
        const char* kind = path.remote.is_v4() ? "->tun_" : "->tun_ipv6_";
        return "set_field:" + path.local.to_string() + kind + "src,set_field:" + path.remote.to_string() + kind + "dst,output:" +
               number(tunnel_);
    }

    std::vector<std::string>& flows_;
    const VnView& vn_;
    const std::vector<LocalPort>& ports_;
    const GatewayVn* const gateway_;
    const std::vector<Claim> forbidden_;
    const std::string reg_;
    uint32_t tunnel_ = 0;                           // 0: none (yet)
    const VnReach* reach_ = nullptr;                // null: no other member
    std::map<MacAddress, bool> local_;              // here; true: at a hypervisor
    std::map<IpAddress, std::optional<MacAddress>> known_;
};

// What does not hang on any network.
void write_frame(std::vector<std::string>& flows)
{
    for (int table : {60, 62, 63, 64}) {
        flows.push_back("table=" + number(table) + ",priority=0 actions=drop");
    }
    flows.push_back("table=61,priority=0 actions=goto_table:62");
    // Without the option there is no room for the answer's.
    flows.push_back("table=61,priority=120,icmp6,icmp_type=135,icmp_code=0,nd_sll=00:00:00:00:00:00 actions=goto_table:62");
    flows.push_back("table=63,priority=100,icmp6,icmp_type=136,icmp_code=0 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],"
                    "move:OXM_OF_PKT_REG1[0..47]->NXM_OF_ETH_SRC[],move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],"
                    "move:NXM_NX_ND_TARGET[]->NXM_NX_IPV6_SRC[],move:OXM_OF_PKT_REG1[0..47]->NXM_NX_ND_TLL[],"
                    "set_field:0x60000000->nd_reserved,IN_PORT");
}

std::string closed(uint32_t ofport)
{
    return "table=0,priority=40000,send_flow_rem,in_port=" + number(ofport) + " actions=drop";
}

}  // namespace

const VnView* find_vn(const DirectoryView& directory, const std::string& vn)
{
    for (const auto& [vni, view] : directory.vns) {
        if (view->name == vn) {
            return view.get();
        }
    }
    auto vni = base::Vni::parse(vn);
    return vni ? directory.find(*vni) : nullptr;
}

Pipeline make_pipeline(const PipelineInput& input)
{
    Pipeline out;
    write_frame(out.flows);
    const DirectoryView& directory = *input.networks->directory;
    out.gateways = GatewayMap(input.policy, directory);
    PolicyWriter policy(out.gateways, out.flows, out.counted);
    policy.frame();

    std::set<uint32_t> no_flood;
    for (const auto& [encap, ofport] : input.tunnel_ports) {
        out.flows.push_back(closed(ofport));
        no_flood.insert(ofport);
    }
    std::map<base::Vni, std::map<MacAddress, LocalPort>> ports;
    auto close = [&](uint32_t ofport) {
        if (ofport && no_flood.insert(ofport).second) {
            out.flows.push_back(closed(ofport));
        }
    };
    for (const Tsi& tsi : input.tsis) {
        const VnView* vn = find_vn(directory, tsi.vn);
        if (!vn || !tsi.ofport || input.networks->refused_tsis.contains(tsi.port) || no_flood.contains(tsi.ofport)) {
            close(tsi.ofport);
        } else if (const GatewayVn* gateway = out.gateways.find(vn->vni); gateway && gateway->mac == tsi.mac) {
            close(tsi.ofport);
            out.problems.push_back({tsi.port, "external_ids:attached-mac=" + to_string(tsi.mac) + " is that of its network's gateway: this port is closed"});
        } else if (auto [it, fresh] = ports[vn->vni].try_emplace(tsi.mac, LocalPort{tsi.ofport, &tsi}); !fresh) {
            close(tsi.ofport);
            out.problems.push_back({tsi.port, "external_ids:attached-mac=" + to_string(tsi.mac) + " is that of port " +
                                                  it->second.tsi->port + " in the same network: this port is closed"});
        } else {
            no_flood.insert(tsi.ofport);
        }
    }
    for (const RawVmPort& port : input.unusable) {
        close(port.ofport);
    }
    // Of a hypervisor's packets only those of active TSIs are anybody's.
    std::vector<Tsi> remotes;
    remotes.reserve(input.networks->remote_tsis.size());
    for (const auto& [name, ofport] : input.hypervisor_ports) {
        close(ofport);
    }
    for (const RemoteTsi& remote : input.networks->remote_tsis) {
        auto port = input.hypervisor_ports.find(remote.port);
        if (port == input.hypervisor_ports.end() || !port->second || !directory.find(remote.vni) ||
            input.networks->refused_tsis.contains(remote.name)) {
            continue;
        }
        if (const GatewayVn* gateway = out.gateways.find(remote.vni); gateway && gateway->mac == remote.mac) {
            out.problems.push_back({remote.name, "its MAC " + to_string(remote.mac) + " is that of its network's gateway: it gets no packets"});
            continue;
        }
        remotes.push_back({remote.name, port->second, "", remote.mac, remote.addresses});
        if (auto [it, fresh] = ports[remote.vni].try_emplace(remote.mac, LocalPort{port->second, &remotes.back(), true}); !fresh) {
            out.problems.push_back({remote.name, "its MAC " + to_string(remote.mac) + " is that of port " + it->second.tsi->port +
                                                     " in the same network: it gets no packets"});
        }
    }

    // As the bridge would have it without us.  Port by port: what is plugged in while nobody
    // looks after the flows gets nothing.
    for (uint32_t ofport : input.plain_ports) {
        if (!no_flood.contains(ofport)) {
            out.flows.push_back("table=0,priority=0,send_flow_rem,in_port=" + (ofport == kLocal ? "LOCAL" : number(ofport)) + " actions=NORMAL");
        }
    }

    for (const auto& [vni, vn] : directory.vns) {
        std::vector<LocalPort> own;
        if (auto it = ports.find(vni); it != ports.end()) {
            for (const auto& [mac, port] : it->second) {
                own.push_back(port);
            }
        }
        const GatewayVn* gateway = out.gateways.find(vni);
        Network network(out.flows, input, *vn, own, gateway, gateway ? forbidden_claims(out.gateways, *gateway) : std::vector<Claim>{});
        network.write();
        if (gateway) {
            NextHops& hops = out.hops[vni] = network.hops();
            policy.network(*gateway, hops);
        }
    }
    std::ranges::sort(out.flows);
    out.closed_to_flood.assign(no_flood.begin(), no_flood.end());
    return out;
}

}  // namespace nvo3::agent
