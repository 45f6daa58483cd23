// SPDX-License-Identifier: Apache-2.0
//
// Which part of the policy each NVE must be told: that of the networks which it serves.
//
// Of an NVE the digest of what it has is kept, so that a change which does not concern it is
// not told.  NVEs that serve the same networks share one text while it is told.
//
// Place: used by directory.cc; pure.  Thread: the I/O thread.
#ifndef NVA_POLICIES_H
#define NVA_POLICIES_H

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/ids.h"
#include "control/authorization.h"
#include "nva/network_policy.h"

namespace nvo3::nva {

class Policies {
    struct Part {
        std::string text, digest;
        uint64_t version = 0;
    };

public:
    // What one NVE knows.
    struct Subscriber {
        std::string digest;                             // of its text; empty: it has none
        // Of these both the digest is, or will be when all parts are told.
        std::shared_ptr<const NetworkPolicy> policy;
        std::set<base::Vni> networks;
        std::shared_ptr<const Part> telling;            // null: nothing
        size_t offset = 0;                              // of it, told so far
    };

    // Null: none that is good is known; NVEs keep what they have.
    void apply(std::shared_ptr<const NetworkPolicy>);

    // The next part of the text for an NVE that serves these networks; empty if it has it.
    std::optional<control::Envelope> next(Subscriber&, const std::set<base::Vni>& serves) const;
    bool is_current(const Subscriber&, const std::set<base::Vni>& serves) const;

private:
    bool is_settled(const Subscriber&, const std::set<base::Vni>& serves) const;
    std::shared_ptr<const Part> part(const std::set<base::Vni>& networks) const;

    std::shared_ptr<const NetworkPolicy> policy_;
    // Of 'policy_'; emptied when it is too much.
    mutable std::map<std::set<base::Vni>, std::shared_ptr<const Part>> parts_;
    mutable size_t parts_octets_ = 0;
};

}  // namespace nvo3::nva
#endif
