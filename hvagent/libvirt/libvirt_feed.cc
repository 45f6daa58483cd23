// SPDX-License-Identifier: Apache-2.0
//
// See libvirt_feed.h.
#include "hvagent/libvirt/libvirt_feed.h"

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"

namespace nvo3::agent {

using namespace std::chrono_literals;
using base::LogLevel;
using Ask = HookCall::Ask;

namespace {

constexpr const char* kModule = "hook";
// Less than nvo3-libvirt-hook waits by default: the reason shall reach it.
constexpr auto kHookWait = 8s;

}  // namespace

class LibvirtFeed::ToHypervisor final : public VmObserver {
public:
    explicit ToHypervisor(Agent& agent) : agent_(agent) {}

    void on_vm(const Vm& vm) override
    {
        agent_.with_hypervisor([vm](Hypervisor& hypervisor) { hypervisor.on_vm(vm); });
    }
    void on_vms(const std::vector<Vm>& vms) override
    {
        agent_.with_hypervisor([vms](Hypervisor& hypervisor) { hypervisor.on_vms(vms); });
    }
    void on_libvirt(const std::string& problem) override
    {
        agent_.with_hypervisor([problem](Hypervisor& hypervisor) { hypervisor.on_libvirt(problem); });
    }

private:
    Agent& agent_;
};

LibvirtFeed::LibvirtFeed(Agent& agent) : agent_(agent), observer_(std::make_unique<ToHypervisor>(agent)) {}

LibvirtFeed::~LibvirtFeed() = default;

void LibvirtFeed::run()
{
    const auto config = agent_.config();
    if (!config) {
        return;
    }
    const std::string uri = config->is_hypervisor() ? config->libvirt_uri : "";
    if (!adapter_ && !uri.empty()) {
        // The observer posts to the I/O thread by itself.
        adapter_ = std::make_unique<LibvirtAdapter>(*observer_, [](const std::function<void()>& work) { work(); });
    }
    if (adapter_) {
        adapter_->connect(uri);
    }
}

void LibvirtFeed::on_hook(const daemon::Call& call, const daemon::Answer& answer)
{
    const auto config = agent_.config();
    if (!config || !config->is_hypervisor()) {
        return answer(std::string("not a hypervisor"));
    }
    const bool strict = config->hook_strict;
    auto refused = [answer, strict](const std::string& reason) {
        base::log(LogLevel::warn, kModule, reason + (strict ? ": the start is refused" : ""));
        answer(strict ? base::Result<std::string>(base::Error{EPERM, reason}) : "not granted: " + reason);
    };

    auto hook = hooks_.read(call.arguments, config->libvirt_uri.empty());
    if (!hook) {
        return refused(hook.error().text);
    }
    const Vm& vm = hook->vm;
    if (hook->ask == Ask::nothing) {
        return answer(std::string("taken"));
    }
    if (adapter_) {
        adapter_->look_later(vm.uuid, vm.name);
    }
    if (hook->ask == Ask::tell) {
        agent_.with_hypervisor([vm](Hypervisor& hypervisor) { hypervisor.on_vm(vm); });
        return answer(std::string("taken"));
    }
    agent_.with_hypervisor([vm, answer, refused](Hypervisor& hypervisor) {
        hypervisor.reserve(vm, kHookWait, [vm, answer, refused](const base::Status& granted) {
            if (!granted) {
                refused(granted.error().text);
            } else if (!vm.problems.empty()) {
                refused(vm.problems[0]);
            } else {
                answer(std::string("granted"));
            }
        });
    });
}

}  // namespace nvo3::agent
