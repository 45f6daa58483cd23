// SPDX-License-Identifier: Apache-2.0
//
// The client against scripted NVAs: real sessions over loopback, what they say is the test's.
#include "hvagent/nva_client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <functional>
#include <list>
#include <utility>

#include "control/endpoint.h"
#include "control/listener.h"
#include "tests/support/policy_messages.h"
#include "tests/support/test_pki.h"

namespace nvo3::agent {
namespace {

using namespace std::chrono_literals;
using control::Envelope;
using control::Session;
namespace proto = control::proto;

using tests::Leaf;

ContextPtr context(const Leaf& leaf, const tests::TestCa& ca, const std::string& crl = "")
{
    auto made = control::TlsContext::from_files(tests::files_of(leaf, ca, crl), control::ControlLevel::standard);
    EXPECT_TRUE(made) << made.error().text;
    return *made;
}

// One process of an NVA: accepts, keeps what it hears, says what it is told to.
class FakeNva final : public control::SessionHandler {
public:
    FakeNva(boost::asio::io_context& io, ContextPtr context, uint64_t instance, uint16_t port = 0) : context_(std::move(context)), instance_(instance)
    {
        auto opened = control::Listener::open(
            io, {.endpoint = {boost::asio::ip::address_v4::loopback(), port}, .handshakes_per_address = {1000, 1000}},
            [this](const base::IpAddress&, const base::IpAddress&) -> base::Result<control::Listener::Accepted> {
                control::SessionOptions options;
                options.local_role = control::Role::nva;
                options.agent_instance = instance_;
                options.linger = 100ms;
                connections++;
                return control::Listener::Accepted{context_, options, this};
            },
            [](const base::IpAddress&, const std::string&) {});
        EXPECT_TRUE(opened) << opened.error().text;
        listener_ = std::move(*opened);
    }
    // As a process that ends.  Sessions in their handshake may speak to this object still.
    void stop()
    {
        listener_.reset();
        for (auto& session : std::exchange(sessions_, {})) {
            session->abandon(proto::CLOSE_SHUTDOWN, "");
        }
        open_ = nullptr;
    }

    Endpoint endpoint() const { return {*base::IpAddress::parse("127.0.0.1"), listener_->local_endpoint().port()}; }
    bool open() const { return open_ != nullptr; }
    void close() { open_->close(proto::CLOSE_SHUTDOWN, "the NVA ends"); }
    uint64_t send(Envelope message) { return *open_->send(std::move(message)); }
    void update(uint32_t vni, uint64_t from, uint64_t version, const std::string& name = "blue")
    {
        Envelope message;
        auto& update = *message.mutable_vn_update();
        update.set_vni(vni);
        update.set_from_version(from);
        update.set_version(version);
        update.set_name(name);
        update.set_encap(proto::ENCAP_GENEVE);
        update.set_cipher(1);
        auto& member = *update.add_members();
        member.set_name("hv1");
        member.add_addresses(std::string("\xc0\x00\x02\x01", 4));
        send(std::move(message));
    }
    void map(uint32_t vni, uint64_t from, int mac, const std::string& nve)
    {
        Envelope message;
        auto& update = *message.mutable_vn_update();
        update.set_vni(vni);
        update.set_from_version(from);
        update.set_version(from + 1);
        update.set_name("blue");
        update.set_encap(proto::ENCAP_GENEVE);
        update.set_cipher(1);
        std::string octets("\x52\x54\0\0\0", 5);
        octets.push_back(static_cast<char>(mac));
        if (nve.empty()) {
            update.add_mappings_gone(octets);
        } else {
            auto& mapping = *update.add_mappings();
            mapping.set_mac(octets);
            mapping.set_nve(nve);
        }
        send(std::move(message));
    }
    void gone(uint32_t vni)
    {
        Envelope message;
        message.mutable_vn_gone()->set_vni(vni);
        send(std::move(message));
    }
    void policy(const std::string& text, uint64_t version)
    {
        for (Envelope& message : tests::policy_messages(text, version)) {
            send(std::move(message));
        }
    }
    void ready()
    {
        Envelope message;
        message.mutable_directory_ready();
        send(std::move(message));
    }
    void answer(const Envelope& to, bool accepted, const std::string& reason = "", uint32_t retry_after_ms = 0)
    {
        Envelope message;
        message.set_in_reply_to(to.request_id());
        message.mutable_mapping_result()->set_accepted(accepted);
        message.mutable_mapping_result()->set_retry_after_ms(retry_after_ms);
        message.mutable_mapping_result()->set_reason(reason);
        send(std::move(message));
    }
    // Announcements, and withdrawals as "-", by the last octet of the MAC; in order.
    std::vector<std::string> announced() const
    {
        std::vector<std::string> list;
        for (const Envelope& message : heard) {
            if (message.has_mapping_announce()) {
                const auto& announce = message.mapping_announce();
                list.push_back((announce.withdraw() ? "-" : "") + std::to_string(announce.vni()) + "/" +
                               std::to_string(static_cast<int>(announce.mac()[5])) + "/" + std::to_string(announce.addresses_size()));
            }
        }
        return list;
    }
    const Envelope& last_announce() const
    {
        return *std::find_if(heard.rbegin(), heard.rend(), [](const Envelope& message) { return message.has_mapping_announce(); });
    }
    const proto::DirectoryRequest& request() const { return heard.front().directory_request(); }

