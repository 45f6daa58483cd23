// SPDX-License-Identifier: Apache-2.0
//
// Endpoints, see endpoint.h.
#include "control/endpoint.h"

#include <algorithm>
#include <cerrno>

#include "base/ids.h"

namespace nvo3::control {

base::Result<Endpoint>
parse_endpoint(std::string_view text)
{
    const base::Error malformed{EINVAL, "'" + std::string(text.substr(0, 100)) +
                                            "' is not ADDRESS:PORT: write 0.0.0.0:6652 or [::]:6652"};
    const size_t colon = text.rfind(':');
    if (colon == text.npos) {
        return malformed;
    }
    std::string_view host = text.substr(0, colon);
    const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) {
        host = host.substr(1, host.size() - 2);
    }
    // "::1:6652" without brackets could mean two things.
    if (bracketed != (host.find(':') != host.npos)) {
        return malformed;
    }
    const auto address = base::IpAddress::parse(host);
    const auto port = base::parse_number(text.substr(colon + 1), 65535);
    if (!address.ok() || !port.ok()) {
        return malformed;
    }
    return Endpoint(to_asio(*address), static_cast<uint16_t>(*port));
}

std::string
to_string(const Endpoint& endpoint)
{
    const base::IpAddress address = to_ip_address(endpoint.address());
    const std::string host =
        endpoint.address().is_v4() || address.is_v4() ? address.to_string()
                                                      : "[" + address.to_string() + "]";
    return host + ":" + std::to_string(endpoint.port());
}

base::IpAddress
to_ip_address(const boost::asio::ip::address& address)
{
    if (address.is_v4()) {
        const auto octets = address.to_v4().to_bytes();
        return base::IpAddress::from_bytes(octets);
    }
    const auto octets = address.to_v6().to_bytes();
    return base::IpAddress::from_bytes(octets);
}

boost::asio::ip::address
to_asio(const base::IpAddress& address)
{
    if (address.is_v4()) {
        boost::asio::ip::address_v4::bytes_type octets;
        std::copy_n(address.wire().begin(), octets.size(), octets.begin());
        return boost::asio::ip::address_v4(octets);
    }
    return boost::asio::ip::address_v6(address.bytes());
}

}  // namespace nvo3::control
