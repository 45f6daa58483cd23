// SPDX-License-Identifier: Apache-2.0
//
// See port_config.h.  hvagent reads the same options by itself; what both
// refuse they must refuse alike.
#include "ovs-ext/engine/port_config.h"

#include <algorithm>
#include <bit>
#include <string_view>

namespace nvo3::engine {
namespace {

using base::Error;
using base::IpAddress;
using base::Result;
using base::Status;
using base::Vni;

constexpr uint32_t kReplayWindowMin = 64;
constexpr uint32_t kReplayWindowMax = 8192;

class Parser {
public:
    Parser(const std::string& name, const nvo3_port_options& options)
        : options_(options)
    {
        config_.name = name;
    }

    Result<PortConfig> parse()
    {
        for (Status (Parser::*step)() :
             {&Parser::encap, &Parser::remote, &Parser::role, &Parser::local, &Parser::keys,
              &Parser::nva, &Parser::cipher, &Parser::replay_window, &Parser::dst_port,
              &Parser::packet_type}) {
            Status status = (this->*step)();
            if (!status) {
                return status.error();
            }
        }
        return std::move(config_);
    }

private:
    // "port tun1: options:key=x is not ..."
    Error wrong(const char* option, std::string_view value, const std::string& why) const
    {
        return Error{EINVAL, "port " + config_.name + ": options:" + option + "="
                                 + std::string(value) + " " + why};
    }

    Status encap()
    {
        if (!base::is_encap(static_cast<uint8_t>(options_.encap))) {
            return Error{EINVAL, "port " + config_.name
                                     + ": only geneve and vxlan tunnels can be protected"};
        }
        config_.encap = static_cast<base::Encap>(options_.encap);
        return {};
    }

    Status remote()
    {
        if (!options_.remote_ip) {
            return Error{EINVAL, "port " + config_.name + ": options:remote_ip is missing; "
                                 "set it to the peer's underlay address, or to flow"};
        }
        const std::string_view text = options_.remote_ip;
        if (text == "flow") {
            return {};
        }
        Result<IpAddress> address = IpAddress::parse(text);
        if (!address) {
            return wrong("remote_ip", text, "is neither an IPv4 or IPv6 address nor flow");
        }
        if (is_nobody(*address)) {
            return wrong("remote_ip", text, "names no host; set the peer's underlay address");
        }
        if (address->is_multicast()) {
            return wrong("remote_ip", text, "is a multicast or broadcast address, which "
                         "cannot be protected; make a port for each peer");
        }
        config_.remote = *address;
        return {};
    }

    static bool is_nobody(const IpAddress& address)
    {
        return std::ranges::all_of(address.wire(), [](uint8_t octet) { return octet == 0; });
    }

    // Who the peer must prove to be is the agent's business.
    Status role()
    {
        if (!options_.nvo3_role || std::string_view(options_.nvo3_role) == "nve") {
            return {};
        }
        if (std::string_view(options_.nvo3_role) != "hypervisor") {
            return wrong("nvo3_role", options_.nvo3_role, "is neither nve nor hypervisor");
        }
        if (!config_.remote) {
            return wrong("nvo3_role", "hypervisor", "needs options:remote_ip, the hypervisor's "
                         "underlay address");
        }
        of_hypervisor_ = true;
        return {};
    }

    Status local()
    {
        if (!options_.local_ip || std::string_view(options_.local_ip) == "flow") {
            return {};
        }
        const std::string_view text = options_.local_ip;
        Result<IpAddress> address = IpAddress::parse(text);
        if (!address) {
            return wrong("local_ip", text, "is neither an IPv4 or IPv6 address nor flow");
        }
        if (is_nobody(*address)) {
            return {};
        }
        if (config_.remote && address->is_v4() != config_.remote->is_v4()) {
            return wrong("local_ip", text, "and remote_ip are of different IP versions; "
                         "both must be IPv4 or both IPv6");
        }
        config_.local = *address;
        return {};
    }

    Status keys()
    {
        for (auto [name, text] : {std::pair{"in_key", options_.in_key},
                                  std::pair{"out_key", options_.out_key}}) {
            // As in stock OVS, no key is key 0.
            const std::string_view value = text ? text : "0";
            if (value == "flow") {
                config_.key_flow = true;
                continue;
            }
            Result<Vni> vni = Vni::parse(value);
            if (!vni) {
                return wrong(name, value, "(or key) is neither a VNI from 0 to 16777215 nor flow");
            }
            config_.vnis.push_back(*vni);
        }
        if (options_.nvo3_vnis && std::string_view(options_.nvo3_vnis) == "nva") {
            (of_hypervisor_ ? config_.any_vni : config_.from_nva) = true;
            return config_.vnis.empty()
                   ? Status{}
                   : Status(wrong("nvo3_vnis", "nva", "needs options:key=flow: the NVA says which "
                                  "networks this host serves"));
        }
        Status listed = config_.key_flow ? vni_list() : Status{};
        std::ranges::sort(config_.vnis);
        config_.vnis.erase(std::ranges::unique(config_.vnis).begin(), config_.vnis.end());
        return listed;
    }

