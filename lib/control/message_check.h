// SPDX-License-Identifier: Apache-2.0
//
// What the files of check_envelope() share, see authorization.h.
// Place: lib/control, not for others.  Threads: pure functions.
#ifndef NVO3_CONTROL_MESSAGE_CHECK_H
#define NVO3_CONTROL_MESSAGE_CHECK_H

#include <string>

#include "control/authorization.h"

namespace nvo3::control {

constexpr size_t kMaxText = 256;
constexpr size_t kMaxName = 255;

// "the peer sent <what>".
base::Error malformed(const std::string& what);

// Parts of messages.  'in' starts each sentence: "a VnUpdate".
constexpr int kMaxInterfaceAddresses = 16;
inline base::ByteView
view(const std::string& octets)
{
    return {reinterpret_cast<const uint8_t*>(octets.data()), octets.size()};
}
bool is_name(const std::string& name);
bool is_cipher(uint32_t number);
// One address has one form: IPv4 in 16 octets is none.
bool is_address(const std::string& octets);
// An address of one host.
bool is_unicast(const std::string& octets);
base::Status check_vni(uint32_t vni, const std::string& in);
base::Status check_reason(const std::string& reason, const std::string& in);
bool is_mac(const std::string& octets);
// The addresses of an interface of a tenant system.
base::Status check_interface(const std::string& mac, const google::protobuf::RepeatedPtrField<std::string>& addresses,
                             const std::string& in);

// The messages between an NVE and an NVA.
base::Status check_message(const proto::DirectoryRequest& request);
base::Status check_message(const proto::VnUpdate& update);
base::Status check_message(const proto::VnGone& gone);
base::Status check_message(const proto::PolicyUpdate& update);
base::Status check_message(const proto::MappingAnnounce& announce);
base::Status check_message(const proto::MappingResult& result, uint64_t in_reply_to);
base::Status check_message(const proto::GroupRegister& request);
base::Status check_message(const proto::GroupRenew& request);
base::Status check_message(const proto::GroupRenewed& renewed, uint64_t in_reply_to);
base::Status check_message(const proto::GroupGrant& grant, uint64_t in_reply_to);
base::Status check_message(const proto::GroupKey& key);

// The messages between a hypervisor and its external NVE.
base::Status check_message(const proto::VnConnect& request);
base::Status check_message(const proto::VnConnectResult& result, uint64_t in_reply_to);
base::Status check_message(const proto::VnDisconnect& request);
base::Status check_message(const proto::TsiRequest& request);
base::Status check_message(const proto::TsiResult& result, uint64_t in_reply_to);
base::Status check_message(const proto::TsiRemoved& removed);
base::Status check_message(const proto::TsiReport& report, uint64_t in_reply_to);
base::Status check_message(const proto::SlowDown& request);

}  // namespace nvo3::control

#endif
