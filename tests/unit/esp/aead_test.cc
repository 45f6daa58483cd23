// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of esp/aead.h: published vectors for each library, and the
// libraries against each other.
#include "esp/aead.h"

#include <gtest/gtest.h>
#include <string.h>

#include <random>
#include <string>
#include <thread>

#include "esp_packets.h"

namespace nvo3::esp {
namespace {

using base::Bytes;
using tests::from_hex;

struct Vector {
    const char* name;
    Cipher cipher;
    const char* key;        // key | salt
    const char* aad;
    const char* iv;
    const char* text;
    const char* sealed;     // text | ICV
};

const Vector kVectors[] = {
    {"draft-mcgrew-gcm-test-01 1: AES-128, ESN", Cipher::aes128gcm,
     "4c80cdefbb5d10da906ac73c3613a6342e443b68", "000043218765432100000000",
     "4956ed7e3b244cfe",
     "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000"
     "00000000045f736970045f756470037369700963796265726369747902646b00"
     "0021000101020201",
     "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34"
     "cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce"
     "61bc17d768fd9732459018148f6cbe722fd04796562dfdb4"},
    {"draft-mcgrew-gcm-test-01 2: AES-128, no ESN", Cipher::aes128gcm,
     "feffe9928665731c6d6a8f9467308308cafebabe", "0000a5f80000000a", "facedbaddecaf888",
     "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d00100"
     "0001000000000000037369700963796265726369747902646b00000100010001",
     "deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c"
     "3de81827c10e9a4f51330d0eec416642cfbb85a5b47e48a4ec3b9ba95d918bd1"
     "83b70d3aa8bc6ee4c309e9d85a41ad4a"},
    {"draft-mcgrew-gcm-test-01 3: AES-256, no ESN", Cipher::aes256gcm,
     "abbccddef00112233445566778899aababbccddef00112233445566778899aab11223344",
     "4a2cbfe300000002", "0102030405060708",
     "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee000000000"
     "7002400020bf0000020405b40101040201020201",
     "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763"
     "748a637985771d347f0545659f14e99def842d8eb335f4eecfdbf831824b4c49"
     "15956c96"},
    {"draft-mcgrew-gcm-test-01 4: key and nonce zero", Cipher::aes128gcm,
     "0000000000000000000000000000000000000000", "0000000000000001", "0000000000000000",
     "4500003c99c500008001cb7a40679318010101010800075c0200440061626364"
     "65666768696a6b6c6d6e6f707172737475767761626364656667686901020201",
     "4688daf2f973a392732909c331d56d60f694abaa414b5e7ff5fdcdfff5e9a284"
     "456476492719ffb64de7d9dca1e1d894bc3bd57873ed4d181d19d4d5c8c18af3"
     "f821d496eeb096e98ad2b69e4799c71d"},
    {"draft-mcgrew-gcm-test-01 9: AES-256, ESN", Cipher::aes256gcm,
     "abbccddef00112233445566778899aababbccddef00112233445566778899aab73616c74",
     "17405e67156f3126dd0db99b", "616e640169766563",
     "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb712602"
     "50101f646d540001",
     "f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d524a3018d9a57f"
     "f4d3a31ce673119e451626c2415771e3b7eebca614c89b35"},
    {"draft-mcgrew-gcm-test-01 12: text of 4 octets", Cipher::aes128gcm,
     "7d773d00c144c525ac619d18c84a3f47d9664267", "335467aeffffffff", "43457e9182443bc6",
     "01020201", "437f866bcb3f699fe9b0822bac961c4504bef270"},
    {"draft-mcgrew-gcm-test-01, GMAC (RFC 4543): AES-128, no ESN", Cipher::aes128gmac,
     "4c80cdefbb5d10da906ac73c3613a63422433c64", "0000432100000007", "0000000000000000",
     "45000030da3a00008001df3bc0a80005c0a800010800c6cd0200070061626364"
     "65666768696a6b6c6d6e6f707172737401020201",
     "45000030da3a00008001df3bc0a80005c0a800010800c6cd0200070061626364"
     "65666768696a6b6c6d6e6f707172737401020201"
     "f2a9a836e155106aa8dcd618e4099aaa"},
    {"NIST GCM test case 1: nothing to seal", Cipher::aes128gcm,
     "0000000000000000000000000000000000000000", "", "0000000000000000", "",
     "58e2fccefa7e3061367f1d57a4e7455a"},
    {"NIST GCM test case 2: one block", Cipher::aes128gcm,
     "0000000000000000000000000000000000000000", "", "0000000000000000",
     "00000000000000000000000000000000",
     "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"},
    {"NIST GCM test case 14: AES-256, one block", Cipher::aes256gcm,
     "000000000000000000000000000000000000000000000000000000000000000000000000", "",
     "0000000000000000", "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {"RFC 7634 appendix A", Cipher::chacha20poly1305,
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3",
     "0102030400000005", "1011121314151617",
     "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec10"
     "0007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223"
     "2425262728292a2b2c2d2e2f303132333435363701020204",
     "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6"
     "14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3"
     "cbec163fac469b502773f6fb94e664da9165b82829f641e0"
     "76aaa8266b7fb0f7b11b369907e1ad43"},
    // By Python's cryptography: no published vector has the shape of ESP.
    {"GMAC, AES-256, ESN", Cipher::aes256gmac,
     "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5fa0a1a2a3",
     "55667788000000011234abcd", "000000011234abcd", "000102030405060708090a0b",
     "000102030405060708090a0b" "6d4808bbecc75647999f58cbf57d455d"},
};

// IV | text | ICV in a buffer of exactly that size.
struct Sealable {
    Bytes packet;
    AeadItem item{};

