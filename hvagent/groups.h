// SPDX-License-Identifier: Apache-2.0
//
// Which SAs of groups live at this host, and what to do next about them.
//
// A pure state machine: events with a time go in, actions come out; no socket, no
// clock.  The NVA tells each epoch's secret and senders (GroupKey): an inbound SA is
// made of every sender but ourselves.  To send, this host asks for a sender id
// (GroupRegister), once for each epoch, start of the switch and end of an SA; what
// it was granted it uses when all receivers have had the time to install it, and
// never twice.  An inbound SA is installed once as well: where the replay window of one
// is lost, this host asks for another epoch (GroupRenew).  See control.proto and
// doc/decisions/0008.
//
// Place: owned by peers.cc, which carries the actions out.  Thread: the I/O thread.
#ifndef HVAGENT_GROUPS_H
#define HVAGENT_GROUPS_H

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/secret.h"
#include "control/authorization.h"
#include "control/group_keying.h"
#include "esp/sa.h"
#include "esp/sa_protocol.h"
#include "hvagent/directory.h"
#include "hvagent/keying.h"
#include "hvagent/view.h"

namespace nvo3::agent {

class Groups {
public:
    using SenderId = std::array<uint8_t, control::kSenderIdSize>;

    // ---- Actions, to be carried out in order ----
    struct Install {                // the result comes back by installed(token)
        uint64_t token;
        esp::SaConfig sa;
        std::string sender;         // for the audit log
    };
    struct Remove {
        SaDirection direction;
        base::Spi spi;
        base::IpAddress remote;
        base::Encap encap;
        base::Vni vni;
        std::string sender, reason; // for the audit log
    };
    struct Register {               // its request_id comes back by register_sent()
        GroupId group;
        uint32_t epoch;
    };
    struct Renew {                  // its request_id comes back by renew_sent()
        GroupId group;
    };
    struct Join {                   // the underlay group, on the interface that has 'local'
        base::IpAddress group, local;
    };
    struct Leave {
        base::IpAddress group;
    };
    struct Refused {                // for the audit log
        GroupId group;
        std::string reason;
    };
    struct Note {                   // for the log
        GroupId group;
        std::string text;
    };
    using Action = std::variant<Install, Remove, Register, Renew, Join, Leave, Refused, Note>;

    // Takes the actions that the calls since the last take() have produced.
    std::vector<Action> take();

    // -- Which networks there are, who their members and which our addresses are.
    // Groups and members that are gone lose their SAs at once, secrets are wiped.
    // 'complete': what the switch has of other groups goes too.
    void configure(const DirectoryView&, const std::string& own_name, TimePoint now, bool complete);

    // -- The switch.  up(): what lives there, pairs and groups; others than groups
    // are left alone.  'instance': another number is another start of it.
    void switch_up(const std::vector<esp::msg::SaRecord>&, uint64_t instance, TimePoint now);
    void switch_down();
    void installed(uint64_t token, int error, const std::string& text, TimePoint now);
    void expiring(const esp::msg::SaExpiring&, TimePoint now);

    // -- The NVA.
    void session_up(TimePoint now);
    void session_down();
    void register_sent(const GroupId&, uint64_t request_id);
    void on_key(const control::proto::GroupKey&, TimePoint now);
    void on_grant(uint64_t in_reply_to, const control::proto::GroupGrant&, TimePoint now);
    void renew_sent(const GroupId&, uint64_t request_id);
    void on_renewed(uint64_t in_reply_to, const control::proto::GroupRenewed&, TimePoint now);

    // -- Time.
    void tick(TimePoint now);
    std::optional<TimePoint> next_deadline() const;