    base::Status admit(Session& session) override
    {
        sessions_.push_back(session.shared_from_this());
        return {};
    }
    void on_open(Session& session) override
    {
        open_ = &session;
        heard.clear();
    }
    bool vn_allowed(Session&, base::Vni, std::optional<base::Encap>) override { return true; }
    void on_message(Session&, const Envelope& message) override { heard.push_back(message); }
    void on_vn_refused(Session&, const Envelope&) override {}
    void on_closed(Session& session, const control::CloseInfo& info) override
    {
        last_close = info;
        if (open_ == &session) {
            open_ = nullptr;
        }
        std::erase_if(sessions_, [&](const auto& one) { return one.get() == &session; });
    }

    std::vector<Envelope> heard;        // in the present session
    size_t connections = 0;
    control::CloseInfo last_close;

private:
    ContextPtr context_;
    uint64_t instance_;
    std::unique_ptr<control::Listener> listener_;
    std::list<std::shared_ptr<Session>> sessions_;
    Session* open_ = nullptr;
};

class NvaClientTest : public testing::Test, public PeerHost, public NvaHandler {
protected:
    NvaClientTest() : audit_log_(std::move(*control::AuditLog::open("", base::system_clock()))), own_(context(hv1_, ca_)) {}
    ~NvaClientTest() override
    {
        client_.reset();
        bury(nva_);
        bury(other_);
        io_.restart();
        io_.run();      // to the end of all sessions
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
    void bury(std::unique_ptr<FakeNva>& nva)
    {
        if (nva) {
            nva->stop();
            dead_.push_back(std::move(nva));
        }
    }
    void make(int number = 1)
    {
        auto& place = number == 1 ? nva_ : other_;
        place = std::make_unique<FakeNva>(io_, context(number == 1 ? nva1_ : nva2_, ca_), 100 + number);
    }
    void configure()
    {
        std::vector<Endpoint> list;
        for (const auto& nva : {&nva_, &other_}) {
            if (*nva) {
                list.push_back((*nva)->endpoint());
            }
        }
        configure(list);
    }
    void configure(const std::vector<Endpoint>& list)
    {
        if (!client_) {
            client_ = std::make_unique<NvaClient>(*this, *this);
        }
        client_->configure(list, tsis_);
    }
    // In session with the first NVA, which has been asked.
    void begin()
    {
        make();
        configure();
        ASSERT_TRUE(run_until([&] { return nva_->open() && !nva_->heard.empty() && client_->is_up(); }));
    }
    Tsi tsi(int mac, std::vector<std::string> addresses = {}, const std::string& vn = "blue")
    {
        Tsi made{"vm" + std::to_string(mac), 1, vn, {{0x52, 0x54, 0, 0, 0, static_cast<uint8_t>(mac)}}, {}};
        for (const auto& address : addresses) {
            made.addresses.push_back(*base::IpAddress::parse(address));
        }
        return made;
    }
    bool audited(const std::string& word) const
    {
        return std::ranges::any_of(audit_log_->recent(), [&](const std::string& line) { return line.find(word) != std::string::npos; });
    }
    const VnView* vn(uint32_t vni) const { return client_->directory().snapshot()->find(base::Vni(vni)); }
    std::string error() const { return client_->view().list.at(0).error; }

    // PeerHost.
    boost::asio::io_context& io() override { return io_; }
    const base::Clock& clock() override { return base::system_clock(); }
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
    // NvaHandler.
    void on_directory() override { directories_++; }
    void on_policy() override
    {
        policies_.push_back(client_->policy() ? client_->policy()->text : "none");
        complete_at_policy_ = client_->directory().snapshot()->complete;
        known_at_policy_ = client_->directory().snapshot()->vns.size();
    }
    void on_nva_up() override { ups_++; }
    void on_nva_down() override { downs_++; }
    void on_group_key(const proto::GroupKey& key) override
    {
        EXPECT_TRUE(vn(key.vni())) << "the network that was told before is known";
        keys_.push_back(key.epoch());
    }
    void on_group_grant(uint64_t in_reply_to, const proto::GroupGrant&) override { grants_.push_back(in_reply_to); }
    void on_group_renewed(uint64_t in_reply_to, const proto::GroupRenewed& renewed) override
    {
        renewed_.emplace_back(in_reply_to, renewed.epoch());
    }
    void on_nva_status() override {}

    boost::asio::io_context io_;
    tests::TempDir dir_;
    tests::TestCa ca_{dir_, "test CA"};
    Leaf hv1_ = ca_.host("hv1"), nva1_ = ca_.host("nva1", "nva"), nva2_ = ca_.host("nva2", "nva");
    std::unique_ptr<control::AuditLog> audit_log_;
    ContextPtr own_;
    SessionTiming timing_;
    std::string problem_;
    std::unique_ptr<FakeNva> nva_, other_;
    std::list<std::unique_ptr<FakeNva>> dead_;
    std::unique_ptr<NvaClient> client_;
    std::vector<Tsi> tsis_;
    size_t directories_ = 0, ups_ = 0, downs_ = 0;
    std::vector<std::string> policies_;
    bool complete_at_policy_ = false;
    size_t known_at_policy_ = 0;
    std::vector<uint32_t> keys_;
    std::vector<uint64_t> grants_;
    std::vector<std::pair<uint64_t, uint32_t>> renewed_;
};

TEST_F(NvaClientTest, AsksAndKeepsWhatItIsTold)
{
    begin();
    EXPECT_EQ(nva_->request().nva_instance(), 0u);
    EXPECT_EQ(ups_, 1u);
    EXPECT_TRUE(audited("\"nva1\""));
    nva_->update(5, 0, 1);
    ASSERT_TRUE(run_until([&] { return vn(5) && directories_ > 0; }));
    EXPECT_FALSE(client_->directory().snapshot()->complete);
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return client_->directory().snapshot()->complete; }));
    nva_->gone(5);
    ASSERT_TRUE(run_until([&] { return !vn(5); }));
    auto view = client_->view();
    ASSERT_EQ(view.list.size(), 1u);
    EXPECT_TRUE(view.list[0].in_use);
    EXPECT_EQ(view.list[0].name, "nva1");
    ASSERT_TRUE(view.session);
    EXPECT_EQ(view.session->peer_role, "nva");
}

