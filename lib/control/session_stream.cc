// SPDX-License-Identifier: Apache-2.0
//
// What an open session does: receiving, sending, keep-alive; see session.h.
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>

#include "control/session_impl.h"

namespace nvo3::control {
namespace {

constexpr size_t kWriteSize = 16384;      // Frames are gathered up to this.
constexpr size_t kOctetsPerToken = 4096;  // A big message costs more.

double
cost_of(size_t size)
{
    return 1.0 + static_cast<double>(size / kOctetsPerToken);
}

}  // namespace

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
        authorize(session.local_role_, session.peer_.role, session.channel_, *envelope,
                  [this](base::Vni vni, std::optional<base::Encap> encap) {
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
                   message_name(envelope->body_case()) +
                   (session.channel_ == proto::CHANNEL_UNSPECIFIED
                        ? ""
                        : std::string(" on the ") + to_string(session.channel_) + " channel")},
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
    was_full = was_full || !queue_low();
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
                          tell_writable();
                      });
}

// Only from where a write has ended: never inside of a call of the owner.
void
Session::Impl::tell_writable()
{
    if (was_full && session.writable()) {
        was_full = false;
        if (handler) {
            handler->on_writable(session);
        }
    }
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

}  // namespace nvo3::control
