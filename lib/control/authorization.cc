// SPDX-License-Identifier: Apache-2.0
//
// Who may send what, see authorization.h.
#include "control/authorization.h"

#include <optional>

namespace nvo3::control {
namespace {

struct Row {
    Role receiver;
    Role sender;
    Envelope::BodyCase message;
    Rule rule;
};

// Hello, Close, Ping and Pong need no row, only roles that may talk.
constexpr Row kRows[] = {
    {Role::nve, Role::nve, Envelope::kSaOffer, Rule::allow_for_vn},
    // The offer that it answers was about a network of both, or was refused.
    {Role::nve, Role::nve, Envelope::kSaAnswer, Rule::allow},
    {Role::nve, Role::nve, Envelope::kSaRequest, Rule::allow_for_vn},
    // Takes SAs away only: must work when we no longer serve the network.
    {Role::nve, Role::nve, Envelope::kSaDelete, Rule::allow},

    // Names networks, but what it is answered is the NVA's to choose.
    {Role::nva, Role::nve, Envelope::kDirectoryRequest, Rule::allow},
    {Role::nva, Role::nve, Envelope::kMappingAnnounce, Rule::allow_for_vn},
    {Role::nva, Role::nve, Envelope::kGroupRegister, Rule::allow_for_vn},
    // The NVA is who says which networks an NVE serves.
    {Role::nve, Role::nva, Envelope::kVnUpdate, Rule::allow},
    {Role::nve, Role::nva, Envelope::kVnGone, Rule::allow},
    {Role::nve, Role::nva, Envelope::kDirectoryReady, Rule::allow},
    {Role::nve, Role::nva, Envelope::kMappingResult, Rule::allow},
    {Role::nve, Role::nva, Envelope::kGroupGrant, Rule::allow},
    {Role::nve, Role::nva, Envelope::kGroupKey, Rule::allow},
};

struct Pair {
    Role a;
    Role b;
};
constexpr Pair kPairs[] = {
    {Role::nve, Role::nve},
    {Role::nve, Role::nva},
};

bool
common_message(Envelope::BodyCase message) noexcept
{
    switch (message) {
    case Envelope::kHello:
    case Envelope::kClose:
    case Envelope::kPing:
    case Envelope::kPong: return true;
    default: return false;
    }
}

// The network that a message is about; some do not say with which encapsulation.
struct Network {
    base::Vni vni;
    std::optional<base::Encap> encap;
};

std::optional<Network>
network_of(const Envelope& envelope)
{
    const auto of_pair = [](const auto& body) {
        return Network{base::Vni(body.vni()), static_cast<base::Encap>(body.encap())};
    };
    switch (envelope.body_case()) {
    case Envelope::kSaOffer: return of_pair(envelope.sa_offer());
    case Envelope::kSaRequest: return of_pair(envelope.sa_request());
    case Envelope::kSaDelete: return of_pair(envelope.sa_delete());
    case Envelope::kMappingAnnounce:
        return Network{base::Vni(envelope.mapping_announce().vni()), {}};
    case Envelope::kGroupRegister: return Network{base::Vni(envelope.group_register().vni()), {}};
    default: return {};
    }
}

}  // namespace

bool
roles_may_talk(Role a, Role b) noexcept
{
    for (const Pair& pair : kPairs) {
        if ((pair.a == a && pair.b == b) || (pair.a == b && pair.b == a)) {
            return true;
        }
    }
    return false;
}

Rule
authorization_rule(Role receiver, Role sender, Envelope::BodyCase message) noexcept
{
    if (!roles_may_talk(receiver, sender)) {
        return Rule::deny;
    }
    if (common_message(message)) {
        return Rule::allow;
    }
    for (const Row& row : kRows) {
        if (row.receiver == receiver && row.sender == sender && row.message == message) {
            return row.rule;
        }
    }
    return Rule::deny;
}

Decision
authorize(Role receiver, Role sender, const Envelope& message, const VnPredicate& vn_allowed)
{
    switch (authorization_rule(receiver, sender, message.body_case())) {
    case Rule::deny: return Decision::refused_role;
    case Rule::allow: return Decision::allowed;
    case Rule::allow_for_vn: {
        const std::optional<Network> network = network_of(message);
        // A row that wants a network for a message that has none is refused.
        return network && vn_allowed && vn_allowed(network->vni, network->encap)
                   ? Decision::allowed
                   : Decision::refused_vn;
    }
    }
    return Decision::refused_role;
}

}  // namespace nvo3::control
