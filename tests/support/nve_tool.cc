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
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "base/mac_address.h"
#include "control/framer.h"
#include "nve_client.h"
#include "test_pki.h"

namespace {

using namespace nvo3;
using namespace nvo3::tests;
using namespace std::chrono_literals;
using control::Envelope;
using control::Session;
using json = nlohmann::json;
using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string>;

constexpr control::Rate kUnlimited{1e9, 1e9};
constexpr size_t kHandshakesAtOnce = 32;

double
seconds_since(Clock::time_point begin)
{
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

template <class T>
T
must(base::Result<T> result)
{
    if (!result.ok()) {
        throw std::runtime_error(result.error().text);
    }
    return std::move(result).value();
}

const std::string&
word(const Words& words, size_t index)
{
    if (index >= words.size()) {
        throw std::runtime_error("an argument is missing");
    }
    return words[index];
}

uint32_t
number(const Words& words, size_t index)
{
    return static_cast<uint32_t>(std::stoul(word(words, index), nullptr, 0));
}

bool
has(const Words& words, const char* flag)
{
    return std::find(words.begin(), words.end(), flag) != words.end();
}

std::string
octets(base::ByteView view)
{
    return {reinterpret_cast<const char*>(view.data()), view.size()};
}

// 02:kind:number, of nobody else.
std::string
made_mac(uint8_t kind, uint32_t number)
{
    const uint8_t mac[] = {0x02, kind, static_cast<uint8_t>(number >> 24),
                           static_cast<uint8_t>(number >> 16), static_cast<uint8_t>(number >> 8),
                           static_cast<uint8_t>(number)};
    return octets(mac);
}

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

// Sessions that are closed as soon as they are open, each followed by another.
class HandshakeFlood final : public control::SessionHandler {
public:
    HandshakeFlood(boost::asio::io_context& io, std::shared_ptr<const control::TlsContext> context,
                   control::Endpoint nva, base::IpAddress local)
        : io_(io), context_(std::move(context)), nva_(nva), local_(local)
    {
    }

    void one()
    {
        if (stopped) {
            return;
        }
        attempts++;
        auto socket = std::make_shared<boost::asio::ip::tcp::socket>(io_);
        socket->open(nva_.protocol());
        socket->bind({control::to_asio(local_), 0});
        socket->async_connect(nva_, [this, socket](const boost::system::error_code& error) {
            if (error) {
                failed++;
                return one();
            }
            Session::start(std::move(*socket), Session::Side::initiator, context_, {}, *this);
        });
    }

    base::Status admit(Session&) override { return {}; }
    void on_open(Session& session) override
    {
        opened++;
        session.close(control::proto::CLOSE_SHUTDOWN, "");
    }
    bool vn_allowed(Session&, base::Vni, std::optional<base::Encap>) override { return true; }
    void on_message(Session&, const Envelope&) override {}
    void on_vn_refused(Session&, const Envelope&) override {}
    void on_closed(Session&, const control::CloseInfo& info) override
    {
        failed += info.kind != control::CloseInfo::Kind::closed_by_us;
        one();
    }

    bool stopped = false;
    uint64_t attempts = 0, opened = 0, failed = 0;

private:
    boost::asio::io_context& io_;
    std::shared_ptr<const control::TlsContext> context_;
    control::Endpoint nva_;
    base::IpAddress local_;
};

class Tool {
public:
    explicit Tool(const Words& words)
        : dir_(word(words, 1)), nva_(must(control::parse_endpoint(word(words, 2))))
    {
        next_local_ = boost::asio::ip::make_address_v4(words.size() > 3 ? words[3] : "127.1.0.1")
                          .to_uint();
    }
    json run(const Words& words);
    // Serves the sessions until there is one; none at the end of the input.
    std::optional<std::string> next_line();

private:
    json open(const Words& words, bool resume);
    json open_range(const Words& words);
    json open_all(const Words& names, bool resume, double limit);
    json fill(const Words& words);
    json announce(const Words& words);
    json enrol(const Words& words);
    json say(const Words& words);
    json claim(const Words& words);
    json latency(const Words& words);
    json flood(const Words& words);
    json handshakes(const Words& words);
    json totals() const;
    json state(const NveClient& nve) const;
    json closed_of(const NveClient& nve) const;

    std::shared_ptr<const control::TlsContext> context(const std::string& name);
    NveClient& find(const std::string& name);
    NveClient& make(const std::string& name);
    // False after 'limit' seconds.
    template <class F>
    bool run_until(F done, double limit);
    json answer_of(NveClient& nve, Envelope message);

    const std::string dir_;
    const control::Endpoint nva_;
    uint32_t next_local_;
    uint32_t next_mac_ = 0;
    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_ =
        boost::asio::make_work_guard(io_);
    boost::asio::posix::stream_descriptor input_{io_, ::dup(STDIN_FILENO)};
    std::string lines_;
    NveTotals totals_;
    std::map<std::string, std::unique_ptr<NveClient>> nves_;
};

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

template <class F>
bool
Tool::run_until(F done, double limit)
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

// ---- what it should not say ----------------------------------------------------

json
Tool::say(const Words& words)
{
    NveClient& nve = find(word(words, 1));
    const std::string& what = word(words, 2);
    Envelope message;
    if (what == "vn_update") {
        auto& update = *message.mutable_vn_update();
        update.set_version(1);
        update.set_name("mine");
        update.set_encap(control::proto::ENCAP_GENEVE);
        update.set_cipher(1);
    } else if (what == "group_key") {
        auto& key = *message.mutable_group_key();
        key.set_group(std::string("\xef\1\1\1", 4));
        key.set_epoch(1);
        key.set_secret(std::string(32, 'x'));
        key.set_cipher(1);
    } else if (what == "sa_offer") {
        auto& offer = *message.mutable_sa_offer();
        offer.set_encap(control::proto::ENCAP_GENEVE);
        offer.set_spi(0x1000);
        offer.set_cipher(1);
        offer.set_nonce(std::string(16, 'n'));
    } else if (what == "directory_request") {
        message.mutable_directory_request();
    } else {
        throw std::runtime_error("no message '" + what + "' is known here");
    }
    must(nve.send(std::move(message)));
    const bool closed = run_until([&] { return nve.closed().has_value(); }, 5);
    return {{"done", closed}, {"closed", closed_of(nve)}};
}

json
Tool::claim(const Words& words)
{
    namespace asio = boost::asio;
    const auto tls = context(word(words, 1));
    asio::io_context io;
    SSL_CTX_up_ref(tls->native());
    asio::ssl::context ctx(tls->native());
    asio::ssl::stream<asio::ip::tcp::socket> stream(io, ctx);
    stream.next_layer().connect(nva_);
    control::HandshakeRecord record;
    record.client = record.server = control::to_ip_address(nva_.address());
    control::attach_record(stream.native_handle(), &record);
    stream.handshake(asio::ssl::stream_base::client);
    Envelope hello;
    hello.set_request_id(1);
    hello.mutable_hello()->set_version(1);
    hello.mutable_hello()->set_name(word(words, 2));
    hello.mutable_hello()->set_role(static_cast<control::proto::Role>(number(words, 3)));
    const std::string content = hello.SerializeAsString();
    asio::write(stream, asio::buffer(must(control::make_frame(
                            {reinterpret_cast<const uint8_t*>(content.data()), content.size()}))));
    control::FrameReader reader;
    while (true) {
        boost::system::error_code error;
        std::array<uint8_t, 4096> buffer;
        const size_t size = stream.read_some(asio::buffer(buffer), error);
        if (error) {
            return {{"closed", nullptr}};
        }
        reader.push(base::ByteView(buffer).first(size));
        base::ByteView frame;
        while (reader.next(&frame) == control::FrameReader::Next::frame) {
            const auto envelope = control::parse_envelope(frame);
            if (envelope.ok() && envelope->has_close()) {
                return {{"closed", {{"code", envelope->close().code()},
                                    {"text", envelope->close().text()}}}};
            }
        }
    }
}

// ---- measurements ------------------------------------------------------------

json
Tool::latency(const Words& words)
{
    NveClient& from = find(word(words, 1));
    NveClient& to = find(word(words, 2));
    const uint32_t vni = number(words, 3);
    std::vector<double> arrival, answer;
    for (uint32_t i = 0; i < number(words, 4); i++) {
        const std::string mac = made_mac(1, next_mac_++);
        const auto begin = Clock::now();
        double answered = 0;
        bool refused = false;
        must(from.announce(vni, mac, false, false, [&](const Envelope* reply) {
            answered = seconds_since(begin);
            refused = !reply || !reply->mapping_result().accepted();
        }));
        const auto arrived = [&] {
            const auto vn = to.networks().find(vni);
            return refused || (vn != to.networks().end() && vn->second.mappings.contains(mac));
        };
        if (!run_until(arrived, 60) || refused) {
            throw std::runtime_error(refused ? "an announcement was refused"
                                             : "an announcement did not arrive within 60 s");
        }
        arrival.push_back(seconds_since(begin));
        run_until([&] { return answered != 0; }, 60);
        answer.push_back(answered);
        // Leaves the networks as they were.
        bool withdrawn = false;
        must(from.announce(vni, mac, true, false, [&](const Envelope*) { withdrawn = true; }));
        run_until([&] { return withdrawn; }, 60);
        run_until([] { return false; }, (words.size() > 5 ? number(words, 5) : 0) / 1000.0 - seconds_since(begin));
    }
    return {{"arrival", arrival}, {"answer", answer}};
}

json
Tool::flood(const Words& words)
{
    NveClient& nve = find(word(words, 1));
    const double limit = std::stod(word(words, 2));
    const std::string& kind = word(words, 3);
    const uint32_t vni = kind == "announce" ? number(words, 4) : 0xfffffe;
    const Session::Stats before = nve.stats();
    uint64_t sent = 0;
    const auto next = [&] {
        Envelope message;
        if (kind == "announce" || kind == "foreign") {
            auto& announce = *message.mutable_mapping_announce();
            announce.set_vni(vni);
            announce.set_mac(made_mac(2, next_mac_++));
        } else if (kind == "register") {
            auto& request = *message.mutable_group_register();
            request.set_vni(vni);
            request.set_group(std::string("\xef\1\1\1", 4));
            request.set_epoch(1);
        } else if (kind == "ping") {
            message.mutable_ping();
        } else {
            message.mutable_directory_request();
        }
        return message;
    };
    const auto room = [&] {
        while (kind != "none" && nve.writable() && nve.send(next()).ok()) {
            sent++;
        }
    };
    nve.on_room(room);
    const auto begin = Clock::now();
    room();
    run_until([&] { return nve.closed().has_value(); }, limit);
    nve.on_room({});
    const Session::Stats after = nve.stats();
    const double seconds = seconds_since(begin);
    return {{"queued", sent},
            {"seconds", seconds},
            {"messages_out", after.messages_out - before.messages_out},
            {"messages_in", after.messages_in - before.messages_in},
            {"bytes_out", after.bytes_out - before.bytes_out},
            {"bytes_in", after.bytes_in - before.bytes_in},
            {"send_throttled", after.send_throttled - before.send_throttled},
            {"closed", closed_of(nve)}};
}

json
Tool::handshakes(const Words& words)
{
    const boost::asio::ip::address_v4 local(next_local_++);
    HandshakeFlood flood(io_, context(word(words, 1)), nva_, control::to_ip_address(local));
    const auto begin = Clock::now();
    for (int i = 0; i < 8; i++) {
        flood.one();
    }
    run_until([] { return false; }, std::stod(word(words, 2)));
    flood.stopped = true;
    const double seconds = seconds_since(begin);
    // Its sessions linger for a second, and call it.
    run_until([] { return false; }, 2);
    return {{"attempts", flood.attempts}, {"opened", flood.opened}, {"failed", flood.failed},
            {"seconds", seconds}};
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

}  // namespace

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