TEST_F(NvaClientTest, ComesBackToTheSameProcess)
{
    begin();
    nva_->update(5, 0, 3);
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return client_->directory().snapshot()->complete; }));
    nva_->close();
    ASSERT_TRUE(run_until([&] { return downs_ == 1; }));
    EXPECT_TRUE(vn(5)) << "what it told goes on";
    EXPECT_TRUE(audited("session_closed"));
    ASSERT_TRUE(run_until([&] { return nva_->open() && !nva_->heard.empty(); }));
    EXPECT_EQ(nva_->request().nva_instance(), 101u);
    ASSERT_EQ(nva_->request().known_size(), 1);
    EXPECT_EQ(nva_->request().known(0).version(), 3u);
}

TEST_F(NvaClientTest, FailsOverToTheNextAndStaysThere)
{
    make(1);
    make(2);
    configure();
    ASSERT_TRUE(run_until([&] { return nva_->open() && !nva_->heard.empty(); }));
    EXPECT_FALSE(other_->open()) << "the first of the list";
    nva_->update(5, 0, 3);
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return client_->directory().snapshot()->complete; }));
    const Endpoint first = nva_->endpoint();
    bury(nva_);
    ASSERT_TRUE(run_until([&] { return other_->open() && !other_->heard.empty(); }));
    EXPECT_TRUE(vn(5));
    EXPECT_EQ(other_->request().known_size(), 0) << "versions are of one process";
    other_->update(6, 0, 1);
    other_->ready();
    ASSERT_TRUE(run_until([&] { return vn(6) && !vn(5); }));
    // The first is back: nothing changes while the present one works.
    nva_ = std::make_unique<FakeNva>(io_, context(nva1_, ca_), 103, first.port);
    // Longer than a connector waits that was not stopped.
    const auto end = std::chrono::steady_clock::now() + 2500ms;
    run_until([&] { return std::chrono::steady_clock::now() > end; });
    EXPECT_EQ(nva_->connections, 0u);
    EXPECT_TRUE(other_->open());
    EXPECT_EQ(client_->view().sessions, 2u);
}

