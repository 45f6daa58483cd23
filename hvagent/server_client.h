// SPDX-License-Identifier: Apache-2.0
//
// The session with one of a list of servers: NVAs, or the external NVEs of a hypervisor.
//
// The first of the list that answers is used, for as long as it works; when it goes
// all are tried again, from the first on.
//
// Place: owned by nva_client.cc and hypervisor.cc, which know what is said.  Thread: the
// I/O thread.
#ifndef HVAGENT_SERVER_CLIENT_H
#define HVAGENT_SERVER_CLIENT_H

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/connector.h"
#include "control/session.h"
#include "hvagent/config.h"
#include "hvagent/peer.h"
#include "hvagent/view.h"

namespace nvo3::agent {

class ServerHandler {
public:
    virtual ~ServerHandler() = default;
    // The session with a server is open; that with the one before is not.
    virtual void on_server_up(control::Session&) = 0;
    virtual void on_server_down() = 0;
    virtual void on_server_message(control::Session&, const control::Envelope&) = 0;
    // Whether the server may speak of the network.
    virtual bool on_server_vn(base::Vni) = 0;
    // What view() shows has changed.
    virtual void on_server_status() = 0;
};

class ServerClient final : public control::SessionHandler {
public:
    // Fixed.
    struct Kind {
        const char* name;               // "NVA", for sentences
        const char* module;             // of log lines
        const char* key;                // of other_config, where the list is
        control::Role role;             // that a server must prove
        control::Channel channel;       // that is opened
    };

    // Both must outlive it.  Idle until configure().
    ServerClient(PeerHost&, ServerHandler&, const Kind&);
    ~ServerClient() override;

    // In order of preference.
    void configure(const std::vector<Endpoint>&);
    // This host's certificate or the revocation lists are others; 'renew': so that the
    // server must see it anew.
    void context_changed(bool renew);
    // Time has passed: certificates may have ended.
    void check();
    void rates_changed();
    void switch_restarted(uint64_t switch_instance);
    void stop();

    // The open session; null: none.
    control::Session* session() const { return current_ ? current_->session.get() : nullptr; }
    // Of the server in use; only while there is one.
    const Endpoint& endpoint() const { return current_->endpoint; }
    const std::string& name() const { return current_->name; }
    std::string label() const { return label(*current_); }      // "NVA nva1 (192.0.2.9:6654)"

    // ENOTCONN without a session.
    base::Result<uint64_t> send(control::Envelope);
    // Closes the session, if there is one; another is looked for.
    void close(control::proto::CloseCode, const std::string& reason);
    ServerView view() const;

    // SessionHandler.
    base::Status admit(control::Session&) override;
    void on_open(control::Session&) override;
    bool vn_allowed(control::Session&, base::Vni vni, std::optional<base::Encap>) override { return handler_.on_server_vn(vni); }
    void on_message(control::Session&, const control::Envelope&) override;
    void on_vn_refused(control::Session&, const control::Envelope&) override {}
    void on_closed(control::Session&, const control::CloseInfo&) override;

private:
    struct Server {
        Endpoint endpoint;
        std::unique_ptr<control::Connector> connector;
        std::shared_ptr<control::Session> session;      // in handshake or open
        std::string name;               // as it proved it last; empty: never
        std::string error;
    };

    Server* server_of(const control::Session&);
    std::string label(const Server&) const;
    void search();
    void arm_search();
    void connected(Server&, boost::asio::ip::tcp::socket);
    void failed(Server&, const std::string& reason);
    void close(Server&, control::proto::CloseCode, const std::string& reason);
    void drop(Server&);
    base::Status check_identity(const control::PeerIdentity&) const;

    PeerHost& host_;
    ServerHandler& handler_;
    const Kind kind_;
    std::vector<std::unique_ptr<Server>> servers_;
    Server* current_ = nullptr;         // whose session is open
    bool stopped_ = false;
    uint64_t sessions_ = 0;             // opened since the agent started
    boost::asio::steady_timer search_timer_;
    // Handlers of the timer find out whether this object is still there.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nvo3::agent
#endif
