// SPDX-License-Identifier: Apache-2.0
//
// See nve_tool.h: what an NVE should not say, and measurements.
#include <algorithm>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

#include "base/mac_address.h"
#include "control/framer.h"
#include "nve_tool.h"

namespace nvo3::tests::nve_tool {
namespace {

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

}  // namespace

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

}  // namespace nvo3::tests::nve_tool
