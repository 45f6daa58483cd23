// SPDX-License-Identifier: Apache-2.0
//
// See wire.h.
#include "esp/wire.h"

namespace nvo3::esp {
namespace {

// All ciphers here have the same IV and ICV, and both encapsulations the same
// header; the parameters are there for those to come.
struct Parts {
    size_t outside;     // outer IP, outer UDP, ESP header, IV, ICV
    size_t inside;      // what the padding is counted from, without the VM's packet
};

Parts
parts(Cipher cipher, bool ipv6, size_t geneve_options) noexcept
{
    return {(ipv6 ? kIpv6Size : kIpv4Size) + kUdpSize + kEspHeaderSize
                + iv_size(cipher) + icv_size(cipher),
            kUdpSize + kTunnelSize + geneve_options + kEthernetSize + kEspTrailerSize};
}

}  // namespace

size_t
overhead(base::Encap, Cipher cipher, bool ipv6, size_t geneve_options) noexcept
{
    const Parts p = parts(cipher, ipv6, geneve_options);
    return p.outside + p.inside;
}

size_t
effective_mtu(size_t underlay_mtu, base::Encap, Cipher cipher, bool ipv6,
              size_t geneve_options) noexcept
{
    const Parts p = parts(cipher, ipv6, geneve_options);
    if (underlay_mtu < p.outside) {
        return 0;
    }
    const size_t text = (underlay_mtu - p.outside) / kPadAlign * kPadAlign;
    return text > p.inside ? text - p.inside : 0;
}

}  // namespace nvo3::esp
