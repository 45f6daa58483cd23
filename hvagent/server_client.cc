// SPDX-License-Identifier: Apache-2.0
//
// See server_client.h.
#include "hvagent/server_client.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "control/endpoint.h"

namespace nvo3::agent {

using namespace std::chrono_literals;
using base::LogLevel;
using control::AuditKind;
using control::CloseInfo;
using control::Envelope;
using control::Session;
namespace proto = control::proto;

namespace {

// A server that has not let us in after this is no reason not to ask the next.
constexpr auto kNextAfter = 1s;

control::Endpoint to_endpoint(const Endpoint& server)
{
    return {control::to_asio(server.address), server.port};
}

}  // namespace

ServerClient::ServerClient(PeerHost& host, ServerHandler& handler, const Kind& kind)
    : host_(host), handler_(handler), kind_(kind), search_timer_(host.io())
{
}

ServerClient::~ServerClient()
{
    *alive_ = false;
    stop();
}

void ServerClient::stop()
{
    stopped_ = true;
    current_ = nullptr;
    search_timer_.cancel();
    for (auto& server : servers_) {
        server->connector->stop();
        if (auto session = std::exchange(server->session, nullptr)) {
            session->abandon(proto::CLOSE_SHUTDOWN, "the agent ends");
        }
    }
}

// ---- Configuration ----

void ServerClient::configure(const std::vector<Endpoint>& endpoints)
{
    auto known = [&](const Endpoint& endpoint) {
        auto it = std::ranges::find_if(servers_, [&](const auto& server) { return server && server->endpoint == endpoint; });
        return it == servers_.end() ? nullptr : std::move(*it);
    };
    std::vector<std::unique_ptr<Server>> wanted;
    for (const Endpoint& endpoint : endpoints) {
        auto server = known(endpoint);
        if (!server) {
            server = std::make_unique<Server>();
            server->endpoint = endpoint;
            server->connector = std::make_unique<control::Connector>(
                host_.io(), control::Connector::Options{.remote = to_endpoint(endpoint), .local = {}},
                [this, at = server.get()](boost::asio::ip::tcp::socket socket) { connected(*at, std::move(socket)); },
                [this, at = server.get()](const std::string& reason) { failed(*at, reason); });
        }
        wanted.push_back(std::move(server));
    }
    std::swap(servers_, wanted);
    for (auto& server : wanted) {
        if (server) {
            drop(*server);
        }
    }
    search();
}

// A server that is no longer in the list.
void ServerClient::drop(Server& server)
{
    server.connector->stop();
    if (auto session = std::exchange(server.session, nullptr)) {
        session->abandon(proto::CLOSE_NOT_CONFIGURED, std::string(kind_.key) + " names this " + kind_.name + " no longer");
    }
    if (current_ == &server) {
        current_ = nullptr;
        handler_.on_server_down();
    }
}

void ServerClient::context_changed(bool renew)
{
    ContextPtr now = host_.certificate_context();
    for (auto& server : servers_) {
        if (!server->session || !server->session->is_open()) {
            continue;
        }
        base::Status valid = now && !now->is_psk() ? server->session->reverify(*now) : base::Error{ENOENT, "this host has no certificate any more"};
        if (!valid) {
            close(*server, proto::CLOSE_REVOKED, valid.error().text);
        } else if (renew) {
            // It holds us to the end of the certificate that it has seen.
            close(*server, proto::CLOSE_REPLACED, "this host has another certificate now");
        }
    }
    search();
}

void ServerClient::check()
{
    for (auto& server : servers_) {
        if (server->session && server->session->is_open() && server->session->peer().not_after < host_.clock().wall()) {
            close(*server, proto::CLOSE_REVOKED, "the certificate of " + label(*server) + " has expired");
        }
    }
    search();
}

void ServerClient::rates_changed()
{
    if (current_) {
        auto options = host_.session_options();
        current_->session->set_rates(options.send_rate, options.receive_rate);
    }
}

void ServerClient::switch_restarted(uint64_t switch_instance)
{
    if (current_) {
        current_->session->announce_switch_instance(switch_instance);
    }
}

// ---- Finding one that works ----

ServerClient::Server* ServerClient::server_of(const Session& session)
{
    auto it = std::ranges::find_if(servers_, [&](const auto& server) { return server->session.get() == &session; });
    return it == servers_.end() ? nullptr : it->get();
}

std::string ServerClient::label(const Server& server) const
{
    std::string at = control::to_string(to_endpoint(server.endpoint));
    return server.name.empty() ? std::string(kind_.name) + " " + at : std::string(kind_.name) + " " + server.name + " (" + at + ")";
}

// Asks the first of the list that is not being asked; a second later the next.
void ServerClient::search()
{
    if (stopped_ || current_ || servers_.empty() || !host_.certificate_context()) {
        search_timer_.cancel();
        return;
    }
    for (auto& server : servers_) {
        if (!server->connector->active() && !server->session) {
            server->connector->start();
            break;
        }
    }
    arm_search();
}

void ServerClient::arm_search()
{
    search_timer_.expires_after(kNextAfter);
    search_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
        if (!error && *alive) {
            search();
        }
    });
}

