// SPDX-License-Identifier: Apache-2.0
//
// See peer.h: connections, sessions, time.  Whom it trusts is in peer_trust.cc, messages and
// SAs in peer_keys.cc, what is told of it all in peer_view.cc.
#include "hvagent/peer.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/log.h"

namespace nvo3::agent {

using namespace std::chrono_literals;
using base::LogLevel;
using control::AuditKind;
using control::CloseInfo;
using control::Session;
namespace proto = control::proto;

namespace {

constexpr const char* kModule = "peer";
// A replaced session stays so long, for what is under way on it.
constexpr auto kLinger = 2s;

// Lines of the log that a peer can cause.
constexpr control::Rate kLogRate{.per_second = 0.5, .burst = 20};

void fill_random(uint8_t* out, size_t size)
{
    // Without random numbers no key is safe: nothing can go on.
    if (RAND_bytes(out, static_cast<int>(size)) != 1) {
        base::log(LogLevel::error, kModule, "the machine gives no random numbers");
        std::abort();
    }
}

}  // namespace

bool PeerConfig::same_base(const PeerConfig& other) const
{
    return remote == other.remote && local == other.local && bind == other.bind && port == other.port && psk == other.psk &&
           role == other.role && channel == other.channel && passive == other.passive &&
           ((psk.empty() && channel == proto::CHANNEL_UNSPECIFIED) || control_level == other.control_level);
}

Peer::Peer(PeerHost& host, PeerConfig config)
    : host_(host),
      config_(std::move(config)),
      name_(config_.remote_name.empty() ? config_.remote.to_string() : config_.remote_name),
      keying_(fill_random),
      connector_(
          host.io(),
          {.remote = {control::to_asio(config_.remote), config_.port}, .local = config_.bind},
          [this](boost::asio::ip::tcp::socket socket) { connected(std::move(socket)); },
          [this](const std::string& reason) { connect_failed(reason); }),
      timer_(host.io(), [this] { tick(); }),
      log_bucket_(kLogRate, host.clock())
{
    if (!config_.psk.empty()) {
        psk_ = control::psk_credentials(config_.psk, config_.control_level);
        if (!control::is_psk_file(config_.psk)) {
            base::log(LogLevel::warn, kModule, label() + ": options:psk holds the key itself, which everyone who reads the database can read; "
                                                         "put it into a file and give its path");
        }
    }
    keying_.configure(config_.channels, config_.policy, host_.clock().now());
    refresh(true);
}

void Peer::detach()
{
    detached_ = true;
    connector_.stop();
    timer_.cancel();
    close_all(proto::CLOSE_SHUTDOWN, "the agent ends");
}

Peer::~Peer()
{
    if (detached_) {
        return;
    }
    keying_.remove_all("the tunnel was removed");
    pump();
    timer_.cancel();
    for (auto& [key, live] : sessions_) {
        live.session->abandon(proto::CLOSE_NOT_CONFIGURED, "the tunnel was removed");
    }
    host_.send_to_switch(esp::msg::RemovePeer{0, config_.remote});
}

std::string Peer::label() const
{
    std::string address = config_.remote.to_string();
    return name_.ends_with(address) ? name_ : name_ + " (" + address + ")";
}

void Peer::configure(PeerConfig config)
{
    bool identity = config.remote_name != config_.remote_name || config.remote_cert != config_.remote_cert;
    if (config.remote_cert != config_.remote_cert) {
        pin_.reset();   // should the new file not be readable, the former is no answer
    }
    config_ = std::move(config);
    keying_.configure(config_.channels, config_.policy, host_.clock().now());
    if (identity) {
        if (current_ == 0) {
            name_ = config_.remote_name.empty() ? config_.remote.to_string() : config_.remote_name;
        }
        first_name_.clear();
        refresh(true);
        check_sessions(true);
        if (last_) {
            first_name_ = last_->identity.name;
        }
    }
    pump();
}

// ---- The end ----

// The peer is told by the Close that follows, or was the one who said so.
void Peer::remove_everything(const std::string& reason)
{
    last_.reset();
    remove_at_.reset();
    keying_.remove_all(reason);
    pump();
    // Those of before a restart of this agent too.
    host_.send_to_switch(esp::msg::RemovePeer{0, config_.remote});
}

void Peer::start_over(const std::string& reason)
{
    remove_everything(reason);
    close_all(proto::CLOSE_NOT_CONFIGURED, reason);
}

void Peer::close_all(proto::CloseCode code, const std::string& reason)
{
    for (auto& [key, live] : sessions_) {
        live.session->close(code, reason);
    }
}

void Peer::set_error(const std::string& error, bool authentication)
{
    error_ = error;
    authentication_failed_ = authentication;
    touch();
}

// ---- Connecting ----

void Peer::connect_if_needed()
{
    if (context() && sessions_.empty() && !config_.passive) {
        connector_.start();
    }
}

void Peer::connected(boost::asio::ip::tcp::socket socket)
{
    ContextPtr with = context();
    if (!with) {
        return;
    }
    auto options = host_.session_options();
    options.channel = config_.channel;
    auto session = Session::start(std::move(socket), Session::Side::initiator, with, options, host_.session_handler());
    if (session->remote_address() != config_.remote) {
        // The connection was lost at once, and with it its address: what the session says
        // would not find its way here.
        session->abandon(proto::CLOSE_UNSPECIFIED, "");
        connector_.retry();
        return;
    }
    sessions_.emplace(session.get(), Live{next_session_++, session});
}

// The connector tries again by itself.
void Peer::connect_failed(const std::string& reason)
{
    if (current_ == 0) {
        if (error_ != reason && !authentication_failed_) {
            base::log(LogLevel::info, kModule, label() + ": " + reason);
        }
        // What the peer or we refused says more than a refused connection after it.
        if (!authentication_failed_) {
            set_error(reason, false);
        }
    }
}

base::Result<ContextPtr> Peer::accept() const
{
    ContextPtr with = context();
    if (!with) {
        return base::Error{ENOENT, credential_problem()};
    }
    return with;
}

// ---- Session events ----

base::Status Peer::admit(Session& session)
{
    if (!live(session)) {    // of the listener
        sessions_.emplace(&session, Live{next_session_++, session.shared_from_this()});
    }
    return check(session);
}

base::Status Peer::check(const Session& session) const
{
    // The handshake may have begun under credentials that have changed meanwhile.
    if (ContextPtr now = context(); &session.context() != now.get()) {
        if (!now || now->is_psk() || session.context().is_psk()) {
            return base::Error{EACCES, "the credentials have changed during the handshake"};
        }
        if (auto valid = session.reverify(*now); !valid) {
            return valid;
        }
    }
    auto status = check_identity(session.peer(), session.context());
    if (status && session.peer().name == session.local_name() && session.peer().role == session.local_role()) {
        return base::Error{EACCES, "the peer has our own name, " + session.local_name() + ": each host needs a certificate of its own"};
    }
    return status;
}

// Both ends must decide alike, whatever the order in which sessions open.
bool Peer::newcomer_wins(const Session& newcomer, const Session& present) const
{
    if (newcomer.peer_hello().agent_instance() != present.peer_hello().agent_instance() || newcomer.side() == present.side()) {
        return true;
    }
    bool ours_wins = newcomer.local_name() < newcomer.peer().name;
    return (newcomer.side() == Session::Side::initiator) == ours_wins;
}

void Peer::on_open(Session& session)
{
    Live* mine = live(session);
    if (!mine) {
        return;
    }
    // Another session may have opened since admit().
    auto status = check_identity(session.peer(), session.context());
    if (status && config_.channel != proto::CHANNEL_UNSPECIFIED) {
        // The handshake took whatever either channel may have.
        status = session.check_level(config_.control_level);
    }
    if (!status) {
        audit(AuditKind::refused, status.error().text);
        return session.close(proto::CLOSE_UNAUTHORIZED, status.error().text);
    }
    opened_++;
    audit(AuditKind::authenticated, session.tls_summary());
    Live* present = live(current_);
    if (present && present->session->is_open() && !newcomer_wins(session, *present->session)) {
        return retire(*mine, proto::CLOSE_CROSSED);
    }
    bool crossed = false;
    if (present) {
        crossed = present->session->side() != session.side() &&
                  present->session->peer_hello().agent_instance() == session.peer_hello().agent_instance();
        retire(*present, crossed ? proto::CLOSE_CROSSED : proto::CLOSE_REPLACED);
    }
    take_over(*mine, crossed);
    pump();
}

void Peer::take_over(Live& live, bool crossed)
{
    const Session& session = *live.session;
    auto now = host_.clock().now();
    current_ = live.id;
    live.replaced = false;
    live.close_at.reset();
    connector_.succeeded();
    connector_.stop();
    if (last_ && (last_->identity.name != session.peer().name || last_->identity.trust_domain != session.peer().trust_domain)) {
        // What was agreed with another host is nothing to this one.
        remove_everything("the peer is " + session.peer().name + " now");
    }
    remove_at_.reset();
    last_.reset();
    if (!session.context().is_psk()) {
        last_ = Authenticated{session.peer(), session.certificates()};
        first_name_ = session.peer().name;
    }
    name_ = session.peer().name;
    set_error("", false);
    // Only its initiator renews, or both ends' new ones would cross.
    bool initiator = session.side() == Session::Side::initiator;
    renew_at_.reset();
    if (initiator) {
        uint8_t jitter;
        fill_random(&jitter, 1);
        auto after = host_.timing().renew_after;
        renew_at_ = now + after - after * jitter / 2560;
    }
    give_up_at_ = now + host_.timing().give_up_after;
    base::log(LogLevel::info, kModule, label() + ": session open, " + session.tls_summary() + (initiator ? ", begun here" : ", begun by the peer"));
    if (crossed) {
        keying_.session_moved(live.id, now);
    } else {
        keying_.session_up(live.id, now);
    }
}

void Peer::retire(Live& live, proto::CloseCode code)
{
    live.replaced = true;
    live.close_at = host_.clock().now() + kLinger;
    live.close_code = code;
    arm();
}

void Peer::renew()
{
    Live* present = live(current_);
    if (present && present->session->side() == Session::Side::initiator) {
        connector_.start();
    }
}

void Peer::on_closed(Session& session, const CloseInfo& info)
{
    // One of the listener that did not get as far as admit() is not in the table.
    Live* gone = live(session);
    SessionId id = gone ? gone->id : 0;
    bool replaced = gone && gone->replaced;
    bool ours = session.side() == Session::Side::initiator;
    sessions_.erase(&session);
    if (id != 0) {
        keying_.session_down(id, host_.clock().now());
    }
    bool refused = info.kind == CloseInfo::Kind::refused_by_us || info.kind == CloseInfo::Kind::unauthorized ||
                   info.kind == CloseInfo::Kind::protocol_error;
    if (refused) {
        audit(AuditKind::refused, info.text);
        base::log(LogLevel::warn, kModule, label() + ": refused: " + info.text);
    }
    if (id != 0 && id == current_) {
        heed(info);
        lose_current(info, refused);
    } else if (current_ == 0 && !replaced && (refused || ours)) {
        std::string text = info.text;
        if (info.kind == CloseInfo::Kind::handshake && ours) {
            // Who has no tunnel to us closes without a word.
            text += "; has the peer a tunnel to this host?";
        }
        if (error_ != text && !refused) {
            base::log(LogLevel::info, kModule, label() + ": " + text);
        }
        set_error(text, refused || info.kind == CloseInfo::Kind::refused_by_peer);
    }
    if (sessions_.empty() && context() && !detached_ && !config_.passive) {
        connector_.retry();
    }
    pump();
}

// Messages that still waited at the peer are lost with the session: its reason says what
// they would have.  A session that was replaced says nothing about what came after it.
void Peer::heed(const CloseInfo& info)
{
    if (info.kind != CloseInfo::Kind::closed_by_peer) {
        return;
    }
    if (info.code == proto::CLOSE_NOT_CONFIGURED || info.code == proto::CLOSE_REVOKED) {
        remove_everything(info.text);
    } else if (info.code == proto::CLOSE_EXPIRED) {
        remove_at_ = host_.clock().now() + kExpiredGrace;
        remove_reason_ = info.text;
    }
}

void Peer::lose_current(const CloseInfo& info, bool refused)
{
    current_ = 0;
    renew_at_.reset();
    give_up_at_.reset();
    if (!refused) {
        audit(AuditKind::session_closed, info.text);
        base::log(LogLevel::info, kModule, label() + ": session closed: " + info.text);
    }
    set_error(info.text, refused || info.kind == CloseInfo::Kind::refused_by_peer);
    // Another that is open takes over, even if it was to be closed.
    for (auto& [key, other] : sessions_) {
        if (other.session->is_open()) {
            return take_over(other, false);
        }
    }
}

bool Peer::serves(base::Vni vni, base::Encap encap) const
{
    return keying_.has_channel({encap, vni});
}

// ---- Time ----

void Peer::arm()
{
    if (detached_) {
        return;
    }
    auto next = earlier(earlier(keying_.next_deadline(), renew_at_), earlier(give_up_at_, remove_at_));
    for (const auto& [key, live] : sessions_) {
        next = earlier(next, live.close_at);
    }
    timer_.set(next);
}

void Peer::tick()
{
    auto now = host_.clock().now();
    for (auto& [key, live] : sessions_) {
        if (live.close_at && *live.close_at <= now) {
            live.close_at.reset();
            live.session->close(live.close_code, "replaced by another session");
        }
    }
    if (renew_at_ && *renew_at_ <= now) {
        renew_at_ = now + 10s;      // again, should this attempt fail
        renew();
    }
    if (give_up_at_ && *give_up_at_ <= now) {
        give_up_at_.reset();
        if (Live* present = live(current_)) {
            present->session->close(proto::CLOSE_TIMEOUT, "the session was not renewed in time");
        }
    }
    if (remove_at_ && *remove_at_ <= now) {
        remove_everything(remove_reason_);
    }
    keying_.tick(now);
    pump();
}

Peer::Live* Peer::live(SessionId id)
{
    auto it = std::ranges::find_if(sessions_, [id](const auto& entry) { return entry.second.id == id; });
    return it == sessions_.end() ? nullptr : &it->second;
}

Peer::Live* Peer::live(const Session& session)
{
    auto it = sessions_.find(&session);
    return it == sessions_.end() ? nullptr : &it->second;
}

}  // namespace nvo3::agent
