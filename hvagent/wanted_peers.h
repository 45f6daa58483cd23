// SPDX-License-Identifier: Apache-2.0
//
// Who the peers are: from tunnel ports, where each names one, and from the
// directory, where every other member of a network of this host is one.
//
// Place: used by peers.cc.  Thread: pure functions.
#ifndef HVAGENT_WANTED_PEERS_H
#define HVAGENT_WANTED_PEERS_H

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "hvagent/config.h"
#include "hvagent/directory.h"
#include "hvagent/network_view.h"
#include "hvagent/peer.h"

namespace nvo3::agent {

// Networks that each hypervisor is connected to, by its underlay address.
using ConnectedNetworks = std::map<base::IpAddress, std::set<base::Vni>>;

struct WantedPeers {
    std::map<base::IpAddress, PeerConfig> peers;    // by underlay address
    std::map<base::Vni, VnReach> reach;             // networks of the directory; no groups yet
    std::vector<std::string> problems;              // of the directory, sentences
};

// 'own_name' is that of this host's certificate; empty: it serves nothing of the
// directory.  What a tunnel port says of a peer or channel wins over the directory.
// With a hypervisor there are SAs for what it is connected to only.
WantedPeers wanted_peers(const Config&, const DirectoryView&, const std::string& own_name, const ConnectedNetworks& connected = {});

// What a port is for: its own VNIs, and with nvo3_vnis=nva those of the directory; one of a
// hypervisor what the hypervisor is connected to.
std::vector<ChannelId> channels_of(const Tunnel&, const DirectoryView&, const ConnectedNetworks& connected = {});

}  // namespace nvo3::agent
#endif
