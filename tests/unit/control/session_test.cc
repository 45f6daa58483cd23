// SPDX-License-Identifier: Apache-2.0
//
// An open session and those who break its rules: order, numbers, sizes, rates,
// silence, octets altered on the way (REQ 2, REQ 4, REQ 6).
#include <openssl/ssl.h>

#include "session_fixture.h"

namespace nvo3::tests {
namespace {

using Kind = CloseInfo::Kind;
using control::proto::Close;

class RawSessionTest : public SessionTest {
protected:
    // A peer with hv2's certificate that says Hello rightly, then does 'what';
    // returns the words with which it was closed.
    std::string misbehave(std::function<void(RawPeer&)> what, bool greet = true)
    {
        if (!listener) {
            listen(context(hv1, ca));
        }
        auto tls = context(hv2, ca);
        const std::string words = with_peer([this, tls, what, greet]() -> std::string {
            RawPeer peer(port(), tls->native());
            if (greet) {
                peer.hello("hv2");
            }
            what(peer);
            const auto close = peer.receive_close();
            return close ? close->text() : "(no Close)";
        });
        EXPECT_TRUE(run_until([this] { return server.closed.has_value(); }));
        return words;
    }

    static Envelope numbered(Envelope envelope, uint64_t id)
    {
        envelope.set_request_id(id);
        return envelope;
    }
};

TEST_F(SessionTest, MessagesArriveBothWaysInOrder)
{
    server.when_message = [](Session& session, const Envelope& message) {
        Envelope answer;
        answer.set_in_reply_to(message.request_id());
        answer.mutable_sa_answer()->set_accepted(true);
        EXPECT_TRUE(session.send(answer).ok());
    };
    open_both();
    std::vector<uint64_t> ids;
    for (int i = 0; i < 50; i++) {
        const auto id = client.last->send(offer());
        ASSERT_TRUE(id.ok());
        ids.push_back(*id);
    }
    ASSERT_TRUE(run_until([&] { return client.messages.size() == 50; }));
    for (size_t i = 0; i < 50; i++) {
        EXPECT_EQ(server.messages[i].request_id(), ids[i]);
        EXPECT_EQ(client.messages[i].in_reply_to(), ids[i]);
    }
}

TEST_F(SessionTest, ForeignNetworkIsReportedNotAdopted)
{
    open_both();
    ASSERT_TRUE(client.last->send(offer(4711)).ok());
    ASSERT_TRUE(client.last->send(offer(5001)).ok());
    ASSERT_TRUE(run_until([&] { return server.messages.size() == 1; }));
    EXPECT_EQ(server.messages[0].sa_offer().vni(), 5001u);
    ASSERT_EQ(server.refused.size(), 1u);
    EXPECT_EQ(server.refused[0].sa_offer().vni(), 4711u);
    EXPECT_EQ(server.last->stats().vn_refused, 1u);
}

TEST_F(SessionTest, MalformedMessageOfOursIsNotSent)
{
    open_both();
    Envelope bad = offer();
    bad.mutable_sa_offer()->set_vni(1 << 24);
    EXPECT_EQ(client.last->send(bad).error().code, EINVAL);
    Envelope empty;
    EXPECT_EQ(client.last->send(empty).error().code, EINVAL);
    // The number was not used up.
    ASSERT_TRUE(client.last->send(offer()).ok());
    ASSERT_TRUE(run_until([&] { return server.messages.size() == 1; }));
}

TEST_F(SessionTest, CloseSaysWhy)
{
    open_both();
    client.last->close(control::proto::CLOSE_REPLACED, "a newer session took over");
    EXPECT_FALSE(client.last->send(offer()).ok());
    EXPECT_FALSE(client.closed);  // Not from inside the call.
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(client.closed->kind, Kind::closed_by_us);
    EXPECT_EQ(server.closed->kind, Kind::closed_by_peer);
    EXPECT_EQ(server.closed->code, control::proto::CLOSE_REPLACED);
    EXPECT_EQ(server.closed->text, "the peer closed: a newer session took over");
    client.last->close(control::proto::CLOSE_SHUTDOWN, "again");
    run_until([] { return false; }, 50ms);
    EXPECT_EQ(client.closed_count, 1);
    EXPECT_EQ(server.closed_count, 1);
}

TEST_F(SessionTest, CloseOvertakesWhatWaits)
{
    client_options.send_rate = {1, 1};
    open_both();
    for (int i = 0; i < 20; i++) {
        (void) client.last->send(offer());
    }
    client.last->close(control::proto::CLOSE_SHUTDOWN, "the agent ends");
    ASSERT_TRUE(run_until([&] { return both_closed(); }, 1s));
    EXPECT_EQ(server.closed->kind, Kind::closed_by_peer);
}

TEST_F(SessionTest, AbandonedHandlerIsNotCalled)
{
    open_both();
    client.last->abandon(control::proto::CLOSE_SHUTDOWN, "the agent ends");
    ASSERT_TRUE(run_until([&] { return server.closed.has_value(); }));
    EXPECT_EQ(client.closed_count, 0);
}

TEST_F(SessionTest, SessionGoesWhenItHasClosed)
{
    open_both();
    std::weak_ptr<Session> weak_client = client.last, weak_server = server.last;
    client.last->close(control::proto::CLOSE_SHUTDOWN, "bye");
    client.last.reset();
    server.last.reset();
    EXPECT_TRUE(run_until([&] { return weak_client.expired() && weak_server.expired(); }));
}

TEST_F(SessionTest, NewSwitchInstanceIsAnnounced)
{
    open_both();
    client.last->announce_switch_instance(99);
    ASSERT_TRUE(run_until([&] { return server.messages.size() == 1; }));
    EXPECT_TRUE(server.messages[0].has_hello());
    EXPECT_EQ(server.last->peer_hello().switch_instance(), 99u);
    EXPECT_EQ(server.last->peer_hello().agent_instance(), 11u);
}

TEST_F(SessionTest, SendQueueIsBounded)
{
    client_options.send_rate = {1, 1};
    client_options.send_queue_messages = 10;
    open_both();
    int sent = 0;
    while (client.last->send(offer()).ok()) {
        ASSERT_LT(++sent, 20);
    }
    const auto refused = client.last->send(offer());
    EXPECT_EQ(refused.error().code, ENOBUFS);
    EXPECT_TRUE(client.last->is_open());
}

TEST_F(SessionTest, OwnerHearsOnceTheQueueHasDrained)
{
    client_options.send_rate = {500, 1};
    client_options.send_queue_messages = 40;
    open_both();
    Session& session = *client.last;
    ASSERT_TRUE(session.writable());
    // A queue that was never full is no news.
    ASSERT_TRUE(session.send(offer()).ok());
    ASSERT_TRUE(run_until([&] { return server.messages.size() == 1; }));
    EXPECT_EQ(client.writable, 0);

    size_t queued = 0;
    client.when_writable = [&](Session& now) {
        EXPECT_TRUE(now.writable());
        queued = now.stats().queued;
        // From here the owner fills it again.
        for (int i = 0; client.writable == 1 && i < 20; i++) {
            ASSERT_TRUE(now.send(offer()).ok());
        }
    };
    for (int i = 0; i < 30; i++) {
        ASSERT_TRUE(session.send(offer()).ok());
    }
    EXPECT_FALSE(session.writable());
    EXPECT_EQ(client.writable, 0);
    ASSERT_TRUE(run_until([&] { return client.writable == 1; }));
    EXPECT_LE(queued, 10u);
    ASSERT_TRUE(run_until([&] { return server.messages.size() == 51; }));
    EXPECT_EQ(client.writable, 2);
    session.close(control::proto::CLOSE_SHUTDOWN, "");
    EXPECT_FALSE(session.writable());
}

TEST_F(SessionTest, WritableCountsOctetsAsWell)
{
    client_options.send_rate = {1, 1};
    client_options.send_queue_bytes = 1000;
    open_both();
    while (client.last->writable()) {
        ASSERT_TRUE(client.last->send(offer()).ok());
    }
    EXPECT_LT(client.last->stats().queued, 10u);
    EXPECT_TRUE(client.last->is_open());
}

TEST_F(SessionTest, SenderKeepsToItsRate)
{
    client_options.send_rate = {200, 10};
    open_both();
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 60; i++) {
        ASSERT_TRUE(client.last->send(offer()).ok());
    }
    ASSERT_TRUE(run_until([&] { return server.messages.size() == 60; }));
    // 60 and a Hello, 10 at once, the others at 200 a second.
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 240ms);
    EXPECT_GT(client.last->stats().send_throttled, 0u);
}

