// SPDX-License-Identifier: Apache-2.0
//
// Certificates, keys and revocation lists from PEM files, with errors that an
// operator can act on: one sentence, the file's name, what to do.
// Place: lib/control, below tls.  Threads: any; reads files, so may block.
#ifndef NVO3_CONTROL_PEM_H
#define NVO3_CONTROL_PEM_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace nvo3::control {

struct PemDeleter {
    void operator()(X509* p) const noexcept { X509_free(p); }
    void operator()(X509_CRL* p) const noexcept { X509_CRL_free(p); }
    void operator()(EVP_PKEY* p) const noexcept { EVP_PKEY_free(p); }
};
using CertificatePtr = std::unique_ptr<X509, PemDeleter>;
using CrlPtr = std::unique_ptr<X509_CRL, PemDeleter>;
using KeyPtr = std::unique_ptr<EVP_PKEY, PemDeleter>;

// Nothing if it is malformed.  Never later than 2200, which the clock's nanoseconds can hold.
std::optional<std::chrono::system_clock::time_point> to_time_point(const ASN1_TIME* time);

// The whole file, up to 1 MiB.  'what' is how errors call it ("private key").
base::Result<base::Secret> read_file(const std::string& path, const char* what);

// At least one.
base::Result<std::vector<CertificatePtr>> load_certificates(const std::string& path,
                                                            const char* what);
// Broken blocks beside good ones are left out and counted in 'damaged'.
base::Result<std::vector<CrlPtr>> load_crls(const std::string& path, size_t* damaged);
// Warns in the log if others than owner and group may read it.
base::Result<KeyPtr> load_private_key(const std::string& path);

// Whether 'certificate' of 'path' is valid now.
base::Status check_validity(const X509* certificate, const std::string& path, const char* what);
// "2026-01-31 12:00:00 UTC".
std::string to_text(const ASN1_TIME* time);
// "permission denied: ..." for errno of a file.
std::string file_error(const std::string& path, const char* what, int error);

// The thread's OpenSSL errors, emptied; the first one in words.
std::string openssl_error();

}  // namespace nvo3::control

#endif
