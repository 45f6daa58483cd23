// SPDX-License-Identifier: Apache-2.0
//
// What the integration bridge's pipeline needs to know of the I/O thread: the
// directory, and how each member of a network can be reached now.
//
// Place: published by peers.cc, read by vn_pipeline.cc on the OVS thread.  Thread:
// immutable once published.
#ifndef HVAGENT_NETWORK_VIEW_H
#define HVAGENT_NETWORK_VIEW_H

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "control/policy_text.h"
#include "hvagent/directory.h"
#include "hvagent/tsi.h"

namespace nvo3::agent {

// The outer addresses of tunnel packets to another member.
struct MemberPath {
    base::IpAddress local, remote;
    bool operator==(const MemberPath&) const = default;
};

// One network of the directory.
struct VnReach {
    // Other members by name.  One that has no IP version in common with this host,
    // or whose address another has as well, is missing.
    std::map<std::string, MemberPath> members;
    // Where broadcast and unknown destinations go: a group that the switch has our
    // sender's SA of, and that all other members can receive.  None: a copy to each member.
    std::optional<MemberPath> group;
    bool operator==(const VnReach&) const = default;
};

// An active TSI of a hypervisor, at its external NVE.
struct RemoteTsi {
    std::string name;           // HYPERVISOR/TSI
    std::string port;           // the Interface that its packets take
    base::Vni vni{0};
    base::MacAddress mac;
    std::vector<base::IpAddress> addresses;     // that it uses; empty: any
    bool operator==(const RemoteTsi&) const = default;
};

struct NetworkView {
    // Whether networks are told to this host: Config::has_pipeline().
    bool has_pipeline = false;
    std::string own_name;                       // as the directory calls this host; empty: no certificate
    std::shared_ptr<const DirectoryView> directory = std::make_shared<const DirectoryView>();
    std::map<base::Vni, VnReach> reach;         // has what 'directory' has
    std::set<base::Encap> encaps;               // that need a tunnel port (remote_ip=flow, key=flow, nvo3_vnis=nva)
    // Between networks, as the NVA tells it: the text is not looked at yet.  Null: none was told.
    std::shared_ptr<const control::PolicyText> policy;
    // Of a hypervisor, by port: what its VM ports are, of which libvirt and the database
    // tell together.  Of others Config::tsis is.
    std::vector<Tsi> tsis;
    // Of a hypervisor: VM ports of which is known that they are in no network.
    std::set<std::string> ordinary_ports;
    std::vector<RemoteTsi> remote_tsis;
    // Not all hypervisors have told what they have: flows of a former process stay.
    bool keeps_flows = false;
    // Interfaces by port name, or RemoteTsi::name, that the NVA, or the external NVE, has refused or not granted
    // yet, and why.
    std::map<std::string, std::string> refused_tsis;
    bool operator==(const NetworkView&) const = default;
};

}  // namespace nvo3::agent
#endif
