// SPDX-License-Identifier: Apache-2.0
//
// Inside of tls.h, for tls.cc (contexts, the decision about a peer), tls_files.cc,
// tls_psk.cc and tls_record.cc.
// Place: lib/control, not for others.  Threads: as tls.h.
#ifndef NVO3_CONTROL_TLS_INTERNAL_H
#define NVO3_CONTROL_TLS_INTERNAL_H

#include <openssl/x509_vfy.h>

#include "control/pem.h"
#include "control/tls.h"

namespace nvo3::control {

constexpr int kMaxChainDepth = 4;

struct StoreContextDeleter {
    void operator()(X509_STORE_CTX* ctx) const noexcept { X509_STORE_CTX_free(ctx); }
};

// Makes contexts, and answers OpenSSL's callbacks about them.
class TlsContextBuilder {
public:
    static base::Result<std::shared_ptr<TlsContext>> make(ControlLevel level, bool psk);
    // The parts of from_files().
    struct Own {
        std::vector<CertificatePtr> certificates;   // leaf first
        KeyPtr key;
        PeerIdentity identity;
    };
    static base::Result<Own> load_own(const TlsFiles& files, std::optional<Role> role);
    static base::Status load_authorities(TlsContext* context, const TlsFiles& files);
    static base::Status load_pinned(TlsContext* context, const std::string& path);
    static base::Status load_crls(TlsContext* context, const TlsFiles& files);
    static base::Status verify_own(const TlsContext& context, const Own& own, const TlsFiles& files);
    static base::Status use_own(TlsContext* context, const Own& own, const TlsFiles& files);
    // The same from another context.
    static Own own_of(const TlsContext& former);
    static void keep_authorities(TlsContext* context, const TlsContext& former);
    static void keep_pinned(TlsContext* context, const TlsContext& former);
    static void keep_crls(TlsContext* context, const TlsContext& former);
    static void add_authority(TlsContext* context, X509* certificate);
    static void add_pinned(TlsContext* context, X509* certificate);
    static void add_crl(TlsContext* context, X509_CRL* crl);
    static void add_problem(TlsContext* context, const std::string& sentence);
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

// EINVAL with that text; forgets OpenSSL's errors of this thread.
base::Error tls_failure(std::string text);
// Why X509_verify_cert() said no, in words that name the certificate.
std::string verify_words(X509_STORE_CTX* ctx);
Fingerprint fingerprint_of(const X509* certificate);

const TlsContext* context_of(const SSL* ssl);
// What attach_record() attached; may be null.
HandshakeRecord* record_of(const SSL* ssl);

// OpenSSL's message callback: counts handshake messages after the handshake.
void count_post_handshake(int write_p, int version, int content_type, const void* buffer,
                          size_t size, SSL* ssl, void* arg);

}  // namespace nvo3::control

#endif
