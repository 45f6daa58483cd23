// SPDX-License-Identifier: Apache-2.0
//
// See json.h.
#include "ovs-ext/engine/json.h"

#include <cstdio>
#include <utility>

namespace nvo3::engine {

void
JsonWriter::separate()
{
    if (!first_) {
        out_ += ',';
    }
    first_ = false;
}

JsonWriter&
JsonWriter::open(char bracket)
{
    separate();
    out_ += bracket;
    first_ = true;
    return *this;
}

JsonWriter&
JsonWriter::close(char bracket)
{
    out_ += bracket;
    first_ = false;
    return *this;
}

void
JsonWriter::quote(std::string_view value)
{
    out_ += '"';
    for (char c : value) {
        const auto octet = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out_ += '\\';
            out_ += c;
        } else if (octet < 0x20 || octet > 0x7e) {
            char escaped[7];
            std::snprintf(escaped, sizeof escaped, "\\u%04x", octet);
            out_ += escaped;
        } else {
            out_ += c;
        }
    }
    out_ += '"';
}

JsonWriter&
JsonWriter::key(std::string_view name)
{
    separate();
    quote(name);
    out_ += ':';
    first_ = true;      // its value follows without a comma
    return *this;
}

JsonWriter&
JsonWriter::text(std::string_view value)
{
    separate();
    quote(value);
    return *this;
}

JsonWriter&
JsonWriter::number(uint64_t value)
{
    separate();
    out_ += std::to_string(value);
    return *this;
}

JsonWriter&
JsonWriter::boolean(bool value)
{
    separate();
    out_ += value ? "true" : "false";
    return *this;
}

std::string
JsonWriter::take()
{
    first_ = true;
    return std::exchange(out_, {}) + "\n";
}

}  // namespace nvo3::engine
