// SPDX-License-Identifier: Apache-2.0
//
// TLS contexts from certificate files: each way in which they can be wrong is a
// sentence; see tls.h.
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>

#include "control/pem.h"
#include "control/tls_internal.h"

namespace nvo3::control {

namespace {

X509_STORE*
store_of(const TlsContext& context)
{
    return SSL_CTX_get_cert_store(context.native());
}

// Calls 'see' with each object of a context's store.
template <class See>
void
for_each_object(const TlsContext& context, See see)
{
    X509_STORE* store = store_of(context);
    X509_STORE_lock(store);
    STACK_OF(X509_OBJECT)* objects = X509_STORE_get0_objects(store);
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        see(sk_X509_OBJECT_value(objects, i));
    }
    X509_STORE_unlock(store);
}

Fingerprint
fingerprint_of(const X509_CRL* crl)
{
    Fingerprint fingerprint{};
    unsigned size = 0;
    X509_CRL_digest(crl, EVP_sha256(), fingerprint.data(), &size);
    return fingerprint;
}

bool
is_signed_by(X509_CRL* crl, const X509* ca)
{
    return X509_NAME_cmp(X509_get_subject_name(ca), X509_CRL_get_issuer(crl)) == 0 &&
           X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1;
}

// Empty if 'crl' is valid now.
std::string
staleness(const X509_CRL* crl, const std::string& path)
{
    const ASN1_TIME* next = X509_CRL_get0_nextUpdate(crl);
    if (next && X509_cmp_current_time(next) <= 0) {
        return "CRL " + path + " expired at " + to_text(next) + ": fetch a fresh one from the CA";
    }
    if (X509_cmp_current_time(X509_CRL_get0_lastUpdate(crl)) > 0) {
        return "CRL " + path + " is not valid before " + to_text(X509_CRL_get0_lastUpdate(crl)) +
               ": check this host's clock";
    }
    return {};
}

using End = std::optional<std::chrono::system_clock::time_point>;

End
first(const End& end, const ASN1_TIME* time)
{
    const End other = time ? to_time_point(time) : std::nullopt;
    return !end || (other && *other < *end) ? other : end;
}

}  // namespace

// ---- What a context holds ----

void
TlsContextBuilder::add_authority(TlsContext* context, X509* certificate)
{
    X509_STORE_add_cert(store_of(*context), certificate);
    context->trust_ends_.ca = first(context->trust_ends_.ca, X509_get0_notAfter(certificate));
    context->authorities_.push_back(fingerprint_of(certificate));
    context->material_.push_back(fingerprint_of(certificate));
}

void
TlsContextBuilder::add_pinned(TlsContext* context, X509* certificate)
{
    X509_STORE_add_cert(store_of(*context), certificate);
    X509_STORE_set_flags(store_of(*context), X509_V_FLAG_PARTIAL_CHAIN);
    context->pinned_.push_back(fingerprint_of(certificate));
    context->material_.push_back(context->pinned_.back());
}

