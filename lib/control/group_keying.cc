// SPDX-License-Identifier: Apache-2.0
//
// Keys of groups by HKDF, see group_keying.h.
#include "control/group_keying.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <string_view>

#include "control/pem.h"

namespace nvo3::control {
namespace {

constexpr uint8_t kContextVersion = 1;
constexpr std::string_view kGroupSecretLabel = "EXPERIMENTAL-nvo3-group-secret";
constexpr std::string_view kSenderKeyLabel = "EXPERIMENTAL-nvo3-group-sender";
constexpr size_t kMinMasterSize = 32;
constexpr size_t kMaxMasterSize = 4096;
constexpr size_t kMaxSenderName = 255;
constexpr size_t kMaxKeySize = 255;

struct KdfDeleter {
    void operator()(EVP_KDF* p) const noexcept { EVP_KDF_free(p); }
    void operator()(EVP_KDF_CTX* p) const noexcept { EVP_KDF_CTX_free(p); }
};

// RFC 5869, extract (without salt) and expand.
base::Result<base::Secret>
hkdf(base::ByteView key, const base::Bytes& info, size_t size)
{
    const std::unique_ptr<EVP_KDF, KdfDeleter> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
    const std::unique_ptr<EVP_KDF_CTX, KdfDeleter> context(kdf ? EVP_KDF_CTX_new(kdf.get())
                                                               : nullptr);
    // The parameters are not written to, whatever their types say.
    char digest[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<uint8_t*>(key.data()),
                                          key.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, const_cast<uint8_t*>(info.data()),
                                          info.size()),
        OSSL_PARAM_construct_end(),
    };
    base::Secret result(size);
    if (!context || EVP_KDF_derive(context.get(), result.data(), size, parameters) != 1) {
        return base::Error{EIO, "OpenSSL derives no key of a group: " + openssl_error()};
    }
    return result;
}

bool
usable_group(base::Vni vni, const base::IpAddress& group, uint32_t epoch)
{
    return vni.valid() && group.is_multicast() && epoch != 0;
}

int
hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

}  // namespace

// In both contexts every field but the name has one size, and that has its own
// before it: no two contexts serialise alike.  The labels differ, so neither is
// ever the other's.

base::Result<base::Secret>
derive_group_secret(base::ByteView master, const GroupEpoch& epoch)
{
    if (master.size() < kMinMasterSize) {
        return base::Error{EINVAL, "the master secret of groups is shorter than 32 octets"};
    }
    if (!usable_group(epoch.vni, epoch.group, epoch.epoch)) {
        return base::Error{EINVAL, "VNI, address or epoch of a group is out of range"};
    }
    base::ByteWriter info;
    info.string16(kGroupSecretLabel);
    info.u8(kContextVersion);
    info.u32(epoch.vni.value);
    info.bytes(epoch.group.bytes());
    info.u32(epoch.epoch);
    info.bytes(epoch.nonce);
    return hkdf(master, info.take(), kGroupSecretSize);
}

base::Result<base::Secret>
derive_sender_key(base::ByteView secret, const GroupSenderContext& context, size_t size)
{
    if (secret.size() != kGroupSecretSize) {
        return base::Error{EINVAL, "the secret of a group is not 32 octets"};
    }
    if (context.sender_name.empty() || context.sender_name.size() > kMaxSenderName) {
        return base::Error{EINVAL, "a sender of a group has no name, or one that is too long"};
    }
    if (!usable_group(context.vni, context.group, context.epoch) || !context.spi.of_group() ||
        context.sender_address.is_unspecified() || context.cipher == 0 || size == 0 ||
        size > kMaxKeySize) {
        return base::Error{EINVAL,
                           "VNI, group, epoch, address, SPI, cipher or size of a sender's key is "
                           "out of range"};
    }
    base::ByteWriter info;
    info.string16(kSenderKeyLabel);
    info.u8(kContextVersion);
    info.u32(context.vni.value);
    info.bytes(context.group.bytes());
    info.u32(context.epoch);
    info.string16(context.sender_name);
    info.bytes(context.sender_address.bytes());
    info.bytes(context.sender_id);
    info.u32(context.spi.value);
    info.u8(static_cast<uint8_t>(context.encap));
    info.u8(context.cipher);
    return hkdf(secret, info.take(), size);
}

base::Result<base::Secret>
read_master_secret(const std::string& file)
{
    constexpr const char* kWhat = "group master secret";
    const auto content = read_file(file, kWhat);
    if (!content.ok()) {
        return content.error();
    }
    const std::string name = std::string(kWhat) + " " + file;
    struct stat status{};
    if (stat(file.c_str(), &status) != 0 || (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return base::Error{EACCES, name + " is open to others than its owner: chmod 0600 it"};
    }
    base::ByteView digits = content->view();
    while (!digits.empty() && (digits.back() == '\n' || digits.back() == '\r')) {
        digits = digits.first(digits.size() - 1);
    }
    if (digits.size() < 2 * kMinMasterSize || digits.size() > 2 * kMaxMasterSize ||
        digits.size() % 2 != 0) {
        return base::Error{EINVAL, name + " must hold an even number of 64 to 8192 hexadecimal "
                                          "digits: make one with openssl rand -hex 32"};
    }
    base::Secret master(digits.size() / 2);
    for (size_t i = 0; i < master.size(); i++) {
        const int high = hex_digit(digits[2 * i]);
        const int low = hex_digit(digits[2 * i + 1]);
        if (high < 0 || low < 0) {
            return base::Error{EINVAL, name + " holds something else than hexadecimal digits: "
                                              "make one with openssl rand -hex 32"};
        }
        master.data()[i] = static_cast<uint8_t>(high << 4 | low);
    }
    return master;
}

}  // namespace nvo3::control
