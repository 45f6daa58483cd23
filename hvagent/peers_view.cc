// SPDX-License-Identifier: Apache-2.0
//
// See peers.h: what the switch and ovs-appctl are told.
#include <algorithm>
#include <algorithm>
#include <chrono>
#include <utility>

#include "hvagent/peers.h"
#include "hvagent/wanted_peers.h"

namespace nvo3::agent {
namespace {

constexpr auto kPublishDelay = std::chrono::milliseconds(20);
// Looking at all ports takes at most a tenth of the thread's time.
constexpr int kPublishShare = 10;

}  // namespace

// Besides directory(), at an external NVE without an NVA, what the ports of hypervisors name.
std::shared_ptr<const DirectoryView> Peers::known_directory() const
{
    return config_ && config_->is_hypervisor() ? directory() : nve_side_.directory();
}

void Peers::all_changed()
{
    for (auto& [remote, peer] : peers_) {
        peer->forget_states();
    }
    changed();
}

// Coalesced: many things change at once.
void Peers::changed()
{
    if (publish_pending_ || stopping_) {
        return;
    }
    publish_pending_ = true;
    publish_timer_.expires_after(std::max<std::chrono::steady_clock::duration>(kPublishDelay, kPublishShare * publish_cost_));
    publish_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
        if (!error && *alive) {
            publish_pending_ = false;
            auto began = std::chrono::steady_clock::now();
            publish();
            publish_cost_ = std::chrono::steady_clock::now() - began;
        }
    });
}

// What the OVS thread is to know.
void Peers::publish_networks()
{
    if (!config_ || !options_.publish_networks) {
        return;
    }
    NetworkView view;
    view.has_pipeline = config_->has_pipeline();
    view.own_name = own_name();
    view.directory = known_directory();
    view.reach = reach_;
    view.policy = overlay_.policy();
    for (const auto& [vni, vn] : directory()->vns) {
        view.encaps.insert(vn->encap);
    }
    view.remote_tsis = nve_side_.remote_tsis();
    view.keeps_flows = !nve_side_.is_settled();
    overlay_.fill(view);
    hypervisor_.fill(view);
    if (view != *networks_) {
        networks_ = std::make_shared<const NetworkView>(std::move(view));
        options_.publish_networks(networks_);
    }
}

void Peers::publish()
{
    if (switch_instance_ != 0 && config_) {
        tell_served();
    }
    publish_networks();
    if (switch_instance_ == 0 || !config_) {
        return;
    }
    auto states = port_states();
    for (const auto& [port, state] : states) {
        auto it = published_.find(port);
        if (it == published_.end() || it->second != state) {
            send_to_switch(esp::msg::PortStatus{port, state.state, state.peer, state.error});
        }
    }
    published_ = std::move(states);
}

PortState Peers::flow_port_state(const Tunnel& tunnel) const
{
    PortState state{"up", "flow", ""};
    if (tunnel.nva && config_->has_pipeline() && !known_directory()->complete) {
        return {"waiting", "flow", config_->is_hypervisor() ? "no external NVE has let this host into its networks yet: see ovs-appctl -t hvagent nve/show"
                                                            : "no NVA has told this host its networks yet: see ovs-appctl -t hvagent nva/show"};
    }
    if (tunnel.nva && !config_->has_pipeline()) {
        return {"waiting", "flow", "options:nvo3_vnis=nva needs other_config:nvo3-nva, the NVAs that tell which networks there are"};
    }
    if (peers_.empty() && !tunnel.nva) {
        return {"waiting", "flow", "no other port names a peer that remote_ip=flow could reach"};
    }
    const auto channels = channels_of(tunnel, *known_directory());
    for (const auto& [remote, peer] : peers_) {
        if (tunnel.nva && std::ranges::find(peer->config().ports, tunnel.port) == peer->config().ports.end()) {
            continue;       // no member of its networks
        }
        const PortState& one = peer->port_state(tunnel.port, channels);
        if (one.state != "up" && state.state == "up") {
            state.state = "waiting";
            state.error = one.peer + ": " + (one.error.empty() ? one.state : one.error);
        }
    }
    return state;
}

std::map<std::string, PortState> Peers::port_states() const
{
    std::map<std::string, PortState> states;
    std::string general = listen_problem_;
    for (const Problem& problem : config_->problems) {
        if (problem.port.empty() && general.empty()) {
            general = problem.text;
        }
    }
    for (const Tunnel& tunnel : config_->tunnels) {
        auto peer = peers_.find(tunnel.remote);
        states[tunnel.port] = tunnel.flow_remote || peer == peers_.end() ? flow_port_state(tunnel) : peer->second->port_state(tunnel.port, channels_of(tunnel, *known_directory(), nve_side_.connected()));
    }
    for (const Problem& problem : config_->problems) {
        if (!problem.port.empty()) {
            auto [it, unusable] = states.try_emplace(problem.port, PortState{"error", "", problem.text});
            if (!unusable && it->second.error.empty()) {
                it->second.error = problem.text;
            }
        }
    }
    for (auto& [port, state] : states) {
        if (state.error.empty()) {
            state.error = general;
        }
    }
    return states;
}

AgentView Peers::view() const
{
    AgentView view;
    view.now = clock_.now();
    if (switch_) {
        view.switch_up = switch_->is_up();
        view.switch_problem = switch_->problem();
    }
    view.switch_aead = switch_aead_;
    if (wants_certificates()) {
        view.credentials_problem = credentials_.problem();
    }
    if (credentials_.context()) {
        view.own_name = credentials_.context()->own_identity().name;
        view.own_not_after = credentials_.context()->own_identity().not_after;
        view.trust_ends = credentials_.context()->trust_ends();
    }
    view.listen_problem = listen_problem_;
    if (config_) {
        view.problems = config_->problems;
        view.control_rate = config_->control_rate;
        view.control_burst = config_->control_burst;
    }
    for (const auto& [remote, peer] : peers_) {
        view.peers.push_back(peer->view());
    }
    view.directory_problems = directory_problems_;
    view.networks = networks_;
    overlay_.fill(view);
    hypervisor_.fill(view);
    view.hypervisors = nve_side_.view();
    view.hypervisor_rate = config_ ? config_->hypervisor_rate : 0;
    for (HypervisorView& hypervisor : view.hypervisors) {
        for (auto& tsi : hypervisor.tsis) {
            if (auto refused = networks_->refused_tsis.find(hypervisor.name + "/" + tsi.tsi); refused != networks_->refused_tsis.end()) {
                tsi.reason = refused->second;
            }
        }
    }
    // Those of hypervisors are told above.
    std::erase_if(view.tsis, [](const TsiView& tsi) { return tsi.port.find('/') != std::string::npos; });
    return view;
}

}  // namespace nvo3::agent
