// SPDX-License-Identifier: Apache-2.0
//
// See guard.h.
#include "ovs-ext/engine/guard.h"

#include <algorithm>
#include <climits>

#include "ovs-ext/engine/json.h"

namespace nvo3::engine {
namespace {

using base::Error;
using base::Status;
using base::Vni;

constexpr GuardMode kModes[] = {GuardMode::off, GuardMode::log, GuardMode::enforce};

const char*
what_words(nvo3_guard_what what)
{
    switch (what) {
    case NVO3_GUARD_FLOW: return "a flow that";
    case NVO3_GUARD_GROUP: return "a group that";
    case NVO3_GUARD_PACKET_OUT: return "a packet-out that";
    case NVO3_GUARD_RESUME: return "a resumption that";
    case NVO3_GUARD_PORT_MOD: return "a port modification that";
    case NVO3_GUARD_TABLE_MOD: return "a table modification that";
    case NVO3_GUARD_CT_FLUSH: return "a flush of conntrack that";
    }
    return "a request that";
}

std::string
who_words(const nvo3_guard_change& change)
{
    return change.who == NVO3_GUARD_SWITCH ? "learn"
           : change.connection             ? change.connection
                                           : "?";
}

}  // namespace

const char*
to_string(GuardMode mode) noexcept
{
    switch (mode) {
    case GuardMode::off: return "off";
    case GuardMode::log: return "log";
    case GuardMode::enforce: return "enforce";
    }
    return "?";
}

// ---- Bridges ----

Status
Guard::set_bridge(const std::string& bridge, const char* mode, bool pipeline)
{
    const auto* found = std::ranges::find_if(kModes, [&](GuardMode each) {
        return mode && std::string_view(mode) == to_string(each);
    });
    std::lock_guard lock(mutex_);
    Bridge& entry = bridges_[bridge];
    entry.problem.clear();
    entry.pipeline = pipeline;
    if (!mode) {
        entry.mode = kDefaultMode;
    } else if (found != std::end(kModes)) {
        entry.mode = *found;
    } else {
        // Who misspells it wants a guard.
        entry.mode = GuardMode::enforce;
        entry.problem = "bridge " + bridge + ": other_config:nvo3-guard=" + mode
                        + " is none of off, log, enforce; until it is, the guard enforces";
        return Error{EINVAL, entry.problem};
    }
    return {};
}

void
Guard::remove_bridge(std::string_view bridge)
{
    std::lock_guard lock(mutex_);
    if (const auto it = bridges_.find(bridge); it != bridges_.end()) {
        bridges_.erase(it);
    }
}

void
Guard::set_port(const std::string& bridge, uint32_t ofp_port, const char* name)
{
    std::lock_guard lock(mutex_);
    const auto it = bridges_.find(bridge);
    if (it == bridges_.end()) {
        return;
    }
    if (name) {
        it->second.ports[ofp_port] = name;
    } else {
        it->second.ports.erase(ofp_port);
    }
    refresh_tunnels(it->second);
}

void
Guard::refresh_tunnels(Bridge& bridge) const
{
    bridge.tunnels.clear();
    for (const auto& [ofp_port, name] : bridge.ports) {
        if (flow_ports_.contains(name)) {
            bridge.tunnels.insert(ofp_port);
        }
    }
}

const Guard::Bridge*
Guard::find(std::string_view bridge) const
{
    const auto it = bridges_.find(bridge);
    return it == bridges_.end() ? nullptr : &it->second;
}

// ---- Networks ----

void
Guard::ports_changed(const PortTable::Map& ports)
{
    std::set<std::string, std::less<>> flow_ports;
    of_ports_.clear();
    for (const auto& [name, port] : ports) {
        of_ports_.insert(port.config.vnis.begin(), port.config.vnis.end());
        if (port.config.key_flow) {
            flow_ports.insert(name);
        }
    }
    std::lock_guard lock(mutex_);
    flow_ports_ = std::move(flow_ports);
    for (auto& [name, bridge] : bridges_) {
        refresh_tunnels(bridge);
    }
    refresh_served();
}

void
Guard::agent_serves(const std::vector<Vni>& vnis)
{
    of_sas_.clear();
    of_agent_ = {vnis.begin(), vnis.end()};
    std::lock_guard lock(mutex_);
    told_ = true;
    refresh_served();
}

void
Guard::sas_serve(std::set<Vni> vnis)
{
    of_sas_ = std::move(vnis);
    std::lock_guard lock(mutex_);
    refresh_served();
}

void
Guard::refresh_served()
{
    served_ = of_ports_;
    served_.insert(of_agent_.begin(), of_agent_.end());
    served_.insert(of_sas_.begin(), of_sas_.end());
}

// ---- Changes ----

bool
Guard::is_on(std::string_view bridge) const
{
    std::lock_guard lock(mutex_);
    const Bridge* found = find(bridge);
    return found && found->mode != GuardMode::off;
}

GuardVerdict
Guard::judge_for(const Bridge& bridge, const nvo3_guard_change& change) const
{
    return judge(change, {served_, bridge.tunnels, bridge.pipeline, told_});
}

bool
Guard::permits(std::string_view name, const nvo3_guard_change& change, long long now_ms)
{
    std::lock_guard lock(mutex_);
    const auto it = bridges_.find(name);
    if (it == bridges_.end() || it->second.mode == GuardMode::off) {
        return true;
    }
    Bridge& bridge = it->second;
    const GuardVerdict verdict = judge_for(bridge, change);
    if (verdict) {
        return true;
    }
    const bool refused = bridge.mode == GuardMode::enforce;
    (refused ? bridge.refused : bridge.passed)++;
    bridge.reasons[static_cast<size_t>(verdict.reason)]++;

    const auto [entry, first] = bridge.told.try_emplace(verdict.reason);
    Told& told = entry->second;
    if (first) {
        told.at_ms = now_ms - kIntervalMs;
    }
    told.count++;
    told.last = {it->first, who_words(change), to_string(verdict.reason),
                 std::string(what_words(change.what)) + " " + verdict.text, refused, 0};
    if (told.count == 1) {
        wake_();
    }
    return !refused;
}

std::string
Guard::objection(std::string_view name, const nvo3_guard_change& change) const
{
    std::lock_guard lock(mutex_);
    const Bridge* bridge = find(name);
    if (!bridge) {
        return "";
    }
    // What nobody may comes first.
    nvo3_guard_change local = change;
    local.who = NVO3_GUARD_LOCAL;
    const GuardVerdict verdict = judge_for(*bridge, local);
    return verdict ? judge_for(*bridge, change).text : verdict.text;
}

// ---- Telling ----

std::vector<esp::msg::GuardNotice>
Guard::take_notices(long long now_ms)
{
    std::vector<esp::msg::GuardNotice> notices;
    std::lock_guard lock(mutex_);
    for (auto& [name, bridge] : bridges_) {
        for (auto& [reason, told] : bridge.told) {
            if (told.count && now_ms - told.at_ms >= kIntervalMs) {
                told.last.count = std::exchange(told.count, 0);
                told.at_ms = now_ms;
                notices.push_back(told.last);
            }
        }
    }
    return notices;
}

long long
Guard::next_notice_ms() const
{
    long long next = LLONG_MAX;
    std::lock_guard lock(mutex_);
    for (const auto& [name, bridge] : bridges_) {
        for (const auto& [reason, told] : bridge.told) {
            if (told.count) {
                next = std::min(next, told.at_ms + kIntervalMs);
            }
        }
    }
    return next;
}

void
Guard::hold(esp::msg::GuardNotice notice)
{
    auto& held = held_[{notice.bridge, notice.reason, notice.refused}];
    notice.count += held.count;
    held = std::move(notice);
}

std::vector<esp::msg::GuardNotice>
Guard::take_held()
{
    std::vector<esp::msg::GuardNotice> notices;
    for (auto& [key, notice] : std::exchange(held_, {})) {
        notices.push_back(notice);
    }
    return notices;
}

std::string
Guard::show(const char* wanted, bool as_json) const
{
    std::lock_guard lock(mutex_);
    if (wanted && !find(wanted)) {
        return "";
    }
    JsonWriter json;
    std::string text = "networks that this host serves: ";
    json.begin_object().field("source", told_ ? "agent" : "ports").key("served").begin_array();
    for (Vni vni : served_) {
        json.number(vni.value);
        text += (vni == *served_.begin() ? "" : ", ") + to_string(vni);
    }
    text += served_.empty() ? "none\n" : "\n";
    if (!told_) {
        text += "(of the ports and SAs; the agent has told none yet)\n";
    }
    json.end_array().key("bridges").begin_array();
    for (const auto& [name, bridge] : bridges_) {
        if (wanted && name != wanted) {
            continue;
        }
        json.begin_object().field("name", name).field("mode", to_string(bridge.mode))
            .field("error", bridge.problem).field("refused", bridge.refused)
            .field("passed", bridge.passed).key("reasons").begin_object();
        text += "bridge " + name + ": " + to_string(bridge.mode) + ", refused " + std::to_string(bridge.refused)
                + ", would have refused " + std::to_string(bridge.passed) + "\n";
        if (!bridge.problem.empty()) {
            text += "  error: " + bridge.problem + "\n";
        }
        for (size_t i = 1; i < kGuardReasonCount; i++) {
            const char* word = to_string(static_cast<GuardReason>(i));
            json.field(word, bridge.reasons[i]);
            if (bridge.reasons[i]) {
                text += "  " + std::string(word) + ": " + std::to_string(bridge.reasons[i]) + "\n";
            }
        }
        json.end_object().end_object();
    }
    json.end_array().end_object();
    return as_json ? json.take() : text;
}

}  // namespace nvo3::engine
