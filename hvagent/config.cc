// SPDX-License-Identifier: Apache-2.0
//
// See config.h: the keys of Open_vSwitch, and what they and all ports ask for together.  The names of keys are
// those of ovs-nvo3.conf(5).
#include "hvagent/config.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <set>
#include <string_view>
#include <utility>

#include "hvagent/config_reader.h"

namespace nvo3::agent {
namespace {

constexpr uint16_t kDefaultPort = 6652;
constexpr const char* kSeparators = ", \t";

// ADDRESS, ADDRESS:PORT, [ADDRESS] or [ADDRESS]:PORT; 'port' is the default.
bool parse_address_port(std::string_view text, base::IpAddress& address, uint16_t& port)
{
    std::string_view host = text, number;
    if (text.starts_with('[')) {
        auto close = text.find(']');
        if (close == text.npos) {
            return false;
        }
        host = text.substr(1, close - 1);
        number = text.substr(close + 1);
    } else if (auto colon = text.find(':'); colon != text.npos) {
        host = text.substr(0, colon);
        number = text.substr(colon);
    }
    if (!number.empty()) {
        auto parsed = base::parse_number(number.substr(1), 65535);
        if (number.front() != ':' || !parsed || *parsed == 0) {
            return false;
        }
        port = static_cast<uint16_t>(*parsed);
    }
    auto parsed = base::IpAddress::parse(host);
    if (parsed) {
        address = *parsed;
    }
    return parsed.ok();
}

// ---- Open_vSwitch other_config ----

class GlobalReader {
public:
    GlobalReader(const StringMap& values, const Config& fallback, Config& out)
        : values_(values), fallback_(fallback), out_(out)
    {
    }

    void read()
    {
        file("certificate", out_.certificate);
        file("private_key", out_.private_key);
        file("ca_cert", out_.ca_cert);
        file("nvo3-crl", out_.crl);
        listen();
        role();
        nvas();
        hypervisor();
        bridge();
        policy();
        level();
        uint64_t seconds = 3600;
        number("nvo3-rekey-seconds", 1, 86400, static_cast<uint64_t>(fallback_.rekey_after.count()), seconds);
        out_.rekey_after = std::chrono::seconds(seconds);
        number("nvo3-rekey-bytes", 0, UINT64_MAX, fallback_.rekey_bytes, out_.rekey_bytes);
        number("nvo3-control-rate", 1, 1000000, fallback_.control_rate, out_.control_rate);
        number("nvo3-control-burst", 1, 1000000, fallback_.control_burst, out_.control_burst);
        number("nvo3-hypervisor-rate", 1, 1000000, fallback_.hypervisor_rate, out_.hypervisor_rate);
        unknown_keys();
    }

private:
    void problem(std::string text) { out_.problems.push_back({"", std::move(text)}); }

    const std::string* take(const char* key)
    {
        known_.insert(key);
        return find(values_, key);
    }

    void file(const char* key, std::string& field)
    {
        if (const std::string* value = take(key)) {
            field = *value;
        }
    }

    template <class Number>
    void number(const char* key, uint64_t low, uint64_t high, uint64_t previous, Number& field)
    {
        const std::string* value = take(key);
        if (!value) {
            return;
        }
        auto parsed = base::parse_number(*value, high);
        if (parsed && *parsed >= low) {
            field = static_cast<Number>(*parsed);
            return;
        }
        field = static_cast<Number>(previous);
        std::string range = high == UINT64_MAX ? "a number" : "a number from " + std::to_string(low) + " to " + std::to_string(high);
        problem("other_config:" + std::string(key) + "=" + *value + " is not " + range + "; " + std::to_string(previous) +
                " stays in force");
    }

    void listen()
    {
        const std::string* value = take("nvo3-listen");
        if (!value || parse_listen(*value)) {
            return;
        }
        out_.listen_address = fallback_.listen_address;
        out_.listen_dual_stack = fallback_.listen_dual_stack;
        out_.listen_port = fallback_.listen_port;
        problem("other_config:nvo3-listen=" + *value +
                " is not of the form ADDRESS:PORT or [ADDRESS]:PORT; the former address stays in force");
    }

