// SPDX-License-Identifier: Apache-2.0
//
// The small parts: framer, rate limiter, traffic key context.
#include <gtest/gtest.h>

#include <set>

#include "control/framer.h"
#include "control/keying.h"
#include "control/rate_limiter.h"
#include "fake_clock.h"

namespace nvo3::tests {
namespace {

using namespace std::chrono_literals;
using namespace control;

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
}

}  // namespace
}  // namespace nvo3::tests
