// SPDX-License-Identifier: Apache-2.0
//
// Control session, see session.h: start, handshake, Hello, the owner's calls.
#include "control/session.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>

#include "control/endpoint.h"
#include "control/session_impl.h"

namespace nvo3::control {

const char*
to_string(CloseInfo::Kind kind) noexcept
{
    switch (kind) {
    case Kind::refused_by_us: return "refused_by_us";
    case Kind::refused_by_peer: return "refused_by_peer";
    case Kind::handshake: return "handshake";
    case Kind::protocol_error: return "protocol_error";
    case Kind::unauthorized: return "unauthorized";
    case Kind::closed_by_us: return "closed_by_us";
    case Kind::closed_by_peer: return "closed_by_peer";
    case Kind::lost: return "lost";
    case Kind::timeout: return "timeout";
    }
    return "unknown";
}

std::string
quoted(std::string_view text)
{
    constexpr size_t kMaxText = 256;  // As control.proto has it.
    std::string result(text.substr(0, kMaxText));
    std::replace_if(result.begin(), result.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    return result;
}

// ---- start and handshake ---------------------------------------------------

Session::Session(Socket socket, Side side, std::shared_ptr<const TlsContext> context,
                 SessionOptions options, SessionHandler& handler)
    : side_(side), context_(std::move(context))
{
    ErrorCode ignored;
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    ErrorCode error;
    const auto remote = socket.remote_endpoint(error);
    const auto local = socket.local_endpoint(ignored);
    // A peer that is gone already has no address; the handshake then fails.
    if (!error && !ignored) {
        remote_address_ = to_ip_address(remote.address());
        local_address_ = to_ip_address(local.address());
    }
    local_role_ = context_->is_psk() ? options.local_role : context_->own_identity().role;
    local_name_ = context_->is_psk() ? psk_identity(local_address_).name
                                     : context_->own_identity().name;
    impl_ = std::make_unique<Impl>(*this, std::move(socket), std::move(options), handler);
}

Session::~Session() = default;

std::shared_ptr<Session>
Session::start(Socket socket, Side side, std::shared_ptr<const TlsContext> context,
               SessionOptions options, SessionHandler& handler)
{
    std::shared_ptr<Session> session(
        new Session(std::move(socket), side, std::move(context), std::move(options), handler));
    session->impl_->begin();
    return session;
}

void
Session::Impl::begin()
{
    const bool client = session.side_ == Side::initiator;
    record.client = client ? session.local_address_ : session.remote_address_;
    record.server = client ? session.remote_address_ : session.local_address_;
    std::weak_ptr<Session> weak = self();
    record.on_flood = [weak, executor = stream.get_executor()] {
        // Out of OpenSSL's callback first.
        asio::post(executor, [weak] {
            if (const auto owner = weak.lock()) {
                owner->impl_->close({Kind::protocol_error, proto::CLOSE_PROTOCOL_ERROR,
                                     "the peer updates its TLS keys without end"},
                                    true);
            }
        });
    };
    deadline.expires_after(options.handshake_timeout);
    deadline.async_wait([this, self = self()](const ErrorCode& error) {
        if (!error && session.state_ != State::open) {
            close({Kind::handshake, proto::CLOSE_TIMEOUT,
                   session.state_ == State::greeting ? "the peer's Hello did not come in time"
                                                     : "the TLS handshake did not end in time"},
                  session.state_ == State::greeting);
        }
    });
    stream.async_handshake(client ? asio::ssl::stream_base::client : asio::ssl::stream_base::server,
                           [this, self = self()](const ErrorCode& error) { on_handshake(error); });
}

void
Session::Impl::on_handshake(const ErrorCode& error)
{
    handshaking = false;
    record.established = !error;
    if (session.state_ != State::handshake) {
        return;
    }
    if (error) {
        on_stream_error(error);
        return;
    }
    std::string why;
    if (!accept_peer(&why)) {
        close({Kind::refused_by_us, proto::CLOSE_UNAUTHORIZED, why}, true);
        return;
    }
    if (base::Status status = handler ? handler->admit(session) : base::Status{}; !status.ok()) {
        close({Kind::refused_by_us, proto::CLOSE_UNAUTHORIZED, status.error().text}, true);
        return;
    }
    if (session.state_ != State::handshake) {
        return;  // admit() closed it.
    }
    session.state_ = State::greeting;
    last_heard = std::chrono::steady_clock::now();
    if (!waits_for_channel()) {
        (void) send_hello();
    }
    read();
}

// What the handshake proved, before anybody else is asked.
bool
Session::Impl::accept_peer(std::string* why)
{
    SSL* ssl = stream.native_handle();
    if (SSL_version(ssl) != TLS1_3_VERSION) {
        *why = "the peer does not speak TLS 1.3";
        return false;
    }
    session.tls_summary_ = SSL_get_cipher_name(ssl);
    const int group = static_cast<int>(SSL_get_negotiated_group(ssl));
    if (const char* name = SSL_group_to_name(ssl, group)) {
        session.tls_summary_ += std::string(" ") + name;
    }
    session.high_ = is_of_level(ssl, ControlLevel::high);
    if (session.context_->is_psk()) {
        // External PSKs count as resumption; anything else proved nothing.
        if (SSL_session_reused(ssl) != 1) {
            *why = "the peer did not use the pre-shared key";
            return false;
        }
        session.peer_ = psk_identity(session.remote_address_);
    } else {
        chain = peer_chain(ssl);
        if (!record.peer || chain.empty() || SSL_get_verify_result(ssl) != X509_V_OK) {
            *why = "the peer has no certificate";
            return false;
        }
        session.peer_ = *record.peer;
    }
    const Role peer = session.peer_.role, local = session.local_role_;
    const bool ours = session.side_ == Side::initiator;
    if (!roles_may_talk(ours ? local : peer, ours ? peer : local)) {
        const bool other_way = roles_may_talk(ours ? peer : local, ours ? local : peer);
        *why = "'" + session.peer_.name + "' has the role " + to_string(peer) +
               (other_way && ours ? ", which connects by itself to the role "
                : other_way       ? ", which does not connect to the role "
                                  : ", which does not talk to the role ") +
               to_string(local);
        return false;
    }
    return true;
}

void
Session::Impl::on_stream_error(const ErrorCode& error)
{
    const TlsFailure failure = describe_tls_error(error, record, *session.context_);
    CloseInfo info{Kind::lost, proto::CLOSE_UNSPECIFIED, failure.text};
    if (session.state_ != State::open) {
        // In the greeting a TLS 1.3 client learns what the server thinks of it.
        info.kind = failure.by == TlsFailure::By::us     ? Kind::refused_by_us
                    : failure.by == TlsFailure::By::peer ? Kind::refused_by_peer
                                                         : Kind::handshake;
    }
    close(std::move(info), false);
}

// ---- Hello -----------------------------------------------------------------

base::Result<uint64_t>
Session::Impl::send_hello()
{
    Envelope envelope;
    proto::Hello& hello = *envelope.mutable_hello();
    hello.set_version(kProtocolVersion);
    hello.set_name(session.local_name_);
    hello.set_role(static_cast<proto::Role>(session.local_role_));
    hello.set_agent_instance(options.agent_instance);
    hello.set_switch_instance(options.switch_instance);
    if (has_channels(session.local_role_, session.peer_.role)) {
        hello.set_channel(waits_for_channel() ? session.channel_ : options.channel);
    }
    return enqueue(envelope, false);
}

// The NVE of a hypervisor says Hello second, as it learns of the channel first.
bool
Session::Impl::waits_for_channel() const
{
    return session.side_ == Side::acceptor && has_channels(session.local_role_, session.peer_.role);
}

// False if the Hello is for another channel than ours, and the session closes.
bool
Session::Impl::take_channel(Channel channel)
{
    const bool wanted = has_channels(session.local_role_, session.peer_.role);
    const bool ours = options.channel == channel ||
                      (waits_for_channel() && options.channel == proto::CHANNEL_UNSPECIFIED);
    if (wanted ? channel == proto::CHANNEL_UNSPECIFIED || !ours
               : channel != proto::CHANNEL_UNSPECIFIED) {
        const auto name = [](Channel of) {
            return of == proto::CHANNEL_UNSPECIFIED ? std::string("no channel")
                                                    : std::string("the ") + to_string(of) + " channel";
        };
        close({Kind::refused_by_us, proto::CLOSE_UNAUTHORIZED,
               "the peer says that this is " + name(channel) +
                   (options.channel != proto::CHANNEL_UNSPECIFIED ? ", here it is " + name(options.channel)
                    : wanted ? ", but with a hypervisor each session is one"
                             : ", but only a hypervisor has them")},
              true);
        return false;
    }
    session.channel_ = channel;
    if (waits_for_channel()) {
        (void) send_hello();
    }
    return true;
}

// The first frame.  False if it was not a Hello that fits, and the session closes.
bool
Session::Impl::take_first(const Envelope& envelope)
{
    if (envelope.body_case() == Envelope::kClose) {
        const proto::Close& reason = envelope.close();
        close({Kind::refused_by_peer, reason.code(), "the peer refused: " + quoted(reason.text())},
              false);
        return false;
    }
    if (envelope.body_case() != Envelope::kHello) {
        close({Kind::protocol_error, proto::CLOSE_PROTOCOL_ERROR, "the peer's first message is no Hello"},
              true);
        return false;
    }
    const proto::Hello& hello = envelope.hello();
    if (hello.name() != session.peer_.name ||
        hello.role() != static_cast<proto::Role>(session.peer_.role)) {
        close({Kind::refused_by_us, proto::CLOSE_UNAUTHORIZED,
               "the peer says it is '" + quoted(hello.name()) + "', but has proved to be '" +
                   session.peer_.name + "', role " + to_string(session.peer_.role)},
              true);
        return false;
    }
    if (!take_channel(hello.channel())) {
        return false;
    }
    session.peer_hello_ = hello;
    session.state_ = State::open;
    session.opened_at_ = std::chrono::steady_clock::now();
    deadline.cancel();
    options.handshake_slot.reset();
    arm_ping();
    if (handler) {
        handler->on_open(session);
    }
    return true;
}

bool
Session::Impl::take_hello_again(const Envelope& envelope)
{
    const proto::Hello& hello = envelope.hello();
    const proto::Hello& before = session.peer_hello_;
    if (hello.name() != before.name() || hello.role() != before.role() ||
        hello.version() != before.version() || hello.channel() != before.channel() ||
        hello.agent_instance() != before.agent_instance()) {
        close({Kind::protocol_error, proto::CLOSE_PROTOCOL_ERROR,
               "the peer's second Hello changes more than its switch instance"},
              true);
        return false;
    }
    session.peer_hello_ = hello;
    return true;
}

// ---- the owner's calls -----------------------------------------------------

base::Result<uint64_t>
Session::send(Envelope message)
{
    if (state_ != State::open) {
        return base::Error{ENOTCONN, "the session with '" + peer_.name + "' is not open"};
    }
    return impl_->enqueue(message, false);
}

bool
Session::writable() const noexcept
{
    return state_ == State::open && impl_->queue_low();
}

void
Session::close(proto::CloseCode code, std::string_view text)
{
    impl_->close({Kind::closed_by_us, code, std::string(text)}, true);
}

void
Session::abandon(proto::CloseCode code, std::string_view text)
{
    impl_->handler = nullptr;
    close(code, text);
}

void
Session::announce_switch_instance(uint64_t switch_instance)
{
    impl_->options.switch_instance = switch_instance;
    if (state_ != State::open && (state_ != State::greeting || impl_->waits_for_channel())) {
        return;
    }
    if (!impl_->send_hello().ok()) {
        // A peer that does not learn this would send into SAs that are gone.
        close(proto::CLOSE_TIMEOUT, "the peer does not read what is sent to it");
    }
}

void
Session::set_rates(Rate send, Rate receive)
{
    impl_->send_bucket.set_rate(send);
    impl_->receive_bucket.set_rate(receive);
}

base::Result<base::Secret>
Session::export_secret(std::string_view label, base::ByteView context, size_t size) const
{
    if (state_ != State::open) {
        return base::Error{ENOTCONN, "the session with '" + peer_.name + "' is not open"};
    }
    base::Secret secret(size);
    if (SSL_export_keying_material(impl_->stream.native_handle(), secret.data(), size, label.data(),
                                   label.size(), context.data(), context.size(), 1) != 1) {
        return base::Error{EIO, "TLS gives no exporter secret for '" + peer_.name + "'"};
    }
    return secret;
}

base::Status
Session::reverify(const TlsContext& context) const
{
    if (context_->is_psk()) {
        return {};
    }
    if (context.is_psk()) {
        return base::Error{EPERM, "the peer has a certificate, but a pre-shared key is configured"};
    }
    return context.reverify(impl_->chain);
}

base::Status
Session::check_level(ControlLevel level) const
{
    if (level == ControlLevel::standard || high_) {
        return {};
    }
    return base::Error{EACCES, "'" + peer_.name + "' came with " + tls_summary_ + ", which is not of the level " +
                                   to_string(level)};
}

CertificateChain
Session::certificates() const
{
    CertificateChain copy;
    for (const X509Ptr& certificate : impl_->chain) {
        X509_up_ref(certificate.get());
        copy.emplace_back(certificate.get());
    }
    return copy;
}

Session::Stats
Session::stats() const
{
    Stats result = impl_->stats;
    result.queued = impl_->queue.size();
    return result;
}

}  // namespace nvo3::control
