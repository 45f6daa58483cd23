// SPDX-License-Identifier: Apache-2.0
//
// See sa.h.
#include "esp/sa.h"

#include <array>
#include <string>

namespace nvo3::esp {
namespace {

const base::IpAddress kLimitedBroadcast =
    base::IpAddress::from_bytes(std::array<uint8_t, 4>{255, 255, 255, 255});

using base::Error;
using base::Spi;
using base::Status;

Error
invalid(const SaConfig& config, const std::string& what)
{
    return {EINVAL, std::string(to_string(config.direction)) + " SA "
                        + base::to_string(config.spi) + ": " + what};
}

Status
validate_pair(const SaConfig& config)
{
    if (config.spi.of_group()) {
        return invalid(config, "the SPI is one of groups, from "
                                   + base::to_string(Spi(Spi::kFirstOfGroups))
                                   + " on, but the group is missing");
    } else if (config.remote.is_multicast()) {
        return invalid(config, "the remote address " + config.remote.to_string()
                                   + " is a multicast address, but the group is missing");
    }
    return {};
}

Status
validate_group(const SaConfig& config)
{
    const std::string group = "group " + config.group.to_string();
    if (!config.group.is_multicast() || config.group == kLimitedBroadcast) {
        return invalid(config, "the " + group + " is not a multicast address");
    } else if (!config.spi.of_group()) {
        return invalid(config, "the SPI is one of pairs, those of groups begin at "
                                   + base::to_string(Spi(Spi::kFirstOfGroups)));
    } else if (config.esn) {
        return invalid(config, "RFC 9838 has no extended sequence numbers in a group");
    } else if (config.direction == SaDirection::outbound && config.remote != config.group) {
        return invalid(config, "the remote address " + config.remote.to_string()
                                   + " is not the " + group);
    } else if (config.direction == SaDirection::inbound && config.remote.is_multicast()) {
        return invalid(config, "the remote address " + config.remote.to_string()
                                   + " is a multicast address, not the sender's");
    } else if (config.remote.is_v4() != config.group.is_v4()) {
        return invalid(config, "the remote address " + config.remote.to_string() + " and the "
                                   + group + " are of different IP versions");
    }
    return {};
}

}  // namespace

const char*
to_string(SaDirection direction) noexcept
{
    return direction == SaDirection::inbound ? "inbound" : "outbound";
}

Status
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
    return config.of_group() ? validate_group(config) : validate_pair(config);
}

}  // namespace nvo3::esp
