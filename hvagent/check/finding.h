// SPDX-License-Identifier: Apache-2.0
//
// What hvagent --check finds: one line each, with the way out.
//
// Place: hvagent/check.  Thread: values, any.
#ifndef HVAGENT_CHECK_FINDING_H
#define HVAGENT_CHECK_FINDING_H

#include <cstdint>
#include <string>
#include <vector>

namespace nvo3::agent {

struct Finding {
    enum class Grade : uint8_t { ok, warn, fail };
    Grade grade = Grade::ok;
    std::string thing;      // "certificate"
    std::string what;       // half a sentence
    std::string fix;        // the same; empty only if all is well
    bool operator==(const Finding&) const = default;
};
using Findings = std::vector<Finding>;

// "fail: THING: what - fix", without a newline.
std::string to_line(const Finding&);

// Of an error text of ours, which ends in ": FIX"; one that does not gets 'fix'.
Finding from_sentence(Finding::Grade, const std::string& thing, const std::string& sentence, const std::string& fix);

}  // namespace nvo3::agent
#endif
