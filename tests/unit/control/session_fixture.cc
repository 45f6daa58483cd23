// SPDX-License-Identifier: Apache-2.0
//
// See session_fixture.h.
#include "session_fixture.h"

#include <openssl/err.h>

namespace nvo3::tests {
namespace {

using ErrorCode = boost::system::error_code;

tcp::endpoint
loopback(uint16_t port)
{
    return {boost::asio::ip::address_v4::loopback(), port};
}

}  // namespace

// ---- Proxy -------------------------------------------------------------------

Proxy::Proxy(boost::asio::io_context& io, tcp::endpoint server)
    : io_(io), server_(server), acceptor_(io, loopback(0))
{
    accept();
}

void
Proxy::accept()
{
    auto link = std::make_shared<Link>(io_);
    acceptor_.async_accept(link->client.socket, [this, link](const ErrorCode& error) {
        if (error) {
            return;
        }
        links_.push_back(link);
        link->server.socket.connect(server_);
        forward(link, true);
        forward(link, false);
        accept();
    });
}

void
Proxy::forward(std::shared_ptr<Link> link, bool up)
{
    Side& from = up ? link->client : link->server;
    Side& to = up ? link->server : link->client;
    from.socket.async_read_some(
        boost::asio::buffer(from.buffer), [this, link, up, &from, &to](const ErrorCode& error, size_t size) {
            if (frozen) {
                return;
            }
            ErrorCode ignored;
            if (error) {
                to.socket.shutdown(tcp::socket::shutdown_send, ignored);
                return;
            }
            std::vector<uint8_t> data(from.buffer.begin(), from.buffer.begin() + size);
            (up ? bytes_to_server : bytes_to_client) += size;
            if (const Tamper& tamper = up ? to_server : to_client) {
                tamper(data);
            }
            boost::asio::write(to.socket, boost::asio::buffer(data), ignored);
            forward(link, up);
        });
}

// ---- RawPeer -----------------------------------------------------------------

RawPeer::RawPeer(uint16_t port, SSL_CTX* ctx)
    : ctx_((SSL_CTX_up_ref(ctx), ctx)), stream_(io_, ctx_)
{
    stream_.next_layer().connect(loopback(port));
    record_.client = record_.server = control::to_ip_address(loopback(0).address());
    control::attach_record(stream_.native_handle(), &record_);
    stream_.handshake(boost::asio::ssl::stream_base::client);
}

RawPeer::RawPeer(tcp::socket socket, SSL_CTX* ctx)
    : ctx_((SSL_CTX_up_ref(ctx), ctx)), stream_(io_, ctx_)
{
    const int fd = ::dup(socket.native_handle());
    stream_.next_layer().assign(tcp::v4(), fd);
    stream_.next_layer().non_blocking(false);
    socket.close();
    control::attach_record(stream_.native_handle(), &record_);
    stream_.handshake(boost::asio::ssl::stream_base::server);
}

void
RawPeer::send(const base::Bytes& octets)
{
    boost::asio::write(stream_, boost::asio::buffer(octets));
}

void
RawPeer::send(const Envelope& envelope)
{
    const std::string content = envelope.SerializeAsString();
    send(*control::make_frame(
        base::ByteView(reinterpret_cast<const uint8_t*>(content.data()), content.size())));
}

void
RawPeer::hello(const std::string& name, uint64_t id)
{
    hello(name, control::Role::nve, control::proto::CHANNEL_UNSPECIFIED, id);
}

void
RawPeer::hello(const std::string& name, control::Role role, control::Channel channel, uint64_t id)
{
    Envelope envelope;
    envelope.set_request_id(id);
    envelope.mutable_hello()->set_version(1);
    envelope.mutable_hello()->set_name(name);
    envelope.mutable_hello()->set_role(static_cast<control::proto::Role>(role));
    envelope.mutable_hello()->set_channel(channel);
    send(envelope);
}

std::optional<Envelope>
RawPeer::receive()
{
    ErrorCode error;
    std::array<uint8_t, 4> header;
    boost::asio::read(stream_, boost::asio::buffer(header), error);
    if (error) {
        return {};
    }
    base::ByteReader reader(header);
    base::Bytes content(reader.u32());
    boost::asio::read(stream_, boost::asio::buffer(content), error);
    Envelope envelope;
    if (error || !envelope.ParseFromArray(content.data(), static_cast<int>(content.size()))) {
        return {};
    }
    return envelope;
}

std::optional<control::proto::Close>
RawPeer::receive_close()
{
    while (auto envelope = receive()) {
        if (envelope->has_close()) {
            return envelope->close();
        }
    }
    return {};
}

// ---- SessionTest -------------------------------------------------------------

SessionTest::SessionTest()
{
    listener_options.endpoint = loopback(0);
    // Not what most tests are about.
    listener_options.handshakes_per_address = {1000, 1000};
    for (control::SessionOptions* options : {&client_options, &server_options}) {
        options->linger = 500ms;
    }
    client_options.agent_instance = 11;
    server_options.agent_instance = 22;
}

SessionTest::~SessionTest()
{
    client.last.reset();
    server.last.reset();
}

bool
SessionTest::run_until(const std::function<bool()>& done, std::chrono::milliseconds limit)
{
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        io.restart();
        io.run_one_for(10ms);
    }
    return true;
}

SessionTest::Context
SessionTest::context(const Leaf& leaf, const TestCa& from, const std::string& crl,
                     control::ControlLevel level)
{
    auto result = control::TlsContext::from_files(files_of(leaf, from, crl), level);
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().text);
    return result.ok() ? *result : nullptr;
}

SessionTest::Context
SessionTest::psk(const std::string& key, control::ControlLevel level)
{
    auto result = control::TlsContext::from_psk(
        base::ByteView(reinterpret_cast<const uint8_t*>(key.data()), key.size()), level);
    EXPECT_TRUE(result.ok());
    return *result;
}

void
SessionTest::listen(Context context)
{
    if (!factory) {
        factory = [this, context]() -> base::Result<control::Listener::Accepted> {
            return control::Listener::Accepted{context, server_options, &server};
        };
    }
    auto result = control::Listener::open(
        io, listener_options, [this](const base::IpAddress&, const base::IpAddress&) { return factory(); },
        [this](const base::IpAddress&, const std::string& why) { listener_refused.push_back(why); });
    ASSERT_TRUE(result.ok()) << result.error().text;
    listener = std::move(*result);
}

void
SessionTest::connect(Context context, std::optional<tcp::endpoint> to)
{
    tcp::socket socket(io);
    socket.connect(to ? *to : server_endpoint());
    Session::start(std::move(socket), Session::Side::initiator, std::move(context), client_options,
                   client);
}

void
SessionTest::open_both()
{
    if (!listener) {
        listen(context(hv1, ca));
    }
    connect(context(hv2, ca), proxy ? std::optional(proxy->endpoint()) : std::nullopt);
    ASSERT_TRUE(run_until([this] { return both_open(); }));
}

Envelope
offer(uint32_t vni)
{
    Envelope envelope;
    control::proto::SaOffer& sa = *envelope.mutable_sa_offer();
    sa.set_vni(vni);
    sa.set_encap(control::proto::ENCAP_GENEVE);
    sa.set_spi(0x1000);
    sa.set_cipher(1);
    sa.set_nonce(std::string(16, 'n'));
    sa.set_esn(true);
    sa.set_replay_window(1024);
    return envelope;
}

}  // namespace nvo3::tests
