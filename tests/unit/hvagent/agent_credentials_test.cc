// SPDX-License-Identifier: Apache-2.0
//
// Certificates, keys and names of two agents: wrong ones, revoked ones, and what happens when they change.
#include "tests/unit/hvagent/agent_fixture.h"
#include <sys/stat.h>

namespace nvo3::agent::agent_rig {
namespace {

TEST_F(AgentTest, RevocationRemovesEverythingOnBothSides)
{
    // A certificate of its own, for it is not valid afterwards.
    pki().run("host gone");
    b->copy_credentials("gone");
    a->options()["remote_name"] = "gone";
    start();
    expect_up();
    pki().run("revoke gone");
    fs::copy_file(pki().file("ca.crl"), a->work / "ca.crl", fs::copy_options::overwrite_existing);
    ASSERT_TRUE(await([&] { return a->sw->sas().empty() && b->sw->sas().empty(); }));
    ASSERT_TRUE(await([&] { return a->state() == "error" && a->error().find("revoked") != std::string::npos; })) << a->state() << a->error();
    EXPECT_NE(a->audit().find("revoked"), std::string::npos);
    EXPECT_NE(b->state(), "up");
}

TEST_F(AgentTest, RevocationCountsThoughTheOwnKeyIsUnreadable)
{
    pki().run("host lost");
    b->copy_credentials("lost");
    a->options()["remote_name"] = "lost";
    start();
    expect_up();
    fs::remove(a->work / "host.key");
    pki().run("revoke lost");
    fs::copy_file(pki().file("ca.crl"), a->work / "new", fs::copy_options::overwrite_existing);
    fs::rename(a->work / "new", a->work / "ca.crl");
    ASSERT_TRUE(await([&] { return a->sw->sas().empty(); })) << a->state() << a->error();
    ASSERT_TRUE(await([&] { return a->audit().find("revoked") != std::string::npos; })) << a->state() << a->error();
}

TEST_F(AgentTest, WhoHasAnotherNameIsRefused)
{
    b->copy_credentials("hv9");
    start();
    ASSERT_TRUE(await([&] { return a->state() == "error"; })) << a->state();
    EXPECT_NE(a->error().find("names hv9, but options:remote_name is hv2"), std::string::npos) << a->error();
    EXPECT_TRUE(a->sw->sas().empty());
    ASSERT_TRUE(await([&] { return a->audit().find("\"refused\"") != std::string::npos; }));
    // Its own one back, while it runs.
    b->copy_credentials("hv2");
    expect_up();
}

TEST_F(AgentTest, OwnNameThatChangesEndsWhatWasAgreed)
{
    start();
    expect_up();
    b->copy_credentials("hv9");
    ASSERT_TRUE(await([&] { return a->sw->sas().empty() && b->sw->sas().empty(); }));
    ASSERT_TRUE(await([&] { return a->error().find("hv9") != std::string::npos; })) << a->error();
    EXPECT_NE(a->state(), "up");
}

TEST_F(AgentTest, RenewedCertificateKeepsTheTunnel)
{
    pki().run("host renewed");
    b->copy_credentials("renewed");
    a->options()["remote_name"] = "renewed";
    start();
    expect_up();
    pki().run("host renewed --renew");
    auto gap = std::make_shared<std::atomic<bool>>(false);      // outlives the test: the switch calls until it ends
    a->sw->on_install([gap, host = &*a](const FakeSwitch::Sa&) { *gap = *gap || host->sw->sas(SaDirection::outbound).empty(); });
    b->copy_credentials("renewed");
    ASSERT_TRUE(b->agent->reload());
    expect_up();
    EXPECT_FALSE(*gap);
    EXPECT_EQ(a->error(), "");
}

TEST_F(AgentTest, MissingCertificateIsSaid)
{
    b->raw.other_config.erase("certificate");
    start();
    ASSERT_TRUE(await([&] { return b->state() == "error"; }));
    EXPECT_EQ(b->error(), "other_config:certificate is not set: give the path of a PEM file");
    ASSERT_TRUE(await([&] { return a->state() == "connecting" || a->state() == "error"; }));
    EXPECT_TRUE(a->sw->sas().empty());
    b->raw.other_config["certificate"] = b->work / "host.crt";
    b->agent->configure(b->raw);
    expect_up();
    // And away again: nothing of it goes on.
    b->raw.other_config.erase("certificate");
    b->agent->configure(b->raw);
    ASSERT_TRUE(await([&] { return a->sw->sas().empty() && b->sw->sas().empty() && b->state() == "error"; }));
}

TEST_F(AgentTest, BrokenFileKeepsTheFormerCertificate)
{
    start();
    expect_up();
    std::ofstream(b->work / "host.crt") << "garbage";
    ASSERT_TRUE(await([&] { return !b->error().empty(); }));
    EXPECT_NE(b->error().find("host.crt"), std::string::npos) << b->error();
    EXPECT_EQ(b->state(), "up");
    EXPECT_FALSE(b->agent->reload());
    b->copy_credentials("hv2");
    ASSERT_TRUE(await([&] { return b->error().empty(); }));
    expect_up();
}

TEST_F(AgentTest, PreSharedKey)
{
    for (Host* host : {&*a, &*b}) {
        std::ofstream(host->work / "psk") << "a pre-shared key for the test\n";
        chmod((host->work / "psk").c_str(), 0600);
        host->raw.other_config = {{"nvo3-listen", host->raw.other_config["nvo3-listen"]}};
        host->options().erase("remote_name");
        host->options()["psk"] = host->work / "psk";
    }
    start();
    expect_up();
    EXPECT_EQ(a->error(), "");
    auto before = a->sw->sas();
    ASSERT_TRUE(a->agent->reload());
    ASSERT_TRUE(a->agent->view());
    EXPECT_EQ(a->sw->sas().size(), before.size()) << "the same key read again changes nothing";
    EXPECT_EQ(a->sw->sas().at(0).key, before.at(0).key);
    // Another key: down, and no certificate helps.
    std::ofstream(b->work / "psk") << "another pre-shared key\n";
    ASSERT_TRUE(b->agent->reload());
    ASSERT_TRUE(await([&] { return a->state() != "up" && b->state() != "up"; })) << a->state() << b->state();
    ASSERT_TRUE(await([&] { return a->sw->sas().empty() && b->sw->sas().empty(); }));
    ASSERT_TRUE(await([&] { return b->error().find("another pre-shared key") != std::string::npos; })) << b->error();
    std::ofstream(b->work / "psk") << "a pre-shared key for the test\n";
    expect_up();
}

TEST_F(AgentTest, PinnedCertificate)
{
    a->options().erase("remote_name");
    a->options()["remote_cert"] = b->work / "host.crt";
    start();
    expect_up();
    a->options()["remote_cert"] = pki().file("hv9.crt");
    a->agent->configure(a->raw);
    ASSERT_TRUE(await([&] { return a->state() == "error" && a->sw->sas().empty() && b->sw->sas().empty(); })) << a->state();
    EXPECT_NE(a->error().find("remote_cert"), std::string::npos) << a->error();
}

TEST_F(AgentTest, RevocationReachesAPeerThatHasHungUp)
{
    pki().run("host gone2");
    b->copy_credentials("gone2");
    a->options()["remote_name"] = "gone2";
    start();
    expect_up();
    b->agent.reset();
    ASSERT_TRUE(await([&] { return a->state() == "connecting"; }));
    ASSERT_FALSE(a->sw->sas().empty());
    pki().run("revoke gone2");
    fs::copy_file(pki().file("ca.crl"), a->work / "ca.crl", fs::copy_options::overwrite_existing);
    ASSERT_TRUE(await([&] { return a->sw->sas().empty() && a->state() == "error"; })) << a->state();
    EXPECT_NE(a->error().find("revoked"), std::string::npos) << a->error();
}

TEST_F(AgentTest, ChangedNameReachesAPeerThatHasHungUp)
{
    start();
    expect_up();
    b->agent.reset();
    ASSERT_TRUE(await([&] { return a->state() == "connecting"; }));
    a->options()["remote_name"] = "hv9";
    a->agent->configure(a->raw);
    ASSERT_TRUE(await([&] { return a->sw->sas().empty(); }));
}

TEST_F(AgentTest, WithoutNameTheFirstOneStays)
{
    a->options().erase("remote_name");
    b->options().erase("remote_name");
    start();
    expect_up();
    b->agent.reset();
    b->copy_credentials("hv9");
    b->start();
    ASSERT_TRUE(await([&] { return a->error().find("hv2 was at this address before") != std::string::npos; })) << a->error();
    EXPECT_NE(a->error().find("options:remote_name=hv9"), std::string::npos) << a->error();
    EXPECT_NE(a->audit().find("hv2 was at this address before"), std::string::npos);
    // Set, it is who may be there; nothing of the former one stays.
    a->options()["remote_name"] = "hv9";
    a->agent->configure(a->raw);
    ASSERT_TRUE(await([&] { return a->sw->port("tun").peer == "hv9"; }));
    expect_up();
}

TEST_F(AgentTest, PinnedFileThatIsReplacedEndsTheSession)
{
    auto put = [&](const std::string& from) {
        fs::copy_file(pki().file(from), a->work / "new", fs::copy_options::overwrite_existing);
        fs::rename(a->work / "new", a->work / "pin.crt");
    };
    put("hv2.crt");
    a->options().erase("remote_name");
    a->options()["remote_cert"] = a->work / "pin.crt";
    start();
    expect_up();
    put("hv9.crt");
    ASSERT_TRUE(await([&] { return a->state() == "error" && a->sw->sas().empty(); })) << a->state();
    EXPECT_NE(a->error().find("remote_cert"), std::string::npos) << a->error();
}

TEST_F(AgentTest, UnchangedConfigurationReadsNothingAgain)
{
    static std::atomic<int> reads{0};
    base::set_log_sink([](base::LogLevel, const char*, std::string_view text) { reads += text.starts_with("this host is "); });
    a->start();
    ASSERT_TRUE(await([&] { return reads == 1; }));
    a->raw.other_config["nvo3-control-rate"] = "300";
    a->agent->configure(a->raw);
    ASSERT_TRUE(a->agent->view());      // it has been applied
    EXPECT_EQ(reads, 1);
    fs::copy_file(pki().file("ca.crl"), a->work / "other.crl");
    a->raw.other_config["nvo3-crl"] = a->work / "other.crl";
    a->agent->configure(a->raw);
    EXPECT_TRUE(await([&] { return reads == 2; }));
    base::set_log_sink(nullptr);
}

TEST_F(AgentTest, ReloadKeepsTheTunnelOfAnInlineKey)
{
    for (Host* host : {&*a, &*b}) {
        host->options().erase("remote_name");
        host->options()["psk"] = "a pre-shared key in the database";
    }
    start();
    expect_up();
    auto before = a->sw->sas();
    ASSERT_TRUE(a->agent->reload());
    ASSERT_TRUE(a->agent->view());
    EXPECT_EQ(a->sw->sas().size(), before.size());
    EXPECT_EQ(a->state(), "up");
}

}  // namespace
}  // namespace nvo3::agent::agent_rig