TEST_F(NvaClientTest, FirstOfTheListIsAwayFromTheStart)
{
    make(1);
    make(2);
    const std::vector<Endpoint> list{nva_->endpoint(), other_->endpoint()};
    bury(nva_);
    configure(list);
    ASSERT_TRUE(run_until([&] { return other_->open() && client_->is_up(); }));
    EXPECT_NE(error().find("refused"), std::string::npos) << error();
    EXPECT_TRUE(client_->view().list[1].in_use);
}

TEST_F(NvaClientTest, WhoIsNoNvaIsRefused)
{
    tests::TestCa other_ca(dir_, "other CA");
    Leaf nve = ca_.host("hv2"), domain = ca_.host("nva9", "nva", "elsewhere.internal"), foreign = other_ca.host("nvax", "nva");
    Leaf plain = ca_.issue("plain", {.cn = "nva1"});
    struct Row {
        const char* what;
        std::function<ContextPtr()> context;
        const char* words;
        bool audits;
    };
    const Row rows[] = {
        {"an NVE", [&] { return context(nve, ca_); }, "not for the role nva", true},
        {"a certificate without a SPIFFE name", [&] { return context(plain, ca_); }, "not for the role nva", true},
        {"another trust domain", [&] { return context(domain, ca_); }, "elsewhere.internal", true},
        {"another CA", [&] { return context(foreign, other_ca); }, "", false},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        client_.reset();
        bury(nva_);
        nva_ = std::make_unique<FakeNva>(io_, row.context(), 1);
        configure();
        ASSERT_TRUE(run_until([&] { return !error().empty(); }));
        EXPECT_NE(error().find(row.words), std::string::npos) << error();
        EXPECT_FALSE(client_->is_up());
        EXPECT_EQ(ups_, 0u);
        EXPECT_TRUE(nva_->heard.empty());
        EXPECT_TRUE(!row.audits || audited(row.words));
    }
}

TEST_F(NvaClientTest, OwnCertificateNeedsAName)
{
    own_ = context(ca_.issue("own", {.cn = "hv1"}), ca_);
    make();
    configure();
    ASSERT_TRUE(run_until([&] { return error().find("has no nvo3 SPIFFE name") != std::string::npos; })) << error();
}

TEST_F(NvaClientTest, RevokedNvaIsLeft)
{
    begin();
    nva_->update(5, 0, 3);
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return vn(5); }));
    own_ = context(hv1_, ca_, ca_.crl("crl.pem", {&nva1_}));
    client_->context_changed(false, false);
    ASSERT_TRUE(run_until([&] { return downs_ == 1; }));
    EXPECT_NE(error().find("revoked"), std::string::npos) << error();
    ASSERT_TRUE(run_until([&] { return nva_->connections > 1 && error().find("revoked") != std::string::npos; }));
    EXPECT_FALSE(client_->is_up());
    EXPECT_TRUE(vn(5)) << "what is known goes on";
}

TEST_F(NvaClientTest, NewCertificateComesWithANewSession)
{
    begin();
    own_ = context(ca_.host("hv1"), ca_);
    client_->context_changed(true, false);
    ASSERT_TRUE(run_until([&] { return ups_ == 2 && client_->is_up(); }));
    EXPECT_EQ(nva_->connections, 2u);
}

TEST_F(NvaClientTest, OtherNameForgetsWhatTheFormerOneWasTold)
{
    begin();
    nva_->update(5, 0, 3);
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return vn(5); }));
    own_ = context(ca_.host("hv8"), ca_);
    client_->context_changed(true, true);
    EXPECT_FALSE(vn(5));
    ASSERT_TRUE(run_until([&] { return ups_ == 2 && nva_->open() && !nva_->heard.empty(); }));
    EXPECT_EQ(nva_->request().known_size(), 0);
}

