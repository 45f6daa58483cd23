// SPDX-License-Identifier: Apache-2.0
//
// esp_tool: the switch's ESP (lib/esp) as a program, for tests that hold it
// against other implementations.  Not installed: its SAs, keys included, come
// from standard input.  One request a line, one answer a line:
//
//     sa direction=in|out spi=N remote=IP cipher=NAME key=HEX [local=IP]
//        [esn=on|off] [vni=N] [encap=NAME] [window=N] [sequence=N]
//                                  ok | error SENTENCE
//     seal REMOTE ENCAP VNI HEX    frame HEX | drop REASON | error SENTENCE
//     open ENCAP HEX               frame HEX | drop REASON | error SENTENCE
//
// 'sequence' is the first number that an outbound SA sends.  'seal' takes an
// inner Ethernet frame, 'open' an outer one; what open gives is the clear tunnel
// packet.  $NVO3_AEAD chooses the library, as in the switch.
// Place: tests.  Threads: one.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "esp/aead.h"
#include "esp/decap.h"
#include "esp/encap.h"
#include "esp/sad.h"
#include "esp/wire.h"

namespace {

using namespace nvo3;
using base::Bytes;
using base::Error;
using base::Result;

// Room around a frame in its buffer; any amount that is enough will do.
constexpr size_t kRoom = 256;
constexpr uint16_t kEntropy = 50000;

struct FreeAtOnce final : esp::Reclaimer {
    void retire(void* p, void (*destroy)(void*)) override { destroy(p); }
};

// What the switch's route lookup and Open vSwitch's own header builder know.
struct Outbound {
    base::IpAddress remote;
    base::IpAddress local;
    uint16_t peer;
};

struct Tool {
    FreeAtOnce reclaimer;
    esp::Sad sad{reclaimer};
    const esp::AeadLibrary* library = nullptr;
    std::map<base::IpAddress, Outbound> peers;
};

Result<Bytes>
from_hex(const std::string& text)
{
    Bytes data;
    if (text.size() % 2) {
        return Error{EINVAL, "odd number of hexadecimal digits"};
    }
    for (size_t i = 0; i < text.size(); i += 2) {
        const std::string digits = text.substr(i, 2);
        char* end;
        const unsigned long value = std::strtoul(digits.c_str(), &end, 16);
        if (*end) {
            return Error{EINVAL, "'" + digits + "' is not hexadecimal"};
        }
        data.push_back(static_cast<uint8_t>(value));
    }
    return data;
}

// Sets one NAME=VALUE of an 'sa' request.
base::Status
set_parameter(esp::SaConfig& config, uint64_t& sequence, const std::string& name, const std::string& value)
{
    const auto number = [&](auto assign) -> base::Status {
        auto parsed = base::parse_number(value, UINT64_MAX);
        if (!parsed) {
            return parsed.error();
        }
        assign(*parsed);
        return {};
    };
    const auto take = [](auto result, auto& target) -> base::Status {
        if (!result) {
            return result.error();
        }
        target = std::move(*result);
        return {};
    };

    if (name == "direction") {
        config.direction = value == "out" ? esp::SaDirection::outbound : esp::SaDirection::inbound;
        return {};
    } else if (name == "spi") {
        return number([&](uint64_t n) { config.spi = base::Spi{static_cast<uint32_t>(n)}; });
    } else if (name == "vni") {
        return number([&](uint64_t n) { config.vni = base::Vni{static_cast<uint32_t>(n)}; });
    } else if (name == "window") {
        return number([&](uint64_t n) { config.replay_window = static_cast<uint32_t>(n); });
    } else if (name == "sequence") {
        return number([&](uint64_t n) { sequence = n; });
    } else if (name == "esn") {
        config.esn = value == "on";
        return {};
    } else if (name == "remote") {
        return take(base::IpAddress::parse(value), config.remote);
    } else if (name == "local") {
        return take(base::IpAddress::parse(value), config.local);
    } else if (name == "encap") {
        return take(base::parse_encap(value), config.encap);
    } else if (name == "cipher") {
        return take(esp::cipher_from_name(value), config.cipher);
    } else if (name == "key") {
        auto key = from_hex(value);
        if (!key) {
            return key.error();
        }
        config.key = base::Secret(base::ByteView(*key));
        return {};
    }
    return Error{EINVAL, "unknown parameter " + name};
}

base::Status
add_sa(Tool& tool, std::istream& words)
{
    esp::SaConfig config;
    uint64_t sequence = 1;
    for (std::string word; words >> word;) {
        const size_t equals = word.find('=');
        const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
        if (auto status = set_parameter(config, sequence, word.substr(0, equals), value); !status) {
            return status;
        }
    }
    auto sa = esp::SaRuntime::make(config, *tool.library, std::chrono::steady_clock::now());
    if (!sa) {
        return sa.error();
    }
    if (config.direction == esp::SaDirection::inbound) {
        return tool.sad.add_inbound(std::move(*sa));
    }
    // As if so many packets had been sent.
    if (sequence > 1 && (*sa)->reserve(sequence - 1).count != sequence - 1) {
        return Error{EINVAL, "the SA has no sequence number " + std::to_string(sequence)};
    }
    const auto index = static_cast<uint16_t>(tool.peers.size() + 1);
    const auto [peer, is_new] = tool.peers.try_emplace(config.remote, Outbound{config.remote, config.local, index});
    static_cast<void>(is_new);
    return tool.sad.set_outbound(peer->second.peer, std::move(*sa));
}

// The header as Open vSwitch prebuilds it for a flow: lengths and the IPv4
// checksum are for the packet's own push to fill in.
Bytes
prebuilt_header(const Outbound& peer, base::Encap encap, base::Vni vni)
{
    const bool ipv6 = !peer.remote.is_v4();
    base::ByteWriter out;
    out.bytes(Bytes{0x0a, 0, 0, 0, 0, 2, 0x0a, 0, 0, 0, 0, 1});
    out.u16(ipv6 ? esp::kEtherTypeIpv6 : esp::kEtherTypeIpv4);
    if (ipv6) {
        out.u32(0x60000000);
        out.u16(0);
        out.u8(esp::kProtocolUdp);
        out.u8(64);
    } else {
        out.u32(0x45000000);
        out.u32(0x00004000);    // don't fragment
        out.u8(64);
        out.u8(esp::kProtocolUdp);
        out.u16(0);
    }
    out.bytes(peer.local.wire());
    out.bytes(peer.remote.wire());
    out.u16(peer.peer);
    out.u16(esp::outer_port(encap));
    out.u32(0);
    if (encap == base::Encap::geneve) {
        out.u16(0);
        out.u16(esp::kGeneveProtocolEthernet);
    } else {
        out.u32(0x08000000);
    }
    out.u32(vni.value << 8);
    return out.take();
}

// Prints what became of a frame.
void
answer(const esp::Frame& frame)
{
    if (frame.outcome == esp::Outcome::passed) {
        std::cout << "frame " << base::to_hex({frame.data, frame.size}) << std::endl;
    } else if (frame.outcome == esp::Outcome::dummy) {
        std::cout << "drop dummy" << std::endl;
    } else {
        std::cout << "drop " << to_string(frame.reason) << std::endl;
    }
}

// A frame in the middle of 'buffer'.
esp::Frame
place(Bytes& buffer, const Bytes& data)
{
    buffer.assign(data.size() + 2 * kRoom, 0);
    std::copy(data.begin(), data.end(), buffer.begin() + kRoom);
    esp::Frame frame;
    frame.data = buffer.data() + kRoom;
    frame.size = static_cast<uint32_t>(data.size());
    frame.headroom = frame.tailroom = kRoom;
    frame.entropy = kEntropy;
    return frame;
}

base::Status
seal(Tool& tool, std::istream& words)
{
    std::string remote_text, encap_text, vni_text, hex;
    words >> remote_text >> encap_text >> vni_text >> hex;
    auto remote = base::IpAddress::parse(remote_text);
    auto encap = base::parse_encap(encap_text);
    auto vni = base::Vni::parse(vni_text);
    auto data = from_hex(hex);
    if (!remote || !encap || !vni || !data) {
        return Error{EINVAL, "not: seal REMOTE ENCAP VNI HEX"};
    }
    Bytes buffer;
    esp::Frame frame = place(buffer, *data);
    const auto peer = tool.peers.find(*remote);
    esp::SaRuntime* sa = peer == tool.peers.end() ? nullptr : tool.sad.outbound(peer->second.peer, *encap, *vni);
    if (!sa) {
        frame.drop(esp::DropReason::no_sa);
    } else {
        const Bytes header = prebuilt_header(peer->second, *encap, *vni);
        esp::HeaderInfo info;
        if (!parse_header(*encap, header, info)) {
            return Error{EINVAL, "lib/esp does not take the prebuilt header"};
        }
        seal(*sa, header, info, &frame, 1);
    }
    answer(frame);
    return {};
}

base::Status
open(Tool& tool, std::istream& words)
{
    std::string encap_text, hex;
    words >> encap_text >> hex;
    auto encap = base::parse_encap(encap_text);
    auto data = from_hex(hex);
    if (!encap || !data) {
        return Error{EINVAL, "not: open ENCAP HEX"};
    }
    Bytes buffer;
    esp::Frame frame = place(buffer, *data);
    const bool ipv6 = data->size() > 13 && esp::load_be<uint16_t>(data->data() + 12) == esp::kEtherTypeIpv6;
    frame.l3_ofs = esp::kEthernetSize;
    frame.l4_ofs = static_cast<uint16_t>(frame.l3_ofs + (ipv6 ? esp::kIpv6Size : esp::kIpv4Size));
    open(tool.sad, *encap, &frame, 1);
    answer(frame);
    return {};
}

base::Status
handle(Tool& tool, const std::string& line)
{
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (verb == "sa") {
        auto status = add_sa(tool, words);
        if (status) {
            std::cout << "ok" << std::endl;
        }
        return status;
    } else if (verb == "seal") {
        return seal(tool, words);
    } else if (verb == "open") {
        return open(tool, words);
    }
    return Error{EINVAL, "unknown request"};
}

}  // namespace

int
main()
{
    Tool tool;
    const char* choice = std::getenv("NVO3_AEAD");
    auto library = esp::choose_aead_library(choice ? choice : "");
    if (!library) {
        std::cerr << "esp_tool: " << library.error().text << std::endl;
        return 1;
    }
    tool.library = *library;
    for (std::string line; std::getline(std::cin, line);) {
        if (auto status = handle(tool, line); !status) {
            std::cout << "error " << status.error().text << std::endl;
        }
    }
    return 0;
}
