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

AgentView overlay_example()
{
    AgentView view;
    view.now = TimePoint{} + std::chrono::seconds(1000);
    auto ip = [](const char* text) { return *base::IpAddress::parse(text); };
    auto vn = std::make_shared<VnView>();
    vn->vni = base::Vni(5001);
    vn->name = "blue";
    vn->encap = base::Encap::geneve;
    vn->cipher = esp::Cipher::aes256gcm;
    vn->groups = {ip("239.1.1.1")};
    vn->members = {{"hv1", {ip("192.0.2.1")}}, {"hv2", {ip("192.0.2.2")}}, {"hv3", {ip("fd00::3")}}};
    vn->mappings = {{{{0x52, 0x54, 0, 0, 0, 1}}, {{ip("10.0.0.1")}, "hv2"}}};
    auto directory = std::make_shared<DirectoryView>();
    directory->complete = true;
    directory->vns[vn->vni] = vn;
    auto networks = std::make_shared<NetworkView>();
    networks->own_name = "hv1";
    networks->directory = directory;
    networks->reach[vn->vni] = {{{"hv2", {ip("192.0.2.1"), ip("192.0.2.2")}}}, MemberPath{ip("192.0.2.1"), ip("239.1.1.1")}};
    view.networks = networks;
    view.directory_problems = {"hv3 is far away"};
    view.nva.list = {{"192.0.2.201:6654", "nva1", true, ""}, {"[fd00::9]:6654", "", false, "connection refused"}};
    view.nva.session = SessionView{"TLS_AES_128_GCM_SHA256 X25519", true, TimePoint{} + std::chrono::seconds(900), "nva", 10, 11, 0, 0};
    view.groups = {{{base::Vni(5001), ip("239.1.1.1")}, 3, esp::Cipher::aes256gcm, {"hv2"}, 1, base::Spi(0x80000001), "sending", ""},
                   {{base::Vni(5002), ip("239.1.1.2")}, 0, {}, {}, 0, {}, "waiting", "no key from the NVA yet"}};
    view.tsis = {{"vm1", "blue", base::Vni(5001), {{0x52, 0x54, 0, 0, 0, 2}}, {ip("10.0.0.2")}, "refused", "the MAC is at hv2"},
                 {"vm2", "red", {}, {{0x52, 0x54, 0, 0, 0, 3}}, {}, "waiting", ""}};
    return view;
}

TEST(Show, WhatAnNvaRunsAsText)
{
    AgentView view = overlay_example();
    EXPECT_EQ(show_nvas(view, false),
              "directory: complete, 1 networks\n"
              "problem: hv3 is far away\n"
              "nva1 (192.0.2.201:6654): in use\n"
              "    session: TLS_AES_128_GCM_SHA256 X25519, begun 100 s ago\n"
              "[fd00::9]:6654: not in use\n"
              "    connection refused\n");
    EXPECT_EQ(show_vns(view, false),
              "blue (VNI 5001): geneve, aes256gcm, flooding by group 239.1.1.1\n"
              "    member hv1: 192.0.2.1 (this host)\n"
              "    member hv2: 192.0.2.2\n"
              "    member hv3: fd00::3 (cannot be reached, see nva/show)\n"
              "    52:54:00:00:00:01 at hv2: 10.0.0.1\n");
    EXPECT_EQ(show_groups(view, false),
              "group 239.1.1.1 of VNI 5001: sending, epoch 3, aes256gcm, spi=80000001\n"
              "    senders: hv2, and 1 SAs on their way out\n"
              "group 239.1.1.2 of VNI 5002: waiting\n"
              "    senders: none\n"
              "    no key from the NVA yet\n");
    EXPECT_EQ(show_tsis(view, false),
              "vm1: network blue (VNI 5001), 52:54:00:00:00:02, 10.0.0.2: refused: the MAC is at hv2\n"
              "vm2: network red, 52:54:00:00:00:03: waiting\n");
    EXPECT_NE(show_peers(view, false).find("problem: hv3 is far away\n"), std::string::npos);
    for (auto* show : {show_nvas, show_vns, show_tsis}) {
        EXPECT_NE(show({}, false).find("nvo3-nva"), std::string::npos);
    }
    EXPECT_EQ(show_groups({}, false).find("no groups"), 0u);
}

