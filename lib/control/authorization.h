// SPDX-License-Identifier: Apache-2.0
//
// One table for all: which role may send which message to which role on which
// channel, and whether only about virtual networks that the two share (REQ 4, REQ 19).  Asked for every
// message before its handler sees it.  A role or message added to the protocol
// is a row here; what has no row is refused.
// Place: lib/control, called by session.  Threads: pure functions.
#ifndef NVO3_CONTROL_AUTHORIZATION_H
#define NVO3_CONTROL_AUTHORIZATION_H

#include <functional>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "control/control.pb.h"
#include "control/identity.h"

namespace nvo3::control {

using proto::Envelope;

enum class Rule : uint8_t {
    deny,
    allow,
    allow_for_vn,  // only about a virtual network that the predicate allows
};

using proto::Channel;

// What 'sender' may do towards 'receiver' with this kind of message.
Rule authorization_rule(Role receiver, Role sender, Channel channel, Envelope::BodyCase message) noexcept;

// Whether two roles talk to each other at all, when 'initiator' connects to 'acceptor'.
bool roles_may_talk(Role initiator, Role acceptor) noexcept;
// Whether the two say in their Hellos what the session is for.
bool has_channels(Role a, Role b) noexcept;

// Messages with an NVA or about a TSI name a network by its VNI alone: no encapsulation.
using VnPredicate = std::function<bool(base::Vni, std::optional<base::Encap>)>;

enum class Decision : uint8_t {
    allowed,
    refused_role,  // the role may not send this: end the session
    refused_vn,    // not about this network: do not adopt, report
};

// 'message' has passed parse_envelope().
Decision authorize(Role receiver, Role sender, Channel channel, const Envelope& message,
                   const VnPredicate& vn_allowed);

// "control", "data"; "" for CHANNEL_UNSPECIFIED.
const char* to_string(Channel channel) noexcept;

// Every field against control.proto: numbers in range, sizes, texts bounded,
// exactly one known body.  EPROTO with a sentence otherwise.  (message_check.cc)
base::Status check_envelope(const Envelope& envelope);

// Parses and checks a frame.
base::Result<Envelope> parse_envelope(base::ByteView frame);

// "SaOffer"; for logs and audit.
const char* message_name(Envelope::BodyCase message) noexcept;

}  // namespace nvo3::control

#endif
