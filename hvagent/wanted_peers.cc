// SPDX-License-Identifier: Apache-2.0
//
// See wanted_peers.h.
#include "hvagent/wanted_peers.h"

#include <algorithm>
#include <optional>
#include <set>

namespace nvo3::agent {
namespace {

using Peers = std::map<base::IpAddress, PeerConfig>;
using Addresses = std::vector<base::IpAddress>;

void set_common(PeerConfig& peer, const base::IpAddress& remote, const Config& config)
{
    peer.remote = remote;
    peer.port = config.listen_port;
    peer.control_level = config.control_level;
    if (config.role == control::Role::hypervisor) {
        peer.channel = control::proto::CHANNEL_DATA;
        for (const ExternalNve& nve : config.nves) {
            if (nve.endpoint.address == remote) {
                peer.port = nve.endpoint.port;
                peer.control_level = data_level(nve.cipher);
            }
        }
    }
    peer.policy = {config.rekey_after, config.rekey_bytes};
}

void add_tunnels(const Config& config, const DirectoryView& directory, const ConnectedNetworks& connected, Peers& peers)
{
    for (const Tunnel& tunnel : config.tunnels) {
        if (tunnel.flow_remote) {
            continue;
        }
        PeerConfig& peer = peers[tunnel.remote];
        set_common(peer, tunnel.remote, config);
        peer.local = tunnel.local;
        peer.bind = tunnel.local;
        if (peer.bind.is_unspecified() && !config.listen_address.is_unspecified() && config.listen_address.is_v4() == tunnel.remote.is_v4()) {
            peer.bind = config.listen_address;
        }
        if (tunnel.role == control::Role::hypervisor) {
            if (peer.role != tunnel.role) {
                peer.role = tunnel.role;
                peer.channel = control::proto::CHANNEL_DATA;
                peer.passive = true;
                peer.control_level = ControlLevel::standard;
            }
            peer.control_level = std::max(peer.control_level, data_level(tunnel.cipher));
        }
        peer.remote_name = tunnel.remote_name;
        peer.remote_cert = tunnel.remote_cert;
        peer.psk = tunnel.psk;
        peer.ports.push_back(tunnel.port);
        for (const ChannelId& id : channels_of(tunnel, directory, connected)) {
            ChannelConfig& channel = peer.channels[id];
            channel.cipher = tunnel.cipher;     // ports that share a channel share the cipher, see config.cc
            channel.replay_window = std::max(tunnel.replay_window, channel.replay_window);
        }
    }
    // remote_ip=flow reaches every peer that another port names.
    for (const Tunnel& tunnel : config.tunnels) {
        for (auto& [remote, peer] : peers) {
            if (!tunnel.flow_remote || tunnel.nva || peer.role == control::Role::hypervisor) {
                continue;
            }
            for (base::Vni vni : tunnel.vnis) {
                peer.channels.try_emplace({tunnel.encap, vni}, ChannelConfig{tunnel.cipher, tunnel.replay_window});
            }
        }
    }
}

// The member's first address of an IP version that we have too.
std::optional<MemberPath> path_between(const Addresses& ours, const Addresses& theirs)
{
    for (const base::IpAddress& remote : theirs) {
        auto local = std::ranges::find_if(ours, [&](const base::IpAddress& address) { return address.is_v4() == remote.is_v4(); });
        if (local != ours.end() && !remote.is_unspecified() && !remote.is_multicast()) {
            return MemberPath{*local, remote};
        }
    }
    return {};
}

class Members {
public:
    Members(const Config& config, const DirectoryView& directory, const std::string& own_name, WantedPeers& out)
        : config_(config), own_name_(own_name), out_(out)
    {
        for (const auto& [vni, vn] : directory.vns) {
            add(*vn);
        }
    }

private:
    void problem(std::string text)
    {
        if (std::ranges::find(out_.problems, text) == out_.problems.end()) {
            out_.problems.push_back(std::move(text));
        }
    }

    void add(const VnView& vn)
    {
        VnReach& reach = out_.reach[vn.vni];
        auto own = vn.members.find(own_name_);
        if (own == vn.members.end()) {
            return problem("the NVA serves network " + vn.name + " to this host, but does not name it (" +
                           (own_name_.empty() ? "no certificate" : own_name_) + ") among the members");
        }
        for (const auto& [name, addresses] : vn.members) {
            if (name == own_name_) {
                continue;
            }
            auto path = path_between(own->second, addresses);
            if (!path) {
                problem("the NVA gives " + name + " and this host no addresses of the same IP version");
            } else if (std::ranges::find(own->second, path->remote) != own->second.end()) {
                problem("the NVA gives " + name + " the address " + path->remote.to_string() + ", which is this host's");
            } else if (PeerConfig* peer = peer_for(name, *path); peer && !is_captured(vn, name, path->remote)) {
                reach.members.emplace(name, *path);
                add_channel(*peer, vn);
            }
        }
    }

