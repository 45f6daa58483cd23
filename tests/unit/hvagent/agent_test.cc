// SPDX-License-Identifier: Apache-2.0
//
// Two real agents over loopback addresses, with real certificates and pretended switches.
#include "hvagent/agent.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/log.h"
#include "control/session.h"
#include "tests/support/fake_switch.h"

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

namespace nvo3::agent {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using esp::SaDirection;
using test::FakeSwitch;

const char* const kAddress[] = {"127.0.0.1", "127.0.0.2"};

// A CA with hv1 and hv2, and some who should not get in; made once.
class Pki {
public:
    Pki()
    {
        char name[] = "/tmp/nvo3-agent-test-XXXXXX";
        directory = mkdtemp(name);
        run("init --trust-domain example.net");
        run("host hv1");
        run("host hv2");
        run("host hv9");
    }
    ~Pki() { fs::remove_all(directory); }

    void run(const std::string& arguments) const
    {
        std::string command = std::string(NVO3_PKI) + " -q --dir " + (directory / "ca").string() + " " + arguments;
        ASSERT_EQ(std::system(command.c_str()), 0) << command;
    }
    std::string file(const std::string& name) const { return directory / "ca" / name; }

    fs::path directory;
};

const Pki& pki()
{
    static const Pki the;
    return the;
}

// A port that is free on both addresses.
uint16_t free_port()
{
    for (int tries = 0; tries < 100; tries++) {
        base::UniqueFd fds[2];
        uint16_t port = 0;
        bool free = true;
        for (int i = 0; i < 2; i++) {
            fds[i].reset(socket(AF_INET, SOCK_STREAM, 0));
            sockaddr_in address{};
            address.sin_family = AF_INET;
            address.sin_port = port;
            inet_pton(AF_INET, kAddress[i], &address.sin_addr);
            socklen_t size = sizeof address;
            free = free && bind(fds[i].get(), reinterpret_cast<sockaddr*>(&address), size) == 0;
            getsockname(fds[i].get(), reinterpret_cast<sockaddr*>(&address), &size);
            port = address.sin_port;
        }
        if (free) {
            return ntohs(port);
        }
    }
    throw std::runtime_error("no free port");
}

struct Host {
    Host(int number_, const fs::path& directory, uint16_t port)
        : number(number_),
          other(1 - number_),
          name("hv" + std::to_string(number_ + 1)),
          work(directory / name),
          socket((fs::create_directories(work), work / "sa.sock")),
          sw(std::make_unique<FakeSwitch>(socket))
    {
        // Files of its own, that tests may replace.
        copy_credentials(name);
        raw.other_config = {{"certificate", work / "host.crt"}, {"private_key", work / "host.key"}, {"ca_cert", pki().file("ca.crt")},
                            {"nvo3-crl", work / "ca.crl"}, {"nvo3-listen", std::string(kAddress[number]) + ":" + std::to_string(port)}};
        add_tunnel("tun", {{"remote_ip", kAddress[other]}, {"key", "5001"}, {"remote_name", "hv" + std::to_string(other + 1)}});
    }

    void copy_credentials(const std::string& of)
    {
        auto put = [&](const std::string& from, const std::string& to) {
            fs::copy_file(from, work / "new", fs::copy_options::overwrite_existing);
            fs::rename(work / "new", work / to);
        };
        put(pki().file(of + ".key"), "host.key");
        put(pki().file(of + ".crt"), "host.crt");
        put(pki().file("ca.crl"), "ca.crl");
    }
    void add_tunnel(const std::string& port, StringMap options) { raw.tunnels.push_back({port, "geneve", std::move(options)}); }
    StringMap& options() { return raw.tunnels[0].options; }

    void start(SessionTiming timing = {})
    {
        auto started = Agent::start({.sa_socket = socket, .audit_log = work / "audit.log", .timing = timing});
        ASSERT_TRUE(started) << started.error().text;
        agent = std::move(*started);
        agent->configure(raw);
    }
    std::string port() const
    {
        const std::string& listen = raw.other_config.at("nvo3-listen");
        return listen.substr(listen.rfind(':') + 1);
    }
    std::string state() const { return sw->port("tun").state; }
    std::string error() const { return sw->port("tun").error; }
    std::string audit() const
    {
        std::ifstream file(work / "audit.log");
        return {std::istreambuf_iterator<char>(file), {}};
    }

