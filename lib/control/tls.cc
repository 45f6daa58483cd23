// SPDX-License-Identifier: Apache-2.0
//
// TLS contexts: made from files or a PSK, and the decision about a peer's
// certificate; see tls.h.  What handshakes leave behind is in tls_record.cc.
#include "control/tls.h"

#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "control/pem.h"
#include "control/tls_internal.h"

namespace nvo3::control {
namespace {

constexpr size_t kMaxPskSize = 4096;
constexpr int kMaxChainDepth = 4;
constexpr long kMaxPeerCertificates = 32768;  // Octets.
// Names nobody: which key is meant is decided by the addresses.
constexpr std::string_view kPskIdentity = "nvo3";

const unsigned char*
id_context()
{
    return reinterpret_cast<const unsigned char*>(kPskIdentity.data());
}

struct StoreContextDeleter {
    void operator()(X509_STORE_CTX* ctx) const noexcept { X509_STORE_CTX_free(ctx); }
};

base::Error
failure(std::string text)
{
    ERR_clear_error();
    return base::Error{EINVAL, std::move(text)};
}

// "'hv2'", or nothing for a certificate that has no usable name.  The name is
// not proved; identity_of() keeps it printable.
std::string
quoted_name(const X509* certificate)
{
    const auto identity = identity_of(certificate);
    return identity.ok() ? " '" + identity->name + "'" : std::string();
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

const TlsContext*
context_of(const SSL* ssl)
{
    return static_cast<const TlsContext*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_index()));
}

// Makes contexts, and answers OpenSSL's callbacks about them.
class TlsContextBuilder {
public:
    static base::Result<std::shared_ptr<TlsContext>> make(ControlLevel level, bool psk);
    static base::Status load_own(TlsContext* context, const TlsFiles& files);
    static base::Status load_trust(TlsContext* context, const TlsFiles& files);
    static base::Status load_crl(TlsContext* context, const TlsFiles& files);
    static base::Status verify_own(TlsContext* context, const TlsFiles& files);
    static void set_psk(TlsContext* context, base::ByteView psk);