TEST_F(RawSessionTest, FloodIsReadAtTheReceiversRate)
{
    server_options.receive_rate = {100, 20};
    listen(context(hv1, ca));
    auto tls = context(hv2, ca);
    const auto begin = std::chrono::steady_clock::now();
    // 20000 offers as fast as TCP takes them, in a thread of its own.
    auto flood = std::async(std::launch::async, [this, tls] {
        RawPeer peer(port(), tls->native());
        peer.hello("hv2");
        boost::system::error_code ignored;
        try {
            for (uint64_t id = 2; id < 20000; id++) {
                peer.send(numbered(offer(), id));
            }
        } catch (const boost::system::system_error&) {
            // Closed by the end of the test, while TCP held us back.
        }
    });
    ASSERT_TRUE(run_until([&] { return server.messages.size() >= 60; }));
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    EXPECT_LE(static_cast<double>(server.messages.size()), 20 + 100 * passed.count() + 1);
    EXPECT_GE(passed, 350ms);
    EXPECT_GT(server.last->stats().receive_throttled, 0u);

    // Meanwhile another peer is served at once.
    const auto flooder = server.last;
    server.last.reset();
    server.opened = 0;
    const Leaf hv3 = ca.host("hv3");
    connect(context(hv3, ca));
    EXPECT_TRUE(run_until([&] { return both_open(); }, 1s));
    flooder->abandon(control::proto::CLOSE_SHUTDOWN, "enough");
    EXPECT_TRUE(run_until([&] { return flood.wait_for(0s) == std::future_status::ready; }));
}

