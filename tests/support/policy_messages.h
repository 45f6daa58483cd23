// SPDX-License-Identifier: Apache-2.0
//
// A policy's text as the messages that an NVA sends, all at once.
// Place: tests/support.  Threads: pure.
#ifndef NVO3_TESTS_SUPPORT_POLICY_MESSAGES_H
#define NVO3_TESTS_SUPPORT_POLICY_MESSAGES_H

#include <string_view>
#include <vector>

#include "control/policy_text.h"

namespace nvo3::tests {

// At least one.
inline std::vector<control::Envelope> policy_messages(std::string_view text, uint64_t version)
{
    std::vector<control::Envelope> messages;
    size_t offset = 0;
    do {
        messages.push_back(control::policy_message(text, &offset, version));
    } while (offset < text.size());
    return messages;
}

}  // namespace nvo3::tests
#endif
