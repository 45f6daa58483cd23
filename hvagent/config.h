// SPDX-License-Identifier: Apache-2.0
//
// What the operator configured, as one immutable value.
//
// Place: made from the rows that the OVSDB adapter delivers; knows neither OVS
// nor files.  Thread: values, any thread; a Config does not change once made.
#ifndef HVAGENT_CONFIG_H
#define HVAGENT_CONFIG_H

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "control/identity.h"
#include "control/tls.h"
#include "esp/cipher.h"
#include "hvagent/split/throttle.h"
#include "hvagent/tsi.h"

namespace nvo3::agent {

using StringMap = std::map<std::string, std::string>;

// The database's rows as they are: nothing checked yet.
struct RawTunnel {
    std::string name;
    std::string type;       // "geneve" or "vxlan"
    StringMap options;
    uint32_t ofport = 0;    // OpenFlow port on the integration bridge; 0: none (yet), or elsewhere
    bool operator==(const RawTunnel&) const = default;
};
struct RawConfig {
    StringMap other_config;
    std::vector<RawTunnel> tunnels;
    std::vector<RawVmPort> vm_ports;    // of the integration bridge that name a network
    bool operator==(const RawConfig&) const = default;
};

// Why a value was not taken: a sentence that names key, value and what is right.
struct Problem {
    std::string port;       // empty: concerns all ports
    std::string text;
    bool operator==(const Problem&) const = default;
};

// One virtual network over one encapsulation with one peer: what an SA is for.
struct ChannelId {
    base::Encap encap{};
    base::Vni vni{0};
    auto operator<=>(const ChannelId&) const = default;
};
std::string to_string(const ChannelId&);

struct Tunnel {
    std::string port;               // name of the Interface
    base::Encap encap{};
    bool flow_remote = false;       // remote_ip=flow: peers known by other ports
    base::IpAddress remote;         // unspecified if flow_remote
    base::IpAddress local;          // unspecified: any
    std::vector<base::Vni> vnis;    // sorted, without duplicates
    bool flow_key = false;          // key=flow: the switch gives it packets of any VNI
    bool nva = false;               // nvo3_vnis=nva: besides, whatever the directory has
    control::Role role = control::Role::nve;    // nvo3_role: what the peer must be
    esp::Cipher cipher{};
    uint32_t replay_window = 1024;
    std::string remote_name;        // empty: any nve of our trust domain
    std::string remote_cert;        // file; empty: none
    std::string psk;                // file or the key itself; empty: certificates
    bool operator==(const Tunnel&) const = default;
};

using control::ControlLevel;

// Where an NVA listens, or an external NVE.
struct Endpoint {
    base::IpAddress address;
    uint16_t port = 6654;
    bool operator==(const Endpoint&) const = default;
};

// Of the TLS session whose exporter keys SAs of that cipher (with a hypervisor).
ControlLevel data_level(esp::Cipher);

// An external NVE of this hypervisor, and how data between the two is protected.
struct ExternalNve {
    Endpoint endpoint;
    esp::Cipher cipher{};
    bool operator==(const ExternalNve&) const = default;
};

struct Config {
    control::Role role = control::Role::nve;                // nve or hypervisor; the certificate's must be the same
    std::string certificate, private_key, ca_cert, crl;     // files
    base::IpAddress listen_address;                         // unspecified: any IPv4
    bool listen_dual_stack = false;                         // [::]
    uint16_t listen_port = 6652;                            // ours, and the peers'
    ControlLevel control_level = ControlLevel::standard;
    std::chrono::seconds rekey_after{3600};
    uint64_t rekey_bytes = 0;                               // 0: the cipher's own limit
    uint32_t control_rate = 200, control_burst = 400;       // messages per second / at once
    uint32_t hypervisor_rate = 50;                          // messages per second of each hypervisor
    std::vector<Endpoint> nvas;                             // in order of preference; empty: no NVA
    std::vector<ExternalNve> nves;                          // of a hypervisor, in order of preference
    ThrottleLimits throttle;                                // of what they are told
    std::string libvirt_uri = "qemu:///system";             // empty: no libvirt
    bool hook_strict = false;                               // a VM without its networks does not start
    std::string bridge = "br-int";                          // whose pipeline is ours if has_pipeline()
    std::string policy_file;                                // empty: none; counts only without an NVA
    std::vector<Tunnel> tunnels;                            // usable ones, by port name
    std::map<std::string, uint32_t> hypervisor_ports;       // of those with nvo3_role=hypervisor: OpenFlow ports, 0: none (yet)
    std::vector<Tsi> tsis;                                  // by port name; of a hypervisor: see vm_ports
    std::vector<RawVmPort> vm_ports;                        // of a hypervisor, by name: libvirt has a say in them
    std::vector<Problem> problems;

    bool is_hypervisor() const { return role == control::Role::hypervisor; }
    // Whether networks are told to this host, so that it needs flows and tunnel ports for them.
    bool has_pipeline() const { return is_hypervisor() || !nvas.empty() || !hypervisor_ports.empty(); }
};

// Never fails: what is wrong becomes a problem and keeps the value of
// 'previous' (may be null), or else the default; a tunnel that cannot be used at
// all is left out.  Other tunnels are unaffected.
std::shared_ptr<const Config> make_config(const RawConfig&, const Config* previous);

}  // namespace nvo3::agent
#endif