    const int number, other;
    const std::string name;
    const fs::path work;
    const std::string socket;
    std::unique_ptr<FakeSwitch> sw;
    RawConfig raw;
    std::unique_ptr<Agent> agent;
};

class AgentTest : public testing::Test {
protected:
    AgentTest()
    {
        static int count;
        fs::path directory = pki().directory / ("test" + std::to_string(count++));
        uint16_t port = free_port();
        a.emplace(0, directory, port);
        b.emplace(1, directory, port);
    }
    ~AgentTest() override
    {
        for (auto* host : {&*a, &*b}) {
            host->sw->on_install({});
            host->agent.reset();
        }
    }

    void start(SessionTiming timing = {})
    {
        a->start(timing);
        b->start(timing);
    }
    bool await(const std::function<bool()>& holds) { return a->sw->await(holds); }

    // What one sends under the other receives under, with the same key.
    static bool agree(const Host& from, const Host& to)
    {
        auto out = from.sw->sas(SaDirection::outbound), in = to.sw->sas(SaDirection::inbound);
        return !out.empty() && std::ranges::all_of(out, [&](const FakeSwitch::Sa& sa) {
            return std::ranges::any_of(in, [&](const FakeSwitch::Sa& other) {
                return other.spi == sa.spi && other.key == sa.key && other.vni == sa.vni && other.encap == sa.encap && other.cipher == sa.cipher &&
                       other.remote == *base::IpAddress::parse(kAddress[from.number]);
            });
        });
    }
    bool up() const { return a->state() == "up" && b->state() == "up" && agree(*a, *b) && agree(*b, *a); }
    void expect_up()
    {
        ASSERT_TRUE(await([&] { return up(); })) << "a: " << a->state() << " " << a->error() << "; b: " << b->state() << " " << b->error();
    }

