// SPDX-License-Identifier: Apache-2.0
//
// AEAD by intel-ipsec-mb, through its direct calls: a packet is done when the
// call returns.  They read the expanded key, write only what they are given, and
// keep nothing in the manager, which is used for its function pointers alone.
// (The library's job and burst calls do GCM packets one by one too; they only
// add a queue, and a manager for each thread.)
#include "esp/aead.h"

#ifdef HAVE_IPSEC_MB

#include <intel-ipsec-mb.h>
#include <string.h>

#include <string>

namespace nvo3::esp {
namespace {

constexpr size_t kNonceSize = kSaltSize + kIvSize;

// In constant time; base's own is for any size and costs as much as a small
// packet's cipher.
bool
icv_equal(const uint8_t* a, const uint8_t* b) noexcept
{
    uint64_t x[2], y[2];
    static_assert(sizeof x == kIcvSize);
    memcpy(x, a, sizeof x);
    memcpy(y, b, sizeof y);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

// Objects hold the salt, and chacha20poly1305 the key: secret memory.
class SecretAead : public Aead {
public:
    static void* operator new(size_t size) { return base::secret_allocate(size); }
    static void operator delete(void* p, size_t size) noexcept
    {
        base::secret_free(p, size);
    }

protected:
    explicit SecretAead(const uint8_t* salt) noexcept { memcpy(salt_, salt, kSaltSize); }

    // Nonces are put together for the whole batch ahead of the first call: a load
    // that follows its two stores closely would wait for them, for each packet.
    struct Nonces {
        Nonces(const SecretAead& aead, const AeadItem* items, size_t n) noexcept
        {
            for (size_t i = 0; i < n; i++) {
                memcpy(octets[i], aead.salt_, kSaltSize);
                memcpy(octets[i] + kSaltSize, items[i].iv, kIvSize);
            }
        }
        const uint8_t* operator[](size_t i) const noexcept { return octets[i]; }

        uint8_t octets[kMaxBatch][16];
    };

    static void compare(const uint8_t (*icvs)[kIcvSize], AeadItem* items, size_t n) noexcept
    {
        for (size_t i = 0; i < n; i++) {
            items[i].ok = icv_equal(icvs[i], items[i].iv + kIvSize + items[i].text_size);
        }
    }

private:
    uint8_t salt_[kSaltSize];
};

struct GcmCalls {
    aes_gcm_pre_t expand;
    aes_gcm_enc_dec_t encrypt;
    aes_gcm_enc_dec_t decrypt;
    aes_gmac_init_t gmac_init;
    aes_gmac_update_t gmac_update;
    aes_gmac_finalize_t gmac_finalize;
};

class AesAead : public SecretAead {
public:
    AesAead(const GcmCalls& calls, const uint8_t* key, const uint8_t* salt)
        : SecretAead(salt), calls_(calls),
          key_(static_cast<gcm_key_data*>(base::secret_allocate(sizeof(gcm_key_data))))
    {
        calls_.expand(key, key_);
        hot_ = key_;
        hot_size_ = sizeof *key_;
    }
    ~AesAead() override { base::secret_free(key_, sizeof *key_); }

protected:
    const GcmCalls& calls_;
    gcm_key_data* const key_;
};

class Gcm final : public AesAead {
public:
    using AesAead::AesAead;

    bool seal(AeadItem* items, size_t n) noexcept override
    {
        const Nonces nonces(*this, items, n);
        gcm_context_data context;
        for (size_t i = 0; i < n; i++) {
            const AeadItem& item = items[i];
            uint8_t* text = item.iv + kIvSize;
            calls_.encrypt(key_, &context, text, text, item.text_size, nonces[i],
                           item.aad, item.aad_size, text + item.text_size, kIcvSize);
        }
        return true;
    }

    void open(AeadItem* items, size_t n) noexcept override
    {
        const Nonces nonces(*this, items, n);
        gcm_context_data context;
        uint8_t icvs[kMaxBatch][kIcvSize];
        for (size_t i = 0; i < n; i++) {
            const AeadItem& item = items[i];
            uint8_t* text = item.iv + kIvSize;
            calls_.decrypt(key_, &context, text, text, item.text_size, nonces[i],
                           item.aad, item.aad_size, icvs[i], kIcvSize);
        }
        compare(icvs, items, n);
    }
};

// RFC 4543: IV and text are additional data as well.
class Gmac final : public AesAead {
public:
    using AesAead::AesAead;

    bool seal(AeadItem* items, size_t n) noexcept override
    {
        const Nonces nonces(*this, items, n);
        for (size_t i = 0; i < n; i++) {
            sum(items[i], nonces[i], items[i].iv + kIvSize + items[i].text_size);
        }
        return true;
    }

    void open(AeadItem* items, size_t n) noexcept override
    {
        const Nonces nonces(*this, items, n);
        uint8_t icvs[kMaxBatch][kIcvSize];
        for (size_t i = 0; i < n; i++) {
            sum(items[i], nonces[i], icvs[i]);
        }
        compare(icvs, items, n);
    }

private:
    void sum(const AeadItem& item, const uint8_t* nonce, uint8_t* icv) const noexcept
    {
        gcm_context_data context;
        calls_.gmac_init(key_, &context, nonce, kNonceSize);
        calls_.gmac_update(key_, &context, item.aad, item.aad_size);
        calls_.gmac_update(key_, &context, item.iv, kIvSize + item.text_size);
        calls_.gmac_finalize(key_, &context, icv, kIcvSize);
    }
};

class ChachaPoly final : public SecretAead {
public:
    ChachaPoly(const IMB_MGR& manager, const uint8_t* key, const uint8_t* salt)
        : SecretAead(salt), manager_(manager)
    {
        memcpy(key_, key, sizeof key_);
        hot_ = this;
        hot_size_ = sizeof *this;
    }

    bool seal(AeadItem* items, size_t n) noexcept override
    {
        const Nonces nonces(*this, items, n);
        chacha20_poly1305_context_data context;
        for (size_t i = 0; i < n; i++) {
            crypt(manager_.chacha20_poly1305_enc_update, context, items[i], nonces[i],
                  items[i].iv + kIvSize + items[i].text_size);
        }
        base::wipe(&context, sizeof context);   // the last packet's Poly1305 key
        return true;
    }

    void open(AeadItem* items, size_t n) noexcept override
    {
        const Nonces nonces(*this, items, n);
        chacha20_poly1305_context_data context;
        uint8_t icvs[kMaxBatch][kIcvSize];
        for (size_t i = 0; i < n; i++) {
            crypt(manager_.chacha20_poly1305_dec_update, context, items[i], nonces[i],
                  icvs[i]);
        }
        base::wipe(&context, sizeof context);
        compare(icvs, items, n);
    }

private:
    void crypt(chacha_poly_enc_dec_update_t update, chacha20_poly1305_context_data& context,
               const AeadItem& item, const uint8_t* nonce, uint8_t* icv) const noexcept
    {
        uint8_t* text = item.iv + kIvSize;
        manager_.chacha20_poly1305_init(key_, &context, nonce, item.aad, item.aad_size);
        update(key_, &context, text, text, item.text_size);
        manager_.chacha20_poly1305_finalize(&context, icv, kIcvSize);
    }

    const IMB_MGR& manager_;
    uint8_t key_[32];
};

class IpsecMb final : public AeadLibrary {
public:
    explicit IpsecMb(const IMB_MGR& manager)
        : manager_(manager),
          calls128_{manager.gcm128_pre, manager.gcm128_enc, manager.gcm128_dec,
                    manager.gmac128_init, manager.gmac128_update, manager.gmac128_finalize},
          calls256_{manager.gcm256_pre, manager.gcm256_enc, manager.gcm256_dec,
                    manager.gmac256_init, manager.gmac256_update, manager.gmac256_finalize},
          description_(std::string("intel-ipsec-mb ") + imb_get_version_str())
    {
    }

    const char* name() const noexcept override { return "ipsec-mb"; }
    const char* description() const noexcept override { return description_.c_str(); }
    bool supports(Cipher cipher) const noexcept override
    {
        return is_cipher(static_cast<uint8_t>(cipher));
    }

    std::unique_ptr<Aead> make(Cipher cipher, const base::Secret& key) const override
    {
        if (!supports(cipher) || key.size() != key_material_size(cipher)) {
            return nullptr;
        }
        const uint8_t* salt = key.data() + key_size(cipher);
        const GcmCalls& calls = key_size(cipher) == 16 ? calls128_ : calls256_;
        if (cipher == Cipher::chacha20poly1305) {
            return std::make_unique<ChachaPoly>(manager_, key.data(), salt);
        } else if (is_gmac(cipher)) {
            return std::make_unique<Gmac>(calls, key.data(), salt);
        }
        return std::make_unique<Gcm>(calls, key.data(), salt);
    }

private:
    const IMB_MGR& manager_;
    const GcmCalls calls128_;
    const GcmCalls calls256_;
    const std::string description_;
};

const AeadLibrary*
start()
{
    IMB_MGR* manager = alloc_mb_mgr(0);
    if (!manager) {
        return nullptr;
    }
    IMB_ARCH arch = IMB_ARCH_NONE;
    init_mb_mgr_auto(manager, &arch);
    // Without AES and carry-less multiplication in the CPU the library emulates
    // them by tables: slower than OpenSSL, and not in constant time.
    constexpr uint64_t kNeeded = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
    if (imb_get_errno(manager) != 0 || arch == IMB_ARCH_NONE || arch == IMB_ARCH_NOAESNI
        || (manager->features & kNeeded) != kNeeded) {
        free_mb_mgr(manager);
        return nullptr;
    }
    return new IpsecMb(*manager);       // both for the life of the process
}

}  // namespace

const AeadLibrary*
ipsec_mb_library()
{
    static const AeadLibrary* const library = start();
    return library;
}

}  // namespace nvo3::esp

#endif
