// SPDX-License-Identifier: Apache-2.0
//
// Two real agents, without any tunnel port but the one for the NVA's networks, with
// pretended switches and a scripted NVA.
#include "hvagent/overlay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <list>
#include <thread>

#include "control/listener.h"
#include "hvagent/agent.h"
#include "tests/support/fake_switch.h"
#include "tests/support/test_pki.h"

namespace nvo3::agent {
namespace {

using namespace std::chrono_literals;
using control::Envelope;
using control::Session;
using esp::SaDirection;
using test::FakeSwitch;
namespace proto = control::proto;

const base::Vni kVni(5);
const base::IpAddress kGroup = *base::IpAddress::parse("239.1.1.5");
const uint16_t kAgentPort = 16652;      // on addresses of loopback that no other test uses
const char* const kAddress[] = {"127.52.4.1", "127.52.4.2"};

std::string octets(base::ByteView bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// One network, one group; members come and go as the test says.
class ScriptedNva final : public control::SessionHandler {
public:
    // What all NVAs find in their store.
    struct Store {
        std::map<std::string, std::string> members{{"hv1", kAddress[0]}, {"hv2", kAddress[1]}};
        std::map<std::string, proto::GroupSender> senders;
        uint64_t version = 1;
        uint32_t epoch = 1, next = 1;
    };

    ScriptedNva(control::ContextPtr context, Store& store, uint64_t instance) : store_(store), work_(boost::asio::make_work_guard(io_))
    {
        auto opened = control::Listener::open(
            io_, {.endpoint = {boost::asio::ip::address_v4::loopback(), 0}},
            [this, context, instance](const base::IpAddress&, const base::IpAddress&) -> base::Result<control::Listener::Accepted> {
                control::SessionOptions options;
                options.local_role = control::Role::nva;
                options.agent_instance = instance;
                options.linger = 100ms;
                return control::Listener::Accepted{context, options, this};
            },
            [](const base::IpAddress&, const std::string&) {});
        EXPECT_TRUE(opened) << opened.error().text;
        listener_ = std::move(*opened);
        port = listener_->local_endpoint().port();
        thread_ = std::thread([this] { io_.run(); });
    }
    ~ScriptedNva() override
    {
        run([this] {
            listener_.reset();
            for (auto& session : sessions_) {
                session->abandon(proto::CLOSE_SHUTDOWN, "");
            }
            sessions_.clear();
            work_.reset();
        });
        thread_.join();
    }

    void run(std::function<void()> work)
    {
        std::promise<void> done;
        boost::asio::post(io_, [&] {
            work();
            done.set_value();
        });
        done.get_future().wait();
    }
    uint32_t epoch()
    {
        uint32_t epoch = 0;
        run([&] { epoch = store_.epoch; });
        return epoch;
    }
    // 'name' leaves: it is told so, the others too, and a new epoch begins.
    void leave(const std::string& name)
    {
        run([this, name] {
            store_.members.erase(name);
            store_.epoch++;
            store_.senders.clear();
            store_.version++;
            for (auto& session : sessions_) {
                if (session->peer().name == name) {
                    Envelope gone;
                    gone.mutable_vn_gone()->set_vni(kVni.value);
                    (void)session->send(std::move(gone));
                    continue;
                }
                Envelope update = head(store_.version - 1);
                update.mutable_vn_update()->add_members_gone(name);
                (void)session->send(std::move(update));
                tell_key(*session);
            }
        });
    }

    base::Status admit(Session& session) override
    {
        sessions_.push_back(session.shared_from_this());
        return {};
    }
    void on_open(Session&) override {}
    bool vn_allowed(Session&, base::Vni, std::optional<base::Encap>) override { return true; }
    void on_message(Session& session, const Envelope& message) override
    {
        if (message.has_directory_request()) {
            Envelope update = head(0);
            for (const auto& [name, address] : store_.members) {
                auto& member = *update.mutable_vn_update()->add_members();
                member.set_name(name);
                member.add_addresses(octets(base::IpAddress::parse(address)->wire()));
            }
            (void)session.send(std::move(update));
            tell_key(session);
            Envelope ready;
            ready.mutable_directory_ready();
            (void)session.send(std::move(ready));
        } else if (message.has_group_register()) {
            proto::GroupSender sender;
            sender.set_name(session.peer().name);
            sender.set_address(octets(base::IpAddress::parse(store_.members[sender.name()])->wire()));
            sender.set_sender_id(std::string(14, 'i') + static_cast<char>(store_.next / 256) + static_cast<char>(store_.next % 256));
            sender.set_spi(0x80000000u + store_.next++);
            store_.senders[sender.name()] = sender;
            Envelope answer;
            answer.set_in_reply_to(message.request_id());
            auto& grant = *answer.mutable_group_grant();
            grant.set_accepted(true);
            grant.set_vni(kVni.value);
            grant.set_group(octets(kGroup.wire()));
            grant.set_epoch(store_.epoch);
            *grant.mutable_sender() = sender;
            (void)session.send(std::move(answer));
            for (auto& one : sessions_) {
                tell_key(*one);
            }
        } else if (message.has_group_renew()) {
            store_.epoch++;
            store_.senders.clear();
            Envelope answer;
            answer.set_in_reply_to(message.request_id());
            auto& renewed = *answer.mutable_group_renewed();
            renewed.set_accepted(true);
            renewed.set_vni(kVni.value);
            renewed.set_group(octets(kGroup.wire()));
            renewed.set_epoch(store_.epoch);
            (void)session.send(std::move(answer));
            for (auto& one : sessions_) {
                tell_key(*one);
            }
        } else if (message.has_mapping_announce()) {
            Envelope answer;
            answer.set_in_reply_to(message.request_id());
            answer.mutable_mapping_result()->set_accepted(true);
            (void)session.send(std::move(answer));
        }
    }
    void on_vn_refused(Session&, const Envelope&) override {}
    void on_closed(Session& session, const control::CloseInfo&) override
    {
        std::erase_if(sessions_, [&](const auto& one) { return one.get() == &session; });
    }

    uint16_t port = 0;

private:
    Envelope head(uint64_t from)
    {
        Envelope message;
        auto& update = *message.mutable_vn_update();
        update.set_vni(kVni.value);
        update.set_from_version(from);
        update.set_version(store_.version);
        update.set_name("blue");
        update.set_encap(proto::ENCAP_GENEVE);
        update.set_cipher(2);
        update.add_groups(octets(kGroup.wire()));
        return message;
    }
    void tell_key(Session& session)
    {
        if (!store_.members.contains(session.peer().name)) {
            return;
        }
        Envelope message;
        auto& key = *message.mutable_group_key();
        key.set_vni(kVni.value);
        key.set_group(octets(kGroup.wire()));
        key.set_epoch(store_.epoch);
        key.set_secret(std::string(32, static_cast<char>('a' + store_.epoch)));
        key.set_cipher(2);
        key.set_activate_after_ms(200);
        key.set_remove_after_ms(400);
        for (const auto& [name, sender] : store_.senders) {
            *key.add_senders() = sender;
        }
        (void)session.send(std::move(message));
    }

    Store& store_;
    boost::asio::io_context io_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    std::unique_ptr<control::Listener> listener_;
    std::list<std::shared_ptr<Session>> sessions_;      // the NVA's thread only
    std::thread thread_;
};

struct Node {
    Node(int number_, const tests::TempDir& dir, const tests::TestCa& ca, uint16_t nva_port)
        : number(number_), name("hv" + std::to_string(number_ + 1)), socket(dir.file(name + ".sock")), sw(std::make_unique<FakeSwitch>(socket))
    {
        tests::Leaf leaf = ca.host(name);
        raw.other_config = {{"certificate", leaf.certificate_path},
                            {"private_key", leaf.key_path},
                            {"ca_cert", ca.path()},
                            {"nvo3-listen", std::string(kAddress[number]) + ":" + std::to_string(kAgentPort)},
                            {"nvo3-nva", "127.0.0.1:" + std::to_string(nva_port)}};
        raw.tunnels = {{"nva0", "geneve", {{"remote_ip", "flow"}, {"key", "flow"}, {"nvo3_vnis", "nva"}}}};
    }
    void start()
    {
        auto started = Agent::start({.sa_socket = socket, .audit_log = "", .timing = {}, .on_networks = [this] { told++; }});
        ASSERT_TRUE(started) << started.error().text;
        agent = std::move(*started);
        agent->configure(raw);
    }
    size_t count(SaDirection direction, bool group) const
    {
        return static_cast<size_t>(std::ranges::count_if(sw->sas(direction), [&](const auto& sa) { return !sa.group.is_unspecified() == group; }));
    }
    bool all() const
    {
        return count(SaDirection::inbound, false) == 1 && count(SaDirection::outbound, false) == 1 && count(SaDirection::inbound, true) == 1 &&
               count(SaDirection::outbound, true) == 1;
    }

    const int number;
    const std::string name, socket;
    std::unique_ptr<FakeSwitch> sw;
    RawConfig raw;
    std::atomic<int> told{0};
    std::unique_ptr<Agent> agent;
};

class OverlayTest : public testing::Test {
protected:
    OverlayTest()
    {
        auto context = control::TlsContext::from_files(tests::files_of(ca_.host("nva1", "nva"), ca_), control::ControlLevel::standard);
        EXPECT_TRUE(context) << context.error().text;
        nva_context_ = *context;
        nva_ = std::make_unique<ScriptedNva>(nva_context_, store_, 99);
        for (int i = 0; i < 2; i++) {
            nodes_.push_back(std::make_unique<Node>(i, dir_, ca_, nva_->port));
        }
    }
    ~OverlayTest() override
    {
        for (auto& node : nodes_) {
            node->agent.reset();
        }
    }
    Node& a() { return *nodes_[0]; }
    Node& b() { return *nodes_[1]; }
    bool await(const std::function<bool()>& holds) { return a().sw->await(holds); }
    void begin()
    {
        a().start();
        b().start();
        ASSERT_TRUE(await([&] { return a().all() && b().all(); })) << describe(a()) << describe(b());
    }
    static std::string describe(Node& node)
    {
        auto view = node.agent->view();
        std::string text = node.name + ": " + node.sw->port("nva0").state + " " + node.sw->port("nva0").error + "\n";
        for (const auto& nva : (*view)->nva.list) {
            text += nva.endpoint + " " + nva.error + "\n";
        }
        for (const auto& group : (*view)->groups) {
            text += to_string(group.id) + " " + group.state + " " + group.error + "\n";
        }
        for (const auto& problem : (*view)->directory_problems) {
            text += problem + "\n";
        }
        return text + std::to_string(node.sw->sas().size()) + " SAs\n";
    }

    tests::TempDir dir_;
    tests::TestCa ca_{dir_, "test CA"};
    control::ContextPtr nva_context_;
    ScriptedNva::Store store_;
    std::unique_ptr<ScriptedNva> nva_;
    std::vector<std::unique_ptr<Node>> nodes_;
};

TEST_F(OverlayTest, MembershipAloneMakesAllSas)
{
    begin();
    auto out = a().sw->sas(SaDirection::outbound), in = b().sw->sas(SaDirection::inbound);
    for (const auto& sa : out) {
        EXPECT_EQ(sa.vni, kVni);
        EXPECT_EQ(sa.cipher, esp::Cipher::aes256gcm);
        EXPECT_TRUE(std::ranges::any_of(in, [&](const auto& other) { return other.spi == sa.spi && other.key == sa.key; }));
    }
    ASSERT_TRUE(await([&] { return a().sw->port("nva0").state == "up"; })) << describe(a());
    ASSERT_TRUE(await([&] {
        auto networks = a().agent->networks();
        auto reach = networks->reach.find(kVni);
        return reach != networks->reach.end() && reach->second.group.has_value();
    }));
    auto networks = a().agent->networks();
    EXPECT_GT(a().told, 0);
    EXPECT_TRUE(networks->has_pipeline && networks->directory->complete);
    EXPECT_EQ(networks->own_name, "hv1");
    EXPECT_EQ(networks->encaps, std::set<base::Encap>{base::Encap::geneve});
    EXPECT_EQ(networks->reach.at(kVni).members.at("hv2").remote.to_string(), kAddress[1]);
    EXPECT_EQ(networks->reach.at(kVni).group->remote, kGroup);
    auto view = *a().agent->view();
    ASSERT_EQ(view->peers.size(), 1u);
    EXPECT_EQ(view->peers[0].name, "hv2");
    EXPECT_EQ(view->nva.list.at(0).name, "nva1");
}

TEST_F(OverlayTest, MemberThatLeavesLosesAllOnBothSides)
{
    begin();
    nva_->leave("hv2");
    EXPECT_TRUE(await([&] { return b().sw->sas().empty(); })) << describe(b());
    EXPECT_TRUE(await([&] { return a().count(SaDirection::inbound, false) == 0 && a().count(SaDirection::outbound, false) == 0; })) << describe(a());
    EXPECT_TRUE(await([&] { return a().count(SaDirection::inbound, true) == 0; })) << describe(a());
    // The one that stays sends in the new epoch.
    EXPECT_TRUE(await([&] {
        auto out = a().sw->sas(SaDirection::outbound);
        return out.size() == 1 && out[0].generation == nva_->epoch();
    })) << describe(a());
    EXPECT_TRUE(await([&] { return b().agent->networks()->directory->vns.empty(); }));
}

// What the rule guard measures flows by: all networks, as soon as they are known, again
// to each switch; nothing is said while the directory is not complete.
TEST_F(OverlayTest, SwitchIsToldWhatIsServed)
{
    begin();
    using Vnis = std::vector<base::Vni>;
    ASSERT_TRUE(await([&] { return a().sw->served() == Vnis{kVni}; })) << describe(a());
    b().sw.reset();
    b().sw = std::make_unique<FakeSwitch>(b().socket);
    EXPECT_TRUE(await([&] { return b().sw->served() == Vnis{kVni}; })) << "another switch";
    nva_->leave("hv2");
    EXPECT_TRUE(await([&] { return b().sw->served() == Vnis{}; }));

    const size_t times = a().sw->times_served(), agents = a().sw->agents();
    nva_.reset();
    a().agent.reset();
    a().start();
    ASSERT_TRUE(await([&] { return a().sw->agents() > agents && a().sw->port("nva0").state == "waiting"; }));
    EXPECT_EQ(a().sw->times_served(), times) << "what the switch was told before stays";
    a().raw.other_config.erase("nvo3-nva");
    a().agent->configure(a().raw);
    EXPECT_TRUE(await([&] { return a().sw->served() == Vnis{}; })) << "no NVA, no networks of it";
}

TEST_F(OverlayTest, RefusedRulesAreAudited)
{
    begin();
    auto audited = [&](const std::string& words) {
        return std::ranges::any_of(a().agent->audit().recent(), [&](const std::string& line) { return line.find(words) != std::string::npos; });
    };
    a().sw->send(esp::msg::GuardNotice{"br-int", "tcp:192.0.2.9", "sets_unserved_vni", "a flow that sets", true, 3});
    ASSERT_TRUE(await([&] { return audited("rule_refused"); }));
    EXPECT_TRUE(audited(R"("bridge":"br-int","connection":"tcp:192.0.2.9","rule":"sets_unserved_vni","count":3)")) << a().agent->audit().recent().back();
    EXPECT_TRUE(audited(R"("reason":"a flow that sets")"));
    a().sw->send(esp::msg::GuardNotice{"br-int", "learn", "enters_pipeline", "a flow that enters", false, 1});
    EXPECT_TRUE(await([&] { return audited("rule_suspect"); }));
}

TEST_F(OverlayTest, RestartedSwitchIsGivenNoFormerKeyOfAGroup)
{
    begin();
    const uint32_t before = nva_->epoch();
    auto former = b().sw->sas();
    b().sw.reset();
    b().sw = std::make_unique<FakeSwitch>(b().socket);
    std::atomic<bool> again{false};
    b().sw->on_install([&](const FakeSwitch::Sa& sa) {
        again = again || std::ranges::any_of(former, [&](const auto& old) { return !old.group.is_unspecified() && old.spi == sa.spi && old.key == sa.key; });
    });
    ASSERT_TRUE(await([&] { return a().all() && b().all() && nva_->epoch() == before + 1; })) << describe(a()) << describe(b());
    b().sw->on_install({});
    EXPECT_FALSE(again);
}

TEST_F(OverlayTest, NvaAwayChangesNothing)
{
    begin();
    auto before = a().sw->sas().size();
    nva_.reset();
    ASSERT_TRUE(await([&] { return !(*a().agent->view())->nva.session; }));
    EXPECT_EQ(a().sw->sas().size(), before);
    EXPECT_TRUE(a().agent->networks()->directory->complete);
    // Keys of the pair are agreed without it.
    auto of_pair = [](const auto& sa) { return sa.group.is_unspecified(); };
    auto live = a().sw->sas(SaDirection::inbound);
    auto spi = std::ranges::find_if(live, of_pair)->spi;
    EXPECT_TRUE(a().agent->rekey("hv2"));
    ASSERT_TRUE(await([&] {
        auto in = a().sw->sas(SaDirection::inbound);
        return std::ranges::any_of(in, [&](const auto& sa) { return of_pair(sa) && sa.spi != spi; });
    }));
    // Without the key in the database all of it ends.
    a().raw.other_config.erase("nvo3-nva");
    a().agent->configure(a().raw);
    ASSERT_TRUE(await([&] { return a().sw->sas().empty(); })) << describe(a());
}

TEST_F(OverlayTest, AgentRestartWithoutAnNvaLeavesTheSwitchAlone)
{
    begin();
    auto before = a().sw->sas();
    auto agents = a().sw->agents();
    nva_.reset();
    a().agent.reset();
    a().start();
    ASSERT_TRUE(await([&] { return a().sw->agents() > agents && (*a().agent->view())->switch_up; }));
    ASSERT_TRUE(await([&] { return a().sw->port("nva0").state == "waiting"; })) << a().sw->port("nva0").state;
    EXPECT_EQ(a().sw->sas().size(), before.size()) << "what the NVA would tell is not known yet";
    // Now it is: the same is adopted, and replaced over a session, without a gap.
    std::atomic<bool> gap{false};
    a().sw->on_install([&](const auto&) { gap = gap || a().count(SaDirection::outbound, false) == 0; });
    nva_ = std::make_unique<ScriptedNva>(nva_context_, store_, 100);
    for (auto& node : nodes_) {
        node->raw.other_config["nvo3-nva"] = "127.0.0.1:" + std::to_string(nva_->port);
        node->agent->configure(node->raw);
    }
    ASSERT_TRUE(await([&] {
        auto out = a().sw->sas(SaDirection::outbound);
        return a().all() && std::ranges::none_of(out, [&](const auto& sa) {
                   return std::ranges::any_of(before, [&](const auto& old) { return old.spi == sa.spi && old.key == sa.key; });
               });
    })) << describe(a());
    a().sw->on_install({});
    EXPECT_FALSE(gap);
}

}  // namespace
}  // namespace nvo3::agent
