// SPDX-License-Identifier: Apache-2.0
//
// Control session, see session.h.  In the order of a session's life: start and
// handshake, Hello, receiving, sending, keep-alive, closing.
//
// Every operation on the stream holds the session alive (self); the timers do
// so as well and are cancelled when it closes.
#include "control/session.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <deque>

#include "control/endpoint.h"
#include "control/framer.h"

namespace nvo3::control {
namespace {

namespace asio = boost::asio;
using Kind = CloseInfo::Kind;
using ErrorCode = boost::system::error_code;

constexpr size_t kReadSize = 16384;
constexpr size_t kWriteSize = 16384;      // Frames are gathered up to this.
constexpr size_t kOctetsPerToken = 4096;  // A big message costs more.
constexpr size_t kMaxCloseText = 256;
constexpr size_t kMaxDrain = 1 << 20;

double
cost_of(size_t size)
{
    return 1.0 + static_cast<double>(size / kOctetsPerToken);
}

// Text from or for a peer: bounded, printable (and so UTF-8, as proto3 wants).
std::string
quoted(std::string_view text)
{
    std::string result(text.substr(0, kMaxCloseText));
    std::replace_if(result.begin(), result.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    return result;
}

}  // namespace

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

struct Session::Impl {
    Impl(Session& owner, Socket socket, SessionOptions opts, SessionHandler& to)
        : session(owner),
          options(std::move(opts)),
          clock(options.clock ? *options.clock : base::system_clock()),
          handler(&to),
          stream(std::move(socket), owner.context_->asio()),
          deadline(stream.get_executor()),
          ping_timer(stream.get_executor()),
          send_timer(stream.get_executor()),
          receive_timer(stream.get_executor()),
          send_bucket(options.send_rate, clock),
          receive_bucket(options.receive_rate, clock)
    {
        attach_record(stream.native_handle(), &record);
    }
    ~Impl() { attach_record(stream.native_handle(), nullptr); }

    struct Queued {
        base::Bytes frame;
        double cost;
    };

    std::shared_ptr<Session> self() { return session.shared_from_this(); }
    Socket& socket() { return stream.next_layer(); }
    bool live() const
    {
        return session.state_ == State::greeting || session.state_ == State::open;
    }

    // Start and handshake.
    void begin();
    void on_handshake(const ErrorCode& error);
    bool accept_peer(std::string* why);
    void on_stream_error(const ErrorCode& error);
    // Hello.
    base::Result<uint64_t> send_hello();
    bool take_first(const Envelope& envelope);
    bool take_hello_again(const Envelope& envelope);
    // Receiving.
    void read();
    void process();
    void take_frame(base::ByteView frame);
    void take_message(const Envelope& envelope);
    // Sending.
    base::Result<uint64_t> enqueue(Envelope& envelope, bool urgent);
    void pump();
    void write_pending();
    // Keep-alive.
    void arm_ping();
    // Closing.
    void close(CloseInfo info, bool tell);
    void tell_and_shut(CloseInfo info);
    void shut_tls();
    void drain();
    void finish();

    Session& session;
    SessionOptions options;
    const base::Clock& clock;
    SessionHandler* handler;  // Null after abandon().
    HandshakeRecord record;
    asio::ssl::stream<Socket> stream;
    CertificateChain chain;

    asio::steady_timer deadline;  // handshake, then linger
    asio::steady_timer ping_timer;
    asio::steady_timer send_timer;
    asio::steady_timer receive_timer;
    TokenBucket send_bucket;
    TokenBucket receive_bucket;

    std::array<uint8_t, kReadSize> read_buffer;
    FrameReader reader;
    base::ByteView held;  // A frame that waits for tokens; reading is paused.
    bool handshaking = true;
    bool reading = false;
    uint64_t last_peer_id = 0;
    std::chrono::steady_clock::time_point last_heard{};

