// SPDX-License-Identifier: Apache-2.0
//
// What a message must look like and who may send it: authorization.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "control/authorization.h"

namespace nvo3::tests {
namespace {

using namespace control;
namespace pb = control::proto;

const std::string kHost4("\xc0\0\2\1", 4);     // 192.0.2.1
const std::string kGroup4("\xef\1\1\1", 4);    // 239.1.1.1
const std::string kHost6("\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);  // 2001:db8::1
const std::string kGroup6("\xff\5\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);    // ff05::1
const std::string kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);  // ::ffff:192.0.2.1
const std::string kMac("\x52\x54\0\1\2\3", 6);

void
known(Envelope& envelope, uint32_t vni, uint64_t version)
{
    pb::VnVersion& known = *envelope.mutable_directory_request()->add_known();
    known.set_vni(vni);
    known.set_version(version);
}

void
fill(pb::GroupSender* sender, const std::string& address)
{
    sender->set_name("hv1");
    sender->set_address(address);
    sender->set_sender_id(std::string(16, 'i'));
    sender->set_spi(0x80000000);
}

Envelope
of(Envelope::BodyCase kind, uint32_t vni = 5001)
{
    Envelope envelope;
    envelope.set_request_id(1);
    switch (kind) {
    case Envelope::kHello:
        envelope.mutable_hello()->set_version(1);
        envelope.mutable_hello()->set_name("hv1");
        envelope.mutable_hello()->set_role(pb::ROLE_NVE);
        break;
    case Envelope::kClose: envelope.mutable_close(); break;
    case Envelope::kPing: envelope.mutable_ping(); break;
    case Envelope::kPong:
        envelope.mutable_pong();
        envelope.set_in_reply_to(1);
        break;
    case Envelope::kSaOffer:
        envelope.mutable_sa_offer()->set_vni(vni);
        envelope.mutable_sa_offer()->set_encap(pb::ENCAP_VXLAN);
        envelope.mutable_sa_offer()->set_spi(256);
        envelope.mutable_sa_offer()->set_cipher(2);
        envelope.mutable_sa_offer()->set_nonce(std::string(16, '\0'));
        break;
    case Envelope::kSaAnswer:
        envelope.mutable_sa_answer();
        envelope.set_in_reply_to(1);
        break;
    case Envelope::kSaRequest:
        envelope.mutable_sa_request()->set_vni(vni);
        envelope.mutable_sa_request()->set_encap(pb::ENCAP_GENEVE);
        break;
    case Envelope::kSaDelete:
        envelope.mutable_sa_delete()->set_vni(vni);
        envelope.mutable_sa_delete()->set_encap(pb::ENCAP_GENEVE);
        break;
    case Envelope::kDirectoryRequest:
        envelope.mutable_directory_request()->set_nva_instance(22);
        known(envelope, vni, 3);
        envelope.mutable_directory_request()->set_policy_digest(std::string(32, 'd'));
        break;
    case Envelope::kVnUpdate: {
        pb::VnUpdate& update = *envelope.mutable_vn_update();
        update.set_vni(vni);
        update.set_version(1);
        update.set_name("blue");
        update.set_encap(pb::ENCAP_GENEVE);
        update.set_cipher(1);
        update.add_groups(kGroup4);
        update.add_groups(kGroup6);
        pb::VnMember& member = *update.add_members();
        member.set_name("hv1");
        member.add_addresses(kHost4);
        member.add_addresses(kHost6);
        update.add_members_gone("hv2");
        pb::VnMapping& mapping = *update.add_mappings();
        mapping.set_mac(kMac);
        mapping.add_addresses(kHost4);
        mapping.set_nve("hv1");
        update.add_mappings_gone(kMac);
        break;
    }
    case Envelope::kVnGone: envelope.mutable_vn_gone()->set_vni(vni); break;
    case Envelope::kDirectoryReady: envelope.mutable_directory_ready(); break;
    case Envelope::kPolicyUpdate:
        envelope.mutable_policy_update()->set_version(1);
        envelope.mutable_policy_update()->set_text("gateway blue 10.0.0.254/24\n");
        break;
    case Envelope::kMappingAnnounce:
        envelope.mutable_mapping_announce()->set_vni(vni);
        envelope.mutable_mapping_announce()->set_mac(kMac);
        envelope.mutable_mapping_announce()->add_addresses(kHost6);
        break;
    case Envelope::kMappingResult:
        envelope.mutable_mapping_result();
        envelope.set_in_reply_to(1);
        break;
    case Envelope::kGroupRegister:
        envelope.mutable_group_register()->set_vni(vni);
        envelope.mutable_group_register()->set_group(kGroup4);
        envelope.mutable_group_register()->set_epoch(1);
        break;
    case Envelope::kGroupGrant:
        envelope.set_in_reply_to(1);
        envelope.mutable_group_grant()->set_accepted(true);
        envelope.mutable_group_grant()->set_vni(vni);
        envelope.mutable_group_grant()->set_group(kGroup6);
        envelope.mutable_group_grant()->set_epoch(1);
        fill(envelope.mutable_group_grant()->mutable_sender(), kHost6);
        break;
    case Envelope::kGroupKey:
        envelope.mutable_group_key()->set_vni(vni);
        envelope.mutable_group_key()->set_group(kGroup4);
        envelope.mutable_group_key()->set_epoch(1);
        envelope.mutable_group_key()->set_secret(std::string(32, 's'));
        envelope.mutable_group_key()->set_cipher(1);
        fill(envelope.mutable_group_key()->add_senders(), kHost4);
        break;
    case Envelope::kGroupRenew:
        envelope.mutable_group_renew()->set_vni(vni);
        envelope.mutable_group_renew()->set_group(kGroup6);
        break;
    case Envelope::kGroupRenewed:
        envelope.set_in_reply_to(1);
        envelope.mutable_group_renewed()->set_accepted(true);
        envelope.mutable_group_renewed()->set_vni(vni);
        envelope.mutable_group_renewed()->set_group(kGroup4);
        envelope.mutable_group_renewed()->set_epoch(1);
        break;
    case Envelope::kVnConnect: envelope.mutable_vn_connect()->set_vn("blue"); break;
    case Envelope::kVnConnectResult:
        envelope.set_in_reply_to(1);
        envelope.mutable_vn_connect_result()->set_accepted(true);
        envelope.mutable_vn_connect_result()->set_name("blue");
        envelope.mutable_vn_connect_result()->set_vni(vni);
        envelope.mutable_vn_connect_result()->set_encap(pb::ENCAP_GENEVE);
        envelope.mutable_vn_connect_result()->set_cipher(1);
        break;
    case Envelope::kVnDisconnect: envelope.mutable_vn_disconnect()->set_vni(vni); break;
    case Envelope::kTsiRequest:
        envelope.mutable_tsi_request()->set_action(pb::TSI_ASSOCIATE);
        envelope.mutable_tsi_request()->set_vni(vni);
        envelope.mutable_tsi_request()->set_tsi("tsi-1");
        envelope.mutable_tsi_request()->set_mac(kMac);
        envelope.mutable_tsi_request()->add_addresses(kHost4);
        envelope.mutable_tsi_request()->set_vm("web");
        break;
    case Envelope::kTsiResult:
        envelope.set_in_reply_to(1);
        envelope.mutable_tsi_result()->set_accepted(true);
        envelope.mutable_tsi_result()->set_state(pb::TSI_ACTIVE);
        break;
    case Envelope::kTsiRemoved:
        envelope.mutable_tsi_removed()->set_vni(vni);
        envelope.mutable_tsi_removed()->set_tsi("tsi-1");
        break;
    case Envelope::kTsiQuery: envelope.mutable_tsi_query(); break;
    case Envelope::kTsiReport: {
        envelope.set_in_reply_to(1);
        pb::TsiReport::Tsi& tsi = *envelope.mutable_tsi_report()->add_tsis();
        tsi.set_vni(vni);
        tsi.set_tsi("tsi-1");
        tsi.set_mac(kMac);
        tsi.add_addresses(kHost6);
        tsi.set_state(pb::TSI_ASSOCIATED);
        break;
    }
    case Envelope::kTsiSyncDone: envelope.mutable_tsi_sync_done(); break;
    case Envelope::kSlowDown: envelope.mutable_slow_down()->set_messages_per_second(1); break;
    case Envelope::BODY_NOT_SET: break;
    }
    return envelope;
}

constexpr Envelope::BodyCase kAll[] = {
    Envelope::kHello,   Envelope::kClose,    Envelope::kPing,      Envelope::kPong,
    Envelope::kSaOffer, Envelope::kSaAnswer, Envelope::kSaRequest, Envelope::kSaDelete,
    Envelope::kDirectoryRequest, Envelope::kVnUpdate, Envelope::kVnGone, Envelope::kDirectoryReady,
    Envelope::kMappingAnnounce, Envelope::kMappingResult,
    Envelope::kGroupRegister, Envelope::kGroupGrant, Envelope::kGroupKey,
    Envelope::kGroupRenew, Envelope::kGroupRenewed, Envelope::kPolicyUpdate,
    Envelope::kVnConnect, Envelope::kVnConnectResult, Envelope::kVnDisconnect,
    Envelope::kTsiRequest, Envelope::kTsiResult, Envelope::kTsiRemoved,
    Envelope::kTsiQuery, Envelope::kTsiReport, Envelope::kTsiSyncDone, Envelope::kSlowDown,
};

// Who may send it to whom, besides what every role may.
struct Way {
    Role receiver;
    Role sender;
    Envelope::BodyCase kind;
    Decision foreign;  // about a network that is not allowed
    Channel channel = pb::CHANNEL_UNSPECIFIED;
};
constexpr Channel kControl = pb::CHANNEL_CONTROL, kData = pb::CHANNEL_DATA;

constexpr Way kWays[] = {
    {Role::nve, Role::nve, Envelope::kSaOffer, Decision::refused_vn},
    {Role::nve, Role::nve, Envelope::kSaAnswer, Decision::allowed},
    {Role::nve, Role::nve, Envelope::kSaRequest, Decision::refused_vn},
    {Role::nve, Role::nve, Envelope::kSaDelete, Decision::allowed},
    {Role::nva, Role::nve, Envelope::kDirectoryRequest, Decision::allowed},
    {Role::nva, Role::nve, Envelope::kMappingAnnounce, Decision::refused_vn},
    {Role::nva, Role::nve, Envelope::kGroupRegister, Decision::refused_vn},
    {Role::nva, Role::nve, Envelope::kGroupRenew, Decision::refused_vn},
    {Role::nve, Role::nva, Envelope::kVnUpdate, Decision::allowed},
    {Role::nve, Role::nva, Envelope::kVnGone, Decision::allowed},
    {Role::nve, Role::nva, Envelope::kDirectoryReady, Decision::allowed},
    {Role::nve, Role::nva, Envelope::kPolicyUpdate, Decision::allowed},
    {Role::nve, Role::nva, Envelope::kMappingResult, Decision::allowed},
    {Role::nve, Role::nva, Envelope::kGroupGrant, Decision::allowed},
    {Role::nve, Role::nva, Envelope::kGroupKey, Decision::allowed},
    {Role::nve, Role::nva, Envelope::kGroupRenewed, Decision::allowed},
    {Role::nve, Role::hypervisor, Envelope::kVnConnect, Decision::allowed, kControl},
    {Role::nve, Role::hypervisor, Envelope::kVnDisconnect, Decision::allowed, kControl},
    {Role::nve, Role::hypervisor, Envelope::kTsiRequest, Decision::refused_vn, kControl},
    {Role::nve, Role::hypervisor, Envelope::kTsiQuery, Decision::allowed, kControl},
    {Role::nve, Role::hypervisor, Envelope::kTsiReport, Decision::allowed, kControl},
    {Role::nve, Role::hypervisor, Envelope::kTsiSyncDone, Decision::allowed, kControl},
    {Role::hypervisor, Role::nve, Envelope::kVnConnectResult, Decision::allowed, kControl},
    {Role::hypervisor, Role::nve, Envelope::kVnDisconnect, Decision::allowed, kControl},
    {Role::hypervisor, Role::nve, Envelope::kTsiResult, Decision::allowed, kControl},
    {Role::hypervisor, Role::nve, Envelope::kTsiRemoved, Decision::allowed, kControl},
    {Role::hypervisor, Role::nve, Envelope::kTsiQuery, Decision::allowed, kControl},
    {Role::hypervisor, Role::nve, Envelope::kTsiReport, Decision::allowed, kControl},
    {Role::hypervisor, Role::nve, Envelope::kSlowDown, Decision::allowed, kControl},
    {Role::nve, Role::hypervisor, Envelope::kSaOffer, Decision::refused_vn, kData},
    {Role::nve, Role::hypervisor, Envelope::kSaAnswer, Decision::allowed, kData},
    {Role::nve, Role::hypervisor, Envelope::kSaRequest, Decision::refused_vn, kData},
    {Role::nve, Role::hypervisor, Envelope::kSaDelete, Decision::allowed, kData},
    {Role::hypervisor, Role::nve, Envelope::kSaOffer, Decision::refused_vn, kData},
    {Role::hypervisor, Role::nve, Envelope::kSaAnswer, Decision::allowed, kData},
    {Role::hypervisor, Role::nve, Envelope::kSaRequest, Decision::refused_vn, kData},
    {Role::hypervisor, Role::nve, Envelope::kSaDelete, Decision::allowed, kData},
};

constexpr Role kRoles[] = {Role::nve, Role::nva, Role::hypervisor};

constexpr Channel kChannels[] = {pb::CHANNEL_UNSPECIFIED, kControl, kData};

// Who connects to whom.
bool
connects(Role a, Role b)
{
    return (a == Role::nve && b == Role::nve) || (a == Role::nve && b == Role::nva) ||
           (a == Role::hypervisor && b == Role::nve);
}

bool
talk(Role a, Role b, Channel channel)
{
    const bool split = a == Role::hypervisor || b == Role::hypervisor;
    return (connects(a, b) || connects(b, a)) && split == (channel != pb::CHANNEL_UNSPECIFIED);
}

TEST(Authorization, Table)
{
    const auto ours = [](base::Vni vni, std::optional<base::Encap>) {
        return vni == base::Vni(5001);
    };
    for (const Way& way : kWays) {
        SCOPED_TRACE(message_name(way.kind));
        EXPECT_EQ(authorize(way.receiver, way.sender, way.channel, of(way.kind), ours), Decision::allowed);
        EXPECT_EQ(authorize(way.receiver, way.sender, way.channel, of(way.kind, 1), ours), way.foreign);
        // Without anybody to ask, nothing about a network passes.
        EXPECT_EQ(authorize(way.receiver, way.sender, way.channel, of(way.kind), nullptr), way.foreign);
    }
    EXPECT_EQ(authorize(Role::nve, Role::nve, pb::CHANNEL_UNSPECIFIED, Envelope(), ours), Decision::refused_role);
}

TEST(Authorization, WhatHasNoRowIsRefused)
{
    const auto all = [](base::Vni, std::optional<base::Encap>) { return true; };
    for (Role receiver : kRoles) {
        for (Role sender : kRoles) {
            EXPECT_EQ(roles_may_talk(sender, receiver), connects(sender, receiver));
            for (const Channel channel : kChannels) {
                for (const auto kind : kAll) {
                    SCOPED_TRACE(std::string(to_string(sender)) + " to " + to_string(receiver) + " " +
                                 to_string(channel) + ": " + message_name(kind));
                    const bool common = kind == Envelope::kHello || kind == Envelope::kClose ||
                                        kind == Envelope::kPing || kind == Envelope::kPong;
                    const bool row = std::any_of(std::begin(kWays), std::end(kWays), [&](const Way& way) {
                        return way.receiver == receiver && way.sender == sender && way.kind == kind &&
                               way.channel == channel;
                    });
                    EXPECT_EQ(authorize(receiver, sender, channel, of(kind), all),
                              row || (common && talk(receiver, sender, channel)) ? Decision::allowed
                                                                                 : Decision::refused_role);
                }
            }
        }
    }
}

TEST(Authorization, OnlyNvesSayTheEncapsulation)
{
    std::optional<base::Encap> asked;
    const auto predicate = [&](base::Vni, std::optional<base::Encap> encap) {
        asked = encap;
        return true;
    };
    authorize(Role::nve, Role::nve, pb::CHANNEL_UNSPECIFIED, of(Envelope::kSaOffer), predicate);
    EXPECT_EQ(asked, base::Encap::vxlan);
    authorize(Role::nva, Role::nve, pb::CHANNEL_UNSPECIFIED, of(Envelope::kMappingAnnounce), predicate);
    EXPECT_FALSE(asked);
    authorize(Role::nva, Role::nve, pb::CHANNEL_UNSPECIFIED, of(Envelope::kGroupRegister), predicate);
    EXPECT_FALSE(asked);
}

base::Result<Envelope>
reparse(const Envelope& envelope)
{
    const std::string octets = envelope.SerializeAsString();
    return parse_envelope(
        base::ByteView(reinterpret_cast<const uint8_t*>(octets.data()), octets.size()));
}

TEST(ParseEnvelope, GoodOnes)
{
    for (const auto kind : kAll) {
        const auto parsed = reparse(of(kind));
        ASSERT_TRUE(parsed.ok()) << message_name(kind) << parsed.error().text;
        EXPECT_EQ(parsed->body_case(), kind);
    }
}

using Bad = std::pair<const char*, std::function<Envelope()>>;
const std::string long_text(257, 'x');

void
expect_malformed(std::span<const Bad> rows)
{
    for (const auto& [what, make] : rows) {
        const auto parsed = reparse(make());
        EXPECT_FALSE(parsed.ok()) << what;
        if (!parsed.ok()) {
            EXPECT_EQ(parsed.error().code, EPROTO);
            EXPECT_EQ(parsed.error().text.find("the peer sent "), 0u);
        }
    }
}

TEST(ParseEnvelope, FieldsOutOfRange)
{
    const Bad rows[] = {
        {"no number", [] { auto e = of(Envelope::kPing); e.set_request_id(0); return e; }},
        {"no body", [] { Envelope e; e.set_request_id(1); return e; }},
        {"Hello version", [] { auto e = of(Envelope::kHello); e.mutable_hello()->clear_version(); return e; }},
        {"Hello name", [] { auto e = of(Envelope::kHello); e.mutable_hello()->clear_name(); return e; }},
        {"Hello long name", [] { auto e = of(Envelope::kHello); e.mutable_hello()->set_name(long_text); return e; }},
        {"Hello no role", [] { auto e = of(Envelope::kHello); e.mutable_hello()->clear_role(); return e; }},
        {"Hello role 4", [] { auto e = of(Envelope::kHello); e.mutable_hello()->set_role(static_cast<pb::Role>(4)); return e; }},
        {"Close text", [] { auto e = of(Envelope::kClose); e.mutable_close()->set_text(long_text); return e; }},
        {"Pong to nothing", [] { auto e = of(Envelope::kPong); e.clear_in_reply_to(); return e; }},
        {"offer VNI", [] { return of(Envelope::kSaOffer, 1 << 24); }},
        {"offer encap", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->clear_encap(); return e; }},
        {"offer encap 3", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_encap(static_cast<pb::Encap>(3)); return e; }},
        {"offer SPI", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_spi(255); return e; }},
        {"offer SPI of a group", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_spi(0x80000000); return e; }},
        {"offer cipher 0", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_cipher(0); return e; }},
        {"offer cipher", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_cipher(256); return e; }},
        {"offer nonce", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_nonce("short"); return e; }},
        {"offer window", [] { auto e = of(Envelope::kSaOffer); e.mutable_sa_offer()->set_replay_window(65537); return e; }},
        {"answer to nothing", [] { auto e = of(Envelope::kSaAnswer); e.clear_in_reply_to(); return e; }},
        {"answer reason", [] { auto e = of(Envelope::kSaAnswer); e.mutable_sa_answer()->set_reason(long_text); return e; }},
        {"request VNI", [] { return of(Envelope::kSaRequest, 1 << 24); }},
        {"delete VNI", [] { return of(Envelope::kSaDelete, 1 << 24); }},
        {"delete SPI", [] { auto e = of(Envelope::kSaDelete); e.mutable_sa_delete()->set_spi(1); return e; }},
        {"delete reason", [] { auto e = of(Envelope::kSaDelete); e.mutable_sa_delete()->set_reason(long_text); return e; }},
    };
    expect_malformed(rows);
    EXPECT_FALSE(parse_envelope({}).ok());
    EXPECT_FALSE(parse_envelope(base::Bytes{0xff}).ok());
}

