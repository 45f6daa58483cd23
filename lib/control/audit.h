// SPDX-License-Identifier: Apache-2.0
//
// The audit log: one JSON object a line, appended to a file that only its owner
// and group may read.  Never holds a secret: callers give names, addresses and
// reasons, nothing else.  Text from peers is bounded, and control characters
// come out escaped.
// Place: lib/control, used by the agents.  Threads: any; writing takes a mutex and one
// write(2) to a local file.
#ifndef NVO3_CONTROL_AUDIT_H
#define NVO3_CONTROL_AUDIT_H

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "control/rate_limiter.h"

namespace nvo3::control {

enum class AuditKind : uint8_t {
    started,
    stopped,
    authenticated,
    refused,
    session_closed,
    sa_installed,
    sa_removed,
    config_changed,
    alarm,
    tsi_changed,    // of a hypervisor, at its external NVE
    rule_refused,   // an OpenFlow request, by the rule guard of the switch
    rule_suspect,   // the same, but the guard only logs
};
const char* to_string(AuditKind kind) noexcept;

struct AuditEvent {
    AuditKind kind;
    std::string peer = {};              // name, "" if unknown
    base::IpAddress address = {};       // of the peer; unspecified: left out
    std::string reason = {};            // a sentence
    std::optional<base::Vni> vni = {};
    // More members of the object.  Values are text or numbers.
    std::vector<std::pair<std::string, std::string>> text = {};
    std::vector<std::pair<std::string, uint64_t>> numbers = {};
};

class AuditLog {
public:
    static constexpr size_t kRingSize = 1000;

    // Opens 'path' to append (made with mode 0640).  An empty path: only the ring.
    static base::Result<std::unique_ptr<AuditLog>> open(const std::string& path,
                                                        const base::Clock& clock);

    // Never fails: if the file cannot be written the ring has the event, and
    // the program's log says once that the file is gone.  A file that was renamed or
    // removed is made anew, so that a rotation needs no word to us.  More than 20 of one
    // kind and address a second are counted instead; the count is in "suppressed"
    // of the next line of both.  So one who floods hides nothing of others.  Not
    // more than 100 of one kind are written either ("suppressed_of_all").
    void write(const AuditEvent& event);

    // How often each kind was written, suppressed ones too; since the start.
    std::map<AuditKind, uint64_t> counts() const;

    // The last lines, oldest first, each a JSON object.
    std::vector<std::string> recent(size_t max = kRingSize) const;

private:
    AuditLog(std::string path, const base::Clock& clock);
    base::Status follow_rotation();

    struct Flood {
        AddressLimiter each;
        TokenBucket all;
        uint64_t suppressed = 0;    // by 'all'
    };

    const std::string path_;
    const base::Clock& clock_;
    mutable std::mutex mutex_;
    // Under mutex_.
    base::UniqueFd fd_;
    bool write_failed_ = false, rotation_failed_ = false;
    std::deque<std::string> ring_;
    std::map<AuditKind, Flood> floods_;
    std::map<AuditKind, uint64_t> counts_;
};

// Lines of recent() for people, or as one JSON array.
std::string show_audit(const std::vector<std::string>& lines, bool json);

}  // namespace nvo3::control

#endif
