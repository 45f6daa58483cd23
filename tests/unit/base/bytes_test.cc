// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of base/bytes.h.
#include "base/bytes.h"

#include <gtest/gtest.h>

namespace nvo3::base {
namespace {

TEST(Bytes, WritesNetworkOrderAndReadsItBack)
{
    ByteWriter writer;
    writer.u8(0x01);
    writer.u16(0x0203);
    writer.u32(0x04050607);
    writer.u64(0x08090a0b0c0d0e0f);
    writer.string16("ab");
    writer.bytes(Bytes{0xfe, 0xff});
    EXPECT_EQ(writer.size(), 21u);
    const Bytes data = writer.take();
    EXPECT_EQ(writer.size(), 0u);
    EXPECT_EQ(to_hex(data), "0102030405060708090a0b0c0d0e0f00026162feff");

    ByteReader reader(data);
    EXPECT_EQ(reader.u8(), 0x01);
    EXPECT_EQ(reader.u16(), 0x0203);
    EXPECT_EQ(reader.u32(), 0x04050607u);
    EXPECT_EQ(reader.u64(), 0x08090a0b0c0d0e0fu);
    EXPECT_EQ(reader.string16(), "ab");
    EXPECT_FALSE(reader.complete());
    EXPECT_EQ(to_hex(reader.bytes(2)), "feff");
    EXPECT_TRUE(reader.complete());
}

TEST(Bytes, FailureSticksAndReadsZero)
{
    const Bytes data{1, 2, 3};
    ByteReader reader(data);
    EXPECT_EQ(reader.u32(), 0u);
    EXPECT_FALSE(reader.ok());
    // There would have been three octets, but a parser must not resume.
    EXPECT_EQ(reader.u8(), 0);
    EXPECT_EQ(reader.remaining(), 0u);
    EXPECT_FALSE(reader.complete());
}

TEST(Bytes, StringLongerThanTheRestFails)
{
    const Bytes data{0, 3, 'a', 'b'};
    ByteReader reader(data);
    EXPECT_EQ(reader.string16(), "");
    EXPECT_FALSE(reader.ok());
}

TEST(Bytes, HugeSizeFails)
{
    const Bytes data{1};
    ByteReader reader(data);
    EXPECT_TRUE(reader.bytes(SIZE_MAX).empty());
    EXPECT_FALSE(reader.ok());
}

TEST(Bytes, StringIsCutAt65535)
{
    ByteWriter writer;
    writer.string16(std::string(70000, 'x'));
    const Bytes data = writer.take();
    ASSERT_EQ(data.size(), 65537u);
    EXPECT_EQ(ByteReader(data).string16().size(), 65535u);
}

}  // namespace
}  // namespace nvo3::base
