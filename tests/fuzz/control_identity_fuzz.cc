// SPDX-License-Identifier: Apache-2.0
//
// Identity of a certificate whose content a hostile CA member chose; and, for
// input that is no certificate, of the text as a SPIFFE URI.
// Place: tests/fuzz.
#include <openssl/err.h>
#include <openssl/x509.h>

#include <cstdlib>
#include <string>

#include "control/identity.h"

using namespace nvo3::control;

namespace {

// What goes into logs and comparisons.
void
must_be_printable(const std::string& name)
{
    if (name.empty() || name.size() > 255) {
        std::abort();
    }
    for (char c : name) {
        if (c < 0x20 || c > 0x7e) {
            std::abort();
        }
    }
}

}  // namespace

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const unsigned char* at = data;
    X509* certificate = d2i_X509(nullptr, &at, static_cast<long>(size));
    if (certificate) {
        const auto identity = identity_of(certificate);
        if (identity.ok()) {
            must_be_printable(identity->name);
            for (const std::string& dns : identity->dns_names) {
                must_be_printable(dns);
            }
            if (identity->spiffe() != !identity->trust_domain.empty()) {
                std::abort();
            }
        }
        X509_free(certificate);
    }
    ERR_clear_error();
    const std::string text(reinterpret_cast<const char*>(data), size);
    const auto id = parse_spiffe_id(text);
    // Exactly one spelling.
    if (id.ok() && "spiffe://" + id->trust_domain + "/nvo3/" + to_string(id->role) + "/" + id->name != text) {
        std::abort();
    }
    return 0;
}