void
TlsContextBuilder::add_crl(TlsContext* context, X509_CRL* crl)
{
    X509_STORE_add_crl(store_of(*context), crl);
    X509_STORE_set_flags(store_of(*context), X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    context->trust_ends_.crl = first(context->trust_ends_.crl, X509_CRL_get0_nextUpdate(crl));
    context->material_.push_back(fingerprint_of(crl));
}

void
TlsContextBuilder::add_problem(TlsContext* context, const std::string& sentence)
{
    if (context->problem_.find(sentence) == std::string::npos) {
        context->problem_ += (context->problem_.empty() ? "" : "; ") + sentence;
    }
}

void
TlsContextBuilder::keep_authorities(TlsContext* context, const TlsContext& former)
{
    for_each_object(former, [&](const X509_OBJECT* object) {
        X509* certificate = X509_OBJECT_get0_X509(object);
        if (certificate && std::ranges::count(former.authorities_, fingerprint_of(certificate))) {
            add_authority(context, certificate);
        }
    });
}

void
TlsContextBuilder::keep_pinned(TlsContext* context, const TlsContext& former)
{
    for_each_object(former, [&](const X509_OBJECT* object) {
        X509* certificate = X509_OBJECT_get0_X509(object);
        if (certificate && std::ranges::count(former.pinned_, fingerprint_of(certificate))) {
            add_pinned(context, certificate);
        }
    });
}

void
TlsContextBuilder::keep_crls(TlsContext* context, const TlsContext& former)
{
    for_each_object(former, [&](const X509_OBJECT* object) {
        if (X509_OBJECT_get_type(object) == X509_LU_CRL) {
            add_crl(context, X509_OBJECT_get0_X509_CRL(object));
        }
    });
}

TlsContextBuilder::Own
TlsContextBuilder::own_of(const TlsContext& former)
{
    Own own;
    SSL_CTX* ctx = former.native();
    const auto add = [&](X509* certificate) {
        X509_up_ref(certificate);
        own.certificates.emplace_back(certificate);
    };
    add(SSL_CTX_get0_certificate(ctx));
    STACK_OF(X509)* chain = nullptr;
    SSL_CTX_get0_chain_certs(ctx, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        add(sk_X509_value(chain, i));
    }
    EVP_PKEY* key = SSL_CTX_get0_privatekey(ctx);
    EVP_PKEY_up_ref(key);
    own.key.reset(key);
    own.identity = former.own_;
    return own;
}

bool
TlsContext::same_material(const TlsContext& other) const
{
    // Keys are not compared: two contexts with a PSK are never the same.
    return level_ == other.level_ && material_ == other.material_ && !is_psk() && !other.is_psk();
}

// ---- The own certificate ----

base::Result<TlsContextBuilder::Own>
TlsContextBuilder::load_own(const TlsFiles& files, std::optional<Role> role)
{
    Own own;
    auto certificates = load_certificates(files.certificate, "certificate");
    if (!certificates.ok()) {
        return certificates.error();
    }
    own.certificates = std::move(*certificates);
    auto key = load_private_key(files.private_key);
    if (!key.ok()) {
        return key.error();
    }
    own.key = std::move(*key);
    X509* leaf = own.certificates.front().get();
    if (X509_check_private_key(leaf, own.key.get()) != 1) {
        return tls_failure("private key " + files.private_key + " does not belong to certificate " +
                           files.certificate + ": give the pair that was made together");
    }
    if (base::Status status = check_validity(leaf, files.certificate, "certificate"); !status.ok()) {
        return status.error();
    }
    auto identity = identity_of(leaf);
    if (!identity.ok()) {
        return tls_failure("certificate " + files.certificate + " cannot be used: " +
                           identity.error().text + "; issue it anew");
    }
    own.identity = std::move(*identity);
    if (X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1 ||
        X509_check_purpose(leaf, X509_PURPOSE_SSL_CLIENT, 0) != 1) {
        return tls_failure("certificate " + files.certificate +
                           " is not for both TLS servers and clients: issue it with both uses");
    }
    if (role && own.identity.role != *role) {
        return base::Error{EACCES, "certificate " + files.certificate + " is for the role " +
                                       to_string(own.identity.role) + ", this daemon works as " +
                                       to_string(*role)};
    }
    return own;
}

base::Status
TlsContextBuilder::verify_own(const TlsContext& context, const Own& own, const TlsFiles& files)
{
    // Without a CA the peers pin our certificate; there is nothing to compare.
    if (files.ca_cert.empty()) {
        return {};
    }
    std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)> chain(
        sk_X509_new_null(), [](STACK_OF(X509)* stack) { sk_X509_free(stack); });
    for (size_t i = 1; chain && i < own.certificates.size(); i++) {
        sk_X509_push(chain.get(), own.certificates[i].get());
    }
    std::unique_ptr<X509_STORE_CTX, StoreContextDeleter> check(X509_STORE_CTX_new());
    if (!chain || !check || X509_STORE_CTX_init(check.get(), store_of(context),
                                                own.certificates.front().get(), chain.get()) != 1) {
        return tls_failure("OpenSSL cannot verify certificate " + files.certificate + ": " +
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
        return tls_failure("certificate " + files.certificate + " is not issued by the CA in " +
                           files.ca_cert + ": give the CA that issued it, or a certificate of that CA");
    case X509_V_ERR_CERT_REVOKED:
        return tls_failure("certificate " + files.certificate + " is revoked by CRL " + files.crl +
                           ": get another certificate");
    default:
        return tls_failure("certificate " + files.certificate + " does not verify against CA " +
                           files.ca_cert + ": " + verify_words(check.get()));
    }
}

base::Status
TlsContextBuilder::use_own(TlsContext* context, const Own& own, const TlsFiles& files)
{
    SSL_CTX* ctx = context->native();
    bool ok = SSL_CTX_use_certificate(ctx, own.certificates.front().get()) == 1 &&
              SSL_CTX_use_PrivateKey(ctx, own.key.get()) == 1;
    for (size_t i = 1; ok && i < own.certificates.size(); i++) {
        ok = SSL_CTX_add1_chain_cert(ctx, own.certificates[i].get()) == 1;
    }
    if (!ok) {
        return tls_failure("certificate " + files.certificate + " cannot be used: " + openssl_error());
    }
    context->own_ = own.identity;
    for (const CertificatePtr& certificate : own.certificates) {
        context->material_.push_back(fingerprint_of(certificate.get()));
    }
    return {};
}

// ---- Whom we trust ----

base::Status
TlsContextBuilder::load_authorities(TlsContext* context, const TlsFiles& files)
{
    if (files.ca_cert.empty()) {
        return files.pinned.empty()
                   ? base::Status(tls_failure("no CA certificate (ca_cert) is set: name its PEM file"))
                   : base::Status{};
    }
    auto authorities = load_certificates(files.ca_cert, "CA certificate");
    if (!authorities.ok()) {
        return authorities.error();
    }
    base::Status out_of_date;
    std::vector<X509*> usable;
    for (const CertificatePtr& ca : *authorities) {
        if (X509_check_ca(ca.get()) == 0) {
            return tls_failure("CA certificate " + files.ca_cert +
                               " holds a certificate that is not of a CA: give the CA's own");
        }
        if (base::Status status = check_validity(ca.get(), files.ca_cert, "CA certificate"); !status.ok()) {
            out_of_date = status;
        } else {
            usable.push_back(ca.get());
        }
    }
    if (usable.empty()) {
        return out_of_date;
    }
    for (X509* ca : usable) {
        add_authority(context, ca);
    }
    if (!out_of_date.ok()) {
        // Of several: one that expired must not keep the others from being followed.
        add_problem(context, out_of_date.error().text);
    }
    ERR_clear_error();
    return {};
}

base::Status
TlsContextBuilder::load_pinned(TlsContext* context, const std::string& path)
{
    auto pinned = load_certificates(path, "peer certificate");
    if (!pinned.ok()) {
        return pinned.error();
    }
    add_pinned(context, pinned->front().get());
    ERR_clear_error();
    return {};
}

// Each CRL counts for its CA alone.  A CA without one, or with a stale one, which
// OpenSSL tells of, has its certificates refused; the others do not suffer.
base::Status
TlsContextBuilder::load_crls(TlsContext* context, const TlsFiles& files)
{
    if (files.crl.empty()) {
        return {};
    }
    size_t damaged = 0;
    auto crls = control::load_crls(files.crl, &damaged);
    if (!crls.ok()) {
        return crls.error();
    }
    std::vector<CertificatePtr> authorities;
    if (auto read = load_certificates(files.ca_cert, "CA certificate"); read.ok()) {
        authorities = std::move(*read);     // those that expired as well
    }
    for_each_object(*context, [&](const X509_OBJECT* object) {
        X509* certificate = X509_OBJECT_get0_X509(object);
        if (certificate && std::ranges::count(context->authorities_, fingerprint_of(certificate))) {
            X509_up_ref(certificate);
            authorities.emplace_back(certificate);
        }
    });
    bool any = false;
    std::string problem = damaged ? "CRL " + files.crl + " has a damaged PEM block: write the file anew" : "";
    for (const CrlPtr& crl : *crls) {
        if (std::ranges::none_of(authorities, [&](const CertificatePtr& ca) { return is_signed_by(crl.get(), ca.get()); })) {
            problem = "CRL " + files.crl + " is not signed by the CA in " + files.ca_cert +
                      ": give the CRL of that CA";
            continue;
        }
        if (std::string stale = staleness(crl.get(), files.crl); !stale.empty()) {
            problem = stale;
        }
        add_crl(context, crl.get());
        any = true;
    }
    if (!any) {
        return tls_failure(problem);
    }
    if (!problem.empty()) {
        add_problem(context, problem);
    }
    ERR_clear_error();
    return {};
}

// ---- All of it ----

base::Result<std::shared_ptr<const TlsContext>>
TlsContext::from_files(const TlsFiles& files, ControlLevel level, std::optional<Role> role,
                       const TlsContext* former)
{
    using Builder = TlsContextBuilder;
    auto made = Builder::make(level, false);
    if (!made.ok()) {
        return made.error();
    }
    TlsContext* context = made->get();
    if (former && former->is_psk()) {
        former = nullptr;
    }
    auto own = Builder::load_own(files, role);
    if (!own.ok()) {
        if (!former) {
            return own.error();
        }
        Builder::add_problem(context, own.error().text);
    }
    if (base::Status status = Builder::load_authorities(context, files); !status.ok()) {
        if (!former) {
            return status.error();
        }
        Builder::add_problem(context, status.error().text);
        Builder::keep_authorities(context, *former);
    }
    for (const std::string& path : files.pinned) {
        if (base::Status status = Builder::load_pinned(context, path); !status.ok()) {
            if (!former) {
                return status.error();
            }
            Builder::add_problem(context, status.error().text);
        }
    }
    if (base::Status status = Builder::load_crls(context, files); !status.ok()) {
        if (!former) {
            return status.error();
        }
        Builder::add_problem(context, status.error().text);
        Builder::keep_crls(context, *former);
    }
    if (own.ok()) {
        if (base::Status status = Builder::verify_own(*context, *own, files); !status.ok()) {
            if (!former) {
                // What is wrong with the CRL explains it best.
                return context->problem_.empty() ? status.error() : tls_failure(context->problem_);
            }
            Builder::add_problem(context, status.error().text);
            own = status.error();
        }
    }
    if (!own.ok()) {
        own = Builder::own_of(*former);
    }
    if (base::Status status = Builder::use_own(context, *own, files); !status.ok()) {
        return status.error();
    }
    return std::shared_ptr<const TlsContext>(std::move(*made));
}

base::Result<std::shared_ptr<const TlsContext>>
TlsContext::at_level(ControlLevel level) const
{
    using Builder = TlsContextBuilder;
    auto made = Builder::make(level, false);
    if (!made.ok()) {
        return made.error();
    }
    TlsContext* context = made->get();
    Builder::keep_authorities(context, *this);
    Builder::keep_pinned(context, *this);
    Builder::keep_crls(context, *this);
    context->problem_ = problem_;
    if (base::Status status = Builder::use_own(context, Builder::own_of(*this), {}); !status.ok()) {
        return status.error();
    }
    return std::shared_ptr<const TlsContext>(std::move(*made));
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

}  // namespace nvo3::control
