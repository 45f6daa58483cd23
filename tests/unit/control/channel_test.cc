// SPDX-License-Identifier: Apache-2.0
//
// Sessions of a hypervisor with its external NVE: two channels that are told apart, each
// with messages and a level of its own (REQ 16, REQ 19, REQ 20).
#include "session_fixture.h"

namespace nvo3::tests {
namespace {

namespace pb = control::proto;
using control::Channel;
using control::ControlLevel;
using control::Role;
using Kind = CloseInfo::Kind;

constexpr Channel kNone = pb::CHANNEL_UNSPECIFIED, kControl = pb::CHANNEL_CONTROL, kData = pb::CHANNEL_DATA;

class ChannelTest : public SessionTest {
protected:
    // hv7 connects to the NVE hv1.
    void open(Channel channel, ControlLevel client_level = ControlLevel::standard,
              ControlLevel server_level = ControlLevel::standard)
    {
        listen(context(hv1, ca, "", server_level));
        client_options.channel = channel;
        connect(context(hv7, ca, "", client_level));
        ASSERT_TRUE(run_until([this] { return both_open(); })) << words();
    }
    std::string words() const
    {
        return (client.closed ? "client: " + client.closed->text : "") + (server.closed ? " server: " + server.closed->text : "");
    }
    // What the NVE says to a hypervisor that does 'what' after its TLS handshake.
    std::string misbehave(std::function<void(RawPeer&)> what)
    {
        if (!listener) {
            listen(context(hv1, ca));
        }
        auto tls = context(hv7, ca);
        const std::string text = with_peer([this, tls, what]() -> std::string {
            RawPeer peer(port(), tls->native());
            what(peer);
            const auto close = peer.receive_close();
            return close ? close->text() : "(no Close)";
        });
        EXPECT_TRUE(run_until([this] { return server.closed.has_value(); }));
        return text;
    }

