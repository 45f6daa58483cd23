// SPDX-License-Identifier: Apache-2.0
//
// See nva_client.h.
#include "hvagent/nva_client.h"

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

constexpr const char* kModule = "nva";
// An NVA that has not let us in after this is no reason not to ask the next.
constexpr auto kNextAfter = 1s;
// Many messages make one snapshot.
constexpr auto kDirectoryDelay = 10ms;

control::Endpoint to_endpoint(const Endpoint& nva)
{
    return {control::to_asio(nva.address), nva.port};
}

}  // namespace

NvaClient::NvaClient(PeerHost& host, NvaHandler& handler)
    : host_(host), handler_(handler), search_timer_(host.io()), directory_timer_(host.io()), announce_timer_(host.io())
{
}

NvaClient::~NvaClient()
{
    *alive_ = false;
    stop();
}

void NvaClient::stop()
{
    stopped_ = true;
    current_ = nullptr;
    search_timer_.cancel();
    directory_timer_.cancel();
    announce_timer_.cancel();
    for (auto& nva : nvas_) {
        nva->connector->stop();
        if (auto session = std::exchange(nva->session, nullptr)) {
            session->abandon(proto::CLOSE_SHUTDOWN, "the agent ends");
        }
    }
}

// ---- Configuration ----

void NvaClient::configure(const std::vector<Endpoint>& nvas, const std::vector<Tsi>& tsis)
{
    announcer_.set_tsis(tsis);
    auto known = [&](const Endpoint& endpoint) {
        auto it = std::ranges::find_if(nvas_, [&](const auto& nva) { return nva && nva->endpoint == endpoint; });
        return it == nvas_.end() ? nullptr : std::move(*it);
    };
    std::vector<std::unique_ptr<Nva>> wanted;
    for (const Endpoint& endpoint : nvas) {
        auto nva = known(endpoint);
        if (!nva) {
            nva = std::make_unique<Nva>();
            nva->endpoint = endpoint;
            nva->connector = std::make_unique<control::Connector>(
                host_.io(), control::Connector::Options{.remote = to_endpoint(endpoint), .local = {}},
                [this, at = nva.get()](boost::asio::ip::tcp::socket socket) { connected(*at, std::move(socket)); },
                [this, at = nva.get()](const std::string& reason) { failed(*at, reason); });
        }
        wanted.push_back(std::move(nva));
    }
    std::swap(nvas_, wanted);
    for (auto& nva : wanted) {
        if (nva) {
            drop(*nva);
        }
    }
    if (nvas_.empty() && !wanted.empty()) {
        base::log(LogLevel::info, kModule, "no NVA is configured any more: its networks end");
        directory_.clear();
        directory_dirty_ = true;
        flush_directory();
    }
    search();
    announce();
}

// An NVA that is no longer in the list.
void NvaClient::drop(Nva& nva)
{
    nva.connector->stop();
    if (auto session = std::exchange(nva.session, nullptr)) {
        session->abandon(proto::CLOSE_NOT_CONFIGURED, "other_config:nvo3-nva names this NVA no longer");
    }
    if (current_ == &nva) {
        current_ = nullptr;
        announcer_.session_down();
        handler_.on_nva_down();
    }
}

void NvaClient::context_changed(bool renew, bool renamed)
{
    if (renamed) {
        directory_.clear();
        directory_dirty_ = true;
    }
    ContextPtr now = host_.certificate_context();
    for (auto& nva : nvas_) {
        if (!nva->session || !nva->session->is_open()) {
            continue;
        }
        base::Status valid = now && !now->is_psk() ? nva->session->reverify(*now) : base::Error{ENOENT, "this host has no certificate any more"};
        if (!valid) {
            close(*nva, proto::CLOSE_REVOKED, valid.error().text);
        } else if (renew || renamed) {
            // It holds us to the end of the certificate that it has seen.
            close(*nva, proto::CLOSE_REPLACED, "this host has another certificate now");
        }
    }
    flush_directory();
    search();
}

void NvaClient::check()
{
    for (auto& nva : nvas_) {
        if (nva->session && nva->session->is_open() && nva->session->peer().not_after < host_.clock().wall()) {
            close(*nva, proto::CLOSE_REVOKED, "the certificate of " + label(*nva) + " has expired");
        }
    }
    search();
}

void NvaClient::rates_changed()
{
    if (current_) {
        auto options = host_.session_options();
        current_->session->set_rates(options.send_rate, options.receive_rate);
    }
}

void NvaClient::switch_restarted(uint64_t switch_instance)
{
    if (current_) {
        current_->session->announce_switch_instance(switch_instance);
    }
}

// ---- Finding one that works ----

NvaClient::Nva* NvaClient::nva_of(const Session& session)
{
    auto it = std::ranges::find_if(nvas_, [&](const auto& nva) { return nva->session.get() == &session; });
    return it == nvas_.end() ? nullptr : it->get();
}

