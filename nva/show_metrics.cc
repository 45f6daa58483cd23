// SPDX-License-Identifier: Apache-2.0
//
// See show.h: numbers for Prometheus.
#include "base/metrics.h"
#include "nva/show.h"

namespace nvo3::nva {

std::string show_metrics(const ServiceView& view, StoreState state, const std::map<control::AuditKind, uint64_t>& events)
{
    uint64_t queued = 0, pending = 0, behind = 0, ready = 0, throttled = 0;
    for (const SessionView& session : view.sessions) {
        queued += session.queued;
        pending += session.pending;
        behind += session.behind;
        ready += session.ready;
        throttled += session.receive_throttled != 0;
    }
    base::MetricsText out;
    out.gauge("nvo3_nva_store_fresh", "1 while what the NVA knows is what the store has.").sample(state == StoreState::fresh ? 1 : 0);
    out.gauge("nvo3_nva_serving", "1 while NVEs are served.").sample(view.store && !view.stale ? 1 : 0);
    out.gauge("nvo3_nva_problems", "Problems of credentials, listening and the store; session/show has them in words.").sample(view.problems.size());
    out.gauge("nvo3_nva_policy_refused", "1 while the policy in the store is wrong, so that the former one is in force; session/show has it in words.");
    out.sample(view.store && !view.store->policy_error.empty() ? 1 : 0);
    if (view.own_not_after) {
        out.gauge("nvo3_nva_certificate_not_after_timestamp_seconds", "When the NVA's certificate ends.");
        out.sample(*view.own_not_after, {{"name", view.own_name}});
    }
    out.gauge("nvo3_nva_trust_end_timestamp_seconds", "When the first CA ends that is trusted, and when the first CRL is to be renewed.");
    for (const auto& [what, end] : {std::pair{"CA", view.trust_ends.ca}, {"CRL", view.trust_ends.crl}}) {
        if (end) {
            out.sample(*end, {{"what", what}});
        }
    }
    out.counter("nvo3_nva_events_total", "Events of the audit log: authenticated and refused are handshakes, and requests of NVEs.");
    for (const auto& [kind, count] : events) {
        out.sample(count, {{"event", control::to_string(kind)}});
    }
    out.counter("nvo3_nva_refused_total", "Connections and sessions that were refused.").sample(view.refused);
    out.gauge("nvo3_nva_sessions", "Sessions with NVEs, by whether the NVE was told all.");
    out.sample(ready, {{"state", "ready"}}).sample(view.sessions.size() - ready, {{"state", "being_told"}});
    out.gauge("nvo3_nva_sessions_throttled", "Sessions whose messages the rate limit has held back.").sample(throttled);
    out.gauge("nvo3_nva_queued_messages", "Messages that wait to be sent, of all sessions.").sample(queued);
    out.gauge("nvo3_nva_pending_changes", "Changes of NVEs on their way to the store.").sample(pending);
    out.gauge("nvo3_nva_networks_behind", "Networks whose newest state an NVE was not told yet, over all sessions.").sample(behind);
    out.gauge("nvo3_nva_networks", "Virtual networks in the store.").sample(view.store ? view.store->vns.size() : 0);
    return out.take();
}

}  // namespace nvo3::nva
