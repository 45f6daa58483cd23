// SPDX-License-Identifier: Apache-2.0
//
// Limits on who may make us work, nothing said too early, and connecting
// again (REQ 6, REQ 7).
#include <boost/asio/read.hpp>

#include "fake_clock.h"
#include "session_fixture.h"

namespace nvo3::tests {
namespace {

using Kind = CloseInfo::Kind;

class ListenerTest : public SessionTest {
protected:
    std::unique_ptr<tcp::socket> dial()
    {
        auto socket = std::make_unique<tcp::socket>(io);
        socket->connect(server_endpoint());
        return socket;
    }

    // Octets that come until the other side ends the connection; -1 if it does
    // not within the test's patience.
    long octets_until_end(tcp::socket& socket, std::chrono::milliseconds patience = 5s)
    {
        size_t total = 0;
        bool ended = false;
        std::array<uint8_t, 4096> buffer;
        std::function<void()> read = [&] {
            socket.async_read_some(boost::asio::buffer(buffer),
                                   [&](const boost::system::error_code& error, size_t size) {
                                       total += size;
                                       ended = !!error;
                                       if (!error) {
                                           read();
                                       }
                                   });
        };
        read();
        const bool done = run_until([&] { return ended; }, patience);
        if (!done) {
            socket.close();
            run_until([&] { return ended; });
        }
        return done ? static_cast<long>(total) : -1;
    }
};

TEST_F(ListenerTest, NothingIsSaidToOneWhoSaysNothing)
{
    server_options.handshake_timeout = 150ms;
    listen(context(hv1, ca));
    auto socket = dial();
    EXPECT_EQ(octets_until_end(*socket), 0);
    ASSERT_TRUE(run_until([&] { return server.closed.has_value(); }));
    EXPECT_EQ(server.closed->kind, Kind::handshake);
    EXPECT_EQ(server.closed->text, "the TLS handshake did not end in time");
    EXPECT_EQ(listener->handshakes(), 0u);
}

TEST_F(ListenerTest, SlowlorisIsCut)
{
    server_options.handshake_timeout = 150ms;
    listen(context(hv1, ca));
    auto socket = dial();
    // The beginning of a TLS record that never ends.
    const std::array<uint8_t, 6> drops{0x16, 0x03, 0x01, 0x02, 0x00, 0x01};
    boost::asio::write(*socket, boost::asio::buffer(drops));
    EXPECT_EQ(octets_until_end(*socket), 0);
}

TEST_F(ListenerTest, GarbageGetsAtMostAnAlert)
{
    listen(context(hv1, ca));
    auto socket = dial();
    const std::string garbage = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    boost::asio::write(*socket, boost::asio::buffer(garbage));
    const long octets = octets_until_end(*socket);
    EXPECT_GE(octets, 0);
    EXPECT_LE(octets, static_cast<long>(garbage.size()));
}

TEST_F(ListenerTest, UnauthenticatedPeerGetsLittle)
{
    // Certificates and all; a spoofed address gets nothing, TCP sees to that.
    server.refuse = "not wanted";
    listen(context(hv1, ca));
    proxy = std::make_unique<Proxy>(io, server_endpoint());
    connect(context(hv2, ca), proxy->endpoint());
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    RecordProperty("octets_in", static_cast<int>(proxy->bytes_to_server));
    RecordProperty("octets_out", static_cast<int>(proxy->bytes_to_client));
    EXPECT_LE(proxy->bytes_to_client, 2 * proxy->bytes_to_server);
    EXPECT_LE(proxy->bytes_to_client, 4096u);
}

TEST_F(ListenerTest, UnwantedAddressGetsNothing)
{
    factory = []() -> base::Result<control::Listener::Accepted> {
        return base::Error{EPERM, "no tunnel to this address"};
    };
    listen(nullptr);
    auto socket = dial();
    EXPECT_EQ(octets_until_end(*socket), 0);
    EXPECT_EQ(listener_refused, std::vector<std::string>{"no tunnel to this address"});
}

TEST_F(ListenerTest, RefusalsOfOneSourceAreToldOnceAMinute)
{
    FakeClock clock;
    listener_options.clock = &clock;
    factory = []() -> base::Result<control::Listener::Accepted> { return base::Error{EPERM, "no tunnel"}; };
    listen(nullptr);
    for (int i = 0; i < 50; i++) {
        auto socket = dial();
        ASSERT_EQ(octets_until_end(*socket), 0);
    }
    EXPECT_EQ(listener_refused, std::vector<std::string>{"no tunnel"});
    // Another one is told all the same.
    tcp::socket other(io, tcp::endpoint(boost::asio::ip::make_address("127.0.0.2"), 0));
    other.connect(server_endpoint());
    ASSERT_EQ(octets_until_end(other), 0);
    EXPECT_EQ(listener_refused.size(), 2u);
    clock.advance(61s);
    auto socket = dial();
    ASSERT_EQ(octets_until_end(*socket), 0);
    ASSERT_EQ(listener_refused.size(), 3u);
    EXPECT_EQ(listener_refused.back(), "no tunnel (49 more connections of this address were refused before)");
}

TEST_F(ListenerTest, HandshakesAtOnceFromOneAddress)
{
    listener_options.handshakes_at_once_per_address = 3;
    listen(context(hv1, ca));
    std::vector<std::unique_ptr<tcp::socket>> idle;
    for (int i = 0; i < 3; i++) {
        idle.push_back(dial());
    }
    ASSERT_TRUE(run_until([&] { return listener->handshakes() == 3; }));
    auto fourth = dial();
    EXPECT_EQ(octets_until_end(*fourth), 0);
    EXPECT_EQ(listener_refused,
              std::vector<std::string>{"too many handshakes at once from this address"});
    // Another address is served meanwhile.
    tcp::socket socket(io, tcp::endpoint(boost::asio::ip::make_address("127.0.0.2"), 0));
    socket.connect(server_endpoint());
    Session::start(std::move(socket), Session::Side::initiator, context(hv2, ca), client_options,
                   client);
    EXPECT_TRUE(run_until([&] { return both_open(); }));
    // And this one again when the others have gone.
    idle.clear();
    ASSERT_TRUE(run_until([&] { return listener->handshakes() == 0; }));
    connect(context(hv2, ca));
    EXPECT_TRUE(run_until([&] { return client.opened == 2; }));
}

TEST_F(ListenerTest, HandshakesAtOnceInAll)
{
    listener_options.handshakes_at_once = 2;
    listen(context(hv1, ca));
    auto first = dial();
    auto second = dial();
    ASSERT_TRUE(run_until([&] { return listener->handshakes() == 2; }));
    auto third = dial();
    EXPECT_EQ(octets_until_end(*third), 0);
    EXPECT_EQ(listener_refused, std::vector<std::string>{"too many handshakes at once"});
}

TEST_F(ListenerTest, HandshakeRateOfOneAddress)
{
    listener_options.handshakes_per_address = {0.001, 2};
    listen(context(hv1, ca));
    for (int i = 1; i <= 2; i++) {
        connect(context(hv2, ca));
        ASSERT_TRUE(run_until([&] { return client.opened == i; }));
    }
    auto third = dial();
    EXPECT_EQ(octets_until_end(*third), 0);
    EXPECT_EQ(listener_refused,
              std::vector<std::string>{"too many handshakes a second from this address"});
}

TEST_F(ListenerTest, AddressInUseIsASentence)
{
    listen(context(hv1, ca));
    control::Listener::Options options;
    options.endpoint = server_endpoint();
    auto second = control::Listener::open(io, options, nullptr, nullptr);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().text.find("cannot listen on 127.0.0.1:"), 0u) << second.error().text;
    EXPECT_NE(second.error().text.find("stop the program that uses the port"), std::string::npos);
}

TEST_F(ListenerTest, DualStackWildcard)
{
    listener_options.endpoint = *control::parse_endpoint("[::]:0");
    std::string seen;
    factory = [this]() -> base::Result<control::Listener::Accepted> {
        return control::Listener::Accepted{context(hv1, ca), server_options, &server};
    };
    listen(nullptr);
    connect(context(hv2, ca), tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), port()));
    ASSERT_TRUE(run_until([&] { return both_open(); }));
    EXPECT_EQ(server.last->remote_address().to_string(), "127.0.0.1");
}

