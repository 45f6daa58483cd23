// SPDX-License-Identifier: Apache-2.0
//
// Test program: speaks to the SA socket of a switch in the place of the agent.
//
//   sa_inject SOCKET install NAME=VALUE...     installs an SA
//     direction=inbound|outbound spi=N remote=IP [local=IP] [group=IP] [encap=geneve|vxlan] vni=N key=HEX [cipher=aes128gcm]
//     [esn=1; 0 in a group] [window=1024] [soft_packets=N] [hard_packets=N] [soft_bytes=N] [hard_bytes=N] [hard_seconds=N] [generation=N]
//   sa_inject SOCKET remove NAME=VALUE...      direction= spi= remote= [encap=geneve] vni=
//   sa_inject SOCKET remove-peer NAME=VALUE... remote=
//   sa_inject SOCKET list                      one line for each SA
//   sa_inject SOCKET watch SECONDS             prints what the switch reports
//
// 'key' is the key followed by the salt.  It stands on the command line, where
// everybody on the host can read it: never a key that protects anything.
// Place: tests only, never installed.  Threads: one.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>

#include "base/unique_fd.h"
#include "esp/sa_protocol.h"

namespace {

using namespace nvo3;
using Arguments = std::map<std::string, std::string>;

[[noreturn]] void
fail(const std::string& text)
{
    throw std::runtime_error(text);
}

template <class T>
T
must(base::Result<T> result)
{
    if (!result.ok()) {
        fail(result.error().text);
    }
    return std::move(result).value();
}

uint64_t
number(const Arguments& arguments, const char* name, std::optional<uint64_t> fallback)
{
    auto found = arguments.find(name);
    if (found != arguments.end()) {
        return std::stoull(found->second, nullptr, 0);
    }
    return fallback ? *fallback : (fail(std::string("missing ") + name + "="), 0);
}

std::string
text(const Arguments& arguments, const char* name, std::optional<std::string> fallback)
{
    auto found = arguments.find(name);
    if (found != arguments.end()) {
        return found->second;
    }
    return fallback ? *fallback : (fail(std::string("missing ") + name + "="), "");
}

base::Secret
key_from_hex(const std::string& hex)
{
    base::Secret key(hex.size() / 2);
    for (size_t i = 0; i < key.size(); i++) {
        key.data()[i] = static_cast<uint8_t>(std::stoul(hex.substr(2 * i, 2), nullptr, 16));
    }
    return key;
}

esp::SaDirection
direction(const Arguments& arguments)
{
    return text(arguments, "direction", {}) == "outbound" ? esp::SaDirection::outbound : esp::SaDirection::inbound;
}

esp::SaConfig
sa_config(const Arguments& arguments)
{
    esp::SaConfig sa;
    sa.direction = direction(arguments);
    sa.spi = base::Spi(static_cast<uint32_t>(number(arguments, "spi", {})));
    sa.remote = must(base::IpAddress::parse(text(arguments, "remote", {})));
    if (arguments.contains("local")) {
        sa.local = must(base::IpAddress::parse(text(arguments, "local", {})));
    }
    if (arguments.contains("group")) {
        sa.group = must(base::IpAddress::parse(text(arguments, "group", {})));
    }
    sa.encap = must(base::parse_encap(text(arguments, "encap", "geneve")));
    sa.vni = must(base::Vni::parse(text(arguments, "vni", {})));
    sa.cipher = must(esp::cipher_from_name(text(arguments, "cipher", "aes128gcm")));
    sa.esn = number(arguments, "esn", sa.of_group() ? 0 : 1) != 0;
    sa.replay_window = static_cast<uint32_t>(number(arguments, "window", 1024));
    sa.limits.soft_packets = number(arguments, "soft_packets", 0);
    sa.limits.hard_packets = number(arguments, "hard_packets", 0);
    sa.limits.soft_bytes = number(arguments, "soft_bytes", 0);
    sa.limits.hard_bytes = number(arguments, "hard_bytes", 0);
    sa.limits.hard_seconds = static_cast<uint32_t>(number(arguments, "hard_seconds", 0));
    sa.generation = static_cast<uint32_t>(number(arguments, "generation", 1));
    sa.key = key_from_hex(text(arguments, "key", {}));
    return sa;
}

class Connection {
public:
    explicit Connection(const char* path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (std::strlen(path) >= sizeof address.sun_path) {
            fail(std::string(path) + ": too long for a socket");
        }
        std::strcpy(address.sun_path, path);
        if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address)) {
            fail(std::string(path) + ": " + std::strerror(errno));
        }
        send(esp::msg::AgentHello{esp::kSaProtocolVersion, static_cast<uint64_t>(::getpid())});
    }

    void send(const esp::SaMessage& message)
    {
        base::Secret octets = esp::encode(message);
        if (::write(fd_.get(), octets.data(), octets.size()) != static_cast<ssize_t>(octets.size())) {
            fail(std::string("writing: ") + std::strerror(errno));
        }
    }

    // The next message, nothing when 'deadline' has passed.
    std::optional<esp::SaMessage> receive(std::chrono::steady_clock::time_point deadline)
    {
        for (;;) {
            if (auto message = must(reader_.next())) {
                return message;
            }
            auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
            pollfd poll{fd_.get(), POLLIN, 0};
            if (left.count() <= 0 || ::poll(&poll, 1, static_cast<int>(left.count())) == 0) {
                return {};
            }
            ssize_t size = ::read(fd_.get(), reader_.space(), reader_.space_size());
            if (size <= 0) {
                fail("the switch has closed the connection");
            }
            reader_.added(static_cast<size_t>(size));
        }
    }