// ---- numbers and order -------------------------------------------------------

TEST_F(RawSessionTest, RepeatedRequestIdCloses)
{
    const std::string words = misbehave([](RawPeer& peer) {
        peer.send(numbered(offer(), 5));
        peer.send(numbered(offer(), 5));
    });
    EXPECT_EQ(words, "the peer repeated message number 5");
    EXPECT_EQ(server.closed->kind, Kind::protocol_error);
    EXPECT_EQ(server.messages.size(), 1u);
}

TEST_F(RawSessionTest, SmallerRequestIdCloses)
{
    const std::string words = misbehave([](RawPeer& peer) {
        peer.send(numbered(offer(), 7));
        peer.send(numbered(offer(), 6));
    });
    EXPECT_EQ(words, "the peer repeated message number 6");
    EXPECT_EQ(server.messages.size(), 1u);
}

TEST_F(RawSessionTest, AnswerToNothingCloses)
{
    const std::string words = misbehave([](RawPeer& peer) {
        Envelope answer;
        answer.set_in_reply_to(1000);
        answer.mutable_sa_answer()->set_accepted(true);
        peer.send(numbered(answer, 2));
    });
    EXPECT_EQ(words, "the peer answered a message that was never sent");
}

TEST_F(RawSessionTest, FirstMessageMustBeHello)
{
    const std::string words =
        misbehave([](RawPeer& peer) { peer.send(numbered(offer(), 1)); }, false);
    EXPECT_EQ(words, "the peer's first message is no Hello");
    EXPECT_EQ(server.opened, 0);
    EXPECT_TRUE(server.messages.empty());
}

TEST_F(RawSessionTest, HelloOfAnotherNameIsRefused)
{
    const std::string words = misbehave([](RawPeer& peer) { peer.hello("hv9"); }, false);
    EXPECT_EQ(words, "the peer says it is 'hv9', but has proved to be 'hv2', role nve");
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    EXPECT_EQ(server.opened, 0);
}