    static int allow_pinned_without_crl(int ok, X509_STORE_CTX* ctx);
    static base::Result<PeerIdentity> judge(const TlsContext& context, X509_STORE_CTX* ctx);
    static int verify_peer(X509_STORE_CTX* ctx, void* arg);
    static int psk_client(SSL* ssl, const EVP_MD* md, const unsigned char** id, size_t* id_size,
                          SSL_SESSION** session);
    static int psk_server(SSL* ssl, const unsigned char* id, size_t id_size,
                          SSL_SESSION** session);

private:
    static SSL_SESSION* psk_session(SSL* ssl);
};

TlsContext::TlsContext() = default;
TlsContext::~TlsContext() = default;

base::Result<ControlLevel>
parse_control_level(std::string_view text)
{
    if (text == "standard") {
        return ControlLevel::standard;
    }
    if (text == "high") {
        return ControlLevel::high;
    }
    return base::Error{EINVAL, "the control level is 'standard' or 'high'"};
}

const char*
to_string(ControlLevel level) noexcept
{
    return level == ControlLevel::high ? "high" : "standard";
}

base::Result<std::shared_ptr<TlsContext>>
TlsContextBuilder::make(ControlLevel level, bool psk)
{
    std::shared_ptr<TlsContext> context(new TlsContext);
    context->level_ = level;
    SSL_CTX* ctx = SSL_CTX_new(TLS_method());
    if (!ctx) {
        return failure("OpenSSL gives no TLS context: " + openssl_error());
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
        return failure("OpenSSL cannot do TLS 1.3 as needed: " + openssl_error());
    }
    return context;
}

base::Status
TlsContextBuilder::load_own(TlsContext* context, const TlsFiles& files)
{
    auto certificates = load_certificates(files.certificate, "certificate");
    if (!certificates.ok()) {
        return certificates.error();
    }
    auto key = load_private_key(files.private_key);
    if (!key.ok()) {
        return key.error();
    }
    X509* own = certificates->front().get();
    if (X509_check_private_key(own, key->get()) != 1) {
        return failure("private key " + files.private_key + " does not belong to certificate " +
                       files.certificate + ": give the pair that was made together");
    }
    if (base::Status status = check_validity(own, files.certificate, "certificate"); !status.ok()) {
        return status;
    }
    auto identity = identity_of(own);
    if (!identity.ok()) {
        return failure("certificate " + files.certificate + " cannot be used: " +
                       identity.error().text + "; issue it anew");
    }
    if (X509_check_purpose(own, X509_PURPOSE_SSL_SERVER, 0) != 1 ||
        X509_check_purpose(own, X509_PURPOSE_SSL_CLIENT, 0) != 1) {
        return failure("certificate " + files.certificate +
                       " is not for both TLS servers and clients: issue it with both uses");
    }
    context->own_ = std::move(*identity);

    SSL_CTX* ctx = context->native();
    bool ok = SSL_CTX_use_certificate(ctx, own) == 1 && SSL_CTX_use_PrivateKey(ctx, key->get()) == 1;
    for (size_t i = 1; ok && i < certificates->size(); i++) {
        ok = SSL_CTX_add1_chain_cert(ctx, (*certificates)[i].get()) == 1;
    }
    if (!ok) {
        return failure("certificate " + files.certificate + " cannot be used: " + openssl_error());
    }
    return {};
}

base::Status
TlsContextBuilder::load_trust(TlsContext* context, const TlsFiles& files)
{
    X509_STORE* store = SSL_CTX_get_cert_store(context->native());
    if (files.ca_cert.empty() && files.pinned.empty()) {
        return failure("no CA certificate (ca_cert) is set: name its PEM file");
    }
    if (!files.ca_cert.empty()) {
        auto authorities = load_certificates(files.ca_cert, "CA certificate");
        if (!authorities.ok()) {
            return authorities.error();
        }
        for (const CertificatePtr& ca : *authorities) {
            if (X509_check_ca(ca.get()) == 0) {
                return failure("CA certificate " + files.ca_cert +
                               " holds a certificate that is not of a CA: give the CA's own");
            }
            if (base::Status status = check_validity(ca.get(), files.ca_cert, "CA certificate");
                !status.ok()) {
                return status;
            }
            X509_STORE_add_cert(store, ca.get());
            context->authorities_.push_back(fingerprint_of(ca.get()));
        }
    }
    for (const std::string& path : files.pinned) {
        auto pinned = load_certificates(path, "peer certificate");
        if (!pinned.ok()) {
            return pinned.error();
        }
        X509_STORE_add_cert(store, pinned->front().get());
        context->pinned_.push_back(fingerprint_of(pinned->front().get()));
        X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    }
    ERR_clear_error();
    return {};
}

base::Status
TlsContextBuilder::load_crl(TlsContext* context, const TlsFiles& files)
{
    if (files.crl.empty()) {
        return {};
    }
    auto crls = load_crls(files.crl);
    if (!crls.ok()) {
        return crls.error();
    }
    auto authorities = load_certificates(files.ca_cert, "CA certificate");
    if (!authorities.ok()) {
        return authorities.error();
    }
    X509_STORE* store = SSL_CTX_get_cert_store(context->native());
    for (const CrlPtr& crl : *crls) {
        const ASN1_TIME* next = X509_CRL_get0_nextUpdate(crl.get());
        if (next && X509_cmp_current_time(next) <= 0) {
            return failure("CRL " + files.crl + " expired at " + to_text(next) +
                           ": fetch a fresh one from the CA");
        }
        if (X509_cmp_current_time(X509_CRL_get0_lastUpdate(crl.get())) > 0) {
            return failure("CRL " + files.crl + " is not valid before " +
                           to_text(X509_CRL_get0_lastUpdate(crl.get())) + ": check this host's clock");
        }
        const bool ours = std::any_of(
            authorities->begin(), authorities->end(), [&](const CertificatePtr& ca) {
                return X509_NAME_cmp(X509_get_subject_name(ca.get()),
                                     X509_CRL_get_issuer(crl.get())) == 0 &&
                       X509_CRL_verify(crl.get(), X509_get0_pubkey(ca.get())) == 1;
            });
        if (!ours) {
            return failure("CRL " + files.crl + " is not signed by the CA in " + files.ca_cert +
                           ": give the CRL of that CA");
        }
        X509_STORE_add_crl(store, crl.get());
    }
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    ERR_clear_error();
    return {};
}

base::Status
TlsContextBuilder::verify_own(TlsContext* context, const TlsFiles& files)
{
    // Without a CA the peers pin our certificate; there is nothing to compare.
    if (files.ca_cert.empty()) {
        return {};
    }
    SSL_CTX* ctx = context->native();
    STACK_OF(X509)* chain = nullptr;
    SSL_CTX_get0_chain_certs(ctx, &chain);
    std::unique_ptr<X509_STORE_CTX, StoreContextDeleter> check(X509_STORE_CTX_new());
    if (!check || X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(ctx),
                                      SSL_CTX_get0_certificate(ctx), chain) != 1) {
        return failure("OpenSSL cannot verify certificate " + files.certificate + ": " +
                       openssl_error());
    }
    if (X509_verify_cert(check.get()) == 1) {
        return {};
    }
    switch (X509_STORE_CTX_get_error(check.get())) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return failure("certificate " + files.certificate + " is not issued by the CA in " +
                       files.ca_cert + ": give the CA that issued it, or a certificate of that CA");
    case X509_V_ERR_CERT_REVOKED:
        return failure("certificate " + files.certificate + " is revoked by CRL " + files.crl +
                       ": get another certificate");
    default:
        return failure("certificate " + files.certificate + " does not verify against CA " +
                       files.ca_cert + ": " + verify_words(check.get()));
    }
}

