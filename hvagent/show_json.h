// SPDX-License-Identifier: Apache-2.0
//
// What the show functions share.
//
// Place: internal to show.cc and show_overlay.cc.
#ifndef HVAGENT_SHOW_JSON_H
#define HVAGENT_SHOW_JSON_H

#include <nlohmann/json.hpp>
#include <string>

#include "hvagent/view.h"

namespace nvo3::agent {

inline int64_t seconds(TimePoint from, TimePoint to)
{
    return std::chrono::duration_cast<std::chrono::seconds>(to - from).count();
}

// Names and texts of peers may hold anything: octets that are not UTF-8 are replaced.
inline std::string dump(const nlohmann::json& value)
{
    return value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// Parts of throttle/show: what the throttle between VMs and external NVE does.
nlohmann::json vm_events_json(const AgentView&);
std::string show_vm_events(const AgentView&);

}  // namespace nvo3::agent

#endif
