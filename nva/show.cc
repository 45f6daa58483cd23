// SPDX-License-Identifier: Apache-2.0
//
// See show.h.
#include "nva/show.h"

#include <nlohmann/json.hpp>
#include <sstream>

namespace nvo3::nva {
namespace {

using nlohmann::json;

// Names may hold anything: octets that are not UTF-8 are replaced.
std::string dump(const json& value)
{
    return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

json texts(const std::vector<base::IpAddress>& addresses)
{
    json list = json::array();
    for (const base::IpAddress& address : addresses) {
        list.push_back(address.to_string());
    }
    return list;
}

std::string words(const std::vector<base::IpAddress>& addresses)
{
    std::string text;
    for (const base::IpAddress& address : addresses) {
        text += " " + address.to_string();
    }
    return text;
}

std::string store_words(const ServiceView& view, StoreState state)
{
    if (!view.store && state != StoreState::fresh) {
        return state == StoreState::empty ? "connected, but not initialised: nvo3-nvactl init" : "not reached yet";
    }
    if (!view.store_lost_seconds) {
        return "fresh";
    }
    return "lost " + std::to_string(*view.store_lost_seconds) + " s ago: " +
           (view.stale ? "no NVE is served before it is back" : "serving what was known last, for a few seconds");
}

std::string policy_words(const ServiceView& view)
{
    return view.store && view.store->policy ? view.store->policy->summary() : "none that is good is known: NVEs keep what they have";
}

json to_json(const SessionView& session)
{
    return {{"name", session.name},
            {"address", session.address.to_string()},
            {"tls", session.tls},
            {"age_seconds", session.age_seconds},
            {"ready", session.ready},
            {"networks", session.networks},
            {"behind", session.behind},
            {"policy_told", session.policy_told},
            {"queued", session.queued},
            {"pending", session.pending},
            {"messages_in", session.messages_in},
            {"messages_out", session.messages_out},
            {"receive_throttled", session.receive_throttled},
            {"send_throttled", session.send_throttled},
            {"vn_refused", session.vn_refused},
            {"mappings_accepted", session.mappings.accepted},
            {"mappings_refused", session.mappings.refused}};
}

json to_json(const Vn& vn, uint64_t version, bool whole)
{
    json value{{"name", vn.name},
               {"vni", vn.vni.value},
               {"encap", to_string(vn.encap)},
               {"cipher", esp::to_string(vn.cipher)},
               {"version", version}};
    json groups = json::array();
    for (const auto& [address, group] : vn.groups) {
        groups.push_back(address.to_string());
    }
    value["groups"] = groups;
    if (!whole) {
        value["members"] = vn.members.size();
        value["mappings"] = vn.mappings.size();
        return value;
    }
    value["members"] = json::array();
    for (const auto& [name, addresses] : vn.members) {
        value["members"].push_back({{"name", name}, {"addresses", texts(addresses)}});
    }
    value["mappings"] = json::array();
    for (const auto& [mac, mapping] : vn.mappings) {
        value["mappings"].push_back({{"mac", to_string(mac)}, {"nve", mapping.nve}, {"addresses", texts(mapping.addresses)}});
    }
    return value;
}

void print(std::ostream& out, const Vn& vn, uint64_t version, bool whole)
{
    out << vn.name << ": vni=" << vn.vni.value << " " << to_string(vn.encap) << " " << esp::to_string(vn.cipher) << ", " << vn.members.size()
        << " members, " << vn.mappings.size() << " mappings, version " << version << "\n";
    if (!whole) {
        return;
    }
    for (const auto& [address, group] : vn.groups) {
        out << "    group " << address.to_string() << "\n";
    }
    for (const auto& [name, addresses] : vn.members) {
        out << "    member " << name << words(addresses) << "\n";
    }
    for (const auto& [mac, mapping] : vn.mappings) {
        out << "    " << to_string(mac) << " at " << mapping.nve << words(mapping.addresses) << "\n";
    }
}

}  // namespace

std::string show_sessions(const ServiceView& view, StoreState state, bool as_json)
{
    if (as_json) {
        json value{{"name", view.own_name},
                   {"listening", view.listening},
                   {"store", store_words(view, state)},
                   {"store_fresh", state == StoreState::fresh},
                   {"serving", view.store && !view.stale},
                   {"policy", policy_words(view)},
                   {"policy_error", view.store && !view.store->policy_error.empty() ? json(view.store->policy_error) : json(nullptr)},
                   {"groups_enabled", view.groups_enabled},
                   {"refused", view.refused},
                   {"problems", view.problems}};
        value["sessions"] = json::array();
        for (const SessionView& session : view.sessions) {
            value["sessions"].push_back(to_json(session));
        }
        return dump(value);
    }
    std::ostringstream out;
    out << "this NVA: " << (view.own_name.empty() ? "no certificate" : view.own_name) << "\n";
    out << "listening: " << (view.listening.empty() ? "no" : view.listening) << "\n";
    out << "store: " << store_words(view, state) << "\n";
    out << "policy: " << policy_words(view) << "\n";
    if (!view.groups_enabled) {
        out << "groups: off, as --group-key is not given\n";
    }
    for (const std::string& problem : view.problems) {
        out << "problem: " << problem << "\n";
    }
    out << "refused: " << view.refused << " connections and sessions\n";
    for (const SessionView& session : view.sessions) {
        out << session.name << " (" << session.address.to_string() << "): " << (session.ready ? "ready" : "being told") << "\n"
            << "    session: " << session.tls << ", " << session.age_seconds << " s\n"
            << "    networks: " << session.networks << ", behind in " << session.behind << "; policy "
            << (session.policy_told ? "told" : "not told yet") << "; queued " << session.queued << ", pending "
            << session.pending << "\n"
            << "    messages: in " << session.messages_in << " (held back " << session.receive_throttled << " times), out "
            << session.messages_out << " (held back " << session.send_throttled << " times)\n"
            << "    mappings: " << session.mappings.accepted << " accepted, " << session.mappings.refused << " refused\n";
    }
    if (view.sessions.empty()) {
        out << "no sessions\n";
    }
    return out.str();
}

std::string show_store(const ServiceView& view, StoreState state, bool as_json)
{
    if (!as_json) {
        return store_words(view, state) + "\n";
    }
    return dump({{"store", store_words(view, state)}, {"store_fresh", state == StoreState::fresh}, {"serving", view.store && !view.stale}});
}

base::Result<std::string> show_vns(const ServiceView& view, const std::string& which, bool as_json)
{
    json list = json::array();
    std::ostringstream out;
    if (view.store) {
        auto number = base::Vni::parse(which);
        for (const auto& [vni, vn] : view.store->vns) {
            if (!which.empty() && vn->name != which && !(number && *number == vni)) {
                continue;
            }
            auto version = view.versions.find(vni);
            uint64_t v = version == view.versions.end() ? 0 : version->second;
            list.push_back(to_json(*vn, v, !which.empty()));
            print(out, *vn, v, !which.empty());
        }
    }
    if (list.empty() && !which.empty()) {
        return base::Error{ENOENT, "no network is called " + which + "; see vn/show"};
    }
    return as_json ? dump(list) : list.empty() ? std::string("no networks\n") : out.str();
}

std::string show_groups(const ServiceView& view, bool as_json)
{
    json list = json::array();
    std::ostringstream out;
    if (!view.groups_enabled) {
        out << "groups are off, as --group-key is not given\n";
    }
    for (const GroupView& group : view.groups) {
        list.push_back({{"vn", group.vn},
                        {"vni", group.vni.value},
                        {"address", group.address.to_string()},
                        {"epoch", group.epoch},
                        {"age_seconds", group.age_seconds},
                        {"members", group.members},
                        {"told", group.told},
                        {"senders", group.senders},
                        {"waiting", group.waiting},
                        {"postponed", group.postponed}});
        out << group.address.to_string() << " of " << group.vn << ": epoch " << group.epoch << " for " << group.age_seconds << " s, "
            << group.members << " members, " << group.told << " told, " << group.senders << " senders"
            << (group.waiting ? ", " + std::to_string(group.waiting) + " wait for the next epoch" : "")
            << (group.postponed ? ", " + std::to_string(group.postponed) + " requests for one postponed" : "") << "\n";
    }
    if (as_json) {
        return dump({{"enabled", view.groups_enabled}, {"groups", list}});
    }
    return list.empty() && view.groups_enabled ? "no groups\n" : out.str();
}

}  // namespace nvo3::nva
