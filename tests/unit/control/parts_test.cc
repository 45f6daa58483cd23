// SPDX-License-Identifier: Apache-2.0
//
// The small parts: framer, rate limiter, authorization, traffic key context.
#include <gtest/gtest.h>

#include <set>

#include "control/authorization.h"
#include "control/framer.h"
#include "control/keying.h"
#include "control/rate_limiter.h"
#include "fake_clock.h"

namespace nvo3::tests {
namespace {

using namespace std::chrono_literals;
using namespace control;
namespace pb = control::proto;

// ---- framer ------------------------------------------------------------------

TEST(Framer, AnyCutGivesTheSameFrames)
{
    base::Bytes stream;
    for (size_t size : {1u, 2u, 300u, 65536u}) {
        const auto frame = make_frame(base::Bytes(size, static_cast<uint8_t>(size)));
        ASSERT_TRUE(frame.ok());
        stream.insert(stream.end(), frame->begin(), frame->end());
    }
    for (size_t cut : {1u, 3u, 7u, 1000u, 70000u}) {
        SCOPED_TRACE(cut);
        FrameReader reader;
        std::vector<size_t> sizes;
        for (size_t at = 0; at < stream.size(); at += cut) {
            reader.push(base::ByteView(stream).subspan(at, std::min(cut, stream.size() - at)));
            base::ByteView frame;
            while (reader.next(&frame) == FrameReader::Next::frame) {
                sizes.push_back(frame.size());
                EXPECT_EQ(frame.back(), static_cast<uint8_t>(frame.size()));
            }
        }
        EXPECT_EQ(sizes, (std::vector<size_t>{1, 2, 300, 65536}));
        EXPECT_EQ(reader.buffered(), 0u);
    }
}

TEST(Framer, BadSizesFailForGood)
{
    for (const base::Bytes& header : {base::Bytes{0, 0, 0, 0}, base::Bytes{0, 1, 0, 1},
                                      base::Bytes{0xff, 0xff, 0xff, 0xff}}) {
        FrameReader reader;
        base::ByteView frame;
        reader.push(header);
        EXPECT_EQ(reader.next(&frame), FrameReader::Next::error);
        reader.push(*make_frame(base::Bytes{1}));
        EXPECT_EQ(reader.next(&frame), FrameReader::Next::error);
        EXPECT_EQ(reader.buffered(), 0u);
    }
    EXPECT_FALSE(make_frame({}).ok());
    EXPECT_FALSE(make_frame(base::Bytes(65537)).ok());
}

// ---- rate limiter ------------------------------------------------------------

TEST(TokenBucket, BurstThenRate)
{
    FakeClock clock;
    TokenBucket bucket({10, 3}, clock);
    for (int i = 0; i < 3; i++) {
        EXPECT_TRUE(bucket.take());
    }
    EXPECT_FALSE(bucket.take());
    EXPECT_EQ(bucket.wait(), 100ms);
    clock.advance(99ms);
    EXPECT_FALSE(bucket.take());
    clock.advance(1ms);
    EXPECT_TRUE(bucket.take());
    EXPECT_FALSE(bucket.take());
    clock.advance(1h);
    EXPECT_TRUE(bucket.full());
    int taken = 0;
    while (bucket.take()) {
        taken++;
    }
    EXPECT_EQ(taken, 3);
}

TEST(TokenBucket, MoreThanTheBurstLeavesADebt)
{
    FakeClock clock;
    TokenBucket bucket({10, 2}, clock);
    EXPECT_TRUE(bucket.take(12));
    EXPECT_EQ(bucket.wait(), 1100ms);
    clock.advance(bucket.wait());
    EXPECT_TRUE(bucket.take());
}

TEST(TokenBucket, TakeAfterWaitAlwaysSucceeds)
{
    FakeClock clock;
    TokenBucket bucket({7, 1}, clock);
    for (int i = 0; i < 1000; i++) {
        clock.advance(bucket.wait());
        ASSERT_TRUE(bucket.take()) << i;
    }
}

TEST(TokenBucket, UselessRatesStillMove)
{
    FakeClock clock;
    TokenBucket bucket({0, 0}, clock);
    EXPECT_TRUE(bucket.take());
    EXPECT_FALSE(bucket.take());
    bucket.set_rate({-1, -1});
    EXPECT_LE(bucket.wait(), 1h);
}

TEST(AddressLimiter, EachAddressItsOwnAndABoundForAll)
{
    FakeClock clock;
    AddressLimiter limiter({1, 2}, 3, clock);
    const auto ip = [](const char* text) { return *base::IpAddress::parse(text); };
    EXPECT_TRUE(limiter.allow(ip("192.0.2.1")));
    EXPECT_TRUE(limiter.allow(ip("192.0.2.1")));
    EXPECT_FALSE(limiter.allow(ip("192.0.2.1")));
    EXPECT_TRUE(limiter.allow(ip("192.0.2.2")));
    // One host, many addresses of its /64.
    EXPECT_TRUE(limiter.allow(ip("2001:db8::1")));
    EXPECT_TRUE(limiter.allow(ip("2001:db8::2")));
    EXPECT_FALSE(limiter.allow(ip("2001:db8::3")));
    EXPECT_TRUE(limiter.allow(ip("2001:db8:0:1::1")));
    EXPECT_EQ(limiter.size(), 3u);
    // The oldest, 192.0.2.1, was forgotten; one that keeps coming is not.
    for (int i = 0; i < 100; i++) {
        limiter.allow(ip(("198.51.100." + std::to_string(i)).c_str()));
        limiter.allow(ip("2001:db8::1"));
        EXPECT_LE(limiter.size(), 3u);
    }
    EXPECT_FALSE(limiter.allow(ip("2001:db8::9")));
}

// ---- authorization -----------------------------------------------------------

Envelope
of(Envelope::BodyCase kind, uint32_t vni = 5001)
{
    Envelope envelope;
    envelope.set_request_id(1);
    switch (kind) {
    case Envelope::kHello:
        envelope.mutable_hello()->set_version(1);
        envelope.mutable_hello()->set_name("hv1");
        envelope.mutable_hello()->set_role(pb::ROLE_NVE);
        break;
    case Envelope::kClose: envelope.mutable_close(); break;
    case Envelope::kPing: envelope.mutable_ping(); break;
    case Envelope::kPong:
        envelope.mutable_pong();
        envelope.set_in_reply_to(1);
        break;
    case Envelope::kSaOffer:
        envelope.mutable_sa_offer()->set_vni(vni);
        envelope.mutable_sa_offer()->set_encap(pb::ENCAP_VXLAN);
        envelope.mutable_sa_offer()->set_spi(256);
        envelope.mutable_sa_offer()->set_cipher(2);
        envelope.mutable_sa_offer()->set_nonce(std::string(16, '\0'));
        break;
    case Envelope::kSaAnswer:
        envelope.mutable_sa_answer();
        envelope.set_in_reply_to(1);
        break;
    case Envelope::kSaRequest:
        envelope.mutable_sa_request()->set_vni(vni);
        envelope.mutable_sa_request()->set_encap(pb::ENCAP_GENEVE);
        break;
    case Envelope::kSaDelete:
        envelope.mutable_sa_delete()->set_vni(vni);
        envelope.mutable_sa_delete()->set_encap(pb::ENCAP_GENEVE);
        break;
    case Envelope::BODY_NOT_SET: break;
    }
    return envelope;
}

constexpr Envelope::BodyCase kAll[] = {
    Envelope::kHello,   Envelope::kClose,    Envelope::kPing,      Envelope::kPong,
    Envelope::kSaOffer, Envelope::kSaAnswer, Envelope::kSaRequest, Envelope::kSaDelete,
};

TEST(Authorization, Table)
{
    const auto ours = [](base::Vni vni, base::Encap) { return vni == base::Vni(5001); };
    struct {
        Envelope::BodyCase kind;
        Decision foreign;
    } const rows[] = {
        {Envelope::kHello, Decision::allowed},      {Envelope::kClose, Decision::allowed},
        {Envelope::kPing, Decision::allowed},       {Envelope::kPong, Decision::allowed},
        {Envelope::kSaOffer, Decision::refused_vn}, {Envelope::kSaAnswer, Decision::allowed},
        {Envelope::kSaRequest, Decision::refused_vn}, {Envelope::kSaDelete, Decision::allowed},
    };
    for (const auto& row : rows) {
        SCOPED_TRACE(message_name(row.kind));
        EXPECT_EQ(authorize(Role::nve, Role::nve, of(row.kind), ours), Decision::allowed);
        EXPECT_EQ(authorize(Role::nve, Role::nve, of(row.kind, 1), ours), row.foreign);
        // Without anybody to ask, nothing about a network passes.
        EXPECT_EQ(authorize(Role::nve, Role::nve, of(row.kind), nullptr), row.foreign);
    }
    EXPECT_EQ(authorize(Role::nve, Role::nve, Envelope(), ours), Decision::refused_role);
}

TEST(Authorization, WhatHasNoRowIsRefused)
{
    const auto all = [](base::Vni, base::Encap) { return true; };
    for (Role a : {Role::nve, Role::nva, Role::hypervisor}) {
        for (Role b : {Role::nve, Role::nva, Role::hypervisor}) {
            const bool pair = a == Role::nve && b == Role::nve;
            EXPECT_EQ(roles_may_talk(a, b), pair);
            for (const auto kind : kAll) {
                if (!pair) {
                    EXPECT_EQ(authorize(a, b, of(kind), all), Decision::refused_role);
                }
            }
        }
    }
}

base::Result<Envelope>
reparse(const Envelope& envelope)
{
    const std::string octets = envelope.SerializeAsString();
    return parse_envelope(
        base::ByteView(reinterpret_cast<const uint8_t*>(octets.data()), octets.size()));
}

TEST(ParseEnvelope, GoodOnes)
{
    for (const auto kind : kAll) {
        const auto parsed = reparse(of(kind));
        ASSERT_TRUE(parsed.ok()) << message_name(kind) << parsed.error().text;
        EXPECT_EQ(parsed->body_case(), kind);
    }
}

TEST(ParseEnvelope, FieldsOutOfRange)
{
    const std::string long_text(257, 'x');
    const std::pair<const char*, std::function<Envelope()>> rows[] = {
        {"no number", [] { auto e = of(Envelope::kPing); e.set_request_id(0); return e; }},
        {"no body", [] { Envelope e; e.set_request_id(1); return e; }},
        {"Hello version", [] { auto e = of(Envelope::kHello); e.mutable_hello()->clear_version(); return e; }},
        {"Hello name", [] { auto e = of(Envelope::kHello); e.mutable_hello()->clear_name(); return e; }},
        {"Hello long name", [&] { auto e = of(Envelope::kHello); e.mutable_hello()->set_name(long_text); return e; }},
        {"Hello no role", [] { auto e = of(Envelope::kHello); e.mutable_hello()->clear_role(); return e; }},
        {"Hello role 4", [] { auto e = of(Envelope::kHello); e.mutable_hello()->set_role(static_cast<pb::Role>(4)); return e; }},
        {"Close text", [&] { auto e = of(Envelope::kClose); e.mutable_close()->set_text(long_text); return e; }},
        {"Pong to nothing", [] { auto e = of(Envelope::kPong); e.clear_in_reply_to(); return e; }},
        {"offer VNI", [] { return of(Envelope::kSaOffer, 1 << 24); }},
        {"offer encap", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->clear_encap(); return e; }},
        {"offer encap 3", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_encap(static_cast<pb::Encap>(3)); return e; }},
        {"offer SPI", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_spi(255); return e; }},
        {"offer cipher 0", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_cipher(0); return e; }},
        {"offer cipher", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_cipher(256); return e; }},
        {"offer nonce", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_nonce("short"); return e; }},
        {"offer window", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_replay_window(65537); return e; }},
        {"answer to nothing", [] { auto e = of(Envelope::kSaAnswer); e.clear_in_reply_to(); return e; }},
        {"answer reason", [&] { auto e = of(Envelope::kSaAnswer); e.mutable_sa_answer()->set_reason(long_text); return e; }},
        {"request VNI", [] { return of(Envelope::kSaRequest, 1 << 24); }},
        {"delete VNI", [] { return of(Envelope::kSaDelete, 1 << 24); }},
        {"delete SPI", [] { auto e = of(Envelope::kSaDelete); e.mutable_sa_delete()->set_spi(1); return e; }},
        {"delete reason", [&] { auto e = of(Envelope::kSaDelete); e.mutable_sa_delete()->set_reason(long_text); return e; }},
    };
    for (const auto& [what, make] : rows) {
        const auto parsed = reparse(make());
        EXPECT_FALSE(parsed.ok()) << what;
        if (!parsed.ok()) {
            EXPECT_EQ(parsed.error().code, EPROTO);
            EXPECT_EQ(parsed.error().text.find("the peer sent "), 0u);
        }
    }
    EXPECT_FALSE(parse_envelope({}).ok());
    EXPECT_FALSE(parse_envelope(base::Bytes{0xff}).ok());
}

