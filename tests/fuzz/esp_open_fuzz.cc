// SPDX-License-Identifier: Apache-2.0
//
// Fuzz target: what the network sends to a protected port, and what OVS prebuilds.
// The first octet chooses: bit 0 the tunnel, bit 1 the way.
//   bit 1 clear  the rest is a frame as received, with its headers where the
//                switch's parser would find them
//   bit 1 set    the rest is the text of an ESP packet: it is sealed with a valid
//                SA first, so that what lies behind the cipher is reached
// Whatever comes, open() stays within the frame, decides, and what it lets pass
// has lengths that fit together.
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "esp/decap.h"
#include "esp/encap.h"
#include "esp_packets.h"

namespace {

using namespace nvo3;

void
check(bool good)
{
    if (!good) {
        abort();
    }
}

const tests::TestSa&
test_sa(bool vxlan)
{
    static const tests::TestSa sas[] = {
        {.encap = base::Encap::geneve, .cipher = esp::Cipher::aes128gmac, .spi = 0x1001},
        {.encap = base::Encap::vxlan, .cipher = esp::Cipher::aes128gmac, .spi = 0x1002}};
    return sas[vxlan];
}

// Seals the text under sequence number 1 behind right outer headers.
std::vector<uint8_t>
seal_text(const tests::TestSa& test, const uint8_t* text, size_t size)
{
    static const std::unique_ptr<esp::Aead> aead = esp::openssl_library()->make(
        esp::Cipher::aes128gmac, tests::test_key(esp::Cipher::aes128gmac));
    std::vector<uint8_t> packet = test.header();
    packet.resize(42);
    const auto udp = static_cast<uint16_t>(8 + 16 + size + 16);
    esp::store_be<uint16_t>(&packet[16], static_cast<uint16_t>(20 + udp));
    esp::store_be<uint16_t>(&packet[38], udp);
    packet.resize(42 + 16 + size + 16);
    uint8_t* esp_header = &packet[42];
    esp::store_be<uint32_t>(esp_header, test.spi);
    esp::store_be<uint32_t>(esp_header + 4, 1);
    esp::store_be<uint64_t>(esp_header + 8, 1);
    std::copy(text, text + size, esp_header + 16);
    esp::AeadItem item{};
    item.iv = esp_header + 8;
    item.text_size = static_cast<uint32_t>(size);
    item.aad_size = 12;
    esp::store_be<uint32_t>(item.aad, test.spi);
    esp::store_be<uint64_t>(item.aad + 4, 1);
    check(aead->seal(&item, 1));
    return packet;
}

void
check_passed(const tests::Packet& packet)
{
    const esp::Frame& frame = packet.frame;
    const uint8_t* ip = frame.data + frame.l3_ofs;
    check(frame.l4_ofs + esp::kUdpSize + esp::kTunnelSize + esp::kEthernetSize <= frame.size);
    const size_t ip_size = ip[0] >> 4 == 6
                           ? esp::kIpv6Size + esp::load_be<uint16_t>(ip + 4)
                           : esp::load_be<uint16_t>(ip + 2);
    check(ip_size == frame.size - frame.l3_ofs);
    check(esp::load_be<uint16_t>(frame.data + frame.l4_ofs + 4) == frame.size - frame.l4_ofs);
}

}  // namespace

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    if (size == 0 || size > 4096) {
        return 0;
    }
    const bool vxlan = data[0] & 1;
    const bool inside = data[0] & 2;
    const base::ByteView rest(data + 1, size - 1);

    tests::ImmediateReclaimer reclaimer;
    esp::Sad sad(reclaimer);
    for (bool which : {false, true}) {
        check(sad.add_inbound(test_sa(which).make(esp::SaDirection::inbound,
                                                  esp::openssl_library())).ok());
    }
    tests::Packet packet(inside ? seal_text(test_sa(vxlan), rest.data(), rest.size())
                                : base::Bytes(rest.begin(), rest.end()), 0, 0);
    packet.find_headers();
    const base::Bytes before = packet.bytes();
    const base::Encap encap = test_sa(vxlan).encap;
    const size_t passed = esp::open(sad, encap, &packet.frame, 1);
    outer_source(packet.frame);
    switch (packet.frame.outcome) {
    case esp::Outcome::passed:
        check(passed == 1);
        check_passed(packet);
        break;
    case esp::Outcome::dropped:
        check(passed == 0);
        // GMAC changes nothing: a refused packet is as it came.
        check(packet.bytes() == before);
        break;
    case esp::Outcome::dummy:
        check(passed == 0 && inside);
        break;
    case esp::Outcome::pending:
        check(false);
    }

    esp::HeaderInfo info;
    const base::Bytes header(rest.begin(), rest.end());
    if (parse_header(encap, header, info)) {
        check(info.l4_ofs + esp::kUdpSize + esp::kTunnelSize <= header.size());
    }
    return 0;
}