    bool parse_listen(std::string_view text)
    {
        base::IpAddress address;
        uint16_t port = kDefaultPort;
        if (!parse_address_port(text, address, port)) {
            return false;
        }
        out_.listen_dual_stack = address.is_unspecified();
        out_.listen_address = is_any(address) ? base::IpAddress{} : address;
        out_.listen_port = port;
        return true;
    }

    void role()
    {
        const std::string* value = take("nvo3-role");
        if (value && *value == "hypervisor") {
            out_.role = control::Role::hypervisor;
        } else if (value && *value != "nve") {
            out_.role = fallback_.role;
            problem("other_config:nvo3-role=" + *value + " is neither nve nor hypervisor; this agent works as " + control::to_string(out_.role));
        }
    }

    // Words of a list, until one is not taken.
    static bool each_word(std::string_view list, const std::function<bool(std::string_view)>& take)
    {
        for (auto begin = list.find_first_not_of(kSeparators); begin != list.npos; begin = list.find_first_not_of(kSeparators)) {
            list.remove_prefix(begin);
            std::string_view word = list.substr(0, list.find_first_of(kSeparators));
            list.remove_prefix(word.size());
            if (!take(word)) {
                return false;
            }
        }
        return true;
    }

    static bool parse_host(std::string_view text, Endpoint& out)
    {
        return parse_address_port(text, out.address, out.port) && !is_any(out.address) && !out.address.is_multicast();
    }

    // ADDRESS[:PORT][=LEVEL]; empty: taken.
    std::string external_nve(std::string_view word)
    {
        ExternalNve nve{{{}, kDefaultPort}, *esp::cipher_from_level("confidential")};
        const std::string text(word);
        auto equals = word.find('=');
        if (!parse_host(word.substr(0, equals), nve.endpoint)) {
            return text + " does not begin with ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT";
        }
        if (equals != word.npos) {
            const std::string level(word.substr(equals + 1));
            auto cipher = esp::cipher_from_level(level);
            if (!cipher) {
                cipher = esp::cipher_from_name(level);
            }
            if (!cipher) {
                return level + " is neither a security level (integrity, confidential, high) nor a cipher";
            }
            nve.cipher = *cipher;
        }
        if (std::ranges::any_of(out_.nves, [&](const ExternalNve& other) { return other.endpoint.address == nve.endpoint.address; })) {
            return nve.endpoint.address.to_string() + " is there twice";
        }
        out_.nves.push_back(nve);
        return "";
    }

    void hypervisor()
    {
        const std::string* value = take("nvo3-nve");
        std::string why;
        if (value && !each_word(*value, [&](std::string_view word) { return (why = external_nve(word)).empty(); })) {
            out_.nves = fallback_.nves;
            problem("other_config:nvo3-nve=" + *value + ": " + why + "; the former list stays in force");
        }
        if (out_.is_hypervisor() && out_.nves.empty()) {
            problem("other_config:nvo3-nve is missing: name the external NVE of this hypervisor");
        } else if (!out_.is_hypervisor() && value) {
            problem("other_config:nvo3-nve is for nvo3-role=hypervisor only and is ignored");
            out_.nves.clear();
        }
        if (out_.is_hypervisor() && !out_.nvas.empty()) {
            problem("other_config:nvo3-nva is ignored with nvo3-role=hypervisor: its external NVE talks to the NVA");
            out_.nvas.clear();
        }
        number("nvo3-throttle-rate", 1, 100000, fallback_.throttle.per_second, out_.throttle.per_second);
        number("nvo3-throttle-vm-rate", 1, 100000, fallback_.throttle.vm_per_second, out_.throttle.vm_per_second);
        libvirt();
    }

    void libvirt()
    {
        if (const std::string* value = take("nvo3-libvirt-uri")) {
            out_.libvirt_uri = *value == "none" ? "" : *value;
        }
        const std::string* value = take("nvo3-hook");
        if (value && *value == "strict") {
            out_.hook_strict = true;
        } else if (value && *value != "lenient") {
            out_.hook_strict = fallback_.hook_strict;
            problem("other_config:nvo3-hook=" + *value + " is neither strict nor lenient; the former value stays in force");
        }
    }

