// SPDX-License-Identifier: Apache-2.0
//
// Watches libvirt: domains of one hypervisor as newest state (Vm), for ever.
//
// Events only say where to look: each has the domain's state and XML read anew, so that
// what an observer is told is true when it is read, however many events there were and
// in whatever order.  A connection that is lost is made again, and all domains are told
// again then.  Read-only: a client of libvirt that can change nothing.
//
// Place: the only file that includes libvirt; made by main.cc, feeds the observer.
// Thread: one of its own (libvirt's default event loop; one adapter in a process at a
// time).  Its functions may be called on any thread.
#ifndef HVAGENT_LIBVIRT_LIBVIRT_ADAPTER_H
#define HVAGENT_LIBVIRT_LIBVIRT_ADAPTER_H

#include <functional>
#include <memory>
#include <string>

#include "hvagent/split/vm.h"

namespace nvo3::agent {

class LibvirtAdapter {
public:
    // Runs something on the observer's thread, in order; must not block.
    using Post = std::function<void(std::function<void()>)>;

    LibvirtAdapter(VmObserver&, Post);
    // Nothing is posted any more; what was is the caller's to wait for.  A libvirt that
    // hangs is waited for a second.
    ~LibvirtAdapter();
    LibvirtAdapter(const LibvirtAdapter&) = delete;
    LibvirtAdapter& operator=(const LibvirtAdapter&) = delete;

    // Which hypervisor, as "virsh -c" takes it; empty: none, and the observer is told that
    // there is no VM.  The same again changes nothing.
    void connect(const std::string& uri);
    // A hook has told of a VM that libvirt may not start in the end, without any event: it is
    // looked at when nothing more has come for half a minute.
    void look_later(const std::string& uuid, const std::string& name);

private:
    class Worker;
    std::shared_ptr<Worker> worker_;        // and the thread's, which may outlive us if libvirt hangs
    struct Thread;
    std::unique_ptr<Thread> thread_;
};

// virDomainGetState()'s answer and, of a paused domain, virDomainGetJobStats()'s "operation"
// (0: no job).
VmRun vm_run(int state, int reason, int job_operation);

}  // namespace nvo3::agent
#endif
