// SPDX-License-Identifier: Apache-2.0
//
// TLS contexts and the decision about a peer's certificate; see tls.h.
#include "control/tls.h"

#include <openssl/err.h>

#include <algorithm>
#include <boost/asio/ssl/context.hpp>
#include <cerrno>

#include "control/pem.h"
#include "control/tls_internal.h"

namespace nvo3::control {
namespace {

constexpr long kMaxPeerCertificates = 32768;  // Octets.
constexpr uint16_t kHighSuite = 0x1302;       // TLS_AES_256_GCM_SHA384

// "'hv2'", or nothing for a certificate that has no usable name.  The name is
// not proved; identity_of() keeps it printable.
std::string
quoted_name(const X509* certificate)
{
    const auto identity = identity_of(certificate);
    return identity.ok() ? " '" + identity->name + "'" : std::string();
}

bool
contains(const std::vector<Fingerprint>& set, const Fingerprint& one)
{
    return std::find(set.begin(), set.end(), one) != set.end();
}

int
context_index()
{
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

}  // namespace

base::Error
tls_failure(std::string text)
{
    ERR_clear_error();
    return base::Error{EINVAL, std::move(text)};
}

std::string
verify_words(X509_STORE_CTX* ctx)
{
    const int error = X509_STORE_CTX_get_error(ctx);
    const int depth = X509_STORE_CTX_get_error_depth(ctx);
    const X509* at = X509_STORE_CTX_get_current_cert(ctx);
    const std::string whose =
        depth == 0 ? "the certificate" + quoted_name(X509_STORE_CTX_get0_cert(ctx))
                   : "a CA certificate above" + quoted_name(X509_STORE_CTX_get0_cert(ctx));
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return whose + " expired" + (at ? " at " + to_text(X509_get0_notAfter(at)) : "");
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return whose + " is not valid yet" +
               (at ? " (from " + to_text(X509_get0_notBefore(at)) + ")" : "");
    case X509_V_ERR_CERT_REVOKED: return whose + " is revoked";
    case X509_V_ERR_CRL_HAS_EXPIRED:
        return "the CRL has expired, so " + whose + " cannot be judged: renew the CRL";
    case X509_V_ERR_CRL_NOT_YET_VALID:
        return "the CRL is not valid yet, so " + whose + " cannot be judged: check this host's clock";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
        return "the CRL file has none of the CA that issued " + whose + ": add it";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return whose + " is not of a CA that this host trusts (ca_cert)";
    case X509_V_ERR_INVALID_PURPOSE:
        return whose + " is not for TLS servers and clients: issue it with both uses";
    default:
        return whose + " is not acceptable: " + X509_verify_cert_error_string(error);
    }
}

Fingerprint
fingerprint_of(const X509* certificate)
{
    Fingerprint fingerprint{};
    unsigned size = 0;
    X509_digest(certificate, EVP_sha256(), fingerprint.data(), &size);
    return fingerprint;
}

const TlsContext*
context_of(const SSL* ssl)
{
    return static_cast<const TlsContext*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_index()));
}

TlsContext::TlsContext() = default;
TlsContext::~TlsContext() = default;

SSL_CTX*
TlsContext::native() const noexcept
{
    return asio_->native_handle();
}

const char*
to_string(ControlLevel level) noexcept
{
    return level == ControlLevel::high ? "high" : "standard";
}

bool
is_of_level(const SSL* ssl, ControlLevel level) noexcept
{
    const SSL_CIPHER* suite = SSL_get_current_cipher(ssl);
    const long group = SSL_get_negotiated_group(const_cast<SSL*>(ssl));
    return level == ControlLevel::standard ||
           (suite && SSL_CIPHER_get_protocol_id(suite) == kHighSuite &&
            (group == NID_secp384r1 || group == NID_X25519));
}

base::Result<std::shared_ptr<TlsContext>>
TlsContextBuilder::make(ControlLevel level, bool psk)
{
    std::shared_ptr<TlsContext> context(new TlsContext);
    context->level_ = level;
    SSL_CTX* ctx = SSL_CTX_new(TLS_method());
    if (!ctx) {
        return tls_failure("OpenSSL gives no TLS context: " + openssl_error());
    }
    context->asio_ = std::make_unique<boost::asio::ssl::context>(ctx);

    // A PSK goes with the hash of one cipher suite, so its lists are shorter.
    const char* suites = level == ControlLevel::high ? "TLS_AES_256_GCM_SHA384"
                         : psk ? "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
                               : "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:"
                                 "TLS_AES_256_GCM_SHA384";
    const char* groups = level == ControlLevel::high ? "P-384:X25519" : "X25519:P-256:P-384";
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    // Only the certificates of the file: no search for issuers to send.
    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_recv_max_early_data(ctx, 0);
    SSL_CTX_set_max_cert_list(ctx, kMaxPeerCertificates);
    SSL_CTX_set_verify_depth(ctx, kMaxChainDepth);
    SSL_CTX_set_security_level(ctx, 2);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_CTX_set_cert_verify_callback(ctx, &TlsContextBuilder::verify_peer, context.get());
    SSL_CTX_set_msg_callback(ctx, &count_post_handshake);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, suites) != 1 || SSL_CTX_set1_groups_list(ctx, groups) != 1 ||
        SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
        SSL_CTX_set_ex_data(ctx, context_index(), context.get()) != 1) {
        return tls_failure("OpenSSL cannot do TLS 1.3 as needed: " + openssl_error());
    }
    return context;
}

