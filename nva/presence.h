// SPDX-License-Identifier: Apache-2.0
//
// Which NVEs have had no session with any NVA, and for how long: what such a one held may be
// taken over by another (service_mappings.cc).
//
// The store says which process of an NVA has a session with whom, and each process says
// there, by a number that grows, that it lives.  Time is measured here, by this process's own
// clock and from what it saw itself: NVAs need not agree on the time, and one that was just
// started, or was cut off from the store, has seen nobody away yet.
//
// Place: owned by service.cc; a pure state machine.  Thread: the I/O thread.
#ifndef NVA_PRESENCE_H
#define NVA_PRESENCE_H

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "nva/model.h"

namespace nvo3::nva {

class Presence {
public:
    using TimePoint = std::chrono::steady_clock::time_point;

    // Of a process that has not said that it lives.  It sends its NVEs away long before, when
    // it has lost the store (Service::Options::stale_after).
    static constexpr std::chrono::seconds kBeat{5}, kDead{20}, kForget{120};

    // 'own' has a session with this process, whatever the store says yet.
    void apply(const StoreView&, const std::set<std::string>& own, TimePoint now);
    // The store was away: who came and went meanwhile is not known.
    void forget(TimePoint now);

    // Nothing: it has a session, or is no NVE.
    std::optional<std::chrono::milliseconds> away_for(const std::string& nve, TimePoint now) const;
    // Processes whose rows may go.
    std::vector<std::string> dead(TimePoint now) const;

private:
    struct Process {
        int64_t beat = 0;
        TimePoint since;        // of the beat
    };
    std::map<std::string, Process> nvas_;           // by instance
    std::map<std::string, TimePoint> away_since_;
};

}  // namespace nvo3::nva
#endif
