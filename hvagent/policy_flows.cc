// SPDX-License-Identifier: Apache-2.0
//
// See policy_flows.h; the numbers of tables, registers and priorities are those of
// doc/vn-pipeline.md.
#include "hvagent/policy_flows.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include "hvagent/vn_pipeline.h"

namespace nvo3::agent {
namespace {

using base::IpAddress;
using base::Vni;
using policy::Action;
using policy::Interface;
using policy::Prefix;
using policy::Rule;

// reg7: why a packet was dropped in table 72.
enum Refusal { kNotIp = 1, kForgedGateway, kForeignSource, kTtl, kNoRoute, kInvalid, kOtherConnection, kNoMapping, kDenied, kUnknownPort, kEnd };
constexpr std::array<const char*, kEnd> kRefusals{
    "",
    "to a gateway, neither untagged IP nor ARP or neighbour discovery",
    "from a tunnel, in the name of a gateway",
    "with a source of another network, past its gateway",
    "TTL or hop limit used up",
    "no route",
    "of no connection that conntrack knows, or malformed",
    "about a connection of other networks",
    "to an address that nobody is known to have, or whose host cannot be reached",
    "denied",
    "from a tunnel, to no port here",
};

constexpr const char* kTrack = "ct(table=67,zone=NXM_NX_REG5[0..15])";
// What a connection is known by in later packets: other networks may have had its zone.
constexpr const char* kCommit = "ct(commit,zone=NXM_NX_REG5[0..15],exec(move:NXM_NX_REG4[]->NXM_NX_CT_LABEL[32..63],move:NXM_NX_REG0[]->NXM_NX_CT_LABEL[0..31])),";
constexpr const char* kUnicast = ",dl_dst=00:00:00:00:00:00/01:00:00:00:00:00";

std::string number(uint64_t value)
{
    return std::to_string(value);
}

std::string refuse(Refusal why)
{
    return "set_field:" + number(why) + "->reg7,goto_table:72";
}

std::string of(const GatewayVn& vn)
{
    return ",reg0=" + number(vn.vni.value);
}

std::string between(const GatewayVn& from, const GatewayVn& to)
{
    return ",reg4=" + number(from.vni.value) + of(to);
}

// What kCommit has written for a connection from one to the other.
std::string label(const GatewayVn& from, const GatewayVn& to)
{
    char text[40];
    std::snprintf(text, sizeof text, ",ct_label=0x%x%08x", from.vni.value, to.vni.value);
    return text;
}

const char* family(bool v4)
{
    return v4 ? ",ip" : ",ipv6";
}

std::string source(const Prefix& prefix)
{
    return (prefix.is_v4() ? ",nw_src=" : ",ipv6_src=") + to_string(prefix);
}
std::string destination(const Prefix& prefix)
{
    return (prefix.is_v4() ? ",nw_dst=" : ",ipv6_dst=") + to_string(prefix);
}
std::string ct_source(const Prefix& prefix)
{
    return (prefix.is_v4() ? ",ct_nw_src=" : ",ct_ipv6_src=") + to_string(prefix);
}
std::string ct_destination(const Prefix& prefix)
{
    return (prefix.is_v4() ? ",ct_nw_dst=" : ",ct_ipv6_dst=") + to_string(prefix);
}

// Calls 'take' with each two prefixes of one family.
template <class Take>
void each_pair(const GatewayVn& a, const GatewayVn& b, Take take)
{
    for (const Interface& one : a.gateway->addresses) {
        for (const Interface& other : b.gateway->addresses) {
            if (one.prefix.is_v4() == other.prefix.is_v4()) {
                take(one.prefix, other.prefix);
            }
        }
    }
}

// "0x50/0xfff0": what the ports first to last are, as matches with masks.
std::vector<std::string> masked(const policy::Ports& ports)
{
    std::vector<std::string> result;
    for (uint32_t at = ports.first; at <= ports.last;) {
        uint32_t size = at == 0 ? 0x10000 : at & -at;
        while (at + size - 1 > ports.last) {
            size >>= 1;
        }
        char text[24];
        std::snprintf(text, sizeof text, "0x%x/0x%x", at, 0x10000 - size);
        result.push_back(text);
        at += size;
    }
    return result;
}

// What packets of a rule look like: the end of matches, by names of fields for the packet
// itself or for what conntrack has as the connection's first.
std::vector<std::string> matches_of(const Rule& rule, const GatewayVn& from, const GatewayVn& to, bool tracked)
{
    std::vector<std::string> result;
    for (bool v4 : {true, false}) {
        auto has = [&](const GatewayVn& vn) {
            return std::ranges::any_of(vn.gateway->addresses, [&](const Interface& own) { return own.prefix.is_v4() == v4; });
        };
        const bool other_family = (rule.from.prefix && rule.from.prefix->is_v4() != v4) || (rule.to.prefix && rule.to.prefix->is_v4() != v4) ||
                                  rule.proto == (v4 ? policy::kIcmp6 : policy::kIcmp);
        if (other_family || !has(from) || !has(to)) {
            continue;
        }
        std::string match = family(v4);
        if (rule.from.prefix) {
            match += tracked ? ct_source(*rule.from.prefix) : source(*rule.from.prefix);
        }
        if (rule.to.prefix) {
            match += tracked ? ct_destination(*rule.to.prefix) : destination(*rule.to.prefix);
        }
        if (rule.proto) {
            match += (tracked ? ",ct_nw_proto=" : ",nw_proto=") + number(*rule.proto);
        }
        // All ports need no match, and no packet has to have one.
        if (!rule.ports || (rule.ports->first == 0 && rule.ports->last == 65535)) {
            result.push_back(match);
            continue;
        }
        // conntrack tells no port of a fragment but the first.  Others go on if the rule may allow
        // them: alone they are of no use, and without the first they do not come this far.
        if (tracked && rule.action == Action::allow) {
            result.push_back(match + ",ip_frag=later");
        }
        for (const std::string& ports : masked(*rule.ports)) {
            result.push_back(match + (tracked ? ",ct_tp_dst=" : ",tp_dst=") + ports);
        }
    }
    return result;
}

}  // namespace

// ---- What holds here ----

std::shared_ptr<const policy::Policy> with_names(std::shared_ptr<const policy::Policy> policy, const DirectoryView& directory)
{
    if (!policy) {
        return policy;
    }
    std::map<std::string, std::string> names;
    for (const policy::Gateway& gateway : policy->gateways) {
        const VnView* vn = find_vn(directory, gateway.vn);
        // One that is there already means the same network: a mistake that is to be seen.
        if (vn && !vn->name.empty() && !policy->find(vn->name)) {
            names[gateway.vn] = vn->name;
        }
    }
    if (names.empty()) {
        return policy;
    }
    auto named = std::make_shared<policy::Policy>(*policy);
    auto rename = [&](std::string& vn) {
        if (auto it = names.find(vn); it != names.end()) {
            vn = it->second;
        }
    };
    for (policy::Gateway& gateway : named->gateways) {
        rename(gateway.vn);
    }
    for (Rule& rule : named->rules) {
        rename(rule.from.vn);
        rename(rule.to.vn);
    }
    std::ranges::stable_sort(named->gateways, {}, &policy::Gateway::vn);
    return named;
}

GatewayMap::GatewayMap(std::shared_ptr<const policy::Policy> policy, const DirectoryView& directory) : policy_(std::move(policy))
{
    if (!policy_) {
        return;
    }
    for (const policy::Gateway& gateway : policy_->gateways) {
        const VnView* vn = find_vn(directory, gateway.vn);
        if (!vn) {
            continue;
        }
        auto [it, fresh] = gateways_.try_emplace(vn->vni);
        if (!fresh) {
            problems_.push_back("line " + number(gateway.line) + ": gateway " + gateway.vn + " is of the same network as that of line " +
                                number(it->second.gateway->line) + ", and is not used");
            continue;
        }
        names_[gateway.vn] = vn->vni;
        it->second.vni = vn->vni;
        it->second.gateway = &gateway;
        it->second.mac = gateway_mac(gateway, vn->vni);
    }
    // The low bits of the VNI, so that a network keeps its zone whatever else comes and goes;
    // the next free one where they are taken.
    std::set<uint16_t> taken{0};
    for (auto& [vni, vn] : gateways_) {
        vn.zone = static_cast<uint16_t>(vni.value);
        while (!taken.insert(vn.zone).second) {
            vn.zone++;
        }
    }
    for (const Rule& rule : policy_->rules) {
        const GatewayVn *from = find(rule.from.vn), *to = find(rule.to.vn);
        if (!from || !to) {
            continue;
        }
        rules_[{rule.from.vn, rule.to.vn}].push_back(&rule);
        if (rule.action != Action::log) {
            gateways_[from->vni].neighbours.push_back(to->vni);
            gateways_[to->vni].neighbours.push_back(from->vni);
        }
    }
    for (auto& [vni, vn] : gateways_) {
        std::ranges::sort(vn.neighbours);
        vn.neighbours.erase(std::ranges::unique(vn.neighbours).begin(), vn.neighbours.end());
    }
}

const GatewayVn* GatewayMap::find(Vni vni) const
{
    auto it = gateways_.find(vni);
    return it == gateways_.end() ? nullptr : &it->second;
}

const GatewayVn* GatewayMap::find(const std::string& vn) const
{
    auto it = names_.find(vn);
    return it == names_.end() ? nullptr : find(it->second);
}

std::vector<const Rule*> GatewayMap::rules(const GatewayVn& from, const GatewayVn& to) const
{
    auto it = rules_.find({from.gateway->vn, to.gateway->vn});
    return it == rules_.end() ? std::vector<const Rule*>{} : it->second;
}

std::vector<Claim> forbidden_claims(const GatewayMap& map, const GatewayVn& vn)
{
    std::vector<Claim> result;
    for (const Interface& own : vn.gateway->addresses) {
        const std::string address = own.address.to_string();
        // What the switch cannot read a neighbour may: ARP of another hardware type, neighbour
        // discovery with an option twice.
        if (own.prefix.is_v4()) {
            result.push_back({",arp,arp_op=0", true});
            result.push_back({",arp,arp_spa=" + address, true});
            result.push_back({",ip,nw_src=" + address, true});
        } else {
            result.push_back({",ipv6,ipv6_src=" + address, true});
            result.push_back({",icmp6,icmp_type=136,nd_target=::", true});
            result.push_back({",icmp6,icmp_type=135,nd_target=::", true});
            result.push_back({",icmp6,icmp_type=136,nd_target=" + address, true});
            result.push_back({",icmp6,icmp_type=135,ipv6_src=::,nd_target=" + address, true});
        }
    }
    for (Vni neighbour : vn.neighbours) {
        for (const Interface& foreign : map.find(neighbour)->gateway->addresses) {
            result.push_back({family(foreign.prefix.is_v4()) + source(foreign.prefix), false});
        }
    }
    return result;
}

// ---- Flows ----

void PolicyWriter::add(std::string match, const std::string& actions)
{
    flows_.push_back(std::move(match) + " actions=" + actions);
}

void PolicyWriter::add_counted(std::string match, const std::string& actions, Counted what, bool logged)
{
    std::string flow = match + " actions=" + actions;
    auto [it, fresh] = seen_.try_emplace(std::move(match), flow);
    if (fresh) {
        flows_.push_back(std::move(flow));
    }
    counted_.push_back({it->second, std::move(what), logged});
}

void PolicyWriter::frame()
{
    if (map_.all().empty()) {
        return;
    }
    add("table=65,priority=0", refuse(kNoRoute));
    for (bool v4 : {true, false}) {
        add("table=66,priority=0" + std::string(family(v4)), kTrack);
        add("table=70,priority=100,ct_state=+new+trk" + std::string(family(v4)), std::string(kCommit) + "goto_table:71");
    }
    add("table=67,priority=200,ct_state=+inv+trk", refuse(kInvalid));
    add("table=67,priority=0", refuse(kOtherConnection));
    add("table=68,priority=0", "goto_table:69");
    add("table=70,priority=0", "goto_table:71");
    add("table=71,priority=0,reg6=1", refuse(kNoMapping));
    add("table=71,priority=0,reg6=2", refuse(kUnknownPort));
    for (int why = kNotIp; why < kEnd; why++) {
        add_counted("table=72,priority=100,reg7=" + number(static_cast<uint64_t>(why)), "drop", {Counted::Kind::refused, kRefusals[static_cast<size_t>(why)]});
    }
    add("table=72,priority=0", "drop");
}

void PolicyWriter::network(const GatewayVn& vn, const NextHops& hops)
{
    answers(vn);
    echo(vn);
    enter(vn);
    leave_tunnel(vn);
    for (Vni neighbour : vn.neighbours) {
        pair(vn, *map_.find(neighbour));
    }
    if (!vn.neighbours.empty()) {
        deliver(vn, hops);
    }
}

// Table 61: who asks for the gateway, and what is sent to it.
void PolicyWriter::answers(const GatewayVn& vn)
{
    const std::string mac = to_string(vn.mac), table = "table=61,priority=";
    uint64_t value = 0;
    for (uint8_t octet : vn.mac.octets) {
        value = value << 8 | octet;
    }
    char hex[20];
    std::snprintf(hex, sizeof hex, "0x%llx", static_cast<unsigned long long>(value));
    for (const Interface& own : vn.gateway->addresses) {
        const std::string address = own.address.to_string();
        const bool v4 = own.prefix.is_v4();
        for (const std::string& to : {std::string(v4 ? "ff:ff:ff:ff:ff:ff" : "33:33:00:00:00:00/ff:ff:00:00:00:00"), mac}) {
            if (v4) {
                add(table + "150" + of(vn) + ",arp,vlan_tci=0x0000,dl_dst=" + to + ",arp_op=1,arp_tpa=" + address,
                    "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:" + mac +
                        "->eth_src,set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:" + mac +
                        "->arp_sha,move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:" + address + "->arp_spa,IN_PORT");
            } else {
                add(table + "150" + of(vn) + ",icmp6,vlan_tci=0x0000,dl_dst=" + to + ",nw_ttl=255,icmp_type=135,icmp_code=0,nd_target=" + address,
                    "set_field:136->icmpv6_type,set_field:2->nd_options_type,set_field:" + std::string(hex) + "->xreg1,goto_table:63");
            }
        }
        if (!v4) {
            // No room for the answer's option, and nobody else may answer.
            add(table + "160" + of(vn) + ",icmp6,icmp_type=135,icmp_code=0,nd_target=" + address + ",nd_sll=00:00:00:00:00:00", refuse(kNotIp));
            // As in table 63 for others, but of a router.
            add("table=63,priority=110" + of(vn) + ",icmp6,icmp_type=136,icmp_code=0,nd_target=" + address,
                "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],move:OXM_OF_PKT_REG1[0..47]->NXM_OF_ETH_SRC[],move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],"
                "move:NXM_NX_ND_TARGET[]->NXM_NX_IPV6_SRC[],move:OXM_OF_PKT_REG1[0..47]->NXM_NX_ND_TLL[],set_field:0xe0000000->nd_reserved,IN_PORT");
        }
    }
    for (bool v4 : {true, false}) {
        add(table + "140" + of(vn) + family(v4) + ",vlan_tci=0x0000,dl_dst=" + mac, "goto_table:65");
    }
    add(table + "135" + of(vn) + ",dl_dst=" + mac, refuse(kNotIp));
}

// Table 65: a VM wants to know whether the gateway is there.
void PolicyWriter::echo(const GatewayVn& vn)
{
    const std::string head = "table=65,priority=300" + of(vn) + ",reg1=1,ip_frag=no";
    const std::string back = "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:" + to_string(vn.mac) + "->eth_src,";
    for (const Interface& own : vn.gateway->addresses) {
        const std::string address = own.address.to_string();
        if (own.prefix.is_v4()) {
            add(head + ",icmp,nw_dst=" + address + ",icmp_type=8,icmp_code=0",
                back + "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],set_field:" + address + "->ip_src,set_field:64->nw_ttl,set_field:0->icmp_type,IN_PORT");
        } else {
            add(head + ",icmp6,ipv6_dst=" + address + ",icmp_type=128,icmp_code=0",
                back + "move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],set_field:" + address +
                    "->ipv6_src,set_field:64->nw_ttl,set_field:129->icmpv6_type,IN_PORT");
        }
        add("table=65,priority=290" + of(vn) + ",reg1=1" + family(own.prefix.is_v4()) + destination(Prefix::of(own.address, own.prefix.is_v4() ? 32 : 128)),
            refuse(kNoRoute));
    }
}

// Table 65: what a VM sends to the gateway is routed here, and nowhere else.
void PolicyWriter::enter(const GatewayVn& vn)
{
    const std::string from = of(vn) + ",reg1=1";
    for (bool v4 : {true, false}) {
        for (const char* ttl : {"0", "1"}) {
            add("table=65,priority=280" + from + family(v4) + ",nw_ttl=" + ttl, refuse(kTtl));
        }
    }
    for (Vni neighbour : vn.neighbours) {
        const GatewayVn& to = *map_.find(neighbour);
        each_pair(vn, to, [&](const Prefix& own, const Prefix& foreign) {
            add("table=65,priority=" + number(100u + foreign.length) + from + family(own.is_v4()) + source(own) + destination(foreign),
                "dec_ttl,set_field:" + number(vn.vni.value) + "->reg4,set_field:" + number(to.vni.value) + "->reg0,set_field:" + number(vn.zone) +
                    "->reg5,set_field:1->reg6,set_field:" + to_string(to.mac) + "->eth_src,goto_table:66");
        });
    }
}

// Table 65: what comes by the tunnel.  The host that routed it is not believed.
void PolicyWriter::leave_tunnel(const GatewayVn& vn)
{
    const std::string mac = to_string(vn.mac), from = of(vn) + ",reg1=0";
    for (Vni neighbour : vn.neighbours) {
        const GatewayVn& other = *map_.find(neighbour);
        each_pair(other, vn, [&](const Prefix& foreign, const Prefix& own) {
            add("table=65,priority=300" + from + ",vlan_tci=0x0000" + family(own.is_v4()) + ",dl_src=" + mac + kUnicast + source(foreign) + destination(own),
                "set_field:" + number(other.vni.value) + "->reg4,set_field:" + number(vn.zone) + "->reg5,set_field:2->reg6,goto_table:66");
        });
    }
    add("table=65,priority=290" + from + ",dl_src=" + mac, refuse(kForgedGateway));
    add("table=65,priority=290" + from + ",dl_dst=" + mac, refuse(kForgedGateway));
    for (const Claim& claim : forbidden_claims(map_, vn)) {
        add("table=65,priority=290" + from + claim.match, refuse(claim.of_gateway ? kForgedGateway : kForeignSource));
    }
    add("table=65,priority=50" + from, "resubmit(,62)");
}

// ---- Rules ----

void PolicyWriter::pair(const GatewayVn& from, const GatewayVn& to)
{
    const std::vector<const Rule*> rules = map_.rules(from, to);
    stateless(from, to, rules);
    // Table 67: the connection that a packet belongs to, or an ICMP error tells of, is one of
    // these two networks: the zone has those of others as well, and may have been another's.
    each_pair(from, to, [&](const Prefix& source, const Prefix& target) {
        const std::string tuple = family(source.is_v4()) + ct_source(source) + ct_destination(target);
        add("table=67,priority=100" + between(from, to) + ",ct_state=+new-inv-rpl+trk" + tuple, "goto_table:68");
        add("table=67,priority=100" + between(from, to) + ",ct_state=-new-inv-rpl+trk" + tuple + label(from, to), "goto_table:68");
        add("table=67,priority=100" + between(to, from) + ",ct_state=-new-inv+rpl+trk" + tuple + label(from, to), "goto_table:68");
    });
    stateful(from, to, rules);
}

// Table 66: those that look at packets alone, and what goes before them.
void PolicyWriter::stateless(const GatewayVn& from, const GatewayVn& to, const std::vector<const Rule*>& rules)
{
    const Rule* last = nullptr;
    for (const Rule* rule : rules) {
        last = rule->stateless ? rule : last;
    }
    for (const Rule* rule : rules) {
        if (!last || rule->priority < last->priority) {
            return;
        }
        if (rule->action == Action::log) {
            continue;
        }
        std::vector<std::string> matches = matches_of(*rule, from, to, false);
        if (rule->ports && (!rule->stateless || rule->action == Action::deny)) {
            // No fragment has a port here, the first neither: it must not slip through to a lower rule.
            Rule any = *rule;
            any.ports.reset();
            for (const std::string& match : matches_of(any, from, to, false)) {
                matches.push_back(match + ",ip_frag=yes");
            }
        }
        for (const std::string& match : matches) {
            const std::string head = "table=66,priority=" + number(rule->priority) + between(from, to) + match;
            if (rule->stateless) {
                add_counted(head, rule->action == Action::allow ? "goto_table:71" : refuse(kDenied), {Counted::Kind::rule, to_string(*rule)}, rule->log);
            } else if (seen_.try_emplace(head, head).second) {
                add(head, kTrack);
            }
        }
    }
}

// Tables 68 (log) and 69 (decide): by the connection, so that each of its packets in either
// direction, and errors that it causes, pass or not as its first one does now.
void PolicyWriter::stateful(const GatewayVn& from, const GatewayVn& to, const std::vector<const Rule*>& rules)
{
    const std::string there = between(from, to) + ",ct_state=-inv-rpl+trk", back = between(to, from) + ",ct_state=-inv+rpl+trk";
    for (const Rule* rule : rules) {
        if (rule->stateless) {
            continue;
        }
        const bool logs = rule->action == Action::log;
        const std::string head = std::string(logs ? "table=68" : "table=69") + ",priority=" + number(rule->priority);
        const std::string actions = logs ? "goto_table:69" : rule->action == Action::allow ? "goto_table:70" : refuse(kDenied);
        for (const std::string& match : matches_of(*rule, from, to, true)) {
            for (const std::string& direction : {there, back}) {
                add_counted(head + direction + match, actions, {Counted::Kind::rule, to_string(*rule)}, logs || rule->log);
            }
        }
    }
    for (const std::string& direction : {there, back}) {
        for (bool v4 : {true, false}) {
            add_counted("table=69,priority=0" + direction + family(v4), refuse(kDenied), {Counted::Kind::by_default, from.gateway->vn, to.gateway->vn}, true);
        }
    }
}

// Table 71: a packet that may go goes to whom it is for.
void PolicyWriter::deliver(const GatewayVn& vn, const NextHops& hops)
{
    const std::string zone = number(vn.zone);
    std::map<base::MacAddress, bool> ports;
    for (const auto& [address, hop] : hops) {
        if (hop.local) {
            ports[hop.mac] = hop.remote_port;
        }
        if (!vn.gateway->prefix_of(address) || vn.gateway->has_address(address)) {
            continue;
        }
        const Prefix whole = Prefix::of(address, address.is_v4() ? 32 : 128);
        add("table=71,priority=100" + of(vn) + ",reg6=1" + family(address.is_v4()) + destination(whole),
            "set_field:" + to_string(hop.mac) + "->eth_dst," +
                (hop.local ? "set_field:" + zone + "->reg5,set_field:2->reg6,resubmit(,66)" : "resubmit(,62)"));
    }
    for (const auto& [mac, remote_port] : ports) {
        // A hypervisor's port may be where the packet came from, in another network.
        add("table=71,priority=100" + of(vn) + ",reg6=2,dl_dst=" + to_string(mac),
            std::string(remote_port ? "load:0xffff->NXM_OF_IN_PORT[]," : "") + "resubmit(,62)");
    }
}

}  // namespace nvo3::agent
