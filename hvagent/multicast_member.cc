// SPDX-License-Identifier: Apache-2.0
//
// See multicast_member.h.
#include "hvagent/multicast_member.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/log.h"

namespace nvo3::agent {
namespace {

constexpr const char* kModule = "multicast";

// Which interface has which address.
std::map<base::IpAddress, unsigned> read_interfaces()
{
    std::map<base::IpAddress, unsigned> result;
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) {
        return result;
    }
    std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
    for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
        if (!entry->ifa_addr) {
            continue;
        }
        base::IpAddress address;
        if (entry->ifa_addr->sa_family == AF_INET) {
            sockaddr_in in;
            std::memcpy(&in, entry->ifa_addr, sizeof in);
            address = base::IpAddress::from_bytes({reinterpret_cast<const uint8_t*>(&in.sin_addr), sizeof in.sin_addr});
        } else if (entry->ifa_addr->sa_family == AF_INET6) {
            sockaddr_in6 in;
            std::memcpy(&in, entry->ifa_addr, sizeof in);
            address = base::IpAddress(in.sin6_addr);
        }
        if (!address.is_unspecified()) {
            result[address] = if_nametoindex(entry->ifa_name);
        }
    }
    return result;
}

// A socket for each: the kernel counts memberships by socket.
base::Result<base::UniqueFd> join_on(const base::IpAddress& group, unsigned interface)
{
    const bool v4 = group.is_v4();
    base::UniqueFd fd(socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    bool joined = false;
    if (fd && v4) {
        ip_mreqn request{};
        std::memcpy(&request.imr_multiaddr, group.wire().data(), sizeof request.imr_multiaddr);
        request.imr_ifindex = static_cast<int>(interface);
        joined = setsockopt(fd.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request) == 0;
    } else if (fd) {
        ipv6_mreq request{};
        request.ipv6mr_multiaddr = group.to_in6();
        request.ipv6mr_interface = interface;
        joined = setsockopt(fd.get(), IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request) == 0;
    }
    if (!joined) {
        return base::Error{errno, std::strerror(errno)};
    }
    return fd;
}

}  // namespace

void MulticastMember::settle(const base::IpAddress& group, Membership& membership, const std::map<base::IpAddress, unsigned>& interfaces)
{
    auto it = interfaces.find(membership.local);
    const unsigned interface = it == interfaces.end() ? 0 : it->second;
    if (interface != 0 && interface == membership.interface) {
        return;
    }
    membership.interface = 0;
    membership.socket.reset();
    std::string before = std::exchange(membership.problem, "");
    if (interface == 0) {
        membership.problem = "underlay group " + group.to_string() + " is not joined: no interface has this host's address " +
                             membership.local.to_string() + "; give it to the bridge of the underlay, as the NVA knows it";
    } else if (auto joined = join_on(group, interface); !joined) {
        membership.problem = "underlay group " + group.to_string() + " is not joined on the interface of " + membership.local.to_string() + ": " +
                             joined.error().text;
    } else {
        membership.interface = interface;
        membership.socket = std::move(*joined);
    }
    if (!membership.problem.empty() && membership.problem != before) {
        base::log(base::LogLevel::warn, kModule, membership.problem);
    }
}

void MulticastMember::join(const base::IpAddress& group, const base::IpAddress& local)
{
    Membership& membership = groups_[group];
    membership = {};
    membership.local = local;
    settle(group, membership, read_interfaces());
}

void MulticastMember::leave(const base::IpAddress& group)
{
    groups_.erase(group);
}

bool MulticastMember::refresh()
{
    if (groups_.empty()) {
        return false;
    }
    bool changed = false;
    const auto interfaces = read_interfaces();
    for (auto& [group, membership] : groups_) {
        const std::string before = membership.problem;
        settle(group, membership, interfaces);
        changed |= membership.problem != before;
    }
    return changed;
}

std::vector<std::string> MulticastMember::problems() const
{
    std::vector<std::string> result;
    for (const auto& [group, membership] : groups_) {
        if (!membership.problem.empty()) {
            result.push_back(membership.problem);
        }
    }
    return result;
}

}  // namespace nvo3::agent
