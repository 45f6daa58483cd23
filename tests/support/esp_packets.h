// SPDX-License-Identifier: Apache-2.0
//
// SAs, prebuilt headers and frames for tests of lib/esp.
// Place: tests/support.  Threads: plain values.
#ifndef NVO3_TESTS_SUPPORT_ESP_PACKETS_H
#define NVO3_TESTS_SUPPORT_ESP_PACKETS_H

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "esp/encap.h"
#include "esp/frame.h"
#include "esp/sa.h"
#include "esp/sad.h"

namespace nvo3::tests {

base::Bytes from_hex(std::string_view hex);

// For tests in which nobody reads while something is freed.
class ImmediateReclaimer final : public esp::Reclaimer {
public:
    void retire(void* p, void (*destroy)(void*)) override
    {
        retired++;
        destroy(p);
    }
    int retired = 0;
};

// Octets 0x40, 0x41, ... then the salt a0 a1 a2 a3.
base::Secret test_key(esp::Cipher cipher);

// A valid SA between 172.31.0.1 and .2 (or fd31::1 and ::2): outbound at the
// first, inbound at the second.  Of a group: from .1 to 239.1.1.1 or ff05::1:1.
struct TestSa {
    base::Encap encap = base::Encap::geneve;
    esp::Cipher cipher = esp::Cipher::aes128gcm;
    bool ipv6 = false;
    bool esn = true;
    uint32_t spi = 0x1234abcd;
    uint32_t vni = 5001;
    uint32_t window = 1024;
    bool group = false;

    // An SA of a group, from the n-th sender.
    static TestSa of_group(int sender = 1, bool ipv6 = false);
    esp::SaConfig config(esp::SaDirection direction) const;
    // By the fastest library, or the given one.
    std::unique_ptr<esp::SaRuntime> make(esp::SaDirection direction,
                                         const esp::AeadLibrary* library = nullptr) const;
    // Ethernet to Geneve or VXLAN, from the first to the second host, lengths and
    // checksums zero, as OVS prebuilds it.
    base::Bytes header(base::ByteView geneve_options = {}, bool vlan = false) const;
};

// 'size' octets that are no two alike in a row.
base::Bytes test_frame(size_t size);

// A frame with room around it, in a buffer of exactly that size.
class Packet {
public:
    explicit Packet(base::ByteView data, size_t headroom = 256, size_t tailroom = 64);
    Packet(Packet&&) = default;

    esp::Frame frame;
    base::ByteView view() const { return {frame.data, frame.size}; }
    base::Bytes bytes() const { return {frame.data, frame.data + frame.size}; }
    // For open(): where the headers are, as the switch's parser finds them.
    void find_headers();

private:
    std::unique_ptr<uint8_t[]> buffer_;
};

// Seals one frame as it would leave the host; the packet from Ethernet to ICV.
base::Bytes seal_one(esp::SaRuntime& sa, const base::Bytes& header, base::ByteView frame,
                     uint16_t entropy = 0xc001);

// The receiving host: a Sad with the inbound end of an SA.
struct Receiver {
    ImmediateReclaimer reclaimer;
    esp::Sad sad{reclaimer};
    esp::SaRuntime* sa;

    explicit Receiver(const TestSa& test, const esp::AeadLibrary* library = nullptr);
    esp::Frame& open(Packet& packet, base::Encap encap = base::Encap::geneve);
    // What became of it: "passed", "dummy" or the reason.
    std::string outcome(const base::Bytes& octets, base::Encap encap = base::Encap::geneve);
};

}  // namespace nvo3::tests

#endif
