// SPDX-License-Identifier: Apache-2.0
//
// Who the peers are: from tunnel ports, where each names one, and from the
// directory, where every other member of a network of this host is one.
//
// Place: used by peers.cc.  Thread: pure functions.
#ifndef HVAGENT_WANTED_PEERS_H
#define HVAGENT_WANTED_PEERS_H

#include <map>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "hvagent/config.h"
#include "hvagent/directory.h"
#include "hvagent/network_view.h"
#include "hvagent/peer.h"

namespace nvo3::agent {

struct WantedPeers {
    std::map<base::IpAddress, PeerConfig> peers;    // by underlay address
    std::map<base::Vni, VnReach> reach;             // networks of the directory; no groups yet
    std::vector<std::string> problems;              // of the directory, sentences
};

// 'own_name' is that of this host's certificate; empty: it serves nothing of the
// directory.  What a tunnel port says of a peer or channel wins over the directory.
WantedPeers wanted_peers(const Config&, const DirectoryView&, const std::string& own_name);

// What a port is for: its own VNIs, and with nvo3_vnis=nva those of the directory.
std::vector<ChannelId> channels_of(const Tunnel&, const DirectoryView&);

}  // namespace nvo3::agent
#endif
