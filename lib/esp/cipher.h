// SPDX-License-Identifier: Apache-2.0
//
// The ciphers of an SA: their names, numbers and key sizes.
// Place: lib/esp.  Threads: pure functions.
#ifndef NVO3_ESP_CIPHER_H
#define NVO3_ESP_CIPHER_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace nvo3::esp {

// The numbers are those of the SA socket and of the control protocol.
enum class Cipher : uint8_t {
    aes128gcm = 1,          // RFC 4106, ICV 16
    aes256gcm = 2,
    aes128gmac = 3,         // RFC 4543: integrity only
    aes256gmac = 4,
    chacha20poly1305 = 5,   // RFC 7634
};

inline constexpr Cipher kCiphers[] = {
    Cipher::aes128gcm, Cipher::aes256gcm, Cipher::aes128gmac,
    Cipher::aes256gmac, Cipher::chacha20poly1305,
};

// Octets, the same for all of them.  The salt is the end of the key material.
inline constexpr size_t kSaltSize = 4;
inline constexpr size_t kIvSize = 8;
inline constexpr size_t kIcvSize = 16;

constexpr bool
is_cipher(uint8_t number) noexcept
{
    return number >= 1 && number <= 5;
}

constexpr bool
is_gmac(Cipher cipher) noexcept
{
    return cipher == Cipher::aes128gmac || cipher == Cipher::aes256gmac;
}

// Octets of the key, without the salt.
constexpr size_t
key_size(Cipher cipher) noexcept
{
    return cipher == Cipher::aes128gcm || cipher == Cipher::aes128gmac ? 16 : 32;
}

constexpr size_t salt_size(Cipher) noexcept { return kSaltSize; }
constexpr size_t iv_size(Cipher) noexcept { return kIvSize; }
constexpr size_t icv_size(Cipher) noexcept { return kIcvSize; }

// Octets of key | salt, as the exporter gives them.
constexpr size_t
key_material_size(Cipher cipher) noexcept
{
    return key_size(cipher) + kSaltSize;
}

// Whether 'cipher' protects at least as well as 'asked' in every respect: what is
// hidden, and the size of the key.  aes256gmac and aes128gcm: neither way.
constexpr bool
at_least(Cipher cipher, Cipher asked) noexcept
{
    return (is_gmac(asked) || !is_gmac(cipher)) && key_size(cipher) >= key_size(asked);
}

// As in 'options:cipher', for example "aes128gcm"; never null.
const char* to_string(Cipher cipher) noexcept;

// The value of 'cipher' or 'security_level'.  The error lists the valid ones.
base::Result<Cipher> cipher_from_name(std::string_view name);
base::Result<Cipher> cipher_from_level(std::string_view level);

}  // namespace nvo3::esp

#endif
