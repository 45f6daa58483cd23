// SPDX-License-Identifier: Apache-2.0
//
// See policy.h.
#include "policy/policy.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nvo3::policy {
namespace {

constexpr std::array<std::pair<const char*, uint8_t>, 5> kProtocols{
    {{"tcp", kTcp}, {"udp", kUdp}, {"icmp", kIcmp}, {"icmp6", kIcmp6}, {"sctp", kSctp}}};

std::string to_string(const End& end)
{
    return end.prefix ? end.vn + " " + policy::to_string(*end.prefix) : end.vn;
}

}  // namespace

const Prefix* Gateway::prefix_of(const base::IpAddress& address) const
{
    for (const Interface& own : addresses) {
        if (own.prefix.contains(address)) {
            return &own.prefix;
        }
    }
    return nullptr;
}

bool Gateway::has_address(const base::IpAddress& address) const
{
    return std::ranges::find(addresses, address, &Interface::address) != addresses.end();
}

base::MacAddress gateway_mac(const Gateway& gateway, base::Vni vni)
{
    if (gateway.mac) {
        return *gateway.mac;
    }
    return {{0x0e, 0x6e, 0x76, static_cast<uint8_t>(vni.value >> 16), static_cast<uint8_t>(vni.value >> 8), static_cast<uint8_t>(vni.value)}};
}

const char* to_string(Action action) noexcept
{
    switch (action) {
    case Action::allow: return "allow";
    case Action::deny: return "deny";
    case Action::log: return "log";
    }
    return "?";
}

std::string proto_name(uint8_t proto)
{
    for (auto [name, number] : kProtocols) {
        if (number == proto) {
            return name;
        }
    }
    return std::to_string(proto);
}

base::Result<uint8_t> parse_proto(std::string_view text)
{
    for (auto [name, number] : kProtocols) {
        if (text == name) {
            return number;
        }
    }
    base::Result<uint64_t> number = base::parse_number(text, 255);
    if (!number) {
        return base::Error{EINVAL, "no such protocol: tcp, udp, icmp, icmp6, sctp, or a number from 0 to 255"};
    }
    return static_cast<uint8_t>(*number);
}

std::string to_string(const Gateway& gateway)
{
    std::string out = "gateway " + gateway.vn;
    for (const Interface& address : gateway.addresses) {
        out += " " + to_string(address);
    }
    return gateway.mac ? out + " mac " + to_string(*gateway.mac) : out;
}

std::string to_string(const Rule& rule)
{
    std::string out = std::to_string(rule.priority) + " " + to_string(rule.action) + " from " + to_string(rule.from) + " to " + to_string(rule.to);
    if (rule.proto) {
        out += " proto " + proto_name(*rule.proto);
    }
    if (rule.ports) {
        out += " port " + std::to_string(rule.ports->first);
        if (rule.ports->last != rule.ports->first) {
            out += "-" + std::to_string(rule.ports->last);
        }
    }
    return out + (rule.log ? " log" : "") + (rule.stateless ? " stateless" : "");
}

std::string to_string(const Policy& policy)
{
    std::string out;
    for (const Gateway& gateway : policy.gateways) {
        out += to_string(gateway) + "\n";
    }
    for (const Rule& rule : policy.rules) {
        out += to_string(rule) + "\n";
    }
    return out;
}

const Gateway* Policy::find(const std::string& vn) const
{
    auto it = std::ranges::lower_bound(gateways, vn, {}, &Gateway::vn);
    return it != gateways.end() && it->vn == vn ? &*it : nullptr;
}

bool connects(const Rule& rule, const std::string& a, const std::string& b)
{
    return (rule.from.vn == a && rule.to.vn == b) || (rule.from.vn == b && rule.to.vn == a);
}

}  // namespace nvo3::policy