TEST_F(RawSessionTest, SecondHelloOfAnotherAgentCloses)
{
    misbehave([](RawPeer& peer) {
        Envelope hello;
        hello.mutable_hello()->set_version(1);
        hello.mutable_hello()->set_name("hv2");
        hello.mutable_hello()->set_role(control::proto::ROLE_NVE);
        hello.mutable_hello()->set_agent_instance(666);
        peer.send(numbered(hello, 2));
    });
    EXPECT_EQ(server.closed->kind, Kind::protocol_error);
    EXPECT_TRUE(server.messages.empty());
}

TEST_F(RawSessionTest, OversizedFrameCloses)
{
    const std::string words =
        misbehave([](RawPeer& peer) { peer.send(base::Bytes{0x00, 0x01, 0x00, 0x01, 0xff}); });
    EXPECT_EQ(words, "the peer sent a frame that is empty or larger than 64 KiB");
}

TEST_F(RawSessionTest, GarbageInsideAValidSessionCloses)
{
    const std::string words = misbehave([](RawPeer& peer) {
        peer.send(base::Bytes{0, 0, 0, 3, 0xff, 0xff, 0xff});
    });
    EXPECT_EQ(words, "the peer sent a frame that is not a control message");
    EXPECT_EQ(server.closed->kind, Kind::protocol_error);
}

TEST_F(RawSessionTest, PeersTextIsMadePrintable)
{
    misbehave([](RawPeer& peer) {
        Envelope close;
        close.mutable_close()->set_text("bye\n\x1b[31m \xc2\x9b root");
        peer.send(numbered(close, 2));
    });
    EXPECT_EQ(server.closed->kind, Kind::closed_by_peer);
    EXPECT_EQ(server.closed->text, "the peer closed: bye??[31m ?? root");
}

TEST_F(RawSessionTest, KeyUpdatesWithoutEndClose)
{
    const std::string words = misbehave([](RawPeer& peer) {
        boost::system::error_code ignored;
        for (uint64_t i = 2; i < 100; i++) {
            SSL_key_update(peer.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED);
            try {
                peer.send(numbered(offer(), i));
            } catch (const boost::system::system_error&) {
                return;
            }
        }
    });
    EXPECT_EQ(words, "the peer updates its TLS keys without end");
}

// ---- silence -----------------------------------------------------------------

TEST_F(SessionTest, PingsKeepAnIdleSession)
{
    for (control::SessionOptions* options : {&client_options, &server_options}) {
        options->ping_interval = 20ms;
        options->dead_after = 100ms;
    }
    open_both();
    EXPECT_FALSE(run_until([&] { return client.closed || server.closed; }, 400ms));
    EXPECT_GT(client.last->stats().messages_in, 5u);
    EXPECT_TRUE(client.messages.empty());
}

TEST_F(SessionTest, SilentPeerIsDead)
{
    for (control::SessionOptions* options : {&client_options, &server_options}) {
        options->ping_interval = 20ms;
        options->dead_after = 100ms;
    }
    listen(context(hv1, ca));
    proxy = std::make_unique<Proxy>(io, server_endpoint());
    open_both();
    proxy->frozen = true;
    ASSERT_TRUE(run_until([&] { return both_closed(); }, 2s));
    EXPECT_EQ(client.closed->kind, Kind::timeout);
    EXPECT_EQ(server.closed->kind, Kind::timeout);
}

TEST_F(RawSessionTest, PeerThatDoesNotReadIsDead)
{
    server_options.ping_interval = 20ms;
    server_options.dead_after = 300ms;
    server_options.send_rate = {1e6, 1e6};
    server_options.send_queue_messages = 100000;
    server_options.send_queue_bytes = 100 << 20;
    // It pings, so it is heard, but takes nothing.
    server.when_open = [](Session& session) {
        Envelope big;
        big.mutable_sa_delete()->set_encap(control::proto::ENCAP_GENEVE);
        big.mutable_sa_delete()->set_reason(std::string(250, 'x'));
        // More than both sockets hold.
        for (int i = 0; i < 60000; i++) {
            ASSERT_TRUE(session.send(big).ok());
        }
    };
    listen(context(hv1, ca));
    auto tls = context(hv2, ca);
    std::promise<void> closed;
    auto done = std::async(std::launch::async, [this, tls, ended = closed.get_future()] {
        RawPeer peer(port(), tls->native());
        peer.hello("hv2");
        try {
            // A ping each 10 ms, until the other side has seen the end.
            uint64_t id = 2;
            do {
                Envelope ping;
                ping.mutable_ping();
                peer.send(numbered(ping, id++));
            } while (ended.wait_for(10ms) == std::future_status::timeout);
        } catch (const boost::system::system_error&) {
        }
    });
    EXPECT_TRUE(run_until([&] { return server.closed.has_value(); }, 10s));
    closed.set_value();
    EXPECT_EQ(server.closed->kind, Kind::timeout);
    EXPECT_TRUE(run_until([&] { return done.wait_for(0s) == std::future_status::ready; }));
}

