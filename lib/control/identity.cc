// SPDX-License-Identifier: Apache-2.0
//
// Peer identity from a certificate, see identity.h.
#include "control/identity.h"

#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "control/pem.h"

namespace nvo3::control {
namespace {

constexpr size_t kMaxTrustDomain = 255;
constexpr size_t kMaxName = 128;
constexpr size_t kMaxPlainName = 255;
constexpr size_t kMaxDnsNames = 32;

struct NamesDeleter {
    void operator()(GENERAL_NAMES* names) const noexcept { GENERAL_NAMES_free(names); }
};

bool
is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '.' || c == '_' || c == '-';
}

bool
is_domain_char(char c)
{
    return is_name_char(c) && !(c >= 'A' && c <= 'Z');
}

// Names go into logs and are compared: nothing that could look like another.
bool
is_plain_name(std::string_view name)
{
    return !name.empty() && name.size() <= kMaxPlainName &&
           std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

bool
starts_with_spiffe(std::string_view uri)
{
    constexpr std::string_view scheme = "spiffe:";
    return uri.size() >= scheme.size() &&
           std::equal(scheme.begin(), scheme.end(), uri.begin(),
                      [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
}

std::string_view
text_of(const ASN1_STRING* string)
{
    // By size: a NUL inside must not cut the name.
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
            static_cast<size_t>(ASN1_STRING_length(string))};
}

base::Error
refused(std::string text)
{
    return base::Error{EPERM, std::move(text)};
}

struct SubjectNames {
    std::vector<std::string> uris;
    std::vector<std::string> dns;
};

base::Result<SubjectNames>
alternative_names(const X509* certificate)
{
    SubjectNames result;
    int critical = 0;
    std::unique_ptr<GENERAL_NAMES, NamesDeleter> names(static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, nullptr)));
    if (!names) {
        if (critical != -1) {
            return refused("the certificate's subject alternative name is malformed or there twice");
        }
        return result;
    }
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); i++) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type == GEN_URI) {
            result.uris.emplace_back(text_of(name->d.uniformResourceIdentifier));
        } else if (name->type == GEN_DNS) {
            const std::string_view dns = text_of(name->d.dNSName);
            if (!is_plain_name(dns)) {
                return refused("the certificate has a DNS name with characters that names do not have");
            }
            if (result.dns.size() >= kMaxDnsNames) {
                return refused("the certificate has more than 32 DNS names");
            }
            result.dns.emplace_back(dns);
        }
    }
    return result;
}

// Empty if there is none.
base::Result<std::string>
common_name(const X509* certificate)
{
    const X509_NAME* subject = X509_get_subject_name(certificate);
    const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (index < 0) {
        return std::string();
    }
    if (X509_NAME_get_index_by_NID(subject, NID_commonName, index) >= 0) {
        return refused("the certificate has more than one common name");
    }
    const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index));
    unsigned char* utf8 = nullptr;
    const int size = ASN1_STRING_to_UTF8(&utf8, value);
    if (size < 0) {
        return refused("the certificate's common name is malformed");
    }
    std::string name(reinterpret_cast<char*>(utf8), static_cast<size_t>(size));
    OPENSSL_free(utf8);
    if (!is_plain_name(name)) {
        return refused("the certificate's common name has characters that names do not have");
    }
    return name;
}

base::Status
read_end(const X509* certificate, PeerIdentity* identity)
{
    const auto end = to_time_point(X509_get0_notAfter(certificate));
    if (!end) {
        return refused("the certificate's end of validity is malformed");
    }
    identity->not_after = *end;
    unsigned size = 0;
    if (X509_digest(certificate, EVP_sha256(), identity->fingerprint.data(), &size) != 1 ||
        size != identity->fingerprint.size()) {
        return refused("the certificate's fingerprint cannot be computed");
    }
    return {};
}

}  // namespace

const char*
to_string(Role role) noexcept
{
    switch (role) {
    case Role::nve: return "nve";
    case Role::nva: return "nva";
    case Role::hypervisor: return "hypervisor";
    }
    return "unknown";
}