std::string NvaClient::label(const Nva& nva) const
{
    std::string at = control::to_string(to_endpoint(nva.endpoint));
    return nva.name.empty() ? "NVA " + at : "NVA " + nva.name + " (" + at + ")";
}

// Asks the first of the list that is not being asked; a second later the next.
void NvaClient::search()
{
    if (stopped_ || current_ || nvas_.empty() || !host_.certificate_context()) {
        search_timer_.cancel();
        return;
    }
    for (auto& nva : nvas_) {
        if (!nva->connector->active() && !nva->session) {
            nva->connector->start();
            break;
        }
    }
    arm_search();
}

void NvaClient::arm_search()
{
    search_timer_.expires_after(kNextAfter);
    search_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
        if (!error && *alive) {
            search();
        }
    });
}

void NvaClient::connected(Nva& nva, boost::asio::ip::tcp::socket socket)
{
    ContextPtr with = host_.certificate_context();
    if (!with || current_ || stopped_) {
        return;
    }
    auto options = host_.session_options();
    nva.session = Session::start(std::move(socket), Session::Side::initiator, with, options, *this);
}

// The connector tries again by itself.
void NvaClient::failed(Nva& nva, const std::string& reason)
{
    if (nva.error != reason) {
        base::log(LogLevel::info, kModule, label(nva) + ": " + reason);
    }
    nva.error = reason;
    handler_.on_nva_status();
    search();
}

base::Status NvaClient::check_identity(const control::PeerIdentity& peer) const
{
    auto refuse = [](std::string text) { return base::Error{EACCES, std::move(text)}; };
    ContextPtr own = host_.certificate_context();
    if (!peer.spiffe() || peer.role != control::Role::nva) {
        return refuse("the certificate of " + peer.name + " is not for the role nva: issue one with nvo3-pki host NAME --role nva");
    }
    if (!own || !own->own_identity().spiffe()) {
        return refuse("this host's own certificate has no nvo3 SPIFFE name, which an NVA needs: issue one with nvo3-pki host NAME");
    }
    if (own->own_identity().trust_domain != peer.trust_domain) {
        return refuse("NVA " + peer.name + " is of trust domain " + peer.trust_domain + ", this host of " + own->own_identity().trust_domain);
    }
    return {};
}

base::Status NvaClient::admit(Session& session)
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

void NvaClient::on_open(Session& session)
{
    Nva* nva = nva_of(session);
    if (!nva || current_) {
        return session.close(proto::CLOSE_NOT_CONFIGURED, "another NVA was quicker");
    }
    current_ = nva;
    nva->name = session.peer().name;
    nva->error.clear();
    nva->connector->succeeded();
    search_timer_.cancel();
    for (auto& other : nvas_) {
        other->connector->stop();
        if (other->session && other.get() != nva) {
            other->session->close(proto::CLOSE_NOT_CONFIGURED, "another NVA was quicker");
        }
    }
    sessions_++;
    host_.audit().write({AuditKind::authenticated, nva->name, nva->endpoint.address, "NVA, " + session.tls_summary()});
    base::log(LogLevel::info, kModule, label(*nva) + ": session open, " + session.tls_summary());
    directory_.session_up(session.peer_hello().agent_instance());
    Envelope message;
    *message.mutable_directory_request() = directory_.request();
    (void)session.send(std::move(message));     // a session that is lost says so itself
    announcer_.session_up();
    handler_.on_nva_up();
    announce();
}

void NvaClient::close(Nva& nva, proto::CloseCode code, const std::string& reason)
{
    nva.error = reason;
    nva.session->close(code, reason);
}

void NvaClient::on_closed(Session& session, const CloseInfo& info)
{
    Nva* nva = nva_of(session);
    if (!nva) {
        return;
    }
    nva->session.reset();
    const bool was_current = current_ == nva;
    const bool refused = info.kind == CloseInfo::Kind::refused_by_us || info.kind == CloseInfo::Kind::unauthorized ||
                         info.kind == CloseInfo::Kind::protocol_error;
    if (refused || was_current) {
        host_.audit().write({refused ? AuditKind::refused : AuditKind::session_closed, session.peer().name, nva->endpoint.address, info.text});
    }
    if (nva->error != info.text || was_current) {
        base::log(refused ? LogLevel::warn : LogLevel::info, kModule, label(*nva) + (refused ? ": refused: " : ": session closed: ") + info.text);
    }
    nva->error = info.text;
    if (was_current) {
        // What it told goes on.
        current_ = nullptr;
        announcer_.session_down();
        handler_.on_nva_down();
    }
    if (!current_ && !stopped_) {
        if (info.kind == CloseInfo::Kind::closed_by_us && info.code == proto::CLOSE_REPLACED) {
            nva->connector->start();
        } else {
            nva->connector->retry();
        }
        search();
    }
    handler_.on_nva_status();
}