TEST_F(NvaClientTest, ListThatChanges)
{
    begin();
    nva_->update(5, 0, 3);
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return vn(5); }));
    make(2);
    configure({other_->endpoint()});
    EXPECT_EQ(downs_, 1u);
    ASSERT_TRUE(run_until([&] { return other_->open() && !nva_->open(); }));
    EXPECT_TRUE(vn(5));
    configure({});
    EXPECT_FALSE(vn(5)) << "without an NVA its networks end";
    EXPECT_FALSE(client_->is_up());
    ASSERT_TRUE(run_until([&] { return !other_->open(); }));
}

TEST_F(NvaClientTest, NvaThatBreaksTheOrderIsLeft)
{
    begin();
    nva_->update(5, 0, 3);
    ASSERT_TRUE(run_until([&] { return vn(5); }));
    nva_->update(5, 7, 8);
    ASSERT_TRUE(run_until([&] { return downs_ == 1; }));
    EXPECT_TRUE(run_until([&] { return nva_->last_close.code == proto::CLOSE_PROTOCOL_ERROR; }));
    EXPECT_TRUE(audited("from version 7"));
    EXPECT_TRUE(vn(5));
}

TEST_F(NvaClientTest, GroupMessagesGoOn)
{
    begin();
    nva_->update(5, 0, 3);
    Envelope key;
    auto& told = *key.mutable_group_key();
    told.set_vni(5);
    told.set_group(std::string("\xef\x01\x01\x01", 4));
    told.set_epoch(9);
    told.set_secret(std::string(32, 's'));
    told.set_cipher(1);
    nva_->send(std::move(key));
    ASSERT_TRUE(run_until([&] { return !keys_.empty(); }));
    EXPECT_EQ(keys_, std::vector<uint32_t>{9});
    Envelope ask;
    ask.mutable_group_register()->set_vni(5);
    ask.mutable_group_register()->set_group(std::string("\xef\x01\x01\x01", 4));
    ask.mutable_group_register()->set_epoch(9);
    auto sent = client_->send(std::move(ask));
    ASSERT_TRUE(sent);
    Envelope grant;
    grant.set_in_reply_to(*sent);
    grant.mutable_group_grant()->set_vni(5);
    grant.mutable_group_grant()->set_group(std::string("\xef\x01\x01\x01", 4));
    nva_->send(std::move(grant));
    ASSERT_TRUE(run_until([&] { return !grants_.empty(); }));
    EXPECT_EQ(grants_[0], *sent);
    Envelope renewed;
    renewed.set_in_reply_to(*sent);
    renewed.mutable_group_renewed()->set_accepted(true);
    renewed.mutable_group_renewed()->set_vni(5);
    renewed.mutable_group_renewed()->set_group(std::string("\xef\x01\x01\x01", 4));
    renewed.mutable_group_renewed()->set_epoch(10);
    nva_->send(std::move(renewed));
    ASSERT_TRUE(run_until([&] { return !renewed_.empty(); }));
    EXPECT_EQ(renewed_[0], std::pair(*sent, 10u));
}

// ---- The policy ----

TEST_F(NvaClientTest, PolicyComesWholeBetweenNetworksAndReady)
{
    begin();
    EXPECT_FALSE(client_->policy());
    EXPECT_TRUE(nva_->request().policy_digest().empty());
    const std::string text = std::string(150000, '#') + "\n";
    nva_->update(5, 0, 3);
    nva_->policy(text, 8);
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return client_->directory().snapshot()->complete; }));
    ASSERT_EQ(policies_, std::vector<std::string>{text});
    EXPECT_EQ(client_->policy()->version, 8u);
    EXPECT_EQ(known_at_policy_, 1u) << "the network was told before";
    EXPECT_FALSE(complete_at_policy_) << "nothing was removed before it was known";
    nva_->policy("", 9);
    ASSERT_TRUE(run_until([&] { return policies_.size() == 2; }));
    EXPECT_EQ(client_->policy()->text, "");
}

