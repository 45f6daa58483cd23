// SPDX-License-Identifier: Apache-2.0
//
// What "ovs-appctl -t hvagent .../show" prints, as text or JSON.
//
// Place: renders an AgentView, used by commands.cc.  Thread: pure functions.
#ifndef HVAGENT_SHOW_H
#define HVAGENT_SHOW_H

#include <map>
#include <string>
#include <vector>

#include "control/audit.h"
#include "hvagent/view.h"

namespace nvo3::agent {

std::string show_peers(const AgentView&, bool json);
std::string show_sas(const AgentView&, bool json);
std::string show_throttle(const AgentView&, bool json);
std::string show_nves(const AgentView&, bool json);
std::string show_nvas(const AgentView&, bool json);
std::string show_vns(const AgentView&, bool json);
std::string show_groups(const AgentView&, bool json);
std::string show_tsis(const AgentView&, bool json);
// hypervisor/show: those of this external NVE.
std::string show_hypervisors(const AgentView&, bool as_json);
// For Prometheus; 'events' are those of the audit log.
std::string show_metrics(const AgentView&, const std::map<control::AuditKind, uint64_t>& events, bool policy_refused);

}  // namespace nvo3::agent
#endif
