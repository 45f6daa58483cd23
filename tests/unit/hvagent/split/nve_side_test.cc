// SPDX-License-Identifier: Apache-2.0
//
// An external NVE with its sessions over loopback addresses, real certificates and a
// pretended switch; hypervisors are scripted (REQ 16, REQ 19, REQ 20, REQ 22).
#include "hvagent/split/nve_side.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>

#include "hvagent/peers.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_switch.h"
#include "tests/support/test_pki.h"

namespace nvo3::agent {
namespace {

namespace pb = control::proto;
using namespace std::chrono_literals;
using boost::asio::ip::tcp;
using control::CloseInfo;
using control::Envelope;
using control::Session;

const std::string kMac("\x52\x54\0\0\0\1", 6);

// Records; may be anybody.
struct Scripted final : control::SessionHandler {
    base::Status admit(Session&) override { return {}; }
    void on_open(Session& session) override { open = session.shared_from_this(); }
    bool vn_allowed(Session&, base::Vni, std::optional<base::Encap>) override { return true; }
    void on_message(Session&, const Envelope& message) override { messages.push_back(message); }
    void on_vn_refused(Session&, const Envelope&) override {}
    void on_closed(Session&, const CloseInfo& info) override
    {
        closed = info.text;
        open.reset();
    }
    const Envelope* answer_to(uint64_t request) const
    {
        auto it = std::ranges::find(messages, request, &Envelope::in_reply_to);
        return it == messages.end() ? nullptr : &*it;
    }
    size_t count(Envelope::BodyCase kind) const { return static_cast<size_t>(std::ranges::count(messages, kind, &Envelope::body_case)); }

    std::shared_ptr<Session> open;
    std::vector<Envelope> messages;
    std::optional<std::string> closed;
};

class NveSideTest : public ::testing::Test {
protected:
    NveSideTest()
    {
        audit = std::move(*control::AuditLog::open("", clock));
        raw.other_config = {{"certificate", nve.certificate_path}, {"private_key", nve.key_path}, {"ca_cert", ca.path()},
                            {"nvo3-listen", "127.0.0.1:" + std::to_string(free_port())}};
        for (auto [name, address] : {std::pair{"hv7", "127.0.0.7"}, {"hv8", "127.0.0.8"}}) {
            raw.tunnels.push_back({name, "geneve", {{"remote_ip", address}, {"key", "flow"}, {"remote_name", name}, {"nvo3_role", "hypervisor"},
                                                    {"nvo3_vnis", "5001,5002"}}, 7});
        }
        peers = std::make_unique<Peers>(io, Peers::Options{dir.file("sa.sock"), {}, [this](auto view) { networks = view; }}, *audit, clock);
        apply();
    }
    ~NveSideTest() override
    {
        for (auto& one : scripted) {
            if (one->open) {
                one->open->abandon(pb::CLOSE_SHUTDOWN, "");
            }
        }
        peers->stop();
        run_until([] { return false; }, 20ms);
        peers.reset();
    }

