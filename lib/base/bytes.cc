// SPDX-License-Identifier: Apache-2.0
//
// See bytes.h.
#include "base/bytes.h"

#include <algorithm>
#include <utility>

namespace nvo3::base {

uint64_t
ByteReader::number(size_t size) noexcept
{
    uint64_t value = 0;
    for (uint8_t octet : bytes(size)) {
        value = value << 8 | octet;
    }
    return value;
}

ByteView
ByteReader::bytes(size_t size) noexcept
{
    if (!ok_ || size > rest_.size()) {
        ok_ = false;
        rest_ = {};
        return {};
    }
    ByteView taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
}

std::string
ByteReader::string16()
{
    ByteView text = bytes(u16());
    return std::string(text.begin(), text.end());
}

void
ByteWriter::number(uint64_t value, size_t size)
{
    for (size_t i = size; i-- > 0;) {
        data_.push_back(static_cast<uint8_t>(value >> (8 * i)));
    }
}

void
ByteWriter::bytes(ByteView data)
{
    data_.insert(data_.end(), data.begin(), data.end());
}

void
ByteWriter::string16(std::string_view text)
{
    text = text.substr(0, std::min<size_t>(text.size(), UINT16_MAX));
    u16(static_cast<uint16_t>(text.size()));
    data_.insert(data_.end(), text.begin(), text.end());
}

Bytes
ByteWriter::take()
{
    return std::exchange(data_, Bytes{});
}

std::string
to_hex(ByteView data)
{
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    text.reserve(data.size() * 2);
    for (uint8_t octet : data) {
        text += kDigits[octet >> 4];
        text += kDigits[octet & 15];
    }
    return text;
}

}  // namespace nvo3::base