    void nvas()
    {
        const std::string* value = take("nvo3-nva");
        if (!value) {
            return;
        }
        each_word(*value, [&](std::string_view text) {
            Endpoint nva;
            if (!parse_host(text, nva)) {
                problem("other_config:nvo3-nva=" + *value + ": " + std::string(text) +
                        " is not of the form ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; the former list stays in force");
                out_.nvas = fallback_.nvas;
                return false;
            }
            if (std::ranges::find(out_.nvas, nva) == out_.nvas.end()) {
                out_.nvas.push_back(nva);
            }
            return true;
        });
    }

    void bridge()
    {
        const std::string* value = take("nvo3-bridge");
        if (value && value->empty()) {
            problem("other_config:nvo3-bridge is empty: give the name of the integration bridge; " + fallback_.bridge + " stays in force");
            out_.bridge = fallback_.bridge;
        } else if (value) {
            out_.bridge = *value;
        }
    }

    // With an NVA two would say what may pass.
    void policy()
    {
        const std::string* value = take("nvo3-policy");
        if (!value) {
            return;
        }
        if (out_.is_hypervisor()) {
            problem("other_config:nvo3-policy is ignored with nvo3-role=hypervisor: its external NVE is the gateway");
        } else if (!out_.nvas.empty()) {
            problem("other_config:nvo3-policy is ignored with nvo3-nva: the policy is that of the NVA, see nvo3-nvactl(8); remove the one or the other");
        } else if (!value->starts_with('/')) {
            out_.policy_file = fallback_.policy_file;
            problem("other_config:nvo3-policy=" + *value + " is not the name of a file that begins with /" +
                    (out_.policy_file.empty() ? "" : "; " + out_.policy_file + " stays in force"));
        } else {
            out_.policy_file = *value;
        }
    }

    void level()
    {
        const std::string* value = take("nvo3-control-level");
        if (!value || *value == "standard") {
            return;
        }
        if (*value == "high") {
            out_.control_level = ControlLevel::high;
            return;
        }
        out_.control_level = fallback_.control_level;
        problem("other_config:nvo3-control-level=" + *value + " is neither standard nor high; the former level stays in force");
    }

    // A mistyped key would otherwise be a setting that silently does nothing.
    void unknown_keys()
    {
        for (const auto& [key, value] : values_) {
            if (key.starts_with("nvo3-") && !known_.contains(key)) {
                problem("other_config:" + key + " is not a key of ovs-nvo3; see ovs-nvo3.conf(5)");
            }
        }
    }

