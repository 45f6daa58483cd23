// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of esp/sa_protocol.h.
#include "esp/sa_protocol.h"

#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>

namespace nvo3::esp {
namespace {

using base::ByteView;
using base::Bytes;
using base::IpAddress;
using base::Spi;
using base::Vni;

const IpAddress kRemote = *IpAddress::parse("192.0.2.2");
const IpAddress kGroup = *IpAddress::parse("239.1.1.1");
const IpAddress kLocal = *IpAddress::parse("2001:db8::1");

msg::InstallSa
sample_install()
{
    msg::InstallSa install;
    install.request = 7;
    install.sa.direction = SaDirection::outbound;
    install.sa.spi = Spi(0x11223344);
    install.sa.remote = kRemote;
    install.sa.local = kLocal;
    install.sa.group = kGroup;
    install.sa.encap = base::Encap::vxlan;
    install.sa.vni = Vni(5001);
    install.sa.cipher = Cipher::chacha20poly1305;
    install.sa.esn = true;
    install.sa.replay_window = 2048;
    install.sa.limits.soft_packets = 1;
    install.sa.limits.hard_packets = 2;
    install.sa.limits.soft_bytes = 3;
    install.sa.limits.hard_bytes = 4;
    install.sa.limits.hard_seconds = 5;
    install.sa.generation = 6;
    install.sa.key = base::Secret(size_t{36});
    memset(install.sa.key.data(), 0x5a, 36);
    return install;
}

// Type and body of the encoded message.
Bytes
body(const SaMessage& message)
{
    const base::Secret wire = encode(message);
    return Bytes(wire.view().begin() + 4, wire.view().end());
}

template <class M>
void
expect_same_again(const M& message)
{
    base::Result<SaMessage> decoded = decode(body(message));
    ASSERT_TRUE(decoded.ok()) << decoded.error().text;
    ASSERT_TRUE(std::holds_alternative<M>(*decoded));
    EXPECT_EQ(std::get<M>(*decoded), message);
}

TEST(SaProtocol, EveryMessageComesBackTheSame)
{
    expect_same_again(msg::AgentHello{1, 0x1122334455667788});
    expect_same_again(msg::RemoveSa{1, SaDirection::outbound, Spi(300), kRemote, base::Encap::vxlan, base::Vni(5001)});
    expect_same_again(msg::RemovePeer{2, kRemote});
    expect_same_again(msg::ListSas{3});
    expect_same_again(msg::PortStatus{"tun2", "error", "hv2", "no certificate"});
    expect_same_again(msg::SwitchHello{1, 42, "openssl"});
    expect_same_again(msg::Result{4, ENOENT, "no such SA"});
    expect_same_again(msg::SaRecord{5, SaDirection::inbound, Spi(1000), kRemote, kLocal,
                                    kGroup, base::Encap::vxlan, Vni(77), Cipher::aes256gmac,
                                    false, 8,
                                    uint64_t{1} << 40, uint64_t{1} << 50, 9});
    expect_same_again(msg::Acquire{kRemote, kLocal, base::Encap::geneve, Vni(0xffffff)});
    expect_same_again(msg::SaExpiring{SaDirection::outbound, Spi(301), kRemote,
                                      kGroup, base::Encap::geneve, Vni(1), ExpiryReason::hard_seconds});
    expect_same_again(msg::Alarm{DropReason::wrong_vni, kRemote, Vni(1), Vni(2), Spi(302), 1000});
    expect_same_again(msg::ServedNetworks{});
    expect_same_again(msg::ServedNetworks{{Vni(0), Vni(5001), Vni(0xffffff)}});
    expect_same_again(msg::GuardNotice{"br-int", "tcp:192.0.2.1:6653", "sets_unserved_vni", "a flow that", false, 3});
}

TEST(SaProtocol, InstallSaComesBackTheSame)
{
    base::Result<SaMessage> decoded = decode(body(sample_install()));
    ASSERT_TRUE(decoded.ok());
    const auto& got = std::get<msg::InstallSa>(*decoded);
    const msg::InstallSa want = sample_install();
    EXPECT_EQ(got.request, want.request);
    EXPECT_EQ(got.sa.direction, want.sa.direction);
    EXPECT_EQ(got.sa.spi, want.sa.spi);
    EXPECT_EQ(got.sa.remote, want.sa.remote);
    EXPECT_EQ(got.sa.local, want.sa.local);
    EXPECT_EQ(got.sa.group, want.sa.group);
    EXPECT_EQ(got.sa.encap, want.sa.encap);
    EXPECT_EQ(got.sa.vni, want.sa.vni);
    EXPECT_EQ(got.sa.cipher, want.sa.cipher);
    EXPECT_EQ(got.sa.esn, want.sa.esn);
    EXPECT_EQ(got.sa.replay_window, want.sa.replay_window);
    EXPECT_EQ(got.sa.limits.soft_packets, 1u);
    EXPECT_EQ(got.sa.limits.hard_packets, 2u);
    EXPECT_EQ(got.sa.limits.soft_bytes, 3u);
    EXPECT_EQ(got.sa.limits.hard_bytes, 4u);
    EXPECT_EQ(got.sa.limits.hard_seconds, 5u);
    EXPECT_EQ(got.sa.generation, 6u);
    EXPECT_TRUE(base::equal_constant_time(got.sa.key.view(), want.sa.key.view()));
}

TEST(SaProtocol, WireFormatOfAMessage)
{
    const base::Secret wire = encode(msg::RemoveSa{1, SaDirection::outbound, Spi(0x100), kRemote, base::Encap::vxlan, base::Vni(0x1389)});
    EXPECT_EQ(base::to_hex(wire.view()),
              "0000001f" "03" "00000001" "02" "00000100"
              "00000000000000000000ffffc0000202" "02" "00001389");
}

TEST(SaProtocol, RefusesEveryCutMessage)
{
    for (const SaMessage& message :
         {SaMessage(msg::AgentHello{}), SaMessage(msg::PortStatus{"a", "b", "c", "d"}),
          SaMessage(msg::SaRecord{}), SaMessage(msg::Alarm{}), SaMessage(msg::ServedNetworks{{Vni(1), Vni(2)}}),
          SaMessage(msg::GuardNotice{"a", "b", "c", "d", true, 1})}) {
        const Bytes whole = body(message);
        ASSERT_TRUE(decode(whole).ok()) << message.index();
        for (size_t size = 0; size < whole.size(); size++) {
            EXPECT_FALSE(decode(ByteView(whole).first(size)).ok())
                << message.index() << " cut to " << size;
        }
    }
    const Bytes install = body(sample_install());
    for (size_t size = 0; size < install.size(); size++) {
        EXPECT_FALSE(decode(ByteView(install).first(size)).ok()) << size;
    }
}

TEST(SaProtocol, ServedNetworksAreBounded)
{
    msg::ServedNetworks most{std::vector<Vni>(kSaServedMax, Vni(5001))};
    expect_same_again(most);
    msg::ServedNetworks more = most;
    more.vnis.push_back(Vni(5002));
    const Bytes cut = body(more);
    EXPECT_EQ(cut, body(most)) << "what does not fit is left out";

    Bytes data = body(most);
    const uint16_t count = kSaServedMax + 1;
    data[1] = count >> 8;
    data[2] = count & 0xff;
    data.insert(data.end(), 4, 0);
    EXPECT_FALSE(decode(data).ok()) << "one too many";

    data = body(msg::ServedNetworks{{Vni(0xffffff)}});
    data[3] = 1;
    EXPECT_FALSE(decode(data).ok()) << "no VNI";
}

TEST(SaProtocol, RefusesOctetsTooMany)
{
    Bytes data = body(msg::ListSas{1});
    data.push_back(0);
    EXPECT_FALSE(decode(data).ok());
}

struct BadRow {
    const char* what;
    SaMessage message;
    size_t at;          // in type and body
    uint8_t octet;
};

TEST(SaProtocol, RefusesValuesOutOfRange)
{
    // InstallSa: type 1, request 4, direction 1, SPI 4, remote 16, local 16,
    // group 16, encap 1, VNI 4, cipher 1, esn 1.
    BadRow rows[] = {
        {"unknown type", msg::ListSas{1}, 0, 99},
        {"type 0", msg::ListSas{1}, 0, 0},
        {"direction 0", sample_install(), 5, 0},
        {"direction 3", sample_install(), 5, 3},
        {"encap 3", sample_install(), 58, 3},
        {"VNI of 25 bits", sample_install(), 59, 1},
        {"cipher 0", sample_install(), 63, 0},
        {"cipher 6", sample_install(), 63, 6},
        {"esn 2", sample_install(), 64, 2},
        {"expiry reason 0", msg::SaExpiring{}, 1 + 1 + 4 + 32 + 1 + 4, 0},
        {"expiry reason 7", msg::SaExpiring{}, 1 + 1 + 4 + 32 + 1 + 4, 7},
        {"drop reason 250", msg::Alarm{}, 1, 250},
    };
    for (const BadRow& row : rows) {
        Bytes data = body(row.message);
        ASSERT_TRUE(decode(data).ok()) << row.what;
        data.at(row.at) = row.octet;
        base::Result<SaMessage> decoded = decode(data);
        ASSERT_FALSE(decoded.ok()) << row.what;
        EXPECT_EQ(decoded.error().code, EPROTO);
    }
}

TEST(SaProtocol, LongTextIsCutNotRefused)
{
    base::Result<SaMessage> decoded = decode(body(msg::Result{1, 2, std::string(100000, 'x')}));
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ(std::get<msg::Result>(*decoded).text.size(), kSaTextMax);
}

// ---- The stream ----

void
add(SaMessageReader& reader, ByteView data)
{
    ASSERT_LE(data.size(), reader.space_size());
    memcpy(reader.space(), data.data(), data.size());
    reader.added(data.size());
}

TEST(SaMessageReader, CutsAStreamGivenOctetByOctet)
{
    SaMessageReader reader;
    size_t seen = 0;
    for (int round = 0; round < 3; round++) {
        const base::Secret wire = encode(msg::ListSas{static_cast<uint32_t>(round)});
        for (uint8_t octet : wire.view()) {
            add(reader, ByteView(&octet, 1));
            base::Result<std::optional<SaMessage>> next = reader.next();
            ASSERT_TRUE(next.ok());
            if (next->has_value()) {
                EXPECT_EQ(std::get<msg::ListSas>(**next).request, seen);
                seen++;
            }
        }
    }
    EXPECT_EQ(seen, 3u);
}

TEST(SaMessageReader, CutsSeveralMessagesGivenAtOnce)
{
    SaMessageReader reader;
    for (uint32_t i = 0; i < 3; i++) {
        add(reader, encode(msg::ListSas{i}).view());
    }
    for (uint32_t i = 0; i < 3; i++) {
        auto next = reader.next();
        ASSERT_TRUE(next.ok() && next->has_value());
        EXPECT_EQ(std::get<msg::ListSas>(**next).request, i);
    }
    auto next = reader.next();
    ASSERT_TRUE(next.ok());
    EXPECT_FALSE(next->has_value());
}

TEST(SaMessageReader, HasRoomForTheLargestMessageAfterASmallOne)
{
    SaMessageReader reader;
    add(reader, encode(msg::ListSas{1}).view());
    const Bytes start{0, 1, 0, 0, 99};      // 65536 octets, of type 99
    add(reader, start);
    ASSERT_TRUE(reader.next()->has_value());
    ASSERT_FALSE(reader.next()->has_value());
    ASSERT_EQ(reader.space_size(), kSaMessageMax - 1);
    add(reader, Bytes(kSaMessageMax - 1));
    EXPECT_FALSE(reader.next().ok());       // all there, and of no known type
}

TEST(SaMessageReader, RefusesSizesOutOfBounds)
{
    for (Bytes size : {Bytes{0, 0, 0, 0}, Bytes{0, 1, 0, 1}, Bytes{0xff, 0xff, 0xff, 0xff}}) {
        SaMessageReader reader;
        add(reader, size);
        EXPECT_FALSE(reader.next().ok()) << base::to_hex(size);
    }
}

TEST(SaMessageReader, WipesTheKeyFromItsBuffer)
{
    SaMessageReader reader;
    const uint8_t* buffer = reader.space();
    add(reader, encode(sample_install()).view());
    const uint8_t* end = reader.space();
    ASSERT_NE(std::find(buffer, end, 0x5a), end);
    ASSERT_TRUE(reader.next()->has_value());
    EXPECT_EQ(std::find(buffer, end, 0x5a), end);
}

}  // namespace
}  // namespace nvo3::esp
