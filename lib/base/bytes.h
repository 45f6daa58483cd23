// SPDX-License-Identifier: Apache-2.0
//
// Octets from and for the outside, in network byte order.  ByteReader never
// reads past its end: after the first read that would, ok() is false for good
// and everything reads as zero or empty, so a parser checks once, at its end.
// Place: lib/base.  Threads: one thread per object.
#ifndef NVO3_BASE_BYTES_H
#define NVO3_BASE_BYTES_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nvo3::base {

using ByteView = std::span<const uint8_t>;
using Bytes = std::vector<uint8_t>;

class ByteReader {
public:
    // 'data' must outlive the reader and the views it hands out.
    explicit ByteReader(ByteView data) noexcept : rest_(data) {}

    uint8_t u8() noexcept { return static_cast<uint8_t>(number(1)); }
    uint16_t u16() noexcept { return static_cast<uint16_t>(number(2)); }
    uint32_t u32() noexcept { return static_cast<uint32_t>(number(4)); }
    uint64_t u64() noexcept { return number(8); }
    // The next 'size' octets; empty if there are fewer.
    ByteView bytes(size_t size) noexcept;
    // A u16 size, then so many octets.  No character set is checked.
    std::string string16();

    size_t remaining() const noexcept { return rest_.size(); }
    bool ok() const noexcept { return ok_; }
    // All was read and nothing was missing.
    bool complete() const noexcept { return ok_ && rest_.empty(); }

private:
    uint64_t number(size_t size) noexcept;

    ByteView rest_;
    bool ok_ = true;
};

class ByteWriter {
public:
    void u8(uint8_t value) { number(value, 1); }
    void u16(uint16_t value) { number(value, 2); }
    void u32(uint32_t value) { number(value, 4); }
    void u64(uint64_t value) { number(value, 8); }
    void bytes(ByteView data);
    // A u16 size and the octets.  What is longer than 65535 octets is cut.
    void string16(std::string_view text);

    size_t size() const noexcept { return data_.size(); }
    // Room for 'size' octets in all, so that no secret is left behind in a
    // buffer that was outgrown.
    void reserve(size_t size) { data_.reserve(size); }
    // What was written; the writer is empty afterwards.
    Bytes take();

private:
    void number(uint64_t value, size_t size);

    Bytes data_;
};

// Lower-case hexadecimal digits, two an octet.  Not for secrets.
std::string to_hex(ByteView data);

}  // namespace nvo3::base

#endif
