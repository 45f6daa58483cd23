// SPDX-License-Identifier: Apache-2.0
//
// What the two files of check_envelope() share, see authorization.h.
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

// The messages between an NVE and an NVA.
base::Status check_message(const proto::DirectoryRequest& request);
base::Status check_message(const proto::VnUpdate& update);
base::Status check_message(const proto::VnGone& gone);
base::Status check_message(const proto::MappingAnnounce& announce);
base::Status check_message(const proto::MappingResult& result, uint64_t in_reply_to);
base::Status check_message(const proto::GroupRegister& request);
base::Status check_message(const proto::GroupGrant& grant, uint64_t in_reply_to);
base::Status check_message(const proto::GroupKey& key);

}  // namespace nvo3::control

#endif
