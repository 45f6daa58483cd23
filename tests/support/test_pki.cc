// SPDX-License-Identifier: Apache-2.0
//
// See test_pki.h.  What fails here aborts the test program: it is no test.
#include "test_pki.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace nvo3::tests {
namespace {

void
must(bool ok, const char* what)
{
    if (!ok) {
        std::fprintf(stderr, "test_pki: %s failed\n", what);
        std::abort();
    }
}

void
set_name(X509_NAME* name, const std::string& cn)
{
    if (!cn.empty()) {
        must(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                        reinterpret_cast<const unsigned char*>(cn.data()),
                                        static_cast<int>(cn.size()), -1, 0) == 1,
             "name");
    }
}

void
add_extension(X509* certificate, int nid, const std::string& value)
{
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    must(extension && X509_add_ext(certificate, extension, -1) == 1, value.c_str());
    X509_EXTENSION_free(extension);
}

void
add_alternative_names(X509* certificate, const LeafOptions& options)
{
    // By hand: the text form could not say what some tests need.
    GENERAL_NAMES* names = GENERAL_NAMES_new();
    const auto add = [&](int type, const std::string& value) {
        ASN1_IA5STRING* text = ASN1_IA5STRING_new();
        must(ASN1_STRING_set(text, value.data(), static_cast<int>(value.size())) == 1, "string");
        GENERAL_NAME* name = GENERAL_NAME_new();
        GENERAL_NAME_set0_value(name, type, text);
        sk_GENERAL_NAME_push(names, name);
    };
    for (const std::string* uri : {&options.uri, &options.second_uri}) {
        if (!uri->empty()) {
            add(GEN_URI, *uri);
        }
    }
    for (const std::string& dns : options.dns) {
        add(GEN_DNS, dns);
    }
    if (sk_GENERAL_NAME_num(names) > 0) {
        must(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) == 1, "SAN");
    }
    GENERAL_NAMES_free(names);
}

template <class Write>
void
write_pem(const std::string& path, Write write)
{
    std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "w"), &std::fclose);
    must(file && chmod(path.c_str(), 0600) == 0 && write(file.get()) == 1, path.c_str());
}

control::CertificatePtr
make_certificate(long serial, long not_before, long not_after, const std::string& cn, EVP_PKEY* key)
{
    control::CertificatePtr certificate(X509_new());
    X509_set_version(certificate.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), not_before);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), not_after);
    set_name(X509_get_subject_name(certificate.get()), cn);
    must(X509_set_pubkey(certificate.get(), key) == 1, "public key");
    return certificate;
}

