// SPDX-License-Identifier: Apache-2.0
//
// The messages of the SA socket (RUNDIR/nvo3-sa.sock), by which the agent gives
// the switch its SAs and hears what they meet.  Each message is
//
//     u32 size of what follows | u8 type | body
//
// in network byte order.  Both sides send their hello first; a message that
// cannot be decoded ends the connection.
// Place: lib/esp, used by the engine and by hvagent.  Threads: plain values; a
// SaMessageReader belongs to one thread.
#ifndef NVO3_ESP_SA_PROTOCOL_H
#define NVO3_ESP_SA_PROTOCOL_H

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "base/secret.h"
#include "esp/cipher.h"
#include "esp/drop_reason.h"
#include "esp/sa.h"

namespace nvo3::esp {

inline constexpr uint16_t kSaProtocolVersion = 2;
// Largest type and body; longer texts are cut when encoded.
inline constexpr size_t kSaMessageMax = 65536;
inline constexpr size_t kSaTextMax = 4096;
inline constexpr size_t kSaServedMax = 16000;       // networks of one host
inline constexpr const char* kSaSocketName = "nvo3-sa.sock";

// Why an SA is about to end (soft) or has ended (all others).
enum class ExpiryReason : uint8_t {
    soft_packets = 1,
    soft_bytes = 2,
    hard_packets = 3,
    hard_bytes = 4,
    hard_seconds = 5,
    removed = 6,        // by the switch: no port is for it any more
};
const char* to_string(ExpiryReason reason) noexcept;

namespace msg {

// ---- Agent to switch.  'request' comes back in Result. ----

struct AgentHello {
    uint16_t version = kSaProtocolVersion;
    uint64_t agent_instance = 0;        // another after each start
    bool operator==(const AgentHello&) const = default;
};

// Outbound: replaces the one of (remote, encap, VNI) at once.  Inbound: EEXIST
// if the SPI is taken.
struct InstallSa {
    uint32_t request = 0;
    SaConfig sa;
};

struct RemoveSa {
    uint32_t request = 0;
    SaDirection direction = SaDirection::inbound;
    base::Spi spi;
    base::IpAddress remote;
    base::Encap encap = base::Encap::geneve;
    base::Vni vni;
    bool operator==(const RemoveSa&) const = default;
};

// The SAs of the pair with 'remote'; those of groups go by RemoveSa.
struct RemovePeer {
    uint32_t request = 0;
    base::IpAddress remote;
    bool operator==(const RemovePeer&) const = default;
};

struct ListSas {
    uint32_t request = 0;
    bool operator==(const ListSas&) const = default;
};

// What the agent knows of a port, for Interface status; no answer.
struct PortStatus {
    std::string port;
    std::string state;      // up, connecting, waiting, error
    std::string peer;
    std::string error;      // a sentence; empty: none
    bool operator==(const PortStatus&) const = default;
};

// All networks that ports with nvo3_vnis=nva may carry, for the rule guard: takes
// the place of what was said before, and outlives the agent.  No answer.
struct ServedNetworks {
    std::vector<base::Vni> vnis;
    bool operator==(const ServedNetworks&) const = default;
};

// ---- Switch to agent ----

struct SwitchHello {
    uint16_t version = kSaProtocolVersion;
    uint64_t switch_instance = 0;       // another after each start: SAs are gone
    std::string aead;                   // library in use
    bool operator==(const SwitchHello&) const = default;
};

struct Result {
    uint32_t request = 0;
    uint32_t error = 0;     // errno, 0 = done
    std::string text;
    bool operator==(const Result&) const = default;
};

// One for each SA, then the Result of ListSas.
struct SaRecord {
    uint32_t request = 0;
    SaDirection direction = SaDirection::inbound;
    base::Spi spi;
    base::IpAddress remote;
    base::IpAddress local;
    base::IpAddress group;      // unspecified: of a pair
    base::Encap encap = base::Encap::geneve;
    base::Vni vni;
    Cipher cipher = Cipher::aes128gcm;
    bool esn = true;
    uint32_t generation = 0;
    uint64_t packets = 0;
    uint64_t bytes = 0;
    uint32_t age_seconds = 0;
    bool operator==(const SaRecord&) const = default;
};

// Packets wait for an outbound SA; once a second for each channel.
struct Acquire {
    base::IpAddress remote;
    base::IpAddress local;
    base::Encap encap = base::Encap::geneve;
    base::Vni vni;
    bool operator==(const Acquire&) const = default;
};

struct SaExpiring {
    SaDirection direction = SaDirection::inbound;
    base::Spi spi;
    base::IpAddress remote;
    base::IpAddress group;      // unspecified: of a pair
    base::Encap encap = base::Encap::geneve;
    base::Vni vni;
    ExpiryReason reason = ExpiryReason::soft_packets;
    bool operator==(const SaExpiring&) const = default;
};

// Refused packets; at most one a second for each peer and reason.
struct Alarm {
    DropReason reason{};
    base::IpAddress remote;     // outer source
    base::Vni vni_expected;     // of the SA; 0 without one
    base::Vni vni_seen;         // wrong_vni only, otherwise 0
    base::Spi spi;
    uint64_t count = 0;         // packets since the last alarm of this kind
    bool operator==(const Alarm&) const = default;
};

// The rule guard has refused OpenFlow requests; at most one a second for each
// bridge and reason.
struct GuardNotice {
    std::string bridge;
    std::string connection;     // "learn": none
    std::string reason;         // a word
    std::string text;           // what the last of them would have done
    bool refused = true;        // false: passed, the guard is told to log only
    uint64_t count = 0;         // since the last notice of this kind
    bool operator==(const GuardNotice&) const = default;
};

}  // namespace msg

using SaMessage =
    std::variant<msg::AgentHello, msg::InstallSa, msg::RemoveSa, msg::RemovePeer,
                 msg::ListSas, msg::PortStatus, msg::ServedNetworks, msg::SwitchHello,
                 msg::Result, msg::SaRecord, msg::Acquire, msg::SaExpiring, msg::Alarm,
                 msg::GuardNotice>;

// The whole message with its size.  It may hold a key, hence a Secret.
base::Secret encode(const SaMessage& message);

// 'data' is type and body.  An unknown type, a value out of range, octets too
// few or too many are errors (EPROTO); the text holds no octet of the message.
base::Result<SaMessage> decode(base::ByteView data);

// Cuts the octets of a stream into messages.  Its buffer is wiped as messages
// leave it.
class SaMessageReader {
public:
    SaMessageReader();

    // Where the next octets may be put, never empty after next() has said
    // "none yet".
    uint8_t* space() noexcept { return buffer_.data() + end_; }
    size_t space_size() const noexcept { return buffer_.size() - end_; }
    // So many were put there.
    void added(size_t size) noexcept;

    // The next message; none yet; or an error, after which the stream is of no
    // more use.
    base::Result<std::optional<SaMessage>> next();

private:
    base::Secret buffer_;
    size_t begin_ = 0;
    size_t end_ = 0;
};

}  // namespace nvo3::esp

#endif
