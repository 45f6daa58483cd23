// SPDX-License-Identifier: Apache-2.0
//
// The policy between virtual networks that is in force: the last text that was right.
//
// Place: part of pipeline_feed.cc.  Thread: the OVS thread.
#ifndef HVAGENT_POLICY_KEEPER_H
#define HVAGENT_POLICY_KEEPER_H

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "policy/policy.h"

namespace nvo3::agent {

class PolicyKeeper {
public:
    // Of 'source', "the NVA" or the name of a file.  A text that is wrong changes nothing but
    // error().  True if there is another policy now.
    bool take(const std::string& source, const std::string& text, uint64_t version);
    // The text could not be had; 'why' is a sentence that names it.
    void miss(const std::string& source, const std::string& why);
    // There is to be none.
    bool clear();

    // Null: none.
    const std::shared_ptr<const policy::Policy>& policy() const { return policy_; }
    const std::string& source() const { return source_; }
    // As the NVA counts them; of files, how often this process has read one.
    uint64_t version() const { return version_; }
    // Why the newest text is not in force, a sentence; empty: it is.
    const std::string& error() const { return error_; }

private:
    void say(const std::string& why);

    std::shared_ptr<const policy::Policy> policy_;
    std::string source_, text_, error_;
    uint64_t version_ = 0;
};

// The contents of a file with a policy.  The error is a sentence that names the file.
base::Result<std::string> read_policy(const std::string& file);

}  // namespace nvo3::agent
#endif
