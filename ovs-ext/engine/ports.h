// SPDX-License-Identifier: Apache-2.0
//
// The protected ports and what each may carry.
// Place: engine.  Threads: main.
#ifndef NVO3_ENGINE_PORTS_H
#define NVO3_ENGINE_PORTS_H

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/ip_address.h"
#include "ovs-ext/engine/port_config.h"

namespace nvo3::engine {

// What an SA is for.
struct Channel {
    base::IpAddress remote;         // of an SA of a group: the group
    base::Encap encap = base::Encap::geneve;
    base::Vni vni;
    auto operator<=>(const Channel&) const = default;
};

struct Port {
    PortConfig config;
    int underlay_mtu = 0;       // 0: unknown
    std::string status_told;    // what the host was last told to publish
};

class PortTable {
public:
    using Map = std::map<std::string, Port, std::less<>>;

    // Makes or changes a port.  The former configuration, if there was one.
    std::optional<PortConfig> put(PortConfig config);
    std::optional<PortConfig> remove(std::string_view name);

    Port* find(std::string_view name);
    const Map& all() const noexcept { return ports_; }

    // Whether a port has this very remote address.
    bool names(const base::IpAddress& remote, base::Encap encap) const;
    // Whether there is a port with nvo3_vnis=nva.
    bool has_nva(base::Encap encap) const;
    // Whether some port may carry it.  A port with remote_ip=flow may reach the
    // peers that other ports name, one with nvo3_vnis=nva everybody.
    bool serves(const Channel& channel) const;
    // Whether only the NVA has a say in it: no other port may carry it.
    bool left_to_nva(const Channel& channel) const;
    // Whether some port that may carry it wants this cipher, and none asks for more:
    // packets of all of them go under the same SA.  Ports with nvo3_vnis=nva want
    // any, where no other has a say.
    bool serves_with(const Channel& channel, esp::Cipher cipher) const;
    // The smallest underlay MTU known of ports towards 'remote'; 0: unknown.
    int underlay_mtu(const base::IpAddress& remote, base::Encap encap) const;

private:
    bool any_serving(const Channel& channel,
                     const std::function<bool(const PortConfig&)>& also) const;

    Map ports_;
};

// Whether this port alone may carry it, provided that the peer is known.
bool covers(const PortConfig& port, const Channel& channel);

}  // namespace nvo3::engine

#endif
