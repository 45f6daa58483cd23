// SPDX-License-Identifier: Apache-2.0
//
// What hypervisors have said of their tenant system interfaces (TSIs): the external NVE's
// half of the state machine that control.proto draws; doc/split-nve.md has it as a table.
//
// A pure state machine: requests, sessions and a time go in, answers and changes come
// out.  Of one TSI several hypervisors may have a claim while it moves between them,
// and one of them at most an active one.
//
// Place: owned by nve_side.cc.  Thread: the I/O thread.
#ifndef HVAGENT_SPLIT_TSI_TABLE_H
#define HVAGENT_SPLIT_TSI_TABLE_H

#include <chrono>
#include <compare>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/mac_address.h"
#include "control/authorization.h"

namespace nvo3::agent {

using control::proto::TsiAction;
using control::proto::TsiState;

const char* to_string(TsiState);        // "none", "associated", "active"
const char* to_string(TsiAction);       // "associate"

// A TsiRequest of control.proto, checked.
struct TsiAsked {
    TsiAction action = control::proto::TSI_ACTION_UNSPECIFIED;
    base::Vni vni{0};
    std::string tsi;
    base::MacAddress mac;
    std::vector<base::IpAddress> addresses;
    bool migration = false;
    std::string vm;
};

// One hypervisor's claim to a TSI.
struct TsiClaim {
    std::string hypervisor;
    base::Vni vni{0};
    std::string tsi, vm;
    base::MacAddress mac;
    std::vector<base::IpAddress> addresses;     // that it may use, sorted; empty: any
    std::vector<base::IpAddress> active;        // that it uses, sorted; empty: all of those
    TsiState state = control::proto::TSI_NONE;
    bool away = false;                          // its hypervisor has no session
    const std::vector<base::IpAddress>& in_use() const { return active.empty() ? addresses : active; }
    bool operator==(const TsiClaim&) const = default;
};

class TsiTable {
public:
    using TimePoint = std::chrono::steady_clock::time_point;

    // What is kept of a hypervisor that is away, or has not told it again.
    static constexpr std::chrono::seconds kKeep{60};
    // How long an activation waits for the present holder to give way, or, if that is away, to
    // come back: a hypervisor that reconnects loses nothing.
    static constexpr std::chrono::seconds kGiveWay{5};
    // How long one waits for the NVA's word; then it counts, and that comes later.
    static constexpr std::chrono::seconds kNvaAnswers{3};
    static constexpr size_t kMaxOfHypervisor = 4096;

    struct Answer {
        std::string hypervisor;
        uint64_t request_id = 0;
        bool accepted = false;
        std::string reason;
        TsiState state = control::proto::TSI_NONE;
        TsiAsked asked;
    };
    // A claim has another state.
    struct Change {
        TsiClaim claim;             // as it is now; state none: it is gone
        TsiState before = control::proto::TSI_NONE;
        std::string reason;         // a sentence; empty: its hypervisor asked for it
        bool tell = false;          // the hypervisor does not know
    };
    struct Actions {
        std::vector<Answer> answers;
        std::vector<Change> changes;
        bool empty() const { return answers.empty() && changes.empty(); }
    };
    // What the calls since the last take() have brought.  A claim may have changed
    // without: in addresses, or as its hypervisor went away.
    Actions take() { return std::exchange(actions_, {}); }

    // A hypervisor by its name.  It comes (again): what is kept of it must be told again.
    void session_up(const std::string& hypervisor, TimePoint now);
    void session_down(const std::string& hypervisor, TimePoint now);
    // It is no hypervisor of this NVE any more.
    void forget(const std::string& hypervisor, const std::string& reason);

    // Requests of a hypervisor that is up, about a network that it is connected to.
    void request(const std::string& hypervisor, uint64_t request_id, const TsiAsked&, TimePoint now);
    // It has told all that it has.
    void sync_done(const std::string& hypervisor);
    // It leaves the network, or ('reason') must.
    void leave(const std::string& hypervisor, base::Vni, const std::string& reason);

    // VM ports of this host: theirs is a MAC, whoever else had it.
    using LocalMacs = std::map<std::pair<base::Vni, base::MacAddress>, std::string>;    // to the port
    void set_local(LocalMacs);

    // The NVA says of each active TSI whether it is here: an activation is answered when it has.
    // 'answers': it can be asked now; without it an activation counts at once.
    void set_nva(bool answers);
    // Its word about the TSI that has the MAC and is active; a 'refusal' ends that.
    void nva_says(base::Vni, const base::MacAddress&, const std::optional<std::string>& refusal);

    void tick(TimePoint now);
    std::optional<TimePoint> next_deadline() const;

    // All claims, by network and TSI; of one hypervisor.
    std::vector<TsiClaim> claims() const;
    std::vector<TsiClaim> claims(const std::string& hypervisor) const;

private:
    struct Key {
        base::Vni vni;
        std::string tsi;
        auto operator<=>(const Key&) const = default;
    };
    struct Claim : TsiClaim {
        bool told = false;                      // in this session
        bool confirmed = false;                 // since it is active, by the NVA if there is one
        std::optional<TimePoint> expires_at;    // unless it is told (again)
        bool gives_way = false;                 // its hypervisor has been away for kGiveWay
    };
    struct Waiting {
        std::string hypervisor;
        uint64_t request_id;
        TsiAsked asked;
        TimePoint until;
        bool for_nva = false;                   // else for the present holder to give way
    };
    using Claims = std::map<std::string, Claim>;        // by hypervisor

    Claim* find(const std::string& hypervisor, const TsiAsked&);
    // The active claim of another.
    const Claim* holder(const std::string& other_than, const Key&) const;
    std::string associate(const std::string& hypervisor, const TsiAsked&);
    // Null: it waits.
    std::optional<std::string> activate(const std::string& hypervisor, const TsiAsked&);
    std::string deactivate(const std::string& hypervisor, const TsiAsked&);
    std::string disassociate(const std::string& hypervisor, const TsiAsked&);
    std::string check_mac(const std::string& hypervisor, const TsiAsked&) const;
    void set_state(Claim&, TsiState, const std::string& reason = "");
    void remove(const Key&, const std::string& hypervisor, const std::string& reason, bool tell);
    template <class Which>
    void remove_if(Which which, const std::string& reason, bool tell);
    void answer(const std::string& hypervisor, uint64_t request_id, const TsiAsked&, const std::string& refusal);
    bool waits_for_nva(const std::string& hypervisor, const TsiAsked&);
    static void mark_away(Claims&, TimePoint now);
    // Whoever waits may have been given way.
    void settle();

    std::map<Key, Claims> tsis_;
    std::map<std::pair<base::Vni, base::MacAddress>, std::string> macs_;        // to the TSI
    std::map<std::string, size_t> counts_;      // of claims, by hypervisor
    std::set<std::string> up_;
    std::list<Waiting> waiting_;
    LocalMacs local_;
    bool nva_answers_ = false;
    Actions actions_;
};

}  // namespace nvo3::agent
#endif
