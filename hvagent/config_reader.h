// SPDX-License-Identifier: Apache-2.0
//
// What config.cc is made of besides itself.
//
// Place: part of config.cc.  Thread: pure functions.
#ifndef HVAGENT_CONFIG_READER_H
#define HVAGENT_CONFIG_READER_H

#include <optional>
#include <string>
#include <vector>

#include "hvagent/config.h"

namespace nvo3::agent {

inline const std::string* find(const StringMap& map, const std::string& key)
{
    auto it = map.find(key);
    return it == map.end() ? nullptr : &it->second;
}

// Of either IP version.
inline bool is_any(const base::IpAddress& address)
{
    return address.is_unspecified() || address == *base::IpAddress::parse("0.0.0.0");
}

// The port's options; 'former' is what they were, null if there was no such port: where an option is wrong that stays.
// Nothing: they are of no use.
std::optional<Tunnel> read_tunnel(const RawTunnel&, const Tunnel* former, std::vector<Problem>&);

}  // namespace nvo3::agent
#endif
