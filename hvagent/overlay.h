// SPDX-License-Identifier: Apache-2.0
//
// Networks that an NVA runs: the session with it, the directory, group keys and the
// membership in underlay groups, brought together.
//
// Place: owned by peers.cc, which makes peers of the directory's members.  Thread:
// the I/O thread.
#ifndef HVAGENT_OVERLAY_H
#define HVAGENT_OVERLAY_H

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hvagent/groups.h"
#include "hvagent/multicast_member.h"
#include "hvagent/network_view.h"
#include "hvagent/nva_client.h"
#include "hvagent/view.h"
#include "hvagent/wake_timer.h"

namespace nvo3::agent {

class Overlay final : public NvaHandler {
public:
    // 'on_directory' is called when the directory is another one, 'on_change' when
    // something of fill() is.  'host' must outlive it.
    Overlay(PeerHost& host, std::function<void()> on_directory, std::function<void()> on_change);
    ~Overlay() override;

    // 'more': interfaces of hypervisors.
    void configure(const Config&, const std::vector<Tsi>& more = {});
    void credentials_changed(bool renew, bool renamed);
    void rates_changed() { client_.rates_changed(); }
    // Now and then: certificates may have ended, interfaces have changed.
    void poll();
    void stop();

    // The switch.  Results of SAs of groups come by installed().
    void switch_up(const std::vector<esp::msg::SaRecord>&, uint64_t switch_instance);
    void switch_down();
    void installed(uint64_t token, int error, const std::string& text);
    void expiring(const esp::msg::SaExpiring&);

    std::shared_ptr<const DirectoryView> directory() const { return client_.directory().snapshot(); }
    std::shared_ptr<const control::PolicyText> policy() const { return client_.policy(); }
    // Whether all that this host serves is in the directory: only then may be removed
    // what is not in it.
    bool is_complete() const;

    // Whether an NVA can be asked, and what it says of interfaces.
    bool has_nva() const { return client_.is_up() && is_complete(); }
    std::map<Announcer::Key, Announcer::Answer> answers() const { return client_.answers(); }

    // Adds groups to 'reach' and what is told of interfaces.
    void fill(NetworkView&) const;
    void fill(AgentView&) const;

    // NvaHandler.
    void on_directory() override;
    void on_policy() override { on_directory_(); }
    void on_nva_up() override;
    void on_nva_down() override;
    void on_group_key(const control::proto::GroupKey&) override;
    void on_group_grant(uint64_t in_reply_to, const control::proto::GroupGrant&) override;
    void on_group_renewed(uint64_t in_reply_to, const control::proto::GroupRenewed&) override;
    void on_nva_status() override { on_change_(); }

private:
    std::string own_name() const;
    // Carries out what groups want, and sets the timer for what comes next.
    void pump();
    void wake();
    void perform(Groups::Install&);
    void perform(Groups::Remove&);
    void perform(Groups::Register&);
    void perform(Groups::Renew&);
    void perform(Groups::Join&);
    void perform(Groups::Leave&);
    void perform(Groups::Refused&);
    void perform(Groups::Note&);
    void audit_sa(control::AuditKind, SaDirection, base::Spi, base::Vni, base::Encap, const std::string& sender, const std::string& reason) const;

    PeerHost& host_;
    const std::function<void()> on_directory_, on_change_;
    bool has_nvas_ = false;
    NvaClient client_;
    Groups groups_;
    MulticastMember multicast_;
    struct Pending {
        SaDirection direction;
        base::Spi spi;
        base::Vni vni;
        base::Encap encap;
        std::string sender;
    };
    std::map<uint64_t, Pending> pending_;       // by token, for the audit log
    WakeTimer timer_;
};

}  // namespace nvo3::agent
#endif