    Sealable(const Bytes& iv, const Bytes& text, const Bytes& aad)
        : packet(kIvSize + text.size() + kIcvSize)
    {
        std::copy(iv.begin(), iv.end(), packet.begin());
        std::copy(text.begin(), text.end(), packet.begin() + kIvSize);
        item.iv = packet.data();
        item.text_size = static_cast<uint32_t>(text.size());
        item.aad_size = static_cast<uint32_t>(aad.size());
        std::copy(aad.begin(), aad.end(), item.aad);
    }
    Bytes sealed() const { return {packet.begin() + kIvSize, packet.end()}; }
    Bytes text() const { return {packet.begin() + kIvSize, packet.end() - kIcvSize}; }
};

class EachLibrary : public testing::TestWithParam<const AeadLibrary*> {};

TEST_P(EachLibrary, SealsAndOpensPublishedVectors)
{
    for (const Vector& v : kVectors) {
        SCOPED_TRACE(v.name);
        auto aead = GetParam()->make(v.cipher, base::Secret(base::ByteView(from_hex(v.key))));
        ASSERT_TRUE(aead);
        Sealable s(from_hex(v.iv), from_hex(v.text), from_hex(v.aad));
        EXPECT_TRUE(aead->seal(&s.item, 1));
        EXPECT_EQ(base::to_hex(s.sealed()), v.sealed);
        EXPECT_EQ(base::to_hex(base::ByteView(s.packet).first(kIvSize)), v.iv);
        aead->open(&s.item, 1);
        EXPECT_TRUE(s.item.ok);
        EXPECT_EQ(base::to_hex(s.text()), v.text);
    }
}

TEST_P(EachLibrary, RefusesEveryChangedBit)
{
    for (Cipher cipher : kCiphers) {
        SCOPED_TRACE(to_string(cipher));
        auto aead = GetParam()->make(cipher, tests::test_key(cipher));
        Sealable good(tests::test_frame(8), tests::test_frame(20), tests::test_frame(12));
        ASSERT_TRUE(aead->seal(&good.item, 1));
        const Bytes packet = good.packet;
        for (size_t bit = 0; bit < packet.size() * 8; bit++) {
            good.packet = packet;
            good.item.iv = good.packet.data();
            good.packet[bit / 8] ^= 1 << bit % 8;
            good.item.ok = true;
            aead->open(&good.item, 1);
            EXPECT_FALSE(good.item.ok) << "bit " << bit;
        }
        for (size_t bit = 0; bit < 12 * 8; bit++) {
            good.packet = packet;
            good.item.aad[bit / 8] ^= 1 << bit % 8;
            aead->open(&good.item, 1);
            EXPECT_FALSE(good.item.ok) << "AAD bit " << bit;
            good.item.aad[bit / 8] ^= 1 << bit % 8;
        }
        good.packet = packet;
        aead->open(&good.item, 1);
        EXPECT_TRUE(good.item.ok);
    }
}

TEST_P(EachLibrary, RefusesKeysOfTheWrongSize)
{
    for (Cipher cipher : kCiphers) {
        for (size_t size : {size_t{0}, size_t{16}, size_t{19}, size_t{21}, size_t{32},
                            size_t{35}, size_t{37}}) {
            EXPECT_FALSE(GetParam()->make(cipher, base::Secret(size)))
                << to_string(cipher) << " " << size;
        }
    }
    EXPECT_FALSE(GetParam()->make(static_cast<Cipher>(6), base::Secret(size_t{20})));
}

// Threads that share one object, more than an OpenSSL pool holds.
TEST_P(EachLibrary, ServesManyThreadsAtOnce)
{
    for (Cipher cipher : kCiphers) {
        auto aead = GetParam()->make(cipher, tests::test_key(cipher));
        Sealable expected(tests::test_frame(8), tests::test_frame(100), tests::test_frame(8));
        ASSERT_TRUE(aead->seal(&expected.item, 1));
        std::atomic<int> wrong{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 40; t++) {
            threads.emplace_back([&] {
                for (int i = 0; i < 50; i++) {
                    Sealable s(tests::test_frame(8), tests::test_frame(100),
                               tests::test_frame(8));
                    wrong += !aead->seal(&s.item, 1) || s.packet != expected.packet;
                    aead->open(&s.item, 1);
                    wrong += !s.item.ok || s.text() != tests::test_frame(100);
                }
            });
        }
        for (auto& thread : threads) {
            thread.join();
        }
        EXPECT_EQ(wrong, 0) << to_string(cipher);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Aead, EachLibrary, testing::ValuesIn(aead_libraries()), [](const auto& info) {
        std::string name = info.param->name();
        std::erase_if(name, [](char c) { return !isalnum(static_cast<unsigned char>(c)); });
        return name;
    });

// Batches of mixed sizes, sealed by each library and opened by each.
TEST(Aead, LibrariesAgree)
{
    const auto& libraries = aead_libraries();
    std::mt19937 random(4303);
    for (Cipher cipher : kCiphers) {
        SCOPED_TRACE(to_string(cipher));
        std::vector<std::unique_ptr<Aead>> aeads;
        for (const AeadLibrary* library : libraries) {
            aeads.push_back(library->make(cipher, tests::test_key(cipher)));
            ASSERT_TRUE(aeads.back());
        }
        for (size_t first = 0; first <= 2000; first += kMaxBatch) {
            std::vector<std::vector<Sealable>> sealed(aeads.size());
            for (size_t size = first; size < first + kMaxBatch; size++) {
                Bytes text(size), iv(kIvSize), aad(size % 2 ? 8 : 12);
                for (Bytes* octets : {&text, &iv, &aad}) {
                    for (uint8_t& octet : *octets) {
                        octet = static_cast<uint8_t>(random());
                    }
                }
                for (auto& batch : sealed) {
                    batch.emplace_back(iv, text, aad);
                }
            }
            std::vector<Bytes> plain;
            for (const Sealable& s : sealed[0]) {
                plain.push_back(s.text());
            }
            std::vector<std::vector<AeadItem>> items(aeads.size());
            for (size_t a = 0; a < aeads.size(); a++) {
                for (Sealable& s : sealed[a]) {
                    items[a].push_back(s.item);
                    items[a].back().iv = s.packet.data();
                }
                ASSERT_TRUE(aeads[a]->seal(items[a].data(), kMaxBatch));
            }
            for (size_t a = 1; a < aeads.size(); a++) {
                for (size_t i = 0; i < kMaxBatch; i++) {
                    ASSERT_EQ(sealed[a][i].packet, sealed[0][i].packet) << first + i;
                }
            }
            for (size_t a = 0; a < aeads.size(); a++) {
                aeads[a]->open(items[(a + 1) % aeads.size()].data(), kMaxBatch);
                for (size_t i = 0; i < kMaxBatch; i++) {
                    ASSERT_TRUE(items[(a + 1) % aeads.size()][i].ok) << first + i;
                    ASSERT_EQ(sealed[(a + 1) % aeads.size()][i].text(), plain[i]) << first + i;
                }
            }
        }
    }
}

TEST(Aead, LibraryIsChosenByName)
{
    ASSERT_FALSE(aead_libraries().empty());
    for (const char* any : {"", "auto"}) {
        auto library = choose_aead_library(any);
        ASSERT_TRUE(library);
        EXPECT_EQ(*library, aead_libraries()[0]);
    }
    auto openssl = choose_aead_library("openssl");
    ASSERT_TRUE(openssl);
    EXPECT_STREQ((*openssl)->name(), "openssl");
    auto unknown = choose_aead_library("nettle");
    ASSERT_FALSE(unknown);
    EXPECT_NE(unknown.error().text.find("openssl"), std::string::npos);

    ASSERT_EQ(setenv("NVO3_AEAD", "openssl", 1), 0);
    EXPECT_EQ(*choose_aead_library(), *openssl);
    ASSERT_EQ(unsetenv("NVO3_AEAD"), 0);
}

}  // namespace
}  // namespace nvo3::esp
