// SPDX-License-Identifier: Apache-2.0
//
// See show.h: what an NVA runs.
#include <sstream>

#include "hvagent/show.h"
#include "hvagent/show_json.h"

namespace nvo3::agent {
namespace {

using nlohmann::json;

template <class List>
std::string join(const List& list)
{
    std::string text;
    for (const auto& item : list) {
        text += text.empty() ? "" : ", ";
        if constexpr (requires { item.to_string(); }) {
            text += item.to_string();
        } else {
            text += item;
        }
    }
    return text;
}

json texts(const std::vector<base::IpAddress>& addresses)
{
    json list = json::array();
    for (const base::IpAddress& address : addresses) {
        list.push_back(address.to_string());
    }
    return list;
}

const char* const kNoNva = "no NVA is configured: name them in other_config:nvo3-nva";

std::string directory_state(const AgentView& view)
{
    const auto& directory = *view.networks->directory;
    std::string count = std::to_string(directory.vns.size()) + " networks";
    if (view.nva.list.empty() && !view.is_hypervisor) {
        return kNoNva;
    }
    return directory.complete ? "complete, " + count : "not complete yet, " + count;
}

}  // namespace

std::string show_nvas(const AgentView& view, bool as_json)
{
    std::vector<std::string> problems = view.directory_problems;
    problems.insert(problems.end(), view.multicast_problems.begin(), view.multicast_problems.end());
    if (as_json) {
        json value{{"name", view.networks->own_name},
                   {"complete", view.networks->directory->complete},
                   {"networks", view.networks->directory->vns.size()},
                   {"sessions_opened", view.nva.sessions},
                   {"problems", problems}};
        value["nvas"] = json::array();
        for (const ServerEndpointView& nva : view.nva.list) {
            json entry{{"endpoint", nva.endpoint}, {"in_use", nva.in_use}};
            if (!nva.name.empty()) {
                entry["name"] = nva.name;
            }
            if (!nva.error.empty()) {
                entry["error"] = nva.error;
            }
            if (nva.in_use && view.nva.session) {
                entry["session"] = {{"tls", view.nva.session->tls},
                                    {"age_seconds", seconds(view.nva.session->opened, view.now)},
                                    {"messages_in", view.nva.session->messages_in},
                                    {"messages_out", view.nva.session->messages_out}};
            }
            value["nvas"].push_back(std::move(entry));
        }
        return dump(value);
    }
    std::ostringstream out;
    out << "directory: " << directory_state(view) << "\n";
    for (const std::string& problem : problems) {
        out << "problem: " << problem << "\n";
    }
    for (const ServerEndpointView& nva : view.nva.list) {
        out << (nva.name.empty() ? nva.endpoint : nva.name + " (" + nva.endpoint + ")") << ": " << (nva.in_use ? "in use" : "not in use") << "\n";
        if (nva.in_use && view.nva.session) {
            out << "    session: " << view.nva.session->tls << ", begun " << seconds(view.nva.session->opened, view.now) << " s ago\n";
        } else if (!nva.error.empty()) {
            out << "    " << nva.error << "\n";
        }
    }
    return out.str();
}

std::string show_vns(const AgentView& view, bool as_json)
{
    const NetworkView& networks = *view.networks;
    json list = json::array();
    std::ostringstream out;
    for (const auto& [vni, vn] : networks.directory->vns) {
        auto found = networks.reach.find(vni);
        const VnReach reach = found == networks.reach.end() ? VnReach{} : found->second;
        json value{{"vni", vni.value},         {"name", vn->name}, {"encap", to_string(vn->encap)}, {"cipher", esp::to_string(vn->cipher)},
                   {"groups", texts(vn->groups)}};
        value["flooding"] = reach.group ? reach.group->remote.to_string() : "copies";
        out << vn->name << " (VNI " << vni.value << "): " << to_string(vn->encap) << ", " << esp::to_string(vn->cipher) << ", flooding by "
            << (reach.group ? "group " + reach.group->remote.to_string() : "a copy to each member") << "\n";
        value["members"] = json::array();
        for (const auto& [name, addresses] : vn->members) {
            json member{{"name", name}, {"addresses", texts(addresses)}};
            auto path = reach.members.find(name);
            out << "    member " << name << ": " << join(addresses);
            if (path != reach.members.end()) {
                member["by"] = path->second.remote.to_string();
            } else {
                member["by"] = nullptr;
                out << (name == networks.own_name ? " (this host)" : " (cannot be reached, see nva/show)");
            }
            out << "\n";
            value["members"].push_back(std::move(member));
        }
        value["mappings"] = json::array();
        for (const auto& [mac, mapping] : vn->mappings) {
            value["mappings"].push_back({{"mac", to_string(mac)}, {"addresses", texts(mapping.addresses)}, {"nve", mapping.nve}});
            out << "    " << to_string(mac) << " at " << mapping.nve << (mapping.addresses.empty() ? "" : ": " + join(mapping.addresses)) << "\n";
        }
        list.push_back(std::move(value));
    }
    if (as_json) {
        return dump(list);
    }
    return list.empty() ? "no networks: directory: " + directory_state(view) + "\n" : out.str();
}

std::string show_hypervisors(const AgentView& view, bool as_json)
{
    json list = json::array();
    std::ostringstream out;
    for (const HypervisorView& hypervisor : view.hypervisors) {
        json value{{"name", hypervisor.name},       {"address", hypervisor.address.to_string()}, {"connected", hypervisor.session.has_value()},
                   {"settled", hypervisor.settled}, {"messages", hypervisor.messages},           {"refused", hypervisor.refused},
                   {"slow_downs", hypervisor.slow_downs}, {"cut_off", hypervisor.cut_off},       {"interfaces", hypervisor.tsis.size()}};
        out << hypervisor.name << " (" << hypervisor.address.to_string() << "): ";
        if (hypervisor.session) {
            value["session"] = {{"tls", hypervisor.session->tls}, {"age_seconds", seconds(hypervisor.session->opened, view.now)},
                                {"receive_throttled", hypervisor.session->receive_throttled}};
            out << "control session " << hypervisor.session->tls << ", begun " << seconds(hypervisor.session->opened, view.now) << " s ago\n";
        } else {
            out << "no control session" << (hypervisor.error.empty() ? "" : ": " + hypervisor.error) << "\n";
        }
        if (!hypervisor.error.empty()) {
            value["error"] = hypervisor.error;
        }
        value["networks"] = json::array();
        std::vector<std::string> networks;
        for (base::Vni vni : hypervisor.networks) {
            value["networks"].push_back(vni.value);
            networks.push_back(std::to_string(vni.value));
        }
        out << "    networks: " << (networks.empty() ? "none" : join(networks)) << "; " << hypervisor.tsis.size() << " interfaces, see tsi/show\n"
            << "    " << hypervisor.messages << " messages (limit " << view.hypervisor_rate << " a second), " << hypervisor.refused << " refused, told to slow down "
            << hypervisor.slow_downs << " times, cut off " << hypervisor.cut_off << " times\n";
        list.push_back(std::move(value));
    }
    if (as_json) {
        return dump({{"hypervisors", list}, {"rate", view.hypervisor_rate}});
    }
    return list.empty() ? "no hypervisors: no port has options:nvo3_role=hypervisor\n" : out.str();
}

std::string show_groups(const AgentView& view, bool as_json)
{
    json list = json::array();
    std::ostringstream out;
    for (const GroupView& group : view.groups) {
        json value{{"vni", group.id.vni.value}, {"address", group.id.address.to_string()}, {"epoch", group.epoch}, {"state", group.state},
                   {"senders", group.senders},  {"former", group.former}};
        out << to_string(group.id) << ": " << group.state;
        if (group.epoch != 0) {
            value["cipher"] = esp::to_string(group.cipher);
            out << ", epoch " << group.epoch << ", " << esp::to_string(group.cipher);
        }
        if (group.spi.value != 0) {
            value["spi"] = to_string(group.spi);
            out << ", spi=" << to_string(group.spi);
        }
        out << "\n    senders: " << (group.senders.empty() ? "none" : join(group.senders));
        if (group.former != 0) {
            out << ", and " << group.former << " SAs on their way out";
        }
        out << "\n";
        if (!group.error.empty()) {
            value["error"] = group.error;
            out << "    " << group.error << "\n";
        }
        list.push_back(std::move(value));
    }
    if (as_json) {
        return dump(list);
    }
    return list.empty() ? "no groups: no network of the directory has an underlay multicast address that this host can use\n" : out.str();
}

std::string show_tsis(const AgentView& view, bool as_json)
{
    json list = json::array();
    std::ostringstream out;
    for (const TsiView& tsi : view.tsis) {
        json value{{"port", tsi.port.empty() ? json(nullptr) : json(tsi.port)}, {"vn", tsi.vn}, {"mac", to_string(tsi.mac)}, {"addresses", texts(tsi.addresses)}, {"state", tsi.state}};
        out << (tsi.port.empty() ? "no port" : tsi.port) << ": network " << tsi.vn;
        if (tsi.vni) {
            value["vni"] = tsi.vni->value;
            out << " (VNI " << tsi.vni->value << ")";
        }
        out << ", " << to_string(tsi.mac) << (tsi.addresses.empty() ? "" : ", " + join(tsi.addresses)) << ": " << tsi.state;
        if (!tsi.vm.empty()) {
            value.update({{"tsi", tsi.id}, {"vm", tsi.vm}, {"vm_state", tsi.run}});
            out << " (" << tsi.vm << ", " << tsi.run << ")";
        }
        if (!tsi.reason.empty()) {
            value["reason"] = tsi.reason;
            out << ": " << tsi.reason;
        }
        out << "\n";
        list.push_back(std::move(value));
    }
    for (const HypervisorView& hypervisor : view.hypervisors) {
        for (const HypervisorView::Interface& tsi : hypervisor.tsis) {
            json value{{"hypervisor", hypervisor.name}, {"tsi", tsi.tsi},    {"vm", tsi.vm},        {"vni", tsi.vni.value},
                       {"mac", to_string(tsi.mac)},     {"addresses", texts(tsi.addresses)}, {"state", tsi.state}};
            out << hypervisor.name << "/" << tsi.tsi << (tsi.vm.empty() ? "" : " of " + tsi.vm) << ": VNI " << tsi.vni.value << ", " << to_string(tsi.mac)
                << (tsi.addresses.empty() ? "" : ", " + join(tsi.addresses)) << ": " << tsi.state;
            if (!tsi.reason.empty()) {
                value["reason"] = tsi.reason;
                out << ": " << tsi.reason;
            }
            out << "\n";
            list.push_back(std::move(value));
        }
    }
    if (as_json) {
        return dump({{"tsis", list}});
    }
    if (view.nva.list.empty() && !view.is_hypervisor && list.empty()) {
        return std::string("no tenant system interfaces: ") + kNoNva + "\n";
    }
    return list.empty() ? "no tenant system interfaces: no port has external_ids:nvo3-vn\n" : out.str();
}

}  // namespace nvo3::agent
