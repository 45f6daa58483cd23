// SPDX-License-Identifier: Apache-2.0
//
// The hypervisor's half of the state machines of RFC 8394: what the external NVE shall
// have of this host's interfaces and networks, what it has, and the requests that
// lead from the one to the other.  doc/split-nve.md has the tables.
//
// A pure state machine: wishes, answers and time go in.  It says of what there is news
// (news(), for the throttle), and at a turn makes the message of the newest state.
//
// After a (re)connect the NVE is asked what it has (TsiQuery); then each network and
// interface is told, also those that it has already, and TsiSyncDone ends that.
//
// Place: owned by hypervisor.cc.  Thread: the I/O thread.
#ifndef HVAGENT_SPLIT_TSI_WISHES_H
#define HVAGENT_SPLIT_TSI_WISHES_H

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "control/authorization.h"
#include "esp/cipher.h"
#include "hvagent/split/wish_list.h"
#include "hvagent/view.h"

namespace nvo3::agent {

// A network that the NVE has let this host into.
struct ConnectedVn {
    std::string name;
    base::Vni vni{0};
    base::Encap encap{};
    esp::Cipher cipher{};
    bool operator==(const ConnectedVn&) const = default;
};

class TsiWishes {
public:
    // All that there are.  'known': libvirt has told its VMs, or there is none; before,
    // the NVE is not told that there is no more.
    void set_wishes(const std::vector<TsiWish>&, bool known);

    // What was refused of a VM is asked for without delay.
    void ask_again(const std::string& vm);

    // A session begins, with an NVE that wants this cipher of data.  'same': it is the NVE
    // of the session before, whose networks stay until it says otherwise.
    void session_up(bool same, esp::Cipher cipher);
    void session_down();
    // What the NVE of the session before has granted is void.
    void forget_networks();

    // Of what there is something to tell, once for each change: 'vm' is empty for a
    // network.  The caller gives turns.
    struct News {
        std::string vm, what;
    };
    std::vector<News> news(TimePoint now);
    // The message that tells the newest state of 'what'; nothing if there is none to tell.
    std::optional<control::Envelope> take(const std::string& what, TimePoint now);
    // What take() gave has this request_id.
    void sent(const std::string& what, uint64_t request_id);
    // TsiQuery and TsiSyncDone, when it is time for them; the throttle has no say.
    std::optional<control::Envelope> take_sync();

    // Answers and what the NVE says by itself.  A refusal, or a removal, is returned for
    // log and audit, once for each reason.
    struct Refused {
        std::string vn, vm, tsi, reason;        // 'tsi' empty: of the network
    };
    std::optional<Refused> on_vn_result(uint64_t in_reply_to, const control::proto::VnConnectResult&, TimePoint now);
    std::optional<Refused> on_result(uint64_t in_reply_to, const control::proto::TsiResult&, TimePoint now);
    std::optional<Refused> on_removed(const control::proto::TsiRemoved&, TimePoint now);
    std::optional<Refused> on_disconnect(const control::proto::VnDisconnect&, TimePoint now);
    void on_report(const control::proto::TsiReport&);

    // When news() has something again that it has not now.
    std::optional<TimePoint> next_deadline() const;

    // All that the present NVE has been told of was answered.
    bool in_sync() const { return synced_; }
    esp::Cipher cipher() const { return cipher_; }
    std::vector<ConnectedVn> networks() const;          // by VNI
    bool has_network(base::Vni) const;
    // Ports that must not carry traffic, and why.
    std::map<std::string, std::string> closed_ports() const;
    // Whether the NVE has reserved all interfaces of a VM; an error if it has refused one.
    // Nothing: not all is answered.
    std::optional<base::Status> reserved(const std::string& vm) const;
    std::vector<TsiView> view() const;

private:
    using State = control::proto::TsiState;

    struct Failure {
        std::string reason;             // empty: none
        unsigned attempts = 0;
        std::optional<TimePoint> retry_at;
    };
    struct Network {
        bool wanted = true;
        std::optional<ConnectedVn> connected;
        bool told = false;              // in this session
        std::optional<TimePoint> asked_at;
        bool unfit = false;             // its cipher is not ours: to be left again
        Failure failure;
        bool is_news = true;
    };
    struct Entry {
        TsiWish wish;
        bool wanted = true;             // not gone
        bool arriving = false;          // it comes from another host, and is not active here yet
        // What the NVE has, as far as it has answered or reported.
        State state = control::proto::TSI_NONE;
        base::MacAddress mac;
        std::vector<base::IpAddress> addresses;
        bool granted = false;           // it was active, and nothing that the NVE said since ends that
        bool told = false;              // in this session
        std::optional<TimePoint> asked_at;
        struct {
            control::proto::TsiAction action{};
            State to{};                 // if it is accepted
            base::MacAddress mac;
            std::vector<base::IpAddress> addresses;
        } asked;
        Failure failure;
        bool is_news = true;
    };

    static std::string key_of(const std::string& vn, const std::string& tsi) { return vn + "\n" + tsi; }
    static State wanted_state(const Entry&);
    const Network* network_of(const Entry&) const;
    Entry* find(base::Vni, const std::string& tsi);
    bool is_used(const std::string& vn) const;
    bool has_other_name(const std::string& vn, base::Vni) const;
    std::optional<control::proto::TsiAction> next(const Entry&) const;
    bool wants_message(const std::string& vn, const Network&) const;
    control::Envelope message_for(const Entry&, control::proto::TsiAction) const;
    void fail(Failure&, const std::string& reason, TimePoint now) const;
    bool is_settled() const;
    void forget_gone();
    std::string waiting_for(const Entry&) const;

    bool up_ = false;
    bool known_ = false;
    bool queried_ = false, reported_ = false, synced_ = false;
    esp::Cipher cipher_{};
    std::map<std::string, Network> networks_;           // by name or VNI, as configured
    std::map<std::string, Entry> entries_;              // by key_of()
    std::map<uint64_t, std::string> asked_;             // by request_id: key of either
    struct Reported {
        State state;
        base::MacAddress mac;
        std::vector<base::IpAddress> addresses;
    };
    std::map<std::pair<base::Vni, std::string>, Reported> report_;      // of this session
};

}  // namespace nvo3::agent
#endif
