// SPDX-License-Identifier: Apache-2.0
//
// The hypervisor side against a scripted NVE: real sessions over loopback.
#include "hvagent/split/hypervisor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <list>
#include <utility>

#include "control/listener.h"
#include "tests/support/test_pki.h"

namespace nvo3::agent {
namespace {

using namespace std::chrono_literals;
using control::Envelope;
using control::Session;
namespace proto = control::proto;
using tests::Leaf;

ContextPtr context(const Leaf& leaf, const tests::TestCa& ca)
{
    auto made = control::TlsContext::from_files(tests::files_of(leaf, ca, ""), control::ControlLevel::standard);
    EXPECT_TRUE(made) << made.error().text;
    return *made;
}

// Grants everything but networks called "red", unless it is told to; counts what it is told.
class FakeNve final : public control::SessionHandler {
public:
    FakeNve(boost::asio::io_context& io, ContextPtr context) : context_(std::move(context))
    {
        auto opened = control::Listener::open(
            io, {.endpoint = {boost::asio::ip::address_v4::loopback(), 0}, .handshakes_per_address = {1000, 1000}},
            [this](const base::IpAddress&, const base::IpAddress&) -> base::Result<control::Listener::Accepted> {
                control::SessionOptions options;
                options.agent_instance = 9;
                options.linger = 100ms;
                return control::Listener::Accepted{context_, options, this};
            },
            [](const base::IpAddress&, const std::string&) {});
        EXPECT_TRUE(opened) << opened.error().text;
        listener_ = std::move(*opened);
    }
    std::string endpoint() const { return "127.0.0.1:" + std::to_string(listener_->local_endpoint().port()); }
    void stop()
    {
        listener_.reset();
        for (auto& session : std::exchange(sessions_, {})) {
            session->abandon(proto::CLOSE_SHUTDOWN, "");
        }
        open_ = nullptr;
    }
    void close() { open_->close(proto::CLOSE_SHUTDOWN, "restart"); }
    void send(Envelope message) { (void)open_->send(std::move(message)); }
    bool is_open() const { return open_; }

    base::Status admit(Session& session) override
    {
        sessions_.push_back(session.shared_from_this());
        return {};
    }
    void on_open(Session& session) override
    {
        open_ = &session;
        EXPECT_EQ(session.channel(), proto::CHANNEL_CONTROL);
    }
    bool vn_allowed(Session&, base::Vni, std::optional<base::Encap>) override { return true; }
    void on_message(Session& session, const Envelope& message) override
    {
        Envelope answer;
        answer.set_in_reply_to(message.request_id());
        messages++;
        if (message.has_tsi_query()) {
            answer.mutable_tsi_report();
        } else if (message.has_vn_connect()) {
            auto& result = *answer.mutable_vn_connect_result();
            result.set_accepted(grants_red || message.vn_connect().vn() != "red");
            if (result.accepted()) {
                result.set_name("blue");
                result.set_vni(5001);
                result.set_encap(proto::ENCAP_GENEVE);
                result.set_cipher(static_cast<uint32_t>(*esp::cipher_from_level("confidential")));
            } else {
                result.set_reason("not yours");
            }
        } else if (message.has_tsi_request() && answering) {
            const auto& request = message.tsi_request();
            auto& state = states[request.tsi()];
            state = request.action() == proto::TSI_ACTIVATE       ? proto::TSI_ACTIVE
                    : request.action() == proto::TSI_DISASSOCIATE ? proto::TSI_NONE
                                                                  : proto::TSI_ASSOCIATED;
            answer.mutable_tsi_result()->set_accepted(true);
            answer.mutable_tsi_result()->set_state(state);
        } else {
            done += message.has_tsi_sync_done();
            return;
        }
        (void)session.send(std::move(answer));
    }
    void on_vn_refused(Session&, const Envelope&) override {}
    void on_closed(Session& session, const control::CloseInfo&) override
    {
        if (open_ == &session) {
            open_ = nullptr;
        }
        std::erase_if(sessions_, [&](const auto& one) { return one.get() == &session; });
    }

