// SPDX-License-Identifier: Apache-2.0
//
// Who speaks to an agent without having proved anything, or with a mind of its own.
#include "tests/unit/hvagent/agent_fixture.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "control/session.h"

// As when a connection is lost just when it was made.
static std::atomic<int> nameless_connections{0};
extern "C" int getpeername(int fd, sockaddr* __restrict address, socklen_t* __restrict size) noexcept
{
    if (nameless_connections > 0) {
        nameless_connections--;
        errno = ENOTCONN;
        return -1;
    }
    return static_cast<int>(syscall(SYS_getpeername, fd, address, size));
}

namespace nvo3::agent::agent_rig {
namespace {

TEST_F(AgentTest, UnknownAddressGetsNothing)
{
    a->raw.tunnels.clear();
    start();
    ASSERT_TRUE(await([&] { return a->audit().find("no tunnel to 127.0.0.2") != std::string::npos; }));
    EXPECT_TRUE(b->sw->sas().empty());
    ASSERT_TRUE(await([&] { return b->error().find("has the peer a tunnel to this host?") != std::string::npos; })) << b->error();
    EXPECT_EQ(b->state(), "connecting");
}

// What stands at the peer's address without having proved anything.
class Stranger {
public:
    Stranger(const char* address, const std::string& port) : listener_(socket(AF_INET, SOCK_STREAM, 0))
    {
        int one = 1;
        setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
        inet_pton(AF_INET, address, &name.sin_addr);
        if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 || listen(listener_.get(), 8) != 0) {
            throw std::runtime_error("the stranger cannot listen");
        }
    }
    base::UniqueFd accept() const { return base::UniqueFd(::accept(listener_.get(), nullptr, nullptr)); }

private:
    base::UniqueFd listener_;
};

TEST_F(AgentTest, AlertOfAStrangerRemovesNothing)
{
    start();
    expect_up();
    b->agent.reset();
    ASSERT_TRUE(await([&] { return a->state() != "up"; }));
    size_t before = a->sw->sas().size();
    Stranger stranger(kAddress[1], a->port());
    base::UniqueFd connection = stranger.accept();
    const uint8_t certificate_revoked[] = {0x15, 3, 3, 0, 2, 2, 44};
    ASSERT_EQ(write(connection.get(), certificate_revoked, sizeof certificate_revoked), static_cast<ssize_t>(sizeof certificate_revoked));
    ASSERT_TRUE(await([&] { return a->error().find("revoked") != std::string::npos; })) << a->error();
    // Removal would have been sent before the status was.
    EXPECT_EQ(a->sw->sas().size(), before);
}

TEST_F(AgentTest, ConnectionLostAtOnceIsTriedAgain)
{
    a->start();
    ASSERT_TRUE(await([&] { return !a->error().empty(); }));     // nobody is there
    // As an initiator only: a does not listen where b would connect.
    nameless_connections = 1;
    Stranger stranger(kAddress[1], a->port());
    base::UniqueFd first = stranger.accept();
    ASSERT_TRUE(await([&] { return nameless_connections == 0; }));
    base::UniqueFd second = stranger.accept();      // or the test hangs
    EXPECT_GE(second.get(), 0);
}

// hv2 with valid credentials and a mind of its own: says what it likes when the session opens.
class Insider final : public control::SessionHandler {
public:
    Insider(const Host& to, std::function<void(control::Session&)> speak) : speak_(std::move(speak))
    {
        boost::asio::ip::tcp::socket socket(io_);
        socket.open(boost::asio::ip::tcp::v4());
        socket.bind({boost::asio::ip::make_address(kAddress[to.other]), 0});
        socket.connect({boost::asio::ip::make_address(kAddress[to.number]), static_cast<uint16_t>(std::stoi(to.port()))});
        auto context = control::TlsContext::from_files({pki().file("hv2.crt"), pki().file("hv2.key"), pki().file("ca.crt"), "", {}},
                                                       control::ControlLevel::standard);
        EXPECT_TRUE(context);
        control::SessionOptions options;
        options.agent_instance = 1;
        options.send_rate = options.receive_rate = {100000, 100000};
        session_ = control::Session::start(std::move(socket), control::Session::Side::initiator, *context, options, *this);
    }
    ~Insider() override { session_->abandon(control::proto::CLOSE_SHUTDOWN, ""); }

    void run(std::chrono::milliseconds time) { io_.run_for(time); }

    base::Status admit(control::Session&) override { return {}; }
    void on_open(control::Session& session) override { speak_(session); }
    bool vn_allowed(control::Session&, base::Vni, std::optional<base::Encap>) override { return true; }
    void on_message(control::Session&, const control::Envelope&) override {}
    void on_vn_refused(control::Session&, const control::Envelope&) override {}
    void on_closed(control::Session&, const control::CloseInfo& info) override { closed = info; }

    std::optional<control::CloseInfo> closed;

private:
    boost::asio::io_context io_;
    std::function<void(control::Session&)> speak_;
    std::shared_ptr<control::Session> session_;
};

TEST_F(AgentTest, ReasonsOfAPeerAreMadePrintable)
{
    a->start();
    ASSERT_TRUE(await([&] { return !a->error().empty(); }));
    Insider insider(*a, [](control::Session& session) {
        control::Envelope message;
        message.mutable_sa_delete()->set_vni(5001);
        message.mutable_sa_delete()->set_encap(control::proto::ENCAP_GENEVE);
        message.mutable_sa_delete()->set_reason("a\nb\x1b[0m" + std::string(200, 'x'));
        EXPECT_TRUE(session.send(std::move(message)));
    });
    ASSERT_TRUE(await([&] {
        insider.run(10ms);
        return a->error().find("a?b?[0mxxx") != std::string::npos;
    })) << a->error();
    EXPECT_EQ(a->error().find_first_of("\n\x1b"), std::string::npos);
}

TEST_F(AgentTest, WhoInsistsIsClosedAndDoesNotFloodTheLog)
{
    static std::atomic<int> lines{0};
    base::set_log_sink([](base::LogLevel, const char*, std::string_view text) { lines += text.find("not served here") != text.npos; });
    a->raw.other_config["nvo3-control-rate"] = a->raw.other_config["nvo3-control-burst"] = "100000";
    a->start();
    ASSERT_TRUE(await([&] { return !a->error().empty(); }));
    Insider insider(*a, [](control::Session& session) {
        for (int i = 0; i < 1100; i++) {
            control::Envelope message;
            message.mutable_sa_request()->set_vni(6666);
            message.mutable_sa_request()->set_encap(control::proto::ENCAP_GENEVE);
            message.mutable_sa_request()->set_reason(control::proto::SA_REQUEST_ACQUIRE);
            EXPECT_TRUE(session.send(std::move(message)));
        }
    });
    ASSERT_TRUE(await([&] {
        insider.run(10ms);
        return insider.closed.has_value();
    }));
    base::set_log_sink(nullptr);
    EXPECT_EQ(insider.closed->kind, control::CloseInfo::Kind::closed_by_peer) << insider.closed->text;
    EXPECT_EQ(insider.closed->code, control::proto::CLOSE_UNAUTHORIZED) << insider.closed->text;
    EXPECT_GT(lines, 0);
    EXPECT_LT(lines, 40);
}

}  // namespace
}  // namespace nvo3::agent::agent_rig
