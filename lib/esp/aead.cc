// SPDX-License-Identifier: Apache-2.0
//
// See aead.h.
#include "esp/aead.h"

#include <stdlib.h>
#include <string.h>

#include <string>

namespace nvo3::esp {
namespace {

// draft-mcgrew-gcm-test-01, case 12: a text of four octets.
bool
known_answer(const AeadLibrary& library)
{
    static constexpr uint8_t kKey[] = {
        0x7d, 0x77, 0x3d, 0x00, 0xc1, 0x44, 0xc5, 0x25, 0xac, 0x61, 0x9d, 0x18,
        0xc8, 0x4a, 0x3f, 0x47, 0xd9, 0x66, 0x42, 0x67};
    static constexpr uint8_t kAad[] = {0x33, 0x54, 0x67, 0xae, 0xff, 0xff, 0xff, 0xff};
    static constexpr uint8_t kIvAndText[] = {0x43, 0x45, 0x7e, 0x91, 0x82, 0x44,
                                             0x3b, 0xc6, 0x01, 0x02, 0x02, 0x01};
    static constexpr uint8_t kTextAndIcv[] = {
        0x43, 0x7f, 0x86, 0x6b, 0xcb, 0x3f, 0x69, 0x9f, 0xe9, 0xb0, 0x82, 0x2b,
        0xac, 0x96, 0x1c, 0x45, 0x04, 0xbe, 0xf2, 0x70};

    const std::unique_ptr<Aead> aead =
        library.make(Cipher::aes128gcm, base::Secret(base::ByteView(kKey)));
    uint8_t packet[kIvSize + sizeof kTextAndIcv] = {};
    memcpy(packet, kIvAndText, sizeof kIvAndText);
    AeadItem item{packet, 4, sizeof kAad, {}, false};
    memcpy(item.aad, kAad, sizeof kAad);
    return aead && aead->seal(&item, 1)
           && memcmp(packet + kIvSize, kTextAndIcv, sizeof kTextAndIcv) == 0;
}

}  // namespace

#ifndef HAVE_IPSEC_MB
const AeadLibrary*
ipsec_mb_library()
{
    return nullptr;
}
#endif

const std::vector<const AeadLibrary*>&
aead_libraries()
{
    static const std::vector<const AeadLibrary*> libraries = [] {
        std::vector<const AeadLibrary*> found;
        for (const AeadLibrary* library : {ipsec_mb_library(), openssl_library()}) {
            if (library && known_answer(*library)) {
                found.push_back(library);
            }
        }
        return found;
    }();
    return libraries;
}

base::Result<const AeadLibrary*>
choose_aead_library(std::string_view name)
{
    std::string valid = "auto";
    const bool any = name.empty() || name == "auto";
    for (const AeadLibrary* library : aead_libraries()) {
        if (any || name == library->name()) {
            return library;
        }
        valid += std::string(", ") + library->name();
    }
    return base::Error{ENOENT, "no crypto library '" + std::string(name)
                                   + "' on this machine: set NVO3_AEAD to one of "
                                   + valid};
}

base::Result<const AeadLibrary*>
choose_aead_library()
{
    const char* name = getenv("NVO3_AEAD");
    return choose_aead_library(name ? name : "");
}

}  // namespace nvo3::esp