TEST(ParseEnvelope, DirectoryOutOfRange)
{
    const Bad rows[] = {
        {"request known VNI", [] { auto e = of(Envelope::kDirectoryRequest); auto& m = *e.mutable_directory_request(); m.mutable_known(0)->set_vni(1 << 24); return e; }},
        {"request known version", [] { auto e = of(Envelope::kDirectoryRequest); auto& m = *e.mutable_directory_request(); m.mutable_known(0)->clear_version(); return e; }},
        {"request known of no NVA", [] { auto e = of(Envelope::kDirectoryRequest); auto& m = *e.mutable_directory_request(); m.clear_nva_instance(); return e; }},
        {"request knows too much", [] { auto e = of(Envelope::kDirectoryRequest); auto& m = *e.mutable_directory_request(); while (m.known_size() <= 4096) { m.add_known()->set_version(1); } return e; }},
        {"update VNI", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.set_vni(1 << 24); return e; }},
        {"update version 0", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.clear_version(); return e; }},
        {"update goes nowhere", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.set_from_version(1); return e; }},
        {"update goes back", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.set_from_version(2); return e; }},
        {"update encap 3", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.set_encap(static_cast<pb::Encap>(3)); return e; }},
        {"update name without encap", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.clear_encap(); m.clear_cipher(); m.clear_groups(); return e; }},
        {"update cipher without encap", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.clear_encap(); m.clear_name(); m.clear_groups(); return e; }},
        {"update groups without encap", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.clear_encap(); m.clear_name(); m.clear_cipher(); return e; }},
        {"update name", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.clear_name(); return e; }},
        {"update long name", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.set_name(std::string(256, 'x')); return e; }},
        {"update cipher 0", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.clear_cipher(); return e; }},
        {"update cipher", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.set_cipher(256); return e; }},
        {"update group of 5 octets", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.add_groups("\xef\1\1\1\1"); return e; }},
        {"update unicast group", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.add_groups(kHost4); return e; }},
        {"update too many groups", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); while (m.groups_size() <= 256) { m.add_groups(kGroup4); } return e; }},
        {"update member name", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_members(0)->clear_name(); return e; }},
        {"update member long name", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_members(0)->set_name(long_text); return e; }},
        {"update member without address", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_members(0)->clear_addresses(); return e; }},
        {"update member of 9 addresses", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); while (m.members(0).addresses_size() < 9) { m.mutable_members(0)->add_addresses(kHost4); } return e; }},
        {"update member address of 3 octets", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_members(0)->add_addresses("abc"); return e; }},
        {"update member multicast", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_members(0)->add_addresses(kGroup6); return e; }},
        {"update member address 0", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_members(0)->add_addresses(std::string(16, '\0')); return e; }},
        {"update member v4-mapped", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_members(0)->add_addresses(kMapped); return e; }},
        {"update member gone name", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.add_members_gone(""); return e; }},
        {"update member gone long name", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.add_members_gone(long_text); return e; }},
        {"update mapping MAC size", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_mappings(0)->set_mac("12345"); return e; }},
        {"update mapping MAC multicast", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_mappings(0)->set_mac("\1\2\3\4\5\6"); return e; }},
        {"update mapping MAC zero", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_mappings(0)->set_mac(std::string(6, '\0')); return e; }},
        {"update mapping address", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_mappings(0)->add_addresses("12345"); return e; }},
        {"update mapping of 17 addresses", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); while (m.mappings(0).addresses_size() < 17) { m.mutable_mappings(0)->add_addresses(kHost4); } return e; }},
        {"update mapping NVE", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_mappings(0)->clear_nve(); return e; }},
        {"update mapping long NVE", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.mutable_mappings(0)->set_nve(long_text); return e; }},
        {"update mapping gone MAC", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.add_mappings_gone("1234567"); return e; }},
        {"request policy digest of 31", [] { auto e = of(Envelope::kDirectoryRequest); auto& m = *e.mutable_directory_request(); m.set_policy_digest(std::string(31, 'd')); return e; }},
        {"policy too long", [] { auto e = of(Envelope::kPolicyUpdate); auto& m = *e.mutable_policy_update(); m.set_text(std::string(60001, '#')); return e; }},
        {"policy of nothing and more", [] { auto e = of(Envelope::kPolicyUpdate); auto& m = *e.mutable_policy_update(); m.clear_text(); m.set_more(true); return e; }},
        {"gone VNI", [] { auto e = of(Envelope::kVnGone); auto& m = *e.mutable_vn_gone(); m.set_vni(1 << 24); return e; }},
        {"gone reason", [] { auto e = of(Envelope::kVnGone); auto& m = *e.mutable_vn_gone(); m.set_reason(long_text); return e; }},
        {"announce VNI", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); m.set_vni(1 << 24); return e; }},
        {"announce no MAC", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); m.clear_mac(); return e; }},
        {"announce MAC size", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); m.set_mac("1234567"); return e; }},
        {"announce MAC multicast", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); m.set_mac("\xff\xff\xff\xff\xff\xff"); return e; }},
        {"announce MAC zero", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); m.set_mac(std::string(6, '\0')); return e; }},
        {"announce address size", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); m.add_addresses(""); return e; }},
        {"announce address multicast", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); m.add_addresses(kGroup4); return e; }},
        {"announce address 0", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); m.add_addresses(std::string(4, '\0')); return e; }},
        {"announce address v4-mapped", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); m.add_addresses(kMapped); return e; }},
        {"announce 17 addresses", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); while (m.addresses_size() < 17) { m.add_addresses(kHost4); } return e; }},
        {"result to nothing", [] { auto e = of(Envelope::kMappingResult); auto& m = *e.mutable_mapping_result(); e.clear_in_reply_to(); m.set_accepted(true); return e; }},
        {"result reason", [] { auto e = of(Envelope::kMappingResult); auto& m = *e.mutable_mapping_result(); m.set_reason(long_text); return e; }},
    };
    expect_malformed(rows);
}

