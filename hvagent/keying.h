// SPDX-License-Identifier: Apache-2.0
//
// Which SAs live between this host and one peer, and what to do next about them.
//
// A pure state machine: events with a time go in, actions come out; no socket,
// no clock, no key.  For each channel (encapsulation, VNI) both directions run
// apart.  The receiver leads: it installs an inbound SA, offers it, the sender
// installs the outbound and answers, the receiver then lets the old one go after
// a grace.  Messages are those of control.proto.
//
// Place: hvagent; each Peer owns one and carries the actions out.  Thread: the
// I/O thread.
#ifndef HVAGENT_KEYING_H
#define HVAGENT_KEYING_H

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "esp/cipher.h"
#include "esp/sa.h"
#include "hvagent/config.h"

namespace nvo3::agent {

using TimePoint = std::chrono::steady_clock::time_point;
using SessionId = uint64_t;     // a handle of peers.cc, never 0
using Nonce = std::array<uint8_t, 16>;
using esp::SaDirection;
using esp::SaLimits;

// What both ends must know to derive and install the same SA.
struct SaParameters {
    ChannelId channel;
    base::Spi spi{0};
    esp::Cipher cipher{};
    uint32_t generation = 0;
    Nonce nonce{};
    uint32_t replay_window = 0;     // of the receiver; meaningless outbound
    bool operator==(const SaParameters&) const = default;
};

struct KeyingPolicy {
    std::chrono::seconds rekey_after{3600};
    uint64_t rekey_bytes = 0;       // 0: the cipher's own limit
};
// Of an SA for sending; one for receiving has the hard limits only, as rekey is
// then up to the sender (bytes, packets) or to our clock.
SaLimits limits_for(SaDirection, const KeyingPolicy&);

struct ChannelConfig {
    esp::Cipher cipher{};
    uint32_t replay_window = 1024;
    bool operator==(const ChannelConfig&) const = default;
};

enum class RequestReason { acquire, rekey, lost };

// ---- Actions, to be carried out in order ----

// Derives the key from 'session' and installs; the result comes back by
// installed(token).
struct InstallSa {
    uint64_t token;
    SessionId session;
    SaDirection direction;
    SaParameters sa;
    SaLimits limits;
};
struct RemoveSa {
    SaDirection direction;
    base::Spi spi;
    ChannelId channel;
    std::string reason;
};
// Messages to the peer.  'offer' names the offer (SaOffer.request_id) that
// peers.cc assigned when it sent it: reported back by offer_sent().
struct SendOffer {
    SessionId session;
    uint64_t token;
    SaParameters sa;
};
struct SendAnswer {
    SessionId session;
    uint64_t offer;
    bool accepted;
    std::string reason;
};
struct SendRequest {
    SessionId session;
    ChannelId channel;
    RequestReason reason;
};
struct SendDelete {
    SessionId session;
    ChannelId channel;
    base::Spi spi;      // 0: all of the channel
    std::string reason;
};
struct Refused {        // for the audit log
    ChannelId channel;
    std::string reason;
};
struct Note {           // for the log
    ChannelId channel;
    std::string text;
};
using Action = std::variant<InstallSa, RemoveSa, SendOffer, SendAnswer, SendRequest, SendDelete, Refused, Note>;

// ---- State, for status and sa/show ----

struct SaView {
    SaDirection direction{};
    SaParameters sa;
    TimePoint installed;
    const char* state = "";     // "current", "offered", "replaced"
};
struct ChannelView {
    ChannelId id;
    ChannelConfig config;
    bool has_inbound = false, has_outbound = false;
    size_t inbound_count = 0;   // with those in their grace
    std::string error;          // why the peer does not send to us; empty: none
    std::string send_error;     // why we do not send to the peer
    std::vector<SaView> sas;
};

// Of a channel in short.
struct ChannelHealth {
    bool works = false;             // both ways
    const std::string* error;       // as in ChannelView; never null
    const std::string* send_error;
};

class Keying {
public:
    // 'random' fills with unpredictable octets (SPIs, nonces, jitter).
    using Random = std::function<void(uint8_t*, size_t)>;

    explicit Keying(Random random) : random_(std::move(random)) {}

    // Takes the actions that the calls since the last take() have produced.
    std::vector<Action> take();

    // -- Configuration.  A channel that disappears loses its SAs on both sides,
    // so does one whose cipher changes.
    void configure(const std::map<ChannelId, ChannelConfig>&, const KeyingPolicy&, TimePoint now);

    // -- The switch.  up(): the SAs that live there, found by ListSas; call down()
    // between two of them.
    struct LiveSa {
        SaDirection direction{};
        ChannelId channel;
        base::Spi spi{0};
        esp::Cipher cipher{};
        uint32_t generation = 0;
        std::chrono::seconds age{};
    };
    void switch_up(const std::vector<LiveSa>&, TimePoint now);
    // More that the switch has, of channels that were configured after it came up.
    void adopt(const std::vector<LiveSa>&, TimePoint now);
    void switch_down();
    void installed(uint64_t token, int error, const std::string& text, TimePoint now);
    void acquire(const ChannelId&, TimePoint now);
    void expiring(SaDirection, const ChannelId&, base::Spi, bool hard, TimePoint now);

