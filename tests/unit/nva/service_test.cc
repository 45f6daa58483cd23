// SPDX-License-Identifier: Apache-2.0
//
// The service with real sessions on the loopback address: who is let in, what each is told and
// may change, and that one that is slow or shut out disturbs no other.
#include "nva/service.h"

#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <optional>

#include "control/policy_text.h"
#include "tests/support/policy_messages.h"
#include "tests/support/test_pki.h"
#include "tests/unit/nva/nva_fixture.h"

using namespace nvo3;
using namespace nvo3::tests;
using boost::asio::ip::tcp;
using control::Envelope;
using control::Session;

namespace {

using namespace std::chrono_literals;

// An NVE: keeps what it is told of the networks.
struct Nve final : control::SessionHandler {
    struct Network {
        uint64_t version = 0;
        std::map<std::string, int> members;
        std::map<std::string, std::string> mappings;    // MAC octets to NVE
    };

    base::Status admit(Session&) override { return {}; }
    void on_open(Session& opened) override
    {
        session = opened.shared_from_this();
        Envelope request;
        request.mutable_directory_request();
        EXPECT_TRUE(session->send(request));
    }
    bool vn_allowed(Session&, base::Vni, std::optional<base::Encap>) override { return true; }
    void on_message(Session&, const Envelope& message) override
    {
        if (message.has_vn_update()) {
            const auto& update = message.vn_update();
            Network& network = networks[update.vni()];
            if (update.encap() != control::proto::ENCAP_UNSPECIFIED) {
                steps++;
                EXPECT_TRUE(update.from_version() == 0 || update.from_version() == network.version);
                if (update.from_version() == 0) {
                    network = {};
                }
            }
            for (const auto& member : update.members()) {
                network.members[member.name()] = member.addresses_size();
            }
            for (const auto& name : update.members_gone()) {
                network.members.erase(name);
            }
            for (const auto& mapping : update.mappings()) {
                network.mappings[mapping.mac()] = mapping.nve();
            }
            for (const auto& gone : update.mappings_gone()) {
                network.mappings.erase(gone);
            }
            network.version = update.more() ? network.version : update.version();
        } else if (message.has_vn_gone()) {
            networks.erase(message.vn_gone().vni());
        } else if (message.has_policy_update()) {
            policies.push_back(message.policy_update().text());
        } else if (message.has_directory_ready()) {
            policies_at_ready = policies.size();
            ready = true;
        } else if (message.has_mapping_result()) {
            results.push_back(message.mapping_result());
        } else if (message.has_group_renewed()) {
            renewed.push_back(message.group_renewed());
        }
    }
    void on_vn_refused(Session&, const Envelope&) override {}
    void on_closed(Session&, const control::CloseInfo& info) override { closed = info; }

    void announce(uint32_t vni, uint8_t last, bool withdraw = false, bool migration = false)
    {
        Envelope message;
        auto& announce = *message.mutable_mapping_announce();
        announce.set_vni(vni);
        announce.set_mac(octets(last));
        announce.set_withdraw(withdraw);
        announce.set_migration(migration);
        EXPECT_TRUE(session->send(message));
    }

    static std::string octets(uint8_t last) { return std::string("\x52\x54\0\0\0", 5) + static_cast<char>(last); }

    std::shared_ptr<Session> session;
    std::map<uint32_t, Network> networks;
    std::vector<control::proto::MappingResult> results;
    std::vector<control::proto::GroupRenewed> renewed;
    std::vector<std::string> policies;
    size_t policies_at_ready = 0;
    int steps = 0;
    bool ready = false;
    std::optional<control::CloseInfo> closed;
};

class ServiceTest : public ::testing::Test {
protected:
    ServiceTest()
    {
        nva::Service::Options options;
        options.listen = {boost::asio::ip::address_v4::loopback(), 0};
        options.files = files_of(own, ca, crl);
        options.handshakes_per_address = {1000, 1000};
        options.stale_after = 100ms;
        service = std::make_unique<nva::Service>(io, options, base::Secret(), store, *audit, base::system_clock());
        store.at_once = true;
        store.on_change = [this] { apply(); };
        apply();
    }
    ~ServiceTest() override
    {
        for (auto& nve : nves) {
            if (nve->session) {
                nve->session->abandon(control::proto::CLOSE_SHUTDOWN, "test ends");
            }
        }
        service->stop();
        run_until([] { return false; }, 1ms);
    }

    void apply() { service->apply(store.view()); }