TEST_F(NvaClientTest, PolicyGoesOnAndIsKnownByItsDigest)
{
    begin();
    nva_->policy("gateway blue 10.0.0.254/24\n", 8);
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return policies_.size() == 1; }));
    nva_->send(std::move(tests::policy_messages(std::string(60001, '#'), 9)[0]));     // never whole
    nva_->close();
    ASSERT_TRUE(run_until([&] { return downs_ == 1; }));
    EXPECT_TRUE(client_->policy());
    ASSERT_TRUE(run_until([&] { return nva_->open() && !nva_->heard.empty(); }));
    EXPECT_EQ(nva_->request().policy_digest(), control::policy_digest("gateway blue 10.0.0.254/24\n"));
    nva_->policy("# none\n", 10);
    ASSERT_TRUE(run_until([&] { return policies_.size() == 2; }));
    EXPECT_EQ(policies_[1], "# none\n");
    configure({});
    EXPECT_EQ(policies_.back(), "none") << "without an NVA its policy ends";
    EXPECT_FALSE(client_->policy());
}

TEST_F(NvaClientTest, OtherNameForgetsThePolicy)
{
    begin();
    nva_->policy("# of hv1\n", 8);
    ASSERT_TRUE(run_until([&] { return policies_.size() == 1; }));
    own_ = context(ca_.host("hv8"), ca_);
    client_->context_changed(true, true);
    EXPECT_EQ(policies_.back(), "none");
    ASSERT_TRUE(run_until([&] { return ups_ == 2 && nva_->open() && !nva_->heard.empty(); }));
    EXPECT_TRUE(nva_->request().policy_digest().empty());
}

TEST_F(NvaClientTest, NvaThatTellsTooMuchPolicyIsLeft)
{
    begin();
    nva_->policy("# good\n", 1);
    nva_->policy(std::string(policy::kMaxText + 1, '#'), 2);
    ASSERT_TRUE(run_until([&] { return downs_ == 1; }));
    EXPECT_TRUE(run_until([&] { return nva_->last_close.code == proto::CLOSE_PROTOCOL_ERROR; }));
    EXPECT_TRUE(audited("a policy of more than 1048576 octets"));
    EXPECT_EQ(client_->policy()->text, "# good\n");
}

// ---- Interfaces ----

TEST_F(NvaClientTest, Announces)
{
    tsis_ = {tsi(1, {"10.0.0.1", "fd00::1"}), tsi(2, {}, "5"), tsi(3, {}, "red")};
    begin();
    EXPECT_TRUE(nva_->announced().empty()) << "no network is known yet";
    nva_->update(5, 0, 1);
    ASSERT_TRUE(run_until([&] { return nva_->announced().size() == 2; }));
    EXPECT_EQ(nva_->announced(), (std::vector<std::string>{"5/1/2", "5/2/0"}));
    nva_->answer(nva_->heard[1], true);
    nva_->answer(nva_->heard[2], true);
    ASSERT_TRUE(run_until([&] { return client_->tsis()[1].state == "announced"; }));
    EXPECT_EQ(client_->tsis()[0].state, "announced");
    EXPECT_EQ(client_->tsis()[0].vni, base::Vni(5));
    EXPECT_EQ(client_->tsis()[2].state, "waiting");
    EXPECT_NE(client_->tsis()[2].reason.find("network red"), std::string::npos);
    EXPECT_TRUE(client_->refused_tsis().empty());
    // A change of one is told of one.
    tsis_ = {tsi(1, {"10.0.0.9"}), tsi(2, {}, "5")};
    configure();
    ASSERT_TRUE(run_until([&] { return nva_->announced().size() == 3; }));
    EXPECT_EQ(nva_->announced().back(), "5/1/1");
    tsis_ = {tsi(1, {"10.0.0.9"})};
    configure();
    ASSERT_TRUE(run_until([&] { return nva_->announced().size() == 4; }));
    EXPECT_EQ(nva_->announced().back(), "-5/2/0");
}

TEST_F(NvaClientTest, AnnouncesAllAgainAfterAReconnect)
{
    tsis_ = {tsi(1), tsi(2)};
    begin();
    nva_->update(5, 0, 1);
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return nva_->announced().size() == 2; }));
    nva_->close();
    ASSERT_TRUE(run_until([&] { return downs_ == 1; }));
    tsis_ = {tsi(2)};       // one goes while nobody listens
    configure();
    ASSERT_TRUE(run_until([&] { return nva_->open() && !nva_->announced().empty(); }));
    EXPECT_EQ(nva_->announced(), std::vector<std::string>{"5/2/0"});
    nva_->map(5, 1, 1, "hv1");
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return nva_->announced().size() == 2; }));
    EXPECT_EQ(nva_->announced().back(), "-5/1/0") << "what the NVA has of this host that is not here";
}