// ---- Messages ----

void NvaClient::on_message(Session& session, const Envelope& message)
{
    if (!current_ || current_->session.get() != &session) {
        return;
    }
    switch (message.body_case()) {
    case Envelope::kVnUpdate:
    case Envelope::kVnGone:
    case Envelope::kDirectoryReady:
        on_directory_message(message);
        break;
    case Envelope::kMappingResult: {
        auto refused = announcer_.on_result(message.in_reply_to(), message.mapping_result(), host_.clock().now());
        if (refused) {
            control::AuditEvent event{AuditKind::refused, current_->name, current_->endpoint.address, refused->reason, refused->vni};
            event.text = {{"port", refused->port}, {"mac", to_string(refused->mac)}};
            host_.audit().write(event);
            base::log(LogLevel::warn, kModule,
                      label(*current_) + " refuses port " + refused->port + ", " + to_string(refused->mac) + " in VNI " +
                          std::to_string(refused->vni.value) + ": " + refused->reason);
        }
        handler_.on_nva_status();
        announce();
        break;
    }
    case Envelope::kGroupKey:
        flush_directory();      // which came before
        handler_.on_group_key(message.group_key());
        break;
    case Envelope::kGroupGrant:
        flush_directory();
        handler_.on_group_grant(message.in_reply_to(), message.group_grant());
        break;
    case Envelope::kGroupRenewed:
        flush_directory();
        handler_.on_group_renewed(message.in_reply_to(), message.group_renewed());
        break;
    default:
        break;
    }
}

void NvaClient::on_directory_message(const Envelope& message)
{
    bool changed = false;
    if (message.body_case() == Envelope::kVnUpdate) {
        auto taken = directory_.on_update(message.vn_update());
        if (!taken) {
            host_.audit().write({AuditKind::refused, current_->name, current_->endpoint.address, taken.error().text});
            return close(*current_, proto::CLOSE_PROTOCOL_ERROR, taken.error().text);
        }
        changed = *taken;
    } else if (message.body_case() == Envelope::kVnGone) {
        changed = directory_.on_gone(message.vn_gone());
        base::log(LogLevel::info, kModule, "this host does not serve VNI " + std::to_string(message.vn_gone().vni()) + ": " +
                                               message.vn_gone().reason().substr(0, 256));
        if (changed) {
            // At once: should the network be back in a moment, all is to be told anew.
            directory_dirty_ = true;
            flush_directory();
        }
        return;
    } else {
        changed = directory_.on_ready();
        base::log(LogLevel::info, kModule, label(*current_) + " has told " + std::to_string(directory_.snapshot()->vns.size()) + " networks");
        announcer_.ready();
        directory_dirty_ = true;
        return flush_directory();
    }
    if (changed) {
        directory_changed();
    }
}

void NvaClient::directory_changed()
{
    if (std::exchange(directory_dirty_, true)) {
        return;
    }
    directory_timer_.expires_after(kDirectoryDelay);
    directory_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
        if (!error && *alive) {
            flush_directory();
        }
    });
}

void NvaClient::flush_directory()
{
    if (!std::exchange(directory_dirty_, false)) {
        return;
    }
    ContextPtr own = host_.certificate_context();
    announcer_.set_directory(directory_.snapshot(), own ? own->own_identity().name : "");
    handler_.on_directory();
    announce();
}

base::Result<uint64_t> NvaClient::send(Envelope message)
{
    if (!current_) {
        return base::Error{ENOTCONN, "no session with an NVA"};
    }
    return current_->session->send(std::move(message));
}

void NvaClient::announce()
{
    if (!current_) {
        return;
    }
    for (const proto::MappingAnnounce& one : announcer_.take(host_.clock().now())) {
        Envelope message;
        *message.mutable_mapping_announce() = one;
        if (auto sent = send(std::move(message))) {
            announcer_.sent(one, *sent);
        } else if (sent.error().code == ENOBUFS) {
            // All anew, over a session that can take it.
            return close(*current_, proto::CLOSE_TIMEOUT, sent.error().text);
        } else {
            base::log(LogLevel::warn, kModule, sent.error().text);
        }
    }
    auto next = announcer_.next_deadline();
    if (!next) {
        announce_timer_.cancel();
        return;
    }
    announce_timer_.expires_at(*next);
    announce_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
        if (!error && *alive) {
            announce();
        }
    });
}

NvaView NvaClient::view() const
{
    NvaView view;
    view.sessions = sessions_;
    for (const auto& nva : nvas_) {
        view.list.push_back({control::to_string(to_endpoint(nva->endpoint)), nva->name, nva.get() == current_, nva->error});
    }
    if (current_ && current_->session) {
        view.session = view_of(*current_->session);
    }
    return view;
}

}  // namespace nvo3::agent