void ServerClient::connected(Server& server, boost::asio::ip::tcp::socket socket)
{
    ContextPtr with = host_.certificate_context();
    if (!with || current_ || stopped_) {
        return;
    }
    auto options = host_.session_options();
    options.channel = kind_.channel;
    server.session = Session::start(std::move(socket), Session::Side::initiator, with, options, *this);
}

// The connector tries again by itself.
void ServerClient::failed(Server& server, const std::string& reason)
{
    if (server.error != reason) {
        base::log(LogLevel::info, kind_.module, label(server) + ": " + reason);
    }
    server.error = reason;
    handler_.on_server_status();
    search();
}

base::Status ServerClient::check_identity(const control::PeerIdentity& peer) const
{
    auto refuse = [](std::string text) { return base::Error{EACCES, std::move(text)}; };
    ContextPtr own = host_.certificate_context();
    if (!peer.spiffe() || peer.role != kind_.role) {
        return refuse("the certificate of " + peer.name + " is not for the role " + control::to_string(kind_.role) + ": issue one with nvo3-pki host NAME --role " +
                      control::to_string(kind_.role));
    }
    if (!own || !own->own_identity().spiffe()) {
        return refuse(std::string("this host's own certificate has no nvo3 SPIFFE name, which an ") + kind_.name + " needs: issue one with nvo3-pki host NAME");
    }
    if (own->own_identity().trust_domain != peer.trust_domain) {
        return refuse(std::string(kind_.name) + " " + peer.name + " is of trust domain " + peer.trust_domain + ", this host of " + own->own_identity().trust_domain);
    }
    return {};
}

base::Status ServerClient::admit(Session& session)
{
    // The handshake may have begun under credentials that have changed meanwhile.
    ContextPtr now = host_.certificate_context();
    if (!now) {
        return base::Error{EACCES, "this host has no certificate any more"};
    }
    if (&session.context() != now.get()) {
        if (auto valid = session.reverify(*now); !valid) {
            return valid;
        }
    }
    return check_identity(session.peer());
}

void ServerClient::on_open(Session& session)
{
    Server* server = server_of(session);
    const std::string quicker = std::string("another ") + kind_.name + " was quicker";
    if (!server || current_) {
        return session.close(proto::CLOSE_NOT_CONFIGURED, quicker);
    }
    current_ = server;
    server->name = session.peer().name;
    server->error.clear();
    server->connector->succeeded();
    search_timer_.cancel();
    for (auto& other : servers_) {
        other->connector->stop();
        if (other->session && other.get() != server) {
            other->session->close(proto::CLOSE_NOT_CONFIGURED, quicker);
        }
    }
    sessions_++;
    host_.audit().write({AuditKind::authenticated, server->name, server->endpoint.address, std::string(kind_.name) + ", " + session.tls_summary()});
    base::log(LogLevel::info, kind_.module, label(*server) + ": session open, " + session.tls_summary());
    handler_.on_server_up(session);
}

void ServerClient::on_message(Session& session, const Envelope& message)
{
    if (current_ && current_->session.get() == &session) {
        handler_.on_server_message(session, message);
    }
}

void ServerClient::close(proto::CloseCode code, const std::string& reason)
{
    if (current_) {
        close(*current_, code, reason);
    }
}

void ServerClient::close(Server& server, proto::CloseCode code, const std::string& reason)
{
    server.error = reason;
    server.session->close(code, reason);
}

void ServerClient::on_closed(Session& session, const CloseInfo& info)
{
    Server* server = server_of(session);
    if (!server) {
        return;
    }
    server->session.reset();
    const bool was_current = current_ == server;
    const bool refused = info.kind == CloseInfo::Kind::refused_by_us || info.kind == CloseInfo::Kind::unauthorized ||
                         info.kind == CloseInfo::Kind::protocol_error;
    if (refused || was_current) {
        host_.audit().write({refused ? AuditKind::refused : AuditKind::session_closed, session.peer().name, server->endpoint.address, info.text});
    }
    if (server->error != info.text || was_current) {
        base::log(refused ? LogLevel::warn : LogLevel::info, kind_.module, label(*server) + (refused ? ": refused: " : ": session closed: ") + info.text);
    }
    server->error = info.text;
    if (was_current) {
        current_ = nullptr;
        handler_.on_server_down();
    }
    if (!current_ && !stopped_) {
        if (info.kind == CloseInfo::Kind::closed_by_us && info.code == proto::CLOSE_REPLACED) {
            server->connector->start();
        } else {
            server->connector->retry();
        }
        search();
    }
    handler_.on_server_status();
}

base::Result<uint64_t> ServerClient::send(Envelope message)
{
    if (!current_) {
        return base::Error{ENOTCONN, std::string("no session with an ") + kind_.name};
    }
    return current_->session->send(std::move(message));
}

ServerView ServerClient::view() const
{
    ServerView view;
    view.sessions = sessions_;
    for (const auto& server : servers_) {
        view.list.push_back({control::to_string(to_endpoint(server->endpoint)), server->name, server.get() == current_, server->error});
    }
    if (current_ && current_->session) {
        view.session = view_of(*current_->session);
    }
    return view;
}

}  // namespace nvo3::agent