TEST_F(NvaClientTest, RefusedInterface)
{
    tsis_ = {tsi(1)};
    begin();
    nva_->update(5, 0, 1);
    nva_->map(5, 1, 1, "hv2");
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return nva_->announced().size() == 1 && client_->directory().snapshot()->complete; }));
    EXPECT_EQ(client_->refused_tsis().count("vm1"), 1u) << "another's MAC: no packet of it, not for the time of an answer";
    EXPECT_EQ(client_->tsis()[0].state, "waiting");
    nva_->answer(nva_->last_announce(), false, "the MAC is at hv2");
    ASSERT_TRUE(run_until([&] { return client_->tsis()[0].state == "refused"; }));
    EXPECT_EQ(client_->refused_tsis().at("vm1"), "the MAC is at hv2");
    EXPECT_EQ(client_->tsis()[0].state, "refused");
    EXPECT_TRUE(audited("the MAC is at hv2"));
    // It is free now: asked again at once, and until the answer comes still refused.
    nva_->map(5, 2, 1, "");
    ASSERT_TRUE(run_until([&] { return nva_->announced().size() == 2; }));
    EXPECT_EQ(client_->refused_tsis().size(), 1u);
    nva_->answer(nva_->last_announce(), true);
    ASSERT_TRUE(run_until([&] { return client_->refused_tsis().empty(); }));
    EXPECT_EQ(client_->tsis()[0].state, "announced");
    nva_->map(5, 3, 1, "hv2");
    ASSERT_TRUE(run_until([&] { return client_->tsis()[0].state == "elsewhere"; }));
}

TEST_F(NvaClientTest, RefusedInterfaceIsAskedForAgain)
{
    tsis_ = {tsi(1)};
    begin();
    nva_->update(5, 0, 1);
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return nva_->announced().size() == 1 && client_->directory().snapshot()->complete; }));
    EXPECT_TRUE(client_->answers().empty());
    const Announcer::Key key{base::Vni(5), tsis_[0].mac};
    // The holder is away, and for so long: not sooner, and not later than by a little.
    auto asked = std::chrono::steady_clock::now();
    nva_->answer(nva_->last_announce(), false, "hv2 is away", 1200);
    ASSERT_TRUE(run_until([&] { return client_->answers().contains(key); }));
    EXPECT_TRUE(client_->answers().at(key).for_now);
    ASSERT_TRUE(run_until([&] { return nva_->announced().size() == 2; }));
    EXPECT_GE(std::chrono::steady_clock::now() - asked, 1200ms);
    EXPECT_LT(std::chrono::steady_clock::now() - asked, 2000ms);
    EXPECT_TRUE(client_->answers().empty()) << "it is being asked";
    // Nothing is known of the holder: later by and by, beginning with what its death takes to show.
    asked = std::chrono::steady_clock::now();
    nva_->answer(nva_->last_announce(), false, "the MAC is at hv2");
    ASSERT_TRUE(run_until([&] { return client_->answers().contains(key); }));
    EXPECT_FALSE(client_->answers().at(key).for_now);
    EXPECT_EQ(client_->answers().at(key).reason, "the MAC is at hv2");
    ASSERT_TRUE(run_until([&] { return nva_->announced().size() == 3; }));
    EXPECT_GE(std::chrono::steady_clock::now() - asked, 2s);
    EXPECT_LT(std::chrono::steady_clock::now() - asked, 8s);
    nva_->answer(nva_->last_announce(), true);
    ASSERT_TRUE(run_until([&] { return client_->answers().contains(key); }));
    EXPECT_EQ(client_->answers().at(key).reason, "");
}

TEST_F(NvaClientTest, NetworkThatGoesNeedsNoWithdrawal)
{
    tsis_ = {tsi(1)};
    begin();
    nva_->update(5, 0, 1);
    nva_->ready();
    ASSERT_TRUE(run_until([&] { return nva_->announced().size() == 1; }));
    nva_->gone(5);
    ASSERT_TRUE(run_until([&] { return !vn(5) && client_->tsis()[0].state == "waiting"; }));
    nva_->update(5, 0, 9);
    ASSERT_TRUE(run_until([&] { return nva_->announced().size() == 2; }));
    EXPECT_EQ(nva_->announced().back(), "5/1/0");
}

}  // namespace
}  // namespace nvo3::agent
