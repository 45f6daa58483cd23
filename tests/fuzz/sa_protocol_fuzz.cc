// SPDX-License-Identifier: Apache-2.0
//
// Fuzz target: a stream of SA socket messages, as the switch reads it from the
// agent and the agent from the switch.  What is accepted must be encoded to the
// same octets again: there is one encoding of each message.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "esp/sa_protocol.h"

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace nvo3;

    const base::ByteView input(data, size);
    base::Result<esp::SaMessage> one = esp::decode(input);
    if (one) {
        const base::Secret again = esp::encode(*one);
        if (!base::equal_constant_time(again.view().subspan(4), input)) {
            std::abort();
        }
    }

    esp::SaMessageReader reader;
    size_t done = 0;
    for (;;) {
        auto next = reader.next();
        if (!next) {
            break;
        }
        if (next->has_value()) {
            continue;
        }
        // Uneven steps, so that messages are cut in all places.
        const size_t step = std::min({size - done, reader.space_size(), 1 + done % 61});
        if (step == 0) {
            break;
        }
        std::memcpy(reader.space(), data + done, step);
        reader.added(step);
        done += step;
    }
    return 0;
}