    // Null if the address is somebody else's.
    PeerConfig* peer_for(const std::string& name, const MemberPath& path)
    {
        auto [it, is_new] = out_.peers.try_emplace(path.remote);
        PeerConfig& peer = it->second;
        if (is_new) {
            told_.insert(path.remote);
            set_common(peer, path.remote, config_);
            peer.local = peer.bind = path.local;
            peer.remote_name = name;
            return &peer;
        }
        const std::string at = "the NVA says that " + name + " is at " + path.remote.to_string();
        if (peer.role == control::Role::hypervisor) {
            problem(at + ", but port " + peer.ports.at(0) + " says that a hypervisor is there");
            return nullptr;
        }
        if (!peer.psk.empty() || !peer.remote_cert.empty()) {
            problem(at + ", but port " + peer.ports.at(0) + " authenticates that address by " + (peer.psk.empty() ? "remote_cert" : "psk") +
                    ", which proves no name: remove that option");
            return nullptr;
        }
        if (peer.remote_name.empty()) {
            peer.remote_name = name;
        }
        if (peer.remote_name != name) {
            problem(at + (told_.contains(path.remote) ? ", as it says of " : ", but port " + peer.ports.at(0) + " names it ") + peer.remote_name);
            return nullptr;
        }
        return &peer;
    }

    // The switch gives the member's packets to a port that names VNI or address, not to
    // ours, which names neither: they would bypass the flows of the network.
    bool is_captured(const VnView& vn, const std::string& name, const base::IpAddress& remote)
    {
        for (const Tunnel& tunnel : config_.tunnels) {
            const bool reaches = tunnel.flow_remote || tunnel.remote == remote;
            const bool carries = tunnel.flow_key || std::ranges::find(tunnel.vnis, vn.vni) != tunnel.vnis.end();
            if (!tunnel.nva && tunnel.encap == vn.encap && reaches && carries) {
                problem("port " + tunnel.port + " takes what " + name + " at " + remote.to_string() + " sends in network " + vn.name + " (VNI " +
                        std::to_string(vn.vni.value) + "), so this host does not reach it there: remove the port");
                return true;
            }
        }
        return false;
    }

    // Of no use before a port can carry it: the switch would refuse its SAs.
    void add_channel(PeerConfig& peer, const VnView& vn)
    {
        for (const Tunnel& tunnel : config_.tunnels) {
            if (tunnel.nva && tunnel.role == control::Role::nve && tunnel.encap == vn.encap) {
                peer.channels.try_emplace({vn.encap, vn.vni}, ChannelConfig{vn.cipher, tunnel.replay_window});
                if (std::ranges::find(peer.ports, tunnel.port) == peer.ports.end()) {
                    peer.ports.push_back(tunnel.port);
                }
            }
        }
    }

    const Config& config_;
    const std::string& own_name_;
    WantedPeers& out_;
    std::set<base::IpAddress> told_;        // peers that no port names
};

}  // namespace

std::vector<ChannelId> channels_of(const Tunnel& tunnel, const DirectoryView& directory, const ConnectedNetworks& connected)
{
    std::set<ChannelId> ids;
    if (tunnel.role == control::Role::hypervisor) {
        auto networks = connected.find(tunnel.remote);
        for (base::Vni vni : networks == connected.end() ? std::set<base::Vni>{} : networks->second) {
            const VnView* vn = directory.find(vni);
            const bool carries = tunnel.nva ? vn != nullptr : std::ranges::find(tunnel.vnis, vni) != tunnel.vnis.end();
            if (carries && (!vn || vn->encap == tunnel.encap)) {
                ids.insert({tunnel.encap, vni});
            }
        }
        return {ids.begin(), ids.end()};
    }
    for (base::Vni vni : tunnel.vnis) {
        ids.insert({tunnel.encap, vni});
    }
    if (tunnel.nva) {
        for (const auto& [vni, vn] : directory.vns) {
            if (vn->encap == tunnel.encap) {
                ids.insert({vn->encap, vni});
            }
        }
    }
    return {ids.begin(), ids.end()};
}

WantedPeers wanted_peers(const Config& config, const DirectoryView& directory, const std::string& own_name, const ConnectedNetworks& connected)
{
    WantedPeers wanted;
    add_tunnels(config, directory, connected, wanted.peers);
    Members(config, directory, own_name, wanted);
    return wanted;
}

}  // namespace nvo3::agent
