// SPDX-License-Identifier: Apache-2.0
//
// Accepts control connections and makes sessions of them, within limits: so
// many handshakes per source address and second, so many at a time from one
// address and in all.  A connection over a limit, or that the factory does not
// want, is closed without an octet sent.
// Place: lib/control.  Threads: the one thread that runs the io_context.
#ifndef NVO3_CONTROL_LISTENER_H
#define NVO3_CONTROL_LISTENER_H

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/ip_address.h"
#include "base/result.h"
#include "control/endpoint.h"
#include "control/rate_limiter.h"
#include "control/session.h"

namespace nvo3::control {

class Listener {
public:
    struct Options {
        Endpoint endpoint;                 // An IPv6 wildcard takes IPv4 as well.
        Rate handshakes_per_address{5, 20};
        size_t handshakes_at_once_per_address = 8;
        size_t handshakes_at_once = 128;
        size_t addresses = 4096;           // Remembered for the rate.
        const base::Clock* clock = nullptr;
    };

    // What to do with a connection from 'remote' to our address 'local'.
    struct Accepted {
        std::shared_ptr<const TlsContext> context;  // certificates, or the PSK of 'remote'
        SessionOptions options;
        SessionHandler* handler = nullptr;
    };
    using Factory = std::function<base::Result<Accepted>(const base::IpAddress& remote,
                                                         const base::IpAddress& local)>;
    // A connection that was closed at once, and why: for the audit log.  Once a
    // minute for each source at most; the reason then counts those between.
    using Refused = std::function<void(const base::IpAddress& remote, const std::string& reason)>;

    // Opens the socket; an error names the address and what is wrong with it.
    static base::Result<std::unique_ptr<Listener>> open(boost::asio::io_context& io,
                                                        Options options, Factory factory,
                                                        Refused refused);
    // Stops accepting; sessions live on.
    ~Listener();

    // With the port that was given for port 0.
    Endpoint local_endpoint() const;
    size_t handshakes() const noexcept;

private:
    struct Impl;
    explicit Listener(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace nvo3::control

#endif