// ---- octets altered on the way -----------------------------------------------

TEST_F(SessionTest, FlippedBitTearsTheSessionDown)
{
    listen(context(hv1, ca));
    proxy = std::make_unique<Proxy>(io, server_endpoint());
    open_both();
    proxy->to_server = [](std::vector<uint8_t>& data) { data[data.size() / 2] ^= 0x10; };
    ASSERT_TRUE(client.last->send(offer()).ok());
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_TRUE(server.messages.empty());
    EXPECT_EQ(server.closed->kind, Kind::lost);
    EXPECT_EQ(server.closed->text, "data was altered on the way");
}

TEST_F(SessionTest, FlippedBitInTheHandshake)
{
    listen(context(hv1, ca));
    proxy = std::make_unique<Proxy>(io, server_endpoint());
    size_t flip = 0;
    proxy->to_client = [&](std::vector<uint8_t>& data) {
        if (flip < data.size()) {
            data[flip] ^= 0x01;
        }
    };
    // A length that grew is waited for.
    client_options.handshake_timeout = server_options.handshake_timeout = 200ms;
    // Octets all over the server's first flight.
    for (flip = 6; flip < 700; flip += 37) {
        SCOPED_TRACE(flip);
        client.closed.reset();
        server.closed.reset();
        connect(context(hv2, ca), proxy->endpoint());
        ASSERT_TRUE(run_until([&] { return both_closed(); }));
    }
    EXPECT_EQ(client.opened + server.opened, 0);
    EXPECT_EQ(client.admitted + server.admitted, 0);
}

TEST_F(SessionTest, ReplayedRecordTearsTheSessionDown)
{
    listen(context(hv1, ca));
    proxy = std::make_unique<Proxy>(io, server_endpoint());
    open_both();
    proxy->to_server = [](std::vector<uint8_t>& data) {
        const std::vector<uint8_t> copy = data;
        data.insert(data.end(), copy.begin(), copy.end());
    };
    ASSERT_TRUE(client.last->send(offer()).ok());
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_LE(server.messages.size(), 1u);
    EXPECT_EQ(server.closed->kind, Kind::lost);
}

TEST_F(SessionTest, DroppedRecordTearsTheSessionDown)
{
    listen(context(hv1, ca));
    proxy = std::make_unique<Proxy>(io, server_endpoint());
    open_both();
    int count = 0;
    proxy->to_server = [&](std::vector<uint8_t>& data) {
        if (count++ == 0) {
            data.clear();
        }
    };
    ASSERT_TRUE(client.last->send(offer()).ok());
    ASSERT_TRUE(run_until([&] { return count == 1; }));
    (void) client.last->send(offer());
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_TRUE(server.messages.empty());
    EXPECT_EQ(server.closed->kind, Kind::lost);
}

TEST_F(SessionTest, CutStreamIsSeen)
{
    listen(context(hv1, ca));
    proxy = std::make_unique<Proxy>(io, server_endpoint());
    open_both();
    // Without TLS's own end: as an attacker, or a crash, would end it.
    proxy->to_server = [&](std::vector<uint8_t>& data) { data.resize(data.size() / 2); };
    ASSERT_TRUE(client.last->send(offer()).ok());
    client.last->abandon(control::proto::CLOSE_SHUTDOWN, "");
    ASSERT_TRUE(run_until([&] { return server.closed.has_value(); }));
    EXPECT_EQ(server.closed->kind, Kind::lost);
    EXPECT_TRUE(server.messages.empty());
}

}  // namespace
}  // namespace nvo3::tests
