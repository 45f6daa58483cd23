// SPDX-License-Identifier: Apache-2.0
//
// Addresses of Asio and of lib/base, one into the other.
// Place: lib/control.  Threads: pure functions.
#ifndef NVO3_CONTROL_ENDPOINT_H
#define NVO3_CONTROL_ENDPOINT_H

#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <string_view>

#include "base/ip_address.h"
#include "base/result.h"

namespace nvo3::control {

using Endpoint = boost::asio::ip::tcp::endpoint;

constexpr uint16_t kDefaultPort = 6652;

// "0.0.0.0:6652", "[::]:6652" (other_config:nvo3-listen); the error says how.
base::Result<Endpoint> parse_endpoint(std::string_view text);
std::string to_string(const Endpoint& endpoint);
// Of any family; an IPv4 address becomes v4-mapped, and back.
base::IpAddress to_ip_address(const boost::asio::ip::address& address);
boost::asio::ip::address to_asio(const base::IpAddress& address);

}  // namespace nvo3::control

#endif
