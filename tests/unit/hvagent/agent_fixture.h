// SPDX-License-Identifier: Apache-2.0
//
// Two real agents over loopback addresses, with real certificates and pretended switches.
#ifndef TESTS_UNIT_HVAGENT_AGENT_FIXTURE_H
#define TESTS_UNIT_HVAGENT_AGENT_FIXTURE_H

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "hvagent/agent.h"
#include "tests/support/fake_switch.h"

namespace nvo3::agent::agent_rig {

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

inline const Pki& pki()
{
    static const Pki the;
    return the;
}

// A port that is free on both addresses.
inline uint16_t free_port()
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

}  // namespace nvo3::agent::agent_rig
#endif