    bool run_until(const std::function<bool()>& done, std::chrono::milliseconds limit = 5s)
    {
        auto end = std::chrono::steady_clock::now() + limit;
        while (!done()) {
            if (std::chrono::steady_clock::now() > end) {
                return false;
            }
            io.restart();
            io.run_one_for(10ms);
        }
        return true;
    }

    Nve& connect(const Leaf& leaf)
    {
        auto context = control::TlsContext::from_files(files_of(leaf, ca), control::ControlLevel::standard);
        EXPECT_TRUE(context);
        Nve& nve = *nves.emplace_back(std::make_unique<Nve>());
        tcp::socket socket(io);
        socket.connect(*service->listening());
        control::SessionOptions options;
        options.receive_rate = options.send_rate = {10000, 10000};
        Session::start(std::move(socket), Session::Side::initiator, *context, options, nve);
        return nve;
    }
    Nve& ready(const std::string& name)
    {
        Nve& nve = connect(ca.host(name));
        EXPECT_TRUE(run_until([&] { return nve.ready; })) << name;
        return nve;
    }
    control::proto::MappingResult result(Nve& nve)
    {
        EXPECT_TRUE(run_until([&] { return !nve.results.empty(); }));
        auto result = nve.results.empty() ? control::proto::MappingResult() : nve.results.back();
        nve.results.clear();
        return result;
    }
    std::string audit_text()
    {
        std::string text;
        for (const std::string& line : audit->recent()) {
            text += line + "\n";
        }
        return text;
    }
    bool audited(const std::string& words) { return audit_text().find(words) != std::string::npos; }