// ---- the decision about a peer's certificate -------------------------------

// No CA publishes a CRL for a certificate that is trusted as itself; one that
// its CA has revoked is refused all the same.
int
TlsContextBuilder::allow_pinned_without_crl(int ok, X509_STORE_CTX* ctx)
{
    const int error = X509_STORE_CTX_get_error(ctx);
    const auto* context = static_cast<const TlsContext*>(X509_STORE_CTX_get_app_data(ctx));
    const X509* at = X509_STORE_CTX_get_current_cert(ctx);
    if (ok == 0 && at && X509_STORE_CTX_get_error_depth(ctx) == 0 &&
        (error == X509_V_ERR_UNABLE_TO_GET_CRL || error == X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER) &&
        contains(context->pinned_, fingerprint_of(at))) {
        X509_STORE_CTX_set_error(ctx, X509_V_OK);
        return 1;
    }
    return ok;
}

base::Result<PeerIdentity>
TlsContextBuilder::judge(const TlsContext& context, X509_STORE_CTX* ctx)
{
    if (!context.pinned_.empty()) {
        X509_STORE_CTX_set_app_data(ctx, const_cast<TlsContext*>(&context));
        X509_STORE_CTX_set_verify_cb(ctx, &TlsContextBuilder::allow_pinned_without_crl);
    }
    if (X509_verify_cert(ctx) != 1) {
        return base::Error{EPERM, verify_words(ctx)};
    }
    auto identity = identity_of(X509_STORE_CTX_get0_cert(ctx));
    if (!identity.ok()) {
        return identity;
    }
    STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(ctx);
    const int size = sk_X509_num(chain);
    const Fingerprint anchor = fingerprint_of(sk_X509_value(chain, size - 1));
    if (size < 2 || !contains(context.authorities_, anchor)) {
        // A pinned certificate vouches for itself, not for others; and as it
        // says so itself, its names prove nothing.
        if (contains(context.pinned_, identity->fingerprint)) {
            identity->kind = PeerIdentity::Kind::pinned;
            return identity;
        }
        return base::Error{EPERM, "the certificate '" + identity->name +
                                      "' is not issued by a CA that this host trusts (ca_cert)"};
    }
    if (identity->spiffe() && context.own_.spiffe() &&
        identity->trust_domain != context.own_.trust_domain) {
        return base::Error{EPERM, "the certificate '" + identity->name + "' is of trust domain '" +
                                      identity->trust_domain + "', not '" +
                                      context.own_.trust_domain + "'"};
    }
    return identity;
}

int
TlsContextBuilder::verify_peer(X509_STORE_CTX* ctx, void* arg)
{
    const auto& context = *static_cast<const TlsContext*>(arg);
    const SSL* ssl = static_cast<const SSL*>(
        X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx()));
    HandshakeRecord* record = record_of(ssl);
    base::Result<PeerIdentity> identity =
        context.is_psk()
            ? base::Error{EPERM, "the peer came with a certificate, but this tunnel has a pre-shared key"}
            : judge(context, ctx);
    if (identity.ok()) {
        if (record) {
            record->peer = std::move(*identity);
        }
        return 1;
    }
    if (record) {
        record->refusal = identity.error().text;
    }
    // The alert is made of this; X509_verify_cert() may have been content.
    if (X509_STORE_CTX_get_error(ctx) == X509_V_OK) {
        X509_STORE_CTX_set_error(ctx, X509_V_ERR_APPLICATION_VERIFICATION);
    }
    return 0;
}

base::Status
TlsContext::reverify(const CertificateChain& chain) const
{
    if (chain.empty()) {
        return base::Error{EPERM, "the peer has no certificate"};
    }
    std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)> untrusted(
        sk_X509_new_null(), [](STACK_OF(X509)* stack) { sk_X509_free(stack); });
    for (const X509Ptr& certificate : chain) {
        if (!untrusted || sk_X509_push(untrusted.get(), certificate.get()) == 0) {
            return base::Error{ENOMEM, "no memory to verify a certificate"};
        }
    }
    std::unique_ptr<X509_STORE_CTX, StoreContextDeleter> ctx(X509_STORE_CTX_new());
    if (!ctx || X509_STORE_CTX_init(ctx.get(), SSL_CTX_get_cert_store(native()),
                                    chain.front().get(), untrusted.get()) != 1) {
        return tls_failure("OpenSSL cannot verify the peer again: " + openssl_error());
    }
    X509_STORE_CTX_set_depth(ctx.get(), kMaxChainDepth);
    const auto identity = TlsContextBuilder::judge(*this, ctx.get());
    ERR_clear_error();
    return identity.ok() ? base::Status{} : base::Status(identity.error());
}

}  // namespace nvo3::control
