// SPDX-License-Identifier: Apache-2.0
//
// What a message must look like, see authorization.h: what every role may send
// and the messages of two NVEs; those with an NVA are in message_check_nva.cc.
#include "control/message_check.h"

#include <cerrno>

#include "control/framer.h"
#include "control/keying.h"

namespace nvo3::control {

base::Error
malformed(const std::string& what)
{
    return base::Error{EPROTO, "the peer sent " + what};
}

namespace {

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
    if (hello.name().empty() || hello.name().size() > kMaxName) {
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
    if (base::Spi(offer.spi()).of_group()) {
        return malformed("an SaOffer with an SPI of a group");
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
    case Envelope::kDirectoryRequest: return check_message(envelope.directory_request());
    case Envelope::kVnUpdate: return check_message(envelope.vn_update());
    case Envelope::kVnGone: return check_message(envelope.vn_gone());
    case Envelope::kDirectoryReady: return {};
    case Envelope::kMappingAnnounce: return check_message(envelope.mapping_announce());
    case Envelope::kMappingResult:
        return check_message(envelope.mapping_result(), envelope.in_reply_to());
    case Envelope::kGroupRegister: return check_message(envelope.group_register());
    case Envelope::kGroupGrant:
        return check_message(envelope.group_grant(), envelope.in_reply_to());
    case Envelope::kGroupKey: return check_message(envelope.group_key());
    case Envelope::BODY_NOT_SET: break;
    }
    return malformed("a message of a kind that is not known");
}

}  // namespace

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
    case Envelope::kDirectoryRequest: return "DirectoryRequest";
    case Envelope::kVnUpdate: return "VnUpdate";
    case Envelope::kVnGone: return "VnGone";
    case Envelope::kDirectoryReady: return "DirectoryReady";
    case Envelope::kMappingAnnounce: return "MappingAnnounce";
    case Envelope::kMappingResult: return "MappingResult";
    case Envelope::kGroupRegister: return "GroupRegister";
    case Envelope::kGroupGrant: return "GroupGrant";
    case Envelope::kGroupKey: return "GroupKey";
    case Envelope::BODY_NOT_SET: break;
    }
    return "unknown";
}

}  // namespace nvo3::control
