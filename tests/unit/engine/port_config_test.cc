// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of ovs-ext/engine/port_config.h.
#include "ovs-ext/engine/port_config.h"

#include <gtest/gtest.h>

#include <functional>

namespace nvo3::engine {
namespace {

nvo3_port_options
good()
{
    nvo3_port_options options{};
    options.encap = NVO3_ENCAP_GENEVE;
    options.remote_ip = "192.0.2.2";
    options.in_key = options.out_key = "5001";
    return options;
}

TEST(PortConfig, Defaults)
{
    auto config = parse_port("tun2", good());
    ASSERT_TRUE(config.ok()) << config.error().text;
    EXPECT_EQ(config->name, "tun2");
    EXPECT_EQ(config->remote->to_string(), "192.0.2.2");
    EXPECT_TRUE(config->local.is_unspecified());
    EXPECT_EQ(config->vnis, std::vector{base::Vni(5001)});
    EXPECT_EQ(config->cipher, esp::Cipher::aes128gcm);
    EXPECT_EQ(config->replay_window, 1024u);
    EXPECT_TRUE(config->carries(base::Vni(5001)));
    EXPECT_FALSE(config->carries(base::Vni(5002)));
}

struct Row {
    const char* what;
    std::function<void(nvo3_port_options&)> change;
    // In the error's text; null: accepted.
    const char* option;
    const char* value;
};

void
nva(nvo3_port_options& options)
{
    options.remote_ip = options.in_key = options.out_key = "flow";
    options.nvo3_vnis = "nva";
}

TEST(PortConfig, OfTheNvaCarriesAll)
{
    nvo3_port_options options = good();
    nva(options);
    auto config = parse_port("nva", options);
    ASSERT_TRUE(config.ok()) << config.error().text;
    EXPECT_TRUE(config->from_nva);
    EXPECT_TRUE(config->carries(base::Vni(0)));
    EXPECT_TRUE(config->carries(base::Vni(0xffffff)));
}

TEST(PortConfig, AcceptsOrNamesOptionAndValue)
{
    using O = nvo3_port_options;
    const Row rows[] = {
        {"IPv6", [](O& o) { o.remote_ip = "fd31::2"; }, nullptr, nullptr},
        {"remote flow", [](O& o) { o.remote_ip = "flow"; }, nullptr, nullptr},
        {"no remote", [](O& o) { o.remote_ip = nullptr; }, "remote_ip", "missing"},
        {"remote name", [](O& o) { o.remote_ip = "hv2"; }, "remote_ip", "hv2"},
        {"remote with zone", [](O& o) { o.remote_ip = "fe80::1%eth0"; }, "remote_ip", "fe80::1%eth0"},
        {"remote multicast", [](O& o) { o.remote_ip = "239.1.1.1"; }, "remote_ip", "239.1.1.1"},
        {"remote multicast IPv6", [](O& o) { o.remote_ip = "ff05::1"; }, "remote_ip", "ff05::1"},
        {"remote broadcast", [](O& o) { o.remote_ip = "255.255.255.255"; }, "remote_ip", "255.255.255.255"},
        {"remote zero", [](O& o) { o.remote_ip = "0.0.0.0"; }, "remote_ip", "0.0.0.0"},
        {"remote zero IPv6", [](O& o) { o.remote_ip = "::"; }, "remote_ip", "::"},
        {"local", [](O& o) { o.local_ip = "192.0.2.1"; }, nullptr, nullptr},
        {"local flow", [](O& o) { o.local_ip = "flow"; }, nullptr, nullptr},
        {"local any", [](O& o) { o.local_ip = "0.0.0.0"; }, nullptr, nullptr},
        {"local name", [](O& o) { o.local_ip = "me"; }, "local_ip", "me"},
        {"local of the other version", [](O& o) { o.local_ip = "fd31::1"; }, "local_ip", "fd31::1"},
        {"no key", [](O& o) { o.in_key = o.out_key = nullptr; }, nullptr, nullptr},
        {"two keys", [](O& o) { o.in_key = "1"; o.out_key = "2"; }, nullptr, nullptr},
        {"key word", [](O& o) { o.in_key = "red"; }, "in_key", "red"},
        {"key too big", [](O& o) { o.out_key = "16777216"; }, "out_key", "16777216"},
        {"flow without list", [](O& o) { o.in_key = o.out_key = "flow"; }, "key=flow", "nvo3_vnis"},
        {"flow with list", [](O& o) { o.in_key = o.out_key = "flow"; o.nvo3_vnis = "3, 1,2"; }, nullptr, nullptr},
        {"empty list", [](O& o) { o.in_key = "flow"; o.nvo3_vnis = ""; }, "nvo3_vnis", "list"},
        {"list with a gap", [](O& o) { o.in_key = "flow"; o.nvo3_vnis = "1,,2"; }, "nvo3_vnis", "1,,2"},
        {"list with a range", [](O& o) { o.in_key = "flow"; o.nvo3_vnis = "1-9"; }, "nvo3_vnis", "1-9"},
        {"of the NVA", nva, nullptr, nullptr},
        {"of the NVA, local flow", [](O& o) { nva(o); o.local_ip = "flow"; }, nullptr, nullptr},
        {"of the NVA, one peer", [](O& o) { nva(o); o.remote_ip = "192.0.2.2"; }, "nvo3_vnis=nva", "remote_ip=flow"},
        {"of the NVA, one network", [](O& o) { nva(o); o.in_key = o.out_key = "5001"; }, "nvo3_vnis=nva", "key=flow"},
        {"of the NVA, one network out", [](O& o) { nva(o); o.out_key = "5001"; }, "nvo3_vnis=nva", "key=flow"},
        {"of the NVA, level", [](O& o) { nva(o); o.security_level = "high"; }, "security_level=high", "from the NVA"},
        {"of the NVA, cipher", [](O& o) { nva(o); o.cipher = "aes256gcm"; }, "cipher=aes256gcm", "from the NVA"},
        {"of the NVA, local", [](O& o) { nva(o); o.local_ip = "192.0.2.1"; }, "local_ip=192.0.2.1", "groups"},
        {"of an NVE", [](O& o) { o.nvo3_role = "nve"; }, nullptr, nullptr},
        {"of a hypervisor", [](O& o) { o.nvo3_role = "hypervisor"; }, nullptr, nullptr},
        {"of a hypervisor, networks of the NVA", [](O& o) { nva(o); o.remote_ip = "192.0.2.2"; o.local_ip = "192.0.2.1"; o.security_level = "high"; o.nvo3_role = "hypervisor"; }, nullptr, nullptr},
        {"of a hypervisor, one network of the NVA", [](O& o) { nva(o); o.remote_ip = "192.0.2.2"; o.out_key = "5001"; o.nvo3_role = "hypervisor"; }, "nvo3_vnis=nva", "key=flow"},
        {"of any hypervisor", [](O& o) { o.remote_ip = "flow"; o.nvo3_role = "hypervisor"; }, "nvo3_role=hypervisor", "remote_ip"},
        {"of what", [](O& o) { o.nvo3_role = "nva"; }, "nvo3_role=nva", "nve nor hypervisor"},
        {"level", [](O& o) { o.security_level = "high"; }, nullptr, nullptr},
        {"bad level", [](O& o) { o.security_level = "low"; }, "security_level", "low"},
        {"cipher", [](O& o) { o.cipher = "chacha20poly1305"; }, nullptr, nullptr},
        {"bad cipher", [](O& o) { o.cipher = "des"; }, "cipher", "des"},
        {"both", [](O& o) { o.cipher = "aes256gcm"; o.security_level = "high"; }, "security_level", "exclude"},
        {"window", [](O& o) { o.replay_window = "8192"; }, nullptr, nullptr},
        {"window not a power", [](O& o) { o.replay_window = "1000"; }, "replay_window", "1000"},
        {"window small", [](O& o) { o.replay_window = "32"; }, "replay_window", "32"},
        {"window large", [](O& o) { o.replay_window = "16384"; }, "replay_window", "16384"},
        {"window off", [](O& o) { o.replay_window = "0"; }, "replay_window", "0"},
        {"own port", [](O& o) { o.dst_port = "4500"; }, nullptr, nullptr},
        {"clear port", [](O& o) { o.dst_port = "6081"; }, "dst_port", "6081"},
        {"vxlan port", [](O& o) { o.encap = NVO3_ENCAP_VXLAN; o.dst_port = "4501"; }, nullptr, nullptr},
        {"vxlan on geneve's", [](O& o) { o.encap = NVO3_ENCAP_VXLAN; o.dst_port = "4500"; }, "dst_port", "4500"},
        {"legacy_l2", [](O& o) { o.packet_type = "legacy_l2"; }, nullptr, nullptr},
        {"ptap", [](O& o) { o.packet_type = "ptap"; }, "packet_type", "ptap"},
    };
    for (const Row& row : rows) {
        nvo3_port_options options = good();
        row.change(options);
        auto config = parse_port("tun9", options);
        ASSERT_EQ(config.ok(), row.option == nullptr) << row.what;
        if (!config) {
            EXPECT_EQ(config.error().code, EINVAL);
            for (const char* part : {"tun9", row.option, row.value}) {
                EXPECT_NE(config.error().text.find(part), std::string::npos)
                    << row.what << ": " << config.error().text;
            }
        }
    }
}

TEST(PortConfig, HypervisorOfAnyNetworkHasItsCipher)
{
    nvo3_port_options options = good();
    nva(options);
    options.remote_ip = "192.0.2.2";
    options.nvo3_role = "hypervisor";
    options.security_level = "high";
    auto config = parse_port("hv7", options);
    ASSERT_TRUE(config.ok());
    EXPECT_FALSE(config->from_nva);
    EXPECT_TRUE(config->carries(base::Vni(5001)));
    EXPECT_EQ(config->remote, *base::IpAddress::parse("192.0.2.2"));
    EXPECT_EQ(config->cipher, esp::Cipher::aes256gcm);
}

TEST(PortConfig, Values)
{
    nvo3_port_options options = good();
    options.in_key = "flow";
    options.out_key = "7";
    options.nvo3_vnis = "5,0x10,5";
    options.security_level = "integrity";
    options.replay_window = "64";
    auto config = parse_port("tun2", options);
    ASSERT_TRUE(config.ok());
    EXPECT_EQ(config->vnis, (std::vector{base::Vni(5), base::Vni(7), base::Vni(16)}));
    EXPECT_TRUE(config->key_flow);
    EXPECT_EQ(config->cipher, esp::Cipher::aes128gmac);
    EXPECT_EQ(config->replay_window, 64u);
}

}  // namespace
}  // namespace nvo3::engine
