// SPDX-License-Identifier: Apache-2.0
//
// The text of a policy: what is refused is said in printable words, what is taken
// prints as a text that means the same, and decides about packets.
// Place: tests/fuzz.
#include <cstdlib>
#include <string>

#include "policy/decide.h"

using namespace nvo3::policy;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const std::string text(reinterpret_cast<const char*>(data), size);
    const auto policy = parse_policy(text);
    if (!policy) {
        for (char c : policy.error().text) {
            if (c < 0x20 || c > 0x7e) {
                std::abort();
            }
        }
        return 0;
    }
    const std::string printed = to_string(*policy);
    const auto again = parse_policy(printed);
    if (!again || to_string(*again) != printed) {
        std::abort();
    }
    for (const Rule& rule : policy->rules) {
        const auto source = policy->find(rule.from.vn)->addresses[0].address, destination = policy->find(rule.to.vn)->addresses[0].address;
        const Verdict verdict = decide(*policy, rule.from.vn, source, destination, rule.proto.value_or(kTcp), rule.ports ? rule.ports->first : 0);
        if (verdict.allowed && !verdict.rule) {
            std::abort();
        }
    }
    return 0;
}
