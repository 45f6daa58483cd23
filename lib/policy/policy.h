// SPDX-License-Identifier: Apache-2.0
//
// What may go from one virtual network to another, as an operator wrote it:
// doc/policy.md has the language.
//
// A network is named as in the text, by name or VNI; who uses a policy knows which
// networks there are.
//
// Place: lib/policy.  Threads: plain values.
#ifndef NVO3_POLICY_POLICY_H
#define NVO3_POLICY_POLICY_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/mac_address.h"
#include "base/result.h"
#include "policy/prefix.h"

namespace nvo3::policy {

// Where the VMs of a network send what is for another one.
struct Gateway {
    std::string vn;
    std::vector<Interface> addresses;           // at least one; their prefixes do not overlap
    std::optional<base::MacAddress> mac;        // none: derived, see gateway_mac()
    size_t line = 0;                            // of the text, from 1

    // The prefix that has 'address'; null if none has.
    const Prefix* prefix_of(const base::IpAddress& address) const;
    bool has_address(const base::IpAddress& address) const;
};

// The same on every host: the gateway's own, or a locally administered one made of the VNI.
base::MacAddress gateway_mac(const Gateway& gateway, base::Vni vni);

enum class Action : uint8_t { allow, deny, log };

constexpr uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58, kSctp = 132;

struct Ports {
    uint16_t first = 0, last = 0;
    friend bool operator==(const Ports&, const Ports&) noexcept = default;
};

struct End {
    std::string vn;
    std::optional<Prefix> prefix;               // none: all of the network's
};

struct Rule {
    uint16_t priority = 0;                      // 1 to 65535: the highest that matches decides
    Action action{};
    End from, to;
    std::optional<uint8_t> proto;               // none: any
    std::optional<Ports> ports;                 // of the destination; only of TCP, UDP and SCTP
    bool log = false;
    bool stateless = false;
    size_t line = 0;
};

// The statement, as parse_policy() takes it, with its words in one order.
std::string to_string(const Gateway& gateway);
std::string to_string(const Rule& rule);
const char* to_string(Action action) noexcept;
std::string proto_name(uint8_t proto);
// A name or a number; the error's text is only what is wrong.
base::Result<uint8_t> parse_proto(std::string_view text);

struct Policy {
    std::vector<Gateway> gateways;              // by name
    std::vector<Rule> rules;                    // those that decide first are first; else by text

    const Gateway* find(const std::string& vn) const;
    bool empty() const { return gateways.empty(); }
};

// All statements of a policy, one a line.
std::string to_string(const Policy& policy);

// No policy that a host could not carry out takes its memory.
constexpr size_t kMaxText = 1 << 20, kMaxLine = 1024, kMaxGateways = 1024, kMaxRules = 4096, kMaxAddresses = 8;

// Reads and checks a whole text.  The error names line, word and reason: what is wrong
// first.
base::Result<Policy> parse_policy(std::string_view text);

// What parse_policy() asks of the statements together.
base::Status check_policy(const Policy& policy);

// Whether both ends of some rule are these two networks, in either direction.
bool connects(const Rule& rule, const std::string& a, const std::string& b);

}  // namespace nvo3::policy
#endif