TEST(Show, WhatAnNvaRunsAsJson)
{
    AgentView view = overlay_example();
    json nvas = json::parse(show_nvas(view, true));
    EXPECT_EQ(nvas["complete"], true);
    EXPECT_EQ(nvas["nvas"][0]["in_use"], true);
    EXPECT_EQ(nvas["nvas"][0]["session"]["age_seconds"], 100);
    EXPECT_EQ(nvas["nvas"][1]["error"], "connection refused");
    json vns = json::parse(show_vns(view, true));
    EXPECT_EQ(vns[0]["flooding"], "239.1.1.1");
    EXPECT_EQ(vns[0]["members"][1]["by"], "192.0.2.2");
    EXPECT_TRUE(vns[0]["members"][2]["by"].is_null());
    EXPECT_EQ(vns[0]["mappings"][0]["nve"], "hv2");
    json groups = json::parse(show_groups(view, true));
    EXPECT_EQ(groups[0]["spi"], "80000001");
    EXPECT_EQ(groups[1]["error"], "no key from the NVA yet");
    json tsis = json::parse(show_tsis(view, true));
    EXPECT_EQ(tsis["tsis"][0]["reason"], "the MAC is at hv2");
    EXPECT_FALSE(tsis["tsis"][1].contains("vni"));
    EXPECT_EQ(json::parse(show_tsis({}, true))["tsis"], json::array());
}

TEST(Show, TheRest)
{
    EXPECT_EQ(json::parse(show_throttle(example(), true))["peers"][0]["receive_throttled"], 1);
    EXPECT_NE(show_throttle(example(), false).find("200 messages a second"), std::string::npos);
}

bool has_line(const std::string& text, const std::string& line)
{
    return ("\n" + text).find("\n" + line + "\n") != text.npos;
}

TEST(Show, Metrics)
{
    AgentView view = example();
    view.own_not_after = std::chrono::system_clock::from_time_t(2000000000);
    view.trust_ends.crl = std::chrono::system_clock::from_time_t(1900000000);
    view.peers[0].rekeys = 7;
    view.credentials_problem = "the certificate expired";
    std::string text = show_metrics(view, {{control::AuditKind::authenticated, 5}, {control::AuditKind::refused, 0}}, false);
    EXPECT_TRUE(has_line(text, "hvagent_switch_connected 1")) << text;
    EXPECT_TRUE(has_line(text, "hvagent_problems 2")) << text;
    EXPECT_TRUE(has_line(text, "hvagent_certificate_not_after_timestamp_seconds{name=\"hv1\"} 2000000000")) << text;
    EXPECT_TRUE(has_line(text, "hvagent_trust_end_timestamp_seconds{what=\"CRL\"} 1900000000")) << text;
    EXPECT_EQ(text.find("what=\"CA\""), text.npos) << "there is none";
    EXPECT_TRUE(has_line(text, "hvagent_events_total{event=\"authenticated\"} 5")) << text;
    EXPECT_TRUE(has_line(text, "hvagent_events_total{event=\"refused\"} 0")) << text;
    EXPECT_TRUE(has_line(text, "hvagent_peers{state=\"up\"} 1")) << text;
    EXPECT_TRUE(has_line(text, "hvagent_rekeys_total{peer=\"hv2\",address=\"192.0.2.2\"} 7")) << text;
    EXPECT_TRUE(has_line(text, "hvagent_control_throttled_total{peer=\"hv2\",address=\"192.0.2.2\",direction=\"in\"} 1")) << text;
    EXPECT_EQ(text.find("hvagent_nva_connected"), text.npos) << "there is no NVA to be connected to";
    EXPECT_TRUE(has_line(text, "hvagent_policy_refused 0")) << text;
    view.own_not_after.reset();
    text = show_metrics(view, {}, true);
    EXPECT_EQ(text.find("not_after"), std::string::npos);
    EXPECT_TRUE(has_line(text, "hvagent_policy_refused 1")) << text;
}

}  // namespace
}  // namespace nvo3::agent
