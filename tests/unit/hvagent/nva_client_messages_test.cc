// SPDX-License-Identifier: Apache-2.0
//
// What client and NVA say besides the directory: groups, the policy, interfaces.
#include "tests/unit/hvagent/nva_client_fixture.h"

namespace nvo3::agent::nva_client_rig {
namespace {

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
}  // namespace nvo3::agent::nva_client_rig
