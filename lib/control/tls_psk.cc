// SPDX-License-Identifier: Apache-2.0
//
// TLS contexts from a pre-shared key (external PSK, RFC 8446 section 4.2.11); see tls.h.
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <sys/stat.h>

#include <cerrno>

#include "control/pem.h"
#include "control/tls_internal.h"

namespace nvo3::control {
namespace {

// Who records a handshake under a short key can try all of them at leisure.
constexpr size_t kMinPskSize = 16;
constexpr size_t kMaxPskSize = 4096;
constexpr const char* kGoodPsk = "; the output of 'openssl rand -hex 32' is a good one";
// Names nobody: which key is meant is decided by the addresses.
constexpr std::string_view kPskIdentity = "nvo3";

const unsigned char*
id_context()
{
    return reinterpret_cast<const unsigned char*>(kPskIdentity.data());
}

}  // namespace

base::Result<std::shared_ptr<const TlsContext>>
TlsContext::from_psk(base::ByteView psk, ControlLevel level)
{
    if (psk.size() < kMinPskSize || psk.size() > kMaxPskSize) {
        return base::Error{EINVAL, std::string("a pre-shared key has 16 to 4096 octets") + kGoodPsk};
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
    if (size < kMinPskSize || size > kMaxPskSize) {
        return base::Error{EINVAL, "pre-shared key " + path + " must hold 16 to 4096 octets" + kGoodPsk};
    }
    return base::Secret(content->view().first(size));
}

}  // namespace nvo3::control