    Leaf hv7 = ca.host("hv7", "hypervisor");
    std::promise<void> server_may_go_on;
};

Envelope
of(std::function<void(Envelope&)> fill)
{
    Envelope envelope;
    fill(envelope);
    return envelope;
}

Envelope
tsi_request(uint32_t vni)
{
    Envelope envelope;
    pb::TsiRequest& request = *envelope.mutable_tsi_request();
    request.set_action(pb::TSI_ASSOCIATE);
    request.set_vni(vni);
    request.set_tsi("tsi-1");
    request.set_mac(std::string("\x52\x54\0\1\2\3", 6));
    return envelope;
}

TEST_F(ChannelTest, BothEndsKnowWhatTheSessionIsFor)
{
    for (const Channel channel : {kControl, kData}) {
        client = Recorder();
        server = Recorder();
        listener.reset();
        factory = nullptr;
        open(channel);
        EXPECT_EQ(client.last->channel(), channel);
        EXPECT_EQ(server.last->channel(), channel);
        EXPECT_EQ(client.last->peer_hello().channel(), channel);
        EXPECT_EQ(server.last->peer().role, Role::hypervisor);
        EXPECT_EQ(client.last->local_role(), Role::hypervisor);
    }
}

TEST_F(ChannelTest, BetweenNvesThereIsNone)
{
    open_both();
    EXPECT_EQ(server.last->channel(), kNone);
    EXPECT_FALSE(client.last->peer_hello().channel());
}

TEST_F(ChannelTest, EachHasItsMessages)
{
    struct Row {
        const char* what;
        Channel channel;
        Envelope message;
        bool allowed;
        std::string words;      // if not
    };
    const Row rows[] = {
        {"TSI on control", kControl, tsi_request(5001), true, ""},
        {"TSI on data", kData, tsi_request(5001), false, "the role hypervisor may not send TsiRequest on the data channel"},
        {"SA on data", kData, offer(), true, ""},
        {"SA on control", kControl, offer(), false, "the role hypervisor may not send SaOffer on the control channel"},
        {"connect on control", kControl, of([](Envelope& e) { e.mutable_vn_connect()->set_vn("blue"); }), true, ""},
        {"connect on data", kData, of([](Envelope& e) { e.mutable_vn_connect()->set_vn("blue"); }), false,
         "the role hypervisor may not send VnConnect on the data channel"},
        {"what only the NVE sends", kControl, of([](Envelope& e) { e.mutable_slow_down()->set_messages_per_second(1); }), false,
         "the role hypervisor may not send SlowDown on the control channel"},
        {"what is for an NVA", kControl, of([](Envelope& e) { e.mutable_directory_request(); }), false,
         "the role hypervisor may not send DirectoryRequest on the control channel"},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        client = Recorder();
        server = Recorder();
        listener.reset();
        factory = nullptr;
        open(row.channel);
        ASSERT_TRUE(client.last->send(row.message).ok());
        if (row.allowed) {
            ASSERT_TRUE(run_until([&] { return server.messages.size() == 1; })) << words();
        } else {
            ASSERT_TRUE(run_until([&] { return both_closed(); }));
            EXPECT_EQ(server.closed->kind, Kind::unauthorized);
            EXPECT_EQ(server.closed->text, row.words);
            EXPECT_TRUE(server.messages.empty());
        }
    }
}

TEST_F(ChannelTest, TsiOfAForeignNetworkIsNotAdopted)
{
    open(kControl);
    ASSERT_TRUE(client.last->send(tsi_request(4711)).ok());
    ASSERT_TRUE(run_until([&] { return server.refused.size() == 1; }));
    EXPECT_TRUE(server.messages.empty());
}

// A hypervisor that takes its NVE's part is refused by whom it sends to.
TEST_F(ChannelTest, NobodyConnectsToAHypervisor)
{
    const Leaf hv8 = ca.host("hv8", "hypervisor");
    for (const Leaf* from : {&hv8, static_cast<const Leaf*>(&hv2)}) {
        client = Recorder();
        server = Recorder();
        listener.reset();
        factory = nullptr;
        listen(context(hv7, ca));
        client_options.channel = kData;
        connect(context(*from, ca));
        ASSERT_TRUE(run_until([&] { return both_closed(); }));
        EXPECT_EQ(client.opened + server.opened, 0);
        EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    }
    EXPECT_NE(server.closed->text.find("'hv2' has the role nve, which does not connect to the role hypervisor"), std::string::npos)
        << server.closed->text;
}

TEST_F(ChannelTest, AHypervisorDoesNotTalkToAnNva)
{
    listen(context(ca.host("nva1", "nva"), ca));
    client_options.channel = kControl;
    connect(context(hv7, ca));
    ASSERT_TRUE(run_until([&] { return both_closed(); }));
    EXPECT_EQ(client.opened + server.opened, 0);
}

TEST_F(ChannelTest, HelloMustSayWhichChannel)
{
    EXPECT_EQ(misbehave([](RawPeer& peer) { peer.hello("hv7", Role::hypervisor, kNone); }),
              "the peer says that this is no channel, but with a hypervisor each session is one");
    EXPECT_EQ(server.closed->kind, Kind::refused_by_us);
    EXPECT_EQ(server.opened, 0);
}

TEST_F(ChannelTest, HelloOfAnotherChannelThanExpected)
{
    server_options.channel = kControl;
    EXPECT_EQ(misbehave([](RawPeer& peer) { peer.hello("hv7", Role::hypervisor, kData); }),
              "the peer says that this is the data channel, here it is the control channel");
    EXPECT_EQ(server.opened, 0);
}

TEST_F(ChannelTest, HelloMustSayTheRoleOfTheCertificate)
{
    EXPECT_EQ(misbehave([](RawPeer& peer) { peer.hello("hv7", Role::nve, kNone); }),
              "the peer says it is 'hv7', but has proved to be 'hv7', role hypervisor");
    EXPECT_EQ(server.opened, 0);
}

TEST_F(ChannelTest, AnNveThatClaimsAChannel)
{
    listen(context(hv1, ca));
    auto tls = context(hv2, ca);
    const auto text = with_peer([this, tls]() -> std::string {
        RawPeer peer(port(), tls->native());
        peer.hello("hv2", Role::nve, kControl);
        const auto close = peer.receive_close();
        return close ? close->text() : "(no Close)";
    });
    EXPECT_EQ(text, "the peer says that this is the control channel, but only a hypervisor has them");
}

TEST_F(ChannelTest, SecondHelloMustNotChangeTheChannel)
{
    EXPECT_EQ(misbehave([](RawPeer& peer) {
                  peer.hello("hv7", Role::hypervisor, kControl);
                  peer.hello("hv7", Role::hypervisor, kData, 2);
              }),
              "the peer's second Hello changes more than its switch instance");
}

// The NVE answers the Hello: before, there is nothing to say.
TEST_F(ChannelTest, NveSaysHelloSecond)
{
    listen(context(hv1, ca));
    auto tls = context(hv7, ca);
    const auto channel = with_peer([this, tls]() -> Channel {
        RawPeer peer(port(), tls->native());
        peer.hello("hv7", Role::hypervisor, kData);
        const auto hello = peer.receive();
        return hello && hello->has_hello() ? hello->hello().channel() : kNone;
    });
    EXPECT_EQ(channel, kData);
}

TEST_F(ChannelTest, SwitchRestartBeforeTheHelloIsInTheHello)
{
    listen(context(hv1, ca));
    auto tls = context(hv7, ca);
    auto result = std::async(std::launch::async, [this, tls]() -> uint64_t {
        RawPeer peer(port(), tls->native());
        server_may_go_on.get_future().wait();
        peer.hello("hv7", Role::hypervisor, kControl);
        const auto hello = peer.receive();
        return hello ? hello->hello().switch_instance() : 0;
    });
    ASSERT_TRUE(run_until([&] { return server.admitted == 1; }));
    server.last->announce_switch_instance(77);
    server_may_go_on.set_value();
    ASSERT_TRUE(run_until([&] { return result.wait_for(0s) == std::future_status::ready; }));
    EXPECT_EQ(result.get(), 77u);
}

// One context takes both channels; what came about is judged when the channel is known.
TEST_F(ChannelTest, LevelsAreApart)
{
    open(kData, ControlLevel::high, ControlLevel::standard);
    EXPECT_TRUE(server.last->check_level(ControlLevel::high).ok()) << server.last->tls_summary();
    EXPECT_TRUE(server.last->check_level(ControlLevel::standard).ok());
    const auto high = server.last;
    client_options.channel = kControl;
    connect(context(hv7, ca));
    ASSERT_TRUE(run_until([&] { return server.opened == 2; }));
    EXPECT_TRUE(server.last->check_level(ControlLevel::standard).ok());
    const auto status = server.last->check_level(ControlLevel::high);
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().text.find("'hv7' came with TLS_AES_128_GCM_SHA256"), std::string::npos) << status.error().text;
    // And so are the keys of the two.
    auto a = high->export_secret("EXPERIMENTAL-test", {}, 36);
    auto b = server.last->export_secret("EXPERIMENTAL-test", {}, 36);
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_FALSE(base::equal_constant_time(a->view(), b->view()));
}

TEST_F(ChannelTest, ContextAtAnotherLevelIsOtherwiseTheSame)
{
    const std::string crl = ca.crl("ca.crl", {&hv2});
    const auto standard = context(hv7, ca, crl);
    const auto high = standard->at_level(ControlLevel::high);
    ASSERT_TRUE(high.ok()) << high.error().text;
    EXPECT_EQ((*high)->level(), ControlLevel::high);
    EXPECT_EQ((*high)->own_identity().name, "hv7");
    const auto back = (*high)->at_level(ControlLevel::standard);
    ASSERT_TRUE(back.ok());
    EXPECT_TRUE((*back)->same_material(*standard));
    // It lets in whom the other lets in, and not whom its CRL names.
    listen(*high);
    client_options.channel = kNone;
    connect(context(hv2, ca, "", ControlLevel::high));
    ASSERT_TRUE(run_until([&] { return server.closed.has_value(); }));
    EXPECT_NE(server.closed->text.find("is revoked"), std::string::npos) << server.closed->text;
}

}  // namespace
}  // namespace nvo3::tests