base::Result<Role>
parse_role(std::string_view text)
{
    for (Role role : {Role::nve, Role::nva, Role::hypervisor}) {
        if (text == to_string(role)) {
            return role;
        }
    }
    return base::Error{EINVAL, "a role is nve, nva or hypervisor"};
}

base::Result<SpiffeId>
parse_spiffe_id(std::string_view uri)
{
    const auto malformed = [] {
        return refused("the certificate's SPIFFE URI is not "
                       "spiffe://<trust domain>/nvo3/<role>/<name>");
    };
    constexpr std::string_view scheme = "spiffe://";
    if (uri.substr(0, scheme.size()) != scheme) {
        return malformed();
    }
    uri.remove_prefix(scheme.size());
    std::vector<std::string_view> parts;
    for (size_t slash; (slash = uri.find('/')) != uri.npos; uri.remove_prefix(slash + 1)) {
        if (parts.size() == 3) {
            return malformed();
        }
        parts.push_back(uri.substr(0, slash));
    }
    parts.push_back(uri);
    if (parts.size() != 4 || parts[1] != "nvo3") {
        return malformed();
    }
    const std::string_view domain = parts[0];
    const std::string_view name = parts[3];
    if (domain.empty() || domain.size() > kMaxTrustDomain ||
        !std::all_of(domain.begin(), domain.end(), is_domain_char)) {
        return refused("the trust domain in the certificate's SPIFFE URI is not valid");
    }
    if (name.empty() || name.size() > kMaxName || name == "." || name == ".." ||
        !std::all_of(name.begin(), name.end(), is_name_char)) {
        return refused("the name in the certificate's SPIFFE URI is not valid");
    }
    const auto role = parse_role(parts[2]);
    if (!role.ok()) {
        return refused("the role in the certificate's SPIFFE URI is not nve, nva or hypervisor");
    }
    return SpiffeId{std::string(domain), *role, std::string(name)};
}

bool
PeerIdentity::matches_name(std::string_view remote_name) const
{
    switch (kind) {
    case Kind::spiffe: return name == remote_name;
    case Kind::plain:
        return name == remote_name ||
               std::find(dns_names.begin(), dns_names.end(), remote_name) != dns_names.end();
    case Kind::pinned:
    case Kind::psk: return false;
    }
    return false;
}

base::Result<PeerIdentity>
identity_of(const X509* certificate)
{
    PeerIdentity identity;
    if (base::Status status = read_end(certificate, &identity); !status.ok()) {
        return status.error();
    }
    auto names = alternative_names(certificate);
    if (!names.ok()) {
        return names.error();
    }
    identity.dns_names = names->dns;

    const bool spiffe =
        std::any_of(names->uris.begin(), names->uris.end(), starts_with_spiffe);
    if (spiffe) {
        // One name for one host: which of two would the authorization be for?
        if (names->uris.size() != 1) {
            return refused("the certificate has another URI beside its SPIFFE URI");
        }
        auto id = parse_spiffe_id(names->uris.front());
        if (!id.ok()) {
            return id.error();
        }
        identity.kind = PeerIdentity::Kind::spiffe;
        identity.name = id->name;
        identity.role = id->role;
        identity.trust_domain = id->trust_domain;
        return identity;
    }

    auto cn = common_name(certificate);
    if (!cn.ok()) {
        return cn.error();
    }
    identity.kind = PeerIdentity::Kind::plain;
    identity.name = *cn;
    if (identity.name.empty()) {
        if (identity.dns_names.empty()) {
            return refused("the certificate has neither SPIFFE URI nor common name nor DNS name");
        }
        identity.name = identity.dns_names.front();
    }
    // "psk:" is what the ends of a PSK connection are called.
    if (identity.name.rfind("psk:", 0) == 0) {
        return refused("the certificate's name begins with \"psk:\"");
    }
    return identity;
}

PeerIdentity
psk_identity(const base::IpAddress& address)
{
    PeerIdentity identity;
    identity.kind = PeerIdentity::Kind::psk;
    identity.name = "psk:" + address.to_string();
    return identity;
}

}  // namespace nvo3::control
