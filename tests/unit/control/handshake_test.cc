// SPDX-License-Identifier: Apache-2.0
//
// Who is let in and who is not, and that both ends can say why.  Real TLS on
// loopback sockets (REQ 1, REQ 8, REQ 10).
#include <openssl/ssl.h>

#include <set>

#include "control/keying.h"
#include "session_fixture.h"

namespace nvo3::tests {
namespace {

using Kind = CloseInfo::Kind;

std::string
text(const std::optional<CloseInfo>& info)
{
    return info ? info->text : "(not closed)";
}

#define EXPECT_WORDS(info, words) \
    EXPECT_NE(text(info).find(words), std::string::npos) << text(info)

TEST_F(SessionTest, MutualSuccess)
{
    open_both();
    EXPECT_EQ(client.last->peer().name, "hv1");
    EXPECT_EQ(server.last->peer().name, "hv2");
    EXPECT_EQ(client.last->local_name(), "hv2");
    EXPECT_TRUE(server.last->peer().spiffe());
    EXPECT_EQ(server.last->peer().trust_domain, "test.internal");
    EXPECT_EQ(server.last->peer_hello().agent_instance(), 11u);
    EXPECT_EQ(client.last->peer_hello().agent_instance(), 22u);
    EXPECT_EQ(client.last->tls_summary().rfind("TLS_AES_128_GCM_SHA256", 0), 0u)
        << client.last->tls_summary();
    EXPECT_NE(client.last->tls_summary().find("25519"), std::string::npos)
        << client.last->tls_summary();
    EXPECT_EQ(listener->handshakes(), 0u);
}

TEST_F(SessionTest, BothEndsExportTheSameKeys)
{
    open_both();
    const base::Bytes context{1, 2, 3};
    auto a = client.last->export_secret("EXPERIMENTAL-test", context, 36);
    auto b = server.last->export_secret("EXPERIMENTAL-test", context, 36);
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_TRUE(base::equal_constant_time(a->view(), b->view()));
    auto c = server.last->export_secret("EXPERIMENTAL-test", base::Bytes{1, 2, 4}, 36);
    EXPECT_FALSE(base::equal_constant_time(a->view(), c->view()));
}

TEST_F(SessionTest, AnotherSessionExportsOtherKeys)
{
    open_both();
    auto a = client.last->export_secret("EXPERIMENTAL-test", {}, 36);
    const auto first = client.last;
    connect(context(hv2, ca));
    ASSERT_TRUE(run_until([&] { return client.opened == 2; }));
    auto b = client.last->export_secret("EXPERIMENTAL-test", {}, 36);
    EXPECT_FALSE(base::equal_constant_time(a->view(), b->view()));
}

TEST_F(SessionTest, TrafficKeysAgreeAndDifferWithEveryParameter)
{
    open_both();
    const std::function<void(control::TrafficKeyContext&)> changes[] = {
        [](auto&) {},
        [](auto& c) { c.sender_name = "hv3"; },
        [](auto& c) { c.sender_role = control::Role::hypervisor; },
        [](auto& c) { c.receiver_name = "hv3"; },
        [](auto& c) { c.receiver_role = control::Role::hypervisor; },
        [](auto& c) { std::swap(c.sender_name, c.receiver_name); },
        [](auto& c) { c.vni = base::Vni(5002); },
        [](auto& c) { c.encap = base::Encap::vxlan; },
        [](auto& c) { c.spi = base::Spi(0x1235); },
        [](auto& c) { c.cipher = 2; },
        [](auto& c) { c.esn = false; },
        [](auto& c) { c.generation = 2; },
        [](auto& c) { c.nonce[15] = 1; },
    };
    std::set<base::Bytes> keys;
    for (const auto& change : changes) {
        control::TrafficKeyContext context;
        context.sender_name = "hv1";
        context.receiver_name = "hv2";
        context.vni = base::Vni(5001);
        context.spi = base::Spi(0x1234);
        context.cipher = 1;
        context.generation = 1;
        change(context);
        auto a = control::derive_traffic_key(control::exporter_of(*client.last), context, 20);
        auto b = control::derive_traffic_key(control::exporter_of(*server.last), context, 20);
        ASSERT_TRUE(a.ok() && b.ok());
        EXPECT_TRUE(base::equal_constant_time(a->view(), b->view()));
        EXPECT_TRUE(keys.emplace(a->view().begin(), a->view().end()).second) << keys.size();
    }
    client.last->close(control::proto::CLOSE_SHUTDOWN, "");
    EXPECT_FALSE(client.last->export_secret("EXPERIMENTAL-test", {}, 20).ok());
}

TEST_F(SessionTest, HighLevel)
{
    const auto high = control::ControlLevel::high;
    listen(context(hv1, ca, "", high));
    connect(context(hv2, ca, "", high));
    ASSERT_TRUE(run_until([&] { return both_open(); }));
    EXPECT_EQ(client.last->tls_summary().rfind("TLS_AES_256_GCM_SHA384", 0), 0u);
}

TEST_F(SessionTest, WrongCa)
{
    const Leaf stranger = other_ca.host("hv2");
    listen(context(hv1, ca));
    // The client trusts the server's CA, so that it is the server who refuses.
    control::TlsFiles files = files_of(stranger, other_ca);
    std::string both;
    for (const std::string& path : {ca.path(), other_ca.path()}) {
        both += std::string(reinterpret_cast<const char*>(control::read_file(path, "CA")->data()),
                            control::read_file(path, "CA")->size());
    }
    files.ca_cert = dir.write("both.crt", both);
    auto tls = control::TlsContext::from_files(files, control::ControlLevel::standard);
    ASSERT_TRUE(tls.ok()) << tls.error().text;
    connect(*tls);
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    EXPECT_WORDS(server.closed, "'hv2' is not of a CA that this host trusts");
    EXPECT_EQ(client.closed->kind, Kind::refused_by_peer);
    EXPECT_WORDS(client.closed, "does not trust the CA of our certificate");
    EXPECT_EQ(server.admitted + server.opened + client.opened, 0);
}

TEST_F(SessionTest, ServerOfWrongCa)
{
    const Leaf stranger = other_ca.host("hv1");
    listen(context(stranger, other_ca));
    connect(context(hv2, ca));
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(client.closed->kind, Kind::refused_by_us);
    EXPECT_EQ(server.closed->kind, Kind::refused_by_peer);
    EXPECT_WORDS(server.closed, "does not trust the CA of our certificate");
}

TEST_F(SessionTest, Expired)
{
    listen(context(hv1, ca));
    LeafOptions options;
    options.uri = "spiffe://test.internal/nvo3/nve/old";
    options.not_after = -60;
    const Leaf old = ca.issue("old", options);
    // from_files() would refuse it.
    Context good = context(hv2, ca);
    SSL_CTX_use_certificate(good->native(), old.certificate.get());
    SSL_CTX_use_PrivateKey(good->native(), old.key.get());
    connect(good);
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    EXPECT_WORDS(server.closed, "the certificate 'old' expired at ");
    EXPECT_EQ(client.closed->kind, Kind::refused_by_peer);
    EXPECT_WORDS(client.closed, "our certificate has expired");
}

TEST_F(SessionTest, Revoked)
{
    const std::string crl = ca.crl("crl.pem", {&hv2});
    listen(context(hv1, ca, crl));
    connect(context(hv2, ca));
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    EXPECT_WORDS(server.closed, "the certificate 'hv2' is revoked");
    EXPECT_EQ(client.closed->kind, Kind::refused_by_peer);
    EXPECT_WORDS(client.closed, "our certificate is revoked");
}

TEST_F(SessionTest, NotRevokedByACrl)
{
    const Leaf hv3 = ca.host("hv3");
    listen(context(hv1, ca, ca.crl("crl.pem", {&hv3})));
    open_both();
}

TEST_F(SessionTest, RevokedLaterIsSeenByReverify)
{
    open_both();
    EXPECT_TRUE(server.last->reverify(*context(hv1, ca)).ok());
    const Context after = context(hv1, ca, ca.crl("crl.pem", {&hv2}));
    const base::Status status = server.last->reverify(*after);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().text, "the certificate 'hv2' is revoked");
    // Nor under another CA.
    const Leaf mine = other_ca.host("hv1");
    EXPECT_FALSE(server.last->reverify(*context(mine, other_ca)).ok());
}

// A context of our own making, without the library's care.
std::shared_ptr<SSL_CTX>
careless_context(int version)
{
    std::shared_ptr<SSL_CTX> ctx(SSL_CTX_new(TLS_method()), &SSL_CTX_free);
    SSL_CTX_set_max_proto_version(ctx.get(), version);
    return ctx;
}

TEST_F(SessionTest, NoCertificate)
{
    listen(context(hv1, ca));
    const auto ctx = careless_context(TLS1_3_VERSION);
    // A TLS 1.3 client learns of it with its first read.
    const std::string seen = with_peer([this, ctx]() -> std::string {
        RawPeer peer(port(), ctx.get());
        return peer.receive() ? "got a message" : "nothing";
    });
    EXPECT_EQ(seen, "nothing");
    ASSERT_TRUE(run_until([&] { return server.closed.has_value(); }));
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    EXPECT_WORDS(server.closed, "the peer has no certificate");
    EXPECT_EQ(server.admitted, 0);
}

TEST_F(SessionTest, Tls12ClientIsRefused)
{
    listen(context(hv1, ca));
    const auto ctx = careless_context(TLS1_2_VERSION);
    const bool failed = with_peer([this, ctx] {
        try {
            RawPeer peer(port(), ctx.get());
        } catch (const boost::system::system_error&) {
            return true;
        }
        return false;
    });
    EXPECT_TRUE(failed);
    ASSERT_TRUE(run_until([&] { return server.closed.has_value(); }));
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    EXPECT_WORDS(server.closed, "does not speak TLS 1.3");
}

TEST_F(SessionTest, WrongRole)
{
    listen(context(ca.host("nva1", "nva"), ca));
    connect(context(ca.host("other", "hypervisor"), ca));
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    // Both find the pair of roles wrong; the server's words come to the
    // client unless it has found out first.
    EXPECT_TRUE(server.closed->kind == Kind::refused_by_us ||
                server.closed->kind == Kind::refused_by_peer);
    EXPECT_EQ(client.closed->kind, Kind::refused_by_us);
    EXPECT_WORDS(client.closed, "does not talk to the role");
    EXPECT_EQ(server.admitted + client.admitted, 0);
}

TEST_F(SessionTest, TwoNvasDoNotTalk)
{
    listen(context(ca.host("nva1", "nva"), ca));
    connect(context(ca.host("nva2", "nva"), ca));
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_WORDS(client.closed, "does not talk to the role");
    EXPECT_EQ(server.admitted + client.admitted, 0);
}

TEST_F(SessionTest, NvaTalksToNveAboutTheDirectoryOnly)
{
    listen(context(ca.host("nva1", "nva"), ca));
    connect(context(hv2, ca));
    ASSERT_TRUE(run_until([&] { return both_open(); }));
    EXPECT_EQ(client.last->peer().role, control::Role::nva);
    Envelope request;
    request.mutable_directory_request();
    ASSERT_TRUE(client.last->send(request).ok());
    ASSERT_TRUE(run_until([&] { return server.messages.size() == 1; }));
    // What only two NVEs say to each other ends the session.
    ASSERT_TRUE(client.last->send(offer()).ok());
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(server.closed->kind, Kind::unauthorized);
    EXPECT_WORDS(server.closed, "the role nve may not send SaOffer");
}

TEST_F(SessionTest, BadIdentityIsRefusedInTheHandshake)
{
    LeafOptions options;
    options.uri = "spiffe://test.internal/nvo3/king/hv2";
    const Leaf bad = ca.issue("bad", options);
    listen(context(hv1, ca));
    Context good = context(hv2, ca);
    SSL_CTX_use_certificate(good->native(), bad.certificate.get());
    SSL_CTX_use_PrivateKey(good->native(), bad.key.get());
    connect(good);
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    EXPECT_WORDS(server.closed, "role in the certificate's SPIFFE URI");
    EXPECT_EQ(client.closed->kind, Kind::refused_by_peer);
    EXPECT_WORDS(client.closed, "the peer refused us");
}

TEST_F(SessionTest, OtherTrustDomainOfTheSameCa)
{
    const Leaf foreign = ca.host("hv2", "nve", "elsewhere");
    listen(context(hv1, ca));
    connect(context(foreign, ca));
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(client.closed->kind, Kind::refused_by_us);
    EXPECT_WORDS(client.closed, "is of trust domain 'test.internal', not 'elsewhere'");
}

TEST_F(SessionTest, AdmitRefusesWithWordsOnBothEnds)
{
    server.refuse = "'hv2' is not a peer of this host";
    listen(context(hv1, ca));
    connect(context(hv2, ca));
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    EXPECT_EQ(client.closed->kind, Kind::refused_by_peer);
    EXPECT_EQ(client.closed->text, "the peer refused: 'hv2' is not a peer of this host");
    EXPECT_EQ(client.opened + server.opened, 0);
}

TEST_F(SessionTest, PlainCertificateKeepsItsNames)
{
    LeafOptions options;
    options.cn = "hv2 id:1234";
    options.dns = {"hv2.example"};
    options.usage = "";
    const Leaf plain = ca.issue("plain", options);
    listen(context(hv1, ca));
    connect(context(plain, ca));
    ASSERT_TRUE(run_until([&] { return both_open(); }));
    const control::PeerIdentity& peer = server.last->peer();
    EXPECT_EQ(peer.kind, control::PeerIdentity::Kind::plain);
    EXPECT_EQ(peer.role, control::Role::nve);
    EXPECT_TRUE(peer.matches_name("hv2 id:1234"));
    EXPECT_TRUE(peer.matches_name("hv2.example"));
    EXPECT_FALSE(peer.matches_name("hv2"));
}

TEST_F(SessionTest, PinnedSelfSignedCertificates)
{
    LeafOptions options;
    options.cn = "self1";
    const Leaf self1 = self_signed(dir, "self1", options);
    options.cn = "self2";
    const Leaf self2 = self_signed(dir, "self2", options);
    const auto pin = [&](const Leaf& own, const Leaf& peer) {
        control::TlsFiles files;
        files.certificate = own.certificate_path;
        files.private_key = own.key_path;
        files.pinned = {peer.certificate_path};
        auto tls = control::TlsContext::from_files(files, control::ControlLevel::standard);
        EXPECT_TRUE(tls.ok()) << (tls.ok() ? "" : tls.error().text);
        return *tls;
    };
    listen(pin(self1, self2));
    connect(pin(self2, self1));
    ASSERT_TRUE(run_until([&] { return both_open(); }));
    EXPECT_EQ(server.last->peer().kind, control::PeerIdentity::Kind::pinned);
    EXPECT_FALSE(server.last->peer().matches_name("self2"));
    EXPECT_EQ(server.last->peer().fingerprint, *control::certificate_fingerprint(self2.certificate_path));
    EXPECT_TRUE(server.last->reverify(*pin(self1, self2)).ok());

    // One that is not pinned.
    options.cn = "self3";
    const Leaf self3 = self_signed(dir, "self3", options);
    connect(pin(self3, self1));
    ASSERT_TRUE(run_until([&] { return client.closed.has_value(); }));
    EXPECT_EQ(client.closed->kind, Kind::refused_by_peer);
    EXPECT_EQ(server.opened, 1);
}

TEST_F(SessionTest, PinnedPeerBesideACrl)
{
    LeafOptions options;
    options.cn = "self2";
    const Leaf self2 = self_signed(dir, "self2", options);
    control::TlsFiles files = files_of(hv1, ca, ca.crl("crl.pem", {}));
    files.pinned = {self2.certificate_path, hv2.certificate_path};
    auto tls = control::TlsContext::from_files(files, control::ControlLevel::standard);
    ASSERT_TRUE(tls.ok()) << tls.error().text;
    listen(*tls);
    control::TlsFiles mine = files_of(hv2, ca);
    mine.certificate = self2.certificate_path;
    mine.private_key = self2.key_path;
    mine.ca_cert.clear();
    mine.pinned = {hv1.certificate_path};
    auto pinned = control::TlsContext::from_files(mine, control::ControlLevel::standard);
    ASSERT_TRUE(pinned.ok()) << pinned.error().text;
    connect(*pinned);
    ASSERT_TRUE(run_until([&] { return both_open(); })) << text(client.closed) << text(server.closed);
    // A pinned one that its CA has revoked is out.
    files.crl = ca.crl("crl2.pem", {&hv2});
    tls = control::TlsContext::from_files(files, control::ControlLevel::standard);
    ASSERT_TRUE(tls.ok()) << tls.error().text;
    factory = [&]() -> base::Result<control::Listener::Accepted> {
        return control::Listener::Accepted{*tls, server_options, &server};
    };
    connect(context(hv2, ca));
    ASSERT_TRUE(run_until([&] { return client.closed && server.closed; }));
    EXPECT_WORDS(server.closed, "'hv2' is revoked");
}

// ---- pre-shared keys ---------------------------------------------------------

TEST_F(SessionTest, PskRight)
{
    for (const auto level : {control::ControlLevel::standard, control::ControlLevel::high}) {
        client.opened = server.opened = 0;
        factory = nullptr;
        listen(psk("correct horse battery", level));
        connect(psk("correct horse battery", level));
        ASSERT_TRUE(run_until([&] { return both_open(); })) << text(client.closed);
        EXPECT_EQ(client.last->peer().name, "psk:127.0.0.1");
        EXPECT_EQ(client.last->peer().kind, control::PeerIdentity::Kind::psk);
        auto a = client.last->export_secret("EXPERIMENTAL-test", {}, 36);
        auto b = server.last->export_secret("EXPERIMENTAL-test", {}, 36);
        EXPECT_TRUE(base::equal_constant_time(a->view(), b->view()));
        EXPECT_TRUE(client.last->reverify(*context(hv1, ca)).ok());
    }
}

TEST_F(SessionTest, PskWrong)
{
    listen(psk("correct horse battery"));
    connect(psk("wrong horse battery"));
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    EXPECT_WORDS(server.closed, "the peer has another pre-shared key");
    EXPECT_EQ(client.closed->kind, Kind::refused_by_peer);
    EXPECT_WORDS(client.closed, "the peer has another pre-shared key");
}

TEST_F(SessionTest, PskIsBoundToTheAddresses)
{
    // Same key, but each end sees another pair of addresses: a relay, or a
    // host that is made to talk to itself.
    listen(psk("correct horse battery"));
    proxy = std::make_unique<Proxy>(io, server_endpoint());
    tcp::socket socket(io, tcp::endpoint(boost::asio::ip::make_address("127.0.0.2"), 0));
    socket.connect(proxy->endpoint());
    Session::start(std::move(socket), Session::Side::initiator, psk("correct horse battery"),
                   client_options, client);
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    EXPECT_EQ(client.opened + server.opened, 0);
}

TEST_F(SessionTest, PskServerTakesNoCertificate)
{
    listen(psk("correct horse battery"));
    connect(context(hv2, ca));
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    EXPECT_WORDS(server.closed, "no pre-shared key");
    EXPECT_EQ(client.closed->kind, Kind::refused_by_peer);
}

TEST_F(SessionTest, PskClientTakesNoCertificate)
{
    listen(context(hv1, ca));
    connect(psk("correct horse battery"));
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(client.closed->kind, Kind::refused_by_us);
    EXPECT_WORDS(client.closed, "this tunnel has a pre-shared key");
    EXPECT_EQ(client.opened + server.opened, 0);
}

TEST_F(SessionTest, LevelsThatDoNotMeet)
{
    listen(psk("correct horse battery", control::ControlLevel::high));
    connect(psk("correct horse battery"));
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us) << text(server.closed);
    EXPECT_WORDS(server.closed, "control level");
}

}  // namespace
}  // namespace nvo3::tests
