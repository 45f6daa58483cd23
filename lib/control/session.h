// SPDX-License-Identifier: Apache-2.0
//
// One authenticated control session: TLS 1.3 handshake, Hello both ways, then
// messages, until either side closes.  The same class for all roles and both
// sides.  It enforces what control.proto says (sizes, order, request ids, rates,
// keep-alive) and asks the authorization table before a handler sees a message.
// Place: lib/control, made by listener and by the owner of a connector.
// Threads: everything on the one thread that runs the io_context.  Nothing blocks.
#ifndef NVO3_CONTROL_SESSION_H
#define NVO3_CONTROL_SESSION_H

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "base/secret.h"
#include "control/authorization.h"
#include "control/identity.h"
#include "control/rate_limiter.h"
#include "control/tls.h"

namespace nvo3::control {

constexpr uint32_t kProtocolVersion = 1;

class Session;

// Text from a peer, fit for logs and for people: printable ASCII, at most 256
// octets.
std::string quoted(std::string_view text);

struct CloseInfo {
    enum class Kind : uint8_t {
        refused_by_us,    // the peer did not prove who it is, or is not wanted: audit it
        refused_by_peer,  // the peer refused us
        handshake,        // no TLS 1.3 handshake came about (time-out, garbage, lost)
        protocol_error,   // the peer broke control.proto: audit it
        unauthorized,     // the peer sent what its role may not: audit it
        closed_by_us,
        closed_by_peer,   // with a Close message
        lost,             // the stream broke, or was tampered with
        timeout,          // keep-alive
    };
    Kind kind = Kind::lost;
    proto::CloseCode code = proto::CLOSE_UNSPECIFIED;
    std::string text;  // One sentence; what the peer said is escaped and bounded.
};
const char* to_string(CloseInfo::Kind kind) noexcept;

// The owner of a session.  Must outlive it, or call Session::abandon().  Every
// call may close() the session or send().
class SessionHandler {
public:
    virtual ~SessionHandler() = default;

    // The peer has proved who it is; session.peer() is set, nothing was sent to
    // it yet.  An error refuses it, with that text.
    virtual base::Status admit(Session& session) = 0;
    // Both Hellos are exchanged; messages may be sent, keys exported.
    virtual void on_open(Session& session) = 0;
    // Whether this host and the session's peer both serve the network; for an
    // NVA, whether the peer does.  Messages between NVEs say with which
    // encapsulation, those with an NVA do not.
    virtual bool vn_allowed(Session& session, base::Vni vni, std::optional<base::Encap> encap) = 0;
    // A message that authorization has passed, of another kind than Ping, Pong
    // and Close.  A Hello only with a new switch_instance (see peer_hello()).
    virtual void on_message(Session& session, const Envelope& message) = 0;
    // A message about a network that vn_allowed() denied.  It must not be
    // adopted; an SaOffer, MappingAnnounce, GroupRegister, GroupRenew or TsiRequest may be
    // answered with a refusal.
    virtual void on_vn_refused(Session& session, const Envelope& message) = 0;
    // The send queue was more than a quarter full and is so no longer: writable()
    // again.  For who has more to tell than a queue should hold.
    virtual void on_writable(Session& session) { (void) session; }
    // The last call, exactly once unless abandoned; never from inside a call of
    // the owner into the session.
    virtual void on_closed(Session& session, const CloseInfo& info) = 0;
};

struct SessionOptions {
    Role local_role = Role::nve;  // with a PSK; else the certificate's
    // Of a hypervisor, who must say what it connects for.  Its NVE learns it from the
    // Hello; if it is set there, no other is taken.
    Channel channel = proto::CHANNEL_UNSPECIFIED;
    uint64_t agent_instance = 0;
    uint64_t switch_instance = 0;

    Rate send_rate;     // messages; one more token per 4 KiB of a message
    Rate receive_rate;  // a peer that sends more is read more slowly
    size_t send_queue_messages = 16384;
    size_t send_queue_bytes = 4 << 20;

    std::chrono::milliseconds handshake_timeout{5000};  // TCP connected to both Hellos
    std::chrono::milliseconds ping_interval{2000};
    std::chrono::milliseconds dead_after{6000};
    std::chrono::milliseconds linger{1000};  // to say why, when closing

