// SPDX-License-Identifier: Apache-2.0
//
// What libvirt's hook "qemu" tells: a VM as state, and whether its start waits for us.
//
//   migrate begin            its start is asked for; it runs at another host
//   prepare, start begin     its start is asked for
//   stopped, release end     it is not here any more: of a failed start there is no event
//   started, reconnect begin nothing: libvirt's events tell it better, unless there are none
//
// Place: made by hook_command.cc.  Thread: one.
#ifndef HVAGENT_LIBVIRT_HOOKS_H
#define HVAGENT_LIBVIRT_HOOKS_H

#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "hvagent/split/vm.h"

namespace nvo3::agent {

struct HookCall {
    enum class Ask : unsigned char {
        nothing,
        tell,               // 'vm' is as it says
        reserve,            // the start waits for the answer, and may be refused
    };
    Ask ask = Ask::nothing;
    Vm vm;
};

class Hooks {
public:
    // DOMAIN OPERATION SUB-OPERATION EXTRA XML, as libvirt gives them.  'alone': no events of
    // libvirt come.  Errors, in words, only of operations that can be refused.
    base::Result<HookCall> read(const std::vector<std::string>& arguments, bool alone);

    // More VMs that are about to come from other hosts are taken for VMs that start here.
    static constexpr size_t kMaxIncoming = 1024;

private:
    std::set<std::string> incoming_;        // UUIDs, from "migrate" to "started"
};

}  // namespace nvo3::agent
#endif
