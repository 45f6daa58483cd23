// SPDX-License-Identifier: Apache-2.0
//
// See tsi.h.
#include "hvagent/tsi.h"

#include <algorithm>
#include <string_view>

namespace nvo3::agent {
namespace {

// What one MappingAnnounce carries (control.proto).
constexpr size_t kMaxAddresses = 16;
constexpr std::string_view kSeparators = ", \t\n";

base::Error wrong(const RawVmPort& raw, const std::string& text)
{
    return {EINVAL, "port " + raw.name + ": external_ids:" + text};
}

}  // namespace

base::Result<Tsi> parse_tsi(const RawVmPort& raw)
{
    Tsi tsi;
    tsi.port = raw.name;
    tsi.ofport = raw.ofport;
    tsi.vn = raw.vn.empty() ? raw.port_profile : raw.vn;
    if (tsi.vn.empty()) {
        return wrong(raw, "nvo3-vn is empty: name a virtual network or remove it");
    }

    if (raw.mac.empty()) {
        return wrong(raw, "attached-mac is missing: set it to the MAC address of the VM's interface");
    }
    auto mac = base::MacAddress::parse(raw.mac);
    if (!mac || mac->is_multicast() || mac->is_zero()) {
        return wrong(raw, "attached-mac=" + raw.mac + " is not the MAC address of an interface, like 52:54:00:12:34:56");
    }
    tsi.mac = *mac;

    std::string_view rest = raw.addresses;
    for (auto begin = rest.find_first_not_of(kSeparators); begin != rest.npos; begin = rest.find_first_not_of(kSeparators)) {
        rest.remove_prefix(begin);
        std::string_view word = rest.substr(0, rest.find_first_of(kSeparators));
        rest.remove_prefix(word.size());
        auto address = base::IpAddress::parse(word);
        if (!address || address->is_multicast() || address->is_unspecified() || *address == *base::IpAddress::parse("0.0.0.0")) {
            return wrong(raw, "nvo3-addresses: " + std::string(word) + " is not the IP address of an interface");
        }
        tsi.addresses.push_back(*address);
    }
    std::ranges::sort(tsi.addresses);
    tsi.addresses.erase(std::unique(tsi.addresses.begin(), tsi.addresses.end()), tsi.addresses.end());
    if (tsi.addresses.size() > kMaxAddresses) {
        return wrong(raw, "nvo3-addresses names " + std::to_string(tsi.addresses.size()) + " addresses, at most " +
                              std::to_string(kMaxAddresses) + " are possible; without it any may be used");
    }
    return tsi;
}

}  // namespace nvo3::agent
