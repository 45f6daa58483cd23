// SPDX-License-Identifier: Apache-2.0
//
// See hypervisor.h.
#include "hvagent/split/hypervisor.h"

namespace nvo3::agent {

const char* to_string(VmRun run)
{
    switch (run) {
    case VmRun::preparing:
        return "preparing";
    case VmRun::incoming:
        return "incoming";
    case VmRun::paused:
        return "paused";
    case VmRun::running:
        return "running";
    case VmRun::outgoing:
        return "outgoing";
    case VmRun::gone:
        break;
    }
    return "gone";
}

void Hypervisor::reserve(const Vm& vm, std::chrono::milliseconds, Reserved done)
{
    on_vm(vm);
    done({});
}

void Hypervisor::on_vm(const Vm& vm)
{
    if (vm.run == VmRun::gone) {
        vms_.erase(vm.uuid);
    } else {
        vms_[vm.uuid] = vm;
    }
}

void Hypervisor::on_vms(const std::vector<Vm>& vms)
{
    vms_.clear();
    for (const Vm& vm : vms) {
        on_vm(vm);
    }
}

void Hypervisor::on_libvirt(const std::string& problem)
{
    libvirt_problem_ = problem;
}

}  // namespace nvo3::agent
