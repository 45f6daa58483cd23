// SPDX-License-Identifier: Apache-2.0
//
// The NVA's state as plain values, for ovs-appctl.  Holds no key.
//
// Place: filled by service.cc on the I/O thread, rendered by show.cc on the OVS thread.
// Thread: immutable once published.
#ifndef NVA_VIEW_H
#define NVA_VIEW_H

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "control/identity.h"
#include "nva/model.h"

namespace nvo3::nva {

enum class StoreState : uint8_t {
    away,       // not reached, or what it has is not here yet
    empty,      // reached, but without its one row
    fresh,      // what is known here is what the store has
};

struct MappingCounters {
    uint64_t accepted = 0, refused = 0;
};

struct SessionView {
    std::string name;
    base::IpAddress address;
    std::string tls;                    // cipher suite and group
    uint64_t age_seconds = 0;
    bool ready = false;                 // DirectoryReady was said
    size_t networks = 0, behind = 0;    // that it serves; that it was not told the newest state of
    bool policy_told = false;           // its part of the present one
    size_t queued = 0, pending = 0;     // messages to it; changes of it on their way to the store
    uint64_t messages_in = 0, messages_out = 0;
    uint64_t receive_throttled = 0, send_throttled = 0, vn_refused = 0;
    MappingCounters mappings;
};

struct GroupView {
    base::Vni vni{0};
    std::string vn;
    base::IpAddress address;
    uint32_t epoch = 0;
    int64_t age_seconds = 0;            // of the epoch
    size_t members = 0, told = 0, senders = 0;
    size_t waiting = 0;                 // members that have asked for another epoch
    uint64_t postponed = 0;             // requests for another epoch that came too often
};

struct ServiceView {
    std::string own_name;               // of our certificate; empty: none
    std::optional<std::chrono::system_clock::time_point> own_not_after;
    control::TrustEnds trust_ends;
    std::string listening;              // empty: not
    std::vector<std::string> problems;
    bool groups_enabled = false;
    uint64_t refused = 0;
    std::optional<uint64_t> store_lost_seconds;     // empty: it is fresh, or never was reached
    bool stale = false;                             // lost for too long: no NVE is served
    std::vector<SessionView> sessions;
    std::vector<GroupView> groups;
    std::shared_ptr<const StoreView> store;     // null: not reached yet
    std::map<base::Vni, uint64_t> versions;
};

}  // namespace nvo3::nva
#endif