    bool answering = true, grants_red = false;
    size_t messages = 0, done = 0;
    std::map<std::string, proto::TsiState> states;

private:
    ContextPtr context_;
    std::unique_ptr<control::Listener> listener_;
    std::list<std::shared_ptr<Session>> sessions_;
    Session* open_ = nullptr;
};

// The machine's, or later.
struct LaterClock final : base::Clock {
    std::chrono::steady_clock::time_point now() const noexcept override { return base::system_clock().now() + by; }
    std::chrono::system_clock::time_point wall() const noexcept override { return base::system_clock().wall(); }
    std::chrono::seconds by{};
};

class HypervisorTest : public testing::Test, public PeerHost {
protected:
    HypervisorTest() : audit_log_(std::move(*control::AuditLog::open("", base::system_clock()))), own_(context(hv1_, ca_)) {}
    ~HypervisorTest() override
    {
        side_.reset();
        nve_.stop();
        other_.stop();
        io_.restart();
        io_.run();
    }

    bool run_until(const std::function<bool()>& done)
    {
        const auto end = std::chrono::steady_clock::now() + 15s;
        while (!done()) {
            if (std::chrono::steady_clock::now() > end) {
                return false;
            }
            io_.restart();
            io_.run_one_for(20ms);
        }
        return true;
    }
    void configure(StringMap more = {})
    {
        more.insert({{"nvo3-role", "hypervisor"}, {"nvo3-nve", nve_.endpoint()}});
        config_ = make_config({std::move(more), {}, ports_}, nullptr);
        EXPECT_TRUE(config_->problems.empty());
        side_->configure(*config_);
    }
    static Vm vm(const std::string& name, VmRun run, const std::string& vn = "blue", int count = 1)
    {
        Vm made{"uuid-" + name, name, run, {}, {}};
        for (int i = 0; i < count; i++) {
            const auto hash = std::hash<std::string>()(name + std::to_string(i));
            base::MacAddress mac{{0x52, 0x54, static_cast<uint8_t>(hash), static_cast<uint8_t>(hash >> 8), static_cast<uint8_t>(hash >> 16), static_cast<uint8_t>(i)}};
            made.interfaces.push_back({name + "-" + std::to_string(i), mac, vn, ""});
        }
        return made;
    }
    std::optional<base::Status> reserve(const Vm& vm, std::chrono::milliseconds at_most = 10s)
    {
        auto answer = std::make_shared<std::optional<base::Status>>();
        side_->reserve(vm, at_most, [answer](base::Status status) { *answer = std::move(status); });
        run_until([&] { return answer->has_value(); });
        return *answer;
    }

    // PeerHost.
    boost::asio::io_context& io() override { return io_; }
    const base::Clock& clock() override { return clock_; }
    control::AuditLog& audit() override { return *audit_log_; }
    const SessionTiming& timing() override { return timing_; }
    control::SessionOptions session_options() override { return {.agent_instance = 7, .linger = 100ms}; }
    control::SessionHandler& session_handler() override { std::abort(); }      // of peers
    ContextPtr certificate_context() override { return own_; }
    ContextPtr certificate_context(ControlLevel) override { return own_; }
    const std::string& certificate_problem() override { return problem_; }
    void install(const base::IpAddress&, uint64_t, esp::SaConfig) override {}
    void send_to_switch(esp::SaMessage) override {}
    void changed() override {}

