// SPDX-License-Identifier: Apache-2.0
//
// What sealing and opening cost beside the cipher itself, by library, frame size
// and number of SAs.  Each benchmark reports ns for one packet.
//
//   raw/LIBRARY/SIZE        the library's own call over as many octets as the
//                           frame has: the measure for the others
//   seal, open/LIBRARY/SIZE frame to ESP packet and back, batches of 32
//   lookup/SAS              SA by SPI, random, batches of 32
//   open_sas/SAS/SIZE       open with each packet on a random one of so many SAs
//
// Place: tests/bench.  Threads: one.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#include "esp/decap.h"
#include "esp/encap.h"
#include "esp_packets.h"

namespace {

using namespace nvo3;
using esp::kMaxBatch;

// Packets of the benchmarks with one SA: more than fit the first cache.
constexpr size_t kPackets = 256;
constexpr size_t kHeadroom = 128;
constexpr size_t kTailroom = 32;

// Buffers for frames, one behind the other as in a packet pool.
class Pool {
public:
    Pool(size_t count, size_t size)
        : step_((kHeadroom + size + kTailroom + 63) / 64 * 64 + 64), size_(size),
          octets_(count * step_, 0x5a)
    {
    }
    esp::Frame frame(size_t i)
    {
        esp::Frame frame;
        frame.data = octets_.data() + i * step_ + kHeadroom;
        frame.size = static_cast<uint32_t>(size_);
        frame.headroom = kHeadroom;
        frame.tailroom = kTailroom;
        frame.entropy = 0xc001;
        return frame;
    }

private:
    size_t step_;
    size_t size_;
    std::vector<uint8_t> octets_;
};

void
finish(benchmark::State& state, size_t packets_per_iteration)
{
    state.counters["ns"] = benchmark::Counter(
        static_cast<double>(state.iterations()) * static_cast<double>(packets_per_iteration) / 1e9,
        benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// Of this thread: what others do on the machine does not count.
double
cpu_seconds()
{
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// What reading it twice costs: half a microsecond, which a short batch shows.
double
clock_seconds()
{
    static const double least = [] {
        double seconds = 1;
        for (int i = 0; i < 1000; i++) {
            const double start = cpu_seconds();
            seconds = std::min(seconds, cpu_seconds() - start);
        }
        return seconds;
    }();
    return least;
}

// ---- The library alone ----

#ifdef HAVE_IPSEC_MB
void
raw_ipsec_mb(benchmark::State& state, bool decrypt, size_t size)
{
    IMB_MGR* manager = alloc_mb_mgr(0);
    IMB_ARCH arch;
    init_mb_mgr_auto(manager, &arch);
    alignas(64) gcm_key_data key;
    gcm_context_data context;
    const uint8_t raw_key[16] = {1};
    IMB_AES128_GCM_PRE(manager, raw_key, &key);
    Pool pool(kPackets, size);
    uint8_t iv[12] = {}, aad[12] = {}, tag[16];
    for (auto _ : state) {
        for (size_t i = 0; i < kPackets; i++) {
            uint8_t* text = pool.frame(i).data;
            if (decrypt) {
                IMB_AES128_GCM_DEC(manager, &key, &context, text, text, size, iv, aad, 12, tag, 16);
            } else {
                IMB_AES128_GCM_ENC(manager, &key, &context, text, text, size, iv, aad, 12, tag, 16);
            }
        }
    }
    finish(state, kPackets);
    free_mb_mgr(manager);
}
#endif

void
raw_openssl(benchmark::State& state, bool decrypt, size_t size)
{
    EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
    const uint8_t key[16] = {1};
    EVP_CipherInit_ex(context, EVP_aes_128_gcm(), nullptr, key, nullptr, !decrypt);
    Pool pool(kPackets, size);
    uint8_t iv[12] = {}, aad[12] = {}, tag[16] = {};
    int n = 0;
    for (auto _ : state) {
        for (size_t i = 0; i < kPackets; i++) {
            uint8_t* text = pool.frame(i).data;
            EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, iv, !decrypt);
            EVP_CipherUpdate(context, nullptr, &n, aad, 12);
            EVP_CipherUpdate(context, text, &n, text, static_cast<int>(size));
            if (decrypt) {
                EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, tag);
                EVP_CipherFinal_ex(context, text, &n);
            } else {
                EVP_CipherFinal_ex(context, text, &n);
                EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag);
            }
        }
    }
    finish(state, kPackets);
    EVP_CIPHER_CTX_free(context);
}

// ---- Seal and open ----

void
seal(benchmark::State& state, const esp::AeadLibrary* library, size_t size)
{
    const tests::TestSa test;
    auto sa = test.make(esp::SaDirection::outbound, library);
    const base::Bytes header = test.header();
    Pool pool(kPackets, size);
    esp::Frame frames[kMaxBatch];
    size_t passed = 0;
    for (auto _ : state) {
        for (size_t first = 0; first < kPackets; first += kMaxBatch) {
            for (size_t i = 0; i < kMaxBatch; i++) {
                frames[i] = pool.frame(first + i);
            }
            esp::HeaderInfo info;
            esp::parse_header(test.encap, header, info);
            passed += esp::seal(*sa, header, info, frames, kMaxBatch);
        }
    }
    if (passed != static_cast<size_t>(state.iterations()) * kPackets) {
        state.SkipWithError("not sealed");
    }
    finish(state, kPackets);
}

// SAs with SPIs 1000.., both ends.
class Hosts {
public:
    Hosts(size_t count, const esp::AeadLibrary* library)
    {
        for (size_t i = 0; i < count; i++) {
            const tests::TestSa test{.spi = spi(i), .window = 64};
            senders_.push_back(test.make(esp::SaDirection::outbound, library));
            if (!sad.add_inbound(test.make(esp::SaDirection::inbound, library))) {
                abort();
            }
        }
    }
    // A million of them take a minute to make: kept for the next benchmark.
    static Hosts& with(size_t count)
    {
        static std::unique_ptr<Hosts> hosts;
        if (!hosts || hosts->senders_.size() != count) {
            hosts.reset();
            hosts = std::make_unique<Hosts>(count, nullptr);
        }
        return *hosts;
    }
    // Spread as random ones are.
    static uint32_t spi(size_t i)
    {
        return static_cast<uint32_t>(1000 + i * 2654435761u % 0xf0000000u);
    }
    // Makes 'frame' a received packet of SA 'which'.
    void seal(size_t which, esp::Frame& frame)
    {
        esp::seal(*senders_[which], header_, info_, &frame, 1);
        frame.outcome = esp::Outcome::pending;
        frame.l3_ofs = 14;
        frame.l4_ofs = 34;
    }