TEST(ParseEnvelope, GroupsOutOfRange)
{
    const Bad rows[] = {
        {"register VNI", [] { auto e = of(Envelope::kGroupRegister); auto& m = *e.mutable_group_register(); m.set_vni(1 << 24); return e; }},
        {"register no group", [] { auto e = of(Envelope::kGroupRegister); auto& m = *e.mutable_group_register(); m.clear_group(); return e; }},
        {"register unicast", [] { auto e = of(Envelope::kGroupRegister); auto& m = *e.mutable_group_register(); m.set_group(kHost4); return e; }},
        {"register group of 3 octets", [] { auto e = of(Envelope::kGroupRegister); auto& m = *e.mutable_group_register(); m.set_group("\xef\1\1"); return e; }},
        {"register epoch 0", [] { auto e = of(Envelope::kGroupRegister); auto& m = *e.mutable_group_register(); m.clear_epoch(); return e; }},
        {"grant to nothing", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); e.clear_in_reply_to(); m.set_epoch(2); return e; }},
        {"grant VNI", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.set_vni(1 << 24); return e; }},
        {"grant group", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.set_group(kHost6); return e; }},
        {"grant reason", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.set_reason(long_text); return e; }},
        {"grant epoch 0", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.clear_epoch(); return e; }},
        {"grant without sender", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.clear_sender(); return e; }},
        {"grant refuses with a sender", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.set_accepted(false); return e; }},
        {"grant sender name", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.mutable_sender()->clear_name(); return e; }},
        {"grant sender long name", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.mutable_sender()->set_name(long_text); return e; }},
        {"grant sender of the other IP version", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.mutable_sender()->set_address(kHost4); return e; }},
        {"grant sender multicast", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.mutable_sender()->set_address(kGroup6); return e; }},
        {"grant sender id", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.mutable_sender()->set_sender_id(std::string(15, 'i')); return e; }},
        {"grant sender SPI of a pair", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.mutable_sender()->set_spi(0x7fffffff); return e; }},
        {"renew VNI", [] { auto e = of(Envelope::kGroupRenew); auto& m = *e.mutable_group_renew(); m.set_vni(1 << 24); return e; }},
        {"renew unicast", [] { auto e = of(Envelope::kGroupRenew); auto& m = *e.mutable_group_renew(); m.set_group(kHost6); return e; }},
        {"renewed to nothing", [] { auto e = of(Envelope::kGroupRenewed); e.clear_in_reply_to(); return e; }},
        {"renewed VNI", [] { auto e = of(Envelope::kGroupRenewed); auto& m = *e.mutable_group_renewed(); m.set_vni(1 << 24); return e; }},
        {"renewed group", [] { auto e = of(Envelope::kGroupRenewed); auto& m = *e.mutable_group_renewed(); m.clear_group(); return e; }},
        {"renewed reason", [] { auto e = of(Envelope::kGroupRenewed); auto& m = *e.mutable_group_renewed(); m.set_reason(long_text); return e; }},
        {"renewed without epoch", [] { auto e = of(Envelope::kGroupRenewed); auto& m = *e.mutable_group_renewed(); m.clear_epoch(); return e; }},
        {"renewed refuses with an epoch", [] { auto e = of(Envelope::kGroupRenewed); auto& m = *e.mutable_group_renewed(); m.set_accepted(false); return e; }},
        {"key VNI", [] { auto e = of(Envelope::kGroupKey); auto& m = *e.mutable_group_key(); m.set_vni(1 << 24); return e; }},
        {"key group", [] { auto e = of(Envelope::kGroupKey); auto& m = *e.mutable_group_key(); m.set_group(kHost4); return e; }},
        {"key epoch 0", [] { auto e = of(Envelope::kGroupKey); auto& m = *e.mutable_group_key(); m.clear_epoch(); return e; }},
        {"key secret missing", [] { auto e = of(Envelope::kGroupKey); auto& m = *e.mutable_group_key(); m.clear_secret(); return e; }},
        {"key secret of 31", [] { auto e = of(Envelope::kGroupKey); auto& m = *e.mutable_group_key(); m.set_secret(std::string(31, 's')); return e; }},
        {"key secret of 33", [] { auto e = of(Envelope::kGroupKey); auto& m = *e.mutable_group_key(); m.set_secret(std::string(33, 's')); return e; }},
        {"key cipher 0", [] { auto e = of(Envelope::kGroupKey); auto& m = *e.mutable_group_key(); m.clear_cipher(); return e; }},
        {"key cipher", [] { auto e = of(Envelope::kGroupKey); auto& m = *e.mutable_group_key(); m.set_cipher(256); return e; }},
        {"key sender of the other IP version", [] { auto e = of(Envelope::kGroupKey); auto& m = *e.mutable_group_key(); fill(m.add_senders(), kHost6); return e; }},
        {"key sender id", [] { auto e = of(Envelope::kGroupKey); auto& m = *e.mutable_group_key(); m.mutable_senders(0)->set_sender_id(std::string(17, 'i')); return e; }},
        {"key sender SPI", [] { auto e = of(Envelope::kGroupKey); auto& m = *e.mutable_group_key(); m.mutable_senders(0)->set_spi(256); return e; }},
    };
    expect_malformed(rows);
}