    // Our address that packets to the group come from, if the switch has an SA for
    // them.
    std::optional<base::IpAddress> sending_from(const GroupId&) const;
    std::vector<GroupView> view() const;

private:
    struct Sender {
        std::string name;
        base::IpAddress address;
        SenderId id{};
        base::Spi spi{0};
        bool operator==(const Sender&) const = default;
    };
    struct Receiver {               // an inbound SA
        Sender sender;
        uint32_t epoch = 0;
        bool installed = false;     // the switch has it
        uint64_t token = 0;         // of the Install under way
        std::optional<TimePoint> retry_at, remove_at;
        unsigned failures = 0;
    };
    struct Outbound {
        Sender sender;
        uint32_t epoch = 0;
        std::optional<TimePoint> remove_at;     // when no receiver has its epoch any more
    };
    struct Told {                   // parts of a GroupKey
        uint32_t epoch = 0;
        std::vector<Sender> senders;
    };
    struct Group {
        base::Encap encap{};
        std::vector<base::IpAddress> locals;    // our underlay addresses of its IP version, at least one
        // The key of the present epoch; of former ones only the switch has any.
        uint32_t epoch = 0;
        base::Secret secret;
        esp::Cipher cipher{};
        std::chrono::milliseconds activate_after{}, remove_after{};
        std::optional<Told> told;
        std::map<base::Spi, Receiver> receivers;
        // Replay windows.  In this epoch and later ones the present start of the switch has had
        // no inbound SA but those of 'taken', and no former start any; 0: that is not known.
        uint32_t fresh_from = 0;
        std::set<SenderId> taken;               // of this epoch: installed once, never again
        uint32_t renewed = 0;                   // the epoch that the NVA has begun for us
        bool renewing = false;
        uint64_t renew_id = 0;                  // of the GroupRenew under way; 0: not sent yet
        std::optional<TimePoint> renew_at;      // when to try again, or to give up waiting
        // Sending.
        std::set<SenderId> used;                // of this epoch: never again
        std::optional<Outbound> granted;        // to be installed at activate_at
        TimePoint activate_at{};
        std::optional<Outbound> installing;     // the switch was given it
        uint64_t token = 0;                     // of its Install
        std::optional<Outbound> outbound;       // the switch has it
        bool outbound_ends = false;             // it comes to its end: ask for another
        bool registering = false;
        uint64_t request_id = 0;                // of the GroupRegister under way; 0: not sent yet
        std::optional<TimePoint> register_at;   // when to try again, or to give up waiting
        std::optional<TimePoint> unnamed_since; // the NVA does not name our SA among the senders
        std::string error;
    };
    struct Found {                  // what the switch had when it came up
        esp::msg::SaRecord sa;
        std::optional<TimePoint> remove_at;     // when nobody can claim it any more
    };

    Group* find(const GroupId&);
    base::Result<Sender> read_sender(const control::proto::GroupSender&, const GroupId&) const;
    void begin_epoch(const GroupId&, Group&, const control::proto::GroupKey&, TimePoint now);
    void set_senders(const GroupId&, Group&, const std::vector<Sender>&, TimePoint now);
    void add_receiver(const GroupId&, Group&, const Sender&, TimePoint now);
    bool claim_found(const GroupId&, Group&, const Receiver&);
    bool may_install(const Group&, const Receiver&) const;
    void install_receiver(const GroupId&, Group&, Receiver&, TimePoint now);
    void receiver_installed(const GroupId&, Receiver&, int error, const std::string& text, TimePoint now);
    void sender_installed(const GroupId&, Group&, int error, const std::string& text, TimePoint now);
    base::Result<esp::SaConfig> make_sa(const GroupId&, const Group&, const Sender&, SaDirection) const;
    void activate(const GroupId&, Group&, TimePoint now);
    bool needs_grant(const Group&, TimePoint now) const;
    void register_if_needed(const GroupId&, Group&, TimePoint now);
    void forget_register(Group&);
    bool needs_renewal(const Group&) const;
    void renew_if_needed(const GroupId&, Group&, TimePoint now);
    void forget_renew(Group&);
    void remove(const GroupId&, const Group&, SaDirection, const Sender&, const std::string& reason);
    void remove_sending(const GroupId&, Group&, const std::string& reason);
    void remove_all(const GroupId&, Group&, const std::string& reason);
    void remove_found(const Found&, const std::string& reason);
    void rebuild(Group&);
    void limit_found(const GroupId&, const Group&, TimePoint now);
    void drop_found_of_unknown_groups(bool complete);
    void follow_membership();
    void tick_group(const GroupId&, Group&, TimePoint now);
    void note(const GroupId&, std::string text);
    void refuse(const GroupId&, std::string reason);

    std::vector<Action> actions_;
    std::map<GroupId, Group> groups_;
    std::map<uint64_t, std::pair<GroupId, base::Spi>> tokens_;      // of pending Install
    std::map<base::IpAddress, base::IpAddress> joined_;             // group, our address
    std::vector<Found> found_;                                      // that nobody has claimed yet
    std::map<GroupId, uint32_t> found_epochs_;                      // the last one with an inbound SA in the switch
    uint64_t switch_instance_ = 0;                                  // the last one that was up
    std::map<base::Vni, std::set<std::string>> members_;
    std::string own_name_;
    bool switch_up_ = false;
    bool session_up_ = false;
    uint64_t next_token_ = 1;
};

}  // namespace nvo3::agent
#endif
