// SPDX-License-Identifier: Apache-2.0
//
// See tsi.h.
#include "hvagent/tsi.h"

#include <algorithm>
#include <string_view>
#include <utility>

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

base::Result<std::vector<base::IpAddress>> parse_addresses(std::string_view rest)
{
    std::vector<base::IpAddress> addresses;
    for (auto begin = rest.find_first_not_of(kSeparators); begin != rest.npos; begin = rest.find_first_not_of(kSeparators)) {
        rest.remove_prefix(begin);
        std::string_view word = rest.substr(0, rest.find_first_of(kSeparators));
        rest.remove_prefix(word.size());
        auto address = base::IpAddress::parse(word);
        if (!address || address->is_multicast() || address->is_unspecified() || *address == *base::IpAddress::parse("0.0.0.0")) {
            return base::Error{EINVAL, std::string(word) + " is not the IP address of an interface"};
        }
        addresses.push_back(*address);
    }
    std::ranges::sort(addresses);
    addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
    if (addresses.size() > kMaxAddresses) {
        return base::Error{EINVAL, "names " + std::to_string(addresses.size()) + " addresses, at most " + std::to_string(kMaxAddresses) +
                                       " are possible; without it any may be used"};
    }
    return addresses;
}

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

    auto addresses = parse_addresses(raw.addresses);
    if (!addresses) {
        return wrong(raw, "nvo3-addresses: " + addresses.error().text);
    }
    tsi.addresses = std::move(*addresses);
    return tsi;
}

}  // namespace nvo3::agent