    Status vni_list()
    {
        if (!options_.nvo3_vnis) {
            return Error{EINVAL, "port " + config_.name + ": options:key=flow needs "
                                 "options:nvo3_vnis, the VNIs that the port may carry, "
                                 "separated by commas"};
        }
        std::string_view rest = options_.nvo3_vnis;
        for (;;) {
            const size_t comma = rest.find(',');
            std::string_view word = rest.substr(0, comma);
            const size_t begin = word.find_first_not_of(" \t");
            word = begin == word.npos
                   ? std::string_view{}
                   : word.substr(begin, word.find_last_not_of(" \t") - begin + 1);
            Result<Vni> vni = Vni::parse(word);
            if (!vni) {
                return wrong("nvo3_vnis", options_.nvo3_vnis,
                             "is not a list of VNIs from 0 to 16777215 separated by commas");
            }
            config_.vnis.push_back(*vni);
            if (comma == rest.npos) {
                return {};
            }
            rest.remove_prefix(comma + 1);
        }
    }

    // What a port must leave to the NVA.
    Status nva()
    {
        if (!config_.from_nva) {
            return {};
        }
        if (config_.remote) {
            return wrong("nvo3_vnis", "nva", "needs options:remote_ip=flow: the NVA says who the "
                         "peers are");
        }
        if (!config_.local.is_unspecified()) {
            return wrong("local_ip", options_.local_ip, "cannot be on a port with "
                         "options:nvo3_vnis=nva, which also gets what is sent to groups; remove "
                         "the option");
        }
        for (auto [name, text] : {std::pair{"security_level", options_.security_level},
                                  std::pair{"cipher", options_.cipher}}) {
            if (text) {
                return wrong(name, text, "cannot be on a port with options:nvo3_vnis=nva: each "
                             "network's cipher comes from the NVA; remove the option");
            }
        }
        return {};
    }

    Status cipher()
    {
        if (options_.security_level && options_.cipher) {
            return wrong("cipher", options_.cipher, "and options:security_level="
                         + std::string(options_.security_level)
                         + " exclude each other; remove one of them");
        }
        if (options_.cipher) {
            Result<esp::Cipher> cipher = esp::cipher_from_name(options_.cipher);
            if (!cipher) {
                return wrong("cipher", options_.cipher, "is none of aes128gcm, aes256gcm, "
                             "aes128gmac, aes256gmac, chacha20poly1305");
            }
            config_.cipher = *cipher;
            return {};
        }
        const char* level = options_.security_level ? options_.security_level : "confidential";
        Result<esp::Cipher> cipher = esp::cipher_from_level(level);
        if (!cipher) {
            return wrong("security_level", level, "is none of integrity, confidential, high");
        }
        config_.cipher = *cipher;
        return {};
    }

    Status replay_window()
    {
        if (!options_.replay_window) {
            return {};
        }
        Result<uint64_t> size = base::parse_number(options_.replay_window, kReplayWindowMax);
        if (!size || *size < kReplayWindowMin || !std::has_single_bit(*size)) {
            return wrong("replay_window", options_.replay_window,
                         "is not a power of two from 64 to 8192");
        }
        config_.replay_window = static_cast<uint32_t>(*size);
        return {};
    }

    // Another port would be a tunnel in clear, or none that the peer expects.
    Status dst_port()
    {
        const bool geneve = config_.encap == base::Encap::geneve;
        const uint16_t want = geneve ? NVO3_GENEVE_PORT : NVO3_VXLAN_PORT;
        if (!options_.dst_port) {
            return {};
        }
        Result<uint64_t> port = base::parse_number(options_.dst_port, UINT16_MAX);
        if (!port || *port != want) {
            return wrong("dst_port", options_.dst_port,
                         std::string("cannot be: protected ") + to_string(config_.encap)
                         + " uses UDP port " + std::to_string(want) + "; remove the option");
        }
        return {};
    }

    Status packet_type()
    {
        if (options_.packet_type
            && std::string_view(options_.packet_type) != "legacy_l2") {
            return wrong("packet_type", options_.packet_type,
                         "cannot be protected; remove the option");
        }
        return {};
    }

    const nvo3_port_options& options_;
    PortConfig config_;
    bool of_hypervisor_ = false;
};

}  // namespace

bool
PortConfig::carries(Vni vni) const
{
    return from_nva || any_vni || std::ranges::binary_search(vnis, vni);
}

Result<PortConfig>
parse_port(const std::string& name, const nvo3_port_options& options)
{
    return Parser(name, options).parse();
}

}  // namespace nvo3::engine
