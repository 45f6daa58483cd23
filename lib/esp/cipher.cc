// SPDX-License-Identifier: Apache-2.0
//
// See cipher.h.
#include "esp/cipher.h"

#include <string>

namespace nvo3::esp {

const char*
to_string(Cipher cipher) noexcept
{
    switch (cipher) {
    case Cipher::aes128gcm: return "aes128gcm";
    case Cipher::aes256gcm: return "aes256gcm";
    case Cipher::aes128gmac: return "aes128gmac";
    case Cipher::aes256gmac: return "aes256gmac";
    case Cipher::chacha20poly1305: return "chacha20poly1305";
    }
    return "unknown";
}

base::Result<Cipher>
cipher_from_name(std::string_view name)
{
    std::string valid;
    for (Cipher cipher : kCiphers) {
        if (name == to_string(cipher)) {
            return cipher;
        }
        valid += valid.empty() ? "" : ", ";
        valid += to_string(cipher);
    }
    return base::Error{EINVAL, "unknown cipher '" + std::string(name)
                                   + "': use one of " + valid};
}

base::Result<Cipher>
cipher_from_level(std::string_view level)
{
    if (level == "integrity") {
        return Cipher::aes128gmac;
    } else if (level == "confidential") {
        return Cipher::aes128gcm;
    } else if (level == "high") {
        return Cipher::aes256gcm;
    }
    return base::Error{EINVAL, "unknown security level '" + std::string(level)
                                   + "': use integrity, confidential or high"};
}

}  // namespace nvo3::esp
