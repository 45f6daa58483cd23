// SPDX-License-Identifier: Apache-2.0
//
// See check.h: packets of VMs against the underlay.
#include <algorithm>

#include "esp/wire.h"
#include "hvagent/check/check.h"

namespace nvo3::agent {
namespace {

using Grade = Finding::Grade;

constexpr size_t kLeast = 1280;     // IPv6 has no smaller links (RFC 8200 section 5)

// A VM's, a container's: what is not of the switch itself.
bool is_guest(const InterfaceFact& interface, const Config& config)
{
    return interface.bridge == config.bridge && interface.name != interface.bridge && !is_tunnel(interface) && interface.type != "patch" && interface.mtu > 0;
}

// What an underlay must carry for packets of 'size'; padding is less than one step of the alignment.
size_t needed(const Underlay& underlay, size_t size)
{
    size_t mtu = size + esp::overhead(underlay.encap, underlay.cipher, underlay.ipv6);
    while (esp::effective_mtu(mtu, underlay.encap, underlay.cipher, underlay.ipv6) < size) {
        mtu++;
    }
    return mtu;
}

}  // namespace

void check_mtu(const Facts& facts, const Config& config, const std::vector<Underlay>& underlays, Findings& out)
{
    const Underlay* narrowest = nullptr;
    size_t room = 0;
    for (const Underlay& underlay : underlays) {
        if (underlay.mtu == 0) {
            continue;       // no way there: told elsewhere
        }
        size_t effective = esp::effective_mtu(underlay.mtu, underlay.encap, underlay.cipher, underlay.ipv6);
        if (!narrowest || effective < room) {
            narrowest = &underlay;
            room = effective;
        }
    }
    if (!narrowest) {
        return;
    }
    const std::string way = "the way to " + narrowest->to + " has an MTU of " + std::to_string(narrowest->mtu) + ", of which " + std::to_string(room) + " are left to VMs";
    if (room < kLeast) {
        out.push_back({Grade::fail, "MTU", way, "give the underlay at least " + std::to_string(needed(*narrowest, kLeast))});
        return;
    }
    std::string names;
    size_t largest = 0;
    for (const InterfaceFact& interface : facts.interfaces) {
        if (is_guest(interface, config) && static_cast<size_t>(interface.mtu) > room) {
            names += (names.empty() ? "" : ", ") + interface.name;
            largest = std::max(largest, static_cast<size_t>(interface.mtu));
        }
    }
    if (names.empty()) {
        out.push_back({Grade::ok, "MTU", way, ""});
        return;
    }
    out.push_back({Grade::warn, "MTU", way + "; " + names + " may send up to " + std::to_string(largest),
                   "give these VMs an MTU of " + std::to_string(room) + ", or the underlay at least " + std::to_string(needed(*narrowest, largest))});
}

}  // namespace nvo3::agent