TEST(ParseEnvelope, SplitNveOutOfRange)
{
    const Bad rows[] = {
        {"Hello channel 3", [] { auto e = of(Envelope::kHello); e.mutable_hello()->set_channel(static_cast<pb::Channel>(3)); return e; }},
        {"connect no network", [] { auto e = of(Envelope::kVnConnect); e.mutable_vn_connect()->clear_vn(); return e; }},
        {"connect long name", [] { auto e = of(Envelope::kVnConnect); e.mutable_vn_connect()->set_vn(long_text); return e; }},
        {"connect result to nothing", [] { auto e = of(Envelope::kVnConnectResult); e.clear_in_reply_to(); return e; }},
        {"connect result reason", [] { auto e = of(Envelope::kVnConnectResult); e.mutable_vn_connect_result()->set_reason(long_text); return e; }},
        {"connect result name", [] { auto e = of(Envelope::kVnConnectResult); e.mutable_vn_connect_result()->clear_name(); return e; }},
        {"connect result VNI", [] { return of(Envelope::kVnConnectResult, 1 << 24); }},
        {"connect result encap", [] { auto e = of(Envelope::kVnConnectResult); e.mutable_vn_connect_result()->clear_encap(); return e; }},
        {"connect result encap 3", [] { auto e = of(Envelope::kVnConnectResult); e.mutable_vn_connect_result()->set_encap(static_cast<pb::Encap>(3)); return e; }},
        {"connect result cipher 0", [] { auto e = of(Envelope::kVnConnectResult); e.mutable_vn_connect_result()->clear_cipher(); return e; }},
        {"connect result cipher", [] { auto e = of(Envelope::kVnConnectResult); e.mutable_vn_connect_result()->set_cipher(256); return e; }},
        {"disconnect VNI", [] { return of(Envelope::kVnDisconnect, 1 << 24); }},
        {"disconnect reason", [] { auto e = of(Envelope::kVnDisconnect); e.mutable_vn_disconnect()->set_reason(long_text); return e; }},
        {"request action 0", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->clear_action(); return e; }},
        {"request action 5", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->set_action(static_cast<pb::TsiAction>(5)); return e; }},
        {"request VNI", [] { return of(Envelope::kTsiRequest, 1 << 24); }},
        {"request no TSI", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->clear_tsi(); return e; }},
        {"request TSI of 65", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->set_tsi(std::string(65, 't')); return e; }},
        {"request TSI with a line end", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->set_tsi("a\nb"); return e; }},
        {"request TSI with a space", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->set_tsi("a b"); return e; }},
        {"request VM of 65", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->set_vm(std::string(65, 't')); return e; }},
        {"request MAC size", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->set_mac("12345"); return e; }},
        {"request MAC multicast", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->set_mac("\1\2\3\4\5\6"); return e; }},
        {"request MAC zero", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->set_mac(std::string(6, '\0')); return e; }},
        {"request 17 addresses", [] { auto e = of(Envelope::kTsiRequest); while (e.tsi_request().addresses_size() < 17) { e.mutable_tsi_request()->add_addresses(kHost4); } return e; }},
        {"request address multicast", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->add_addresses(kGroup4); return e; }},
        {"request address v4-mapped", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->add_addresses(kMapped); return e; }},
        {"result to nothing", [] { auto e = of(Envelope::kTsiResult); e.clear_in_reply_to(); return e; }},
        {"result state 3", [] { auto e = of(Envelope::kTsiResult); e.mutable_tsi_result()->set_state(static_cast<pb::TsiState>(3)); return e; }},
        {"result reason", [] { auto e = of(Envelope::kTsiResult); e.mutable_tsi_result()->set_reason(long_text); return e; }},
        {"removed VNI", [] { return of(Envelope::kTsiRemoved, 1 << 24); }},
        {"removed no TSI", [] { auto e = of(Envelope::kTsiRemoved); e.mutable_tsi_removed()->clear_tsi(); return e; }},
        {"removed reason", [] { auto e = of(Envelope::kTsiRemoved); e.mutable_tsi_removed()->set_reason(long_text); return e; }},
        {"report to nothing", [] { auto e = of(Envelope::kTsiReport); e.clear_in_reply_to(); return e; }},
        {"report of 257", [] { auto e = of(Envelope::kTsiReport); while (e.tsi_report().tsis_size() < 257) { *e.mutable_tsi_report()->add_tsis() = e.tsi_report().tsis(0); } return e; }},
        {"report VNI", [] { return of(Envelope::kTsiReport, 1 << 24); }},
        {"report state none", [] { auto e = of(Envelope::kTsiReport); e.mutable_tsi_report()->mutable_tsis(0)->clear_state(); return e; }},
        {"report MAC", [] { auto e = of(Envelope::kTsiReport); e.mutable_tsi_report()->mutable_tsis(0)->set_mac("1"); return e; }},
        {"report address", [] { auto e = of(Envelope::kTsiReport); e.mutable_tsi_report()->mutable_tsis(0)->add_addresses("1"); return e; }},
        {"slow down to nothing", [] { auto e = of(Envelope::kSlowDown); e.mutable_slow_down()->clear_messages_per_second(); return e; }},
    };
    expect_malformed(rows);
}

