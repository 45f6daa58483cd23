// SPDX-License-Identifier: Apache-2.0
//
// TLS 1.3 as the control channel uses it: mutual, no resumption, no tickets, no
// early data.  A TlsContext is made from files (certificates) or from a
// pre-shared key, never changes afterwards, and serves any number of sessions
// of either side; after a change of the files make another one.
// Place: lib/control, used by session.  Threads: immutable after creation, any
// thread; the factories read files and so may block: not on a busy io thread
// with files on a network mount.
#ifndef NVO3_CONTROL_TLS_H
#define NVO3_CONTROL_TLS_H

#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "base/secret.h"
#include "control/identity.h"

// Not by their headers: a third of our files includes this one, and nine have a TLS stream.
namespace boost::asio::ssl {
class context;
}
namespace boost::system {
class error_code;
}

namespace nvo3::control {

// other_config:nvo3-control-level.
//   standard: AES-128-GCM, ChaCha20-Poly1305, AES-256-GCM; X25519, P-256, P-384
//   high:     AES-256-GCM; P-384, X25519
enum class ControlLevel : uint8_t { standard, high };
const char* to_string(ControlLevel level) noexcept;
// Whether the finished handshake is one that 'level' would have come to.
bool is_of_level(const SSL* ssl, ControlLevel level) noexcept;

// PEM files.  The texts of errors call them by these names.
struct TlsFiles {
    std::string certificate;  // own, with intermediates behind it
    std::string private_key;
    std::string ca_cert;  // one or more; may be empty if 'pinned' is not
    std::string crl;      // empty: none.  Else one CRL of every CA
    // Peer certificates to be trusted as they are (options:remote_cert).
    std::vector<std::string> pinned;
};

// Owning; for a peer's certificates.  Leaf first.
struct X509Deleter {
    void operator()(X509* x) const noexcept { X509_free(x); }
};
using X509Ptr = std::unique_ptr<X509, X509Deleter>;
using CertificateChain = std::vector<X509Ptr>;

class TlsContext {
public:
    // Each failure is one sentence that names the file and what to do: missing,
    // unreadable, not PEM, expired, not yet valid, key that does not match,
    // certificate not of this CA, revoked, CRL unreadable or expired.
    // A CA that has expired is left out; a CA whose CRL is stale, damaged or not
    // there has its certificates refused: problem() says so.
    // 'role', if given, is what the own certificate must be for.  With 'former',
    // what cannot be read any more (own certificate and key, CAs, CRLs, each for
    // itself) is taken from there, so that a new CRL counts whatever else is
    // broken; problem() says what.
    static base::Result<std::shared_ptr<const TlsContext>> from_files(
        const TlsFiles& files, ControlLevel level, std::optional<Role> role = {},
        const TlsContext* former = nullptr);

    // 'psk' is an octet string of 16 to 4096; it is wiped by the
    // caller.  Ephemeral Diffie-Hellman is always mixed in (psk_dhe_ke).  A PSK
    // context knows no certificate and never falls back to one.
    static base::Result<std::shared_ptr<const TlsContext>> from_psk(base::ByteView psk,
                                                                    ControlLevel level);

    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;
    ~TlsContext();

    // The same for another level: same_material() but for that.  Only if !is_psk().
    base::Result<std::shared_ptr<const TlsContext>> at_level(ControlLevel level) const;

    bool is_psk() const noexcept { return psk_ != nullptr; }
    ControlLevel level() const noexcept { return level_; }
    // Own name, role and end.  Only if !is_psk().
    const PeerIdentity& own_identity() const noexcept { return own_; }
    // What of the files is not used, in sentences; empty: all is.
    const std::string& problem() const noexcept { return problem_; }
    const TrustEnds& trust_ends() const noexcept { return trust_ends_; }
    // Whether both hold the same certificates and CRLs and are of one level.
    bool same_material(const TlsContext& other) const;

    // Whether a peer with these certificates would be let in now: after a
    // reload, for the sessions made under an older context.  The error is the
    // sentence for log and audit.  Only if !is_psk().
    base::Status reverify(const CertificateChain& chain) const;

    // For session and tests.
    boost::asio::ssl::context& asio() const noexcept { return *asio_; }
    SSL_CTX* native() const noexcept;

private:
    friend class TlsContextBuilder;
    TlsContext();

    std::unique_ptr<boost::asio::ssl::context> asio_;
    PeerIdentity own_;
    std::vector<Fingerprint> authorities_;  // of ca_cert: anchors that may vouch for names
    std::vector<Fingerprint> pinned_;       // may vouch for themselves only
    std::vector<Fingerprint> material_;     // own chain, CAs, pinned, CRLs
    TrustEnds trust_ends_;
    std::string problem_;
    std::unique_ptr<base::Secret> psk_;
    ControlLevel level_ = ControlLevel::standard;
};

// What a handshake leaves behind, attached to its SSL object by the session
// before the handshake and read after it.
struct HandshakeRecord {
    // Set before: the two ends of the TCP connection (a PSK is bound to them).
    base::IpAddress client;
    base::IpAddress server;
    // Set by the handshake.
    std::optional<PeerIdentity> peer;
    std::string refusal;  // why we refused the peer; empty if we did not
    // Set by the session when the handshake has succeeded: from then on every
    // handshake message counts (OpenSSL is "in init" again while it takes one).
    bool established = false;
    unsigned post_handshake = 0;
    // Called when a peer sends handshake messages without end (key updates)
    // that no read ever shows.
    std::function<void()> on_flood;
};
// 'record' must outlive 'ssl' or be detached with nullptr.
void attach_record(SSL* ssl, HandshakeRecord* record);

// The peer's verified chain, leaf first; empty with a PSK.
CertificateChain peer_chain(const SSL* ssl);

// What went wrong in a handshake or on the stream, in words.
struct TlsFailure {
    enum class By : uint8_t {
        us,      // we refused the peer
        peer,    // the peer's alert refused us
        stream,  // neither: the connection broke, or was tampered with
    };
    By by = By::stream;
    std::string text;
};
TlsFailure describe_tls_error(const boost::system::error_code& error,
                              const HandshakeRecord& record, const TlsContext& context);

// Fingerprint of the first certificate in a PEM file (options:remote_cert).
base::Result<Fingerprint> certificate_fingerprint(const std::string& path);

// A key from a file (options:psk): its content without one trailing line end.
// Refuses a file that others than its owner may read, is too short or too long.
base::Result<base::Secret> read_psk_file(const std::string& path);

}  // namespace nvo3::control

#endif
