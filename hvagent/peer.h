// SPDX-License-Identifier: Apache-2.0
//
// One peer: its sessions, who it must prove to be, and its keys.
//
// A session that opens replaces the one before (make before break), except that
// of two that cross the one begun by the smaller name stays.  Keying decides about
// SAs; what it decides is carried out here.
//
// Place: owned by peers.cc, one for each underlay address.  Thread: the I/O thread.
#ifndef HVAGENT_PEER_H
#define HVAGENT_PEER_H

#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "control/credentials.h"
#include "control/audit.h"
#include "control/connector.h"
#include "control/rate_limiter.h"
#include "control/session.h"
#include "esp/sa_protocol.h"
#include "hvagent/keying.h"
#include "hvagent/view.h"
#include "hvagent/wake_timer.h"

namespace nvo3::agent {

using control::ContextPtr;
using control::Credentials;

struct PeerConfig {
    base::IpAddress remote;
    base::IpAddress local;              // unspecified: any
    base::IpAddress bind;               // source of our connections; unspecified: the kernel's choice
    uint16_t port = 6652;
    ControlLevel control_level = ControlLevel::standard;    // of this session
    // What the peer must be, and what a session with a hypervisor, or of one, is for.
    control::Role role = control::Role::nve;
    control::Channel channel = control::proto::CHANNEL_UNSPECIFIED;
    bool passive = false;               // it is the peer who connects
    std::string remote_name, remote_cert, psk;
    std::map<ChannelId, ChannelConfig> channels;
    KeyingPolicy policy;
    std::vector<std::string> ports;     // names of the Interfaces

    // What can only be changed by starting over.
    bool same_base(const PeerConfig&) const;
};

// When a session is replaced by a fresh handshake.  A TLS KeyUpdate does not change the
// exporter secret, a handshake does.
struct SessionTiming {
    std::chrono::milliseconds renew_after = std::chrono::minutes(50);   // by its initiator
    std::chrono::milliseconds give_up_after = std::chrono::minutes(59); // by either side
    // SAs that a former process agreed on live so long without a session: whose they are
    // was known to it alone, so nothing that is revoked meanwhile would end them.  Peers
    // come back within seconds, the longest retry is below a minute.
    std::chrono::milliseconds adopted_for = std::chrono::minutes(10);
};

// What a peer needs of the agent.
class PeerHost {
public:
    virtual ~PeerHost() = default;
    virtual boost::asio::io_context& io() = 0;
    virtual const base::Clock& clock() = 0;
    virtual control::AuditLog& audit() = 0;
    virtual const SessionTiming& timing() = 0;
    virtual control::SessionOptions session_options() = 0;
    virtual control::SessionHandler& session_handler() = 0;  // hands on to the peer
    virtual ContextPtr certificate_context() = 0;           // null: none
    virtual ContextPtr certificate_context(ControlLevel) = 0;   // as that, of another level
    virtual const std::string& certificate_problem() = 0;
    // Sends to the switch; the Result goes to the peer at 'remote' with 'token', for an
    // unspecified one to the overlay.
    virtual void install(const base::IpAddress& remote, uint64_t token, esp::SaConfig) = 0;
    virtual void send_to_switch(esp::SaMessage) = 0;
    virtual void changed() = 0;                             // some port's status may have
};

class Peer {
public:
    Peer(PeerHost&, PeerConfig);
    // Ends sessions and removes all SAs, on both sides, unless detached.
    ~Peer();
    Peer(const Peer&) = delete;

    // The agent ends, the SAs shall live: closes sessions; then destroy the peer.
    void detach();

    void configure(PeerConfig);         // same_base() must hold
    const PeerConfig& config() const { return config_; }

    // The switch.
    void switch_up(const std::vector<Keying::LiveSa>&, uint64_t switch_instance);
    // What the switch has besides of channels that it was not known to have.
    void adopt(const std::vector<Keying::LiveSa>&);
    void switch_down();
    void installed(uint64_t token, int error, const std::string& text);
    void acquire(const ChannelId&);
    void expiring(const esp::msg::SaExpiring&);

    // With what a connection of the peer is to be authenticated.
    base::Result<ContextPtr> accept() const;

    // Files may have changed, time has passed: looks again whether all is still
    // valid.  'force' reads files in any case.
    void refresh(bool force);
    // The certificates' context is another one; 'renew': our own certificate too.
    void context_changed(bool renew);
    // This host is not who it was: all that was agreed in its former name ends.
    void start_over(const std::string& reason);
    void rates_changed();
    void rekey();

