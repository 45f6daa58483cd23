// SPDX-License-Identifier: Apache-2.0
//
// Group keys: the group controller's side (the GCKS of RFC 9838).  Starts epochs when the
// store calls for one, and has for each member the keys it may know.
//
// The store holds epoch, nonce and who was told; the secret is derived from them and the master
// key, so that any number of NVAs agree on it (doc/decisions/0008).
//
// Place: owned by service.cc.  Thread: the I/O thread.
#ifndef NVA_GROUPS_H
#define NVA_GROUPS_H

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/secret.h"
#include "control/audit.h"
#include "control/authorization.h"
#include "nva/directory.h"
#include "nva/model.h"
#include "nva/store_writer.h"
#include "nva/view.h"

namespace nvo3::nva {

class Groups {
public:
    struct Key {
        base::Vni vni{0};
        base::IpAddress address;
        auto operator<=>(const Key&) const = default;
    };
    // What one NVE knows.
    struct Subscriber {
        std::map<Key, uint64_t> told;   // versions
        struct Enrolled {
            uint32_t epoch = 0;
            std::chrono::steady_clock::time_point at;
        };
        std::map<Key, Enrolled> enrolled;   // when it asked last
    };
    using Granted = std::function<void(const control::proto::GroupGrant&)>;
    using Renewed = std::function<void(const control::proto::GroupRenewed&)>;

    // 'master': empty, groups are off.
    Groups(base::Secret master, StoreWriter& writer, control::AuditLog& audit, const base::Clock& clock);
    ~Groups();

    bool enabled() const { return !master_.empty(); }
    void apply(std::shared_ptr<const StoreView>);
    // To be called each second or so: epochs end by time too.
    void poll();
    // An NVE has a session here, or has none any more: who is here is told.  What one that has
    // gone waited for is not done.
    void present(const std::string& nve, bool here);

    // The messages of the next key, or change of one, for a member that knows the network.
    std::vector<control::Envelope> next(Subscriber&, const std::string& nve, const Directory&, const Directory::Subscriber&);

    // Answers a GroupRegister of a member, now or when the store has it.
    // Each is a row of the store and told to all members: one a second for each group and epoch.
    void enrol(uint64_t owner, const std::string& nve, Subscriber&, const control::proto::GroupRegister&, Granted);

    // Answers a GroupRenew of a member when an epoch has begun that was not asked for earlier
    // than this: at once, or within kRenewGap of the group or kRenewGapOfNve of the NVE.
    void renew(const std::string& nve, const control::proto::GroupRenew&, Renewed);

    std::vector<GroupView> view() const;

    // Between two epochs that members ask for: of a group, for all who start at the same time ...
    static constexpr std::chrono::seconds kRenewGap{2};
    // ... and on behalf of one NVE, so that none keeps the others busy.
    static constexpr std::chrono::seconds kRenewGapOfNve{10};

private:
    using TimePoint = std::chrono::steady_clock::time_point;
    struct Waiting {                    // a GroupRenew
        TimePoint due;
        Renewed renewed;
    };
    struct State {
        uint64_t version = 0;
        std::shared_ptr<const Vn> vn;
        Settings settings;
        base::Secret secret;            // of the epoch in 'vn'
        std::optional<TimePoint> began; // when this NVA saw it begin; empty: before this NVA did
        std::map<std::string, Waiting> waiting;         // by NVE
        std::map<std::string, TimePoint> renewed;       // by NVE, the last one, for kRenewGapOfNve
        uint64_t postponed = 0;
    };

    void update(const Key&, State&, std::shared_ptr<const Vn>);
    void act(const Key&, State&);
    const std::string* due_renewal(State&) const;
    void start_epoch(const Key&, State&, const std::string& reason);
    void epoch_started(const Key&, uint32_t epoch, const std::string& reason, std::map<std::string, Waiting>);
    void try_enrol(uint64_t owner, PutSender, control::proto::GroupGrant, int tries_left, Granted);

    const base::Secret master_;
    StoreWriter& writer_;
    control::AuditLog& audit_;
    const base::Clock& clock_;
    std::shared_ptr<const StoreView> store_;
    std::map<Key, State> groups_;
    uint64_t counter_ = 0;
    std::set<std::string> present_;
    std::set<Key> busy_;                // a change of it is on its way to the store
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nvo3::nva
#endif