    tests::ImmediateReclaimer reclaimer;
    esp::Sad sad{reclaimer};

private:
    std::vector<std::unique_ptr<esp::SaRuntime>> senders_;
    const base::Bytes header_ = tests::TestSa().header();
    esp::HeaderInfo info_ = [this] {
        esp::HeaderInfo info;
        esp::parse_header(base::Encap::geneve, header_, info);
        return info;
    }();
};

// 'spread' packets are sealed beforehand and opened one batch after the other;
// only the opening counts.
void
open_from(benchmark::State& state, Hosts& hosts, size_t sas, size_t size, size_t spread)
{
    Pool pool(spread, size);
    std::vector<esp::Frame> frames(spread);
    std::mt19937 random(4303);
    size_t passed = 0;
    size_t rounds = 0;
    for (auto _ : state) {
        clock_seconds();
        for (size_t i = 0; i < spread; i++) {
            frames[i] = pool.frame(i);
            hosts.seal(random() % sas, frames[i]);
        }
        const double start = cpu_seconds();
        for (size_t i = 0; i < spread; i += kMaxBatch) {
            passed += esp::open(hosts.sad, base::Encap::geneve, &frames[i], kMaxBatch);
        }
        state.SetIterationTime(cpu_seconds() - start - clock_seconds());
        rounds++;
    }
    if (passed != rounds * spread) {
        state.SkipWithError("not all opened");
    }
    finish(state, spread);
}

void
open_one(benchmark::State& state, const esp::AeadLibrary* library, size_t size)
{
    Hosts hosts(1, library);
    open_from(state, hosts, 1, size, kPackets);
}

// Packets lie in the same amount of memory however many SAs there are.
void
open_sas(benchmark::State& state, size_t sas, size_t size)
{
    open_from(state, Hosts::with(sas), sas, size, 4096);
}

void
lookup(benchmark::State& state, size_t sas)
{
    Hosts& hosts = Hosts::with(sas);
    std::mt19937 random(4303);
    std::vector<base::Spi> spis(1 << 16);
    for (auto& spi : spis) {
        spi = base::Spi(Hosts::spi(random() % sas));
    }
    size_t next = 0;
    uintptr_t sum = 0;
    for (auto _ : state) {
        for (size_t i = 0; i < kMaxBatch; i++) {
            hosts.sad.prefetch_inbound(spis[next + i]);
        }
        for (size_t i = 0; i < kMaxBatch; i++) {
            sum += reinterpret_cast<uintptr_t>(hosts.sad.inbound(spis[next + i]));
        }
        next = (next + kMaxBatch) % spis.size();
    }
    benchmark::DoNotOptimize(sum);
    finish(state, kMaxBatch);
}

}  // namespace

int
main(int argc, char* argv[])
{
    for (size_t size : {64, 256, 512, 1400}) {
        const std::string tail = "/" + std::to_string(size);
        for (const bool decrypt : {false, true}) {
            const std::string raw = decrypt ? "raw_decrypt/" : "raw_encrypt/";
#ifdef HAVE_IPSEC_MB
            benchmark::RegisterBenchmark((raw + "ipsec-mb" + tail).c_str(), raw_ipsec_mb, decrypt, size);
#endif
            benchmark::RegisterBenchmark((raw + "openssl" + tail).c_str(), raw_openssl, decrypt, size);
        }
        for (const auto* library : esp::aead_libraries()) {
            const std::string name = library->name() + tail;
            benchmark::RegisterBenchmark(("seal/" + name).c_str(), seal, library, size);
            benchmark::RegisterBenchmark(("open/" + name).c_str(), open_one, library, size)
                ->UseManualTime();
        }
    }
    for (size_t sas : {1, 1000, 10000, 1000000}) {
        benchmark::RegisterBenchmark(("lookup/" + std::to_string(sas)).c_str(), lookup, sas);
        for (size_t size : {64, 1400}) {
            benchmark::RegisterBenchmark(("open_sas/" + std::to_string(sas) + "/" + std::to_string(size)).c_str(),
                                         open_sas, sas, size)
                ->UseManualTime();
        }
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