    // -- The session.  up() again with another id replaces it: all inbound SAs are
    // offered anew from its exporter secret.
    void session_up(SessionId, TimePoint now);
    // Another session to the same process takes over from one that it crossed.
    void session_moved(SessionId, TimePoint now);
    void session_down(SessionId, TimePoint now);

    // -- Messages of the peer.
    void offer_sent(uint64_t token, uint64_t request_id);
    void on_offer(SessionId, uint64_t request_id, const SaParameters&, bool esn, TimePoint now);
    void on_answer(SessionId, uint64_t request_id, bool accepted, const std::string& reason, TimePoint now);
    void on_request(SessionId, const ChannelId&, RequestReason, TimePoint now);
    void on_delete(SessionId, const ChannelId&, base::Spi, const std::string& reason, TimePoint now);

    // -- The operator.
    void rekey(TimePoint now);
    // Everything goes, on both sides; nothing is agreed until the next session_up().
    void remove_all(const std::string& reason);

    // -- Time.
    void tick(TimePoint now);
    std::optional<TimePoint> next_deadline() const;

    bool has_channel(const ChannelId& id) const { return channels_.contains(id); }
    std::vector<ChannelView> view() const;
    // Valid until the next event; none: no such channel.
    std::optional<ChannelHealth> health(const ChannelId&) const;
    size_t sa_count() const;
    // Inbound SAs that took the place of one.
    uint64_t rekeys() const { return rekeys_; }

private:
    struct Inbound {
        SaParameters sa;
        TimePoint installed;
        TimePoint rekey_at;
    };
    struct Replaced {
        SaParameters sa;
        TimePoint installed;
        std::optional<TimePoint> remove_at;     // none: until the next answer
    };
    struct Offer {
        uint64_t token = 0;
        uint64_t request_id = 0;    // 0: the switch has not confirmed yet
        SessionId session = 0;
        SaParameters sa;
        TimePoint started;
        TimePoint deadline;
    };
    struct Outbound {
        SaParameters sa;
        TimePoint installed;
    };
    struct Accepting {      // an offer of the peer whose SA the switch is installing
        SessionId session = 0;
        uint64_t request_id = 0;
        SaParameters sa;
    };
    struct Channel {
        ChannelConfig config;
        // Receiving.
        std::optional<Inbound> current;
        std::optional<Offer> offer;
        std::vector<Replaced> replaced;
        uint32_t generation = 0;                // of our last offer
        std::optional<TimePoint> offer_at;      // when to (re)try
        unsigned failures = 0;
        TimePoint last_offer{};
        // Sending.
        std::optional<Outbound> outbound;
        std::map<uint64_t, Accepting> accepting;    // by token
        uint32_t peer_generation = 0;           // of the last offer taken
        std::optional<TimePoint> request_at;
        unsigned requests = 0;
        TimePoint last_request{};
        // For people.
        std::string error;                      // of our offers
        std::string send_error;                 // of the peer's
    };

    Channel* find(const ChannelId&);
    bool can_agree() const { return session_ != 0 && switch_up_; }
    void adopt(const LiveSa&, TimePoint now);
    void start(const ChannelId&, Channel&, TimePoint now);
    void offer(const ChannelId&, Channel&, TimePoint now);
    void offer_soon(Channel&, TimePoint now);
    void drop_offer(Channel&, bool keep_sa);
    Offer take_offer(Channel&);
    void drop_accepting(Channel&);
    void offer_failed(const ChannelId&, Channel&, const std::string& why, TimePoint now);
    void request(const ChannelId&, Channel&, RequestReason, TimePoint now);
    void refuse_offer(SessionId, uint64_t request_id, const ChannelId&, const std::string& reason, bool audit);
    void inbound_installed(const ChannelId&, Channel&, int error, const std::string& text, TimePoint now);
    void outbound_installed(const ChannelId&, Channel&, uint64_t token, int error, const std::string& text, TimePoint now);
    void tick_channel(const ChannelId&, Channel&, TimePoint now);
    void remove_sas(Channel&, const std::string& reason);
    void tell_delete(const ChannelId&, const std::string& reason);
    void remove(SaDirection, const SaParameters&, const std::string& reason);
    void bound_replaced(Channel&);
    TimePoint rekey_time(TimePoint from);
    base::Spi new_spi();
    void note(const ChannelId&, std::string text);

    Random random_;
    uint64_t rekeys_ = 0;
    std::vector<Action> actions_;
    std::map<ChannelId, Channel> channels_;
    std::map<uint64_t, ChannelId> tokens_;                              // of pending InstallSa
    std::map<std::pair<SessionId, uint64_t>, ChannelId> offers_;        // of pending offers
    size_t offers_under_way_ = 0;
    KeyingPolicy policy_;
    bool switch_up_ = false;
    SessionId session_ = 0;     // newest; 0: none
    std::string barred_;        // why nothing is agreed since remove_all(); empty: it is
    uint64_t next_token_ = 1;
};

}  // namespace nvo3::agent
#endif
