// SPDX-License-Identifier: Apache-2.0
//
// Inside of a session, for session.cc (start, Hello, the owner's calls),
// session_stream.cc (receiving, sending, keep-alive) and session_close.cc.
//
// Every operation on the stream holds the session alive (self); the timers do
// so as well and are cancelled when it closes.
// Place: lib/control, not for others.  Threads: as session.h.
#ifndef NVO3_CONTROL_SESSION_IMPL_H
#define NVO3_CONTROL_SESSION_IMPL_H

#include <array>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>

#include "control/framer.h"
#include "control/session.h"

namespace nvo3::control {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
using Kind = CloseInfo::Kind;

constexpr size_t kReadSize = 16384;
constexpr size_t kMaxDrain = 1 << 20;  // Read and thrown away after the end.

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
    bool queue_low() const
    {
        return queue.size() <= options.send_queue_messages / 4 &&
               queue_bytes <= options.send_queue_bytes / 4;
    }

    // Start and handshake.
    void begin();
    void on_handshake(const ErrorCode& error);
    bool accept_peer(std::string* why);
    void on_stream_error(const ErrorCode& error);
    // Hello.
    base::Result<uint64_t> send_hello();
    bool waits_for_channel() const;
    bool take_channel(Channel channel);
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
    void tell_writable();
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
    bool was_full = false;  // The owner waits for on_writable().
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

}  // namespace nvo3::control

#endif
