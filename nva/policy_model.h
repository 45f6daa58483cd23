// SPDX-License-Identifier: Apache-2.0
//
// The policy of the store: what its text says with the networks that are there.  One that is
// bad never takes the place of one that was good.
//
// Place: part of store_model.h.  Thread: one, in nvo3-nva the OVS thread.
#ifndef NVA_POLICY_MODEL_H
#define NVA_POLICY_MODEL_H

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nva/model.h"
#include "nva/network_policy.h"

namespace nvo3::nva {

class PolicyModel {
public:
    // The row, which may be the same; without one, an empty one.  Then resolve().
    void read(raw::Policy);
    // The networks of the store, which may be others.
    void resolve(const NetworkNames&);

    // The same object while nothing has changed.  Null: none was good yet.
    const std::shared_ptr<const NetworkPolicy>& policy() const { return built_; }
    // Why the text is not used, a sentence; empty: it is.
    const std::string& error() const { return error_; }
    // Sentences: that one, or which of its statements do nothing.
    const std::vector<std::string>& problems() const { return problems_; }

private:
    void bad(const std::string& why);

    std::optional<raw::Policy> row_;            // empty: none was read
    std::optional<policy::Policy> read_;        // of the row; empty: it is bad
    bool is_new_ = false;                       // and not built yet
    PolicyNetworks networks_;                   // as it was built
    std::shared_ptr<const NetworkPolicy> built_;
    std::string error_;
    std::vector<std::string> problems_;
};

}  // namespace nvo3::nva
#endif
