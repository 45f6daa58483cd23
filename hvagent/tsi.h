// SPDX-License-Identifier: Apache-2.0
//
// Tenant system interfaces of this host: VM ports of the integration bridge that
// belong to a virtual network.
//
// A port joins by Interface external_ids:nvo3-vn (the network's name or VNI) or,
// without it, by libvirt's port profile (external_ids:port-profile).  Its MAC is
// external_ids:attached-mac; external_ids:nvo3-addresses lists the IP addresses that it may
// use, separated by commas or spaces (none: any).
//
// Place: made by ovs_feed.cc from database rows; used by vn_pipeline.cc (OVS thread)
// and nva_client.cc (I/O thread).  Thread: values.
#ifndef HVAGENT_TSI_H
#define HVAGENT_TSI_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "base/mac_address.h"
#include "base/result.h"

namespace nvo3::agent {

// A row of the database as it is.
struct RawVmPort {
    std::string name;           // of the Interface
    uint32_t ofport = 0;        // OpenFlow port, 0: none yet
    std::string vn, port_profile, mac, addresses;       // external_ids; empty: not set
    std::string iface_id;       // external_ids:iface-id, of libvirt
    std::string vm_id = {};     // external_ids:vm-id, which libvirt alone sets: UUID of the VM
    bool operator==(const RawVmPort&) const = default;
};

struct Tsi {
    std::string port;
    uint32_t ofport = 0;
    std::string vn;             // name or VNI, as configured
    base::MacAddress mac;
    std::vector<base::IpAddress> addresses;     // sorted; empty: any
    bool operator==(const Tsi&) const = default;
};

// As external_ids:nvo3-addresses has them: sorted, each once.  The error says what is wrong
// with which; the caller names the place.
base::Result<std::vector<base::IpAddress>> parse_addresses(std::string_view);

// The error is a sentence that names port, key and value.
base::Result<Tsi> parse_tsi(const RawVmPort&);

}  // namespace nvo3::agent
#endif
