// SPDX-License-Identifier: Apache-2.0
//
// One interface for the crypto libraries: authenticated encryption of ESP
// payloads in place, in batches.  Nonce = salt | IV (RFC 4106, 4543, 7634).
// Place: lib/esp; one file per library implements it.
// Threads: any number may use one Aead at once; none takes a lock.
#ifndef NVO3_ESP_AEAD_H
#define NVO3_ESP_AEAD_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "esp/cipher.h"

namespace nvo3::esp {

// Largest batch that seal() and open() are called with.
inline constexpr size_t kMaxBatch = 32;

// One packet.  At 'iv': IV 8 | text 'text_size' | ICV 16, without gaps.
struct AeadItem {
    static constexpr size_t kMaxAad = 16;

    uint8_t* iv;
    uint32_t text_size;
    uint32_t aad_size;          // ESP: 8, with ESN 12
    uint8_t aad[kMaxAad];       // SPI | [sequence high] | sequence low
    bool ok;                    // out, open(): the ICV is right
};

class Aead {
public:
    Aead(const Aead&) = delete;
    Aead& operator=(const Aead&) = delete;
    virtual ~Aead() = default;

    // Encrypts the texts (GMAC: leaves them) and writes the ICVs.  An IV must
    // never be used twice with one key.  False, which no working library ever
    // returns: nothing of the batch may be sent.
    virtual bool seal(AeadItem* items, size_t n) noexcept = 0;
    // Decrypts and sets 'ok'.  Where it is false the text is of no use.
    virtual void open(AeadItem* items, size_t n) noexcept = 0;

    // The expanded key, to be fetched into the cache ahead of a packet.
    const void* hot() const noexcept { return hot_; }
    size_t hot_size() const noexcept { return hot_size_; }

protected:
    Aead() = default;
    const void* hot_ = nullptr;     // fixed after creation
    size_t hot_size_ = 0;
};

class AeadLibrary {
public:
    virtual ~AeadLibrary() = default;
    // "ipsec-mb", "openssl": as NVO3_AEAD takes it.
    virtual const char* name() const noexcept = 0;
    // With the version and instruction set in use, for logs.
    virtual const char* description() const noexcept = 0;
    virtual bool supports(Cipher cipher) const noexcept = 0;
    // 'key' is key | salt.  Null: not supported, wrong size, no memory.
    virtual std::unique_ptr<Aead> make(Cipher cipher,
                                       const base::Secret& key) const = 0;
};

// The libraries that this CPU can run and that have passed a known-answer test,
// the faster one first.  Made once, live for ever.
const std::vector<const AeadLibrary*>& aead_libraries();

// "auto" or empty: the first; otherwise the library of that name.  The error
// names the valid ones.
base::Result<const AeadLibrary*> choose_aead_library(std::string_view name);
// The same with the value of the environment variable NVO3_AEAD.
base::Result<const AeadLibrary*> choose_aead_library();

// What the implementations export to aead.cc; null if they cannot run here.
const AeadLibrary* ipsec_mb_library();
const AeadLibrary* openssl_library();

}  // namespace nvo3::esp

#endif
