// SPDX-License-Identifier: Apache-2.0
//
// Test program: many emulated NVEs in one process, told what to do.
//
//   nve_tool pki DIR COUNT [NAME[:ROLE]...] makes a CA and the certificates of nva1 and nve0...
//   nve_tool run DIR NVA:PORT [LOCAL]       takes commands on standard input, one a line, and
//                                           answers each with a line of JSON
//
// NVEs are called as their certificates are, "nve7", or "bob:hypervisor" where the role is
// not nve.  Each has a local address of its own: LOCAL (default 127.1.0.1), plus one for each.
//
//   open SECONDS NAME... | open-range SECONDS FIRST COUNT    until each is ready or refused
//   resume SECONDS NAME               a session for what has changed since
//   close NAME...
//   fill SECONDS FIRST COUNT EACH     each announces so many, spread over its networks
//   known SECONDS MAPPINGS            until all together know so many
//   totals | state NAME
//   announce NAME VNI MAC [withdraw] [migration]
//   register NAME VNI GROUP EPOCH
//   say NAME MESSAGE                  vn_update, group_key, sa_offer, directory_request
//   claim NAME AS ROLE                Hello with another name or role
//   pace NAME SEND READ               messages a second; READ 0: does not read
//   latency FROM TO VNI COUNT [MS]    of an announcement, until it is there, one at a time, one in so many ms
//   flood NAME SECONDS KIND           announce VNI, foreign, register, request, ping or none
//   handshakes NAME SECONDS           as many as can be had
// Place: tests only, never installed.  Threads: one.
#include "nve_tool.h"

#include <boost/asio/read_until.hpp>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <sstream>

#include "base/mac_address.h"
#include "test_pki.h"

