// SPDX-License-Identifier: Apache-2.0
//
// What the external NVE is to know of this hypervisor's interfaces: the VMs of libvirt
// and the VM ports of the database, brought together.
//
// An interface of a VM and a port are the same if the port's external_ids:iface-id is
// the interface's id; then libvirt says its network, MAC and addresses.  A port that no VM
// has counts as one of a running VM: who made it is not libvirt.
//
// Place: used by hypervisor.cc.  Thread: a pure function.
#ifndef HVAGENT_SPLIT_WISH_LIST_H
#define HVAGENT_SPLIT_WISH_LIST_H

#include <map>
#include <set>
#include <string>
#include <vector>

#include "hvagent/split/vm.h"
#include "hvagent/tsi.h"

namespace nvo3::agent {

struct TsiWish {
    std::string id;             // TsiRequest.tsi
    std::string vm;             // UUID, else the port's name
    std::string vm_name;        // for people
    std::string vn;             // name or VNI
    base::MacAddress mac;
    std::vector<base::IpAddress> addresses;     // sorted; empty: any
    std::string port;           // of the bridge; empty: none (yet)
    VmRun run = VmRun::running;         // never gone: then there is no wish
    bool operator==(const TsiWish&) const = default;
};

enum class Libvirt : unsigned char { none, away, there };      // configured, and can be asked

struct WishList {
    std::vector<TsiWish> wishes;        // (vn, id) and (vn, mac) differ in all of them
    std::vector<Tsi> tsis;              // of those with a port, by port name
    std::set<std::string> ordinary_ports;       // with an iface-id, and surely in no network
    std::map<std::string, std::string> problems;        // by port, else "VM NAME": a sentence
    std::map<std::string, std::string> unusable_vms;    // by UUID, the first of its problems
};

// If libvirt can be asked, a port that names its network by its port profile alone is not used
// before a VM has it.  One of libvirt's that names none is in no network when its VM is known:
// that has its networks from metadata, perhaps.
WishList make_wish_list(const std::map<std::string, Vm>& vms, const std::vector<RawVmPort>& ports, Libvirt);

}  // namespace nvo3::agent
#endif
