// SPDX-License-Identifier: Apache-2.0
//
// What a message between an NVE and an NVA must look like, see authorization.h.
#include "base/ip_address.h"
#include "control/group_keying.h"
#include "control/message_check.h"
#include "control/policy_text.h"

namespace nvo3::control {
namespace {

// Far above what a host serves; a list of an NVE's own making must end somewhere.
constexpr int kMaxKnown = 4096;
constexpr int kMaxGroups = 256;
constexpr int kMaxMemberAddresses = 8;

bool
is_group(const std::string& octets)
{
    return is_address(octets) && base::IpAddress::from_bytes(view(octets)).is_multicast();
}

base::Status
check_member(const proto::VnMember& member)
{
    if (!is_name(member.name())) {
        return malformed("a VnUpdate with a member without a name, or with one that is too long");
    }
    if (member.addresses().empty() || member.addresses_size() > kMaxMemberAddresses) {
        return malformed("a VnUpdate with a member that has no addresses, or too many");
    }
    for (const std::string& address : member.addresses()) {
        if (!is_unicast(address)) {
            return malformed("a VnUpdate with a member's address that no host has");
        }
    }
    return {};
}

base::Status
check_sender(const proto::GroupSender& sender, const std::string& group, const std::string& in)
{
    if (!is_name(sender.name())) {
        return malformed(in + " with a sender without a name, or with one that is too long");
    }
    if (!is_unicast(sender.address()) || sender.address().size() != group.size()) {
        return malformed(in + " with a sender's address that is not of the group's IP version");
    }
    if (sender.sender_id().size() != kSenderIdSize) {
        return malformed(in + " with a sender id that is not 16 octets");
    }
    if (!base::Spi(sender.spi()).of_group()) {
        return malformed(in + " with an SPI that is of no group");
    }
    return {};
}

// What starts every message about a group.
base::Status
check_group(uint32_t vni, const std::string& group, const std::string& in)
{
    if (base::Status status = check_vni(vni, in); !status.ok()) {
        return status;
    }
    return is_group(group) ? base::Status{}
                           : malformed(in + " with a group that is no multicast address");
}

// What only the first part of a step has: all of it or nothing.
base::Status
check_head(const proto::VnUpdate& update)
{
    if (update.encap() == proto::ENCAP_UNSPECIFIED) {
        return update.name().empty() && update.cipher() == 0 && update.groups().empty()
                   ? base::Status{}
                   : malformed("a VnUpdate without an encapsulation");
    }
    if (update.encap() != proto::ENCAP_GENEVE && update.encap() != proto::ENCAP_VXLAN) {
        return malformed("a VnUpdate with an encapsulation that is not known");
    }
    if (!is_name(update.name())) {
        return malformed("a VnUpdate without a name, or with one that is too long");
    }
    if (!is_cipher(update.cipher())) {
        return malformed("a VnUpdate with a cipher number out of range");
    }
    if (update.groups_size() > kMaxGroups) {
        return malformed("a VnUpdate with too many groups");
    }
    for (const std::string& group : update.groups()) {
        if (!is_group(group)) {
            return malformed("a VnUpdate with a group that is no multicast address");
        }
    }
    return {};
}

}  // namespace

base::Status
check_message(const proto::DirectoryRequest& request)
{
    if (request.known_size() > kMaxKnown) {
        return malformed("a DirectoryRequest that knows too many networks");
    }
    if (request.nva_instance() == 0 && !request.known().empty()) {
        return malformed("a DirectoryRequest with versions of no NVA");
    }
    if (!request.policy_digest().empty() && request.policy_digest().size() != kPolicyDigestSize) {
        return malformed("a DirectoryRequest with a policy digest that is not 32 octets");
    }
    for (const proto::VnVersion& known : request.known()) {
        if (base::Status status = check_vni(known.vni(), "a DirectoryRequest"); !status.ok()) {
            return status;
        }
        if (known.version() == 0) {
            return malformed("a DirectoryRequest with a network of version 0");
        }
    }
    return {};
}

base::Status
check_message(const proto::VnUpdate& update)
{
    if (base::Status status = check_vni(update.vni(), "a VnUpdate"); !status.ok()) {
        return status;
    }
    if (update.version() <= update.from_version()) {
        return malformed("a VnUpdate that does not go forward");
    }
    if (base::Status status = check_head(update); !status.ok()) {
        return status;
    }
    for (const proto::VnMember& member : update.members()) {
        if (base::Status status = check_member(member); !status.ok()) {
            return status;
        }
    }
    for (const std::string& name : update.members_gone()) {
        if (!is_name(name)) {
            return malformed("a VnUpdate with a member gone that has no name, or one that is too long");
        }
    }
    for (const proto::VnMapping& mapping : update.mappings()) {
        if (base::Status status = check_interface(mapping.mac(), mapping.addresses(), "a VnUpdate");
            !status.ok()) {
            return status;
        }
        if (!is_name(mapping.nve())) {
            return malformed("a VnUpdate with a mapping to an NVE without a name");
        }
    }
    for (const std::string& mac : update.mappings_gone()) {
        if (!is_mac(mac)) {
            return malformed("a VnUpdate with a MAC address that no interface has");
        }
    }
    return {};
}

base::Status
check_message(const proto::VnGone& gone)
{
    if (base::Status status = check_vni(gone.vni(), "a VnGone"); !status.ok()) {
        return status;
    }
    return check_reason(gone.reason(), "a VnGone");
}

base::Status
check_message(const proto::PolicyUpdate& update)
{
    if (update.text().size() > kPolicyPartSize) {
        return malformed("a PolicyUpdate that is too long");
    }
    // Else parts without end would be no text that is too long.
    return update.text().empty() && update.more() ? malformed("a PolicyUpdate without a text, and more to come") : base::Status{};
}

base::Status
check_message(const proto::MappingAnnounce& announce)
{
    if (base::Status status = check_vni(announce.vni(), "a MappingAnnounce"); !status.ok()) {
        return status;
    }
    return check_interface(announce.mac(), announce.addresses(), "a MappingAnnounce");
}

base::Status
check_message(const proto::MappingResult& result, uint64_t in_reply_to)
{
    if (in_reply_to == 0) {
        return malformed("a MappingResult that answers nothing");
    }
    return check_reason(result.reason(), "a MappingResult");
}

base::Status
check_message(const proto::GroupRegister& request)
{
    if (base::Status status = check_group(request.vni(), request.group(), "a GroupRegister");
        !status.ok()) {
        return status;
    }
    return request.epoch() != 0 ? base::Status{} : malformed("a GroupRegister for epoch 0");
}

base::Status
check_message(const proto::GroupGrant& grant, uint64_t in_reply_to)
{
    if (in_reply_to == 0) {
        return malformed("a GroupGrant that answers nothing");
    }
    if (base::Status status = check_group(grant.vni(), grant.group(), "a GroupGrant"); !status.ok()) {
        return status;
    }
    if (base::Status status = check_reason(grant.reason(), "a GroupGrant"); !status.ok()) {
        return status;
    }
    if (!grant.accepted()) {
        return grant.has_sender() ? malformed("a GroupGrant that refuses, but has a sender")
                                  : base::Status{};
    }
    if (grant.epoch() == 0) {
        return malformed("a GroupGrant for epoch 0");
    }
    return check_sender(grant.sender(), grant.group(), "a GroupGrant");
}

base::Status
check_message(const proto::GroupRenew& request)
{
    return check_group(request.vni(), request.group(), "a GroupRenew");
}

base::Status
check_message(const proto::GroupRenewed& renewed, uint64_t in_reply_to)
{
    if (in_reply_to == 0) {
        return malformed("a GroupRenewed that answers nothing");
    }
    if (base::Status status = check_group(renewed.vni(), renewed.group(), "a GroupRenewed");
        !status.ok()) {
        return status;
    }
    if (base::Status status = check_reason(renewed.reason(), "a GroupRenewed"); !status.ok()) {
        return status;
    }
    return (renewed.epoch() != 0) == renewed.accepted()
               ? base::Status{}
               : malformed("a GroupRenewed that accepts without an epoch, or refuses with one");
}

base::Status
check_message(const proto::GroupKey& key)
{
    if (base::Status status = check_group(key.vni(), key.group(), "a GroupKey"); !status.ok()) {
        return status;
    }
    if (key.epoch() == 0) {
        return malformed("a GroupKey for epoch 0");
    }
    if (key.secret().size() != kGroupSecretSize) {
        return malformed("a GroupKey whose secret is not 32 octets");
    }
    if (!is_cipher(key.cipher())) {
        return malformed("a GroupKey with a cipher number out of range");
    }
    for (const proto::GroupSender& sender : key.senders()) {
        if (base::Status status = check_sender(sender, key.group(), "a GroupKey"); !status.ok()) {
            return status;
        }
    }
    return {};
}

}  // namespace nvo3::control