namespace nvo3::tests::nve_tool {
namespace {

constexpr control::Rate kUnlimited{1e9, 1e9};
constexpr size_t kHandshakesAtOnce = 32;

// Files are called as their owner, with its role where that is not the usual one.
std::string
file_name(const std::string& name)
{
    std::string file = name;
    std::replace(file.begin(), file.end(), ':', '-');
    return file;
}

int
make_pki(const Words& words)
{
    const TempDir dir(word(words, 1));
    const TestCa ca(dir, "ca");
    const auto issue = [&](const std::string& file, const std::string& name, const std::string& role) {
        LeafOptions options;
        options.uri = "spiffe://test.internal/nvo3/" + role + "/" + name;
        options.cn = name;
        ca.issue(file, options);
    };
    issue("nva1", "nva1", "nva");
    for (uint32_t i = 0; i < number(words, 2); i++) {
        issue("nve" + std::to_string(i), "nve" + std::to_string(i), "nve");
    }
    for (size_t i = 3; i < words.size(); i++) {
        const size_t colon = words[i].find(':');
        const std::string role = colon == std::string::npos ? "nve" : words[i].substr(colon + 1);
        issue(file_name(words[i]), words[i].substr(0, colon), role);
    }
    return 0;
}

}  // namespace

std::optional<std::string>
Tool::next_line()
{
    bool done = false;
    std::optional<std::string> line;
    boost::asio::async_read_until(input_, boost::asio::dynamic_buffer(lines_), '\n',
                                  [&](const boost::system::error_code& error, size_t size) {
                                      done = true;
                                      if (!error) {
                                          line = lines_.substr(0, size);
                                          lines_.erase(0, size);
                                      }
                                  });
    while (!done) {
        io_.run_one();
    }
    return line;
}

bool
Tool::run_until(const std::function<bool()>& done, double limit)
{
    const auto end = Clock::now() + std::chrono::duration<double>(limit);
    while (!done()) {
        if (Clock::now() > end) {
            return false;
        }
        io_.run_one_for(100ms);
    }
    return true;
}

std::shared_ptr<const control::TlsContext>
Tool::context(const std::string& name)
{
    const std::string path = dir_ + "/" + file_name(name);
    return must(control::TlsContext::from_files({path + ".crt", path + ".key", dir_ + "/ca.crt", "", {}},
                                                control::ControlLevel::standard));
}

NveClient&
Tool::find(const std::string& name)
{
    const auto found = nves_.find(name);
    if (found == nves_.end()) {
        throw std::runtime_error("no NVE '" + name + "' was opened");
    }
    return *found->second;
}

NveClient&
Tool::make(const std::string& name)
{
    std::unique_ptr<NveClient>& nve = nves_[name];
    if (!nve) {
        const boost::asio::ip::address_v4 local(next_local_++);
        nve = std::make_unique<NveClient>(
            io_,
            NveClient::Options{name, context(name), nva_, control::to_ip_address(local), {}, kUnlimited},
            totals_);
    }
    return *nve;
}

json
Tool::closed_of(const NveClient& nve) const
{
    if (!nve.closed()) {
        return nullptr;
    }
    return {{"kind", to_string(nve.closed()->kind)},
            {"code", nve.closed()->code},
            {"text", nve.closed()->text}};
}

json
Tool::state(const NveClient& nve) const
{
    const Session::Stats stats = nve.stats();
    json networks = json::object();
    for (const auto& [vni, vn] : nve.networks()) {
        json mappings = json::object();
        for (const auto& [mac, holder] : vn.mappings) {
            const auto* first = reinterpret_cast<const uint8_t*>(mac.data());
            mappings[to_string(base::MacAddress::from_bytes({first, mac.size()}))] = holder;
        }
        networks[std::to_string(vni)] = {{"name", vn.name},
                                         {"version", vn.version},
                                         {"members", vn.members},
                                         {"mappings", mappings}};
    }
    json groups = json::array();
    for (const auto& [id, group] : nve.groups()) {
        const auto* first = reinterpret_cast<const uint8_t*>(id.second.data());
        groups.push_back({{"vni", id.first},
                          {"group", base::IpAddress::from_bytes({first, id.second.size()}).to_string()},
                          {"epoch", group.epoch},
                          {"senders", group.senders}});
    }
    return {{"open", nve.is_open()},       {"ready", nve.ready()},
            {"networks", networks},        {"groups", groups},
            {"closed", closed_of(nve)},    {"messages_in", stats.messages_in},
            {"messages_out", stats.messages_out}, {"bytes_in", stats.bytes_in},
            {"bytes_out", stats.bytes_out}, {"send_throttled", stats.send_throttled},
            {"receive_throttled", stats.receive_throttled}, {"queued", stats.queued}};
}

json
Tool::totals() const
{
    return {{"open", totals_.open},         {"ready", totals_.ready},
            {"networks", totals_.networks}, {"mappings", totals_.mappings},
            {"accepted", totals_.accepted}, {"refused", totals_.refused},
            {"updates", totals_.updates},   {"violations", totals_.violations}};
}

// ---- sessions ----------------------------------------------------------------

json
Tool::open_all(const Words& names, bool resume, double limit)
{
    std::vector<NveClient*> nves;
    for (const std::string& name : names) {
        nves.push_back(&make(name));
    }
    // The NVA takes so many handshakes at once and no more.
    size_t next = 0;
    std::vector<NveClient*> under_way;
    const auto begin = Clock::now();
    const bool done = run_until(
        [&] {
            std::erase_if(under_way, [](NveClient* nve) { return nve->is_open() || nve->closed(); });
            while (next < nves.size() && under_way.size() < kHandshakesAtOnce) {
                nves[next]->open(resume);
                under_way.push_back(nves[next++]);
            }
            return next == nves.size() && under_way.empty() &&
                   std::all_of(nves.begin(), nves.end(),
                               [](NveClient* nve) { return nve->ready() || nve->closed(); });
        },
        limit);
    json answer{{"done", done}, {"seconds", seconds_since(begin)}};
    json closed = json::object();
    uint64_t bytes_in = 0, bytes_out = 0;
    for (NveClient* nve : nves) {
        bytes_in += nve->stats().bytes_in;
        bytes_out += nve->stats().bytes_out;
        if (nve->closed()) {
            closed[nve->options().name] = closed_of(*nve);
        }
    }
    answer.update({{"closed", closed}, {"bytes_in", bytes_in}, {"bytes_out", bytes_out}});
    return answer;
}

json
Tool::open(const Words& words, bool resume)
{
    return open_all(Words(words.begin() + 2, words.end()), resume, std::stod(word(words, 1)));
}

json
Tool::open_range(const Words& words)
{
    Words names;
    for (uint32_t i = 0; i < number(words, 3); i++) {
        names.push_back("nve" + std::to_string(number(words, 2) + i));
    }
    return open_all(names, false, std::stod(word(words, 1)));
}

// ---- what an NVE should say ----------------------------------------------------

json
Tool::fill(const Words& words)
{
    const double limit = std::stod(word(words, 1));
    const auto begin = Clock::now();
    size_t asked = 0, answered = 0;
    for (uint32_t i = 0; i < number(words, 3); i++) {
        NveClient& nve = find("nve" + std::to_string(number(words, 2) + i));
        auto vn = nve.networks().begin();
        for (uint32_t j = 0; j < number(words, 4) && !nve.networks().empty(); j++) {
            if (vn == nve.networks().end()) {
                vn = nve.networks().begin();
            }
            must(nve.announce((vn++)->first, made_mac(0, next_mac_++), false, false,
                              [&answered](const Envelope*) { answered++; }));
            asked++;
        }
    }
    const bool done = run_until([&] { return answered == asked; }, limit);
    return {{"done", done}, {"asked", asked}, {"answered", answered},
            {"seconds", seconds_since(begin)}, {"accepted", totals_.accepted},
            {"refused", totals_.refused}};
}

// Sends, and waits for the answer or the end of the session.
json
Tool::answer_of(NveClient& nve, Envelope message)
{
    bool done = false;
    json answer = json::object();
    must(nve.send(std::move(message), [&](const Envelope* reply) {
        done = true;
        if (reply && reply->has_mapping_result()) {
            answer = {{"accepted", reply->mapping_result().accepted()},
                      {"reason", reply->mapping_result().reason()}};
        } else if (reply && reply->has_group_grant()) {
            answer = {{"accepted", reply->group_grant().accepted()},
                      {"reason", reply->group_grant().reason()},
                      {"epoch", reply->group_grant().epoch()},
                      {"spi", reply->group_grant().sender().spi()}};
        }
    }));
    answer["done"] = run_until([&] { return done || nve.closed(); }, 10);
    answer["closed"] = closed_of(nve);
    return answer;
}

json
Tool::announce(const Words& words)
{
    const base::MacAddress mac = must(base::MacAddress::parse(word(words, 3)));
    Envelope message;
    auto& announce = *message.mutable_mapping_announce();
    announce.set_vni(number(words, 2));
    announce.set_mac(octets(mac.octets));
    announce.add_addresses("\x0a" + octets(mac.octets).substr(3));
    announce.set_withdraw(has(words, "withdraw"));
    announce.set_migration(has(words, "migration"));
    return answer_of(find(word(words, 1)), std::move(message));
}

json
Tool::enrol(const Words& words)
{
    Envelope message;
    auto& request = *message.mutable_group_register();
    request.set_vni(number(words, 2));
    request.set_group(octets(must(base::IpAddress::parse(word(words, 3))).wire()));
    request.set_epoch(number(words, 4));
    return answer_of(find(word(words, 1)), std::move(message));
}

json
Tool::run(const Words& words)
{
    const std::string& command = words[0];
    if (command == "open" || command == "resume") {
        return open(words, command == "resume");
    }
    if (command == "open-range") {
        return open_range(words);
    }
    if (command == "close") {
        for (size_t i = 1; i < words.size(); i++) {
            find(words[i]).close();
        }
        return {{"done", run_until(
                             [&] {
                                 return std::all_of(words.begin() + 1, words.end(), [&](auto& name) {
                                     return find(name).closed().has_value();
                                 });
                             },
                             5)}};
    }
    if (command == "fill") {
        return fill(words);
    }
    if (command == "known") {
        const auto begin = Clock::now();
        const bool done = run_until([&] { return totals_.mappings == std::stoul(word(words, 2)); },
                                    std::stod(word(words, 1)));
        return {{"done", done}, {"seconds", seconds_since(begin)}, {"mappings", totals_.mappings}};
    }
    if (command == "totals") {
        run_until([] { return false; }, 0.1);
        return totals();
    }
    if (command == "state") {
        run_until([] { return false; }, 0.1);
        return state(find(word(words, 1)));
    }
    if (command == "announce") {
        return announce(words);
    }
    if (command == "register") {
        return enrol(words);
    }
    if (command == "say") {
        return say(words);
    }
    if (command == "claim") {
        return claim(words);
    }
    if (command == "pace") {
        const auto rate = [](double per_second) {
            return per_second > 0 ? control::Rate{per_second, per_second} : control::Rate{1e-6, 1};
        };
        find(word(words, 1)).set_rates(rate(std::stod(word(words, 2))), rate(std::stod(word(words, 3))));
        return {{"done", true}};
    }
    if (command == "latency") {
        return latency(words);
    }
    if (command == "flood") {
        return flood(words);
    }
    if (command == "handshakes") {
        return handshakes(words);
    }
    throw std::runtime_error("no command '" + command + "'");
}

}  // namespace nvo3::tests::nve_tool

using namespace nvo3::tests::nve_tool;

int
main(int argc, char* argv[])
{
    const Words words(argv + 1, argv + argc);
    try {
        if (!words.empty() && words[0] == "pki") {
            return make_pki(words);
        }
        if (words.empty() || words[0] != "run") {
            throw std::runtime_error("usage: nve_tool pki DIR COUNT [NAME[:ROLE]...] | run DIR NVA:PORT [LOCAL]");
        }
        Tool tool(words);
        while (const auto line = tool.next_line()) {
            std::istringstream stream(*line);
            const Words command{std::istream_iterator<std::string>(stream), {}};
            json answer;
            try {
                answer = command.empty() ? json() : tool.run(command);
            } catch (const std::exception& error) {
                answer = {{"error", error.what()}};
            }
            std::cout << answer.dump() << std::endl;
        }
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "nve_tool: %s\n", error.what());
        return 1;
    }
}
