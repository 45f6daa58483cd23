// SPDX-License-Identifier: Apache-2.0
//
// The flows that make virtual networks out of the ports of the integration
// bridge: doc/vn-pipeline.md has the tables and registers.
//
// A pure function: what the NVA has told and what is plugged in goes in, flows as
// ovs-ofctl(8) writes them come out.
//
// Place: called by ovs_feed.cc; openflow_adapter.h brings the bridge there.
// Thread: any.
#ifndef HVAGENT_VN_PIPELINE_H
#define HVAGENT_VN_PIPELINE_H

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hvagent/config.h"
#include "hvagent/directory.h"
#include "hvagent/network_view.h"
#include "hvagent/policy_flows.h"
#include "hvagent/tsi.h"

namespace nvo3::agent {

struct PipelineInput {
    std::shared_ptr<const NetworkView> networks;        // never null
    std::vector<Tsi> tsis;
    std::vector<RawVmPort> unusable;                    // name a network, but are no TSI (parse_tsi() says why)
    std::map<base::Encap, uint32_t> tunnel_ports;       // OpenFlow ports of ours
    std::vector<uint32_t> plain_ports;                  // name no network, and the bridge does not serve them by itself
    std::map<std::string, uint32_t> hypervisor_ports;   // OpenFlow ports of hypervisors by name; 0: none (yet)
    std::shared_ptr<const policy::Policy> policy;       // between networks; null: nothing leaves a network
};

struct Pipeline {
    std::vector<std::string> flows;         // sorted; table, priority and match differ in all of them
    std::vector<uint32_t> closed_to_flood;  // ports that must get nothing of NORMAL's flooding; sorted
    std::vector<Problem> problems;          // of TSIs that had to be closed
    std::vector<CountedFlow> counted;
    GatewayMap gateways;                    // what of the policy holds here
    std::map<base::Vni, NextHops> hops;     // of networks that have a gateway
};

Pipeline make_pipeline(const PipelineInput&);

// The network that 'vn', a name or VNI, means; null if this host does not serve it.
const VnView* find_vn(const DirectoryView& directory, const std::string& vn);

}  // namespace nvo3::agent
#endif