// ---- connector ---------------------------------------------------------------

TEST_F(ListenerTest, ConnectorGivesASocketFromTheLocalAddress)
{
    listen(context(hv1, ca));
    control::Connector::Options options;
    options.remote = server_endpoint();
    options.local = *base::IpAddress::parse("127.0.0.3");
    std::optional<tcp::socket> got;
    control::Connector connector(io, options, [&](tcp::socket socket) { got = std::move(socket); },
                                 [](const std::string& why) { FAIL() << why; });
    connector.start();
    ASSERT_TRUE(run_until([&] { return got.has_value(); }));
    EXPECT_EQ(got->local_endpoint().address().to_string(), "127.0.0.3");
    EXPECT_FALSE(connector.active());
}

TEST_F(ListenerTest, ConnectorTriesAgainUntilStopped)
{
    listen(context(hv1, ca));
    control::Connector::Options options;
    options.remote = server_endpoint();
    options.backoff_min = 1ms;
    options.backoff_max = 4ms;
    listener.reset();  // Nobody listens there now.
    std::vector<std::string> failures;
    control::Connector connector(io, options, [](tcp::socket) { FAIL(); },
                                 [&](const std::string& why) { failures.push_back(why); });
    connector.start();
    ASSERT_TRUE(run_until([&] { return failures.size() >= 4; }));
    EXPECT_EQ(failures[0], "connect to " + control::to_string(options.remote) + ": Connection refused");
    connector.stop();
    const size_t before = failures.size();
    run_until([] { return false; }, 50ms);
    EXPECT_EQ(failures.size(), before);
    EXPECT_FALSE(connector.active());
}

