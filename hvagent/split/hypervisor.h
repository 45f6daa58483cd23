// SPDX-License-Identifier: Apache-2.0
//
// The hypervisor side of the split NVE (RFC 8394): VMs and VM ports of this host, and
// the external NVE that is told of their interfaces.
//
// Place: owned by peers.cc; told of VMs by the libvirt adapter and the hook command,
// through Agent::with_hypervisor().  Thread: the I/O thread.
#ifndef HVAGENT_SPLIT_HYPERVISOR_H
#define HVAGENT_SPLIT_HYPERVISOR_H

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "hvagent/split/vm.h"

namespace nvo3::agent {

class Hypervisor final : public VmObserver {
public:
    using Reserved = std::function<void(base::Status)>;

    // For a hook that waits: takes 'vm' in as on_vm() does, and calls back once, when
    // the external NVE has granted all of its interfaces, or with the reason in words: it
    // has refused one (EACCES), or has not answered within 'at_most' (ETIMEDOUT).  At once
    // for a VM without such interfaces, and if this host is no hypervisor.
    void reserve(const Vm& vm, std::chrono::milliseconds at_most, Reserved done);

    // VmObserver.
    void on_vm(const Vm&) override;
    void on_vms(const std::vector<Vm>&) override;
    void on_libvirt(const std::string& problem) override;

private:
    std::map<std::string, Vm> vms_;     // by UUID
    std::string libvirt_problem_;
};

}  // namespace nvo3::agent
#endif
