// SPDX-License-Identifier: Apache-2.0
#include "hvagent/wanted_peers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace nvo3::agent {
namespace {

const base::Encap kGeneve = base::Encap::geneve, kVxlan = base::Encap::vxlan;

base::IpAddress ip(const std::string& text)
{
    return *base::IpAddress::parse(text);
}

RawTunnel tunnel(const std::string& name, StringMap options, std::string type = "geneve")
{
    return {name, std::move(type), std::move(options)};
}

// The port that the agent makes for networks of the directory.
RawTunnel nva_port(const std::string& name = "nva0", std::string type = "geneve")
{
    return tunnel(name, {{"remote_ip", "flow"}, {"key", "flow"}, {"nvo3_vnis", "nva"}}, std::move(type));
}

std::shared_ptr<const Config> config(std::vector<RawTunnel> tunnels, StringMap other = {})
{
    other.try_emplace("nvo3-nva", "192.0.2.250");
    auto made = make_config({std::move(other), std::move(tunnels), {}}, nullptr);
    EXPECT_TRUE(made->problems.empty()) << made->problems[0].text;
    return made;
}

using Members = std::map<std::string, std::vector<std::string>>;

void add(DirectoryView& directory, uint32_t vni, const Members& members, base::Encap encap = kGeneve, esp::Cipher cipher = esp::Cipher::aes256gcm)
{
    auto vn = std::make_shared<VnView>();
    vn->vni = base::Vni(vni);
    vn->name = "vn" + std::to_string(vni);
    vn->encap = encap;
    vn->cipher = cipher;
    for (const auto& [name, addresses] : members) {
        vn->members[name];
        for (const std::string& address : addresses) {
            vn->members[name].push_back(ip(address));
        }
    }
    directory.vns[vn->vni] = vn;
}

bool says(const WantedPeers& wanted, const std::string& words)
{
    return std::ranges::any_of(wanted.problems, [&](const std::string& text) { return text.find(words) != std::string::npos; });
}

std::vector<uint32_t> vnis(const PeerConfig& peer)
{
    std::vector<uint32_t> result;
    for (const auto& [id, channel] : peer.channels) {
        result.push_back(id.vni.value);
    }
    return result;
}

const Members kBoth = {{"hv1", {"192.0.2.1"}}, {"hv2", {"192.0.2.2"}}};

TEST(WantedPeers, OfTunnelPorts)
{
    auto wanted = wanted_peers(
        *config({tunnel("a", {{"remote_ip", "192.0.2.2"}, {"key", "1"}, {"remote_name", "hv2"}}),
                 tunnel("b", {{"remote_ip", "192.0.2.2"}, {"key", "2"}, {"remote_name", "hv2"}, {"replay_window", "4096"}}, "vxlan"),
                 tunnel("c", {{"remote_ip", "fd00::3"}, {"key", "3"}, {"local_ip", "fd00::1"}, {"security_level", "high"}}),
                 tunnel("d", {{"remote_ip", "flow"}, {"key", "flow"}, {"nvo3_vnis", "8"}})},
                {{"nvo3-listen", "192.0.2.1:7000"}, {"nvo3-rekey-seconds", "60"}}),
        {}, "hv1");
    ASSERT_EQ(wanted.peers.size(), 2u);
    const PeerConfig& one = wanted.peers.at(ip("192.0.2.2"));
    EXPECT_EQ(one.remote, ip("192.0.2.2"));
    EXPECT_TRUE(one.local.is_unspecified());
    EXPECT_EQ(one.bind, ip("192.0.2.1")) << "where this host listens";
    EXPECT_EQ(one.port, 7000);
    EXPECT_EQ(one.remote_name, "hv2");
    EXPECT_EQ(one.ports, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(one.policy.rekey_after, std::chrono::seconds(60));
    EXPECT_EQ(one.channels, (std::map<ChannelId, ChannelConfig>{{{kGeneve, base::Vni(1)}, {esp::Cipher::aes128gcm, 1024}},
                                                               {{kGeneve, base::Vni(8)}, {esp::Cipher::aes128gcm, 1024}},
                                                               {{kVxlan, base::Vni(2)}, {esp::Cipher::aes128gcm, 4096}}}));
    const PeerConfig& other = wanted.peers.at(ip("fd00::3"));
    EXPECT_EQ(other.bind, ip("fd00::1"));
    EXPECT_EQ(other.local, ip("fd00::1"));
    EXPECT_EQ(other.channels.at({kGeneve, base::Vni(3)}).cipher, esp::Cipher::aes256gcm);
    EXPECT_EQ(vnis(other), (std::vector<uint32_t>{3, 8})) << "remote_ip=flow reaches every peer that a port names";
    EXPECT_TRUE(wanted.problems.empty());
}

TEST(WantedPeers, OfTheDirectory)
{
    DirectoryView directory;
    add(directory, 1, kBoth);
    add(directory, 2, {{"hv1", {"192.0.2.1"}}, {"hv2", {"192.0.2.2"}}, {"hv3", {"192.0.2.3"}}});
    add(directory, 3, {{"hv1", {"192.0.2.1"}}});
    auto wanted = wanted_peers(*config({nva_port()}, {{"nvo3-listen", "0.0.0.0:7000"}}), directory, "hv1");
    EXPECT_TRUE(wanted.problems.empty());
    ASSERT_EQ(wanted.peers.size(), 2u) << "not this host itself";
    const PeerConfig& hv2 = wanted.peers.at(ip("192.0.2.2"));
    EXPECT_EQ(hv2.remote, ip("192.0.2.2"));
    EXPECT_EQ(hv2.local, ip("192.0.2.1"));
    EXPECT_EQ(hv2.bind, ip("192.0.2.1"));
    EXPECT_EQ(hv2.port, 7000);
    EXPECT_EQ(hv2.remote_name, "hv2");
    EXPECT_EQ(hv2.psk + hv2.remote_cert, "");
    EXPECT_EQ(hv2.ports, std::vector<std::string>{"nva0"});
    EXPECT_EQ(vnis(hv2), (std::vector<uint32_t>{1, 2}));
    EXPECT_EQ(hv2.channels.at({kGeneve, base::Vni(1)}).cipher, esp::Cipher::aes256gcm);
    EXPECT_EQ(vnis(wanted.peers.at(ip("192.0.2.3"))), std::vector<uint32_t>{2});
    ASSERT_EQ(wanted.reach.size(), 3u);
    EXPECT_EQ(wanted.reach.at(base::Vni(2)).members.at("hv3"), (MemberPath{ip("192.0.2.1"), ip("192.0.2.3")}));
    EXPECT_TRUE(wanted.reach.at(base::Vni(3)).members.empty());
}

// A session is worth having at once, an SA that no port carries is not.
TEST(WantedPeers, OfAHypervisor)
{
    RawConfig raw{{{"nvo3-role", "hypervisor"}, {"nvo3-nve", "192.0.2.2:7000=high"}}, {nva_port()}, {}};
    auto made = make_config(raw, nullptr);
    ASSERT_TRUE(made->problems.empty()) << made->problems[0].text;
    DirectoryView directory;
    add(directory, 5001, {{"hv1", {"192.0.2.1"}}, {"nve1", {"192.0.2.2"}}});
    auto wanted = wanted_peers(*made, directory, "hv1");
    ASSERT_EQ(wanted.peers.size(), 1u);
    const PeerConfig& peer = wanted.peers.begin()->second;
    EXPECT_EQ(peer.remote_name, "nve1");
    EXPECT_EQ(peer.port, 7000);
    EXPECT_EQ(peer.role, control::Role::nve);
    EXPECT_EQ(peer.channel, control::proto::CHANNEL_DATA);
    EXPECT_FALSE(peer.passive);
    EXPECT_EQ(peer.control_level, ControlLevel::high) << "that of the cipher, not nvo3-control-level";
    EXPECT_EQ(peer.channels.size(), 1u);
}

TEST(WantedPeers, ChannelsWaitForThePort)
{
    DirectoryView directory;
    add(directory, 1, kBoth);
    add(directory, 2, kBoth, kVxlan);
    auto none = wanted_peers(*config({}), directory, "hv1");
    EXPECT_TRUE(none.peers.at(ip("192.0.2.2")).channels.empty());
    EXPECT_EQ(none.reach.at(base::Vni(1)).members.size(), 1u);
    EXPECT_EQ(vnis(wanted_peers(*config({nva_port("v", "vxlan")}), directory, "hv1").peers.at(ip("192.0.2.2"))), std::vector<uint32_t>{2});
    auto both = wanted_peers(*config({nva_port("v", "vxlan"), nva_port("g")}), directory, "hv1").peers.at(ip("192.0.2.2"));
    EXPECT_EQ(vnis(both), (std::vector<uint32_t>{1, 2}));
    EXPECT_EQ(both.ports, (std::vector<std::string>{"g", "v"}));
}

TEST(WantedPeers, Addresses)
{
    struct Row {
        const char* what;
        std::vector<std::string> ours, theirs;
        const char* local;      // null: none
        const char* remote;
    };
    const Row rows[] = {
        {"IPv4", {"192.0.2.1"}, {"192.0.2.2"}, "192.0.2.1", "192.0.2.2"},
        {"IPv6", {"fd00::1"}, {"fd00::2"}, "fd00::1", "fd00::2"},
        {"their first that we can reach", {"192.0.2.1"}, {"fd00::2", "192.0.2.2", "192.0.2.3"}, "192.0.2.1", "192.0.2.2"},
        {"their first, ours of its version", {"192.0.2.1", "192.0.2.9", "fd00::1"}, {"fd00::2", "192.0.2.2"}, "fd00::1", "fd00::2"},
        {"none in common", {"192.0.2.1"}, {"fd00::2"}, nullptr, nullptr},
        {"none at all", {}, {"192.0.2.2"}, nullptr, nullptr},
        {"ours", {"192.0.2.1"}, {"192.0.2.1"}, nullptr, nullptr},
        {"a group", {"192.0.2.1"}, {"239.0.0.1"}, nullptr, nullptr},
    };
    for (const Row& row : rows) {
        DirectoryView directory;
        add(directory, 1, {{"hv1", row.ours}, {"hv2", row.theirs}});
        auto wanted = wanted_peers(*config({nva_port()}), directory, "hv1");
        ASSERT_EQ(wanted.peers.size(), row.local ? 1u : 0u) << row.what;
        EXPECT_EQ(wanted.reach.at(base::Vni(1)).members.size(), wanted.peers.size()) << row.what;
        if (row.local) {
            EXPECT_EQ(wanted.peers.at(ip(row.remote)).local, ip(row.local)) << row.what;
            EXPECT_TRUE(wanted.problems.empty()) << row.what;
        } else {
            EXPECT_TRUE(says(wanted, "hv2")) << row.what;
        }
    }
}

TEST(WantedPeers, OwnName)
{
    DirectoryView directory;
    add(directory, 1, kBoth);
    for (const char* name : {"", "hv9"}) {
        auto wanted = wanted_peers(*config({nva_port()}), directory, name);
        EXPECT_TRUE(wanted.peers.empty());
        EXPECT_TRUE(wanted.reach.contains(base::Vni(1)));
        EXPECT_TRUE(says(wanted, "vn1")) << name;
    }
}

TEST(WantedPeers, TunnelPortsWin)
{
    struct Row {
        const char* what;
        StringMap options;
        const char* name;       // that the peer must prove
        std::vector<uint32_t> vnis;
        esp::Cipher cipher;     // of VNI 1
        const char* problem;
    };
    const Row rows[] = {
        {"its channel, another of the directory", {{"key", "1"}, {"remote_name", "hv2"}}, "hv2", {1, 2}, esp::Cipher::aes128gcm, "port tun takes"},
        {"the directory knows the name", {{"key", "1"}}, "hv2", {1, 2}, esp::Cipher::aes128gcm, "port tun takes"},
        {"other networks", {{"key", "7"}}, "hv2", {1, 2, 7}, esp::Cipher::aes256gcm, nullptr},
        {"the port names somebody else", {{"key", "1"}, {"remote_name", "hv3"}}, "hv3", {1}, esp::Cipher::aes128gcm, "port tun names it hv3"},
        {"a pre-shared key proves no name", {{"key", "1"}, {"psk", "secret"}}, "", {1}, esp::Cipher::aes128gcm, "by psk"},
        {"nor does a pinned certificate", {{"key", "1"}, {"remote_cert", "/c"}}, "", {1}, esp::Cipher::aes128gcm, "by remote_cert"},
    };
    DirectoryView directory;
    add(directory, 1, kBoth);
    add(directory, 2, kBoth);
    for (const Row& row : rows) {
        StringMap options = row.options;
        options["remote_ip"] = "192.0.2.2";
        auto wanted = wanted_peers(*config({tunnel("tun", options), nva_port()}), directory, "hv1");
        const PeerConfig& peer = wanted.peers.at(ip("192.0.2.2"));
        EXPECT_EQ(peer.remote_name, row.name) << row.what;
        EXPECT_EQ(vnis(peer), row.vnis) << row.what;
        EXPECT_EQ(peer.channels.at({kGeneve, base::Vni(1)}).cipher, row.cipher) << row.what;
        EXPECT_TRUE(peer.local.is_unspecified()) << row.what;
        EXPECT_EQ(wanted.problems.size(), row.problem ? 1u : 0u) << row.what;
        EXPECT_TRUE(!row.problem || says(wanted, row.problem)) << row.what;
        EXPECT_EQ(wanted.reach.at(base::Vni(1)).members.size(), row.problem ? 0u : 1u) << row.what;
        if (row.problem) {
            EXPECT_EQ(wanted.problems[0].find("secret"), std::string::npos);
        }
    }
}

// What the switch gives to another port is not offered as a path of the network.
TEST(WantedPeers, PortsThatTakeAMembersPackets)
{
    struct Row {
        const char* what;
        StringMap options;
        const char* type;
        bool one, two;          // is there a path in networks 1 and 2?
    };
    const Row rows[] = {
        {"VNI and address", {{"remote_ip", "192.0.2.2"}, {"key", "1"}}, "geneve", false, true},
        {"VNI that is received alone", {{"remote_ip", "192.0.2.2"}, {"in_key", "1"}, {"out_key", "7"}}, "geneve", false, true},
        {"VNI, any address", {{"remote_ip", "flow"}, {"key", "1"}}, "geneve", false, true},
        {"any VNI, address", {{"remote_ip", "192.0.2.2"}, {"key", "flow"}, {"nvo3_vnis", "7"}}, "geneve", false, false},
        {"any VNI, any address", {{"remote_ip", "flow"}, {"key", "flow"}, {"nvo3_vnis", "7"}}, "geneve", false, false},
        {"another VNI", {{"remote_ip", "192.0.2.2"}, {"key", "7"}}, "geneve", true, true},
        {"another VNI, any address", {{"remote_ip", "flow"}, {"key", "7"}}, "geneve", true, true},
        {"another address", {{"remote_ip", "192.0.2.3"}, {"key", "1"}}, "geneve", true, true},
        {"another encapsulation", {{"remote_ip", "192.0.2.2"}, {"key", "1"}}, "vxlan", true, true},
    };
    DirectoryView directory;
    add(directory, 1, kBoth);
    add(directory, 2, kBoth);
    for (const Row& row : rows) {
        auto wanted = wanted_peers(*config({tunnel("tun", row.options, row.type), nva_port()}), directory, "hv1");
        EXPECT_EQ(wanted.reach.at(base::Vni(1)).members.size(), row.one) << row.what;
        EXPECT_EQ(wanted.reach.at(base::Vni(2)).members.size(), row.two) << row.what;
        EXPECT_EQ(says(wanted, "port tun takes what hv2 at 192.0.2.2 sends in network vn1"), !row.one) << row.what;
        EXPECT_EQ(says(wanted, "in network vn2 (VNI 2)"), !row.two) << row.what;
        EXPECT_EQ(wanted.peers.at(ip("192.0.2.2")).channels.contains({kGeneve, base::Vni(2)}), row.two) << row.what;
    }
}

TEST(WantedPeers, OneAddressIsOneHost)
{
    DirectoryView directory;
    add(directory, 1, kBoth);
    add(directory, 2, {{"hv1", {"192.0.2.1"}}, {"hv0", {"192.0.2.2"}}});
    auto wanted = wanted_peers(*config({nva_port()}), directory, "hv1");
    ASSERT_EQ(wanted.peers.size(), 1u);
    EXPECT_EQ(wanted.peers.at(ip("192.0.2.2")).remote_name, "hv2");
    EXPECT_EQ(vnis(wanted.peers.at(ip("192.0.2.2"))), std::vector<uint32_t>{1});
    EXPECT_TRUE(wanted.reach.at(base::Vni(2)).members.empty());
    EXPECT_TRUE(says(wanted, "hv0 is at 192.0.2.2, as it says of hv2"));
}

TEST(WantedPeers, ChannelsOfAPort)
{
    DirectoryView directory;
    add(directory, 1, kBoth);
    add(directory, 2, kBoth, kVxlan);
    auto with = config({nva_port(), tunnel("flow", {{"remote_ip", "flow"}, {"key", "flow"}, {"nvo3_vnis", "7,8"}})});
    EXPECT_EQ(channels_of(with->tunnels[0], directory), (std::vector<ChannelId>{{kGeneve, base::Vni(7)}, {kGeneve, base::Vni(8)}}));
    EXPECT_EQ(channels_of(with->tunnels[1], directory), (std::vector<ChannelId>{{kGeneve, base::Vni(1)}}));
}

// The NVE's view of its hypervisors.
TEST(WantedPeers, OfHypervisors)
{
    auto made = config({tunnel("h", {{"remote_ip", "192.0.2.7"}, {"key", "flow"}, {"remote_name", "hv7"}, {"nvo3_role", "hypervisor"},
                                     {"nvo3_vnis", "5001,5002"}, {"security_level", "high"}}),
                        tunnel("i", {{"remote_ip", "192.0.2.8"}, {"key", "flow"}, {"remote_name", "hv8"}, {"nvo3_role", "hypervisor"}, {"nvo3_vnis", "nva"}}),
                        nva_port()});
    DirectoryView directory;
    add(directory, 5001, kBoth);
    add(directory, 5009, kBoth, kVxlan);
    directory.complete = true;
    auto none = wanted_peers(*made, directory, "hv1");
    ASSERT_TRUE(none.peers.contains(ip("192.0.2.7")));
    EXPECT_TRUE(none.peers[ip("192.0.2.7")].channels.empty());
    ConnectedNetworks connected{{ip("192.0.2.7"), {base::Vni(5001), base::Vni(5003)}}, {ip("192.0.2.8"), {base::Vni(5001), base::Vni(5009), base::Vni(5010)}}};
    auto wanted = wanted_peers(*made, directory, "hv1", connected);
    const PeerConfig &hv7 = wanted.peers[ip("192.0.2.7")], &hv8 = wanted.peers[ip("192.0.2.8")];
    EXPECT_EQ(vnis(hv7), std::vector<uint32_t>{5001});      // what its port names, and it is connected to
    EXPECT_EQ(vnis(hv8), std::vector<uint32_t>{5001});      // of the NVA's what is of its encapsulation
    EXPECT_EQ(hv7.channels.begin()->second.cipher, esp::Cipher::aes256gcm);
    EXPECT_EQ(hv8.channels.begin()->second.cipher, esp::Cipher::aes128gcm);
    for (const PeerConfig* peer : {&hv7, &hv8}) {
        EXPECT_EQ(peer->role, control::Role::hypervisor);
        EXPECT_EQ(peer->channel, control::proto::CHANNEL_DATA);
        EXPECT_TRUE(peer->passive);
    }
    EXPECT_EQ(hv7.control_level, ControlLevel::high);
    EXPECT_EQ(hv8.control_level, ControlLevel::standard);
    const PeerConfig& hv2 = wanted.peers[ip("192.0.2.2")];
    EXPECT_EQ(hv2.role, control::Role::nve);
    EXPECT_EQ(hv2.channel, control::proto::CHANNEL_UNSPECIFIED);
    EXPECT_FALSE(hv2.passive);
    // A hypervisor is no member, whoever says so.
    add(directory, 5001, {{"hv1", {"192.0.2.1"}}, {"hv7", {"192.0.2.7"}}});
    auto clash = wanted_peers(*made, directory, "hv1", connected);
    EXPECT_TRUE(says(clash, "port h says that a hypervisor is there"));
    EXPECT_TRUE(clash.reach[base::Vni(5001)].members.empty());
}

}  // namespace
}  // namespace nvo3::agent
