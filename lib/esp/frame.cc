// SPDX-License-Identifier: Apache-2.0
//
// See frame.h.
#include "esp/frame.h"

#include "esp/wire.h"

namespace nvo3::esp {

base::IpAddress
outer_source(const Frame& frame) noexcept
{
    const size_t room = frame.size > frame.l3_ofs ? frame.size - frame.l3_ofs : 0;
    const uint8_t* ip = frame.data + frame.l3_ofs;
    if (room >= kIpv4Size && ip[0] >> 4 == 4) {
        return base::IpAddress::from_bytes({ip + 12, 4});
    } else if (room >= kIpv6Size && ip[0] >> 4 == 6) {
        return base::IpAddress::from_bytes({ip + 8, 16});
    }
    return {};
}

}  // namespace nvo3::esp