TEST(ParseEnvelope, UnknownBodyIsRefusedUnknownFieldIsNot)
{
    // Field 31 of Envelope, a message of a later version.
    EXPECT_FALSE(parse_envelope(base::Bytes{0x08, 1, 0xfa, 0x01, 0x00}).ok());
    // Ping with an unknown field inside.
    EXPECT_TRUE(parse_envelope(base::Bytes{0x08, 1, 0x2a, 2, 0x08, 7}).ok());
}

// ---- traffic keys ------------------------------------------------------------

TrafficKeyContext
base_context()
{
    TrafficKeyContext context;
    context.sender_name = "hv1";
    context.receiver_name = "hv2";
    context.vni = base::Vni(5001);
    context.spi = base::Spi(0x1234);
    context.cipher = 1;
    context.generation = 1;
    return context;
}

TEST(TrafficKey, AnyParameterChangesTheContext)
{
    const std::function<void(TrafficKeyContext&)> changes[] = {
        [](auto& c) { c.sender_name = "hv3"; },
        [](auto& c) { c.sender_role = Role::hypervisor; },
        [](auto& c) { c.receiver_name = "hv3"; },
        [](auto& c) { c.receiver_role = Role::hypervisor; },
        [](auto& c) { std::swap(c.sender_name, c.receiver_name); },
        [](auto& c) { c.sender_name = "hv1h"; c.receiver_name = "v2"; },
        [](auto& c) { c.vni = base::Vni(5002); },
        [](auto& c) { c.encap = base::Encap::vxlan; },
        [](auto& c) { c.spi = base::Spi(0x1235); },
        [](auto& c) { c.cipher = 2; },
        [](auto& c) { c.esn = false; },
        [](auto& c) { c.generation = 2; },
        [](auto& c) { c.nonce[15] = 1; },
    };
    std::set<base::Bytes> seen{serialize(base_context())};
    for (const auto& change : changes) {
        TrafficKeyContext context = base_context();
        change(context);
        EXPECT_TRUE(seen.insert(serialize(context)).second) << seen.size();
    }
}

