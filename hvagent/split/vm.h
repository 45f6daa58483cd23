// SPDX-License-Identifier: Apache-2.0
//
// Virtual machines of this host as libvirt and its hooks tell of them.
//
// What is told is state, not events: of a VM the newest counts, and telling it twice
// changes nothing.
//
// Place: made by the libvirt adapter and the hook command, used by hypervisor.cc.
// Thread: values.
#ifndef HVAGENT_SPLIT_VM_H
#define HVAGENT_SPLIT_VM_H

#include <optional>
#include <string>
#include <vector>

#include "base/mac_address.h"
#include "base/result.h"

namespace nvo3::agent {

// Of one <interface> of a domain that names a virtual network.
struct VmInterface {
    // <virtualport><parameters interfaceid=>: the same at the host that the VM moves
    // to, and external_ids:iface-id of the port.
    std::string id;
    base::MacAddress mac;
    std::string vn;             // name or VNI
    std::string addresses;      // as external_ids:nvo3-addresses; empty: any
    bool operator==(const VmInterface&) const = default;
};

enum class VmRun : unsigned char {
    preparing,          // about to start here: its interfaces are to be reserved
    incoming,           // as that, and it runs at another host, to come here
    paused,
    running,
    outgoing,           // has been paused to go on at another host
    gone,               // not here (any more)
};
const char* to_string(VmRun);

struct Vm {
    std::string uuid;           // libvirt's
    std::string name;
    VmRun run = VmRun::gone;
    std::vector<VmInterface> interfaces;        // empty if gone
    // What of the XML cannot be used: sentences that name domain and element.
    std::vector<std::string> problems;
    std::vector<std::string> ordinary = {};     // ids of interfaces that are in no network
    bool operator==(const Vm&) const = default;
};

// Who takes it in.  Calls come on the thread of the io_context.
class VmObserver {
public:
    virtual ~VmObserver() = default;
    virtual void on_vm(const Vm&) = 0;
    // All that there are, after a (re)connect: others are gone.
    virtual void on_vms(const std::vector<Vm>&) = 0;
    // The connection to libvirt is there, or why it is not (what was told stays).
    virtual void on_libvirt(const std::string& problem) = 0;
};

}  // namespace nvo3::agent
#endif