base::Result<std::shared_ptr<const TlsContext>>
TlsContext::from_files(const TlsFiles& files, ControlLevel level)
{
    auto made = TlsContextBuilder::make(level, false);
    if (!made.ok()) {
        return made.error();
    }
    TlsContext* context = made->get();
    for (const auto step : {&TlsContextBuilder::load_own, &TlsContextBuilder::load_trust,
                            &TlsContextBuilder::load_crl, &TlsContextBuilder::verify_own}) {
        if (base::Status status = step(context, files); !status.ok()) {
            return status.error();
        }
    }
    return std::shared_ptr<const TlsContext>(std::move(*made));
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
        return failure("OpenSSL cannot verify the peer again: " + openssl_error());
    }
    X509_STORE_CTX_set_depth(ctx.get(), kMaxChainDepth);
    const auto identity = TlsContextBuilder::judge(*this, ctx.get());
    ERR_clear_error();
    return identity.ok() ? base::Status{} : base::Status(identity.error());
}

base::Result<Fingerprint>
certificate_fingerprint(const std::string& path)
{
    auto certificates = load_certificates(path, "peer certificate");
    if (!certificates.ok()) {
        return certificates.error();
    }
    return fingerprint_of(certificates->front().get());
}

// ---- pre-shared keys -------------------------------------------------------

base::Result<std::shared_ptr<const TlsContext>>
TlsContext::from_psk(base::ByteView psk, ControlLevel level)
{
    if (psk.empty() || psk.size() > kMaxPskSize) {
        return base::Error{EINVAL, "a pre-shared key has 1 to 4096 octets"};
    }
    auto made = TlsContextBuilder::make(level, true);
    if (!made.ok()) {
        return made.error();
    }
    TlsContextBuilder::set_psk(made->get(), psk);
    return std::shared_ptr<const TlsContext>(std::move(*made));
}