    LaterClock clock_;
    boost::asio::io_context io_;
    tests::TempDir dir_;
    tests::TestCa ca_{dir_, "test CA"};
    Leaf hv1_ = ca_.host("hv1", "hypervisor"), nve1_ = ca_.host("nve1"), hv2_ = ca_.host("hv2", "hypervisor");
    std::unique_ptr<control::AuditLog> audit_log_;
    ContextPtr own_;
    SessionTiming timing_;
    std::string problem_;
    FakeNve nve_{io_, context(nve1_, ca_)}, other_{io_, context(hv2_, ca_)};
    std::vector<RawVmPort> ports_;
    std::shared_ptr<const Config> config_;
    size_t directories_ = 0;
    std::unique_ptr<Hypervisor> side_ = std::make_unique<Hypervisor>(*this, [this] { directories_++; }, [] {});
};

TEST_F(HypervisorTest, TellsVmsAndMakesADirectory)
{
    ports_ = {{"vnet0", 5, "", "", "", "", "web-0"}};
    configure();
    side_->on_vms({vm("web", VmRun::running)});
    ASSERT_TRUE(run_until([&] { return nve_.states["web-0"] == proto::TSI_ACTIVE && nve_.done == 1; }));
    NetworkView view;
    ASSERT_TRUE(run_until([&] {
        view = {};
        side_->fill(view);
        return view.refused_tsis.empty();
    }));
    ASSERT_EQ(view.tsis.size(), 1u);
    EXPECT_EQ(view.tsis[0].vn, "blue");
    const VnView* vn = side_->directory()->find(base::Vni(5001));
    ASSERT_TRUE(vn);
    EXPECT_TRUE(side_->directory()->complete);
    EXPECT_EQ(vn->uplink, "nve1");
    EXPECT_EQ(vn->members.size(), 2u);
    EXPECT_EQ(vn->members.at("nve1").at(0).to_string(), "127.0.0.1");
    const size_t before = directories_;
    side_->on_vm(vm("web", VmRun::gone));
    ASSERT_TRUE(run_until([&] { return nve_.states["web-0"] == proto::TSI_NONE && side_->directory()->vns.empty(); }));
    EXPECT_GT(directories_, before);
}

TEST_F(HypervisorTest, ReservesForAHook)
{
    configure();
    side_->on_vms({});
    auto granted = reserve(vm("web", VmRun::preparing, "blue", 2));
    ASSERT_TRUE(granted);
    EXPECT_TRUE(granted->ok());
    EXPECT_EQ(nve_.states["web-1"], proto::TSI_ASSOCIATED);
    auto refused = reserve(vm("bad", VmRun::preparing, "red"));
    ASSERT_TRUE(refused && !refused->ok());
    EXPECT_NE(refused->error().text.find("network red: not yours"), std::string::npos) << refused->error().text;
    nve_.grants_red = true;
    EXPECT_TRUE(reserve(vm("bad", VmRun::preparing, "red"))->ok()) << "a former refusal is no answer";
    Vm unusable = vm("odd", VmRun::preparing);
    unusable.problems = {"domain odd: element interface: no MAC"};
    EXPECT_EQ(reserve(unusable)->error().code, EACCES);
    EXPECT_TRUE(reserve(vm("none", VmRun::preparing, "blue", 0))->ok()) << "nothing to reserve";
    nve_.answering = false;
    auto late = reserve(vm("late", VmRun::preparing), 200ms);
    ASSERT_TRUE(late && !late->ok());
    EXPECT_EQ(late->error().code, ETIMEDOUT);
    EXPECT_NE(late->error().text.find("nve1"), std::string::npos) << late->error().text;
}

TEST_F(HypervisorTest, NoHypervisorReservesNothing)
{
    EXPECT_TRUE(reserve(vm("web", VmRun::preparing))->ok());
    configure();
    nve_.stop();
    auto away = reserve(vm("app", VmRun::preparing), 100ms);
    EXPECT_EQ(away->error().code, ETIMEDOUT);
    // Whoever waits when the agent ends is told.
    std::optional<base::Status> ended;
    side_->reserve(vm("db", VmRun::preparing), 10s, [&](base::Status status) { ended = std::move(status); });
    side_->stop();
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->error().code, ECANCELED);
}

TEST_F(HypervisorTest, ComesBackAndTellsAllAgain)
{
    configure();
    side_->on_vms({vm("web", VmRun::running)});
    ASSERT_TRUE(run_until([&] { return nve_.done == 1; }));
    nve_.close();
    nve_.states.clear();
    ASSERT_TRUE(run_until([&] { return nve_.done == 2; }));
    EXPECT_EQ(nve_.states["web-0"], proto::TSI_ACTIVE);
    EXPECT_TRUE(side_->directory()->find(base::Vni(5001)));
    side_->on_libvirt("libvirtd is away");
    AgentView view;
    side_->fill(view);
    EXPECT_EQ(view.libvirt_problem, "libvirtd is away");
    EXPECT_EQ(view.nve.sessions, 2u);
}

// The agent was restarted, and libvirtd does not answer: the VMs run all the same.
TEST_F(HypervisorTest, LibvirtThatHangsKeepsNoPortClosed)
{
    ports_ = {{"vnet0", 7, "", "blue", "52:54:00:00:00:07", "", "id1"}};
    configure();
    ASSERT_TRUE(run_until([&] { return nve_.messages > 0; }));
    AgentView view;
    side_->fill(view);
    EXPECT_EQ(view.libvirt_problem, "");
    clock_.by = 9s;
    side_->on_vm(vm("web", VmRun::preparing, "red"));
    ASSERT_TRUE(run_until([&] { return nve_.messages > 1; }));
    EXPECT_FALSE(nve_.states.contains("id1")) << "it may be about to say that the VM is paused";
    clock_.by = 11s;
    side_->on_vm(vm("web", VmRun::paused, "red"));
    ASSERT_TRUE(run_until([&] { return nve_.states["id1"] == proto::TSI_ACTIVE; }));
    side_->fill(view);
    EXPECT_NE(view.libvirt_problem.find("hangs"), std::string::npos) << view.libvirt_problem;
    EXPECT_EQ(nve_.done, 0u) << "what else there is, is not known";
    // It tells in the end, and of no such VM.
    side_->on_vms({});
    ASSERT_TRUE(run_until([&] { return nve_.states["id1"] == proto::TSI_NONE; }));
    side_->fill(view);
    EXPECT_EQ(view.libvirt_problem, "");
}

TEST_F(HypervisorTest, AnotherHypervisorIsNoNve)
{
    configure({{"nvo3-nve", other_.endpoint()}});
    side_->on_vms({vm("web", VmRun::running)});
    ASSERT_TRUE(run_until([&] {
        AgentView view;
        side_->fill(view);
        return !view.nve.list.at(0).error.empty();
    }));
    EXPECT_FALSE(other_.is_open());
    EXPECT_EQ(other_.messages, 0u);
}

TEST_F(HypervisorTest, StormOfEventsIsHeldToTheRate)
{
    configure({{"nvo3-throttle-rate", "40"}, {"nvo3-throttle-vm-rate", "5"}});
    side_->on_vms({});
    ASSERT_TRUE(run_until([&] { return nve_.done == 1; }));
    const auto begin = std::chrono::steady_clock::now();
    const size_t before = nve_.messages;
    for (int i = 0; i < 10000; i++) {
        side_->on_vm(vm("vm" + std::to_string(i % 40), i / 40 % 2 ? VmRun::paused : VmRun::running));
        if (i % 100 == 0) {
            io_.restart();
            io_.poll();
        }
    }
    auto all = [&] {
        int active = 0;
        for (const auto& [tsi, state] : nve_.states) {
            active += state == proto::TSI_ASSOCIATED;
        }
        AgentView view;
        side_->fill(view);
        return active == 40 && view.throttle.held.empty();
    };
    ASSERT_TRUE(run_until(all));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    EXPECT_LE(static_cast<double>(nve_.messages - before), 80 + 40 * seconds + 1);
    // SlowDown is heeded.
    Envelope slower;
    slower.mutable_slow_down()->set_messages_per_second(3);
    nve_.send(std::move(slower));
    ASSERT_TRUE(run_until([&] {
        AgentView view;
        side_->fill(view);
        return view.throttle.told == 3;
    }));
}

}  // namespace
}  // namespace nvo3::agent
