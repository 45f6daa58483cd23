// SPDX-License-Identifier: Apache-2.0
//
// The NVE's side of the split NVE (RFC 8394): control sessions of the hypervisors that a
// port with options:nvo3_role=hypervisor lets in, the networks that each is connected
// to, and what each says of its tenant system interfaces.
//
// A hypervisor is known by its underlay address and the name in its certificate.  It is
// held to other_config:nvo3-hypervisor-rate: told to slow down before that is reached,
// read no faster, and cut off if it goes on.
//
// Place: owned by peers.cc, which hands it the sessions of channel control; data
// sessions are peer.cc's.  Thread: the I/O thread.
#ifndef HVAGENT_SPLIT_NVE_SIDE_H
#define HVAGENT_SPLIT_NVE_SIDE_H

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/rate_limiter.h"
#include "control/session.h"
#include "hvagent/announcer.h"
#include "hvagent/config.h"
#include "hvagent/directory.h"
#include "hvagent/network_view.h"
#include "hvagent/peer.h"
#include "hvagent/split/tsi_table.h"
#include "hvagent/view.h"
#include "hvagent/wake_timer.h"
#include "hvagent/wanted_peers.h"

namespace nvo3::agent {

class NveSide {
public:
    // 'on_change' is called when something of the accessors below is another; 'host' must
    // outlive this.
    NveSide(PeerHost& host, std::function<void()> on_change);
    ~NveSide();
    NveSide(const NveSide&) = delete;

    // 'directory' is the NVA's; without an NVA the networks are those of the ports.
    void configure(std::shared_ptr<const Config>, std::shared_ptr<const DirectoryView> directory);
    // Whether an NVA can be asked now, and what it says of interfaces of this host.
    void on_nva(bool is_up, const std::map<Announcer::Key, Announcer::Answer>&);
    // The switch is there, and had SAs with these.
    void switch_up(std::set<base::IpAddress> with_sas);
    // Certificates or revocation lists are others, time has passed.
    void check_sessions();
    void poll();
    void rates_changed();
    void stop();

    // ---- Of SessionHandler, for sessions with a hypervisor's address ----
    // Whether this hypervisor may come now; peer.cc has checked who it is.
    base::Status admit(const control::Session&) const;
    void on_open(control::Session&);
    bool vn_allowed(const control::Session&, base::Vni) const;
    void on_message(control::Session&, const control::Envelope&);
    void on_vn_refused(control::Session&, const control::Envelope&);
    // False: it is no session of this object.
    bool on_closed(const control::Session&, const control::CloseInfo&);

    // ---- What follows from it ----
    // Networks of this host: the NVA's, or those of hypervisors' ports.
    const std::shared_ptr<const DirectoryView>& directory() const { return directory_; }
    // Which SAs there shall be.
    ConnectedNetworks connected() const;
    // Active TSIs: for the pipeline, and as interfaces for the NVA.
    std::vector<RemoteTsi> remote_tsis() const;
    std::vector<Tsi> tsis() const;
    // Whether it has told all that it has since this agent started, or has had the time:
    // what a former process left is not to be taken away before.
    bool is_settled(const base::IpAddress& hypervisor) const;
    // The same for all that a former process may have left flows of, so that these may go.
    bool is_settled() const;
    std::vector<HypervisorView> view() const;

private:
    struct Hypervisor {
        base::IpAddress address;
        std::string name;
        std::vector<Tunnel> ports;
        std::shared_ptr<control::Session> session;      // open; null: none
        TimePoint opened{};
        std::set<base::Vni> connected;
        std::set<base::Vni> told;           // of 'connected', in this session
        std::optional<TimePoint> keep_until;        // 'connected', without a session
        bool settled = false;
        std::optional<TimePoint> last_query;
        // Rates.
        control::TokenBucket limit, pace, audits;
        std::optional<TimePoint> exceeds_since, exceeded, slowed_down;
        std::optional<TimePoint> barred_until;
        uint64_t messages = 0, refused = 0, slow_downs = 0, cut_off = 0, audits_withheld = 0;
        std::string error;
    };

    Hypervisor* find(const base::IpAddress&);
    const Hypervisor* find(const base::IpAddress&) const;
    Hypervisor* of_session(const control::Session&);
    Hypervisor* by_name(const std::string&);
    control::Rate limit() const;
    control::Rate pace() const;
    void make_directory(std::shared_ptr<const DirectoryView> of_nva);
    void apply_local();
    // The port that carries the network to the hypervisor; null: it may not be in it.
    static const Tunnel* port_for(const Hypervisor&, const VnView&);
    void check_networks(Hypervisor&);
    void leave(Hypervisor&, base::Vni, const std::string& reason);
    void forget(Hypervisor&, control::proto::CloseCode, const std::string& reason);
    void take(Hypervisor&, const control::Envelope&, bool vn_refused);
    void on_connect(Hypervisor&, const control::Envelope&);
    void on_request(Hypervisor&, const control::Envelope&, bool vn_refused);
    void on_query(Hypervisor&, const control::Envelope&);
    void on_sync_done(Hypervisor&);
    bool keeps_pace(Hypervisor&);
    void send(Hypervisor&, control::Envelope, uint64_t in_reply_to);
    void refuse(Hypervisor&, std::optional<base::Vni>, const std::string& reason);
    void audit(const Hypervisor&, control::AuditKind, const std::string& reason, std::optional<base::Vni> = {}) const;
    // Carries out what the table wants, and sets the timer for what comes next.
    void pump();
    void tick();

    PeerHost& host_;
    const std::function<void()> on_change_;
    std::shared_ptr<const Config> config_;
    std::shared_ptr<const DirectoryView> directory_ = std::make_shared<const DirectoryView>();
    std::map<base::IpAddress, Hypervisor> hypervisors_;
    TsiTable table_;
    bool flows_may_go_ = false;
    // Hosts that the switch had SAs with when this agent found it; nothing: not found yet.
    std::optional<std::set<base::IpAddress>> served_before_;
    TimePoint started_;
    WakeTimer timer_;
};

}  // namespace nvo3::agent
#endif
