// SPDX-License-Identifier: Apache-2.0
//
// What the NVA is told of this host's tenant system interfaces.
//
// A pure state machine: interfaces, directory and answers go in, announcements and
// withdrawals come out.  All are told again after a reconnect, and what the NVA has
// of this host that is not here (any more) is withdrawn.
//
// Place: owned by nva_client.cc.  Thread: the I/O thread.
#ifndef HVAGENT_ANNOUNCER_H
#define HVAGENT_ANNOUNCER_H

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/authorization.h"
#include "hvagent/directory.h"
#include "hvagent/tsi.h"
#include "hvagent/view.h"

namespace nvo3::agent {

class Announcer {
public:
    void set_tsis(const std::vector<Tsi>&);
    void set_directory(std::shared_ptr<const DirectoryView>, const std::string& own_name);
    void session_up();
    void session_down();
    // All networks were told in this session: what is not in them is not known.
    void ready();

    // What is to be sent now; each is reported back by sent().
    std::vector<control::proto::MappingAnnounce> take(TimePoint now);
    void sent(const control::proto::MappingAnnounce&, uint64_t request_id);

    // What was refused, for log and audit.
    struct Refused {
        std::string port;
        base::Vni vni;
        base::MacAddress mac;
        std::string reason;
    };
    std::optional<Refused> on_result(uint64_t in_reply_to, const control::proto::MappingResult&, TimePoint now);
    std::optional<TimePoint> next_deadline() const;

    // What the NVA says of an interface, if it has in this session.
    struct Answer {
        std::string reason;         // empty: accepted
        bool for_now = false;       // it may be had soon: the holder of the MAC is away
    };
    struct Key {
        base::Vni vni;
        base::MacAddress mac;
        auto operator<=>(const Key&) const = default;
    };
    std::map<Key, Answer> answers() const;
    std::map<std::string, std::string> refused() const;     // by port, with the reason
    std::vector<TsiView> view() const;                      // by port

private:
    enum class State { untold, asked, accepted, refused };
    struct Entry {
        std::string port;
        std::vector<base::IpAddress> addresses;
        State state = State::untold;
        std::string reason;
        std::string holder;     // who has the MAC, when it was refused
        unsigned refusals = 0;  // since it was accepted
        bool for_now = false;   // the last refusal was
        std::optional<TimePoint> retry_at;
    };

    void match();
    // Of one that the NVA has not accepted; empty: nothing speaks against its packets.
    std::string why_closed(const Key&, const Entry&) const;
    std::string holder(const Key&) const;

    std::vector<Tsi> tsis_;
    std::shared_ptr<const DirectoryView> directory_ = std::make_shared<const DirectoryView>();
    std::string own_name_;
    bool session_up_ = false, ready_ = false;
    std::map<Key, Entry> entries_;          // of networks that this host serves
    std::set<Key> to_withdraw_;             // that were told and are gone
    std::set<Key> withdrawn_;               // in this session
    std::map<uint64_t, Key> asked_;         // by request_id
    std::map<std::string, std::string> unserved_;   // ports, and why nothing is told of them
};

}  // namespace nvo3::agent
#endif
