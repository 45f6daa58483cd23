// SPDX-License-Identifier: Apache-2.0
//
// Who may send what, see authorization.h.
#include "control/authorization.h"

#include <optional>

namespace nvo3::control {
namespace {

constexpr Channel kNone = proto::CHANNEL_UNSPECIFIED;
constexpr Channel kControl = proto::CHANNEL_CONTROL;
constexpr Channel kData = proto::CHANNEL_DATA;

struct Row {
    Role receiver;
    Role sender;
    Channel channel;
    Envelope::BodyCase message;
    Rule rule;
};

// Hello, Close, Ping and Pong need no row, only roles that may talk.
constexpr Row kRows[] = {
    {Role::nve, Role::nve, kNone, Envelope::kSaOffer, Rule::allow_for_vn},
    // The offer that it answers was about a network of both, or was refused.
    {Role::nve, Role::nve, kNone, Envelope::kSaAnswer, Rule::allow},
    {Role::nve, Role::nve, kNone, Envelope::kSaRequest, Rule::allow_for_vn},
    // Takes SAs away only: must work when we no longer serve the network.
    {Role::nve, Role::nve, kNone, Envelope::kSaDelete, Rule::allow},

    // Names networks, but what it is answered is the NVA's to choose.
    {Role::nva, Role::nve, kNone, Envelope::kDirectoryRequest, Rule::allow},
    {Role::nva, Role::nve, kNone, Envelope::kMappingAnnounce, Rule::allow_for_vn},
    {Role::nva, Role::nve, kNone, Envelope::kGroupRegister, Rule::allow_for_vn},
    {Role::nva, Role::nve, kNone, Envelope::kGroupRenew, Rule::allow_for_vn},
    // The NVA is who says which networks an NVE serves.
    {Role::nve, Role::nva, kNone, Envelope::kVnUpdate, Rule::allow},
    {Role::nve, Role::nva, kNone, Envelope::kVnGone, Rule::allow},
    {Role::nve, Role::nva, kNone, Envelope::kPolicyUpdate, Rule::allow},
    {Role::nve, Role::nva, kNone, Envelope::kDirectoryReady, Rule::allow},
    {Role::nve, Role::nva, kNone, Envelope::kMappingResult, Rule::allow},
    {Role::nve, Role::nva, kNone, Envelope::kGroupGrant, Rule::allow},
    {Role::nve, Role::nva, kNone, Envelope::kGroupKey, Rule::allow},
    {Role::nve, Role::nva, kNone, Envelope::kGroupRenewed, Rule::allow},

    // Whether the hypervisor may connect to the network is what it asks.
    {Role::nve, Role::hypervisor, kControl, Envelope::kVnConnect, Rule::allow},
    {Role::nve, Role::hypervisor, kControl, Envelope::kVnDisconnect, Rule::allow},
    {Role::nve, Role::hypervisor, kControl, Envelope::kTsiRequest, Rule::allow_for_vn},
    {Role::nve, Role::hypervisor, kControl, Envelope::kTsiQuery, Rule::allow},
    {Role::nve, Role::hypervisor, kControl, Envelope::kTsiReport, Rule::allow},
    {Role::nve, Role::hypervisor, kControl, Envelope::kTsiSyncDone, Rule::allow},
    // The NVE takes away, or answers.
    {Role::hypervisor, Role::nve, kControl, Envelope::kVnConnectResult, Rule::allow},
    {Role::hypervisor, Role::nve, kControl, Envelope::kVnDisconnect, Rule::allow},
    {Role::hypervisor, Role::nve, kControl, Envelope::kTsiResult, Rule::allow},
    {Role::hypervisor, Role::nve, kControl, Envelope::kTsiRemoved, Rule::allow},
    {Role::hypervisor, Role::nve, kControl, Envelope::kTsiQuery, Rule::allow},
    {Role::hypervisor, Role::nve, kControl, Envelope::kTsiReport, Rule::allow},
    {Role::hypervisor, Role::nve, kControl, Envelope::kSlowDown, Rule::allow},
    // SAs, as between two NVEs.
    {Role::nve, Role::hypervisor, kData, Envelope::kSaOffer, Rule::allow_for_vn},
    {Role::nve, Role::hypervisor, kData, Envelope::kSaAnswer, Rule::allow},
    {Role::nve, Role::hypervisor, kData, Envelope::kSaRequest, Rule::allow_for_vn},
    {Role::nve, Role::hypervisor, kData, Envelope::kSaDelete, Rule::allow},
    {Role::hypervisor, Role::nve, kData, Envelope::kSaOffer, Rule::allow_for_vn},
    {Role::hypervisor, Role::nve, kData, Envelope::kSaAnswer, Rule::allow},
    {Role::hypervisor, Role::nve, kData, Envelope::kSaRequest, Rule::allow_for_vn},
    {Role::hypervisor, Role::nve, kData, Envelope::kSaDelete, Rule::allow},
};

struct Pair {
    Role initiator;
    Role acceptor;
};
// Nobody connects to a hypervisor.
constexpr Pair kPairs[] = {
    {Role::nve, Role::nve},
    {Role::nve, Role::nva},
    {Role::hypervisor, Role::nve},
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
    case Envelope::kGroupRenew: return Network{base::Vni(envelope.group_renew().vni()), {}};
    case Envelope::kTsiRequest: return Network{base::Vni(envelope.tsi_request().vni()), {}};
    default: return {};
    }
}

}  // namespace

bool
roles_may_talk(Role initiator, Role acceptor) noexcept
{
    for (const Pair& pair : kPairs) {
        if (pair.initiator == initiator && pair.acceptor == acceptor) {
            return true;
        }
    }
    return false;
}

bool
has_channels(Role a, Role b) noexcept
{
    return a == Role::hypervisor || b == Role::hypervisor;
}

const char*
to_string(Channel channel) noexcept
{
    return channel == kControl ? "control" : channel == kData ? "data" : "";
}

Rule
authorization_rule(Role receiver, Role sender, Channel channel, Envelope::BodyCase message) noexcept
{
    // Who of the two has connected was asked when the session began.
    if ((!roles_may_talk(receiver, sender) && !roles_may_talk(sender, receiver)) ||
        has_channels(receiver, sender) == (channel == kNone)) {
        return Rule::deny;
    }
    if (common_message(message)) {
        return Rule::allow;
    }
    for (const Row& row : kRows) {
        if (row.receiver == receiver && row.sender == sender && row.channel == channel &&
            row.message == message) {
            return row.rule;
        }
    }
    return Rule::deny;
}

Decision
authorize(Role receiver, Role sender, Channel channel, const Envelope& message,
          const VnPredicate& vn_allowed)
{
    switch (authorization_rule(receiver, sender, channel, message.body_case())) {
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