    const std::string& name() const { return name_; }
    PeerView view() const;
    // Of the port called 'port', which has these channels; kept until something changes.
    const PortState& port_state(const std::string& port, const std::vector<ChannelId>& channels) const;
    // What port_state() shows of the agent or the configuration is another.
    void forget_states() { states_.clear(); }
    size_t sa_count() const;

    // Of SessionHandler, for the sessions with config().remote.
    // Whether the other end of a session is whom the configuration wants.
    base::Status check(const control::Session&) const;
    base::Status admit(control::Session&);
    void on_open(control::Session&);
    bool serves(base::Vni, base::Encap) const;
    void on_message(control::Session&, const control::Envelope&);
    void on_closed(control::Session&, const control::CloseInfo&);

private:
    struct Live {
        SessionId id = 0;
        std::shared_ptr<control::Session> session;
        bool replaced = false;
        std::optional<TimePoint> close_at;          // of a replaced one
        control::proto::CloseCode close_code{};
        // What was refused of it: when last, by channel, and how often in vain.
        std::map<ChannelId, TimePoint> refused;
        unsigned insistence = 0;
    };
    // Whose SAs live here: of the last session that was open with certificates.
    struct Authenticated {
        control::PeerIdentity identity;
        control::CertificateChain chain;
    };
    struct PendingAudit {
        SaDirection direction;
        SaParameters sa;
    };

    PortState port_state(const std::vector<ChannelId>& channels) const;
    void touch();
    Live* live(SessionId);
    Live* live(const control::Session&);
    ContextPtr context() const;
    std::string credential_problem() const;
    void connect_if_needed();
    void connected(boost::asio::ip::tcp::socket);
    void connect_failed(const std::string& reason);
    base::Status check_identity(const control::PeerIdentity&, const control::TlsContext&) const;
    bool newcomer_wins(const control::Session& newcomer, const control::Session& present) const;
    void retire(Live&, control::proto::CloseCode);
    void renew();
    void heed(const control::CloseInfo&);
    void lose_current(const control::CloseInfo&, bool refused);
    void take_over(Live&, bool crossed);
    // 'full': not only for those whose certificate has ended.
    void check_sessions(bool full);
    base::Status judge(const control::PeerIdentity&, const base::Status& chain, const control::TlsContext&) const;
    void end_trust(const base::Status& why, const control::PeerIdentity&);
    void remove_everything(const std::string& reason);
    // Ends everything with a peer that is not trusted any more.
    void bar(const std::string& reason, control::proto::CloseCode);
    void close_all(control::proto::CloseCode, const std::string& reason);
    void set_error(const std::string& error, bool authentication);

    // Carries out what keying wants, and sets the timer for what comes next.
    void pump();
    void perform(InstallSa&);
    void perform(RemoveSa&);
    void perform(SendOffer&);
    void perform(SendAnswer&);
    void perform(SendRequest&);
    void perform(SendDelete&);
    void perform(Refused&);
    void perform(Note&);
    base::Result<uint64_t> send(SessionId, control::Envelope);
    void tick();
    void arm();
    void audit(control::AuditKind, const std::string& reason, const std::optional<ChannelId>& = {}) const;
    void audit_sa(control::AuditKind, SaDirection, const SaParameters&, const std::string& reason) const;
    std::string label() const;      // "hv2 (192.0.2.2)"
    void log_of_peer(base::LogLevel, const std::string& text);
    bool insists(Live&, const ChannelId&) const;

    PeerHost& host_;
    PeerConfig config_;
    std::string name_;
    Credentials psk_;
    std::optional<control::Fingerprint> pin_;
    std::string pin_problem_;
    Keying keying_;
    control::Connector connector_;
    WakeTimer timer_;
    std::map<const control::Session*, Live> sessions_;      // in handshake or open
    SessionId current_ = 0;
    SessionId next_session_ = 1;
    std::optional<TimePoint> renew_at_, give_up_at_;
    std::optional<Authenticated> last_;
    std::string first_name_;        // without remote_name and remote_cert: who it was first
    // SAs go then unless the peer comes back, with a new certificate.
    static constexpr std::chrono::seconds kExpiredGrace{30};
    std::optional<TimePoint> remove_at_;
    std::string remove_reason_;
    std::map<uint64_t, PendingAudit> pending_;
    control::TokenBucket log_bucket_;       // for lines that the peer can cause
    uint64_t log_suppressed_ = 0;
    SessionId speaking_ = 0;                // whose message is being worked on; 0: none
    mutable std::map<std::string, PortState> states_;       // by port
    std::string error_;
    bool authentication_failed_ = false;
    uint64_t opened_ = 0;
    bool detached_ = false;
};

}  // namespace nvo3::agent
#endif