TEST_F(ListenerTest, ConnectorMayBeStoppedInItsCallback)
{
    listen(context(hv1, ca));
    control::Connector::Options options;
    options.remote = server_endpoint();
    listener.reset();
    std::unique_ptr<control::Connector> connector;
    connector = std::make_unique<control::Connector>(
        io, options, [](tcp::socket) {}, [&](const std::string&) { connector.reset(); });
    connector->start();
    EXPECT_TRUE(run_until([&] { return !connector; }));
    run_until([] { return false; }, 20ms);
}

TEST(Backoff, DoublesWithinItsBounds)
{
    control::Backoff backoff(500ms, 10000ms);
    for (int64_t top : {500, 1000, 2000, 4000, 8000, 10000, 10000}) {
        const auto pause = backoff.next();
        EXPECT_GE(pause.count(), top / 2);
        EXPECT_LE(pause.count(), top);
    }
    backoff.reset();
    EXPECT_LE(backoff.next(), 500ms);
}

TEST(Endpoint, Rows)
{
    for (const auto& [in, out] : std::vector<std::pair<std::string, std::string>>{
             {"0.0.0.0:6652", "0.0.0.0:6652"},
             {"[::]:6652", "[::]:6652"},
             {"192.0.2.1:1", "192.0.2.1:1"},
             {"[2001:db8::1]:65535", "[2001:db8::1]:65535"},
             {"::1:6652", ""},
             {"192.0.2.1", ""},
             {"192.0.2.1:", ""},
             {"192.0.2.1:65536", ""},
             {"[192.0.2.1]:1", ""},
             {"host:1", ""},
             {":1", ""},
             {"", ""}}) {
        SCOPED_TRACE(in);
        const auto endpoint = control::parse_endpoint(in);
        EXPECT_EQ(endpoint.ok() ? control::to_string(*endpoint) : "", out);
        if (!endpoint.ok()) {
            EXPECT_NE(endpoint.error().text.find("0.0.0.0:6652"), std::string::npos);
        }
    }
    EXPECT_TRUE(control::parse_endpoint("0.0.0.0:1")->protocol() == tcp::v4());
}

}  // namespace
}  // namespace nvo3::tests
