// SPDX-License-Identifier: Apache-2.0
//
// Two engines that are each other's peer, in one process: 'a' at 192.0.2.1 and
// 'b' at 192.0.2.2, with a port towards each other.
// Place: tests/unit/engine.  Threads: one, except where a test makes more.
#ifndef NVO3_TESTS_UNIT_ENGINE_ENGINE_FIXTURE_H
#define NVO3_TESTS_UNIT_ENGINE_ENGINE_FIXTURE_H

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ovs-ext/engine/engine.h"
#include "tests/support/agent_client.h"
#include "tests/support/fake_host.h"

namespace nvo3::engine {

using base::Encap;
using base::IpAddress;
using base::Spi;
using base::Vni;
using tests::AgentClient;
using tests::FakePacket;
namespace msg = esp::msg;

class EngineTest : public ::testing::Test {
protected:
    EngineTest()
    {
        a = make();
        b = make();
        EXPECT_TRUE(set_port(*a, "tun2", kB.to_string()).ok());
        EXPECT_TRUE(set_port(*b, "tun1", kA.to_string()).ok());
    }

    ~EngineTest() override
    {
        a.reset();
        b.reset();
    }

    std::unique_ptr<Engine> make()
    {
        auto made = Engine::make(host.host());
        EXPECT_TRUE(made.ok());
        return std::move(*made);
    }

    static base::Status set_port(Engine& engine, const char* name, const std::string& remote,
                                 const char* key = "5001", const char* vnis = nullptr,
                                 const char* level = nullptr, nvo3_encap encap = NVO3_ENCAP_GENEVE)
    {
        nvo3_port_options options{};
        options.encap = encap;
        options.remote_ip = remote.c_str();
        options.in_key = options.out_key = key;
        options.nvo3_vnis = vnis;
        options.security_level = level;
        return engine.set_port(name, options);
    }

    static esp::SaConfig sa(esp::SaDirection direction, uint32_t spi, const IpAddress& remote,
                            uint32_t vni = 5001, Encap encap = Encap::geneve)
    {
        esp::SaConfig config;
        config.direction = direction;
        config.spi = Spi(spi);
        config.remote = remote;
        config.encap = encap;
        config.vni = Vni(vni);
        config.key = base::Secret(size_t{20});
        std::memset(config.key.data(), static_cast<int>(spi & 0xff), 20);
        return config;
    }

    // The agent of 'engine', connected, with nothing heard yet.  It uses the one
    // socket path of the host: one engine at a time.
    std::unique_ptr<AgentClient> connect(Engine& engine)
    {
        if (engine.open_socket().ok()) {}
        auto agent = std::make_unique<AgentClient>(host.socket_path());
        agent->send(msg::AgentHello{esp::kSaProtocolVersion, 7});
        engine.run();
        EXPECT_TRUE(agent->read());
        EXPECT_EQ(agent->take<msg::SwitchHello>().size(), 1u);
        return agent;
    }

    // The errno of the answer.
    uint32_t request(Engine& engine, AgentClient& agent, const esp::SaMessage& message)
    {
        agent.send(message);
        engine.run();
        EXPECT_TRUE(agent.read());
        const auto results = agent.take<msg::Result>();
        EXPECT_EQ(results.size(), 1u);
        return results.empty() ? UINT32_MAX : results[0].error;
    }

    uint32_t install(Engine& engine, AgentClient& agent, esp::SaConfig config)
    {
        msg::InstallSa message;
        message.request = 1;
        message.sa = std::move(config);
        return request(engine, agent, esp::SaMessage(std::move(message)));
    }

    // One SA from 'a' to 'b', of SPI 0x1001; the agents go again.
    void connect_one_way(uint32_t spi = 0x1001, uint32_t vni = 5001, Encap encap = Encap::geneve)
    {
        {
            auto agent = connect(*a);
            ASSERT_EQ(install(*a, *agent, sa(esp::SaDirection::outbound, spi, kB, vni, encap)), 0u);
        }
        a_socket_away();
        {
            auto agent = connect(*b);
            ASSERT_EQ(install(*b, *agent, sa(esp::SaDirection::inbound, spi, kA, vni, encap)), 0u);
        }
    }

    // Both engines have the same path; 'b' finds the file of 'a' gone.
    void a_socket_away() { unlink(host.socket_path().c_str()); }

    base::Bytes header(uint32_t vni = 5001, Encap encap = Encap::geneve)
    {
        return tests::tunnel_header(encap, kA, kB, Vni(vni), a->peer_index(kB));
    }

    static std::optional<nvo3_frame> seal(Engine& engine, base::ByteView header, FakePacket& packet,
                                          Encap encap = Encap::geneve)
    {
        nvo3_frame frame = packet.frame();
        engine.seal(encap, header, &frame, 1);
        return frame.refused ? std::nullopt : std::optional(frame);
    }

    // 'octets' as they come from the wire.
    static std::optional<base::Bytes> open(Engine& engine, base::ByteView octets,
                                           Encap encap = Encap::geneve)
    {
        FakePacket packet(octets);
        nvo3_frame frame = packet.frame();
        frame.l3_ofs = 14;
        frame.l4_ofs = octets[12] == 0x86 ? 54 : 34;
        engine.open(encap, &frame, 1);
        if (frame.refused) {
            return std::nullopt;
        }
        return base::Bytes(frame.data, frame.data + frame.size);
    }

    // What 'a' sends of a VM's frame to 'b'.
    base::Bytes on_the_wire(base::ByteView frame, uint32_t vni = 5001, Encap encap = Encap::geneve)
    {
        FakePacket packet(frame);
        const auto sealed = seal(*a, header(vni, encap), packet, encap);
        EXPECT_TRUE(sealed.has_value());
        return sealed ? base::Bytes(sealed->data, sealed->data + sealed->size) : base::Bytes();
    }

    static uint64_t statistic(Engine& engine, const char* port, const std::string& key)
    {
        uint64_t found = UINT64_MAX;
        engine.port_statistics(port, [&](const char* name, uint64_t value) {
            if (name == key) {
                found = value;
            }
        });
        return found;
    }

    static std::map<std::string, std::string> status(Engine& engine, const char* port)
    {
        std::map<std::string, std::string> all;
        engine.port_status(port, [&](const char* key, const char* value) { all[key] = value; });
        return all;
    }

    const IpAddress kA = *IpAddress::parse("192.0.2.1");
    const IpAddress kB = *IpAddress::parse("192.0.2.2");
    tests::FakeHost host;
    std::unique_ptr<Engine> a;
    std::unique_ptr<Engine> b;
};

}  // namespace nvo3::engine

#endif
