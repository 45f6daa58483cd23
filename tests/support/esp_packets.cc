// SPDX-License-Identifier: Apache-2.0
//
// See esp_packets.h.
#include "esp_packets.h"

#include <string.h>

#include <cstdlib>
#include <string>

#include "esp/decap.h"
#include "esp/wire.h"

namespace nvo3::tests {

using base::ByteView;
using base::Bytes;

Bytes
from_hex(std::string_view hex)
{
    Bytes octets;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
        octets.push_back(static_cast<uint8_t>(
            std::stoul(std::string(hex.substr(i, 2)), nullptr, 16)));
    }
    return octets;
}

base::Secret
test_key(esp::Cipher cipher)
{
    base::Secret key(esp::key_material_size(cipher));
    const size_t salt = esp::key_size(cipher);
    for (size_t i = 0; i < key.size(); i++) {
        key.data()[i] = static_cast<uint8_t>(i < salt ? 0x40 + i : 0xa0 + i - salt);
    }
    return key;
}

TestSa
TestSa::of_group(int sender, bool ipv6)
{
    TestSa test;
    test.ipv6 = ipv6;
    test.esn = false;
    test.spi = base::Spi::kFirstOfGroups + static_cast<uint32_t>(sender);
    test.group = true;
    return test;
}

esp::SaConfig
TestSa::config(esp::SaDirection direction) const
{
    const auto address = [this](int host) {
        return *base::IpAddress::parse((ipv6 ? "fd31::" : "172.31.0.") + std::to_string(host));
    };
    const bool inbound = direction == esp::SaDirection::inbound;
    esp::SaConfig config;
    config.direction = direction;
    config.spi = base::Spi(spi);
    config.remote = address(inbound ? 1 : 2);
    config.local = address(inbound ? 2 : 1);
    if (group) {
        config.group = *base::IpAddress::parse(ipv6 ? "ff05::1:1" : "239.1.1.1");
        if (!inbound) {
            config.remote = config.group;
        }
    }
    config.encap = encap;
    config.vni = base::Vni(vni);
    config.cipher = cipher;
    config.esn = esn;
    config.replay_window = window;
    config.key = test_key(cipher);
    return config;
}

std::unique_ptr<esp::SaRuntime>
TestSa::make(esp::SaDirection direction, const esp::AeadLibrary* library) const
{
    auto sa = esp::SaRuntime::make(config(direction),
                                   library ? *library : *esp::aead_libraries().at(0),
                                   std::chrono::steady_clock::time_point());
    if (!sa) {
        abort();
    }
    return std::move(*sa);
}

Bytes
TestSa::header(ByteView geneve_options, bool vlan) const
{
    const esp::SaConfig addresses = config(esp::SaDirection::outbound);
    base::ByteWriter out;
    out.bytes(from_hex("020000000002020000000001"));
    if (vlan) {
        out.u32(0x8100002a);
    }
    if (ipv6) {
        out.u16(esp::kEtherTypeIpv6);
        out.bytes(from_hex("6000000000001140"));
    } else {
        out.u16(esp::kEtherTypeIpv4);
        out.bytes(from_hex("450000000000400040110000"));
    }
    out.bytes(addresses.local.wire());
    out.bytes(addresses.remote.wire());
    out.u16(7);         // the peer index
    out.u16(esp::outer_port(encap));
    out.u32(0);
    if (encap == base::Encap::geneve) {
        out.u8(static_cast<uint8_t>(geneve_options.size() / 4));
        out.u8(0);
        out.u16(esp::kGeneveProtocolEthernet);
    } else {
        out.u32(0x08000000);
    }
    out.u32(vni << 8);
    out.bytes(geneve_options);
    return out.take();
}

Bytes
test_frame(size_t size)
{
    Bytes frame(size);
    for (size_t i = 0; i < size; i++) {
        frame[i] = static_cast<uint8_t>(i * 7 + 1);
    }
    return frame;
}

Packet::Packet(ByteView data, size_t headroom, size_t tailroom)
    : buffer_(new uint8_t[headroom + data.size() + tailroom]())
{
    if (!data.empty()) {
        memcpy(buffer_.get() + headroom, data.data(), data.size());
    }
    frame.data = buffer_.get() + headroom;
    frame.size = static_cast<uint32_t>(data.size());
    frame.headroom = static_cast<uint32_t>(headroom);
    frame.tailroom = static_cast<uint32_t>(tailroom);
    frame.entropy = 0xc001;
}

void
Packet::find_headers()
{
    size_t ofs = 12;
    while (ofs + 6 < frame.size
           && esp::load_be<uint16_t>(frame.data + ofs) == esp::kEtherTypeVlan) {
        ofs += esp::kVlanTagSize;
    }
    frame.l3_ofs = static_cast<uint16_t>(ofs + 2);
    const uint8_t version = frame.size > frame.l3_ofs ? frame.data[frame.l3_ofs] : 0;
    frame.l4_ofs = static_cast<uint16_t>(
        frame.l3_ofs + (version >> 4 == 6 ? esp::kIpv6Size : 4 * (version & 0x0f)));
}

Bytes
seal_one(esp::SaRuntime& sa, const Bytes& header, ByteView frame, uint16_t entropy)
{
    esp::HeaderInfo info;
    Packet packet(frame);
    packet.frame.entropy = entropy;
    if (!esp::parse_header(sa.encap(), header, info)
        || esp::seal(sa, header, info, &packet.frame, 1) != 1) {
        return {};
    }
    return packet.bytes();
}

Receiver::Receiver(const TestSa& test, const esp::AeadLibrary* library)
{
    auto runtime = test.make(esp::SaDirection::inbound, library);
    sa = runtime.get();
    if (!sad.add_inbound(std::move(runtime))) {
        abort();
    }
}

esp::Frame&
Receiver::open(Packet& packet, base::Encap encap)
{
    packet.find_headers();
    const size_t passed = esp::open(sad, encap, &packet.frame, 1);
    if (passed != (packet.frame.outcome == esp::Outcome::passed)) {
        abort();
    }
    return packet.frame;
}

std::string
Receiver::outcome(const Bytes& octets, base::Encap encap)
{
    Packet packet(octets, 0, 0);
    const esp::Frame& frame = open(packet, encap);
    switch (frame.outcome) {
    case esp::Outcome::passed: return "passed";
    case esp::Outcome::dummy: return "dummy";
    case esp::Outcome::dropped: return to_string(frame.reason);
    case esp::Outcome::pending: break;
    }
    return "pending";
}

}  // namespace nvo3::tests
