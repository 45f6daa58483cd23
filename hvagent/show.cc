// SPDX-License-Identifier: Apache-2.0
//
// See show.h.
#include "hvagent/show.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "esp/sa.h"
#include "hvagent/show_json.h"

namespace nvo3::agent {
namespace {

using nlohmann::json;

json to_json(const SaView& sa, TimePoint now)
{
    json value{{"direction", esp::to_string(sa.direction)},
               {"spi", to_string(sa.sa.spi)},
               {"encap", to_string(sa.sa.channel.encap)},
               {"vni", sa.sa.channel.vni.value},
               {"cipher", esp::to_string(sa.sa.cipher)},
               {"generation", sa.sa.generation},
               {"state", sa.state},
               {"age_seconds", seconds(sa.installed, now)}};
    if (sa.direction == SaDirection::inbound && sa.sa.replay_window != 0) {
        value["replay_window"] = sa.sa.replay_window;
    }
    return value;
}

json to_json(const PeerView& peer, TimePoint now)
{
    json value{{"name", peer.name},
               {"address", peer.remote.to_string()},
               {"state", peer.state},
               {"authentication", peer.psk ? "psk" : "certificate"},
               {"ports", peer.ports},
               {"sessions_opened", peer.sessions}};
    if (!peer.error.empty()) {
        value["error"] = peer.error;
    }
    if (peer.session) {
        value["session"] = {{"tls", peer.session->tls},
                            {"begun_by", peer.session->initiator ? "this host" : "peer"},
                            {"role", peer.session->peer_role},
                            {"age_seconds", seconds(peer.session->opened, now)}};
    }
    if (peer.control) {
        value["control"] = {{"tls", peer.control->tls}, {"age_seconds", seconds(peer.control->opened, now)}};
    }
    value["networks"] = json::array();
    for (const ChannelView& channel : peer.channels) {
        json network{{"encap", to_string(channel.id.encap)},
                     {"vni", channel.id.vni.value},
                     {"cipher", esp::to_string(channel.config.cipher)},
                     {"inbound", channel.inbound_count},
                     {"outbound", channel.has_outbound ? 1 : 0}};
        for (const auto& [key, text] : {std::pair{"receive_error", &channel.error}, {"send_error", &channel.send_error}}) {
            if (!text->empty()) {
                network[key] = *text;
            }
        }
        value["networks"].push_back(network);
    }
    return value;
}

void print_peer(std::ostream& out, const PeerView& peer, TimePoint now)
{
    out << peer.name << " (" << peer.remote.to_string() << "): " << peer.state << "\n";
    if (!peer.error.empty()) {
        out << "    " << peer.error << "\n";
    }
    if (peer.session) {
        out << "    session: " << peer.session->tls << ", " << (peer.psk ? "psk" : "certificate, role " + peer.session->peer_role)
            << ", begun by " << (peer.session->initiator ? "this host" : "the peer") << " " << seconds(peer.session->opened, now) << " s ago\n";
    } else {
        out << "    session: none\n";
    }
    if (peer.control) {
        out << "    control session: " << peer.control->tls << ", begun " << seconds(peer.control->opened, now) << " s ago\n";
    }
    out << "    ports:";
    for (const std::string& port : peer.ports) {
        out << " " << port;
    }
    out << "\n";
    for (const ChannelView& channel : peer.channels) {
        out << "    " << to_string(channel.id) << ": " << esp::to_string(channel.config.cipher) << ", in=" << channel.inbound_count
            << " out=" << (channel.has_outbound ? 1 : 0) << "\n";
        for (const std::string* text : {&channel.error, &channel.send_error}) {
            if (!text->empty()) {
                out << "        " << *text << "\n";
            }
        }
    }
}

}  // namespace

std::string show_peers(const AgentView& view, bool as_json)
{
    if (as_json) {
        json value{{"name", view.own_name}, {"switch", view.switch_up ? "connected" : view.switch_problem}};
        value["problems"] = json::array();
        for (const std::string* text : {&view.credentials_problem, &view.listen_problem}) {
            if (!text->empty()) {
                value["problems"].push_back({{"text", *text}});
            }
        }
        for (const std::string& text : view.directory_problems) {
            value["problems"].push_back({{"text", text}});
        }
        for (const Problem& problem : view.problems) {
            json entry{{"text", problem.text}};
            if (!problem.port.empty()) {
                entry["port"] = problem.port;
            }
            value["problems"].push_back(entry);
        }
        value["peers"] = json::array();
        for (const PeerView& peer : view.peers) {
            value["peers"].push_back(to_json(peer, view.now));
        }
        return dump(value);
    }
    std::ostringstream out;
    out << "this host: " << (view.own_name.empty() ? "no certificate" : view.own_name) << "\n";
    out << "switch: " << (view.switch_up ? "connected, cipher library " + view.switch_aead : view.switch_problem) << "\n";
    for (const std::string* text : {&view.credentials_problem, &view.listen_problem}) {
        if (!text->empty()) {
            out << "problem: " << *text << "\n";
        }
    }
    for (const Problem& problem : view.problems) {
        out << "problem: " << (problem.port.empty() ? "" : "port " + problem.port + ": ") << problem.text << "\n";
    }
    for (const std::string& text : view.directory_problems) {
        out << "problem: " << text << "\n";
    }
    for (const PeerView& peer : view.peers) {
        print_peer(out, peer, view.now);
    }
    if (view.peers.empty()) {
        out << "no peers: no usable tunnel port on a bridge with datapath_type=nvo3\n";
    }
    return out.str();
}

std::string show_sas(const AgentView& view, bool as_json)
{
    json list = json::array();
    std::ostringstream out;
    for (const PeerView& peer : view.peers) {
        for (const ChannelView& channel : peer.channels) {
            for (const SaView& sa : channel.sas) {
                json value = to_json(sa, view.now);
                value["peer"] = peer.name;
                value["address"] = peer.remote.to_string();
                list.push_back(value);
                out << peer.name << " (" << peer.remote.to_string() << ") " << esp::to_string(sa.direction) << " spi=" << to_string(sa.sa.spi)
                    << " " << to_string(channel.id) << " " << esp::to_string(sa.sa.cipher) << " generation=" << sa.sa.generation
                    << " age=" << seconds(sa.installed, view.now) << "s " << sa.state << "\n";
            }
        }
    }
    if (as_json) {
        return dump(list);
    }
    return list.empty() ? "no security associations\n" : out.str();
}

std::string show_throttle(const AgentView& view, bool as_json)
{
    if (as_json) {
        json value{{"control", {{"rate", view.control_rate}, {"burst", view.control_burst}}}, {"vm_events", vm_events_json(view)}};
        value["peers"] = json::array();
        for (const PeerView& peer : view.peers) {
            if (peer.session) {
                value["peers"].push_back({{"name", peer.name},
                                          {"messages_in", peer.session->messages_in},
                                          {"messages_out", peer.session->messages_out},
                                          {"receive_throttled", peer.session->receive_throttled},
                                          {"send_throttled", peer.session->send_throttled}});
            }
        }
        return dump(value);
    }
    std::ostringstream out;
    out << "control channel: " << view.control_rate << " messages a second, " << view.control_burst << " at once\n";
    for (const PeerView& peer : view.peers) {
        if (peer.session) {
            out << "    " << peer.name << ": in " << peer.session->messages_in << " (held back " << peer.session->receive_throttled << " times), out "
                << peer.session->messages_out << " (held back " << peer.session->send_throttled << " times)\n";
        }
    }
    out << show_vm_events(view);
    return out.str();
}

}  // namespace nvo3::agent
