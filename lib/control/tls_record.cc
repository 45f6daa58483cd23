// SPDX-License-Identifier: Apache-2.0
//
// What a handshake leaves behind: the record attached to an SSL object, the
// peer's chain, and its failure in words; see tls.h.
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>

#include "control/tls.h"
#include "control/tls_internal.h"

namespace nvo3::control {
namespace {

// A key update serves an hour of control messages; nobody needs so many.
constexpr unsigned kMaxPostHandshake = 64;

int
record_index()
{
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

std::string
alert_words(int alert, bool psk)
{
    switch (alert) {
    case SSL_AD_UNKNOWN_CA:
        return "the peer does not trust the CA of our certificate: give both hosts the same ca_cert";
    case SSL_AD_CERTIFICATE_EXPIRED:
        return "the peer says that our certificate has expired or is not valid yet: check it and both clocks";
    case SSL_AD_CERTIFICATE_REVOKED: return "the peer says that our certificate is revoked";
    case SSL_AD_CERTIFICATE_REQUIRED: return "the peer wants a certificate and got none from us";
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
        return "the peer does not accept our certificate: its log says why";
    case SSL_AD_DECRYPT_ERROR:
    case SSL_AD_ILLEGAL_PARAMETER:  // OpenSSL's, for a PSK binder that is wrong
        return psk ? "the peer has another pre-shared key"
                   : "the peer could not verify our handshake";
    case SSL_AD_BAD_RECORD_MAC: return "the peer received altered data";
    case SSL_AD_PROTOCOL_VERSION: return "the peer does not speak TLS 1.3";
    case SSL_AD_HANDSHAKE_FAILURE:
        return psk ? "the peer does not take a pre-shared key from us, or not at this control level"
                   : "the peer refused us: its log says why";
    default: {
        const char* name = SSL_alert_desc_string_long(alert);
        return std::string("the peer ended the connection with a TLS alert: ") +
               (name ? name : "unknown");
    }
    }
}

// Errors that mean: it is the peer that did not prove who it is.
const char*
refusal_words(int reason, bool psk)
{
    switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return "the peer has no certificate";
    case SSL_R_BINDER_DOES_NOT_VERIFY: return "the peer has another pre-shared key";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_VERSION_TOO_LOW: return "the peer does not speak TLS 1.3";
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_CERTIFICATE_SET:
        return psk ? "the peer offers no pre-shared key, which this tunnel wants" : nullptr;
    case SSL_R_NO_SHARED_CIPHER:
        return psk ? "the peer offers no pre-shared key that fits, or another control level"
                   : "the peer offers no cipher suite of our control level";
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
        return "the peer offers no key exchange group of our control level";
    case SSL_R_BAD_SIGNATURE: return "the peer does not hold the key of its certificate";
    default: return nullptr;
    }
}

}  // namespace

void
attach_record(SSL* ssl, HandshakeRecord* record)
{
    SSL_set_ex_data(ssl, record_index(), record);
}

HandshakeRecord*
record_of(const SSL* ssl)
{
    return ssl ? static_cast<HandshakeRecord*>(SSL_get_ex_data(ssl, record_index())) : nullptr;
}

void
count_post_handshake(int write_p, int, int content_type, const void*, size_t, SSL* ssl, void*)
{
    HandshakeRecord* record = record_of(ssl);
    if (write_p != 0 || content_type != SSL3_RT_HANDSHAKE || !record || !record->established) {
        return;
    }
    if (++record->post_handshake == kMaxPostHandshake && record->on_flood) {
        record->on_flood();
    }
}

CertificateChain
peer_chain(const SSL* ssl)
{
    CertificateChain result;
    STACK_OF(X509)* chain = SSL_get0_verified_chain(ssl);
    for (int i = 0; chain && i < sk_X509_num(chain); i++) {
        X509* certificate = sk_X509_value(chain, i);
        X509_up_ref(certificate);
        result.emplace_back(certificate);
    }
    return result;
}

TlsFailure
describe_tls_error(const boost::system::error_code& error, const HandshakeRecord& record,
                   const TlsContext& context)
{
    using By = TlsFailure::By;
    if (!record.refusal.empty()) {
        return {By::us, record.refusal};
    }
    if (error.category() == boost::asio::error::get_ssl_category()) {
        const auto code = static_cast<unsigned long>(static_cast<unsigned>(error.value()));
        const int reason = ERR_GET_REASON(code);
        if (reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
            const int alert = reason - SSL_AD_REASON_OFFSET;
            // Not a refusal of ours, but of what came on the wire.
            const By by = alert == SSL_AD_BAD_RECORD_MAC ? By::stream : By::peer;
            return {by, alert_words(alert, context.is_psk())};
        }
        if (const char* words = refusal_words(reason, context.is_psk())) {
            return {By::us, words};
        }
        if (reason == SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC ||
            reason == SSL_R_DIGEST_CHECK_FAILED) {
            return {By::stream, "data was altered on the way"};
        }
        const char* text = ERR_reason_error_string(code);
        return {By::stream, std::string("TLS failed: ") + (text ? text : "unknown reason")};
    }
    if (error == boost::asio::ssl::error::stream_truncated) {
        return {By::stream, "the connection was cut"};
    }
    if (error == boost::asio::error::eof) {
        return {By::stream, "the peer ended the connection"};
    }
    return {By::stream, error.message()};
}

}  // namespace nvo3::control
