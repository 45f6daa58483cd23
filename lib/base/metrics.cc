// SPDX-License-Identifier: Apache-2.0
//
// See metrics.h.
#include "base/metrics.h"

#include <algorithm>

namespace nvo3::base {
namespace {

// The format is UTF-8: other octets, of names in certificates, become '?'.
std::string
escape(std::string_view value)
{
    std::string text;
    for (char c : value) {
        const auto octet = static_cast<unsigned char>(c);
        if (c == '\\' || c == '"') {
            text += '\\';
        }
        text += octet < 0x20 || octet > 0x7e ? '?' : c;
    }
    return text;
}

}  // namespace

MetricsText&
MetricsText::family(std::string_view name, std::string_view type, std::string_view help)
{
    name_ = name;
    text_ += "# HELP " + name_ + " " + std::string(help) + "\n# TYPE " + name_ + " " + std::string(type) + "\n";
    return *this;
}

MetricsText&
MetricsText::sample(uint64_t value, Labels labels)
{
    text_ += name_;
    char before = '{';
    for (const auto& [key, label] : labels) {
        text_ += before + std::string(key) + "=\"" + escape(label) + '"';
        before = ',';
    }
    text_ += (before == ',' ? "} " : " ") + std::to_string(value) + "\n";
    return *this;
}

MetricsText&
MetricsText::sample(std::chrono::system_clock::time_point time, Labels labels)
{
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
    return sample(static_cast<uint64_t>(std::max<int64_t>(0, seconds)), labels);
}

}  // namespace nvo3::base
