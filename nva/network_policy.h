// SPDX-License-Identifier: Apache-2.0
//
// The store's policy between networks, ready to be told: its statements, each with the
// networks that it is about, so that an NVE's part costs what there is in it.
//
// Place: made by store_model.cc, and by policy_check.cc for nvo3-nvactl; told by
// policies.cc.  Thread: immutable; any.
#ifndef NVA_NETWORK_POLICY_H
#define NVA_NETWORK_POLICY_H

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "policy/policy.h"

namespace nvo3::nva {

// Networks of the store, as a policy may name them.
struct NetworkNames {
    std::map<std::string, base::Vni> by_name;
    std::set<base::Vni> vnis;
};

// The words of a policy that are networks of the store.  A number is a VNI.
using PolicyNetworks = std::map<std::string, base::Vni>;
PolicyNetworks policy_networks(const policy::Policy&, const NetworkNames&);
// Those that are not, with a line of the text; the first few.  Empty: all are.
std::string missing_networks(const policy::Policy&, const PolicyNetworks&);

class NetworkPolicy {
public:
    // Without the statements about networks that are not there.  The error names line and reason.
    static base::Result<std::shared_ptr<const NetworkPolicy>> make(policy::Policy, const PolicyNetworks&, uint64_t version);

    uint64_t version() const { return version_; }
    // Those with a gateway: others have no part in it.
    const std::set<base::Vni>& networks() const { return networks_; }
    // "2 gateways, 3 rules".
    std::string counts() const;
    std::string summary() const { return "version " + std::to_string(version_) + ": " + counts(); }

    // The gateways of these networks and the rules whose both ends are among them, one a line,
    // networks by VNI; a policy that is good by itself, at most policy::kMaxText octets.
    std::string text_of(const std::set<base::Vni>& networks) const;

private:
    struct Statement {
        base::Vni from, to;         // of a gateway both are its network
        std::string text;
    };

    void add(base::Vni from, base::Vni to, std::string text);

    uint64_t version_ = 0;
    std::set<base::Vni> networks_;
    std::vector<Statement> statements_;
    std::map<base::Vni, std::vector<size_t>> by_from_;     // places in 'statements_'
};

}  // namespace nvo3::nva
#endif