    uint16_t free_port()
    {
        tcp::acceptor acceptor(io, {boost::asio::ip::address_v4::loopback(), 0});
        return port = acceptor.local_endpoint().port();
    }
    void apply()
    {
        config = make_config(raw, config.get());
        peers->apply(config);
    }
    bool run_until(const std::function<bool()>& done, std::chrono::milliseconds limit = 10s)
    {
        const auto end = std::chrono::steady_clock::now() + limit;
        while (!done()) {
            if (std::chrono::steady_clock::now() > end) {
                return false;
            }
            io.restart();
            io.run_one_for(5ms);
        }
        return true;
    }
    // From 127.0.0.'number'.
    Scripted& start(int number, const tests::Leaf& leaf, control::Channel channel, ControlLevel level = ControlLevel::standard)
    {
        auto context = control::TlsContext::from_files(tests::files_of(leaf, ca), level);
        EXPECT_TRUE(context.ok());
        tcp::socket socket(io, tcp::v4());
        socket.bind({boost::asio::ip::make_address("127.0.0." + std::to_string(number)), 0});
        socket.connect({boost::asio::ip::make_address("127.0.0.1"), port});
        scripted.push_back(std::make_unique<Scripted>());
        Session::start(std::move(socket), Session::Side::initiator, *context, {.channel = channel, .agent_instance = 5, .send_rate = {1e6, 1e6}, .receive_rate = {1e6, 1e6}},
                       *scripted.back());
        return *scripted.back();
    }
    Scripted& open(int number, const tests::Leaf& leaf, control::Channel channel = pb::CHANNEL_CONTROL, ControlLevel level = ControlLevel::standard)
    {
        Scripted& one = start(number, leaf, channel, level);
        EXPECT_TRUE(run_until([&] { return one.open != nullptr; })) << one.closed.value_or("");
        return one;
    }
    std::string refused(Scripted& one)
    {
        EXPECT_TRUE(run_until([&] { return one.closed.has_value(); }));
        return one.closed.value_or("");
    }
    const Envelope& ask(Scripted& one, Envelope message)
    {
        static const Envelope none;
        auto sent = one.open->send(std::move(message));
        EXPECT_TRUE(sent.ok());
        EXPECT_TRUE(run_until([&] { return one.answer_to(*sent) != nullptr || one.closed; }));
        const Envelope* answer = one.answer_to(*sent);
        return answer ? *answer : none;
    }
    bool connect(Scripted& one, const std::string& vn)
    {
        Envelope message;
        message.mutable_vn_connect()->set_vn(vn);
        return ask(one, message).vn_connect_result().accepted();
    }
    static Envelope request(TsiAction action, uint32_t vni = 5001, const std::string& tsi = "t1")
    {
        Envelope message;
        auto& body = *message.mutable_tsi_request();
        body.set_action(action);
        body.set_vni(vni);
        body.set_tsi(tsi);
        body.set_mac(kMac);
        return message;
    }
    TsiState state(Scripted& one, TsiAction action) { return ask(one, request(action)).tsi_result().state(); }
    bool audited(const std::string& word) const
    {
        return std::ranges::any_of(audit->recent(), [&](const std::string& line) { return line.find(word) != std::string::npos; });
    }
    HypervisorView view(const std::string& name)
    {
        auto all = peers->view().hypervisors;
        auto it = std::ranges::find(all, name, &HypervisorView::name);
        return it == all.end() ? HypervisorView{} : *it;
    }

