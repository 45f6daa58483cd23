// SPDX-License-Identifier: Apache-2.0
#include "hvagent/config.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace nvo3::agent {
namespace {

RawConfig one_tunnel(StringMap options = {}, std::string type = "geneve")
{
    options.try_emplace("remote_ip", "192.0.2.2");
    options.try_emplace("key", "5001");
    return {{}, {{"tun2", std::move(type), std::move(options)}}};
}

RawConfig global(StringMap values)
{
    return {std::move(values), {}};
}

bool says(const Config& config, const std::string& words)
{
    return std::ranges::any_of(config.problems, [&](const Problem& problem) { return problem.text.find(words) != std::string::npos; });
}

TEST(Config, Defaults)
{
    auto config = make_config(one_tunnel(), nullptr);
    EXPECT_TRUE(config->problems.empty());
    EXPECT_EQ(config->listen_port, 6652);
    EXPECT_EQ(config->rekey_after, std::chrono::seconds(3600));
    EXPECT_EQ(config->rekey_bytes, 0u);
    EXPECT_EQ(config->control_rate, 200u);
    EXPECT_EQ(config->control_burst, 400u);
    ASSERT_EQ(config->tunnels.size(), 1u);
    const Tunnel& tunnel = config->tunnels[0];
    EXPECT_EQ(tunnel.encap, base::Encap::geneve);
    EXPECT_EQ(tunnel.remote.to_string(), "192.0.2.2");
    EXPECT_TRUE(tunnel.local.is_unspecified());
    EXPECT_EQ(tunnel.vnis, std::vector{base::Vni(5001)});
    EXPECT_EQ(tunnel.cipher, esp::Cipher::aes128gcm);
    EXPECT_EQ(tunnel.replay_window, 1024u);
}

TEST(Config, OtherConfigIsTaken)
{
    auto config = make_config(global({{"certificate", "/c"}, {"private_key", "/k"}, {"ca_cert", "/a"}, {"nvo3-crl", "/r"},
                                      {"nvo3-listen", "[fd31::1]:7000"}, {"nvo3-role", "nve"}, {"nvo3-control-level", "high"},
                                      {"nvo3-rekey-seconds", "60"}, {"nvo3-rekey-bytes", "1000000"}, {"nvo3-control-rate", "10"},
                                      {"nvo3-control-burst", "20"}, {"ipsec_skb_mark", "1/1"}, {"stats-update-interval", "1000"}}),
                              nullptr);
    EXPECT_TRUE(config->problems.empty());
    EXPECT_EQ(config->certificate + config->private_key + config->ca_cert + config->crl, "/c/k/a/r");
    EXPECT_EQ(config->listen_address.to_string(), "fd31::1");
    EXPECT_EQ(config->listen_port, 7000);
    EXPECT_EQ(config->control_level, ControlLevel::high);
    EXPECT_EQ(config->rekey_after, std::chrono::seconds(60));
    EXPECT_EQ(config->rekey_bytes, 1000000u);
    EXPECT_EQ(config->control_rate, 10u);
    EXPECT_EQ(config->control_burst, 20u);
}

TEST(Config, ListenForms)
{
    struct Row {
        const char* text;
        bool good;
        bool dual;
        uint16_t port;
    };
    const Row rows[] = {
        {"0.0.0.0:6652", true, false, 6652}, {"192.0.2.1:1", true, false, 1}, {"[::]:6000", true, true, 6000},   {"192.0.2.1", true, false, 6652},
        {"[::]", true, true, 6652},          {"192.0.2.1:", false, false, 0}, {"192.0.2.1:0", false, false, 0}, {"192.0.2.1:65536", false, false, 0},
        {"[::1", false, false, 0},           {"[::1]6652", false, false, 0},  {"host:6652", false, false, 0},    {"", false, false, 0},
        {"::1:6652", false, false, 0},
    };
    for (const Row& row : rows) {
        auto config = make_config(global({{"nvo3-listen", row.text}}), nullptr);
        EXPECT_EQ(config->problems.empty(), row.good) << row.text;
        EXPECT_EQ(config->listen_port, row.good ? row.port : 6652) << row.text;
        EXPECT_EQ(config->listen_dual_stack, row.good && row.dual) << row.text;
    }
}

TEST(Config, BadGlobalValuesKeepTheFormerOnes)
{
    auto before = make_config(global({{"nvo3-rekey-seconds", "60"}, {"nvo3-control-level", "high"}, {"nvo3-listen", "192.0.2.1:7"}}), nullptr);
    for (const auto& [key, value] : StringMap{{"nvo3-rekey-seconds", "0"}, {"nvo3-control-level", "extreme"}, {"nvo3-listen", "x"},
                                              {"nvo3-control-rate", "many"}, {"nvo3-rekey-bytes", "-1"}, {"nvo3-role", "nva"},
                                              {"nvo3-nva", "192.0.2.9:x"}, {"nvo3-bridge", ""}, {"nvo3-rekey-second", "5"}}) {
        RawConfig raw = global({{"nvo3-rekey-seconds", "60"}, {"nvo3-control-level", "high"}, {"nvo3-listen", "192.0.2.1:7"}});
        raw.other_config[key] = value;
        auto config = make_config(raw, before.get());
        ASSERT_EQ(config->problems.size(), 1u) << key;
        EXPECT_EQ(config->problems[0].port, "");
        EXPECT_TRUE(says(*config, key)) << config->problems[0].text;
        EXPECT_EQ(config->rekey_after, std::chrono::seconds(60)) << key;
        EXPECT_EQ(config->control_level, ControlLevel::high) << key;
        EXPECT_EQ(config->listen_port, 7) << key;
        EXPECT_EQ(config->control_rate, 200u) << key;
    }
    // A removed key goes back to the default, not to the former value.
    EXPECT_EQ(make_config(global({}), before.get())->rekey_after, std::chrono::seconds(3600));
}

TEST(Config, Nvas)
{
    struct Row {
        const char* text;
        std::vector<std::string> nvas;      // empty: the former list stays
    };
    const Row rows[] = {
        {"192.0.2.9", {"192.0.2.9 6654"}},
        {"192.0.2.9:7000", {"192.0.2.9 7000"}},
        {"[fd00::9]", {"fd00::9 6654"}},
        {"[fd00::9]:1", {"fd00::9 1"}},
        {"192.0.2.9,192.0.2.8:7", {"192.0.2.9 6654", "192.0.2.8 7"}},
        {" 192.0.2.9 ,, [fd00::9]:1 192.0.2.9:6654 ", {"192.0.2.9 6654", "fd00::9 1"}},
        {"192.0.2.9 nva1", {}},
        {"fd00::9", {}},
        {"192.0.2.9:", {}},
        {"192.0.2.9:0", {}},
        {"[fd00::9", {}},
        {"0.0.0.0", {}},
        {"239.0.0.1", {}},
    };
    auto before = make_config(global({{"nvo3-nva", "192.0.2.1"}}), nullptr);
    for (const Row& row : rows) {
        auto config = make_config(global({{"nvo3-nva", row.text}}), before.get());
        std::vector<std::string> nvas;
        for (const Endpoint& nva : config->nvas) {
            nvas.push_back(nva.address.to_string() + " " + std::to_string(nva.port));
        }
        EXPECT_EQ(nvas, row.nvas.empty() ? std::vector<std::string>{"192.0.2.1 6654"} : row.nvas) << row.text;
        EXPECT_EQ(config->problems.size(), row.nvas.empty() ? 1u : 0u) << row.text;
    }
    EXPECT_TRUE(make_config(global({{"nvo3-nva", " , "}}), before.get())->nvas.empty());
    EXPECT_TRUE(make_config(global({}), before.get())->nvas.empty());
}

TEST(Config, Bridge)
{
    auto before = make_config(global({{"nvo3-bridge", "br1"}}), nullptr);
    EXPECT_EQ(before->bridge, "br1");
    EXPECT_EQ(make_config(global({}), before.get())->bridge, "br-int");
}

TEST(Config, PolicyFile)
{
    auto before = make_config(global({{"nvo3-policy", "/etc/policy"}}), nullptr);
    EXPECT_EQ(before->policy_file, "/etc/policy");
    EXPECT_TRUE(before->problems.empty());
    auto relative = make_config(global({{"nvo3-policy", "policy"}}), before.get());
    EXPECT_EQ(relative->policy_file, "/etc/policy");
    EXPECT_TRUE(says(*relative, "nvo3-policy=policy is not the name of a file that begins with /"));
    // Two would say what may pass.
    auto both = make_config(global({{"nvo3-policy", "/etc/policy"}, {"nvo3-nva", "192.0.2.9"}}), before.get());
    EXPECT_EQ(both->policy_file, "");
    EXPECT_TRUE(says(*both, "nvo3-policy is ignored with nvo3-nva"));
    auto hypervisor = make_config(global({{"nvo3-policy", "/etc/policy"}, {"nvo3-role", "hypervisor"}, {"nvo3-nve", "192.0.2.9"}}), before.get());
    EXPECT_EQ(hypervisor->policy_file, "");
    EXPECT_TRUE(says(*hypervisor, "nvo3-policy is ignored with nvo3-role=hypervisor"));
}

TEST(Config, PortOfTheDirectory)
{
    auto config = make_config(one_tunnel({{"remote_ip", "flow"}, {"key", "flow"}, {"nvo3_vnis", "nva"}}), nullptr);
    ASSERT_EQ(config->tunnels.size(), 1u);
    EXPECT_TRUE(config->tunnels[0].nva);
    EXPECT_TRUE(config->tunnels[0].vnis.empty());
    EXPECT_TRUE(config->problems.empty());
    // The directory says who the peers are, so a port with one of its own is a mistake.
    config = make_config(one_tunnel({{"key", "flow"}, {"nvo3_vnis", "nva"}}), config.get());
    EXPECT_TRUE(config->tunnels.empty());
    EXPECT_TRUE(says(*config, "remote_ip=flow"));
}

TEST(Config, Role)
{
    EXPECT_EQ(make_config(global({}), nullptr)->role, control::Role::nve);
    auto config = make_config(global({{"nvo3-role", "hypervisor"}, {"nvo3-nve", "192.0.2.1"}}), nullptr);
    EXPECT_EQ(config->role, control::Role::hypervisor);
    EXPECT_TRUE(config->problems.empty());
    EXPECT_EQ(make_config(global({{"nvo3-role", "nva"}}), config.get())->role, control::Role::hypervisor);
}

TEST(Config, PortsOfHypervisors)
{
    const StringMap good{{"key", "flow"}, {"nvo3_role", "hypervisor"}, {"remote_name", "hv7"}, {"nvo3_vnis", "5001,5002"}};
    auto config = make_config(one_tunnel(good), nullptr);
    ASSERT_EQ(config->tunnels.size(), 1u);
    EXPECT_TRUE(config->problems.empty());
    EXPECT_EQ(config->tunnels[0].role, control::Role::hypervisor);
    EXPECT_EQ(config->tunnels[0].vnis.size(), 2u);
    struct Row {
        const char* what;
        StringMap change;       // empty value: removed
        const char* words;      // null: good
    };
    const Row rows[] = {
        {"whatever the NVA says", {{"nvo3_vnis", "nva"}}, nullptr},
        {"of an NVE", {{"nvo3_role", "nve"}}, nullptr},
        {"no name", {{"remote_name", ""}}, "needs remote_name"},
        {"a pre-shared key", {{"remote_name", ""}, {"psk", "/k"}}, "options:psk proves no role"},
        {"a certificate", {{"remote_cert", "/c"}}, "options:remote_cert proves no role"},
        {"one network", {{"key", "5001"}, {"nvo3_vnis", ""}}, "needs key=flow"},
        {"anybody", {{"remote_ip", "flow"}}, "needs remote_ip"},
        {"another role", {{"nvo3_role", "nva"}}, "nvo3_role=nva is neither"},
    };
    for (const Row& row : rows) {
        StringMap options = good;
        for (const auto& [key, value] : row.change) {
            options[key] = value;
        }
        std::erase_if(options, [](const auto& option) { return option.second.empty(); });
        auto made = make_config(one_tunnel(options), nullptr);
        EXPECT_EQ(made->tunnels.size(), row.words ? 0u : 1u) << row.what;
        EXPECT_EQ(made->problems.empty(), !row.words) << row.what;
        if (row.words) {
            EXPECT_TRUE(says(*made, row.words)) << row.what << ": " << made->problems.at(0).text;
        }
    }
    // One address is one or the other.
    RawConfig both = one_tunnel(good);
    both.tunnels.push_back({"tun3", "geneve", {{"remote_ip", "192.0.2.2"}, {"remote_name", "hv7"}, {"key", "7"}}});
    config = make_config(both, nullptr);
    EXPECT_EQ(config->tunnels.size(), 1u);
    EXPECT_TRUE(says(*config, "nvo3_role must be that of port"));
}

TEST(Config, DataLevelIsThatOfTheCipher)
{
    EXPECT_EQ(data_level(esp::Cipher::aes128gcm), ControlLevel::standard);
    EXPECT_EQ(data_level(esp::Cipher::aes128gmac), ControlLevel::standard);
    EXPECT_EQ(data_level(esp::Cipher::aes256gcm), ControlLevel::high);
    EXPECT_EQ(data_level(esp::Cipher::aes256gmac), ControlLevel::high);
    EXPECT_EQ(data_level(esp::Cipher::chacha20poly1305), ControlLevel::high);
}

TEST(Config, TenantInterfaces)
{
    auto port = [](std::string name, std::string mac, std::string vn = "blue") {
        return RawVmPort{std::move(name), 1, std::move(vn), "", std::move(mac), "", ""};
    };
    RawConfig raw = global({{"nvo3-nva", "192.0.2.9"}});
    raw.vm_ports = {port("vm3", "52:54:00:00:00:01"), port("vm2", "nothing"), port("vm1", "52:54:00:00:00:01"),
                    port("vm4", "52:54:00:00:00:01", "red")};
    auto config = make_config(raw, nullptr);
    ASSERT_EQ(config->tsis.size(), 2u);
    EXPECT_EQ(config->tsis[0].port, "vm1") << "the first by name has the MAC";
    EXPECT_EQ(config->tsis[1].port, "vm4");
    ASSERT_EQ(config->problems.size(), 2u);
    EXPECT_EQ(config->problems[0].port, "vm2");
    EXPECT_EQ(config->problems[1].port, "vm3");
    EXPECT_TRUE(says(*config, "that of port vm1"));
    raw.other_config.clear();
    config = make_config(raw, nullptr);
    EXPECT_TRUE(config->tsis.empty() && config->problems.empty()) << "without an NVA networks have no names";
}

TEST(Config, Hypervisor)
{
    auto before = make_config(global({{"nvo3-role", "hypervisor"}, {"nvo3-nve", "192.0.2.1"}}), nullptr);
    ASSERT_TRUE(before->is_hypervisor() && before->has_pipeline());
    EXPECT_TRUE(before->problems.empty());
    struct Row {
        const char* list;
        std::vector<std::string> nves;
        const char* problem;        // null: none
    };
    const Row rows[] = {
        {"192.0.2.7", {"192.0.2.7 6652 aes128gcm"}, nullptr},
        {"192.0.2.7:7000=high, [2001:db8::7]=integrity", {"192.0.2.7 7000 aes256gcm", "2001:db8::7 6652 aes128gmac"}, nullptr},
        {"192.0.2.7=chacha20poly1305", {"192.0.2.7 6652 chacha20poly1305"}, nullptr},
        {"192.0.2.7=", {}, " is neither a security level"},
        {"192.0.2.7=best", {}, "best is neither a security level"},
        {"nve1", {}, "nve1 does not begin with ADDRESS"},
        {"0.0.0.0", {}, "0.0.0.0 does not begin with"},
        {"192.0.2.7,192.0.2.7:7000", {}, "192.0.2.7 is there twice"},
    };
    for (const Row& row : rows) {
        auto config = make_config(global({{"nvo3-role", "hypervisor"}, {"nvo3-nve", row.list}}), before.get());
        std::vector<std::string> nves;
        for (const ExternalNve& nve : config->nves) {
            nves.push_back(nve.endpoint.address.to_string() + " " + std::to_string(nve.endpoint.port) + " " + esp::to_string(nve.cipher));
        }
        if (row.problem) {
            EXPECT_TRUE(says(*config, row.problem)) << row.list;
            EXPECT_EQ(config->nves, before->nves) << row.list;
        } else {
            EXPECT_EQ(nves, row.nves) << row.list;
            EXPECT_TRUE(config->problems.empty()) << row.list;
        }
    }
    EXPECT_TRUE(says(*make_config(global({{"nvo3-role", "hypervisor"}}), nullptr), "nvo3-nve is missing"));
    auto nve = make_config(global({{"nvo3-nve", "192.0.2.1"}}), nullptr);
    EXPECT_TRUE(says(*nve, "nvo3-nve is for nvo3-role=hypervisor only"));
    EXPECT_TRUE(nve->nves.empty());
    EXPECT_FALSE(nve->has_pipeline());
    auto with_nva = make_config(global({{"nvo3-role", "hypervisor"}, {"nvo3-nve", "192.0.2.1"}, {"nvo3-nva", "192.0.2.9"}}), nullptr);
    EXPECT_TRUE(says(*with_nva, "nvo3-nva is ignored"));
    EXPECT_TRUE(with_nva->nvas.empty());
    EXPECT_TRUE(says(*make_config(global({{"nvo3-role", "nva"}}), before.get()), "works as hypervisor"));

    auto others = make_config(global({{"nvo3-role", "hypervisor"}, {"nvo3-nve", "192.0.2.1"}, {"nvo3-hook", "strict"}, {"nvo3-libvirt-uri", "none"},
                                      {"nvo3-throttle-rate", "7"}, {"nvo3-throttle-vm-rate", "3"}}), nullptr);
    EXPECT_TRUE(others->problems.empty());
    EXPECT_TRUE(others->hook_strict);
    EXPECT_EQ(others->libvirt_uri, "");
    EXPECT_EQ(others->throttle, (ThrottleLimits{7, 3}));
    auto bad = make_config(global({{"nvo3-role", "hypervisor"}, {"nvo3-nve", "192.0.2.1"}, {"nvo3-hook", "maybe"}, {"nvo3-throttle-rate", "0"}}), others.get());
    EXPECT_EQ(bad->problems.size(), 2u);
    EXPECT_TRUE(bad->hook_strict);
    EXPECT_EQ(bad->throttle.per_second, 7u);
}

TEST(Config, HypervisorHasNoTunnelsToOthers)
{
    RawConfig raw = one_tunnel({{"key", "7"}});
    raw.other_config = {{"nvo3-role", "hypervisor"}, {"nvo3-nve", "192.0.2.1"}};
    auto config = make_config(raw, nullptr);
    EXPECT_TRUE(config->tunnels.empty());
    EXPECT_TRUE(says(*config, "a hypervisor has no tunnels but that to its external NVE"));
    raw = one_tunnel({{"remote_ip", "flow"}, {"key", "flow"}, {"nvo3_vnis", "nva"}});
    raw.other_config = {{"nvo3-role", "hypervisor"}, {"nvo3-nve", "192.0.2.1"}};
    raw.vm_ports = {{"vm1", 1, "", "", "52:54:00:00:00:01", "", "id1"}};
    config = make_config(raw, nullptr);
    EXPECT_EQ(config->tunnels.size(), 1u);
    EXPECT_TRUE(config->problems.empty()) << "libvirt may tell the network of the port";
    EXPECT_EQ(config->vm_ports, raw.vm_ports);
}

TEST(Config, Networks)
{
    struct Row {
        const char* what;
        StringMap options;
        std::vector<uint32_t> vnis;     // empty: unusable
    };
    const Row rows[] = {
        {"one key", {{"key", "7"}}, {7}},
        {"hexadecimal", {{"key", "0x10"}}, {16}},
        {"largest", {{"key", "16777215"}}, {16777215}},
        {"too large", {{"key", "16777216"}}, {}},
        {"no number", {{"key", "blue"}}, {}},
        {"two directions", {{"key", "1"}, {"in_key", "2"}, {"out_key", "3"}}, {2, 3}},
        {"one direction", {{"key", "1"}, {"out_key", "3"}}, {1, 3}},
        {"flow with a list", {{"key", "flow"}, {"nvo3_vnis", " 3, 1,2,3"}}, {1, 2, 3}},
        {"flow without a list", {{"key", "flow"}}, {}},
        {"flow with an empty list", {{"key", "flow"}, {"nvo3_vnis", ""}}, {}},
        {"flow with a bad list", {{"key", "flow"}, {"nvo3_vnis", "1,,2"}}, {}},
        {"flow one way", {{"in_key", "flow"}, {"out_key", "9"}, {"nvo3_vnis", "1"}}, {1, 9}},
    };
    for (const Row& row : rows) {
        auto config = make_config(one_tunnel(row.options), nullptr);
        EXPECT_EQ(config->problems.empty(), !row.vnis.empty()) << row.what;
        ASSERT_EQ(config->tunnels.size(), row.vnis.empty() ? 0u : 1u) << row.what;
        std::vector<uint32_t> found;
        for (const Tunnel& tunnel : config->tunnels) {
            std::ranges::transform(tunnel.vnis, std::back_inserter(found), &base::Vni::value);
        }
        EXPECT_EQ(found, row.vnis) << row.what;
    }
    RawConfig none{{}, {{"tun2", "geneve", {{"remote_ip", "192.0.2.2"}}}}};
    EXPECT_EQ(make_config(none, nullptr)->tunnels.at(0).vnis, std::vector{base::Vni(0)}) << "as in OVS, no key is network 0";
}

TEST(Config, BadTunnelOptions)
{
    struct Row {
        const char* key;
        const char* value;
        bool keeps;     // with a former good value the tunnel goes on
    };
    const Row rows[] = {
        {"remote_ip", "hv2.example.net", false}, {"remote_ip", "0.0.0.0", false},  {"remote_ip", "239.1.1.1", false}, {"local_ip", "x", true},
        {"local_ip", "fd31::1", true},           {"security_level", "top", true},  {"cipher", "rot13", true},
        {"replay_window", "1000", true},         {"replay_window", "32", true},    {"replay_window", "16384", true},
        {"replay_window", "", true},             {"remote_name", "", false},       {"key", "blue", true},
    };
    auto good = make_config(one_tunnel({{"replay_window", "2048"}, {"security_level", "high"}}), nullptr);
    ASSERT_TRUE(good->problems.empty());
    for (const Row& row : rows) {
        RawConfig raw = one_tunnel();
        raw.tunnels[0].options[row.key] = row.value;
        raw.tunnels.push_back({"tun3", "vxlan", {{"remote_ip", "192.0.2.3"}, {"key", "1"}}});
        auto fresh = make_config(raw, nullptr);
        ASSERT_EQ(fresh->problems.size(), 1u) << row.key;
        EXPECT_EQ(fresh->problems[0].port, "tun2");
        EXPECT_TRUE(says(*fresh, std::string("options:") + row.key)) << fresh->problems[0].text;
        ASSERT_EQ(fresh->tunnels.size(), 1u) << "the other tunnel is unaffected by " << row.key;
        EXPECT_EQ(fresh->tunnels[0].port, "tun3");

        auto later = make_config(raw, good.get());
        EXPECT_EQ(later->tunnels.size(), row.keeps ? 2u : 1u) << row.key << "=" << row.value;
        EXPECT_EQ(later->problems.size(), 1u) << row.key;
        if (std::string(row.key) == "replay_window") {
            EXPECT_EQ(later->tunnels[0].replay_window, 2048u);
        } else if (std::string(row.key) == "cipher" || std::string(row.key) == "security_level") {
            EXPECT_EQ(later->tunnels[0].cipher, esp::Cipher::aes256gcm);
        }
    }
}

TEST(Config, UnknownOwnOptionIsNamedAndTheTunnelWorks)
{
    auto config = make_config(one_tunnel({{"nvo3_vnls", "1"}, {"tos", "inherit"}}), nullptr);
    EXPECT_EQ(config->tunnels.size(), 1u);
    ASSERT_EQ(config->problems.size(), 1u);
    EXPECT_TRUE(says(*config, "options:nvo3_vnls"));
}

TEST(Config, LevelAndCipherExcludeEachOther)
{
    EXPECT_TRUE(make_config(one_tunnel({{"cipher", "aes256gcm"}, {"security_level", "high"}}), nullptr)->tunnels.empty());
    EXPECT_EQ(make_config(one_tunnel({{"cipher", "chacha20poly1305"}}), nullptr)->tunnels.at(0).cipher, esp::Cipher::chacha20poly1305);
    EXPECT_EQ(make_config(one_tunnel({{"security_level", "integrity"}}), nullptr)->tunnels.at(0).cipher, esp::Cipher::aes128gmac);
}

TEST(Config, PskExcludesNames)
{
    EXPECT_EQ(make_config(one_tunnel({{"psk", "/k"}}), nullptr)->tunnels.at(0).psk, "/k");
    EXPECT_TRUE(make_config(one_tunnel({{"psk", "/k"}, {"remote_name", "hv2"}}), nullptr)->tunnels.empty());
    EXPECT_TRUE(make_config(one_tunnel({{"psk", "/k"}, {"remote_cert", "/c"}}), nullptr)->tunnels.empty());
}

TEST(Config, FlowRemote)
{
    auto config = make_config(one_tunnel({{"remote_ip", "flow"}}), nullptr);
    ASSERT_EQ(config->tunnels.size(), 1u);
    EXPECT_TRUE(config->tunnels[0].flow_remote);
}

TEST(Config, PortsThatShareAPeerMustAgree)
{
    struct Row {
        const char* what;
        StringMap second;
        bool fits;
    };
    const Row rows[] = {
        {"another network", {{"key", "2"}}, true},
        {"another network, another cipher", {{"key", "2"}, {"security_level", "high"}}, true},
        {"same network, weaker cipher", {{"security_level", "integrity"}}, false},
        {"another name", {{"key", "2"}, {"remote_name", "hv3"}}, false},
        {"a key instead of a certificate", {{"key", "2"}, {"psk", "/k"}}, false},
        {"another source", {{"key", "2"}, {"local_ip", "192.0.2.9"}}, false},
        {"another peer", {{"remote_ip", "192.0.2.3"}, {"remote_name", "hv3"}, {"security_level", "high"}}, true},
    };
    for (const Row& row : rows) {
        RawConfig raw;
        StringMap second{{"remote_ip", "192.0.2.2"}, {"key", "5001"}};
        for (const auto& [key, value] : row.second) {
            second[key] = value;
        }
        // Against the order of names: the outcome must not hang on that of rows.
        raw.tunnels = {{"b", "geneve", second}, {"a", "geneve", {{"remote_ip", "192.0.2.2"}, {"key", "5001"}}}};
        auto config = make_config(raw, nullptr);
        EXPECT_EQ(config->tunnels.size(), row.fits ? 2u : 1u) << row.what;
        EXPECT_EQ(config->tunnels[0].port, "a") << row.what;
        if (!row.fits) {
            ASSERT_EQ(config->problems.size(), 1u) << row.what;
            EXPECT_EQ(config->problems[0].port, "b") << row.what;
        }
    }
}

TEST(Config, OfTwoCiphersForOneNetworkTheStrongerStays)
{
    const StringMap named{{"remote_ip", "192.0.2.2"}, {"key", "5001"}}, flow{{"remote_ip", "flow"}, {"key", "flow"}, {"nvo3_vnis", "5001,5002"}};
    struct Row {
        const char* what;
        StringMap first, second;
        const char *first_cipher, *second_cipher;
        std::vector<std::string> usable;
        const char* problem;            // port
    };
    const Row rows[] = {
        {"the second is stronger", named, named, "aes128gcm", "aes256gcm", {"b"}, "a"},
        {"the first is stronger", named, named, "aes256gcm", "aes128gcm", {"a"}, "b"},
        {"as strong", named, named, "chacha20poly1305", "aes256gcm", {"a"}, "b"},
        {"flow is weaker", named, flow, "aes128gcm", "aes128gmac", {"a"}, "b"},
        {"flow is stronger", named, flow, "aes128gmac", "aes256gcm", {"a", "b"}, "a"},
        {"flow is the same", named, flow, "aes256gcm", "aes256gcm", {"a", "b"}, nullptr},
        {"two flow ports", flow, flow, "aes128gcm", "aes256gcm", {"b"}, "a"},
    };
    for (const Row& row : rows) {
        RawConfig raw;
        raw.tunnels = {{"a", "geneve", row.first}, {"b", "geneve", row.second}};
        raw.tunnels[0].options["cipher"] = row.first_cipher;
        raw.tunnels[1].options["cipher"] = row.second_cipher;
        auto config = make_config(raw, nullptr);
        std::vector<std::string> usable;
        for (const Tunnel& tunnel : config->tunnels) {
            usable.push_back(tunnel.port);
        }
        EXPECT_EQ(usable, row.usable) << row.what;
        ASSERT_EQ(config->problems.size(), row.problem ? 1u : 0u) << row.what;
        if (row.problem) {
            EXPECT_EQ(config->problems[0].port, row.problem) << row.what;
        }
        // It names the peer that flow reaches, but brings no cipher of its own for the network.
        if (std::string(row.what) == "flow is stronger") {
            EXPECT_TRUE(config->tunnels[0].vnis.empty());
        }
    }
}

}  // namespace
}  // namespace nvo3::agent
