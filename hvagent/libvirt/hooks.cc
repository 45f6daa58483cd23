// SPDX-License-Identifier: Apache-2.0
//
// See hooks.h.
#include "hvagent/libvirt/hooks.h"

#include <optional>
#include <utility>

#include "hvagent/libvirt/domain_xml.h"

namespace nvo3::agent {

using Ask = HookCall::Ask;

base::Result<HookCall> Hooks::read(const std::vector<std::string>& arguments, bool alone)
{
    if (arguments.size() != 5) {
        return base::Error{EINVAL, "usage: hook/qemu DOMAIN OPERATION SUB-OPERATION EXTRA XML"};
    }
    const std::string& domain = arguments[0];
    const std::string& operation = arguments[1];
    const bool start = operation == "migrate" || operation == "prepare" || operation == "start";
    const bool end = operation == "stopped" || operation == "release";
    const bool started = operation == "started" || operation == "reconnect";
    if (!start && !end && !started) {
        return HookCall{};      // attach, restore, and what later versions of libvirt may have
    }

    auto vm = parse_domain(arguments[4]);
    if (vm && vm->name != domain) {
        vm = base::Error{EINVAL, "the XML is of domain " + vm->name};
    }
    if (!vm) {
        return start ? base::Result<HookCall>(base::Error{EINVAL, "hook of domain " + domain.substr(0, 255) + ": " + vm.error().text}) : HookCall{};
    }
    HookCall call{Ask::reserve, std::move(*vm)};
    const std::string uuid = call.vm.uuid;
    if (operation == "migrate" && incoming_.size() < kMaxIncoming) {
        incoming_.insert(uuid);
    }
    if (start) {
        call.vm.run = incoming_.contains(uuid) ? VmRun::incoming : VmRun::preparing;
        return call;
    }
    const bool was_incoming = incoming_.erase(uuid) > 0;
    if (end) {
        call.ask = Ask::tell;
        call.vm.run = VmRun::gone;
        call.vm.interfaces.clear();
        call.vm.problems.clear();
        call.vm.ordinary.clear();
        return call;
    }
    // An incoming VM has started when its memory has come, which no hook tells.
    call.ask = alone && !was_incoming ? Ask::tell : Ask::nothing;
    call.vm.run = VmRun::running;
    return call;
}

}  // namespace nvo3::agent
