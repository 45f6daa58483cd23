// SPDX-License-Identifier: Apache-2.0
//
// Connects to a peer, again and again with growing, jittered pauses, until it
// is told to stop.  Gives the TCP socket; the owner makes a Session of it.
// Place: lib/control.  Threads: the one thread that runs the io_context.
#ifndef NVO3_CONTROL_CONNECTOR_H
#define NVO3_CONTROL_CONNECTOR_H

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/ip_address.h"
#include "control/endpoint.h"

namespace nvo3::control {

// Pauses that double from 'min' to 'max', each drawn from its upper half so
// that hosts do not come back in step.
class Backoff {
public:
    Backoff(std::chrono::milliseconds min, std::chrono::milliseconds max);
    std::chrono::milliseconds next();
    void reset();

private:
    std::chrono::milliseconds min_;
    std::chrono::milliseconds max_;
    std::chrono::milliseconds current_;
};

class Connector {
public:
    struct Options {
        Endpoint remote;
        base::IpAddress local;  // to bind to; unspecified: the kernel's choice
        std::chrono::milliseconds timeout{5000};
        std::chrono::milliseconds backoff_min{500};
        std::chrono::milliseconds backoff_max{10000};
    };
    using Connected = std::function<void(boost::asio::ip::tcp::socket)>;
    // "connect to 192.0.2.2:6652: Connection refused"; the next attempt is
    // scheduled already.
    using Failed = std::function<void(const std::string& reason)>;

    // Does nothing until start().
    Connector(boost::asio::io_context& io, Options options, Connected connected, Failed failed);
    // As stop().
    ~Connector();
    Connector(const Connector&) = delete;
    Connector& operator=(const Connector&) = delete;

    // Connects now, unless an attempt or pause is under way.
    void start();
    // Connects after the next pause: call it when the session made of the last
    // socket has ended.
    void retry();
    // The session came up: the next pause is the shortest again.
    void succeeded();
    // No attempt and no callback any more, until start().
    void stop();
    bool active() const noexcept;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace nvo3::control

#endif