Leaf
store(Leaf leaf, const TempDir& dir, const std::string& file)
{
    leaf.certificate_path = dir.file(file + ".crt");
    leaf.key_path = dir.file(file + ".key");
    write_pem(leaf.certificate_path, [&](FILE* f) { return PEM_write_X509(f, leaf.certificate.get()); });
    write_pem(leaf.key_path, [&](FILE* f) {
        return PEM_write_PrivateKey(f, leaf.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
    return leaf;
}

void
add_leaf_extensions(X509* certificate, const LeafOptions& options)
{
    add_alternative_names(certificate, options);
    if (!options.usage.empty()) {
        add_extension(certificate, NID_ext_key_usage, options.usage);
    }
}

}  // namespace

TempDir::TempDir()
{
    std::string pattern = std::filesystem::temp_directory_path() / "nvo3-test-XXXXXX";
    must(mkdtemp(pattern.data()) != nullptr, "mkdtemp");
    path_ = pattern;
}

TempDir::~TempDir()
{
    if (keep_) {
        return;
    }
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string
TempDir::write(const std::string& name, const std::string& content) const
{
    const std::string path = file(name);
    write_pem(path, [&](FILE* f) { return std::fwrite(content.data(), 1, content.size(), f) == content.size(); });
    return path;
}

TestCa::TestCa(const TempDir& dir, std::string name, long not_after)
    : dir_(dir), key_(EVP_EC_gen("P-256")), path_(dir.file(name + ".crt"))
{
    certificate_ = make_certificate(1, -7200, not_after, name, key_.get());
    add_extension(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
    add_extension(certificate_.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
    X509_set_issuer_name(certificate_.get(), X509_get_subject_name(certificate_.get()));
    must(X509_sign(certificate_.get(), key_.get(), EVP_sha256()) > 0, "sign");
    write_pem(path_, [&](FILE* f) { return PEM_write_X509(f, certificate_.get()); });
}

Leaf
TestCa::issue(const std::string& file, const LeafOptions& options) const
{
    Leaf leaf;
    leaf.key.reset(EVP_EC_gen("P-256"));
    leaf.certificate = make_certificate(serial_++, options.not_before, options.not_after, options.cn,
                                        leaf.key.get());
    add_leaf_extensions(leaf.certificate.get(), options);
    add_extension(leaf.certificate.get(), NID_basic_constraints, "critical,CA:FALSE");
    X509_set_issuer_name(leaf.certificate.get(), X509_get_subject_name(certificate_.get()));
    must(X509_sign(leaf.certificate.get(), key_.get(), EVP_sha256()) > 0, "sign");
    return store(std::move(leaf), dir_, file);
}

Leaf
TestCa::host(const std::string& name, const std::string& role, const std::string& domain) const
{
    LeafOptions options;
    options.uri = "spiffe://" + domain + "/nvo3/" + role + "/" + name;
    options.cn = name;
    return issue(name + "-" + role, options);
}

std::string
TestCa::crl(const std::string& file, const std::vector<const Leaf*>& revoked, long next,
            long last) const
{
    control::CrlPtr crl(X509_CRL_new());
    X509_CRL_set_version(crl.get(), 1);
    X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(certificate_.get()));
    ASN1_TIME* time = X509_gmtime_adj(nullptr, last);
    X509_CRL_set1_lastUpdate(crl.get(), time);
    for (const Leaf* leaf : revoked) {
        X509_REVOKED* entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(leaf->certificate.get()));
        X509_REVOKED_set_revocationDate(entry, time);
        X509_CRL_add0_revoked(crl.get(), entry);
    }
    X509_gmtime_adj(time, next);
    X509_CRL_set1_nextUpdate(crl.get(), time);
    ASN1_TIME_free(time);
    X509_CRL_sort(crl.get());
    must(X509_CRL_sign(crl.get(), key_.get(), EVP_sha256()) > 0, "sign CRL");
    const std::string path = dir_.file(file);
    write_pem(path, [&](FILE* f) { return PEM_write_X509_CRL(f, crl.get()); });
    return path;
}

Leaf
self_signed(const TempDir& dir, const std::string& file, const LeafOptions& options)
{
    Leaf leaf;
    leaf.key.reset(EVP_EC_gen("P-256"));
    leaf.certificate =
        make_certificate(7, options.not_before, options.not_after, options.cn, leaf.key.get());
    add_leaf_extensions(leaf.certificate.get(), options);
    X509_set_issuer_name(leaf.certificate.get(), X509_get_subject_name(leaf.certificate.get()));
    must(X509_sign(leaf.certificate.get(), leaf.key.get(), EVP_sha256()) > 0, "sign");
    return store(std::move(leaf), dir, file);
}

control::TlsFiles
files_of(const Leaf& leaf, const TestCa& ca, const std::string& crl)
{
    control::TlsFiles files;
    files.certificate = leaf.certificate_path;
    files.private_key = leaf.key_path;
    files.ca_cert = ca.path();
    files.crl = crl;
    return files;
}

base::Bytes
der_of(const X509* certificate)
{
    base::Bytes der(static_cast<size_t>(i2d_X509(certificate, nullptr)));
    unsigned char* to = der.data();
    i2d_X509(certificate, &to);
    return der;
}

}  // namespace nvo3::tests
