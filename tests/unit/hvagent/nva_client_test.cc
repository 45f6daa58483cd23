// SPDX-License-Identifier: Apache-2.0
//
// Which NVA the client has a session with, and what it knows of the directory meanwhile.
#include "tests/unit/hvagent/nva_client_fixture.h"

namespace nvo3::agent::nva_client_rig {
namespace {

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

}  // namespace
}  // namespace nvo3::agent::nva_client_rig
