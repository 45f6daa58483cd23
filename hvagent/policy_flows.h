// SPDX-License-Identifier: Apache-2.0
//
// The flows of the gateway between virtual networks: doc/vn-pipeline.md has the tables
// and registers, doc/policy.md what they are to do.
//
// A pure function like vn_pipeline.h, which calls it: the policy and the networks served
// here go in, flows come out.
//
// Place: part of vn_pipeline.cc; GatewayMap also answers policy/trace.  Thread: any.
#ifndef HVAGENT_POLICY_FLOWS_H
#define HVAGENT_POLICY_FLOWS_H

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/mac_address.h"
#include "hvagent/directory.h"
#include "policy/policy.h"

namespace nvo3::agent {

// A network that has a gateway and is served here.
struct GatewayVn {
    base::Vni vni{0};
    const policy::Gateway* gateway = nullptr;
    base::MacAddress mac;                   // of the gateway
    uint16_t zone = 0;                      // of conntrack, not that of another network
    std::vector<base::Vni> neighbours;      // that a rule connects it with, in either direction; sorted
};

// The same policy with the names of networks that this host knows in place of their VNIs, for people.
std::shared_ptr<const policy::Policy> with_names(std::shared_ptr<const policy::Policy> policy, const DirectoryView& directory);

// What of a policy holds on this host.
class GatewayMap {
public:
    GatewayMap() = default;
    GatewayMap(std::shared_ptr<const policy::Policy> policy, const DirectoryView& directory);

    const GatewayVn* find(base::Vni vni) const;
    const std::map<base::Vni, GatewayVn>& all() const { return gateways_; }
    // By the name that the policy has for a network; null if it is not served here.
    const GatewayVn* find(const std::string& vn) const;
    // Rules from one network to another, those that decide first are first.
    std::vector<const policy::Rule*> rules(const GatewayVn& from, const GatewayVn& to) const;
    // Gateways that are of no use, and why.
    const std::vector<std::string>& problems() const { return problems_; }

private:
    std::shared_ptr<const policy::Policy> policy_;
    std::map<base::Vni, GatewayVn> gateways_;
    std::map<std::string, base::Vni> names_;
    std::map<std::pair<std::string, std::string>, std::vector<const policy::Rule*>> rules_;
    std::vector<std::string> problems_;
};

// Where a packet to an address of a network goes.
struct NextHop {
    base::MacAddress mac;
    bool local = false;     // a port here, so that it is checked as what comes for it from elsewhere
    bool remote_port = false;       // that is a hypervisor's
};
using NextHops = std::map<base::IpAddress, NextHop>;

// Packets that policy/show tells of: of a rule ('text' is its statement), denied by default
// from network 'text' to network 'to', or refused for a reason ('text').
struct Counted {
    enum class Kind : uint8_t { by_default, refused, rule };     // in this order in lists
    Kind kind{};
    std::string text, to = {};
    auto operator<=>(const Counted&) const = default;
};

struct CountedFlow {
    std::string flow;
    Counted what;
    bool logged = false;    // the log is to speak of them
    bool operator==(const CountedFlow&) const = default;
};

// What no port of the network may say of itself.
struct Claim {
    std::string match;      // the rest of one
    bool of_gateway = false;        // else of another network
};
std::vector<Claim> forbidden_claims(const GatewayMap&, const GatewayVn&);

class PolicyWriter {
public:
    PolicyWriter(const GatewayMap& map, std::vector<std::string>& flows, std::vector<CountedFlow>& counted)
        : map_(map), flows_(flows), counted_(counted)
    {
    }

    // What does not hang on any network; nothing if none has a gateway.
    void frame();
    // A network, and 'hops' what is known to be in it.
    void network(const GatewayVn&, const NextHops& hops);

private:
    void answers(const GatewayVn&);
    void echo(const GatewayVn&);
    void enter(const GatewayVn&);
    void leave_tunnel(const GatewayVn&);
    void pair(const GatewayVn& from, const GatewayVn& to);
    void stateless(const GatewayVn& from, const GatewayVn& to, const std::vector<const policy::Rule*>& rules);
    void stateful(const GatewayVn& from, const GatewayVn& to, const std::vector<const policy::Rule*>& rules);
    void deliver(const GatewayVn&, const NextHops& hops);

    void add(std::string match, const std::string& actions);
    // Adds it unless a rule before it has the same match, and counts it as of 'what'.
    void add_counted(std::string match, const std::string& actions, Counted what, bool logged = false);

    const GatewayMap& map_;
    std::vector<std::string>& flows_;
    std::vector<CountedFlow>& counted_;
    std::map<std::string, std::string> seen_;       // match of a rule's flow: the flow
};

}  // namespace nvo3::agent
#endif
