// SPDX-License-Identifier: Apache-2.0
//
// The end of a session: its owner hears of it at once, the peer is told why
// where that is possible; see session.h.
#include <openssl/ssl.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>

#include "control/session_impl.h"

namespace nvo3::control {

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

}  // namespace nvo3::control
