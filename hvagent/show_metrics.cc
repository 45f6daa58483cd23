// SPDX-License-Identifier: Apache-2.0
//
// See show.h: numbers for Prometheus.  What the switch counts it tells itself (nvo3/metrics).
#include <algorithm>
#include <array>

#include "base/metrics.h"
#include "hvagent/show.h"

namespace nvo3::agent {
namespace {

void write_peers(const AgentView& view, base::MetricsText& out)
{
    static constexpr std::array kStates{"up", "connecting", "waiting", "error"};
    out.gauge("hvagent_peers", "Peers by state.");
    for (const char* state : kStates) {
        out.sample(static_cast<uint64_t>(std::ranges::count(view.peers, state, &PeerView::state)), {{"state", state}});
    }
    out.counter("hvagent_sessions_opened_total", "Handshakes with a peer that ended in a session.");
    for (const PeerView& peer : view.peers) {
        out.sample(peer.sessions, {{"peer", peer.name}, {"address", peer.remote.to_string()}});
    }
    out.counter("hvagent_rekeys_total", "Security associations that took the place of one, by peer.");
    for (const PeerView& peer : view.peers) {
        out.sample(peer.rekeys, {{"peer", peer.name}, {"address", peer.remote.to_string()}});
    }
    // Of the session that lives: they begin anew with it, which rate() takes into account.
    out.counter("hvagent_control_throttled_total", "Times that the rate limit held control messages back, by peer and direction.");
    for (const PeerView& peer : view.peers) {
        if (peer.session) {
            out.sample(peer.session->receive_throttled, {{"peer", peer.name}, {"address", peer.remote.to_string()}, {"direction", "in"}});
            out.sample(peer.session->send_throttled, {{"peer", peer.name}, {"address", peer.remote.to_string()}, {"direction", "out"}});
        }
    }
}

void write_servers(const ServerView& server, const char* kind, base::MetricsText& out)
{
    const std::string name = std::string("hvagent_") + kind;
    out.gauge(name + "_connected", "1 with a session, 0 without.");
    out.sample(server.session ? 1 : 0);
    out.counter(name + "_sessions_opened_total", "Handshakes that ended in a session.");
    out.sample(server.sessions);
}

void write_hypervisor(const AgentView& view, base::MetricsText& out)
{
    const ThrottleView& throttle = view.throttle;
    out.counter("hvagent_vm_messages_total", "Messages about VMs to the external NVE, by what the throttle did with them.");
    out.sample(throttle.sent, {{"outcome", "sent"}}).sample(throttle.merged, {{"outcome", "merged"}}).sample(throttle.waited, {{"outcome", "held_back"}});
    uint64_t held = 0;
    for (const auto& [vm, count] : throttle.held) {
        held += count;
    }
    out.gauge("hvagent_vm_messages_held", "Messages about VMs that wait for their turn.").sample(held);
}

void write_hypervisors(const AgentView& view, base::MetricsText& out)
{
    out.gauge("hvagent_hypervisor_connected", "1 while a hypervisor of this external NVE has a control session.");
    for (const HypervisorView& one : view.hypervisors) {
        out.sample(one.session ? 1 : 0, {{"hypervisor", one.name}});
    }
    out.counter("hvagent_hypervisor_refused_total", "Messages of a hypervisor that were refused.");
    for (const HypervisorView& one : view.hypervisors) {
        out.sample(one.refused, {{"hypervisor", one.name}});
    }
    out.counter("hvagent_hypervisor_slowed_total", "Times that a hypervisor was told to slow down.");
    for (const HypervisorView& one : view.hypervisors) {
        out.sample(one.slow_downs, {{"hypervisor", one.name}});
    }
}

}  // namespace

std::string show_metrics(const AgentView& view, const std::map<control::AuditKind, uint64_t>& events, bool policy_refused)
{
    base::MetricsText out;
    out.gauge("hvagent_switch_connected", "1 while this agent keys the switch.").sample(view.switch_up ? 1 : 0);
    out.gauge("hvagent_problems", "Problems of configuration and credentials; peer/show has them in words.");
    out.sample(view.problems.size() + view.directory_problems.size() + view.multicast_problems.size() + (view.credentials_problem.empty() ? 0 : 1) +
               (view.listen_problem.empty() ? 0 : 1));
    out.gauge("hvagent_policy_refused", "1 while the newest policy is wrong, so that the former one is in force, or none; policy/show has it in words.");
    out.sample(policy_refused ? 1 : 0);
    if (view.own_not_after) {
        out.gauge("hvagent_certificate_not_after_timestamp_seconds", "When this host's certificate ends.");
        out.sample(*view.own_not_after, {{"name", view.own_name}});
    }
    out.gauge("hvagent_trust_end_timestamp_seconds", "When the first CA ends that is trusted, and when the first CRL is to be renewed.");
    for (const auto& [what, end] : {std::pair{"CA", view.trust_ends.ca}, {"CRL", view.trust_ends.crl}}) {
        if (end) {
            out.sample(*end, {{"what", what}});
        }
    }
    out.counter("hvagent_events_total", "Events of the audit log: authenticated and refused are handshakes, and requests of peers.");
    for (const auto& [kind, count] : events) {
        out.sample(count, {{"event", control::to_string(kind)}});
    }
    write_peers(view, out);
    if (!view.nva.list.empty()) {
        write_servers(view.nva, "nva", out);
    }
    if (view.is_hypervisor) {
        write_servers(view.nve, "nve", out);
        write_hypervisor(view, out);
    }
    if (!view.nva.list.empty() || view.is_hypervisor) {
        out.gauge("hvagent_networks", "Virtual networks that this host is told of.").sample(view.networks->directory->vns.size());
        out.gauge("hvagent_directory_complete", "1 once all of them were told.").sample(view.networks->directory->complete ? 1 : 0);
    }
    if (!view.hypervisors.empty()) {
        write_hypervisors(view, out);
    }
    return out.take();
}

}  // namespace nvo3::agent
