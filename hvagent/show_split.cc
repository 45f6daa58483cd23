// SPDX-License-Identifier: Apache-2.0
//
// See show.h: what a hypervisor shows of its external NVEs.
#include <sstream>

#include "hvagent/show.h"
#include "hvagent/show_json.h"

namespace nvo3::agent {
namespace {

using nlohmann::json;

}  // namespace

std::string show_nves(const AgentView& view, bool as_json)
{
    if (as_json) {
        json value{{"hypervisor", view.is_hypervisor},
                   {"name", view.networks->own_name},
                   {"complete", view.networks->directory->complete},
                   {"networks", view.networks->directory->vns.size()},
                   {"sessions_opened", view.nve.sessions},
                   {"problems", view.tsi_problems}};
        value["nves"] = json::array();
        for (const ServerEndpointView& nve : view.nve.list) {
            json entry{{"endpoint", nve.endpoint}, {"in_use", nve.in_use}};
            if (!nve.name.empty()) {
                entry["name"] = nve.name;
            }
            if (!nve.error.empty()) {
                entry["error"] = nve.error;
            }
            if (nve.in_use && view.nve.session) {
                entry["session"] = {{"tls", view.nve.session->tls},
                                    {"age_seconds", seconds(view.nve.session->opened, view.now)},
                                    {"messages_in", view.nve.session->messages_in},
                                    {"messages_out", view.nve.session->messages_out}};
            }
            value["nves"].push_back(std::move(entry));
        }
        if (!view.libvirt_problem.empty()) {
            value["libvirt"] = view.libvirt_problem;
        }
        return dump(value);
    }
    if (!view.is_hypervisor) {
        return "this host is no hypervisor: other_config:nvo3-role is nve\n";
    }
    std::ostringstream out;
    out << "networks: " << view.networks->directory->vns.size() << (view.networks->directory->complete ? "" : ", not all is answered yet") << "\n";
    if (!view.libvirt_problem.empty()) {
        out << "libvirt: " << view.libvirt_problem << "\n";
    }
    for (const std::string& problem : view.tsi_problems) {
        out << "problem: " << problem << "\n";
    }
    for (const ServerEndpointView& nve : view.nve.list) {
        out << (nve.name.empty() ? nve.endpoint : nve.name + " (" + nve.endpoint + ")") << ": " << (nve.in_use ? "in use" : "not in use") << "\n";
        if (nve.in_use && view.nve.session) {
            out << "    control session: " << view.nve.session->tls << ", begun " << seconds(view.nve.session->opened, view.now) << " s ago\n";
        } else if (!nve.error.empty()) {
            out << "    " << nve.error << "\n";
        }
    }
    return out.str();
}

std::string show_vm_events(const AgentView& view)
{
    if (!view.is_hypervisor) {
        return "VM events: not throttled, as this host is no hypervisor (nvo3-role)\n";
    }
    const ThrottleView& throttle = view.throttle;
    std::ostringstream out;
    out << "VM events: " << throttle.limits.per_second << " messages a second of this host, " << throttle.limits.vm_per_second << " of one VM\n";
    if (throttle.told != 0) {
        out << "    the NVE has asked for at most " << throttle.told << " a second\n";
    }
    out << "    sent " << throttle.sent << ", merged " << throttle.merged << ", held back for a while " << throttle.waited << " (at most "
        << throttle.longest_wait.count() << " ms)\n";
    for (const auto& [vm, count] : throttle.held) {
        out << "    held of " << (vm.empty() ? "networks" : vm) << ": " << count << "\n";
    }
    return out.str();
}

nlohmann::json vm_events_json(const AgentView& view)
{
    if (!view.is_hypervisor) {
        return nullptr;
    }
    const ThrottleView& throttle = view.throttle;
    json value{{"rate", throttle.limits.per_second}, {"vm_rate", throttle.limits.vm_per_second}, {"sent", throttle.sent}, {"merged", throttle.merged},
               {"waited", throttle.waited}, {"longest_wait_ms", throttle.longest_wait.count()}, {"held", throttle.held}};
    if (throttle.told != 0) {
        value["nve_rate"] = throttle.told;
    }
    return value;
}

}  // namespace nvo3::agent
