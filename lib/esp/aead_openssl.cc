// SPDX-License-Identifier: Apache-2.0
//
// AEAD by OpenSSL.  An EVP context is keyed once and then serves one thread at a
// time, so each key has a small pool of them, taken and given back by one atomic
// exchange.  The pool grows when more threads than ever before use one key at the
// same instant: that packet allocates, no later one does.
// OpenSSL keeps its key schedules in its own heap: wiped when freed, but a core
// dump would hold them.
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <string.h>

#include <atomic>
#include <utility>

#include "esp/aead.h"

namespace nvo3::esp {
namespace {

constexpr int kNonceSize = kSaltSize + kIvSize;
constexpr size_t kPoolSize = 32;

struct ContextDeleter {
    void operator()(EVP_CIPHER_CTX* context) const noexcept
    {
        EVP_CIPHER_CTX_free(context);
    }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, ContextDeleter>;

const EVP_CIPHER*
evp_cipher(Cipher cipher) noexcept
{
    // Fetched once: the implicit fetch of EVP_aes_128_gcm() costs at each use.
    static EVP_CIPHER* const gcm128 = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
    static EVP_CIPHER* const gcm256 = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
    static EVP_CIPHER* const chacha =
        EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
    switch (cipher) {
    case Cipher::aes128gcm:
    case Cipher::aes128gmac: return gcm128;
    case Cipher::aes256gcm:
    case Cipher::aes256gmac: return gcm256;
    case Cipher::chacha20poly1305: return chacha;
    }
    return nullptr;
}

class OpensslAead final : public Aead {
public:
    OpensslAead(Cipher cipher, const base::Secret& key)
        : cipher_(evp_cipher(cipher)), gmac_(is_gmac(cipher)),
          key_size_(key_size(cipher)), key_(key.clone())
    {
        hot_ = this;
        hot_size_ = sizeof *this;
        pool_[0] = make_context().release();
    }
    ~OpensslAead() override
    {
        for (auto& slot : pool_) {
            EVP_CIPHER_CTX_free(slot.load());
        }
    }
    bool usable() const noexcept { return pool_[0].load() != nullptr; }

    bool seal(AeadItem* items, size_t n) noexcept override
    {
        Context context = take();
        bool good = context != nullptr;
        for (size_t i = 0; good && i < n; i++) {
            uint8_t* icv = items[i].iv + kIvSize + items[i].text_size;
            int size = 0;
            good = run(context.get(), items[i], 1)
                   && EVP_EncryptFinal_ex(context.get(), icv, &size) == 1
                   && EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG,
                                          kIcvSize, icv) == 1;
        }
        give_back(std::move(context));
        return good;
    }

    void open(AeadItem* items, size_t n) noexcept override
    {
        Context context = take();
        for (size_t i = 0; i < n; i++) {
            uint8_t* icv = items[i].iv + kIvSize + items[i].text_size;
            uint8_t rest[16];
            int size = 0;
            // DecryptFinal compares in constant time.
            items[i].ok = context && run(context.get(), items[i], 0)
                          && EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG,
                                                 kIcvSize, icv) == 1
                          && EVP_DecryptFinal_ex(context.get(), rest, &size) == 1;
        }
        give_back(std::move(context));
    }

private:
    Context make_context() const noexcept
    {
        Context context(EVP_CIPHER_CTX_new());
        if (!context || !cipher_
            || EVP_CipherInit_ex(context.get(), cipher_, nullptr, nullptr, nullptr, 1) != 1
            || EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_IVLEN, kNonceSize,
                                   nullptr) != 1
            || EVP_CipherInit_ex(context.get(), nullptr, nullptr, key_.data(), nullptr,
                                 1) != 1) {
            return nullptr;
        }
        return context;
    }

    Context take() noexcept
    {
        for (auto& slot : pool_) {
            if (slot.load(std::memory_order_relaxed)) {
                if (EVP_CIPHER_CTX* context =
                        slot.exchange(nullptr, std::memory_order_acquire)) {
                    return Context(context);
                }
            }
        }
        return make_context();
    }

    void give_back(Context context) noexcept
    {
        if (!context) {
            return;
        }
        for (auto& slot : pool_) {
            EVP_CIPHER_CTX* none = nullptr;
            if (slot.compare_exchange_strong(none, context.get(),
                                             std::memory_order_release,
                                             std::memory_order_relaxed)) {
                (void) context.release();
                return;
            }
        }
    }

    bool run(EVP_CIPHER_CTX* context, const AeadItem& item, int encrypt) const noexcept
    {
        uint8_t nonce[kNonceSize];
        memcpy(nonce, key_.data() + key_size_, kSaltSize);
        memcpy(nonce + kSaltSize, item.iv, kIvSize);
        uint8_t* text = item.iv + kIvSize;
        const int text_size = static_cast<int>(item.text_size);
        int size = 0;
        if (EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, nonce, encrypt) != 1
            || (item.aad_size
                && EVP_CipherUpdate(context, nullptr, &size, item.aad,
                                    static_cast<int>(item.aad_size)) != 1)) {
            return false;
        }
        if (gmac_) {    // RFC 4543: IV and text are additional data as well
            return EVP_CipherUpdate(context, nullptr, &size, item.iv,
                                    static_cast<int>(kIvSize) + text_size) == 1;
        }
        return !text_size
               || EVP_CipherUpdate(context, text, &size, text, text_size) == 1;
    }

    const EVP_CIPHER* const cipher_;
    const bool gmac_;
    const size_t key_size_;
    const base::Secret key_;        // for contexts to come, and the salt
    std::atomic<EVP_CIPHER_CTX*> pool_[kPoolSize] = {};
};

class Openssl final : public AeadLibrary {
public:
    const char* name() const noexcept override { return "openssl"; }
    const char* description() const noexcept override
    {
        return OpenSSL_version(OPENSSL_VERSION);
    }
    bool supports(Cipher cipher) const noexcept override
    {
        return evp_cipher(cipher) != nullptr;
    }

    std::unique_ptr<Aead> make(Cipher cipher, const base::Secret& key) const override
    {
        if (!supports(cipher) || key.size() != key_material_size(cipher)) {
            return nullptr;
        }
        auto aead = std::make_unique<OpensslAead>(cipher, key);
        if (!aead->usable()) {
            return nullptr;
        }
        return aead;
    }
};

}  // namespace

const AeadLibrary*
openssl_library()
{
    static const Openssl library;
    return &library;
}

}  // namespace nvo3::esp
