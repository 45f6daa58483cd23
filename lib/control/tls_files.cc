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
        return tls_failure("private key " + files.private_key + " does not belong to certificate " +
                       files.certificate + ": give the pair that was made together");
    }
    if (base::Status status = check_validity(own, files.certificate, "certificate"); !status.ok()) {
        return status;
    }
    auto identity = identity_of(own);
    if (!identity.ok()) {
        return tls_failure("certificate " + files.certificate + " cannot be used: " +
                       identity.error().text + "; issue it anew");
    }
    if (X509_check_purpose(own, X509_PURPOSE_SSL_SERVER, 0) != 1 ||
        X509_check_purpose(own, X509_PURPOSE_SSL_CLIENT, 0) != 1) {
        return tls_failure("certificate " + files.certificate +
                       " is not for both TLS servers and clients: issue it with both uses");
    }
    context->own_ = std::move(*identity);

    SSL_CTX* ctx = context->native();
    bool ok = SSL_CTX_use_certificate(ctx, own) == 1 && SSL_CTX_use_PrivateKey(ctx, key->get()) == 1;
    for (size_t i = 1; ok && i < certificates->size(); i++) {
        ok = SSL_CTX_add1_chain_cert(ctx, (*certificates)[i].get()) == 1;
    }
    if (!ok) {
        return tls_failure("certificate " + files.certificate + " cannot be used: " + openssl_error());
    }
    return {};
}

base::Status
TlsContextBuilder::load_trust(TlsContext* context, const TlsFiles& files)
{
    X509_STORE* store = SSL_CTX_get_cert_store(context->native());
    if (files.ca_cert.empty() && files.pinned.empty()) {
        return tls_failure("no CA certificate (ca_cert) is set: name its PEM file");
    }
    if (!files.ca_cert.empty()) {
        auto authorities = load_certificates(files.ca_cert, "CA certificate");
        if (!authorities.ok()) {
            return authorities.error();
        }
        for (const CertificatePtr& ca : *authorities) {
            if (X509_check_ca(ca.get()) == 0) {
                return tls_failure("CA certificate " + files.ca_cert +
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
            return tls_failure("CRL " + files.crl + " expired at " + to_text(next) +
                           ": fetch a fresh one from the CA");
        }
        if (X509_cmp_current_time(X509_CRL_get0_lastUpdate(crl.get())) > 0) {
            return tls_failure("CRL " + files.crl + " is not valid before " +
                           to_text(X509_CRL_get0_lastUpdate(crl.get())) + ": check this host's clock");
        }
        const bool ours = std::any_of(
            authorities->begin(), authorities->end(), [&](const CertificatePtr& ca) {
                return X509_NAME_cmp(X509_get_subject_name(ca.get()),
                                     X509_CRL_get_issuer(crl.get())) == 0 &&
                       X509_CRL_verify(crl.get(), X509_get0_pubkey(ca.get())) == 1;
            });
        if (!ours) {
            return tls_failure("CRL " + files.crl + " is not signed by the CA in " + files.ca_cert +
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