    std::optional<Host> a, b;
};

TEST_F(AgentTest, AgreesOnKeysAndNeverSendsFirst)
{
    a->options()["key"] = b->options()["key"] = "flow";
    a->options()["nvo3_vnis"] = b->options()["nvo3_vnis"] = "5001,5002,5003";
    // An outbound SA may appear only where the other end has the inbound one.
    auto first = std::make_shared<std::atomic<int>>(0);
    for (auto [host, peer] : {std::pair{&*a, &*b}, {&*b, &*a}}) {
        host->sw->on_install([first, peer = peer](const FakeSwitch::Sa& sa) {
            auto there = peer->sw->sas(SaDirection::inbound);
            if (sa.direction == SaDirection::outbound && std::ranges::none_of(there, [&](const auto& in) { return in.spi == sa.spi; })) {
                (*first)++;
            }
        });
    }
    start();
    expect_up();
    EXPECT_EQ(*first, 0);
    auto sas = a->sw->sas();
    EXPECT_EQ(a->sw->sas(SaDirection::outbound).size(), 3u);
    std::vector<base::Bytes> keys;
    for (const auto& sa : sas) {
        EXPECT_EQ(sa.key.size(), 20u);
        keys.push_back(sa.key);
    }
    std::ranges::sort(keys);
    EXPECT_TRUE(std::ranges::adjacent_find(keys) == keys.end()) << "each network and direction has a key of its own";
    EXPECT_EQ(a->sw->port("tun").peer, "hv2");
    EXPECT_EQ(b->sw->port("tun").peer, "hv1");
    for (const char* word : {"\"authenticated\"", "\"sa_installed\"", "\"config_changed\"", "\"hv2\""}) {
        EXPECT_NE(a->audit().find(word), std::string::npos) << word;
    }
    for (const auto& sa : sas) {
        EXPECT_EQ(a->audit().find(base::to_hex(sa.key)), std::string::npos);
    }
}

TEST_F(AgentTest, AgentRestartKeepsSasAndReplacesThem)
{
    start();
    expect_up();
    auto before = a->sw->sas();
    a->agent.reset();
    EXPECT_EQ(a->sw->sas().size(), before.size()) << "the switch keeps what it has";
    EXPECT_NE(a->audit().find("\"stopped\""), std::string::npos);
    auto gap = std::make_shared<std::atomic<bool>>(false);      // outlives the test: the switch calls until it ends
    a->sw->on_install([gap, host = &*a](const FakeSwitch::Sa&) { *gap = *gap || host->sw->sas(SaDirection::outbound).empty(); });
    a->start();
    ASSERT_TRUE(await([&] {
        auto now = a->sw->sas(SaDirection::outbound);
        return up() && std::ranges::none_of(now, [&](const auto& sa) {
                   return std::ranges::any_of(before, [&](const auto& old) { return old.spi == sa.spi; });
               });
    }));
    EXPECT_FALSE(*gap);
}

TEST_F(AgentTest, SwitchRestartKeysAnew)
{
    start();
    expect_up();
    auto before = a->sw->sas();
    a->sw->kill();
    a->sw->start();
    ASSERT_TRUE(await([&] { return up(); }));
    for (const auto& sa : a->sw->sas()) {
        EXPECT_TRUE(std::ranges::none_of(before, [&](const auto& old) { return old.key == sa.key; }));
    }
}

TEST_F(AgentTest, PeerAgentThatDiesIsNoticedAndComesBack)
{
    start();
    expect_up();
    b->agent.reset();
    ASSERT_TRUE(await([&] { return a->state() == "connecting"; })) << a->state();
    EXPECT_FALSE(a->sw->sas().empty());
    EXPECT_NE(a->error().find("traffic goes on"), std::string::npos) << a->error();
    b->start();
    expect_up();
}

TEST_F(AgentTest, SessionRenewalLosesNothing)
{
    auto gap = std::make_shared<std::atomic<bool>>(false);      // outlives the test: the switch calls until it ends
    start({.renew_after = 700ms});
    expect_up();
    auto before = a->sw->sas(SaDirection::inbound);
    for (Host* host : {&*a, &*b}) {
        host->sw->on_install([gap, host](const FakeSwitch::Sa&) { *gap = *gap || host->sw->sas(SaDirection::outbound).empty(); });
    }
    ASSERT_TRUE(await([&] {
        auto view = a->agent->view();
        return view && (*view)->peers[0].sessions >= 3;
    }));
    expect_up();
    EXPECT_FALSE(*gap);
    for (const auto& sa : a->sw->sas(SaDirection::outbound)) {
        EXPECT_TRUE(std::ranges::none_of(before, [&](const auto& old) { return old.key == sa.key; }));
    }
}

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

TEST_F(AgentTest, RemovedTunnelAndNetworkGoOnBothSides)
{
    a->options()["key"] = b->options()["key"] = "flow";
    a->options()["nvo3_vnis"] = b->options()["nvo3_vnis"] = "5001,5002";
    start();
    expect_up();
    auto networks = [](const Host& host) {
        std::vector<uint32_t> vnis;
        for (const auto& sa : host.sw->sas(SaDirection::outbound)) {
            vnis.push_back(sa.vni.value);
        }
        std::ranges::sort(vnis);
        return vnis;
    };
    a->options()["nvo3_vnis"] = "5001";
    a->agent->configure(a->raw);
    const std::vector<uint32_t> one{5001};
    ASSERT_TRUE(await([&] { return networks(*a) == one && networks(*b) == one; }));
    ASSERT_TRUE(await([&] { return b->state() == "waiting"; })) << b->state();
    a->raw.tunnels.clear();
    a->agent->configure(a->raw);
    ASSERT_TRUE(await([&] { return a->sw->sas().empty() && b->sw->sas().empty(); }));
}

TEST_F(AgentTest, CipherMismatchIsSaidOnBothSides)
{
    a->options()["security_level"] = "high";
    start();
    ASSERT_TRUE(await([&] { return a->state() == "error" && b->state() == "error"; })) << a->state() << b->state();
    EXPECT_EQ(a->error(), "cipher mismatch: aes256gcm is configured here, aes128gcm was offered");
    EXPECT_EQ(b->error(), "cipher mismatch: aes128gcm is configured here, aes256gcm was offered");
    b->options()["security_level"] = "high";
    b->agent->configure(b->raw);
    expect_up();
    EXPECT_EQ(a->sw->sas()[0].key.size(), 36u);
}

TEST_F(AgentTest, RekeyByCommandAndByTheSwitch)
{
    start();
    expect_up();
    auto spi = [](Host& host) { return host.sw->sas(SaDirection::outbound).at(0).spi; };
    auto in = spi(*b), out = spi(*a);
    ASSERT_TRUE(a->agent->rekey("hv2"));
    EXPECT_FALSE(a->agent->rekey("nobody"));
    ASSERT_TRUE(await([&] { return up() && spi(*a) != out && spi(*b) != in; }));
    out = spi(*a);
    a->sw->send(esp::msg::SaExpiring{SaDirection::outbound, out, *base::IpAddress::parse(kAddress[1]), {}, base::Encap::geneve,
                                     base::Vni(5001), esp::ExpiryReason::soft_bytes});
    ASSERT_TRUE(await([&] { return up() && spi(*a) != out; }));
}

TEST_F(AgentTest, AlarmIsAudited)
{
    start();
    expect_up();
    a->sw->send(esp::msg::Alarm{esp::DropReason::wrong_vni, *base::IpAddress::parse(kAddress[1]), base::Vni(5001), base::Vni(6666), base::Spi(4711), 3});
    ASSERT_TRUE(await([&] { return a->audit().find("\"alarm\"") != std::string::npos; }));
    EXPECT_NE(a->audit().find("6666"), std::string::npos);
    EXPECT_NE(a->audit().find("wrong_vni"), std::string::npos);
}

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

TEST_F(AgentTest, AdoptedSasWaitForTheirPeerSoLongOnly)
{
    start();
    expect_up();
    a->agent.reset();
    b->agent.reset();
    ASSERT_FALSE(a->sw->sas().empty());
    a->start({.adopted_for = 300ms});
    ASSERT_TRUE(await([&] { return a->sw->sas().empty(); }));
    EXPECT_NE(a->audit().find("has not come back"), std::string::npos);
    b->start();
    expect_up();
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

TEST_F(AgentTest, TunnelThatIsMadeAnewComesUpAtOnce)
{
    start();
    expect_up();
    // So that the numbers of the offers of before are above those after.
    for (int i = 0; i < 3; i++) {
        auto out = b->sw->sas(SaDirection::outbound).at(0).spi;
        ASSERT_TRUE(a->agent->rekey("hv2"));
        ASSERT_TRUE(await([&] { return up() && b->sw->sas(SaDirection::outbound).at(0).spi != out; }));
    }
    auto saved = a->raw;
    a->raw.tunnels.clear();
    a->agent->configure(a->raw);
    ASSERT_TRUE(await([&] { return a->sw->sas().empty() && b->sw->sas().empty(); }));
    a->raw = saved;
    a->agent->configure(a->raw);
    expect_up();
}

TEST_F(AgentTest, RemovedTunnelOfManyNetworksGoesOnBothSides)
{
    for (Host* host : {&*a, &*b}) {
        host->options()["key"] = "flow";
        host->options()["nvo3_vnis"] = "5001,5002,5003,5004,5005,5006";
        // What cannot be said before the session closes must not be missed.
        host->raw.other_config["nvo3-control-rate"] = "20";
        host->raw.other_config["nvo3-control-burst"] = "1";
    }
    start();
    ASSERT_TRUE(await([&] { return up() && a->sw->sas(SaDirection::outbound).size() == 6 && b->sw->sas(SaDirection::outbound).size() == 6; }));
    a->raw.tunnels.clear();
    a->agent->configure(a->raw);
    ASSERT_TRUE(await([&] { return a->sw->sas().empty() && b->sw->sas().empty(); })) << b->sw->sas().size();
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
}  // namespace nvo3::agent
