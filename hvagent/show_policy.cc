// SPDX-License-Identifier: Apache-2.0
//
// See show_policy.h.
#include "hvagent/show_policy.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "hvagent/show_json.h"
#include "policy/decide.h"

namespace nvo3::agent {
namespace {

using nlohmann::json;

json or_null(const std::string& text)
{
    return text.empty() ? json(nullptr) : json(text);
}

bool is_here(const PolicyState& state, const policy::Rule& rule)
{
    return state.pipeline.gateways.find(rule.from.vn) && state.pipeline.gateways.find(rule.to.vn);
}

uint64_t packets(const PolicyState& state, const std::string& rule)
{
    return state.counters.packets({Counted::Kind::rule, rule});
}

json show_json(const PolicyState& state)
{
    const policy::Policy none, &policy = state.policy ? *state.policy : none;
    json value{{"source", or_null(state.keeper.source())}, {"version", state.keeper.version()}, {"error", or_null(state.keeper.error())}};
    if (!state.why_none.empty()) {
        value["why_none"] = state.why_none;
    }
    value["counted_seconds_ago"] = state.counted ? json(*state.counted) : json(nullptr);
    value["problems"] = state.pipeline.gateways.problems();
    value["gateways"] = json::array();
    for (const policy::Gateway& gateway : policy.gateways) {
        json entry{{"vn", gateway.vn}, {"addresses", json::array()}, {"line", gateway.line}};
        for (const policy::Interface& address : gateway.addresses) {
            entry["addresses"].push_back(to_string(address));
        }
        if (const GatewayVn* here = state.pipeline.gateways.find(gateway.vn)) {
            entry.update({{"vni", here->vni.value}, {"mac", to_string(here->mac)}, {"zone", here->zone}});
        } else {
            entry["vni"] = nullptr;
        }
        value["gateways"].push_back(std::move(entry));
    }
    value["rules"] = json::array();
    for (const policy::Rule& rule : policy.rules) {
        const std::string text = to_string(rule);
        value["rules"].push_back({{"rule", text}, {"line", rule.line}, {"here", is_here(state, rule)}, {"packets", packets(state, text)}});
    }
    value["defaults"] = json::array();
    value["refused"] = json::object();
    for (const auto& [what, count] : state.counters.all()) {
        if (what.kind == Counted::Kind::by_default) {
            value["defaults"].push_back({{"from", what.text}, {"to", what.to}, {"packets", count}});
        } else if (what.kind == Counted::Kind::refused) {
            value["refused"][what.text] = count;
        }
    }
    return value;
}

// ---- policy/trace ----

struct Question {
    std::string vn;
    base::IpAddress source, destination;
    uint8_t proto = 0;
    uint16_t port = 0;
};

base::Result<Question> parse_question(const std::vector<std::string>& words)
{
    if (words.size() < 4) {
        return base::Error{EINVAL, "say VN SRC DST PROTO [PORT]: the network that the packet begins in, its addresses, its protocol and port"};
    }
    Question question{words[0], {}, {}, 0, 0};
    for (auto [word, address] : {std::pair(&words[1], &question.source), {&words[2], &question.destination}}) {
        auto parsed = base::IpAddress::parse(*word);
        if (!parsed) {
            return base::Error{EINVAL, *word + " is not an IP address"};
        }
        *address = *parsed;
    }
    auto proto = policy::parse_proto(words[3]);
    if (!proto) {
        return base::Error{EINVAL, words[3] + ": " + proto.error().text};
    }
    question.proto = *proto;
    if (words.size() > 4) {
        auto port = base::parse_number(words[4], 65535);
        if (!port) {
            return base::Error{EINVAL, words[4] + " is not a port from 0 to 65535"};
        }
        question.port = static_cast<uint16_t>(*port);
    }
    return question;
}

struct Trace {
    bool passes = false;
    std::vector<std::string> steps;         // sentences, in the order in which a packet meets them
    const policy::Rule* rule = nullptr;
    const GatewayVn *from = nullptr, *to = nullptr;
    const NextHop* hop = nullptr;
    std::string host;                       // where 'hop' is
};

std::string name_of(const GatewayVn& vn)
{
    return "network " + vn.gateway->vn + " (VNI " + std::to_string(vn.vni.value) + ")";
}

std::string place_of(const PolicyState& state, const GatewayVn& vn, const NextHop& hop)
{
    if (hop.local) {
        return "this host";
    }
    const VnView* view = state.networks.directory->find(vn.vni);
    auto mapping = view ? view->mappings.find(hop.mac) : decltype(view->mappings.find(hop.mac)){};
    return view && mapping != view->mappings.end() ? mapping->second.nve : "another host";
}

Trace trace(const PolicyState& state, const Question& question)
{
    Trace out;
    const GatewayMap& gateways = state.pipeline.gateways;
    const VnView* vn = find_vn(*state.networks.directory, question.vn);
    if (!vn) {
        out.steps.push_back("network " + question.vn + " is not served here: this host has none of its keys, see vn/show");
        return out;
    }
    out.from = gateways.find(vn->vni);
    if (!out.from) {
        out.steps.push_back("network " + question.vn + " has no gateway: nothing leaves it");
        return out;
    }
    out.steps.push_back("gateway of " + name_of(*out.from) + ": " + to_string(out.from->mac) + ", conntrack zone " + std::to_string(out.from->zone));
    if (out.from->gateway->has_address(question.destination)) {
        out.steps.push_back(question.destination.to_string() + " is the gateway itself: it answers echo requests, and nothing else");
        return out;
    }
    const policy::Verdict verdict =
        policy::decide(*state.policy, out.from->gateway->vn, question.source, question.destination, question.proto, question.port);
    if (verdict.log) {
        out.steps.push_back("logged by the rule of line " + std::to_string(verdict.log->line) + ": " + to_string(*verdict.log));
    }
    out.rule = verdict.rule;
    out.steps.push_back(verdict.reason);
    if (!verdict.allowed || verdict.to == out.from->gateway->vn) {
        out.passes = verdict.allowed;
        return out;
    }
    out.to = gateways.find(verdict.to);
    if (!out.to) {
        out.steps.push_back("network " + verdict.to + " is not served here: this host has none of its keys, and routes nothing to it");
        return out;
    }
    if (out.to->gateway->has_address(question.destination)) {
        out.steps.push_back(question.destination.to_string() + " is the gateway of " + name_of(*out.to) + ", which answers in its own network only");
        return out;
    }
    auto hops = state.pipeline.hops.find(out.to->vni);
    if (hops != state.pipeline.hops.end()) {
        auto hop = hops->second.find(question.destination);
        out.hop = hop == hops->second.end() ? nullptr : &hop->second;
    }
    if (!out.hop) {
        out.steps.push_back("nobody in " + name_of(*out.to) + " is known to have " + question.destination.to_string() +
                 ", or its host cannot be reached: a VM is found by external_ids:nvo3-addresses, see vn/show");
        return out;
    }
    out.host = place_of(state, *out.to, *out.hop);
    out.steps.push_back("to " + to_string(out.hop->mac) + " in " + name_of(*out.to) + " at " + out.host +
             (out.rule && out.rule->stateless ? "; what comes back needs a rule of its own"
                                              : ", which asks the same rule in conntrack zone " + std::to_string(out.to->zone) + " of its own; answers pass"));
    out.passes = true;
    return out;
}

}  // namespace

std::string show_policy(const PolicyState& state, bool as_json)
{
    if (as_json) {
        return dump(show_json(state));
    }
    std::ostringstream out;
    if (!state.keeper.error().empty()) {
        out << "problem: " << state.keeper.error() << "\n";
    }
    for (const std::string& problem : state.pipeline.gateways.problems()) {
        out << "problem: " << problem << "\n";
    }
    if (!state.why_none.empty()) {
        out << "no policy: " << state.why_none << "\n";
        return out.str();
    }
    if (!state.policy) {
        out << "no policy: nothing leaves its network\n";
        return out.str();
    }
    const policy::Policy& policy = *state.policy;
    out << "policy of " << state.keeper.source() << ", version " << state.keeper.version() << "; packets "
        << (state.counted ? "as of " + std::to_string(*state.counted) + " s ago" : "not counted yet") << "\n";
    for (const policy::Gateway& gateway : policy.gateways) {
        const GatewayVn* here = state.pipeline.gateways.find(gateway.vn);
        out << to_string(gateway) << ": "
            << (here ? "VNI " + std::to_string(here->vni.value) + ", " + to_string(here->mac) + ", conntrack zone " + std::to_string(here->zone)
                     : "not served here")
            << "\n";
    }
    for (const policy::Rule& rule : policy.rules) {
        const std::string text = to_string(rule);
        out << "line " << rule.line << ": " << text << ": "
            << (is_here(state, rule) ? std::to_string(packets(state, text)) + " packets" : "a network is not served here") << "\n";
    }
    for (const auto& [what, count] : state.counters.all()) {
        if (what.kind == Counted::Kind::by_default) {
            out << "from " << what.text << " to " << what.to << ", no rule: denied, " << count << " packets\n";
        } else if (what.kind == Counted::Kind::refused && count > 0) {
            out << "dropped, " << what.text << ": " << count << " packets\n";
        }
    }
    return out.str();
}

base::Result<std::string> trace_policy(const PolicyState& state, const std::vector<std::string>& words, bool as_json)
{
    auto question = parse_question(words);
    if (!question) {
        return question.error();
    }
    if (!state.policy) {
        return base::Error{ENOENT, "no policy is in force: " + (state.why_none.empty() ? "nothing leaves its network" : state.why_none)};
    }
    const Trace result = trace(state, *question);
    if (as_json) {
        json value{{"passes", result.passes}, {"steps", result.steps}};
        value["rule"] = result.rule ? json(to_string(*result.rule)) : json(nullptr);
        value["line"] = result.rule ? json(result.rule->line) : json(nullptr);
        value["to"] = result.to ? json(result.to->gateway->vn) : json(nullptr);
        value["mac"] = result.hop ? json(to_string(result.hop->mac)) : json(nullptr);
        value["host"] = or_null(result.host);
        return dump(value);
    }
    std::string out;
    for (const std::string& step : result.steps) {
        out += step + "\n";
    }
    return out + (result.passes ? "passes\n" : "dropped\n");
}

}  // namespace nvo3::agent
