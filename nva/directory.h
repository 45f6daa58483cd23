// SPDX-License-Identifier: Apache-2.0
//
// What each NVE must be told: a pure state machine between the store's views and the
// messages VnUpdate, VnGone, PolicyUpdate and DirectoryReady of control.proto.
//
// Each network has a version, counted by this process, and a bounded log of what changed
// from which to which.  Of an NVE only the versions that it was told are kept: one that reads
// slowly, or comes back, is brought from there to now in one step, whatever happened
// between; where the log does not reach back, by a complete state.
//
// Place: owned by service.cc.  Thread: the I/O thread.
#ifndef NVA_DIRECTORY_H
#define NVA_DIRECTORY_H

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "control/authorization.h"
#include "nva/model.h"
#include "nva/policies.h"

namespace nvo3::nva {

class Directory {
public:
    struct Limits {
        size_t log = 4096;              // changes kept of a network
        size_t part_octets = 48 << 10;  // of a message, below the 64 KiB of a frame
        size_t part_entries = 512;
    };

    // What one NVE knows.  Made by subscribe().
    struct Subscriber {
        std::string nve;
        std::map<base::Vni, uint64_t> told;     // versions; 0: something of another process
        Policies::Subscriber policy;
        bool ready = false;                     // DirectoryReady was said
    };

    // 'instance': of this process (Hello.agent_instance).
    Directory(uint64_t instance, Limits);
    explicit Directory(uint64_t instance) : Directory(instance, Limits{}) {}

    void apply(std::shared_ptr<const StoreView>);

    Subscriber subscribe(const std::string& nve, const control::proto::DirectoryRequest&) const;
    // The messages of the next step, which belong together; none if there is nothing to
    // tell.  The subscriber counts as told.
    std::vector<control::Envelope> next(Subscriber&) const;

    // Whether a network's present state was told.
    bool is_current(const Subscriber&, base::Vni) const;
    // Whether it has its part of the present policy.
    bool has_policy(const Subscriber&) const;
    uint64_t version(base::Vni) const;      // 0: no such network
    // The networks that an NVE serves; empty for one unknown or revoked.
    const std::set<base::Vni>& networks_of(const std::string& nve) const;

private:
    struct Change {
        uint64_t version;
        // Of which member or mapping; neither: name, cipher or groups.
        std::variant<std::monostate, std::string, base::MacAddress> what;
    };
    struct Entry {
        std::shared_ptr<const Vn> vn;
        uint64_t version = 0;
        uint64_t log_begin = 0;         // the log has all changes after this version
        std::deque<Change> log;
    };

    void update(Entry&, std::shared_ptr<const Vn>);
    void set_members(const Vn* before, const Vn* now);
    std::vector<control::Envelope> step(const Entry&, uint64_t from) const;

    const uint64_t instance_;
    const Limits limits_;
    uint64_t counter_ = 0;              // the last version given out, to whichever network
    std::map<base::Vni, Entry> entries_;
    std::map<std::string, std::set<base::Vni>> networks_;
    Policies policies_;
};

}  // namespace nvo3::nva
#endif
