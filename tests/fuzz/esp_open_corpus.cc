// SPDX-License-Identifier: Apache-2.0
//
// Writes the corpus of esp_open_fuzz.cc into the directory that is its argument:
// each kind of packet that passes, and one for each thing that is refused.
#include <cstdio>
#include <fstream>
#include <string>

#include "esp/wire.h"
#include "esp_packets.h"

using namespace nvo3;

namespace {

std::string directory;

void
put(const std::string& name, uint8_t choice, const base::Bytes& octets)
{
    std::ofstream out(directory + "/" + name, std::ios::binary);
    out.put(static_cast<char>(choice));
    out.write(reinterpret_cast<const char*>(octets.data()),
              static_cast<std::streamsize>(octets.size()));
}

base::Bytes
changed(base::Bytes octets, size_t at, uint8_t value)
{
    octets[at] = value;
    return octets;
}

void
put_all(const tests::TestSa& test, const std::string& name, uint8_t choice)
{
    auto sa = test.make(esp::SaDirection::outbound);
    const base::Bytes good = tests::seal_one(*sa, test.header(), tests::test_frame(14));
    put(name + "-good", choice, good);
    put(name + "-header", choice, test.header());
    put(name + "-vlan", choice,
        tests::seal_one(*sa, test.header({}, true), tests::test_frame(17)));
    put(name + "-bad-icv", choice, changed(good, good.size() - 1, 0));
    put(name + "-cut", choice, base::Bytes(good.begin(), good.begin() + 60));
    if (test.ipv6) {
        return;
    }
    put(name + "-fragment", choice, changed(good, 20, 0x20));
    put(name + "-options", choice, changed(good, 14, 0x46));
    put(name + "-clear", choice, changed(good, 36, 0x17));
    put(name + "-non-esp", choice, changed(changed(good, 44, 0), 45, 0));
    put(name + "-unknown-spi", choice, changed(good, 42, 0xff));
    put(name + "-wrong-address", choice, changed(good, 29, 77));
    put(name + "-old", choice, changed(good, 49, 0));
    put(name + "-udp-short", choice, changed(good, 39, 8));

    // Texts, for behind the cipher: UDP 8, tunnel 8, frame 14, trailer 2.
    const base::Bytes text(good.begin() + 58, good.end() - 16);
    const auto inside = static_cast<uint8_t>(choice | 2);
    put(name + "-text-good", inside, text);
    put(name + "-text-dummy", inside, tests::from_hex("0102023b"));
    put(name + "-text-next-header", inside, changed(text, 31, 4));
    put(name + "-text-padding", inside, changed(text, 30, 200));
    put(name + "-text-port", inside, changed(text, 3, 0));
    put(name + "-text-length", inside, changed(text, 5, 31));
    put(name + "-text-shape", inside, changed(text, 8, 0x47));
    put(name + "-text-vni", inside, changed(text, 14, 0));
    put(name + "-text-empty", inside, {});
}

}  // namespace

int
main(int argc, char* argv[])
{
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 1;
    }
    directory = argv[1];
    // The SAs of esp_open_fuzz.cc.
    constexpr auto kCipher = esp::Cipher::aes128gmac;
    put_all({.cipher = kCipher, .spi = 0x1001}, "geneve", 0);
    put_all({.encap = base::Encap::vxlan, .cipher = kCipher, .spi = 0x1002}, "vxlan", 1);
    put_all({.cipher = kCipher, .ipv6 = true, .spi = 0x1001}, "ipv6", 0);
    return 0;
}