void
TlsContextBuilder::set_psk(TlsContext* context, base::ByteView psk)
{
    context->psk_ = std::make_unique<base::Secret>(psk);
    SSL_CTX_set_session_id_context(context->native(), id_context(), kPskIdentity.size());
    SSL_CTX_set_psk_use_session_callback(context->native(), &TlsContextBuilder::psk_client);
    SSL_CTX_set_psk_find_session_callback(context->native(), &TlsContextBuilder::psk_server);
}

// The key of this connection: the configured one bound to who is client and
// who is server, so that nobody can be made to talk to himself.
SSL_SESSION*
TlsContextBuilder::psk_session(SSL* ssl)
{
    const TlsContext* context = context_of(ssl);
    const HandshakeRecord* record = record_of(ssl);
    if (!context || !context->psk_ || !record) {
        return nullptr;
    }
    const bool high = context->level_ == ControlLevel::high;
    base::ByteWriter binding;
    binding.string16("EXPERIMENTAL-nvo3-psk-1");
    binding.bytes(record->client.bytes());
    binding.bytes(record->server.bytes());
    const base::Bytes text = binding.take();
    const EVP_MD* hash = high ? EVP_sha384() : EVP_sha256();
    base::Secret key(static_cast<size_t>(EVP_MD_get_size(hash)));
    unsigned size = 0;
    const unsigned char suite[2] = {0x13, static_cast<unsigned char>(high ? 0x02 : 0x01)};
    const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, suite);
    SSL_SESSION* session = SSL_SESSION_new();
    if (!session || !cipher ||
        !HMAC(hash, context->psk_->data(), static_cast<int>(context->psk_->size()), text.data(),
              text.size(), key.data(), &size) ||
        SSL_SESSION_set1_master_key(session, key.data(), key.size()) != 1 ||
        SSL_SESSION_set_cipher(session, cipher) != 1 ||
        // OpenSSL takes it for a session to resume, and wants it to be ours.
        SSL_SESSION_set1_id_context(session, id_context(), kPskIdentity.size()) != 1 ||
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) != 1) {
            return nullptr;
    }
    return session;
}

int
TlsContextBuilder::psk_client(SSL* ssl, const EVP_MD* md, const unsigned char** id,
                              size_t* id_size, SSL_SESSION** session)
{
    *session = psk_session(ssl);
    if (!*session) {
        return 0;
    }
    // After a HelloRetryRequest the hash is fixed, and must be ours.
    if (md && EVP_MD_get_type(md) !=
                  EVP_MD_get_type(SSL_CIPHER_get_handshake_digest(SSL_SESSION_get0_cipher(*session)))) {
        SSL_SESSION_free(*session);
        *session = nullptr;
        return 0;
    }
    *id = reinterpret_cast<const unsigned char*>(kPskIdentity.data());
    *id_size = kPskIdentity.size();
    return 1;
}

int
TlsContextBuilder::psk_server(SSL* ssl, const unsigned char* id, size_t id_size,
                              SSL_SESSION** session)
{
    *session = nullptr;
    if (std::string_view(reinterpret_cast<const char*>(id), id_size) != kPskIdentity) {
        // No key: without a certificate of ours the handshake ends.
        return 1;
    }
    *session = psk_session(ssl);
    return *session != nullptr;
}

base::Result<base::Secret>
read_psk_file(const std::string& path)
{
    auto content = read_file(path, "pre-shared key");
    if (!content.ok()) {
        return content.error();
    }
    struct stat status{};
    if (stat(path.c_str(), &status) != 0 || (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return base::Error{EACCES, "pre-shared key " + path +
                                       " is open to others than its owner: chmod 0600 it"};
    }
    size_t size = content->size();
    if (size > 0 && content->data()[size - 1] == '\n') {
        size--;
    }
    if (size > 0 && content->data()[size - 1] == '\r') {
        size--;
    }
    if (size == 0 || size > kMaxPskSize) {
        return base::Error{EINVAL, "pre-shared key " + path + " must hold 1 to 4096 octets"};
    }
    return base::Secret(content->view().first(size));
}

}  // namespace nvo3::control