    boost::asio::io_context io;
    tests::TempDir dir;
    tests::TestCa ca{dir, "test CA"};
    tests::Leaf nve = ca.host("nve1"), hv7 = ca.host("hv7", "hypervisor"), hv8 = ca.host("hv8", "hypervisor"), other = ca.host("nve2");
    tests::FakeClock clock;
    test::FakeSwitch sw{dir.file("sa.sock")};
    std::unique_ptr<control::AuditLog> audit;
    uint16_t port = 0;
    RawConfig raw;
    std::shared_ptr<const Config> config;
    std::shared_ptr<const NetworkView> networks = std::make_shared<const NetworkView>();
    std::unique_ptr<Peers> peers;
    std::vector<std::unique_ptr<Scripted>> scripted;
};

TEST_F(NveSideTest, ActiveTsiIsInThePipeline)
{
    Scripted& one = open(7, hv7);
    ASSERT_TRUE(connect(one, "5001"));
    EXPECT_EQ(state(one, pb::TSI_ASSOCIATE), pb::TSI_ASSOCIATED);
    EXPECT_TRUE(networks->remote_tsis.empty());
    EXPECT_EQ(state(one, pb::TSI_ACTIVATE), pb::TSI_ACTIVE);
    ASSERT_TRUE(run_until([&] { return networks->remote_tsis.size() == 1; }));
    EXPECT_EQ(networks->remote_tsis[0].name, "hv7/t1");
    EXPECT_EQ(networks->remote_tsis[0].port, "hv7");
    EXPECT_TRUE(networks->has_pipeline);
    EXPECT_TRUE(networks->directory->find(base::Vni(5001)));
    EXPECT_EQ(state(one, pb::TSI_DEACTIVATE), pb::TSI_ASSOCIATED);
    ASSERT_TRUE(run_until([&] { return networks->remote_tsis.empty(); }));
    EXPECT_TRUE(audited("tsi_changed"));
}

TEST_F(NveSideTest, SasForConnectedNetworksOnly)
{
    ASSERT_TRUE(run_until([&] { return sw.agents() > 0; }));
    Scripted& data = open(7, hv7, pb::CHANNEL_DATA);
    Scripted& one = open(7, hv7);
    run_until([] { return false; }, 50ms);
    EXPECT_EQ(data.count(Envelope::kSaOffer), 0u);
    ASSERT_TRUE(connect(one, "5001"));
    ASSERT_TRUE(run_until([&] { return data.count(Envelope::kSaOffer) == 1; }));
    EXPECT_EQ(data.messages[0].sa_offer().vni(), 5001u);
    Envelope leave;
    leave.mutable_vn_disconnect()->set_vni(5001);
    ASSERT_TRUE(one.open->send(leave).ok());
    ASSERT_TRUE(run_until([&] { return sw.sas().empty(); }));
    EXPECT_TRUE(run_until([&] { return data.count(Envelope::kSaDelete) == 1; }));
}

TEST_F(NveSideTest, WhoIsNotLetIn)
{
    EXPECT_NE(refused(start(7, hv8, pb::CHANNEL_CONTROL)).find("names hv8, but options:remote_name is hv7"), std::string::npos);
    EXPECT_NE(refused(start(7, other, pb::CHANNEL_UNSPECIFIED)).find("is for the role nve"), std::string::npos);
    refused(start(9, hv7, pb::CHANNEL_CONTROL));        // no port: nothing is said
    EXPECT_TRUE(view("hv7").session == std::nullopt);
}

TEST_F(NveSideTest, ControlLevelIsItsOwn)
{
    raw.other_config["nvo3-control-level"] = "high";
    apply();
    EXPECT_NE(refused(start(7, hv7, pb::CHANNEL_CONTROL)).find("not of the level high"), std::string::npos);
    open(7, hv7, pb::CHANNEL_DATA);
    open(7, hv7, pb::CHANNEL_CONTROL, ControlLevel::high);
}

TEST_F(NveSideTest, DataLevelIsThatOfItsCipher)
{
    raw.tunnels[0].options["security_level"] = "high";
    apply();
    EXPECT_NE(refused(start(7, hv7, pb::CHANNEL_DATA)).find("not of the level high"), std::string::npos);
    open(7, hv7, pb::CHANNEL_DATA, ControlLevel::high);
    open(8, hv8, pb::CHANNEL_DATA);
    open(7, hv7, pb::CHANNEL_CONTROL);
}

TEST_F(NveSideTest, NetworksOfItsPort)
{
    Scripted& one = open(7, hv7);
    EXPECT_FALSE(connect(one, "5003"));
    EXPECT_FALSE(connect(one, "blue"));
    EXPECT_FALSE(ask(one, request(pb::TSI_ASSOCIATE)).tsi_result().accepted());     // not connected
    ASSERT_TRUE(connect(one, "5001"));
    EXPECT_EQ(state(one, pb::TSI_ASSOCIATE), pb::TSI_ASSOCIATED);
    raw.tunnels[0].options["nvo3_vnis"] = "5002";
    apply();
    ASSERT_TRUE(run_until([&] { return one.count(Envelope::kVnDisconnect) == 1; }));
    EXPECT_TRUE(view("hv7").tsis.empty());
    EXPECT_GE(view("hv7").refused, 3u);
}

TEST_F(NveSideTest, PortThatIsRemovedEndsEverything)
{
    Scripted& one = open(7, hv7);
    ASSERT_TRUE(connect(one, "5001"));
    state(one, pb::TSI_ASSOCIATE);
    state(one, pb::TSI_ACTIVATE);
    raw.tunnels.erase(raw.tunnels.begin());
    apply();
    EXPECT_NE(refused(one).find("its port was removed"), std::string::npos);
    ASSERT_TRUE(run_until([&] { return networks->remote_tsis.empty(); }));
}

// An agent that ends leaves its VMs running; one that was told of another NVE takes them along.
TEST_F(NveSideTest, WhoLeavesOnPurposeTakesItsTsisAlong)
{
    for (const auto& [code, left] : {std::pair(pb::CLOSE_SHUTDOWN, 1u), std::pair(pb::CLOSE_NOT_CONFIGURED, 0u)}) {
        Scripted& one = open(7, hv7);
        ASSERT_TRUE(connect(one, "5001"));
        state(one, pb::TSI_ASSOCIATE);
        state(one, pb::TSI_ACTIVATE);
        ASSERT_TRUE(run_until([&] { return networks->remote_tsis.size() == 1; }));
        one.open->close(code, "for a reason");
        ASSERT_TRUE(run_until([&] { return view("hv7").error.find("for a reason") != std::string::npos; })) << view("hv7").error;
        EXPECT_EQ(view("hv7").tsis.size(), left);
        ASSERT_TRUE(run_until([&] { return networks->remote_tsis.size() == left; }));
        clock.advance(2s);      // a new session is no new burst
    }
    EXPECT_TRUE(view("hv7").settled);
    EXPECT_TRUE(audited("its hypervisor has left: the peer closed: for a reason"));
}

TEST_F(NveSideTest, OneSessionForControl)
{
    Scripted& one = open(7, hv7);
    ASSERT_TRUE(connect(one, "5001"));
    state(one, pb::TSI_ASSOCIATE);
    state(one, pb::TSI_ACTIVATE);
    Scripted& two = open(7, hv7);
    EXPECT_NE(refused(one).find("has connected again"), std::string::npos);
    ASSERT_EQ(view("hv7").tsis.size(), 1u);
    clock.advance(1s);      // without, it would not be read: no new session is a new burst
    ASSERT_TRUE(connect(two, "5001"));
    clock.advance(1s);
    Envelope done;
    done.mutable_tsi_sync_done();
    ASSERT_TRUE(two.open->send(done).ok());
    ASSERT_TRUE(run_until([&] { return view("hv7").tsis.empty(); }));
    EXPECT_TRUE(view("hv7").settled);
}

TEST_F(NveSideTest, ReportOfWhatThereIs)
{
    Scripted& one = open(7, hv7);
    ASSERT_TRUE(connect(one, "5001"));
    state(one, pb::TSI_ASSOCIATE);
    Envelope query;
    query.mutable_tsi_query();
    const Envelope answer = ask(one, query);
    ASSERT_EQ(answer.tsi_report().tsis_size(), 1);
    EXPECT_EQ(answer.tsi_report().tsis(0).tsi(), "t1");
    EXPECT_EQ(answer.tsi_report().tsis(0).state(), pb::TSI_ASSOCIATED);
    ASSERT_TRUE(one.open->send(query).ok());
    EXPECT_NE(refused(one).find("every 10 seconds"), std::string::npos);
}

TEST_F(NveSideTest, WhoSendsTooMuchIsToldThenCutOff)
{
    raw.other_config["nvo3-hypervisor-rate"] = "10";
    apply();
    Scripted& one = open(7, hv7);
    ASSERT_TRUE(connect(one, "5001"));
    Envelope done;
    done.mutable_tsi_sync_done();
    // At four fifths of the limit nobody complains.
    for (int second = 0; second < 40; second++) {
        for (int i = 0; i < 8; i++) {
            ASSERT_TRUE(one.open->send(done).ok());
        }
        clock.advance(1s);
        const uint64_t want = static_cast<uint64_t>(second + 1) * 8 + 1;
        ASSERT_TRUE(run_until([&] { return view("hv7").messages >= want; }));
    }
    EXPECT_EQ(one.count(Envelope::kSlowDown), 0u);
    // Above it is told once a second, and read no faster than the limit.
    int seconds = 0;
    while (!one.closed && seconds < 60) {
        for (int i = 0; i < 20 && one.open; i++) {
            (void)one.open->send(done);
        }
        clock.advance(1s);
        seconds++;
        const uint64_t want = view("hv7").messages + 9;     // of the 10 that it may
        run_until([&] { return one.closed.has_value() || view("hv7").messages >= want; }, 500ms);
    }
    EXPECT_GT(one.count(Envelope::kSlowDown), 10u);
    EXPECT_GE(seconds, 30);
    EXPECT_NE(refused(one).find("nvo3-hypervisor-rate"), std::string::npos);
    EXPECT_EQ(view("hv7").cut_off, 1u);
    EXPECT_TRUE(audited("nvo3-hypervisor-rate"));
    EXPECT_NE(refused(start(7, hv7, pb::CHANNEL_CONTROL)).find("was cut off"), std::string::npos);
    open(8, hv8);
}

}  // namespace
}  // namespace nvo3::agent