    const base::Clock* clock = nullptr;  // for the rates; null: the system's
    // Released when the handshake is over, either way (listener's count).
    std::shared_ptr<void> handshake_slot;
};

class Session : public std::enable_shared_from_this<Session> {
public:
    enum class Side : uint8_t { initiator, acceptor };
    using Socket = boost::asio::ip::tcp::socket;

    struct Stats {
        uint64_t messages_in = 0, messages_out = 0;
        uint64_t bytes_in = 0, bytes_out = 0;  // Frames, without TLS.
        uint64_t receive_throttled = 0;        // Times reading was held back.
        uint64_t send_throttled = 0;           // Times sending was held back.
        uint64_t vn_refused = 0;
        size_t queued = 0;
    };

    // Takes over a connected socket and starts the TLS handshake.  The session
    // lives until on_closed(), whoever else holds it.
    static std::shared_ptr<Session> start(Socket socket, Side side,
                                          std::shared_ptr<const TlsContext> context,
                                          SessionOptions options, SessionHandler& handler);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // Queues a message; numbers it and returns its request_id, for the
    // in_reply_to of the answer.  Set only body and in_reply_to.  ENOTCONN if
    // not open, ENOBUFS if the queue is full, EINVAL if a field is out of range.
    base::Result<uint64_t> send(Envelope message);
    // Open, and the send queue at most a quarter full; a message is taken by
    // send() without regard to this, as long as the queue has room.
    bool writable() const noexcept;

    // Tells the peer why, then closes; on_closed() follows (kind closed_by_us).
    // Later calls do nothing.
    void close(proto::CloseCode code, std::string_view text);
    // As close(), but the handler is not called any more.
    void abandon(proto::CloseCode code, std::string_view text);

    // The switch was restarted: tells the peer with another Hello.
    void announce_switch_instance(uint64_t switch_instance);
    void set_rates(Rate send, Rate receive);

    // RFC 8446 section 7.5 exporter of this session; only while it is open.
    base::Result<base::Secret> export_secret(std::string_view label, base::ByteView context,
                                             size_t size) const;

    // Whether the peer's certificate would still be let in under 'context', a
    // newer one.  Always, for a PSK.  The caller closes (CLOSE_REVOKED) if not.
    base::Status reverify(const TlsContext& context) const;
    // What the peer proved itself with, for TlsContext::reverify() after the
    // session; empty with a PSK.  The certificates are shared, not copied.
    CertificateChain certificates() const;

    bool is_open() const noexcept { return state_ == State::open; }
    Side side() const noexcept { return side_; }
    const TlsContext& context() const noexcept { return *context_; }
    // From admit() on.
    const PeerIdentity& peer() const noexcept { return peer_; }
    const std::string& local_name() const noexcept { return local_name_; }
    Role local_role() const noexcept { return local_role_; }
    // From on_open() on: what a session with a hypervisor is for, else unspecified.
    Channel channel() const noexcept { return channel_; }
    // From on_open() on; the last one received.
    const proto::Hello& peer_hello() const noexcept { return peer_hello_; }
    base::IpAddress local_address() const noexcept { return local_address_; }
    base::IpAddress remote_address() const noexcept { return remote_address_; }
    std::chrono::steady_clock::time_point opened_at() const noexcept { return opened_at_; }
    // "TLS_AES_128_GCM_SHA256 X25519"; from admit() on.
    const std::string& tls_summary() const noexcept { return tls_summary_; }
    // Whether the handshake came to what 'level' asks for, whatever context() would
    // have taken.  Where the level hangs on the channel, it is known only now.
    base::Status check_level(ControlLevel level) const;
    Stats stats() const;

private:
    enum class State : uint8_t { handshake, greeting, open, closing, closed };
    struct Impl;

    Session(Socket socket, Side side, std::shared_ptr<const TlsContext> context,
            SessionOptions options, SessionHandler& handler);

    // Fixed after start().
    Side side_;
    std::shared_ptr<const TlsContext> context_;
    base::IpAddress local_address_;
    base::IpAddress remote_address_;
    // Fixed after the handshake.
    PeerIdentity peer_;
    std::string local_name_;
    Role local_role_ = Role::nve;
    std::string tls_summary_;
    bool high_ = false;  // As ControlLevel::high has it.
    Channel channel_ = proto::CHANNEL_UNSPECIFIED;
    std::chrono::steady_clock::time_point opened_at_{};
    // Changing.
    State state_ = State::handshake;
    proto::Hello peer_hello_;
    std::unique_ptr<Impl> impl_;
};

}  // namespace nvo3::control

#endif