TEST(ParseEnvelope, AtTheLimits)
{
    const Bad rows[] = {
        {"nothing known", [] { auto e = of(Envelope::kDirectoryRequest); auto& m = *e.mutable_directory_request(); m.clear_nva_instance(); m.clear_known(); return e; }},
        {"4096 known", [] { auto e = of(Envelope::kDirectoryRequest); auto& m = *e.mutable_directory_request(); while (m.known_size() < 4096) { m.add_known()->set_version(1); } return e; }},
        {"step", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.set_from_version(7); m.set_version(8); return e; }},
        {"later part", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.clear_name(); m.clear_encap(); m.clear_cipher(); m.clear_groups(); return e; }},
        {"empty network", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.clear_members(); m.clear_members_gone(); m.clear_mappings(); m.clear_mappings_gone(); m.clear_groups(); return e; }},
        {"names", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); m.set_name(std::string(255, 'x')); m.mutable_members(0)->set_name(std::string(255, 'x')); return e; }},
        {"8 addresses", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); while (m.members(0).addresses_size() < 8) { m.mutable_members(0)->add_addresses(kHost6); } return e; }},
        {"16 of a mapping", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); while (m.mappings(0).addresses_size() < 16) { m.mutable_mappings(0)->add_addresses(kHost6); } return e; }},
        {"256 groups", [] { auto e = of(Envelope::kVnUpdate); auto& m = *e.mutable_vn_update(); while (m.groups_size() < 256) { m.add_groups(kGroup4); } return e; }},
        {"no address", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); m.clear_addresses(); return e; }},
        {"16 addresses", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); while (m.addresses_size() < 16) { m.add_addresses(kHost4); } return e; }},
        {"VNI 0", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); m.set_vni(0); return e; }},
        {"VNI 2^24 - 1", [] { auto e = of(Envelope::kMappingAnnounce); auto& m = *e.mutable_mapping_announce(); m.set_vni(0xffffff); return e; }},
        {"refusal", [] { auto e = of(Envelope::kGroupGrant); auto& m = *e.mutable_group_grant(); m.set_accepted(false); m.clear_sender(); m.clear_epoch(); m.set_reason(std::string(256, 'x')); return e; }},
        {"no epoch", [] { auto e = of(Envelope::kGroupRenewed); auto& m = *e.mutable_group_renewed(); m.set_accepted(false); m.clear_epoch(); m.set_reason(std::string(256, 'x')); return e; }},
        {"no senders", [] { auto e = of(Envelope::kGroupKey); auto& m = *e.mutable_group_key(); m.clear_senders(); return e; }},
        {"connect refused", [] { auto e = of(Envelope::kVnConnectResult); e.mutable_vn_connect_result()->Clear(); e.mutable_vn_connect_result()->set_reason(std::string(256, 'x')); return e; }},
        {"request any address", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->clear_addresses(); return e; }},
        {"request of 64", [] { auto e = of(Envelope::kTsiRequest); e.mutable_tsi_request()->set_tsi(std::string(64, 't')); e.mutable_tsi_request()->set_vm(std::string(64, 'v')); return e; }},
        {"nothing to report", [] { auto e = of(Envelope::kTsiReport); e.mutable_tsi_report()->clear_tsis(); return e; }},
        {"last SPI of pairs", [] { auto e = of(Envelope::kSaOffer); auto& m = *e.mutable_sa_offer(); m.set_spi(0x7fffffff); return e; }},
    };
    for (const auto& [what, make] : rows) {
        const auto parsed = reparse(make());
        EXPECT_TRUE(parsed.ok()) << what << ": " << parsed.error().text;
    }
}

TEST(ParseEnvelope, UnknownBodyIsRefusedUnknownFieldIsNot)
{
    // Field 59 of Envelope, a message of a later version.
    EXPECT_FALSE(parse_envelope(base::Bytes{0x08, 1, 0xda, 0x03, 0x00}).ok());
    // Ping with an unknown field inside.
    EXPECT_TRUE(parse_envelope(base::Bytes{0x08, 1, 0x2a, 2, 0x08, 7}).ok());
}

}  // namespace
}  // namespace nvo3::tests