    const StringMap& values_;
    const Config& fallback_;
    Config& out_;
    std::set<std::string> known_;
};

std::vector<base::Vni> common_networks(const Tunnel& one, const Tunnel& other)
{
    std::vector<base::Vni> common;
    if (one.encap == other.encap) {
        std::ranges::set_intersection(one.vnis, other.vnis, std::back_inserter(common));
    }
    return common;
}

// Why 'tunnel' cannot be beside 'other'; empty: it can.
std::string clash_of(const Tunnel& tunnel, const Tunnel& other)
{
    const bool same_remote = !tunnel.flow_remote && !other.flow_remote && tunnel.remote == other.remote;
    if (same_remote && (tunnel.remote_name != other.remote_name || tunnel.remote_cert != other.remote_cert || tunnel.psk != other.psk)) {
        return "remote_name, remote_cert and psk must be those of port " + other.port + ", which has the same remote_ip";
    }
    if (same_remote && tunnel.role != other.role) {
        return "nvo3_role must be that of port " + other.port + ", which has the same remote_ip";
    }
    if (same_remote && tunnel.local != other.local) {
        return "local_ip must be that of port " + other.port + ", which has the same remote_ip";
    }
    // remote_ip=flow reaches whom the other port names.
    const bool meet = same_remote || tunnel.flow_remote || other.flow_remote;
    if (meet && tunnel.cipher != other.cipher && !common_networks(tunnel, other).empty()) {
        return "the cipher must be that of port " + other.port + ", which shares remote_ip and VNI";
    }
    return "";
}

// Ports that share a peer must agree on who it is, and on the cipher where they share a
// network too: their packets go under the same SA.  Of two ciphers the stronger stays, as
// the switch uses none that is weaker than one of its ports asks for; else the first port
// by name, so that the outcome does not hang on row order.
void settle_conflicts(Config& config)
{
    std::vector<Tunnel*> order;
    for (Tunnel& tunnel : config.tunnels) {
        order.push_back(&tunnel);
    }
    std::ranges::stable_sort(order, std::greater(), [](const Tunnel* tunnel) {
        return std::pair(!esp::is_gmac(tunnel->cipher), esp::key_size(tunnel->cipher));
    });
    std::set<const Tunnel*> kept;
    for (Tunnel* tunnel : order) {
        std::string clash;
        for (const Tunnel* other : order) {
            if (!kept.contains(other) || !clash.empty()) {
                continue;
            }
            clash = clash_of(*tunnel, *other);
            if (!clash.empty() && other->flow_remote && !tunnel->flow_remote) {
                // It still names the peer; in what they share the stronger cipher of the other holds.
                config.problems.push_back({tunnel->port, std::exchange(clash, "")});
                for (base::Vni vni : common_networks(*tunnel, *other)) {
                    std::erase(tunnel->vnis, vni);
                }
            }
        }
        if (clash.empty()) {
            kept.insert(tunnel);
        } else {
            config.problems.push_back({tunnel->port, clash});
        }
    }
    std::vector<Tunnel> usable;
    for (Tunnel& tunnel : config.tunnels) {
        if (kept.contains(&tunnel)) {
            usable.push_back(std::move(tunnel));
        }
    }
    config.tunnels = std::move(usable);
}

// Two ports with one MAC in a network cannot both be reached; the first by name is.
void read_vm_ports(const RawConfig& raw, Config& config)
{
    std::vector<const RawVmPort*> rows;
    for (const RawVmPort& row : raw.vm_ports) {
        rows.push_back(&row);
    }
    std::ranges::sort(rows, {}, &RawVmPort::name);
    for (const RawVmPort* row : rows) {
        auto tsi = parse_tsi(*row);
        if (!tsi) {
            config.problems.push_back({row->name, tsi.error().text});
            continue;
        }
        auto same = std::ranges::find_if(config.tsis, [&](const Tsi& other) { return other.mac == tsi->mac && other.vn == tsi->vn; });
        if (same != config.tsis.end()) {
            config.problems.push_back({row->name, "external_ids:attached-mac=" + row->mac + " is that of port " + same->port + " in the same network"});
            continue;
        }
        config.tsis.push_back(std::move(*tsi));
    }
}

}  // namespace

ControlLevel data_level(esp::Cipher cipher)
{
    return esp::key_size(cipher) > 16 ? ControlLevel::high : ControlLevel::standard;
}

std::string to_string(const ChannelId& id)
{
    return std::string(to_string(id.encap)) + " VNI " + std::to_string(id.vni.value);
}

std::shared_ptr<const Config> make_config(const RawConfig& raw, const Config* previous)
{
    auto config = std::make_shared<Config>();
    const Config defaults;
    GlobalReader(raw.other_config, previous ? *previous : defaults, *config).read();

    std::vector<const RawTunnel*> rows;
    for (const RawTunnel& row : raw.tunnels) {
        rows.push_back(&row);
    }
    std::ranges::sort(rows, {}, &RawTunnel::name);
    for (const RawTunnel* row : rows) {
        const Tunnel* former = nullptr;
        if (previous) {
            auto it = std::ranges::find(previous->tunnels, row->name, &Tunnel::port);
            former = it == previous->tunnels.end() ? nullptr : &*it;
        }
        auto tunnel = read_tunnel(*row, former, config->problems);
        if (tunnel && config->is_hypervisor() && (!tunnel->nva || tunnel->role == control::Role::hypervisor)) {
            config->problems.push_back({row->name, "a hypervisor has no tunnels but that to its external NVE (other_config:nvo3-nve): remove this port"});
        } else if (tunnel) {
            config->tunnels.push_back(std::move(*tunnel));
        }
    }
    settle_conflicts(*config);
    for (const Tunnel& tunnel : config->tunnels) {
        if (tunnel.role == control::Role::hypervisor) {
            config->hypervisor_ports[tunnel.port] = std::ranges::find(raw.tunnels, tunnel.port, &RawTunnel::name)->ofport;
        }
    }
    if (config->is_hypervisor()) {
        config->vm_ports = raw.vm_ports;
        std::ranges::sort(config->vm_ports, {}, &RawVmPort::name);
    } else if (config->has_pipeline()) {
        // Otherwise the names of networks mean nothing to us.
        read_vm_ports(raw, *config);
    }
    return config;
}

}  // namespace nvo3::agent