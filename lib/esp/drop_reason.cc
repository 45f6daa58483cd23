// SPDX-License-Identifier: Apache-2.0
//
// See drop_reason.h.
#include "esp/drop_reason.h"

namespace nvo3::esp {
namespace {

struct Text {
    const char* name;
    const char* counter;
    const char* words;
};

constexpr Text kDrops[] = {
#define NVO3_X(name, words) {#name, "nvo3_drop_" #name, words},
    NVO3_DROP_REASONS(NVO3_X)
#undef NVO3_X
};

constexpr Text kEvents[] = {
#define NVO3_X(name, words) {#name, "nvo3_" #name, words},
    NVO3_EVENTS(NVO3_X)
#undef NVO3_X
};

constexpr Text kUnknown = {"unknown", "nvo3_unknown", "unknown"};

const Text&
text(DropReason reason) noexcept
{
    const auto i = static_cast<size_t>(reason);
    return i < kDropReasonCount ? kDrops[i] : kUnknown;
}

const Text&
text(Event event) noexcept
{
    const auto i = static_cast<size_t>(event);
    return i < kEventCount ? kEvents[i] : kUnknown;
}

}  // namespace

const char* to_string(DropReason reason) noexcept { return text(reason).name; }
const char* to_string(Event event) noexcept { return text(event).name; }
const char* counter_name(DropReason reason) noexcept { return text(reason).counter; }
const char* counter_name(Event event) noexcept { return text(event).counter; }
const char* words(DropReason reason) noexcept { return text(reason).words; }
const char* words(Event event) noexcept { return text(event).words; }

}  // namespace nvo3::esp
