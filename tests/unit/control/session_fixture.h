// SPDX-License-Identifier: Apache-2.0
//
// What the tests of sessions share: a handler that records, an io_context that
// runs until something holds, two hosts with certificates, a proxy that can
// count, alter, repeat and hold back octets, and a raw TLS peer that does not
// keep to the protocol.
// Place: tests/unit/control.  Threads: the test's own; RawPeer runs in another.
#ifndef NVO3_TESTS_UNIT_CONTROL_SESSION_FIXTURE_H
#define NVO3_TESTS_UNIT_CONTROL_SESSION_FIXTURE_H

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/connector.h"
#include "control/framer.h"
#include "control/listener.h"
#include "control/session.h"
#include "tests/support/test_pki.h"

namespace nvo3::tests {

using boost::asio::ip::tcp;
using control::CloseInfo;
using control::Envelope;
using control::Session;
using namespace std::chrono_literals;

struct Recorder final : control::SessionHandler {
    base::Status admit(Session& session) override
    {
        admitted++;
        last = session.shared_from_this();
        return refuse.empty() ? base::Status{} : base::Status(base::Error{EPERM, refuse});
    }
    void on_open(Session& session) override
    {
        opened++;
        last = session.shared_from_this();
        if (when_open) {
            when_open(session);
        }
    }
    bool vn_allowed(Session&, base::Vni vni, std::optional<base::Encap>) override
    {
        return vni == base::Vni(5001);
    }
    void on_message(Session& session, const Envelope& message) override
    {
        messages.push_back(message);
        if (when_message) {
            when_message(session, message);
        }
    }
    void on_vn_refused(Session&, const Envelope& message) override { refused.push_back(message); }
    void on_writable(Session& session) override
    {
        writable++;
        if (when_writable) {
            when_writable(session);
        }
    }
    void on_closed(Session&, const CloseInfo& info) override
    {
        closed_count++;
        closed = info;
    }

    std::string refuse;
    std::function<void(Session&)> when_open, when_writable;
    std::function<void(Session&, const Envelope&)> when_message;
    std::shared_ptr<Session> last;
    int admitted = 0, opened = 0, writable = 0, closed_count = 0;
    std::vector<Envelope> messages, refused;
    std::optional<CloseInfo> closed;
};

// Between a client and a server: forwards, and lets the test at the octets.
class Proxy {
public:
    // Called with what one side sent; changes it in place.
    using Tamper = std::function<void(std::vector<uint8_t>&)>;

    Proxy(boost::asio::io_context& io, tcp::endpoint server);
    tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

    Tamper to_server, to_client;
    size_t bytes_to_server = 0, bytes_to_client = 0;
    bool frozen = false;  // forwards nothing any more

private:
    struct Side {
        explicit Side(boost::asio::io_context& io) : socket(io) {}
        tcp::socket socket;
        std::array<uint8_t, 16384> buffer;
    };
    struct Link {
        explicit Link(boost::asio::io_context& io) : client(io), server(io) {}
        Side client, server;
    };
    void accept();
    void forward(std::shared_ptr<Link> link, bool up);

    boost::asio::io_context& io_;
    tcp::endpoint server_;
    tcp::acceptor acceptor_;
    std::vector<std::shared_ptr<Link>> links_;
};

// A TLS peer under the test's full control; blocking, so in a thread of its own.
class RawPeer {
public:
    // Connects and does the handshake; throws boost::system::system_error.
    RawPeer(uint16_t port, SSL_CTX* ctx);
    explicit RawPeer(tcp::socket socket, SSL_CTX* ctx);

    void send(const base::Bytes& octets);
    void send(const Envelope& envelope);
    void hello(const std::string& name, uint64_t id = 1);
    void hello(const std::string& name, control::Role role, control::Channel channel, uint64_t id = 1);
    // The next message; nullopt when the stream has ended.
    std::optional<Envelope> receive();
    // The Close that ends the stream, or nullopt.
    std::optional<control::proto::Close> receive_close();
    SSL* ssl() { return stream_.native_handle(); }
    tcp::socket& socket() { return stream_.next_layer(); }

private:
    boost::asio::io_context io_;
    boost::asio::ssl::context ctx_;
    boost::asio::ssl::stream<tcp::socket> stream_;
    control::HandshakeRecord record_;
};

class SessionTest : public ::testing::Test {
protected:
    SessionTest();
    ~SessionTest() override;

    // False after 'limit'.
    bool run_until(const std::function<bool()>& done, std::chrono::milliseconds limit = 5s);
    // Runs 'peer' in a thread and the io_context here until it is done.
    template <class F>
    auto with_peer(F peer)
    {
        auto result = std::async(std::launch::async, std::move(peer));
        EXPECT_TRUE(run_until([&] { return result.wait_for(0s) == std::future_status::ready; }, 10s));
        return result.get();
    }

    using Context = std::shared_ptr<const control::TlsContext>;
    Context context(const Leaf& leaf, const TestCa& ca, const std::string& crl = "",
                    control::ControlLevel level = control::ControlLevel::standard);
    Context psk(const std::string& key, control::ControlLevel level = control::ControlLevel::standard);

    void listen(Context context);
    uint16_t port() const { return listener->local_endpoint().port(); }
    tcp::endpoint server_endpoint() const { return listener->local_endpoint(); }
    // A client session to 'to' (default: the listener).
    void connect(Context context, std::optional<tcp::endpoint> to = {});
    // Both ends, and open.
    void open_both();
    bool both_open() const { return server.opened == 1 && client.opened == 1; }
    bool both_closed() const { return server.closed && client.closed; }

    boost::asio::io_context io;
    TempDir dir;
    TestCa ca{dir, "test CA"};
    TestCa other_ca{dir, "other CA"};
    Leaf hv1 = ca.host("hv1");
    Leaf hv2 = ca.host("hv2");
    Recorder client, server;
    control::SessionOptions client_options, server_options;
    control::Listener::Options listener_options;
    std::unique_ptr<control::Listener> listener;
    std::vector<std::string> listener_refused;
    std::unique_ptr<Proxy> proxy;
    std::function<base::Result<control::Listener::Accepted>()> factory;
};

Envelope offer(uint32_t vni = 5001);

}  // namespace nvo3::tests

#endif
