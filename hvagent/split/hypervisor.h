// SPDX-License-Identifier: Apache-2.0
//
// The hypervisor side of the split NVE (RFC 8394): VMs and VM ports of this host, the
// external NVE that is told of their interfaces, and the networks that it answers with.
//
// Of those it makes a directory like that of an NVA, with two members in each network:
// this host, and the NVE, which has all addresses that are not here.
//
// Place: owned by peers.cc; told of VMs by the libvirt adapter and the hook command,
// through Agent::with_hypervisor().  Thread: the I/O thread.
#ifndef HVAGENT_SPLIT_HYPERVISOR_H
#define HVAGENT_SPLIT_HYPERVISOR_H

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/result.h"
#include "hvagent/network_view.h"
#include "hvagent/server_client.h"
#include "hvagent/split/throttle.h"
#include "hvagent/split/tsi_wishes.h"
#include "hvagent/split/vm.h"
#include "hvagent/view.h"
#include "hvagent/wake_timer.h"

namespace nvo3::agent {

class Hypervisor final : public VmObserver, public ServerHandler {
public:
    using Reserved = std::function<void(base::Status)>;

    // 'on_directory' is called when the directory is another one, 'on_change' when something
    // of fill() is.  'host' must outlive it.
    Hypervisor(PeerHost& host, std::function<void()> on_directory, std::function<void()> on_change);
    ~Hypervisor() override;

    // Idle while the configuration is not that of a hypervisor.
    void configure(const Config&);
    void credentials_changed(bool renew, bool renamed);
    void rates_changed() { servers_.rates_changed(); }
    void switch_restarted(uint64_t switch_instance) { servers_.switch_restarted(switch_instance); }
    // Now and then: certificates may have ended.
    void poll() { servers_.check(); }
    void stop();

    std::shared_ptr<const DirectoryView> directory() const { return directory_; }
    void fill(NetworkView&) const;
    void fill(AgentView&) const;

    // For a hook that waits: takes 'vm' in as on_vm() does, and calls back once, when
    // the external NVE has granted all of its interfaces, or with the reason in words: it
    // has refused one (EACCES), or has not answered within 'at_most' (ETIMEDOUT).  At once
    // for a VM without such interfaces, and if this host is no hypervisor.
    void reserve(const Vm& vm, std::chrono::milliseconds at_most, Reserved done);

    // VmObserver.
    void on_vm(const Vm&) override;
    void on_vms(const std::vector<Vm>&) override;
    void on_libvirt(const std::string& problem) override;

    // ServerHandler.
    void on_server_up(control::Session&) override;
    void on_server_down() override;
    void on_server_message(control::Session&, const control::Envelope&) override;
    bool on_server_vn(base::Vni vni) override { return wishes_.has_network(vni); }
    void on_server_status() override { on_change_(); }

private:
    // The NVE that networks_ are of.
    struct Uplink {
        std::string name;
        base::IpAddress local, remote;
        bool operator==(const Uplink&) const = default;
    };
    struct Reservation {
        std::string uuid, name;
        TimePoint until;
        Reserved done;
    };

    void vms_changed();
    void vms_change_soon();
    void await_libvirt();
    esp::Cipher cipher_of(const Endpoint&) const;
    // Sends what may be sent, and sets the timer for what comes next.
    void pump();
    void send(const control::Envelope&, const std::string* what);
    void report(const std::optional<TsiWishes::Refused>&, const char* what);
    void update_directory();
    void answer_reservations();
    void arm();
    void wake();
    void forget_networks();

    PeerHost& host_;
    const std::function<void()> on_directory_, on_change_;
    bool enabled_ = false;
    std::vector<ExternalNve> nves_;
    std::vector<RawVmPort> ports_;
    bool with_libvirt_ = false;         // configured
    bool vms_known_ = false;            // told since the agent started
    std::string libvirt_problem_;
    std::optional<TimePoint> libvirt_due_;      // to tell its VMs; after that it counts as away
    std::map<std::string, Vm> vms_;     // by UUID
    bool vms_dirty_ = false;            // list_ is to be made anew
    WishList list_;                     // of vms_ and ports_
    TsiWishes wishes_;
    Throttle throttle_;
    ServerClient servers_;
    std::optional<Uplink> uplink_;
    uint64_t sessions_ = 0;
    bool complete_ = false;             // an NVE has answered everything once
    std::shared_ptr<const DirectoryView> directory_ = std::make_shared<const DirectoryView>();
    std::list<Reservation> reservations_;
    std::mt19937 random_{std::random_device{}()};
    bool stopped_ = false;
    WakeTimer timer_;
    // Handlers find out whether this object is still there.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nvo3::agent
#endif
