// SPDX-License-Identifier: Apache-2.0
//
// What the engine shows: Interface status and statistics, ovs-appctl nvo3/*.
// Never a key: SaRuntime has none to give.
// Threads: main.
#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "esp/wire.h"
#include "ovs-ext/engine/engine.h"
#include "ovs-ext/engine/json.h"

namespace nvo3::engine {

using base::Encap;
using base::IpAddress;
using esp::SaDirection;

// What there is to say of a port.
struct Engine::PortView {
    std::string state;
    std::string peer;
    std::string error;
    SaKeeper::Count sas;
    size_t overhead = 0;        // at most; 0: unknown, remote_ip=flow
    size_t mtu = 0;             // effective; 0: unknown
};

namespace {

// The states that ovs-nvo3.conf(5) has; an agent of another version must not
// make scripts see others.
bool
is_state(const std::string& word)
{
    static constexpr std::array kWords{"up", "connecting", "waiting", "error"};
    return std::ranges::find(kWords, word) != kWords.end();
}

std::string
vni_words(const PortConfig& config)
{
    std::string text = config.from_nva || config.any_vni ? "of the NVA" : "";
    for (base::Vni vni : config.vnis) {
        text += (text.empty() ? "" : ",") + to_string(vni);
    }
    return text;
}

std::string
remote_words(const PortConfig& config)
{
    return config.remote ? config.remote->to_string() : "flow";
}

const char*
cipher_words(const PortConfig& config)
{
    return config.from_nva ? "nva" : to_string(config.cipher);
}

std::string
sa_words(const SaKeeper::Count& sas)
{
    return "in=" + std::to_string(sas.in) + " out=" + std::to_string(sas.out);
}

using Values = std::array<uint64_t, kCounterCount>;

Values
values_of(const Counters& counters)
{
    Values values;
    for (size_t i = 0; i < kCounterCount; i++) {
        values[i] = counters.value(i);
    }
    return values;
}

void
write_values(JsonWriter& json, const Values& values)
{
    for (size_t i = 0; i < kCounterCount; i++) {
        json.field(counter_name(i), values[i]);
    }
}

std::string
text_of(const std::string& title, const Values& values)
{
    std::string text = title + "\n";
    for (size_t i = 0; i < kCounterCount; i++) {
        if (values[i]) {
            text += "  " + std::string(counter_name(i)) + ": " + std::to_string(values[i]) + "\n";
        }
    }
    return text;
}

}  // namespace

// ---- A port ----

Engine::PortView
Engine::view(const Port& port)
{
    const PortConfig& config = port.config;
    PortView view;
    for (const auto& [channel, count] : keeper_.counts()) {
        if (covers(config, channel) && (!config.from_nva || ports_.left_to_nva(channel))) {
            view.sas.in += count.in;
            view.sas.out += count.out;
        }
    }
    if (config.remote) {
        const bool ipv6 = !config.remote->is_v4();
        view.overhead = esp::overhead(config.encap, config.cipher, ipv6) + esp::kMaxPadding;
        if (port.underlay_mtu > 0) {
            view.mtu = esp::effective_mtu(static_cast<size_t>(port.underlay_mtu), config.encap,
                                          config.cipher, ipv6);
        }
    }

    if (!agent_.connected()) {
        view.state = "no-agent";
        view.error = !socket_error_.empty()
                     ? socket_error_
                     : "hvagent is not connected, so no keys can be agreed; start hvagent";
        return view;
    }
    view.state = "waiting";
    if (const auto it = agent_view_.find(config.name); it != agent_view_.end()) {
        const esp::msg::PortStatus& said = it->second;
        view.state = is_state(said.state) ? said.state : "error";
        view.peer = said.peer;
        view.error = said.error;
    }
    // Up is when packets can go both ways, whatever the agent believes.
    if (view.state == "up" && config.remote && (view.sas.in == 0 || view.sas.out == 0)) {
        view.state = "connecting";
    }
    return view;
}

void
Engine::port_status(std::string_view name, const StatusVisitor& visit)
{
    const Port* port = ports_.find(name);
    if (!port) {
        return;
    }
    const PortView seen = view(*port);
    visit("nvo3_state", seen.state.c_str());
    if (!seen.peer.empty()) {
        visit("nvo3_peer", seen.peer.c_str());
    }
    visit("nvo3_sas", sa_words(seen.sas).c_str());
    visit("nvo3_cipher", cipher_words(port->config));
    if (!seen.error.empty()) {
        visit("nvo3_error", seen.error.c_str());
    }
    if (seen.overhead) {
        visit("nvo3_overhead", std::to_string(seen.overhead).c_str());
    }
    if (seen.mtu) {
        visit("nvo3_effective_mtu", std::to_string(seen.mtu).c_str());
    }
}

// Those of its peer with its encapsulation: ports that share both show the same
// ones, as a refused packet often belongs to no network yet.  Of a port of the
// NVA the sum over its peers and groups.
void
Engine::port_statistics(std::string_view name, const CounterVisitor& visit)
{
    const Port* port = ports_.find(name);
    if (!port || !(port->config.remote || port->config.from_nva)) {
        return;
    }
    Values sum{};
    const auto add = [&](const IpAddress& remote) {
        const Peer* peer = peers_.find(remote);
        const Lane* lane = peer ? peer->lane(port->config.encap) : nullptr;
        for (size_t i = 0; lane && i < kCounterCount; i++) {
            sum[i] += lane->counters.value(i);
        }
    };
    if (port->config.remote) {
        add(*port->config.remote);
    } else {
        for (const auto& [remote, encap] : nva_lanes_) {
            if (encap == port->config.encap) {
                add(remote);
            }
        }
    }
    for (size_t i = 0; i < kCounterCount; i++) {
        visit(counter_name(i), sum[i]);
    }
}

// ---- ovs-appctl nvo3/show ----

std::string
Engine::show(const char* wanted, bool as_json)
{
    if (wanted && !ports_.find(wanted)) {
        return "";
    }
    JsonWriter json;
    std::string text;
    json.begin_object().field("aead", library_.name()).key("agent").boolean(agent_.connected());
    text += std::string("cipher library: ") + library_.description() + "\n";
    text += "agent: " + (agent_.connected() ? "connected, pid " + std::to_string(agent_.agent_pid())
                                            : std::string("not connected")) + "\n";
    if (!socket_error_.empty()) {
        json.field("socket_error", socket_error_);
        text += "SA socket: " + socket_error_ + "\n";
    }
    json.key("ports").begin_array();
    for (const auto& [name, port] : ports_.all()) {
        if (wanted && name != wanted) {
            continue;
        }
        const PortConfig& config = port.config;
        const PortView seen = view(port);
        json.begin_object().field("name", name).field("encap", to_string(config.encap))
            .field("remote_ip", remote_words(config)).key("vnis").begin_array();
        for (base::Vni vni : config.vnis) {
            json.number(vni.value);
        }
        json.end_array().key("nva").boolean(config.from_nva).field("cipher", cipher_words(config))
            .field("replay_window", config.replay_window).field("state", seen.state)
            .field("peer", seen.peer).field("error", seen.error).field("sas_in", seen.sas.in)
            .field("sas_out", seen.sas.out).field("overhead", seen.overhead)
            .field("effective_mtu", seen.mtu).end_object();

        text += "port " + name + ": " + to_string(config.encap) + " to " + remote_words(config)
                + ", VNI " + vni_words(config) + "\n  state: " + seen.state
                + (seen.peer.empty() ? "" : ", peer " + seen.peer)
                + (seen.error.empty() ? "" : ": " + seen.error) + "\n  SAs: " + sa_words(seen.sas)
                + "\n  cipher: " + cipher_words(config) + ", replay window "
                + std::to_string(config.replay_window) + "\n";
        if (seen.overhead) {
            text += "  overhead: " + std::to_string(seen.overhead) + " octets"
                    + (seen.mtu ? ", effective MTU " + std::to_string(seen.mtu) + " of "
                                      + std::to_string(port.underlay_mtu) : "") + "\n";
        }
    }
    json.end_array().end_object();
    return as_json ? json.take() : text;
}

// ---- ovs-appctl nvo3/sa-list ----

std::string
Engine::sa_list(bool as_json)
{
    std::vector<esp::msg::SaRecord> records = keeper_.list(0);
    std::ranges::sort(records, {}, [](const esp::msg::SaRecord& sa) {
        return std::tuple(sa.group, sa.remote, sa.encap, sa.vni, sa.direction, sa.spi);
    });
    JsonWriter json;
    std::string text;
    json.begin_array();
    for (const esp::msg::SaRecord& sa : records) {
        const bool of_group = !sa.group.is_unspecified();
        json.begin_object().field("direction", to_string(sa.direction))
            .field("spi", to_string(sa.spi)).field("remote_ip", sa.remote.to_string())
            .field("group", of_group ? sa.group.to_string() : "").field("encap", to_string(sa.encap)).field("vni", sa.vni.value)
            .field("cipher", to_string(sa.cipher)).field("generation", sa.generation)
            .field("packets", sa.packets).field("bytes", sa.bytes)
            .field("age_seconds", sa.age_seconds).end_object();
        text += std::string(to_string(sa.direction)) + " " + sa.remote.to_string()
                + (of_group ? " group " + sa.group.to_string() : "") + " "
                + to_string(sa.encap) + " VNI " + to_string(sa.vni) + " SPI " + to_string(sa.spi)
                + " " + to_string(sa.cipher) + " generation " + std::to_string(sa.generation)
                + ": " + std::to_string(sa.packets) + " packets, " + std::to_string(sa.bytes)
                + " octets, " + std::to_string(sa.age_seconds) + " s old\n";
    }
    json.end_array();
    return as_json ? json.take() : text.empty() ? "no security associations\n" : text;
}

// ---- ovs-appctl nvo3/counters ----

std::string
Engine::counters(bool as_json)
{
    struct Row {
        IpAddress remote;
        Encap encap;
        Values values;
    };
    std::vector<Row> rows;
    const Values global = values_of(global_);
    Values total = global;
    for (uint32_t index = 1; index <= peers_.last_index(); index++) {
        const Peer* peer = peers_.at(static_cast<uint16_t>(index));
        for (Encap encap : {Encap::geneve, Encap::vxlan}) {
            if (const Lane* lane = peer->lane(encap)) {
                rows.push_back({peer->address, encap, values_of(lane->counters)});
                for (size_t i = 0; i < kCounterCount; i++) {
                    total[i] += rows.back().values[i];
                }
            }
        }
    }

    JsonWriter json;
    json.begin_object();
    write_values(json, total);
    json.key("unattributed").begin_object();
    write_values(json, global);
    json.end_object().key("peers").begin_array();
    std::string text = text_of("all:", total) + text_of("of no port:", global);
    for (const Row& row : rows) {
        json.begin_object().field("remote_ip", row.remote.to_string())
            .field("encap", to_string(row.encap)).key("counters").begin_object();
        write_values(json, row.values);
        json.end_object().end_object();
        text += text_of(std::string(to_string(row.encap)) + " " + row.remote.to_string() + ":",
                        row.values);
    }
    json.end_array().end_object();
    return as_json ? json.take() : text;
}

// ---- ovs-appctl nvo3/metrics ----

// Of the whole switch: a series for each peer would be without bound.
std::string
Engine::metrics()
{
    Values total = values_of(global_);
    for (uint32_t index = 1; index <= peers_.last_index(); index++) {
        const Peer* peer = peers_.at(static_cast<uint16_t>(index));
        for (Encap encap : {Encap::geneve, Encap::vxlan}) {
            const Lane* lane = peer->lane(encap);
            for (size_t i = 0; lane && i < kCounterCount; i++) {
                total[i] += lane->counters.value(i);
            }
        }
    }

    base::MetricsText out;
    out.gauge("nvo3_agent_connected", "1 while hvagent keys this switch.").sample(agent_.connected());
    std::map<std::string, uint64_t> states;
    for (const char* state : {"up", "connecting", "waiting", "error", "no-agent"}) {
        states[state] = 0;
    }
    for (const auto& [name, port] : ports_.all()) {
        states[view(port).state]++;
    }
    out.gauge("nvo3_ports", "Protected tunnel ports by state.");
    for (const auto& [state, count] : states) {
        out.sample(count, {{"state", state}});
    }
    std::map<std::pair<std::string, std::string>, uint64_t> sas;
    for (const char* direction : {"inbound", "outbound"}) {
        sas[{direction, "pair"}] = sas[{direction, "group"}] = 0;
    }
    for (const esp::msg::SaRecord& sa : keeper_.list(0)) {
        sas[{to_string(sa.direction), sa.group.is_unspecified() ? "pair" : "group"}]++;
    }
    out.gauge("nvo3_sas", "Live security associations.");
    for (const auto& [kind, count] : sas) {
        out.sample(count, {{"direction", kind.first}, {"of", kind.second}});
    }
    out.counter("nvo3_drops_total", "Packets refused; ovs-nvo3.conf(5) explains each reason.");
    for (size_t i = 0; i < esp::kDropReasonCount; i++) {
        out.sample(total[i], {{"reason", esp::to_string(static_cast<esp::DropReason>(i))}});
    }
    for (size_t i = 0; i < esp::kEventCount; i++) {
        const auto event = static_cast<esp::Event>(i);
        out.counter(std::string(esp::counter_name(event)) + "_total", esp::words(event)).sample(total[counter_of(event)]);
    }
    return out.take();
}

}  // namespace nvo3::engine
