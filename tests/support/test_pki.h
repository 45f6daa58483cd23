// SPDX-License-Identifier: Apache-2.0
//
// Certificates for tests, made in memory by OpenSSL and written to a directory
// that goes with the object: CAs, leaves with and without SPIFFE names, expired
// ones, revocation lists.
// Place: tests/support.  Threads: one.
#ifndef NVO3_TESTS_SUPPORT_TEST_PKI_H
#define NVO3_TESTS_SUPPORT_TEST_PKI_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

#include "control/pem.h"
#include "control/tls.h"

namespace nvo3::tests {

// A directory that is removed with the object.
class TempDir {
public:
    TempDir();
    // One of the caller's, which stays.
    explicit TempDir(std::string path) : path_(std::move(path)), keep_(true) {}
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    std::string file(const std::string& name) const { return path_ + "/" + name; }
    // Writes a file with mode 0600 and returns its path.
    std::string write(const std::string& name, const std::string& content) const;

private:
    std::string path_;
    bool keep_ = false;
};

struct LeafOptions {
    std::string uri;               // SAN URI; empty: none
    std::string cn = "leaf";       // empty: none
    std::vector<std::string> dns;  // SAN DNS
    std::string second_uri;
    std::string usage = "serverAuth,clientAuth";  // empty: no extension
    long not_before = -3600;       // seconds from now
    long not_after = 86400;
};

struct Leaf {
    control::CertificatePtr certificate;
    control::KeyPtr key;
    std::string certificate_path;
    std::string key_path;
};

class TestCa {
public:
    TestCa(const TempDir& dir, std::string name, long not_after = 86400);

    Leaf issue(const std::string& file, const LeafOptions& options) const;
    // spiffe://test.internal/nvo3/<role>/<name>
    Leaf host(const std::string& name, const std::string& role = "nve",
              const std::string& domain = "test.internal") const;
    // A CRL file; 'next' seconds from now.
    std::string crl(const std::string& file, const std::vector<const Leaf*>& revoked,
                    long next = 86400, long last = -60) const;
    const std::string& path() const { return path_; }

private:
    const TempDir& dir_;
    control::KeyPtr key_;
    control::CertificatePtr certificate_;
    std::string path_;
    mutable long serial_ = 100;
};

// A certificate that signs itself, as "ovs-pki self-sign" makes it.
Leaf self_signed(const TempDir& dir, const std::string& file, const LeafOptions& options);

control::TlsFiles files_of(const Leaf& leaf, const TestCa& ca, const std::string& crl = "");

// DER of a certificate, for fuzz seeds.
base::Bytes der_of(const X509* certificate);

}  // namespace nvo3::tests

#endif
