// SPDX-License-Identifier: Apache-2.0
//
// See config_reader.h: the options of one tunnel port.  Their names are those of ovs-nvo3.conf(5).
#include "hvagent/config_reader.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace nvo3::agent {
namespace {

std::string_view trim(std::string_view text)
{
    auto first = text.find_first_not_of(" \t");
    if (first == text.npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

class TunnelReader {
public:
    TunnelReader(const RawTunnel& raw, const Tunnel* previous, std::vector<Problem>& problems)
        : raw_(raw), previous_(previous), problems_(problems)
    {
    }

    std::optional<Tunnel> read()
    {
        tunnel_.port = raw_.name;
        tunnel_.encap = raw_.type == "vxlan" ? base::Encap::vxlan : base::Encap::geneve;
        role();
        if (previous_ && previous_->encap != tunnel_.encap) {
            previous_ = nullptr;
        }
        remote();
        local();
        vnis();
        cipher();
        replay_window();
        text("remote_name", tunnel_.remote_name);
        text("remote_cert", tunnel_.remote_cert);
        text("psk", tunnel_.psk);
        hypervisor();
        if (!tunnel_.psk.empty() && !(tunnel_.remote_name.empty() && tunnel_.remote_cert.empty())) {
            // Silently ignoring the name would authenticate less than was asked for.
            unusable("options:psk excludes remote_name and remote_cert: remove one or the other");
        }
        for (const auto& [key, value] : raw_.options) {
            if (key.starts_with("nvo3_") && key != "nvo3_vnis" && key != "nvo3_role") {
                problem("options:" + key + " is not an option of ovs-nvo3; see ovs-nvo3.conf(5)");
            }
        }
        return usable_ ? std::optional(tunnel_) : std::nullopt;
    }

private:
    const std::string* option(const char* key) const { return find(raw_.options, key); }
    void problem(std::string text) { problems_.push_back({raw_.name, std::move(text)}); }
    void unusable(std::string text)
    {
        problem(std::move(text));
        usable_ = false;
    }
    // The former value of one option, or the tunnel cannot be used.
    template <class Field>
    void refuse(Field Tunnel::*field, std::string text)
    {
        if (previous_) {
            problem(text + "; the former value stays in force");
            tunnel_.*field = previous_->*field;
        } else {
            unusable(std::move(text));
        }
    }

    void text(const char* key, std::string& field)
    {
        if (const std::string* value = option(key)) {
            field = *value;
            if (field.empty()) {
                unusable("options:" + std::string(key) + " is empty: remove it or give it a value");
            }
        }
    }

    // A former role must not live on under a wrong one's name.
    void role()
    {
        const std::string* value = option("nvo3_role");
        if (!value || *value == "nve") {
            return;
        }
        tunnel_.role = control::Role::hypervisor;
        if (*value != "hypervisor") {
            unusable("options:nvo3_role=" + *value + " is neither nve nor hypervisor");
        }
    }

    // Such a port is what lets a hypervisor in: it must say whom.
    void hypervisor()
    {
        if (tunnel_.role != control::Role::hypervisor) {
            return;
        }
        if (tunnel_.flow_remote) {
            unusable("options:nvo3_role=hypervisor needs remote_ip, the hypervisor's underlay address");
        }
        if (!tunnel_.flow_key) {
            unusable("options:nvo3_role=hypervisor needs key=flow, and nvo3_vnis, the networks that the hypervisor may connect to");
        }
        if (!tunnel_.psk.empty() || !tunnel_.remote_cert.empty()) {
            unusable(std::string("options:") + (tunnel_.psk.empty() ? "remote_cert" : "psk") +
                     " proves no role: with nvo3_role=hypervisor use certificates of nvo3-pki and remote_name");
        } else if (tunnel_.remote_name.empty()) {
            unusable("options:nvo3_role=hypervisor needs remote_name, the hypervisor's name in its certificate");
        }
    }

    void remote()
    {
        const std::string* value = option("remote_ip");
        if (!value) {
            unusable("options:remote_ip is missing: name the peer's underlay address, or 'flow'");
        } else if (*value == "flow") {
            tunnel_.flow_remote = true;
        } else if (auto address = base::IpAddress::parse(*value); address && !is_any(*address) && !address->is_multicast()) {
            tunnel_.remote = *address;
        } else {
            // A former remote_ip must not live on under a new one's name.
            unusable("options:remote_ip=" + *value + " is not the IP address of a host");
        }
    }

    void local()
    {
        const std::string* value = option("local_ip");
        if (!value || *value == "flow") {
            return;
        }
        auto address = base::IpAddress::parse(*value);
        if (!address) {
            refuse(&Tunnel::local, "options:local_ip=" + *value + " is not an IP address");
        } else if (is_any(*address)) {
            tunnel_.local = {};
        } else if (!tunnel_.flow_remote && address->is_v4() != tunnel_.remote.is_v4()) {
            refuse(&Tunnel::local, "options:local_ip=" + *value + " is not of the IP version of remote_ip");
        } else {
            tunnel_.local = *address;
        }
    }

    // The VNIs of in_key and out_key, or of nvo3_vnis where a key is "flow".
    void vnis()
    {
        std::set<base::Vni> found;
        bool flow = false;
        for (const char* key : {"in_key", "out_key"}) {
            const char* name = option(key) ? key : "key";
            const std::string* value = option(name);
            if (!value) {
                found.insert(base::Vni(0));
            } else if (*value == "flow") {
                flow = true;
            } else if (auto vni = base::Vni::parse(*value)) {
                found.insert(*vni);
            } else {
                return refuse(&Tunnel::vnis, "options:" + std::string(name) + "=" + *value + " is neither a VNI (0 to 16777215) nor 'flow'");
            }
        }
        tunnel_.flow_key = flow;
        const std::string* list = option("nvo3_vnis");
        if (list && flow && *list == "nva") {
            if (!tunnel_.flow_remote && tunnel_.role != control::Role::hypervisor) {
                return unusable("options:nvo3_vnis=nva needs remote_ip=flow, as the NVA says who the peers are");
            }
            tunnel_.nva = true;
            tunnel_.vnis.assign(found.begin(), found.end());
            return;
        }
        if (list && !flow) {
            problem("options:nvo3_vnis is for key=flow only and is ignored");
        } else if (flow && !list) {
            return refuse(&Tunnel::vnis, "options:key=flow needs nvo3_vnis, the list of VNIs that this port may carry, or 'nva'");
        } else if (flow && !parse_list(*list, found)) {
            return refuse(&Tunnel::vnis, "options:nvo3_vnis=" + *list + " is not a comma-separated list of VNIs (0 to 16777215)");
        }
        tunnel_.vnis.assign(found.begin(), found.end());
    }

    static bool parse_list(std::string_view text, std::set<base::Vni>& out)
    {
        while (true) {
            auto comma = text.find(',');
            auto vni = base::Vni::parse(trim(text.substr(0, comma)));
            if (!vni) {
                return false;
            }
            out.insert(*vni);
            if (comma == text.npos) {
                return true;
            }
            text.remove_prefix(comma + 1);
        }
    }

    void cipher()
    {
        const std::string* level = option("security_level");
        const std::string* name = option("cipher");
        if (level && name) {
            return refuse(&Tunnel::cipher, "options:security_level and options:cipher exclude each other: remove one");
        }
        auto parsed = name ? esp::cipher_from_name(*name) : esp::cipher_from_level(level ? *level : "confidential");
        if (parsed) {
            tunnel_.cipher = *parsed;
        } else if (name) {
            refuse(&Tunnel::cipher, "options:cipher=" + *name +
                                        " is not one of aes128gcm, aes256gcm, aes128gmac, aes256gmac, chacha20poly1305");
        } else {
            refuse(&Tunnel::cipher, "options:security_level=" + *level + " is not one of integrity, confidential, high");
        }
    }

    void replay_window()
    {
        const std::string* value = option("replay_window");
        if (!value) {
            return;
        }
        auto size = base::parse_number(*value, 8192);
        if (size && *size >= 64 && (*size & (*size - 1)) == 0) {
            tunnel_.replay_window = static_cast<uint32_t>(*size);
        } else {
            refuse(&Tunnel::replay_window, "options:replay_window=" + *value + " is not a power of two from 64 to 8192");
        }
    }

    const RawTunnel& raw_;
    const Tunnel* previous_;
    std::vector<Problem>& problems_;
    Tunnel tunnel_;
    bool usable_ = true;
};

}  // namespace

std::optional<Tunnel> read_tunnel(const RawTunnel& raw, const Tunnel* former, std::vector<Problem>& problems)
{
    return TunnelReader(raw, former, problems).read();
}

}  // namespace nvo3::agent
