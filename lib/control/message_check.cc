// SPDX-License-Identifier: Apache-2.0
//
// What a message must look like, see authorization.h: what every role may send
// and the messages of two NVEs; those with an NVA are in message_check_nva.cc, those
// of a hypervisor in message_check_split.cc.
#include "control/message_check.h"

#include <cerrno>

#include "base/ip_address.h"
#include "base/mac_address.h"
#include "control/framer.h"
#include "control/keying.h"

namespace nvo3::control {

base::Error
malformed(const std::string& what)
{
    return base::Error{EPROTO, "the peer sent " + what};
}

bool
is_name(const std::string& name)
{
    return !name.empty() && name.size() <= kMaxName;
}

bool
is_cipher(uint32_t number)
{
    return number > 0 && number <= 255;
}

bool
is_address(const std::string& octets)
{
    return octets.size() == 4 ||
           (octets.size() == 16 && !base::IpAddress::from_bytes(view(octets)).is_v4());
}

bool
is_unicast(const std::string& octets)
{
    const base::IpAddress address = base::IpAddress::from_bytes(view(octets));
    const bool zero = octets.find_first_not_of('\0') == std::string::npos;
    return is_address(octets) && !zero && !address.is_multicast();
}

bool
is_mac(const std::string& octets)
{
    const base::MacAddress mac = base::MacAddress::from_bytes(view(octets));
    return octets.size() == mac.octets.size() && !mac.is_multicast() && !mac.is_zero();
}

base::Status
check_vni(uint32_t vni, const std::string& in)
{
    return base::Vni(vni).valid() ? base::Status{} : malformed(in + " with a VNI above 24 bits");
}

base::Status
check_reason(const std::string& reason, const std::string& in)
{
    return reason.size() <= kMaxText ? base::Status{}
                                     : malformed(in + " with a reason that is too long");
}

base::Status
check_interface(const std::string& mac, const google::protobuf::RepeatedPtrField<std::string>& addresses, const std::string& in)
{
    if (!is_mac(mac)) {
        return malformed(in + " with a MAC address that no interface has");
    }
    if (addresses.size() > kMaxInterfaceAddresses) {
        return malformed(in + " with too many addresses of an interface");
    }
    for (const std::string& address : addresses) {
        if (!is_unicast(address)) {
            return malformed(in + " with an IP address that no interface has");
        }
    }
    return {};
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
    if (hello.channel() < proto::CHANNEL_UNSPECIFIED || hello.channel() > proto::CHANNEL_DATA) {
        return malformed("a Hello for a channel that is not known");
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
    case Envelope::kPolicyUpdate: return check_message(envelope.policy_update());
    case Envelope::kGroupRenew: return check_message(envelope.group_renew());
    case Envelope::kGroupRenewed:
        return check_message(envelope.group_renewed(), envelope.in_reply_to());
    case Envelope::kVnConnect: return check_message(envelope.vn_connect());
    case Envelope::kVnConnectResult:
        return check_message(envelope.vn_connect_result(), envelope.in_reply_to());
    case Envelope::kVnDisconnect: return check_message(envelope.vn_disconnect());
    case Envelope::kTsiRequest: return check_message(envelope.tsi_request());
    case Envelope::kTsiResult:
        return check_message(envelope.tsi_result(), envelope.in_reply_to());
    case Envelope::kTsiRemoved: return check_message(envelope.tsi_removed());
    case Envelope::kTsiQuery: return {};
    case Envelope::kTsiReport:
        return check_message(envelope.tsi_report(), envelope.in_reply_to());
    case Envelope::kTsiSyncDone: return {};
    case Envelope::kSlowDown: return check_message(envelope.slow_down());
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
    case Envelope::kPolicyUpdate: return "PolicyUpdate";
    case Envelope::kGroupRenew: return "GroupRenew";
    case Envelope::kGroupRenewed: return "GroupRenewed";
    case Envelope::kVnConnect: return "VnConnect";
    case Envelope::kVnConnectResult: return "VnConnectResult";
    case Envelope::kVnDisconnect: return "VnDisconnect";
    case Envelope::kTsiRequest: return "TsiRequest";
    case Envelope::kTsiResult: return "TsiResult";
    case Envelope::kTsiRemoved: return "TsiRemoved";
    case Envelope::kTsiQuery: return "TsiQuery";
    case Envelope::kTsiReport: return "TsiReport";
    case Envelope::kTsiSyncDone: return "TsiSyncDone";
    case Envelope::kSlowDown: return "SlowDown";
    case Envelope::BODY_NOT_SET: break;
    }
    return "unknown";
}

}  // namespace nvo3::control