TEST(TrafficKey, CanonicalOctets)
{
    TrafficKeyContext context = base_context();
    context.nonce[0] = 0xaa;
    EXPECT_EQ(base::to_hex(serialize(context)),
              "01" "0003" "687631" "01" "0003" "687632" "01" "00001389" "01" "00001234" "01" "01"
              "00000001" "aa000000000000000000000000000000");
}

TEST(TrafficKey, LabelContextAndSizeReachTheExporter)
{
    const Exporter exporter = [](std::string_view label, base::ByteView context, size_t size) {
        EXPECT_EQ(label, "EXPERIMENTAL-nvo3-esp-sa");
        EXPECT_EQ(base::Bytes(context.begin(), context.end()), serialize(base_context()));
        return base::Result<base::Secret>(base::Secret(size));
    };
    const auto key = derive_traffic_key(exporter, base_context(), 20);
    ASSERT_TRUE(key.ok());
    EXPECT_EQ(key->size(), 20u);
}

TEST(TrafficKey, ContextsThatNoSaCanHave)
{
    const Exporter exporter = [](std::string_view, base::ByteView, size_t size) {
        return base::Result<base::Secret>(base::Secret(size));
    };
    const std::function<void(TrafficKeyContext&)> changes[] = {
        [](auto& c) { c.sender_name.clear(); },
        [](auto& c) { c.receiver_name = std::string(256, 'x'); },
        [](auto& c) { c.receiver_name = c.sender_name; },
        [](auto& c) { c.vni = base::Vni(1 << 24); },
        [](auto& c) { c.spi = base::Spi(255); },
        [](auto& c) { c.cipher = 0; },
    };
    for (const auto& change : changes) {
        TrafficKeyContext context = base_context();
        change(context);
        EXPECT_FALSE(derive_traffic_key(exporter, context, 20).ok());
    }
    EXPECT_FALSE(derive_traffic_key(exporter, base_context(), 0).ok());
    EXPECT_NE(*make_nonce(), *make_nonce());
}

}  // namespace
}  // namespace nvo3::tests
