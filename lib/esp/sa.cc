// SPDX-License-Identifier: Apache-2.0
//
// See sa.h.
#include "esp/sa.h"

#include <string>

namespace nvo3::esp {
namespace {

base::Error
invalid(const SaConfig& config, const std::string& what)
{
    return {EINVAL, std::string(to_string(config.direction)) + " SA "
                        + base::to_string(config.spi) + ": " + what};
}

}  // namespace

const char*
to_string(SaDirection direction) noexcept
{
    return direction == SaDirection::inbound ? "inbound" : "outbound";
}

base::Status
validate(const SaConfig& config)
{
    if (!config.spi.valid()) {
        return invalid(config, "the SPI is below " + std::to_string(base::Spi::kMin)
                                   + ", which RFC 4303 reserves");
    } else if (config.direction != SaDirection::inbound
               && config.direction != SaDirection::outbound) {
        return invalid(config, "the direction is neither inbound nor outbound");
    } else if (config.remote.is_unspecified()) {
        return invalid(config, "the remote address is missing");
    } else if (!base::is_encap(static_cast<uint8_t>(config.encap))) {
        return invalid(config, "the encapsulation is neither Geneve nor VXLAN");
    } else if (!config.vni.valid()) {
        return invalid(config, "the VNI has more than 24 bits");
    } else if (!is_cipher(static_cast<uint8_t>(config.cipher))) {
        return invalid(config, "the cipher is unknown");
    } else if (config.key.size() != key_material_size(config.cipher)) {
        return invalid(config, std::string("the key and salt of ")
                                   + to_string(config.cipher) + " are "
                                   + std::to_string(key_material_size(config.cipher))
                                   + " octets, not " + std::to_string(config.key.size()));
    } else if (config.direction == SaDirection::inbound
               && !is_replay_window(config.replay_window)) {
        return invalid(config, "the replay window " + std::to_string(config.replay_window)
                                   + " is not a power of two from "
                                   + std::to_string(kReplayWindowMin) + " to "
                                   + std::to_string(kReplayWindowMax));
    }
    return {};
}

}  // namespace nvo3::esp