    boost::asio::io_context io;
    TempDir dir;
    TestCa ca{dir, "test CA"};
    Leaf own = ca.host("nva1", "nva");
    std::string crl = ca.crl("crl.pem", {});
    std::unique_ptr<control::AuditLog> audit = std::move(*control::AuditLog::open("", base::system_clock()));
    FakeStore store{small_store()};
    std::unique_ptr<nva::Service> service;
    std::vector<std::unique_ptr<Nve>> nves;
};

TEST_F(ServiceTest, TellsEachItsNetworks)
{
    Nve& hv1 = ready("hv1");
    Nve& hv2 = ready("hv2");
    ASSERT_EQ(hv1.networks.size(), 1u);
    EXPECT_EQ(hv1.networks[kRed].members.size(), 2u);
    EXPECT_EQ(hv2.networks.size(), 2u);
    auto view = service->view();
    ASSERT_EQ(view.sessions.size(), 2u);
    EXPECT_EQ(view.sessions[1].networks, 2u);
    EXPECT_EQ(view.sessions[1].behind, 0u);
    EXPECT_TRUE(view.sessions[1].ready);
}

TEST_F(ServiceTest, TellsThePolicyAndItsChanges)
{
    const std::string gateways = "gateway red 10.1.0.254/24\ngateway blue 10.2.0.254/24\n";
    store.rows.policies = {{gateways, 1}};
    apply();
    Nve& hv1 = ready("hv1");
    Nve& hv2 = ready("hv2");
    EXPECT_EQ(hv1.policies, std::vector<std::string>{"gateway 5001 10.1.0.254/24\n"});
    EXPECT_EQ(hv1.policies_at_ready, 1u);
    store.rows.policies = {{gateways + "1 allow from blue to red\n", 2}};
    apply();
    ASSERT_TRUE(run_until([&] { return hv2.policies.size() == 2; }));
    EXPECT_NE(hv2.policies[1].find("1 allow from 5002 to 5001"), std::string::npos);
    EXPECT_EQ(hv1.policies.size(), 1u);
    EXPECT_TRUE(service->view().sessions[0].policy_told);
    store.rows.policies = {{"gateway\n", 3}};
    apply();
    EXPECT_EQ(service->view().problems.size(), 1u);
    // It is not for an NVE to say.
    EXPECT_TRUE(hv1.session->send(std::move(policy_messages("", 4)[0])));
    ASSERT_TRUE(run_until([&] { return hv1.closed.has_value(); }));
    EXPECT_EQ(hv1.closed->code, control::proto::CLOSE_UNAUTHORIZED);
    EXPECT_FALSE(hv2.closed);
    EXPECT_EQ(hv2.policies.size(), 2u) << "a bad one is told to nobody";
}

TEST_F(ServiceTest, WhoIsNotLetIn)
{
    store.rows.nves[2].revoked = true;
    apply();
    struct Row {
        const char* description;
        Leaf leaf;
        const char* words;
    };
    const Row rows[] = {
        {"unknown", ca.host("mallory"), "'mallory' is no NVE of this store"},
        {"revoked", ca.host("hv3"), "'hv3' is no NVE of this store, or is revoked"},
        // Both ends refuse it; the other one is faster.
        {"another trust domain", ca.host("hv1", "nve", "elsewhere.test"), ""},
        {"an NVA", ca.host("hv2", "nva"), "does not talk to the role nva"},
        {"a hypervisor", ca.host("hv2", "hypervisor"), "does not talk to the role nva"},
        {"no SPIFFE name", ca.issue("plain", {.cn = "hv1"}), "no certificate for the role nve"},
    };
    for (const Row& row : rows) {
        Nve& nve = connect(row.leaf);
        ASSERT_TRUE(run_until([&] { return nve.closed.has_value(); })) << row.description;
        EXPECT_TRUE(run_until([&] { return audited(row.words); })) << row.description << "\n" << audit_text();
        EXPECT_FALSE(nve.ready);
    }
    EXPECT_EQ(service->view().sessions.size(), 0u);
    EXPECT_GE(service->view().refused, std::size(rows) - 1);
}

TEST_F(ServiceTest, TheSecondSessionOfAnNveReplacesTheFirst)
{
    Nve& first = ready("hv1");
    Nve& second = ready("hv1");
    ASSERT_TRUE(run_until([&] { return first.closed.has_value(); }));
    EXPECT_EQ(first.closed->code, control::proto::CLOSE_REPLACED);
    EXPECT_FALSE(second.closed);
    EXPECT_EQ(service->view().sessions.size(), 1u);
    second.announce(kRed, 1);
    EXPECT_TRUE(result(second).accepted());
}

TEST_F(ServiceTest, RevocationShutsOutAtOnceAndOthersHearOfIt)
{
    Nve& hv1 = ready("hv1");
    Nve& hv2 = ready("hv2");
    hv1.announce(kRed, 1);
    ASSERT_TRUE(run_until([&] { return hv2.networks[kRed].mappings.size() == 1; }));
    store.rows.nves[0].revoked = true;
    apply();
    EXPECT_EQ(service->view().sessions.size(), 1u);
    ASSERT_TRUE(run_until([&] { return hv1.closed && hv2.networks[kRed].members.size() == 1; }));
    EXPECT_EQ(hv1.closed->code, control::proto::CLOSE_REVOKED);
    EXPECT_TRUE(hv2.networks[kRed].mappings.empty());
    EXPECT_TRUE(store.rows.mappings.empty()) << "the stray mapping was not removed";
}

TEST_F(ServiceTest, WhoLeavesANetworkLosesItAndItsMappings)
{
    Nve& hv1 = ready("hv1");
    Nve& hv2 = ready("hv2");
    hv1.announce(kRed, 1);
    ASSERT_TRUE(run_until([&] { return hv2.networks[kRed].mappings.size() == 1; }));
    store.rows.members.erase(store.rows.members.begin());
    apply();
    ASSERT_TRUE(run_until([&] { return hv1.networks.empty() && hv2.networks[kRed].mappings.empty(); }));
    EXPECT_TRUE(store.rows.mappings.empty());
    EXPECT_FALSE(hv1.closed);
    EXPECT_TRUE(audited("does not serve network red any more"));
}

TEST_F(ServiceTest, ACertificateThatIsRevokedEndsItsSession)
{
    Leaf leaf = ca.host("hv1");
    Nve& hv1 = connect(leaf);
    ASSERT_TRUE(run_until([&] { return hv1.ready; }));
    ca.crl("crl.pem", {&leaf});
    EXPECT_TRUE(service->reload());
    ASSERT_TRUE(run_until([&] { return hv1.closed.has_value(); }));
    EXPECT_EQ(hv1.closed->code, control::proto::CLOSE_REVOKED);
}

TEST_F(ServiceTest, Announcements)
{
    Nve& hv1 = ready("hv1");
    Nve& hv2 = ready("hv2");
    struct Row {
        const char* description;
        Nve* nve;
        uint32_t vni;
        uint8_t mac;
        bool withdraw, migration;
        const char* refused;    // null: accepted
        const char* holder;     // afterwards, null: none
    };
    const Row rows[] = {
        {"its own", &hv1, kRed, 1, false, false, nullptr, "hv1"},
        {"again", &hv1, kRed, 1, false, false, nullptr, "hv1"},
        {"another's", &hv2, kRed, 1, false, false, "held by 'hv1'", "hv1"},
        {"withdraws another's", &hv2, kRed, 1, true, false, nullptr, "hv1"},
        {"takes another's as migrated", &hv2, kRed, 1, false, true, "migration support that is not there yet", "hv1"},
        {"its own as migrated", &hv1, kRed, 1, false, true, nullptr, "hv1"},
        {"withdraws", &hv1, kRed, 1, true, false, nullptr, nullptr},
        {"after that anyone", &hv2, kRed, 1, false, false, nullptr, "hv2"},
        {"a network it does not serve", &hv1, kBlue, 2, false, true, "does not serve", nullptr},
        {"no network", &hv1, 9, 2, false, false, "does not serve", nullptr},
    };
    uint64_t refused = 0;
    for (const Row& row : rows) {
        row.nve->announce(row.vni, row.mac, row.withdraw, row.migration);
        auto answer = result(*row.nve);
        EXPECT_EQ(answer.accepted(), row.refused == nullptr) << row.description << ": " << answer.reason();
        if (row.refused) {
            refused++;
            EXPECT_NE(answer.reason().find(row.refused), std::string::npos) << row.description;
            EXPECT_TRUE(audited("\"reason\":\"" + answer.reason())) << row.description;
        }
        std::string holder;
        for (const auto& mapping : store.rows.mappings) {
            if (mapping.vni == row.vni && mapping.mac == to_string(mac(row.mac))) {
                holder = mapping.nve;
            }
        }
        EXPECT_EQ(holder, row.holder ? row.holder : "") << row.description;
    }
    auto view = service->view();
    EXPECT_EQ(view.sessions[0].mappings.refused + view.sessions[1].mappings.refused, refused);
}

TEST_F(ServiceTest, WhatAnNveHeldThatIsAwayMayBeTakenOver)
{
    store.rows.other_config["takeover-seconds"] = "1";
    apply();
    Nve& hv2 = ready("hv2");
    auto refused = [&](const char* words) {
        hv2.announce(kRed, 1);
        auto answer = result(hv2);
        EXPECT_NE(answer.reason().find(words), std::string::npos) << answer.reason();
        return answer;
    };
    auto holder = [&] { return store.rows.mappings.at(0).nve; };
    {
        Nve& hv1 = ready("hv1");
        hv1.announce(kRed, 1);
        ASSERT_TRUE(result(hv1).accepted());
        ASSERT_TRUE(run_until([&] { return !store.rows.nves[0].session.empty(); })) << "the store knows of the session";
        const auto since = std::chrono::steady_clock::now();
        run_until([&] { return std::chrono::steady_clock::now() - since > 1500ms; });
        EXPECT_EQ(refused("withdraw it there first").retry_after_ms(), 0u) << "whoever is there keeps it";
        hv1.session->abandon(control::proto::CLOSE_SHUTDOWN, "its host dies");
    }
    ASSERT_TRUE(run_until([&] { return store.rows.nves[0].session.empty(); }));
    auto answer = refused("which is away");
    EXPECT_GE(answer.retry_after_ms(), 1u);
    EXPECT_LE(answer.retry_after_ms(), 1000u);
    // It was away for a moment only: all begins anew.
    Nve& again = ready("hv1");
    ASSERT_TRUE(run_until([&] { return !store.rows.nves[0].session.empty(); }));
    EXPECT_EQ(refused("withdraw it there first").retry_after_ms(), 0u);
    const auto left = std::chrono::steady_clock::now();
    again.session->abandon(control::proto::CLOSE_SHUTDOWN, "its host dies");
    ASSERT_TRUE(run_until([&] {
        hv2.announce(kRed, 1);
        return result(hv2).accepted();
    }));
    EXPECT_GE(std::chrono::steady_clock::now() - left, 1s);
    EXPECT_EQ(holder(), "hv2");
    EXPECT_TRUE(audited("takes over 52:54:00:00:00:01 from 'hv1'"));
    // And it does not get it back from who is there.
    Nve& back = ready("hv1");
    back.announce(kRed, 1);
    EXPECT_FALSE(result(back).accepted());
    EXPECT_EQ(holder(), "hv2");
}

TEST_F(ServiceTest, WhatCannotBeTakenOver)
{
    store.rows.other_config["takeover-seconds"] = "1";
    store.rows.other_config["max-mappings-per-nve"] = "1";
    store.rows.mappings = {{kRed, "52:54:00:00:00:01", {}, "hv1"}, {kRed, "52:54:00:00:00:02", {}, "hv1"}, {kBlue, "52:54:00:00:00:01", {}, "hv3"}};
    apply();
    Nve& hv1 = ready("hv1");
    Nve& hv2 = ready("hv2");
    hv1.session->abandon(control::proto::CLOSE_SHUTDOWN, "its host dies");
    ASSERT_TRUE(run_until([&] {
        hv2.announce(kRed, 1);
        return result(hv2).accepted();
    }));
    hv2.announce(kRed, 2);
    EXPECT_NE(result(hv2).reason().find("max-mappings-per-nve=1"), std::string::npos) << "a limit holds for what is taken, too";
    hv2.announce(kRed, 2, true);
    EXPECT_TRUE(result(hv2).accepted());
    EXPECT_EQ(store.rows.mappings.at(1).nve, "hv1") << "another's is not withdrawn";
    // By an NVE that does not serve the network, and where the operator does not want it.
    ready("hv1").announce(kBlue, 1);
    EXPECT_FALSE(result(*nves.back()).accepted());
    store.rows.other_config["takeover-seconds"] = "0";
    apply();
    hv2.announce(kBlue, 1);
    auto answer = result(hv2);
    EXPECT_NE(answer.reason().find("held by 'hv3'"), std::string::npos);
    EXPECT_EQ(answer.retry_after_ms(), 0u);
}

TEST_F(ServiceTest, SaysThatItLives)
{
    ASSERT_TRUE(run_until([&] { return store.rows.nvas.size() == 1; }));
    const std::string self = store.rows.nvas[0].instance;
    EXPECT_EQ(self.size(), 16u);
    ready("hv2");
    ASSERT_TRUE(run_until([&] { return store.rows.nves[1].session == self; }));
    // Another NVA's, which is not ours to change.
    store.rows.nves[2].session = "another";
    apply();
    nves.back()->session->abandon(control::proto::CLOSE_SHUTDOWN, "ends");
    ASSERT_TRUE(run_until([&] { return store.rows.nves[1].session.empty(); }));
    EXPECT_EQ(store.rows.nves[2].session, "another");
}

TEST_F(ServiceTest, AnotherEpochIsForMembersAndWhereThereAreGroups)
{
    Nve& hv1 = ready("hv1");
    for (uint32_t vni : {kRed, kBlue}) {
        Envelope message;
        message.mutable_group_renew()->set_vni(vni);
        message.mutable_group_renew()->set_group(std::string("\xef\1\1\1", 4));
        ASSERT_TRUE(hv1.session->send(message));
    }
    ASSERT_TRUE(run_until([&] { return hv1.renewed.size() == 2; }));
    EXPECT_FALSE(hv1.renewed[0].accepted());
    EXPECT_NE(hv1.renewed[0].reason().find("groups are off"), std::string::npos);
    EXPECT_EQ(hv1.renewed[1].vni(), kBlue);
    EXPECT_NE(hv1.renewed[1].reason().find("does not serve"), std::string::npos);
    EXPECT_TRUE(audited("GroupRenew"));
}

TEST_F(ServiceTest, LimitsOfMappings)
{
    store.rows.other_config["max-mappings-per-nve"] = "2";
    store.rows.other_config["max-mappings-per-vn"] = "3";
    apply();
    Nve& hv1 = ready("hv1");
    Nve& hv2 = ready("hv2");
    struct Row {
        Nve* nve;
        uint8_t mac;
        const char* refused;
    };
    const Row rows[] = {{&hv1, 1, nullptr}, {&hv1, 2, nullptr}, {&hv1, 3, "max-mappings-per-nve=2"}, {&hv1, 2, nullptr},
                        {&hv2, 4, nullptr}, {&hv2, 5, "max-mappings-per-vn=3"}};
    for (const Row& row : rows) {
        row.nve->announce(kRed, row.mac);
        auto answer = result(*row.nve);
        EXPECT_EQ(answer.accepted(), row.refused == nullptr) << int{row.mac} << answer.reason();
        EXPECT_NE(answer.reason().find(row.refused ? row.refused : ""), std::string::npos) << answer.reason();
    }
}

TEST_F(ServiceTest, WithoutAStoreNobodyIsServedForLong)
{
    Nve& hv1 = ready("hv1");
    service->set_store_fresh(false);
    Nve& hv2 = ready("hv2");        // for a while
    EXPECT_TRUE(service->view().store_lost_seconds);
    EXPECT_FALSE(service->view().stale);
    ASSERT_TRUE(run_until([&] { return hv1.closed && hv2.closed; }));
    EXPECT_EQ(hv1.closed->code, control::proto::CLOSE_SHUTDOWN);
    EXPECT_TRUE(service->view().stale);
    EXPECT_TRUE(service->view().sessions.empty());
    EXPECT_TRUE(audited("\"event\":\"alarm\",\"reason\":\"this NVA has lost the store")) << audit_text();
    Nve& early = connect(ca.host("hv3"));
    ASSERT_TRUE(run_until([&] { return early.closed.has_value(); }));
    EXPECT_FALSE(early.session);
    service->set_store_fresh(true);
    ready("hv1");
    EXPECT_TRUE(audited("the store is back: NVEs are served again"));
    EXPECT_FALSE(service->view().store_lost_seconds);
}

TEST_F(ServiceTest, AStoreThatIsBackInTimeIsNoLoss)
{
    Nve& hv1 = ready("hv1");
    service->set_store_fresh(false);
    service->set_store_fresh(false);
    service->set_store_fresh(true);
    service->set_store_fresh(true);
    run_until([] { return false; }, 200ms);     // the time at which it would have been too long
    EXPECT_FALSE(hv1.closed);
    EXPECT_FALSE(audited("lost the store"));
}

TEST_F(ServiceTest, WhatASessionWantedIsNotDoneAfterItsEnd)
{
    store.at_once = false;
    Nve& hv1 = ready("hv1");
    hv1.announce(kRed, 1);
    ASSERT_TRUE(run_until([&] { return !store.queue.empty(); }));
    hv1.session->close(control::proto::CLOSE_SHUTDOWN, "gone");
    ASSERT_TRUE(run_until([&] { return service->view().sessions.empty(); }));
    EXPECT_TRUE(store.queue.empty());
}

TEST_F(ServiceTest, AskedTwiceIsAgainstTheProtocol)
{
    Nve& hv1 = ready("hv1");
    Envelope request;
    request.mutable_directory_request();
    ASSERT_TRUE(hv1.session->send(request));
    ASSERT_TRUE(run_until([&] { return hv1.closed.has_value(); }));
    EXPECT_EQ(hv1.closed->code, control::proto::CLOSE_PROTOCOL_ERROR);
}

TEST_F(ServiceTest, ASlowNveCostsAVersionAndDelaysNobody)
{
    store.rows.other_config = {{"control-rate", "1"}, {"control-burst", "16"}};
    apply();
    Nve& slow = ready("hv1");       // has used its burst when the changes come
    store.rows.other_config = {};
    store.rows.other_config["control-rate"] = "1";
    for (int i = 0; i < 500; i++) {
        store.rows.mappings = {{kRed, to_string(mac(static_cast<uint8_t>(i % 250))), {}, i % 2 ? "hv1" : "hv2"}};
        apply();
    }
    auto view = service->view();
    ASSERT_EQ(view.sessions.size(), 1u);
    EXPECT_LE(view.sessions[0].queued, 40u);
    EXPECT_EQ(view.sessions[0].behind, 1u);
    Nve& hv2 = ready("hv2");        // not delayed
    EXPECT_EQ(hv2.networks[kRed].mappings.size(), 1u);
    store.rows.other_config = {};
    apply();
    ASSERT_TRUE(run_until([&] { return service->view().sessions[0].behind == 0 && slow.networks[kRed].mappings == hv2.networks[kRed].mappings; }));
    EXPECT_LT(slow.steps, 100);
}

TEST_F(ServiceTest, ManyAnswersOutgrowNoQueue)
{
    store.rows.other_config = {{"control-rate", "100000"}, {"control-burst", "100000"}};
    apply();
    store.at_once = false;
    Nve& hv1 = ready("hv1");
    for (int i = 0; i < 1000; i++) {
        hv1.announce(kRed, static_cast<uint8_t>(i % 200 + 1));
    }
    ASSERT_TRUE(run_until([&] { return store.queue.size() == 1000; }));
    store.on_change = nullptr;
    store.work();
    apply();
    ASSERT_TRUE(run_until([&] { return hv1.results.size() == 1000; }));
    ASSERT_TRUE(run_until([&] { return hv1.networks[kRed].mappings.size() == 200; }));
    EXPECT_FALSE(hv1.closed);
}

}  // namespace