private:
    base::UniqueFd fd_;
    esp::SaMessageReader reader_;
};

void
print(const esp::SaMessage& message)
{
    if (auto* sa = std::get_if<esp::msg::SaRecord>(&message)) {
        const std::string group = sa->group.is_unspecified() ? "" : " group=" + sa->group.to_string();
        std::printf("sa %s spi=%s remote=%s%s encap=%s vni=%u cipher=%s generation=%u packets=%llu bytes=%llu\n",
                    esp::to_string(sa->direction), base::to_string(sa->spi).c_str(), sa->remote.to_string().c_str(), group.c_str(),
                    base::to_string(sa->encap), sa->vni.value, esp::to_string(sa->cipher), sa->generation,
                    static_cast<unsigned long long>(sa->packets), static_cast<unsigned long long>(sa->bytes));
    } else if (auto* acquire = std::get_if<esp::msg::Acquire>(&message)) {
        std::printf("acquire remote=%s encap=%s vni=%u\n", acquire->remote.to_string().c_str(),
                    base::to_string(acquire->encap), acquire->vni.value);
    } else if (auto* expiring = std::get_if<esp::msg::SaExpiring>(&message)) {
        std::printf("expiring %s spi=%s reason=%s\n", esp::to_string(expiring->direction),
                    base::to_string(expiring->spi).c_str(), esp::to_string(expiring->reason));
    } else if (auto* alarm = std::get_if<esp::msg::Alarm>(&message)) {
        std::printf("alarm %s remote=%s spi=%s expected=%u seen=%u count=%llu\n", esp::to_string(alarm->reason),
                    alarm->remote.to_string().c_str(), base::to_string(alarm->spi).c_str(), alarm->vni_expected.value,
                    alarm->vni_seen.value, static_cast<unsigned long long>(alarm->count));
    }
    std::fflush(stdout);
}

// Prints until the answer to the request has come.
void
await_result(Connection& connection)
{
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (auto message = connection.receive(deadline)) {
        if (auto* result = std::get_if<esp::msg::Result>(&*message)) {
            if (result->error) {
                fail(std::string(std::strerror(static_cast<int>(result->error))) + ": " + result->text);
            }
            return;
        }
        print(*message);
    }
    fail("no answer within 5 s");
}

void
run(int argc, char* argv[])
{
    if (argc < 3) {
        fail("usage: sa_inject SOCKET install|remove|remove-peer|list|watch ...");
    }
    const std::string command = argv[2];
    Arguments arguments;
    for (int i = 3; i < argc; i++) {
        std::string argument = argv[i];
        size_t equals = argument.find('=');
        arguments[argument.substr(0, equals)] = equals == std::string::npos ? "" : argument.substr(equals + 1);
    }

    Connection connection(argv[1]);
    if (command == "install") {
        connection.send(esp::msg::InstallSa{1, sa_config(arguments)});
    } else if (command == "remove") {
        connection.send(esp::msg::RemoveSa{1, direction(arguments),
                                           base::Spi(static_cast<uint32_t>(number(arguments, "spi", {}))),
                                           must(base::IpAddress::parse(text(arguments, "remote", {}))),
                                           must(base::parse_encap(text(arguments, "encap", "geneve"))),
                                           must(base::Vni::parse(text(arguments, "vni", {})))});
    } else if (command == "remove-peer") {
        connection.send(esp::msg::RemovePeer{1, must(base::IpAddress::parse(text(arguments, "remote", {})))});
    } else if (command == "list") {
        connection.send(esp::msg::ListSas{1});
    } else if (command == "watch") {
        auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(argc > 3 ? std::atoi(argv[3]) : 5);
        while (auto message = connection.receive(deadline)) {
            print(*message);
        }
        return;
    } else {
        fail("unknown command " + command);
    }
    await_result(connection);
}

}  // namespace

int
main(int argc, char* argv[])
{
    try {
        run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "sa_inject: %s\n", error.what());
        return 1;
    }
    return 0;
}
