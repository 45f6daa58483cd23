// SPDX-License-Identifier: Apache-2.0
//
// The changes that wait for the store: who is next, so that an NVE that floods delays itself.
//
// The NVA's own changes (owner 0: epochs, what NVEs left behind) come first, then one of each NVE
// in turn.  A later change of the same row by the same owner takes the place of the one that
// waits; of one NVE only so many wait.  An NVE that has had its burst is served a few at a time,
// with rests between: few transactions and few updates to its networks, whatever it sends.
//
// Place: used by store_feed.cc, under its mutex; pure.  Thread: any, one at a time.
#ifndef NVA_CHANGE_QUEUE_H
#define NVA_CHANGE_QUEUE_H

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/rate_limiter.h"
#include "nva/store_writer.h"

namespace nvo3::nva {

class ChangeQueue {
public:
    // Of one NVE.
    static constexpr size_t kMaxWaiting = 512;
    static constexpr control::Rate kRate{200, 64};      // changes; the rate of a session's messages
    static constexpr double kTurn = 16;                 // after its burst, so many a turn: one turn in 80 ms

    struct Entry {
        uint64_t owner = 0;
        StoreChange change;
        StoreWriter::Done done;
        int tries = 0;
    };
    // To be answered with this error: EAGAIN, or ECANCELED where a later one takes its place.
    struct Refused {
        StoreWriter::Done done;
        base::Error error;
    };

    explicit ChangeQueue(const base::Clock& clock) : clock_(clock) {}     // which must outlive it

    // What is not taken, or not any more; at most one.
    std::vector<Refused> push(Entry);
    // What take() gave comes back, in that order, to be taken first; not what was cancelled since.
    std::vector<Refused> put_back(std::vector<Entry>);
    // At most so many, no two of the same row, of those that are not at rest.  What was taken before is done with.
    std::vector<Entry> take(size_t limit);
    // Forgets what waits of it, without an answer.
    void cancel(uint64_t owner);

    bool empty() const { return waiting_.empty(); }
    size_t waiting(uint64_t owner) const;
    // When take() has something to give, which may be past; none if nothing waits.
    std::optional<std::chrono::steady_clock::time_point> next() const;

private:
    struct Pace {
        control::TokenBucket bucket;
        std::chrono::steady_clock::time_point rests_until;
    };
    struct Waiting {
        std::list<Entry> entries;
        std::map<std::string, std::list<Entry>::iterator> by_row;
    };

    bool rests(uint64_t owner, const Waiting&) const;
    // Whether it has its turn now, or begins to rest.
    bool may_go(uint64_t owner, const Waiting&);
    void forget_rested();

    const base::Clock& clock_;
    std::map<uint64_t, Waiting> waiting_;   // by owner; none without entries
    std::map<uint64_t, Pace> paces_;        // of NVEs whose bucket is not full
    uint64_t last_ = 0;                     // the next is the NVE after this one
    std::set<uint64_t> cancelled_;          // since the last take()
};

}  // namespace nvo3::nva
#endif
