// SPDX-License-Identifier: Apache-2.0
#include "hvagent/show.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>


namespace nvo3::agent {
namespace {

using nlohmann::json;

AgentView example()
{
    AgentView view;
    view.now = TimePoint{} + std::chrono::seconds(1000);
    view.own_name = "hv1";
    view.switch_up = true;
    view.switch_aead = "ipsec-mb";
    view.problems = {{"tun3", "options:remote_ip=x is not an IP address"}};
    view.control_rate = 200;
    view.control_burst = 400;
    PeerView peer;
    peer.name = "hv2";
    peer.remote = *base::IpAddress::parse("192.0.2.2");
    peer.state = "up";
    peer.ports = {"tun2"};
    peer.session = SessionView{"TLS_AES_128_GCM_SHA256 X25519", true, TimePoint{} + std::chrono::seconds(900), "nve", 10, 11, 1, 0};
    peer.sessions = 2;
    ChannelView channel;
    channel.id = {base::Encap::geneve, base::Vni(5001)};
    channel.config = {esp::Cipher::aes128gcm, 1024};
    channel.has_inbound = channel.has_outbound = true;
    channel.inbound_count = 1;
    SaParameters sa{channel.id, base::Spi(0x1234abcd), esp::Cipher::aes128gcm, 3, {}, 1024};
    channel.sas = {{SaDirection::inbound, sa, TimePoint{} + std::chrono::seconds(990), "current"}};
    peer.channels = {channel};
    view.peers = {peer};
    return view;
}

TEST(Show, PeersAsText)
{
    EXPECT_EQ(show_peers(example(), false),
              "this host: hv1\n"
              "switch: connected, cipher library ipsec-mb\n"
              "problem: port tun3: options:remote_ip=x is not an IP address\n"
              "hv2 (192.0.2.2): up\n"
              "    session: TLS_AES_128_GCM_SHA256 X25519, certificate, role nve, begun by this host 100 s ago\n"
              "    ports: tun2\n"
              "    geneve VNI 5001: aes128gcm, in=1 out=1\n");
}

TEST(Show, PeersAsJson)
{
    json value = json::parse(show_peers(example(), true));
    EXPECT_EQ(value["name"], "hv1");
    ASSERT_EQ(value["peers"].size(), 1u);
    const json& peer = value["peers"][0];
    EXPECT_EQ(peer["name"], "hv2");
    EXPECT_EQ(peer["address"], "192.0.2.2");
    EXPECT_EQ(peer["state"], "up");
    EXPECT_EQ(peer["session"]["age_seconds"], 100);
    EXPECT_EQ(peer["networks"][0]["vni"], 5001);
    EXPECT_EQ(value["problems"][0]["port"], "tun3");

    AgentView lost = example();
    lost.peers[0].session.reset();
    lost.peers[0].error = "octets of a peer: \xff\xfe \"quoted\"";
    EXPECT_FALSE(json::parse(show_peers(lost, true))["peers"][0].contains("session"));
}

TEST(Show, Sas)
{
    EXPECT_EQ(show_sas(example(), false), "hv2 (192.0.2.2) inbound spi=1234abcd geneve VNI 5001 aes128gcm generation=3 age=10s current\n");
    json value = json::parse(show_sas(example(), true));
    ASSERT_EQ(value.size(), 1u);
    EXPECT_EQ(value[0]["spi"], "1234abcd");
    EXPECT_EQ(value[0]["age_seconds"], 10);
    EXPECT_EQ(show_sas(AgentView{}, false), "no security associations\n");
    EXPECT_EQ(json::parse(show_sas(AgentView{}, true)), json::array());
}

TEST(Show, TheRest)
{
    EXPECT_EQ(json::parse(show_throttle(example(), true))["peers"][0]["receive_throttled"], 1);
    EXPECT_NE(show_throttle(example(), false).find("200 messages a second"), std::string::npos);
    EXPECT_NE(show_tsis(false).find("no libvirt"), std::string::npos);
    EXPECT_EQ(json::parse(show_tsis(true))["tsis"], json::array());
    EXPECT_EQ(json::parse(show_audit({"{\"a\":1}", "{\"b\":2}"}, true)).size(), 2u);
    EXPECT_EQ(json::parse(show_audit({}, true)), json::array());
    EXPECT_EQ(show_audit({"{\"a\":1}"}, false), "{\"a\":1}\n");
}

}  // namespace
}  // namespace nvo3::agent