    std::deque<Queued> queue;
    size_t queue_bytes = 0;
    base::Bytes writing;  // On its way; must not move meanwhile.
    bool write_busy = false;
    bool write_failed = false;
    bool send_waiting = false;
    std::chrono::steady_clock::time_point write_began{};
    uint64_t next_id = 1;
    bool closing_sent = false;
    size_t drained = 0;
    Stats stats;
};

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
    (void) send_hello();
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
    if (!roles_may_talk(session.local_role_, session.peer_.role)) {
        *why = "'" + session.peer_.name + "' has the role " + to_string(session.peer_.role) +
               ", which does not talk to the role " + to_string(session.local_role_);
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
    return enqueue(envelope, false);
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
        hello.version() != before.version() ||
        hello.agent_instance() != before.agent_instance()) {
        close({Kind::protocol_error, proto::CLOSE_PROTOCOL_ERROR,
               "the peer's second Hello changes more than its switch instance"},
              true);
        return false;
    }
    session.peer_hello_ = hello;
    return true;
}

// ---- receiving -------------------------------------------------------------

void
Session::Impl::read()
{
    if (reading || session.state_ == State::closed) {
        return;
    }
    reading = true;
    stream.async_read_some(
        asio::buffer(read_buffer), [this, self = self()](const ErrorCode& error, size_t size) {
            reading = false;
            if (session.state_ == State::closing) {
                // Only so that our last words are not lost in a TCP reset.
                drained += size;
                if (error || drained > kMaxDrain) {
                    finish();
                } else {
                    read();
                }
                return;
            }
            if (!live()) {
                return;
            }
            if (error) {
                on_stream_error(error);
                return;
            }
            reader.push(base::ByteView(read_buffer).first(size));
            process();
        });
}

// Takes what has come, as far as the rate allows; then reads on, or waits.
void
Session::Impl::process()
{
    while (live()) {
        if (held.empty()) {
            switch (reader.next(&held)) {
            case FrameReader::Next::frame: break;
            case FrameReader::Next::more: read(); return;
            case FrameReader::Next::error:
                close({Kind::protocol_error, proto::CLOSE_PROTOCOL_ERROR,
                       "the peer sent a frame that is empty or larger than 64 KiB"},
                      true);
                return;
            }
        }
        if (!receive_bucket.take(cost_of(held.size()))) {
            stats.receive_throttled++;
            receive_timer.expires_after(receive_bucket.wait(cost_of(held.size())));
            receive_timer.async_wait([this, self = self()](const ErrorCode& error) {
                if (!error) {
                    process();
                }
            });
            return;
        }
        const base::ByteView frame = held;
        held = {};
        take_frame(frame);
    }
}

void
Session::Impl::take_frame(base::ByteView frame)
{
    last_heard = std::chrono::steady_clock::now();
    stats.messages_in++;
    stats.bytes_in += frame.size() + kFrameHeaderSize;
    const auto envelope = parse_envelope(frame);
    if (!envelope.ok()) {
        close({Kind::protocol_error, proto::CLOSE_PROTOCOL_ERROR, envelope.error().text}, true);
        return;
    }
    if (envelope->request_id() <= last_peer_id) {
        close({Kind::protocol_error, proto::CLOSE_PROTOCOL_ERROR,
               "the peer repeated message number " + std::to_string(envelope->request_id())},
              true);
        return;
    }
    last_peer_id = envelope->request_id();
    if (envelope->in_reply_to() >= next_id) {
        close({Kind::protocol_error, proto::CLOSE_PROTOCOL_ERROR,
               "the peer answered a message that was never sent"},
              true);
        return;
    }
    if (session.state_ == State::greeting) {
        take_first(*envelope);
        return;
    }
    const Decision decision =
        authorize(session.local_role_, session.peer_.role, *envelope,
                  [this](base::Vni vni, base::Encap encap) {
                      return handler && handler->vn_allowed(session, vni, encap);
                  });
    switch (decision) {
    case Decision::allowed: take_message(*envelope); break;
    case Decision::refused_vn:
        stats.vn_refused++;
        if (handler && live()) {
            handler->on_vn_refused(session, *envelope);
        }
        break;
    case Decision::refused_role:
        close({Kind::unauthorized, proto::CLOSE_UNAUTHORIZED,
               std::string("the role ") + to_string(session.peer_.role) + " may not send " +
                   message_name(envelope->body_case())},
              true);
        break;
    }
}

void
Session::Impl::take_message(const Envelope& envelope)
{
    switch (envelope.body_case()) {
    case Envelope::kPing: {
        Envelope answer;
        answer.set_in_reply_to(envelope.request_id());
        answer.mutable_pong();
        (void) enqueue(answer, false);
        return;
    }
    case Envelope::kPong: return;
    case Envelope::kClose: {
        const proto::Close& reason = envelope.close();
        close({Kind::closed_by_peer, reason.code(), "the peer closed: " + quoted(reason.text())},
              false);
        return;
    }
    case Envelope::kHello:
        if (!take_hello_again(envelope)) {
            return;
        }
        break;
    default: break;
    }
    if (handler && live()) {
        handler->on_message(session, envelope);
    }
}

// ---- sending ---------------------------------------------------------------

// 'urgent': before what waits, and beyond the limits of the queue.
base::Result<uint64_t>
Session::Impl::enqueue(Envelope& envelope, bool urgent)
{
    envelope.set_request_id(next_id);
    // A message that the peer must take for an attack is a fault of ours: the
    // owner hears of it, the session lives.
    if (base::Status status = check_envelope(envelope); !status.ok()) {
        return base::Error{EINVAL, std::string(message_name(envelope.body_case())) +
                                       " not sent: it would be malformed"};
    }
    const size_t size = envelope.ByteSizeLong();
    if (size > kMaxFrameSize) {
        return base::Error{EMSGSIZE, "a control message is larger than 64 KiB"};
    }
    if (!urgent && (queue.size() >= options.send_queue_messages ||
                    queue_bytes + size > options.send_queue_bytes)) {
        return base::Error{ENOBUFS, "too many control messages wait for '" + session.peer_.name + "'"};
    }
    base::Bytes content(size);
    if (!envelope.SerializeToArray(content.data(), static_cast<int>(size))) {
        return base::Error{EINVAL, "a control message cannot be serialised"};
    }
    auto frame = make_frame(content);
    if (!frame.ok()) {
        return frame.error();
    }
    queue_bytes += frame->size();
    queue.push_back({std::move(*frame), urgent ? 0 : cost_of(size)});
    const uint64_t id = next_id++;
    pump();
    return id;
}

void
Session::Impl::pump()
{
    if (write_busy || send_waiting || write_failed || queue.empty() || !writing.empty()) {
        return;
    }
    while (!queue.empty() && writing.size() < kWriteSize) {
        Queued& first = queue.front();
        if (first.cost > 0 && !send_bucket.take(first.cost)) {
            break;
        }
        writing.insert(writing.end(), first.frame.begin(), first.frame.end());
        queue_bytes -= first.frame.size();
        stats.messages_out++;
        queue.pop_front();
    }
    if (!writing.empty()) {
        write_pending();
        return;
    }
    stats.send_throttled++;
    send_waiting = true;
    send_timer.expires_after(send_bucket.wait(queue.front().cost));
    send_timer.async_wait([this, self = self()](const ErrorCode& error) {
        send_waiting = false;
        if (!error) {
            pump();
        }
    });
}

void
Session::Impl::write_pending()
{
    write_busy = true;
    write_began = std::chrono::steady_clock::now();
    stats.bytes_out += writing.size();
    asio::async_write(stream, asio::buffer(writing),
                      [this, self = self()](const ErrorCode& error, size_t) {
                          write_busy = false;
                          writing.clear();
                          if (session.state_ == State::closed) {
                              return;
                          }
                          if (error) {
                              // The reader knows better why: an alert, or words,
                              // may have come.  The timers end it otherwise.
                              write_failed = true;
                              if (session.state_ == State::closing) {
                                  drain();
                              }
                              return;
                          }
                          if (!queue.empty()) {
                              pump();
                          } else if (session.state_ == State::closing) {
                              shut_tls();
                          }
                      });
}

// ---- keep-alive ------------------------------------------------------------

void
Session::Impl::arm_ping()
{
    ping_timer.expires_after(options.ping_interval);
    ping_timer.async_wait([this, self = self()](const ErrorCode& error) {
        if (error || session.state_ != State::open) {
            return;
        }
        const auto now = std::chrono::steady_clock::now();
        // While we hold the peer back, it is we who are silent.
        if (held.empty() && now - last_heard > options.dead_after) {
            close({Kind::timeout, proto::CLOSE_TIMEOUT, "nothing was heard from the peer for too long"},
                  true);
            return;
        }
        if (write_busy && now - write_began > options.dead_after) {
            close({Kind::timeout, proto::CLOSE_TIMEOUT, "the peer does not read what is sent to it"},
                  false);
            return;
        }
        // With a queue that is not empty, frames flow anyway.
        if (queue.empty()) {
            Envelope ping;
            ping.mutable_ping();
            (void) enqueue(ping, false);
        }
        arm_ping();
    });
}

// ---- closing ---------------------------------------------------------------

// Ends the session for its owner at once; the connection may linger to say why
// ('tell') and to let the peer read it.
void
Session::Impl::close(CloseInfo info, bool tell)
{
    if (session.state_ == State::closing || session.state_ == State::closed) {
        return;
    }
    const bool tls_up = SSL_is_init_finished(stream.native_handle()) == 1;
    session.state_ = State::closing;
    options.handshake_slot.reset();
    ping_timer.cancel();
    receive_timer.cancel();
    send_timer.cancel();
    held = {};
    // What waits is void; the number of frames sent stays true.
    queue.clear();
    queue_bytes = 0;
    asio::post(stream.get_executor(), [this, self = self(), info] {
        if (SessionHandler* to = std::exchange(handler, nullptr)) {
            to->on_closed(session, info);
        }
    });
    deadline.expires_after(options.linger);
    deadline.async_wait([this, self = self()](const ErrorCode& error) {
        if (!error) {
            finish();
        }
    });
    if (handshaking) {
        finish();  // Nothing may be said yet.
    } else if (tell && tls_up && !write_failed) {
        tell_and_shut(std::move(info));
    } else if (info.kind == Kind::lost || info.kind == Kind::timeout) {
        finish();
    } else if (tls_up && !write_failed && info.kind == Kind::closed_by_peer) {
        if (!write_busy) {
            shut_tls();
        }
    } else {
        drain();
    }
}

void
Session::Impl::tell_and_shut(CloseInfo info)
{
    Envelope envelope;
    proto::Close& reason = *envelope.mutable_close();
    reason.set_code(info.code);
    reason.set_text(quoted(info.text));
    send_waiting = false;
    if (!enqueue(envelope, true).ok()) {
        drain();
        return;
    }
    read();  // To find the peer's end of the stream.
}

// close_notify, then the end of our direction of the TCP connection.
void
Session::Impl::shut_tls()
{
    if (closing_sent) {
        return;
    }
    closing_sent = true;
    stream.async_shutdown([this, self = self()](const ErrorCode&) {
        // Whether the peer answered or not: ours was sent.
        finish();
    });
    read();
}

// Without TLS there are no words, but an alert that must arrive: ends our
// direction and reads until the peer ends its own.
void
Session::Impl::drain()
{
    ErrorCode ignored;
    socket().shutdown(Socket::shutdown_send, ignored);
    if (reading) {
        return;  // That read goes on draining.
    }
    socket().async_read_some(asio::buffer(read_buffer),
                             [this, self = self()](const ErrorCode& error, size_t size) {
                                 drained += size;
                                 if (error || drained > kMaxDrain || session.state_ == State::closed) {
                                     finish();
                                 } else {
                                     drain();
                                 }
                             });
}

void
Session::Impl::finish()
{
    if (session.state_ == State::closed) {
        return;
    }
    session.state_ = State::closed;
    deadline.cancel();
    ErrorCode ignored;
    socket().close(ignored);
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
    if (state_ != State::open && state_ != State::greeting) {
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

Session::Stats
Session::stats() const
{
    Stats result = impl_->stats;
    result.queued = impl_->queue.size();
    return result;
}

}  // namespace nvo3::control
