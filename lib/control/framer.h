// SPDX-License-Identifier: Apache-2.0
//
// Frames of the control protocol: u32 size in network order, then the octets.
// Place: lib/control, between the TLS stream and Envelope parsing (session).
// Threads: one thread per object.
#ifndef NVO3_CONTROL_FRAMER_H
#define NVO3_CONTROL_FRAMER_H

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"

namespace nvo3::control {

constexpr size_t kFrameHeaderSize = 4;
constexpr size_t kMaxFrameSize = 65536;  // Octets after the size field.

// Takes a byte stream in pieces of any size and gives whole frames.  Holds at
// most one frame and what came in the same piece behind it.
class FrameReader {
public:
    // Adds what was read from the stream.  'data' is copied.
    void push(base::ByteView data);

    enum class Next {
        frame,  // '*frame' is a frame's content, valid until the next call
        more,   // nothing whole yet
        error,  // size 0 or above the limit; for good: close the connection
    };
    Next next(base::ByteView* frame);

    // Octets held.
    size_t buffered() const noexcept { return buffer_.size() - begin_; }

private:
    base::Bytes buffer_;
    size_t begin_ = 0;
    bool failed_ = false;
};

// The frame with 'content', ready to be sent.  EMSGSIZE if it is empty or above
// kMaxFrameSize.
base::Result<base::Bytes> make_frame(base::ByteView content);

}  // namespace nvo3::control

#endif
