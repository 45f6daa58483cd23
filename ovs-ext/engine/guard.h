// SPDX-License-Identifier: Apache-2.0
//
// The rule guard: what it is to do for each bridge, the networks that this host
// serves, and what it has refused.  guard_rules.h decides.
// Place: engine.  Threads: permits(), objection() and is_on() any, for "learn"
// makes flows in the threads that handle packets; all else main.  One mutex; no
// packet passes here.
#ifndef NVO3_ENGINE_GUARD_H
#define NVO3_ENGINE_GUARD_H

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "esp/sa_protocol.h"
#include "ovs-ext/engine/guard_rules.h"
#include "ovs-ext/engine/ports.h"

namespace nvo3::engine {

enum class GuardMode : uint8_t { off, log, enforce };
const char* to_string(GuardMode mode) noexcept;

class Guard {
public:
    static constexpr GuardMode kDefaultMode = GuardMode::log;
    // Each kind of refusal of each bridge is told so often at most.
    static constexpr long long kIntervalMs = 1000;

    // 'wake' brings take_notices() about, from any thread.
    explicit Guard(std::function<void()> wake) : wake_(std::move(wake)) {}

    // 'pipeline': hvagent's flows belong in it.
    // EINVAL, a sentence: 'mode' is none; the guard then enforces.
    base::Status set_bridge(const std::string& bridge, const char* mode, bool pipeline = false);
    void remove_bridge(std::string_view bridge);
    void set_port(const std::string& bridge, uint32_t ofp_port, const char* name);

    // What the ports carry by their own configuration, and whose VNI is the flow's.
    void ports_changed(const PortTable::Map& ports);
    // The networks of ports with nvo3_vnis=nva: the agent's last word, which stays
    // when it goes.  Before its first, those that there are SAs for.
    void agent_serves(const std::vector<base::Vni>& vnis);
    bool agent_has_told() const noexcept { return told_; }
    void sas_serve(std::set<base::Vni> vnis);

    bool is_on(std::string_view bridge) const;
    bool permits(std::string_view bridge, const nvo3_guard_change& change, long long now_ms);
    std::string objection(std::string_view bridge, const nvo3_guard_change& change) const;

    // What there is to tell at 'now_ms', and when to ask again (LLONG_MAX: not before
    // it wakes).
    std::vector<esp::msg::GuardNotice> take_notices(long long now_ms);
    long long next_notice_ms() const;
    // Main thread.  What nobody was there to hear: one for each bridge and kind, with
    // the last of them and the count of all.
    void hold(esp::msg::GuardNotice notice);
    std::vector<esp::msg::GuardNotice> take_held();

    // Empty: no such bridge.
    std::string show(const char* bridge, bool json) const;

private:
    struct Told {
        long long at_ms = 0;
        uint64_t count = 0;             // since it was told
        esp::msg::GuardNotice last;
    };
    struct Bridge {
        GuardMode mode = kDefaultMode;
        bool pipeline = false;          // hvagent's flows belong here
        std::string problem;            // of the configuration
        std::map<uint32_t, std::string> ports;  // tunnels by OpenFlow port
        std::set<uint32_t> tunnels;             // those whose VNI is the flow's
        uint64_t refused = 0, passed = 0;       // passed: by mode log
        std::array<uint64_t, kGuardReasonCount> reasons{};
        std::map<GuardReason, Told> told;
    };

    // Under the mutex.
    void refresh_tunnels(Bridge& bridge) const;
    void refresh_served();
    const Bridge* find(std::string_view bridge) const;
    GuardVerdict judge_for(const Bridge& bridge, const nvo3_guard_change& change) const;

    const std::function<void()> wake_;

    // Main thread.
    std::set<base::Vni> of_ports_, of_agent_, of_sas_;
    bool told_ = false;                 // changes under mutex_, too
    std::map<std::tuple<std::string, std::string, bool>, esp::msg::GuardNotice> held_;

    mutable std::mutex mutex_;
    // Under mutex_.
    std::set<base::Vni> served_;
    std::set<std::string, std::less<>> flow_ports_;
    std::map<std::string, Bridge, std::less<>> bridges_;
};

}  // namespace nvo3::engine

#endif
