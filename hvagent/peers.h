// SPDX-License-Identifier: Apache-2.0
//
// All peers: makes them from the configuration, gives them credentials, the
// listener and the switch, and tells the switch how each port fares.
//
// Place: owned by agent.cc.  Thread: the I/O thread.
#ifndef HVAGENT_PEERS_H
#define HVAGENT_PEERS_H

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/credentials.h"
#include "control/listener.h"
#include "hvagent/config.h"
#include "hvagent/network_view.h"
#include "hvagent/overlay.h"
#include "hvagent/peer.h"
#include "hvagent/sa_client.h"
#include "hvagent/split/hypervisor.h"
#include "hvagent/split/nve_side.h"
#include "hvagent/view.h"

namespace nvo3::agent {

class Peers final : public PeerHost, public SaClientHandler, public control::SessionHandler {
public:
    // Takes what the OVS thread is to know; never null, called when it has changed.
    using PublishNetworks = std::function<void(std::shared_ptr<const NetworkView>)>;
    struct Options {
        std::string sa_socket;      // path
        SessionTiming timing;
        PublishNetworks publish_networks;
    };

    // 'audit' and 'clock' must outlive it.  Idle until the first apply().
    Peers(boost::asio::io_context&, Options, control::AuditLog& audit, const base::Clock& clock);
    ~Peers() override;

    void apply(std::shared_ptr<const Config>);
    // Reads certificates, keys and revocation lists again; the error is the
    // first that came up.
    base::Status reload();
    // By name or address; false: no such peer.
    bool rekey(const std::string& name);
    // Says goodbye; SAs live on in the switch.  The io_context runs out of work soon
    // after.
    void stop();
    AgentView view() const;
    Hypervisor& hypervisor() { return hypervisor_; }

    // PeerHost.
    boost::asio::io_context& io() override { return io_; }
    const base::Clock& clock() override { return clock_; }
    control::AuditLog& audit() override { return audit_; }
    const SessionTiming& timing() override { return options_.timing; }
    control::SessionOptions session_options() override;
    control::SessionHandler& session_handler() override { return *this; }
    ContextPtr certificate_context() override { return credentials_.context(); }
    ContextPtr certificate_context(ControlLevel) override;
    const std::string& certificate_problem() override { return credentials_.problem(); }
    void install(const base::IpAddress& remote, uint64_t token, esp::SaConfig) override;
    void send_to_switch(esp::SaMessage) override;
    void changed() override;

    // SaClientHandler.
    void on_switch_up(const esp::msg::SwitchHello&, const std::vector<esp::msg::SaRecord>&) override;
    void on_switch_down(const std::string& reason) override;
    void on_switch_message(const esp::SaMessage&) override;

    // SessionHandler: handed on to the peer with the session's address.  A peer may
    // go while a session of its own is in its handshake; this object does not.
    base::Status admit(control::Session&) override;
    void on_open(control::Session&) override;
    bool vn_allowed(control::Session&, base::Vni, std::optional<base::Encap>) override;
    void on_message(control::Session&, const control::Envelope&) override;
    void on_vn_refused(control::Session&, const control::Envelope&) override;
    void on_closed(control::Session&, const control::CloseInfo&) override;

private:
    struct AwaitedResult {
        base::IpAddress remote;     // unspecified: of a group
        uint64_t token;
    };

    Peer* find(const base::IpAddress&);
    // What this host is told of networks, and whether that is all.
    std::shared_ptr<const DirectoryView> directory() const;
    bool is_complete() const;
    void apply_peers();
    void claim_unclaimed();
    void directory_changed();
    void publish_networks();
    std::shared_ptr<const DirectoryView> known_directory() const;
    void overlay_changed();
    void tell_nve_side();
    void nve_side_changed();
    std::string own_name() const;
    void apply_credentials();
    std::vector<std::string> usable_pins() const;
    bool wants_certificates() const;
    void log_credentials_problem() const;
    void credentials_refreshed(const ContextPtr& before);
    void listen();
    base::Result<control::Listener::Accepted> accept(const base::IpAddress& remote);
    void report_changes(const Config* before);
    void poll();
    void publish();
    void tell_served();
    // What all ports show: credentials, configuration.
    void all_changed();
    std::map<std::string, PortState> port_states() const;
    PortState flow_port_state(const Tunnel&) const;
    void on_result(const esp::msg::Result&);
    void on_alarm(const esp::msg::Alarm&);
    void on_guard_notice(const esp::msg::GuardNotice&);

    boost::asio::io_context& io_;
    const Options options_;
    control::AuditLog& audit_;
    const base::Clock& clock_;
    const uint64_t instance_;       // of this process
    std::shared_ptr<const Config> config_;
    control::Credentials credentials_;
    struct Derived {
        ContextPtr from, context;
    };
    std::map<ControlLevel, Derived> levels_;        // of credentials_, other than its own
    std::vector<std::string> pins_;
    std::unique_ptr<control::Listener> listener_;
    std::string listen_problem_;
    std::unique_ptr<SaClient> switch_;     // null once stopped
    uint64_t switch_instance_ = 0;  // 0: not up
    std::string switch_aead_;
    std::map<base::IpAddress, std::unique_ptr<Peer>> peers_;
    // Found in the switch while the directory is not complete, and of no peer or channel
    // that is known yet.
    std::map<base::IpAddress, std::vector<Keying::LiveSa>> unclaimed_;
    std::map<base::Vni, VnReach> reach_;                // of the directory
    std::vector<std::string> directory_problems_;
    std::shared_ptr<const NetworkView> networks_ = std::make_shared<const NetworkView>();   // published
    std::map<uint32_t, AwaitedResult> results_;     // by request
    std::map<std::string, PortState> published_;
    std::optional<std::vector<base::Vni>> served_;  // as the switch has been told
    bool publish_pending_ = false, answers_pending_ = false;
    std::chrono::steady_clock::duration publish_cost_{};    // the last time
    bool stopping_ = false;
    Overlay overlay_;
    Hypervisor hypervisor_;
    NveSide nve_side_;
    boost::asio::steady_timer poll_timer_, publish_timer_;
    // Handlers of the timers find out whether this object is still there.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nvo3::agent
#endif
