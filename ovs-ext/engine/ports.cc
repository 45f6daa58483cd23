// SPDX-License-Identifier: Apache-2.0
//
// See ports.h.  A switch has few ports towards peers, at most some hundreds:
// all of them are looked at for each question, none of which a packet asks.
#include "ovs-ext/engine/ports.h"

#include <algorithm>
#include <utility>

namespace nvo3::engine {

using base::Encap;
using base::IpAddress;

std::optional<PortConfig>
PortTable::put(PortConfig config)
{
    const auto [it, made] = ports_.try_emplace(config.name);
    PortConfig former = std::exchange(it->second.config, std::move(config));
    if (made) {
        return std::nullopt;
    }
    if (former.remote != it->second.config.remote) {
        it->second.underlay_mtu = 0;    // of another route
    }
    return former;
}

std::optional<PortConfig>
PortTable::remove(std::string_view name)
{
    const auto it = ports_.find(name);
    if (it == ports_.end()) {
        return std::nullopt;
    }
    PortConfig former = std::move(it->second.config);
    ports_.erase(it);
    return former;
}

Port*
PortTable::find(std::string_view name)
{
    const auto it = ports_.find(name);
    return it == ports_.end() ? nullptr : &it->second;
}

bool
PortTable::names(const IpAddress& remote, Encap encap) const
{
    return std::ranges::any_of(ports_, [&](const auto& entry) {
        return entry.second.config.encap == encap && entry.second.config.remote == remote;
    });
}

bool
covers(const PortConfig& port, const Channel& channel)
{
    return port.encap == channel.encap && port.carries(channel.vni)
           && (!port.remote || *port.remote == channel.remote);
}

bool
PortTable::any_serving(const Channel& channel,
                       const std::function<bool(const PortConfig&)>& also) const
{
    const auto serving = [&](const auto& entry) {
        const PortConfig& config = entry.second.config;
        return covers(config, channel) && also(config)
               && (config.remote || config.from_nva || names(channel.remote, Encap::geneve)
                   || names(channel.remote, Encap::vxlan));
    };
    return std::ranges::any_of(ports_, serving);
}

bool
PortTable::serves(const Channel& channel) const
{
    return any_serving(channel, [](const PortConfig&) { return true; });
}

bool
PortTable::has_nva(Encap encap) const
{
    return std::ranges::any_of(ports_, [&](const auto& entry) {
        return entry.second.config.from_nva && entry.second.config.encap == encap;
    });
}

bool
PortTable::left_to_nva(const Channel& channel) const
{
    return has_nva(channel.encap)
           && !any_serving(channel, [](const PortConfig& config) { return !config.from_nva; });
}

bool
PortTable::serves_with(const Channel& channel, esp::Cipher cipher) const
{
    if (left_to_nva(channel)) {
        return true;
    }
    return any_serving(channel, [&](const PortConfig& config) {
               return !config.from_nva && config.cipher == cipher;
           })
           && !any_serving(channel, [&](const PortConfig& config) {
                  return !config.from_nva && !esp::at_least(cipher, config.cipher);
              });
}

int
PortTable::underlay_mtu(const IpAddress& remote, Encap encap) const
{
    int smallest = 0;
    for (const auto& [name, port] : ports_) {
        if (port.config.encap == encap && port.config.remote == remote && port.underlay_mtu > 0
            && (smallest == 0 || port.underlay_mtu < smallest)) {
            smallest = port.underlay_mtu;
        }
    }
    return smallest;
}

}  // namespace nvo3::engine
