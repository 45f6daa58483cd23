// SPDX-License-Identifier: Apache-2.0
//
// A frame's content as a hostile, authenticated peer may send it: parsed,
// checked, authorised for every pair of roles and channel.
// Place: tests/fuzz.
#include <cstdlib>
#include <string>

#include "control/authorization.h"

using namespace nvo3::control;
namespace base = nvo3::base;

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const auto envelope = parse_envelope({data, size});
    if (!envelope.ok()) {
        return 0;
    }
    // What we take we could have sent.
    const std::string again = envelope->SerializeAsString();
    if (!parse_envelope({reinterpret_cast<const uint8_t*>(again.data()), again.size()}).ok()) {
        std::abort();
    }
    for (Role receiver : {Role::nve, Role::nva, Role::hypervisor}) {
        for (Role sender : {Role::nve, Role::nva, Role::hypervisor}) {
            for (Channel channel : {proto::CHANNEL_UNSPECIFIED, proto::CHANNEL_CONTROL, proto::CHANNEL_DATA}) {
                bool asked = false;
                const Decision decision =
                    authorize(receiver, sender, channel, *envelope, [&](base::Vni vni, std::optional<base::Encap> encap) {
                        asked = true;
                        if (!vni.valid() || (encap && !base::is_encap(static_cast<uint8_t>(*encap)))) {
                            std::abort();
                        }
                        return false;
                    });
                const bool talk = (roles_may_talk(receiver, sender) || roles_may_talk(sender, receiver)) &&
                                  has_channels(receiver, sender) == (channel != proto::CHANNEL_UNSPECIFIED);
                if ((asked && decision != Decision::refused_vn) ||
                    (!talk && decision != Decision::refused_role)) {
                    std::abort();
                }
            }
        }
    }
    return 0;
}
