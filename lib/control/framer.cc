// SPDX-License-Identifier: Apache-2.0
//
// Frames of the control protocol, see framer.h.
#include "control/framer.h"

#include <cerrno>
#include <string>

namespace nvo3::control {

void
FrameReader::push(base::ByteView data)
{
    // Only here: next() has handed out a view into the buffer.
    if (begin_ > 0) {
        buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(begin_));
        begin_ = 0;
    }
    if (!failed_) {
        buffer_.insert(buffer_.end(), data.begin(), data.end());
    }
}

FrameReader::Next
FrameReader::next(base::ByteView* frame)
{
    if (failed_) {
        return Next::error;
    }
    if (buffered() < kFrameHeaderSize) {
        return Next::more;
    }
    base::ByteReader header(base::ByteView(buffer_).subspan(begin_, kFrameHeaderSize));
    const size_t size = header.u32();
    // Judged by the header alone: nothing is stored for a frame never taken.
    if (size == 0 || size > kMaxFrameSize) {
        failed_ = true;
        buffer_.clear();
        begin_ = 0;
        return Next::error;
    }
    if (buffered() - kFrameHeaderSize < size) {
        return Next::more;
    }
    *frame = base::ByteView(buffer_).subspan(begin_ + kFrameHeaderSize, size);
    begin_ += kFrameHeaderSize + size;
    return Next::frame;
}

base::Result<base::Bytes>
make_frame(base::ByteView content)
{
    if (content.empty() || content.size() > kMaxFrameSize) {
        return base::Error{EMSGSIZE, "a control message of " + std::to_string(content.size()) +
                                         " octets does not fit a frame (1 to 65536)"};
    }
    base::ByteWriter writer;
    writer.reserve(kFrameHeaderSize + content.size());
    writer.u32(static_cast<uint32_t>(content.size()));
    writer.bytes(content);
    return writer.take();
}

}  // namespace nvo3::control
