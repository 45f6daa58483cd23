// SPDX-License-Identifier: Apache-2.0
//
// See pipeline_feed.h.
#include "hvagent/pipeline_feed.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "base/log.h"
#include "daemon/ovs_daemon.h"
#include "hvagent/openflow_adapter.h"
#include "hvagent/ovsdb_adapter.h"

namespace nvo3::agent {
namespace {

constexpr const char* kModule = "pipeline";
// News come in bursts: the flows are made anew after a pause of three times what it
// took the last time, within these limits.
constexpr long long kMinPauseMs = 100;
constexpr long long kMaxPauseMs = 1000;
constexpr long long kPauseShare = 3;
constexpr long long kCountMs = 1000;
// With flows that count packets of the policy.
constexpr uint8_t kCountedTables[] = {66, 68, 69, 72};

}  // namespace

PipelineFeed::~PipelineFeed()
{
    // Flows stay: data goes on without the agent.
    openflow_adapter_close(adapter_);
    for (openflow_adapter* adapter : leaving_) {
        openflow_adapter_close(adapter);
    }
}

void PipelineFeed::configure(std::shared_ptr<const Config> config, std::vector<RawVmPort> vm_ports,
                             std::map<base::Encap, uint32_t> tunnel_ports, std::vector<uint32_t> plain_ports)
{
    config_ = std::move(config);
    vm_ports_ = std::move(vm_ports);
    input_.tunnel_ports = std::move(tunnel_ports);
    input_.plain_ports = std::move(plain_ports);
    changed_ = true;
}

void PipelineFeed::set_networks(std::shared_ptr<const NetworkView> networks)
{
    if (networks != input_.networks) {
        input_.networks = std::move(networks);
        changed_ = true;
    }
}

void PipelineFeed::wish_tunnels()
{
    for (base::Encap encap : {base::Encap::geneve, base::Encap::vxlan}) {
        ovsdb_wish wish = OVSDB_AS_IS;
        if (!config_->has_pipeline()) {
            wish = OVSDB_GONE;
        } else if (input_.networks->encaps.contains(encap)) {
            wish = OVSDB_WANTED;
        } else if (input_.networks->directory->complete) {
            wish = OVSDB_GONE;
        }
        ovsdb_adapter_own_tunnel(to_string(encap), wish);
    }
}

// With the OpenFlow ports that the database has now.
std::vector<Tsi> PipelineFeed::tsis() const
{
    if (!config_->is_hypervisor()) {
        return config_->tsis;
    }
    std::vector<Tsi> result;
    for (Tsi tsi : input_.networks->tsis) {
        auto port = std::ranges::find(vm_ports_, tsi.port, &RawVmPort::name);
        if (port != vm_ports_.end()) {
            tsi.ofport = port->ofport;
            result.push_back(std::move(tsi));
        }
    }
    return result;
}

// ---- The policy between networks ----

std::string PipelineFeed::why_no_policy() const
{
    if (!config_) {
        return "the database was not read yet";
    }
    if (config_->is_hypervisor()) {
        return "a hypervisor's external NVE is the gateway";
    }
    if (!config_->has_pipeline()) {
        return "no networks: other_config:nvo3-nva names no NVA, and no port has options:nvo3_role=hypervisor";
    }
    return "";
}

void PipelineFeed::update_policy()
{
    if (!why_no_policy().empty()) {
        policy_.clear();
        policy_told_ = nullptr;
        policy_file_.clear();
    } else if (!config_->nvas.empty()) {
        policy_file_.clear();
        if (const auto& told = input_.networks->policy; told != policy_told_) {
            policy_told_ = told;
            if (told) {
                policy_.take("the NVA", told->text, told->version);
            }
        }
        if (!policy_told_) {
            policy_.clear();
        }
    } else {
        if (std::exchange(policy_told_, nullptr)) {
            policy_.clear();
        }
        if (config_->policy_file != policy_file_) {
            (void)reload_policy();
        }
    }
    input_.policy = with_names(policy_.policy(), *input_.networks->directory);
}

base::Status PipelineFeed::reload_policy()
{
    if (const std::string why = why_no_policy(); !why.empty()) {
        return base::Error{EINVAL, "no policy: " + why};
    }
    if (!config_->nvas.empty()) {
        return base::Error{EINVAL, "the policy is that of the NVA, which tells each change by itself"};
    }
    policy_file_ = config_->policy_file;
    if (policy_file_.empty()) {
        changed_ = policy_.clear() || changed_;
        return base::Error{ENOENT, "other_config:nvo3-policy names no file"};
    }
    const std::string name = "file " + policy_file_;
    auto text = read_policy(policy_file_);
    if (!text) {
        policy_.miss(name, text.error().text);
    } else if (policy_.take(name, *text, ++policy_reads_)) {
        changed_ = true;
        ovs_daemon_wake();
    }
    return policy_.error().empty() ? base::Status{} : base::Error{EINVAL, policy_.error()};
}

// Connections of a network end when another gets its zone.
void PipelineFeed::flush_zones()
{
    std::vector<uint16_t> zones;
    for (const auto& [vni, gateway] : pipeline_.gateways.all()) {
        auto [owner, fresh] = zone_owners_.try_emplace(gateway.zone, vni);
        if (!fresh && owner->second != vni) {
            owner->second = vni;
            zones.push_back(gateway.zone);
        }
    }
    openflow_adapter_flush_zones(adapter_, zones.data(), zones.size());
}

// Asks the switch now and then, and says what is to be logged.
void PipelineFeed::count_packets()
{
    if (!adapter_ || pipeline_.counted.empty()) {
        return;
    }
    const long long now = ovs_daemon_now();
    if (const unsigned int seqno = openflow_adapter_packets_seqno(adapter_); seqno != count_seqno_) {
        count_seqno_ = seqno;
        counted_ = now;
        openflow_adapter_packets(
            adapter_, [](void* counters, const char* flow, uint64_t packets) { static_cast<PolicyCounters*>(counters)->tell(flow, packets); }, &counters_);
        for (const std::string& line : counters_.lines(now)) {
            base::log(base::LogLevel::info, "policy", line);
        }
    }
    if (now >= next_count_) {
        next_count_ = now + kCountMs;
        openflow_adapter_ask_packets(adapter_, kCountedTables, std::size(kCountedTables));
    }
    ovs_daemon_wake_at(next_count_);
}

PolicyState PipelineFeed::policy_state() const
{
    static const NetworkView none;
    const std::optional<long long> age = counted_ ? std::optional((ovs_daemon_now() - counted_) / 1000) : std::nullopt;
    return {policy_, input_.policy, pipeline_, counters_, input_.networks ? *input_.networks : none, age, why_no_policy()};
}

std::string PipelineFeed::show_policy(bool json) const
{
    return agent::show_policy(policy_state(), json);
}

base::Result<std::string> PipelineFeed::trace_policy(const std::vector<std::string>& words, bool json) const
{
    return agent::trace_policy(policy_state(), words, json);
}

// What is ours goes first: the change of fail_mode empties the flow tables, which tell
// the ports that we keep out of flooding.
void PipelineFeed::wish_fail_mode() const
{
    const ovsdb_wish open = leaving_.empty() ? OVSDB_GONE : OVSDB_AS_IS;
    ovsdb_adapter_fail_closed(config_->has_pipeline() ? OVSDB_WANTED : open, open);
}

void PipelineFeed::leave(openflow_adapter*& adapter)
{
    openflow_adapter_leave(adapter);
    leaving_.push_back(adapter);
    adapter = nullptr;
}

void PipelineFeed::update()
{
    wish_tunnels();
    update_policy();
    if (adapter_ && (!config_->has_pipeline() || bridge_ != config_->bridge)) {
        leave(adapter_);
    }
    if (!config_->has_pipeline()) {
        // A former process may have left something: looked for once.
        if (bridge_ != config_->bridge) {
            openflow_adapter* once = openflow_adapter_open(config_->bridge.c_str());
            leave(once);
        }
        bridge_ = config_->bridge;
        pipeline_ = {};
        counters_.set_flows({});
        return;
    }
    if (!adapter_) {
        // Two at one bridge would undo each other's work.
        std::erase_if(leaving_, [&](openflow_adapter* adapter) {
            bool same = config_->bridge == openflow_adapter_bridge(adapter);
            if (same) {
                adapter_ = adapter;
            }
            return same;
        });
        if (!adapter_) {
            adapter_ = openflow_adapter_open(config_->bridge.c_str());
        }
        bridge_ = config_->bridge;
    }

    input_.tsis = tsis();
    input_.hypervisor_ports = config_->hypervisor_ports;
    input_.unusable.clear();
    for (const RawVmPort& port : vm_ports_) {
        const bool named = !port.vn.empty() || !port.port_profile.empty();
        if ((named || !input_.networks->ordinary_ports.contains(port.name)) && std::ranges::find(input_.tsis, port.name, &Tsi::port) == input_.tsis.end()) {
            input_.unusable.push_back(port);
        }
    }
    pipeline_ = make_pipeline(input_);
    counters_.set_flows(pipeline_.counted);
    std::vector<const char*> texts;
    texts.reserve(pipeline_.flows.size());
    for (const std::string& flow : pipeline_.flows) {
        texts.push_back(flow.c_str());
    }
    const bool keep = !input_.networks->directory->complete || input_.networks->keeps_flows;
    openflow_adapter_set(adapter_, texts.data(), texts.size(), keep);
    if (!keep) {
        flush_zones();
    }
    openflow_adapter_set_no_flood(adapter_, pipeline_.closed_to_flood.data(), pipeline_.closed_to_flood.size());
    for (const Problem& problem : pipeline_.problems) {
        if (std::ranges::find(logged_, problem) == logged_.end()) {
            base::log(base::LogLevel::warn, kModule, problem.port + ": " + problem.text);
        }
    }
    logged_ = pipeline_.problems;
}

void PipelineFeed::run()
{
    if (changed_ && config_ && input_.networks) {
        const long long now = ovs_daemon_now();
        if (now >= next_update_) {
            changed_ = false;
            update();
            next_update_ = now + std::clamp(kPauseShare * (ovs_daemon_now() - now), kMinPauseMs, kMaxPauseMs);
        } else {
            ovs_daemon_wake_at(next_update_);
        }
    }
    std::erase_if(leaving_, [](openflow_adapter* adapter) {
        openflow_adapter_run(adapter);
        if (openflow_adapter_is_settled(adapter)) {
            openflow_adapter_close(adapter);
            return true;
        }
        openflow_adapter_wait(adapter);
        return false;
    });
    if (config_ && input_.networks && !changed_) {
        wish_fail_mode();
    }
    if (adapter_) {
        openflow_adapter_run(adapter_);
        count_packets();
        openflow_adapter_wait(adapter_);
    }
}

bool PipelineFeed::is_settled() const
{
    return adapter_ && !changed_ && openflow_adapter_is_settled(adapter_);
}

std::string PipelineFeed::show(bool json) const
{
    std::string out;
    if (json) {
        out = "{\"bridge\": \"" + bridge_ + "\", \"nva\": " + (adapter_ ? "true" : "false") + ", \"settled\": " + (is_settled() ? "true" : "false") +
              ", \"flows\": [";
        for (const std::string& flow : pipeline_.flows) {
            out += (out.ends_with('[') ? "\"" : ", \"") + flow + "\"";
        }
        return out + "]}\n";
    }
    if (!adapter_) {
        return "no flows: other_config:nvo3-nva names no NVA, nvo3-role is not hypervisor, and no port has options:nvo3_role=hypervisor\n";
    }
    out = "bridge " + bridge_ + ", " + std::to_string(pipeline_.flows.size()) + " flows, " +
          (is_settled() ? "all in the switch" : "on the way to the switch") + "\n";
    for (const std::string& flow : pipeline_.flows) {
        out += "  " + flow + "\n";
    }
    return out;
}

}  // namespace nvo3::agent
