// SPDX-License-Identifier: Apache-2.0
//
// Who may send what, and what a message must look like; see authorization.h.
#include "control/authorization.h"

#include <cerrno>
#include <string_view>

#include "control/framer.h"
#include "control/keying.h"

namespace nvo3::control {
namespace {

constexpr size_t kMaxText = 256;
constexpr size_t kMaxHelloName = 255;

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
};

struct Pair {
    Role a;
    Role b;
};
constexpr Pair kPairs[] = {
    {Role::nve, Role::nve},
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

base::Error
malformed(const char* what)
{
    return base::Error{EPROTO, std::string("the peer sent ") + what};
}

base::Status
check_network(uint32_t vni, proto::Encap encap)
{
    if (!base::Vni(vni).valid()) {
        return malformed("a VNI above 24 bits");
    }
    if (encap != proto::ENCAP_GENEVE && encap != proto::ENCAP_VXLAN) {
        return malformed("an encapsulation that is not known");
    }
    return {};
}

base::Status
check(const proto::Hello& hello)
{
    if (hello.name().empty() || hello.name().size() > kMaxHelloName) {
        return malformed("a Hello without a name, or with one that is too long");
    }
    if (hello.role() < proto::ROLE_NVE || hello.role() > proto::ROLE_HYPERVISOR) {
        return malformed("a Hello with a role that is not known");
    }
    if (hello.version() == 0) {
        return malformed("a Hello without a version");
    }
    return {};
}

base::Status
check(const proto::SaOffer& offer)
{
    if (base::Status status = check_network(offer.vni(), offer.encap()); !status.ok()) {
        return status;
    }
    if (!base::Spi(offer.spi()).valid()) {
        return malformed("an SaOffer with a reserved SPI");
    }
    if (offer.cipher() == 0 || offer.cipher() > 255) {
        return malformed("an SaOffer with a cipher number out of range");
    }
    if (offer.nonce().size() != kOfferNonceSize) {
        return malformed("an SaOffer whose nonce is not 16 octets");
    }
    if (offer.replay_window() > 65536) {
        return malformed("an SaOffer with a replay window out of range");
    }
    return {};
}

base::Status
check(const proto::SaDelete& request)
{
    if (base::Status status = check_network(request.vni(), request.encap()); !status.ok()) {
        return status;
    }
    if (request.spi() != 0 && !base::Spi(request.spi()).valid()) {
        return malformed("an SaDelete with a reserved SPI");
    }
    if (request.reason().size() > kMaxText) {
        return malformed("an SaDelete with a reason that is too long");
    }
    return {};
}

base::Status
check_body(const Envelope& envelope)
{
    switch (envelope.body_case()) {
    case Envelope::kHello: return check(envelope.hello());
    case Envelope::kClose:
        return envelope.close().text().size() <= kMaxText
                   ? base::Status{}
                   : malformed("a Close with a text that is too long");
    case Envelope::kPing: return {};
    case Envelope::kPong:
        return envelope.in_reply_to() != 0 ? base::Status{}
                                           : malformed("a Pong that answers nothing");
    case Envelope::kSaOffer: return check(envelope.sa_offer());
    case Envelope::kSaAnswer:
        if (envelope.in_reply_to() == 0) {
            return malformed("an SaAnswer that answers nothing");
        }
        return envelope.sa_answer().reason().size() <= kMaxText
                   ? base::Status{}
                   : malformed("an SaAnswer with a reason that is too long");
    case Envelope::kSaRequest:
        return check_network(envelope.sa_request().vni(), envelope.sa_request().encap());
    case Envelope::kSaDelete: return check(envelope.sa_delete());
    case Envelope::BODY_NOT_SET: break;
    }
    return malformed("a message of a kind that is not known");
}

// The network that a message is about.
bool
network_of(const Envelope& envelope, base::Vni* vni, base::Encap* encap)
{
    const auto set = [&](const auto& body) {
        *vni = base::Vni(body.vni());
        *encap = static_cast<base::Encap>(body.encap());
        return true;
    };
    switch (envelope.body_case()) {
    case Envelope::kSaOffer: return set(envelope.sa_offer());
    case Envelope::kSaRequest: return set(envelope.sa_request());
    case Envelope::kSaDelete: return set(envelope.sa_delete());
    default: return false;
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
        base::Vni vni;
        base::Encap encap{};
        // A row that wants a network for a message that has none is refused.
        if (!network_of(message, &vni, &encap) || !vn_allowed || !vn_allowed(vni, encap)) {
            return Decision::refused_vn;
        }
        return Decision::allowed;
    }
    }
    return Decision::refused_role;
}

base::Status
check_envelope(const Envelope& envelope)
{
    if (envelope.request_id() == 0) {
        return malformed("a message without a number");
    }
    return check_body(envelope);
}

base::Result<Envelope>
parse_envelope(base::ByteView frame)
{
    Envelope envelope;
    if (frame.empty() || frame.size() > kMaxFrameSize ||
        !envelope.ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
        return malformed("a frame that is not a control message");
    }
    if (base::Status status = check_envelope(envelope); !status.ok()) {
        return status.error();
    }
    return envelope;
}

const char*
message_name(Envelope::BodyCase message) noexcept
{
    switch (message) {
    case Envelope::kHello: return "Hello";
    case Envelope::kClose: return "Close";
    case Envelope::kPing: return "Ping";
    case Envelope::kPong: return "Pong";
    case Envelope::kSaOffer: return "SaOffer";
    case Envelope::kSaAnswer: return "SaAnswer";
    case Envelope::kSaRequest: return "SaRequest";
    case Envelope::kSaDelete: return "SaDelete";
    case Envelope::BODY_NOT_SET: break;
    }
    return "unknown";
}

}  // namespace nvo3::control
