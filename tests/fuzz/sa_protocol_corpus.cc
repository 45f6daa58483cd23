// SPDX-License-Identifier: Apache-2.0
//
// Writes the corpus of sa_protocol_fuzz.cc into the directory that is its
// argument: each kind of message as decode() takes it and as it is in a stream.
// Run it by hand after a change of the protocol.
#include <cstdio>
#include <fstream>
#include <string>

#include "esp/sa_protocol.h"

namespace {

using namespace nvo3;
using namespace nvo3::esp;

void
write(const std::string& path, base::ByteView data)
{
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(data.data()),
              static_cast<std::streamsize>(data.size()));
}

msg::InstallSa
install(SaDirection direction, Cipher cipher, size_t key_size)
{
    msg::InstallSa message;
    message.request = 1;
    message.sa.direction = direction;
    message.sa.spi = base::Spi(0x1001);
    message.sa.remote = *base::IpAddress::parse("192.0.2.2");
    message.sa.encap = base::Encap::geneve;
    message.sa.vni = base::Vni(5001);
    message.sa.cipher = cipher;
    message.sa.esn = true;
    message.sa.replay_window = 1024;
    message.sa.limits.hard_seconds = 3600;
    message.sa.key = base::Secret(key_size);
    return message;
}

msg::InstallSa
install_group()
{
    msg::InstallSa message = install(SaDirection::inbound, Cipher::aes128gcm, 20);
    message.sa.spi = base::Spi(base::Spi::kFirstOfGroups);
    message.sa.group = *base::IpAddress::parse("239.1.1.1");
    message.sa.esn = false;
    return message;
}

}  // namespace

int
main(int argc, char* argv[])
{
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    const std::string directory = std::string(argv[1]) + "/";
    const base::IpAddress v4 = *base::IpAddress::parse("192.0.2.2");
    const base::IpAddress v6 = *base::IpAddress::parse("2001:db8::2");
    const SaMessage messages[] = {
        msg::AgentHello{kSaProtocolVersion, 1},
        install(SaDirection::inbound, Cipher::aes128gcm, 20),
        install(SaDirection::outbound, Cipher::aes256gmac, 36),
        msg::RemoveSa{2, SaDirection::inbound, base::Spi(0x1001), v4, base::Encap::vxlan, base::Vni(5001)},
        msg::RemovePeer{3, v6},
        msg::ListSas{4},
        msg::PortStatus{"tun2", "up", "hv2", ""},
        msg::SwitchHello{kSaProtocolVersion, 2, "ipsec-mb"},
        msg::Result{5, 17, "taken"},
        msg::SaRecord{},
        msg::Acquire{v4, v6, base::Encap::vxlan, base::Vni(1)},
        msg::SaExpiring{},
        msg::Alarm{},
        install_group(),
        msg::ServedNetworks{{base::Vni(5001), base::Vni(5002)}},
        msg::GuardNotice{"br-int", "tcp:192.0.2.1", "sets_unserved_vni", "a flow", true, 2},
    };
    base::Bytes stream;
    for (size_t i = 0; i < std::size(messages); i++) {
        const base::Secret wire = encode(messages[i]);
        write(directory + "message-" + std::to_string(i), wire.view().subspan(4));
        stream.insert(stream.end(), wire.view().begin(), wire.view().end());
    }
    write(directory + "stream-all", stream);
    write(directory + "stream-cut", base::ByteView(stream).first(stream.size() / 2));
    write(directory + "stream-size-zero", base::Bytes{0, 0, 0, 0});
    write(directory + "stream-size-huge", base::Bytes{0xff, 0xff, 0xff, 0xff, 1});
    return 0;
}
