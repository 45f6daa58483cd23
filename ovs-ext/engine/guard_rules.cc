// SPDX-License-Identifier: Apache-2.0
//
// See guard_rules.h.
#include "ovs-ext/engine/guard_rules.h"

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

namespace nvo3::engine {
namespace {

using base::Vni;

bool
in_pipeline(uint8_t table)
{
    return table >= NVO3_GUARD_FIRST_TABLE && table <= NVO3_GUARD_LAST_TABLE;
}

std::span<const nvo3_guard_step>
steps_of(const nvo3_guard_change& change)
{
    return {change.steps, change.n_steps};
}

std::string
port_words(uint32_t port)
{
    return "port " + std::to_string(port);
}

// Before the flows of hvagent are there, nobody knows which ports are of networks.
bool
is_awaited(const nvo3_guard_change& change, const GuardKnowledge& known)
{
    return known.awaits_pipeline && !change.pipeline;
}

// OpenFlow 1.0's numbers: a port, not one of the words but LOCAL.
bool
is_port(uint32_t port)
{
    return port < 0xff00 || port == 0xfffe;
}

bool
may_be_of_network(uint32_t port, bool of_network, bool awaited)
{
    return of_network || (awaited && is_port(port));
}

std::string
network_port_words(uint32_t port, bool of_network)
{
    return port_words(port) + (of_network ? " of virtual networks"
                                          : ", which may be of virtual networks until hvagent's flows are there");
}

// ---- Networks ----

// The tunnel ID of a packet while its actions are carried out.
struct PacketVni {
    std::optional<Vni> value;   // if it is known
    bool served = false;        // one that this host serves, known or not
};

PacketVni
matched_vni(const nvo3_guard_change& change, const GuardKnowledge& known)
{
    if (change.vni_mask != Vni::kMax) {
        return {};
    }
    const Vni vni(change.vni & Vni::kMax);
    return {vni, known.served.contains(vni)};
}

// Empty if the action is right.  VNI 0 is what a packet of no tunnel has: to set it
// takes a packet out of its network.
GuardVerdict
set_vni(const nvo3_guard_step& step, const GuardKnowledge& known, PacketVni& packet)
{
    const uint32_t mask = step.mask & Vni::kMax;
    if (mask != Vni::kMax && !packet.value) {
        packet = {};
        return {GuardReason::sets_unknown_vni, "sets a part of tun_id, to a VNI that is not known"};
    }
    const Vni vni((step.value & mask) | (packet.value ? packet.value->value & ~mask : 0));
    packet = {vni, known.served.contains(vni)};
    if (packet.served || vni.value == 0) {
        return {};
    }
    return {GuardReason::sets_unserved_vni,
            "sets tun_id to VNI " + to_string(vni) + ", which this host does not serve"};
}

GuardVerdict
match_of(const nvo3_guard_change& change, const GuardKnowledge& known)
{
    const uint32_t mask = change.vni_mask & Vni::kMax;
    const uint32_t value = change.vni & mask;
    // A packet from no protected tunnel has the VNI that a flow has set, if any.
    const bool from_tunnel = change.in_port_known ? known.tunnels.contains(change.in_port)
                                                  : !known.tunnels.empty();
    const bool packet = change.what == NVO3_GUARD_PACKET_OUT || change.what == NVO3_GUARD_RESUME;
    if (value == 0 || !(from_tunnel || packet)) {
        return {};
    }
    const auto fits = [&](Vni vni) { return (vni.value & mask) == value; };
    if (std::ranges::any_of(known.served, fits)) {
        return {};
    }
    if (packet) {
        return {GuardReason::sets_unserved_vni,
                "gives a packet VNI " + std::to_string(value) + ", which this host does not serve"};
    }
    return {GuardReason::matches_unserved_vni,
            mask == Vni::kMax ? "matches VNI " + std::to_string(value) + ", which this host does not serve"
                              : "matches VNIs of which this host serves none"};
}

GuardVerdict
networks_of(const nvo3_guard_change& change, const GuardKnowledge& known)
{
    if (GuardVerdict verdict = match_of(change, known); !verdict) {
        return verdict;
    }
    PacketVni packet = matched_vni(change, known);
    std::vector<PacketVni> outer;       // of the packets that copies were made from
    for (const nvo3_guard_step& step : steps_of(change)) {
        GuardVerdict verdict;
        switch (step.op) {
        case NVO3_GUARD_SET_VNI:
            verdict = set_vni(step, known, packet);
            break;
        case NVO3_GUARD_SET_VNI_ANY:
            verdict = {GuardReason::sets_unknown_vni, "sets tun_id to a VNI that is not known"};
            break;
        case NVO3_GUARD_OUTPUT:
            if (known.tunnels.contains(step.port) && !packet.served) {
                verdict = {GuardReason::output_without_vni,
                           "sends to protected tunnel " + port_words(step.port)
                               + " without having set tun_id to a VNI that this host serves"};
            }
            break;
        case NVO3_GUARD_OUTPUT_ANY:
            if (!known.tunnels.empty() && !packet.served) {
                verdict = {GuardReason::output_without_vni,
                           "sends to ports of which one may be a protected tunnel, without having set "
                           "tun_id to a VNI that this host serves"};
            }
            break;
        case NVO3_GUARD_TABLE:
            packet.value.reset();       // whoever sets it there sets one that is served
            break;
        case NVO3_GUARD_PUSH:
            outer.push_back(packet);
            break;
        case NVO3_GUARD_POP:
            if (!outer.empty()) {
                packet = outer.back();
                outer.pop_back();
            }
            break;
        case NVO3_GUARD_SET_IN_PORT:
        case NVO3_GUARD_SET_IN_PORT_ANY:
        case NVO3_GUARD_CT_COMMIT:
        case NVO3_GUARD_CT_COMMIT_ANY:
        case NVO3_GUARD_LEARN_OWN:
        case NVO3_GUARD_OTHER:
            break;
        }
        if (!verdict) {
            return verdict;
        }
    }
    return {};
}

// ---- The flows of hvagent ----

// Before the flows of hvagent are there no priority is behind theirs.
GuardVerdict
place_of(const nvo3_guard_change& change, bool awaited)
{
    if (change.adds && in_pipeline(change.table)) {
        return {GuardReason::uses_pipeline_table,
                "is in table " + std::to_string(change.table) + " of the virtual networks"};
    }
    if (change.adds && change.table == 0 && (awaited || change.priority >= NVO3_GUARD_PRIORITY) && change.n_steps > 0
        && (!change.in_port_known || may_be_of_network(change.in_port, change.in_port_of_network, awaited))) {
        const std::string ports = change.in_port_known ? "takes packets of " + port_words(change.in_port)
                                                       : std::string("may take packets of ports");
        if (awaited) {
            return {GuardReason::bypasses_pipeline, ports + ", before hvagent's flows have said which are of virtual networks"};
        }
        return {GuardReason::bypasses_pipeline,
                ports + " of virtual networks past their flows, by priority " + std::to_string(change.priority)};
    }
    return {};
}

// The conntrack zones of networks: the low bits of their VNIs; where two have the
// same, the second the next that is free.  Zone 0 is everybody's.
bool
is_zone_of_network(uint32_t zone, const std::set<Vni>& served)
{
    if (zone == 0) {
        return false;
    }
    std::set<uint16_t> zones{0};
    for (const Vni vni : served) {
        auto next = static_cast<uint16_t>(vni.value);
        while (!zones.insert(next).second && zones.size() <= UINT16_MAX) {
            next++;
        }
    }
    return zones.contains(static_cast<uint16_t>(zone));
}

GuardVerdict
action_of(const nvo3_guard_step& step, const GuardKnowledge& known, bool awaited)
{
    switch (step.op) {
    case NVO3_GUARD_OUTPUT:
        if (may_be_of_network(step.port, step.of_network, awaited)) {
            return {GuardReason::output_to_network, "sends to " + network_port_words(step.port, step.of_network)};
        }
        break;
    case NVO3_GUARD_OUTPUT_ANY:
        return {GuardReason::output_to_network, "sends to ports of which one may be of virtual networks"};
    case NVO3_GUARD_TABLE:
        if (in_pipeline(step.table)) {
            return {GuardReason::enters_pipeline,
                    "enters table " + std::to_string(step.table) + " of the virtual networks"};
        }
        break;
    case NVO3_GUARD_SET_IN_PORT:
        if (may_be_of_network(step.port, step.of_network, awaited)) {
            return {GuardReason::injects_packets,
                    "makes packets those of " + network_port_words(step.port, step.of_network)};
        }
        break;
    case NVO3_GUARD_SET_IN_PORT_ANY:
        return {GuardReason::injects_packets, "makes packets those of a port that may be of virtual networks"};
    case NVO3_GUARD_CT_COMMIT:
        if (is_zone_of_network(step.value, known.served)) {
            return {GuardReason::changes_connections,
                    "makes connections in conntrack zone " + std::to_string(step.value) + " of virtual networks"};
        }
        if (step.value != 0 && (awaited || !known.served_known)) {
            return {GuardReason::changes_connections,
                    "makes connections in conntrack zone " + std::to_string(step.value)
                        + ", before hvagent has said which are of virtual networks"};
        }
        break;
    case NVO3_GUARD_CT_COMMIT_ANY:
        return {GuardReason::changes_connections,
                "makes connections in a conntrack zone that may be of virtual networks"};
    case NVO3_GUARD_SET_VNI:
    case NVO3_GUARD_SET_VNI_ANY:
    case NVO3_GUARD_PUSH:
    case NVO3_GUARD_POP:
    case NVO3_GUARD_LEARN_OWN:
    case NVO3_GUARD_OTHER:
        break;
    }
    return {};
}

GuardVerdict
pipeline_of(const nvo3_guard_change& change, const GuardKnowledge& known)
{
    if (change.adds && change.own) {
        return {GuardReason::claims_cookie, "has the cookie of hvagent's flows"};
    }
    if (std::ranges::any_of(steps_of(change), [](const nvo3_guard_step& step) { return step.op == NVO3_GUARD_LEARN_OWN; })) {
        return {GuardReason::claims_cookie, "learns flows that have the cookie of hvagent's"};
    }
    if (change.replaces_own) {
        return {GuardReason::changes_pipeline,
                "changes a flow of hvagent in table " + std::to_string(change.table)};
    }
    if (!change.pipeline && !known.awaits_pipeline) {
        return {};
    }
    const bool awaited = is_awaited(change, known);
    const bool of_network = change.in_port_known
                            && may_be_of_network(change.in_port, change.in_port_of_network, awaited);
    switch (change.what) {
    case NVO3_GUARD_FLOW:
        if (GuardVerdict verdict = place_of(change, awaited); !verdict) {
            return verdict;
        }
        break;
    case NVO3_GUARD_GROUP:
        break;
    case NVO3_GUARD_PACKET_OUT:
    case NVO3_GUARD_RESUME:
        if (of_network) {
            return {GuardReason::injects_packets,
                    "sends a packet as if it came from " + network_port_words(change.in_port, change.in_port_of_network)};
        }
        if (in_pipeline(change.table)) {
            return {GuardReason::enters_pipeline,
                    "enters table " + std::to_string(change.table) + " of the virtual networks"};
        }
        break;
    case NVO3_GUARD_PORT_MOD:
        if (of_network) {
            return {GuardReason::changes_port, "changes " + network_port_words(change.in_port, change.in_port_of_network)};
        }
        return {};
    case NVO3_GUARD_TABLE_MOD:
        // Of the table before, too: "go on in the next one" is of OpenFlow 1.1 and 1.2.
        if (in_pipeline(change.table) || change.table == NVO3_GUARD_FIRST_TABLE - 1 || change.table == 255) {
            return {GuardReason::uses_pipeline_table, "configures tables of the virtual networks"};
        }
        return {};
    case NVO3_GUARD_CT_FLUSH:
        return {GuardReason::changes_connections, "ends connections, which may be of virtual networks"};
    }
    for (const nvo3_guard_step& step : steps_of(change)) {
        if (GuardVerdict verdict = action_of(step, known, awaited); !verdict) {
            return verdict;
        }
    }
    return {};
}

}  // namespace

const char*
to_string(GuardReason reason) noexcept
{
    switch (reason) {
    case GuardReason::none: return "none";
    case GuardReason::sets_unserved_vni: return "sets_unserved_vni";
    case GuardReason::sets_unknown_vni: return "sets_unknown_vni";
    case GuardReason::output_without_vni: return "output_without_vni";
    case GuardReason::matches_unserved_vni: return "matches_unserved_vni";
    case GuardReason::claims_cookie: return "claims_cookie";
    case GuardReason::changes_pipeline: return "changes_pipeline";
    case GuardReason::uses_pipeline_table: return "uses_pipeline_table";
    case GuardReason::bypasses_pipeline: return "bypasses_pipeline";
    case GuardReason::output_to_network: return "output_to_network";
    case GuardReason::enters_pipeline: return "enters_pipeline";
    case GuardReason::injects_packets: return "injects_packets";
    case GuardReason::changes_port: return "changes_port";
    case GuardReason::changes_connections: return "changes_connections";
    }
    return "?";
}

GuardVerdict
judge(const nvo3_guard_change& change, const GuardKnowledge& known)
{
    if (change.who != NVO3_GUARD_LOCAL) {
        if (GuardVerdict verdict = pipeline_of(change, known); !verdict) {
            return verdict;
        }
    } else if (change.own) {
        // Who may open the management socket may open the SA socket too, and say there
        // what is served: this is hvagent.
        return {};
    }
    return networks_of(change, known);
}

}  // namespace nvo3::engine
