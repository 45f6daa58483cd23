// SPDX-License-Identifier: Apache-2.0
//
// The text of PolicyUpdate: in parts on one side, whole again on the other, and its
// digest, by which both know whether they have the same.
// Place: lib/control.  Threads: plain values.
#ifndef NVO3_CONTROL_POLICY_TEXT_H
#define NVO3_CONTROL_POLICY_TEXT_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "control/authorization.h"

namespace nvo3::control {

constexpr size_t kPolicyDigestSize = 32;
// Of a part, with room for the envelope in a frame.
constexpr size_t kPolicyPartSize = 60000;

// SHA-256.
std::string policy_digest(std::string_view text);

// The part that begins at '*offset', and moves that behind it.
Envelope policy_message(std::string_view text, size_t* offset, uint64_t version);

struct PolicyText {
    std::string text;
    uint64_t version = 0;
};

class PolicyParts {
public:
    // No text is longer than 'max_text' octets.
    explicit PolicyParts(size_t max_text) : max_text_(max_text) {}

    // What has come is of no use any more: another session begins.
    void clear() { whole_.reset(); }
    // The whole text with its last part, nothing before.  EPROTO, with a sentence, for
    // parts that do not fit together, or are too much: the session is of no more use.
    base::Result<std::optional<PolicyText>> add(const proto::PolicyUpdate&);

private:
    const size_t max_text_;
    std::optional<PolicyText> whole_;   // what has come of it
};

}  // namespace nvo3::control

#endif
