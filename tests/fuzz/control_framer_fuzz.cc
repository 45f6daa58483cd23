// SPDX-License-Identifier: Apache-2.0
//
// FrameReader: whatever the cuts, the same frames; never more than the limit.
// Input: a stream.  It is read whole and in pieces whose sizes come from the
// stream itself.
// Place: tests/fuzz.
#include <algorithm>
#include <cstdlib>

#include "control/framer.h"

using nvo3::base::ByteView;
using nvo3::base::Bytes;
using nvo3::control::FrameReader;

namespace {

struct Outcome {
    std::vector<Bytes> frames;
    bool failed = false;
    bool operator==(const Outcome&) const = default;
};

Outcome
read(ByteView stream, bool in_pieces)
{
    FrameReader reader;
    Outcome outcome;
    while (!stream.empty() && !outcome.failed) {
        const size_t size =
            in_pieces ? std::min<size_t>(stream.size(), 1 + stream[0] % 97) : stream.size();
        reader.push(stream.first(size));
        stream = stream.subspan(size);
        for (ByteView frame;;) {
            const FrameReader::Next next = reader.next(&frame);
            if (next == FrameReader::Next::more) {
                break;
            }
            if (next == FrameReader::Next::error) {
                outcome.failed = true;
                break;
            }
            if (frame.empty() || frame.size() > nvo3::control::kMaxFrameSize) {
                std::abort();
            }
            outcome.frames.emplace_back(frame.begin(), frame.end());
        }
    }
    return outcome;
}

}  // namespace

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    if (!(read({data, size}, false) == read({data, size}, true))) {
        std::abort();
    }
    return 0;
}
