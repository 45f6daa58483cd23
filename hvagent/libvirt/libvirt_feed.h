// SPDX-License-Identifier: Apache-2.0
//
// libvirt's part in a hypervisor's agent: the adapter follows the configuration, what it
// and the hook tell goes to the Hypervisor on the I/O thread, and hooks get their answers.
//
// Place: made by main.cc, beside OvsFeed.  Thread: the OVS thread.
#ifndef HVAGENT_LIBVIRT_LIBVIRT_FEED_H
#define HVAGENT_LIBVIRT_LIBVIRT_FEED_H

#include <memory>

#include "daemon/commands.h"
#include "hvagent/agent.h"
#include "hvagent/libvirt/hooks.h"
#include "hvagent/libvirt/libvirt_adapter.h"

namespace nvo3::agent {

class LibvirtFeed {
public:
    // 'agent' must outlive it.
    explicit LibvirtFeed(Agent&);
    ~LibvirtFeed();

    // Follows the configuration; never blocks.
    void run();
    // "hook/qemu": an error is a start that is refused, of a host whose hook is strict.
    void on_hook(const daemon::Call&, const daemon::Answer&);

private:
    class ToHypervisor;

    Agent& agent_;
    std::unique_ptr<ToHypervisor> observer_;
    std::unique_ptr<LibvirtAdapter> adapter_;       // null while none was wanted
    Hooks hooks_;
};

}  // namespace nvo3::agent
#endif
