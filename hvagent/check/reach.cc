// SPDX-License-Identifier: Apache-2.0
//
// See check.h: whether those that this host must talk to answer, and who they are.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/ssl/error.hpp>
#include <cerrno>
#include <cstring>
#include <set>
#include <thread>

#include "base/unique_fd.h"
#include "control/endpoint.h"
#include "esp/wire.h"
#include "hvagent/check/check.h"

namespace nvo3::agent {
namespace {

using Grade = Finding::Grade;

constexpr int kPatienceMs = 3000;
constexpr size_t kAtOnce = 16;
constexpr size_t kMaxTargets = 512;
const char* const kTcpFix = "is its daemon running, and does every firewall between let TCP through to this port?";

control::Endpoint endpoint(const base::IpAddress& address, uint16_t port)
{
    return {control::to_asio(address), port};
}

// 0, or why the descriptor is not ready: ETIMEDOUT, or what the socket says.
int wait_for(int fd, short events)
{
    pollfd ready{fd, events, 0};
    if (poll(&ready, 1, kPatienceMs) <= 0) {
        return ETIMEDOUT;
    }
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

class Call {
public:
    explicit Call(const Target& target) : target_(target) {}

    Finding run()
    {
        if (int error = connect(); error != 0) {
            return {Grade::fail, target_.thing, std::string("no TCP connection: ") + std::strerror(error),
                    error == ENETUNREACH || error == EHOSTUNREACH ? "ip route get, and the address of the underlay bridge" : kTcpFix};
        }
        if (!target_.context) {
            return {Grade::ok, target_.thing, "takes TCP connections; who it is was not asked, for want of credentials", ""};
        }
        Finding finding = handshake();
        if (finding.grade == Grade::ok) {
            compare_mtu(finding);
        }
        return finding;
    }

private:
    int connect()
    {
        const control::Endpoint remote = endpoint(target_.remote, target_.port);
        fd_ = base::UniqueFd(socket(remote.data()->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!fd_) {
            return errno;
        }
        if (!target_.local.is_unspecified()) {
            const control::Endpoint local = endpoint(target_.local, 0);
            if (bind(fd_.get(), local.data(), local.size()) != 0) {
                return errno;
            }
        }
        if (::connect(fd_.get(), remote.data(), remote.size()) != 0 && errno != EINPROGRESS) {
            return errno;
        }
        return wait_for(fd_.get(), POLLOUT);
    }

    // Own address of the connection, to which a pre-shared key is bound.
    base::IpAddress own_address() const
    {
        control::Endpoint own;
        auto size = static_cast<socklen_t>(own.capacity());
        getsockname(fd_.get(), own.data(), &size);
        own.resize(size);
        return control::to_ip_address(own.address());
    }

    Finding handshake()
    {
        control::HandshakeRecord record;
        record.client = own_address();
        record.server = target_.remote;
        std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(target_.context->native()), SSL_free);
        BIO* from_peer = BIO_new(BIO_s_mem());
        BIO* to_peer = BIO_new(BIO_s_mem());
        SSL_set_bio(ssl.get(), from_peer, to_peer);
        SSL_set_connect_state(ssl.get());
        control::attach_record(ssl.get(), &record);
        // In memory, as what proves this host, which the last step makes, stays here.
        std::array<uint8_t, 16384> buffer;
        for (;;) {
            ERR_clear_error();
            const int done = SSL_do_handshake(ssl.get());
            if (done == 1) {
                break;
            }
            if (SSL_get_error(ssl.get(), done) != SSL_ERROR_WANT_READ) {
                return refused(record);
            }
            for (int n; (n = BIO_read(to_peer, buffer.data(), buffer.size())) > 0;) {
                if (send(fd_.get(), buffer.data(), static_cast<size_t>(n), MSG_NOSIGNAL) != n) {
                    return silent();
                }
            }
            wait_for(fd_.get(), POLLIN);
            const ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), 0);
            if (n <= 0) {
                return silent();
            }
            BIO_write(from_peer, buffer.data(), static_cast<int>(n));
        }
        control::attach_record(ssl.get(), nullptr);
        return judge(record);
    }

    Finding silent() const
    {
        return {Grade::fail, target_.thing, "takes the connection and says nothing", "it does not know this host's address (tunnel port, nve-add), is too busy, or is "
                                                                                     "no daemon of ovs-nvo3; its audit/show tells"};
    }

    Finding refused(const control::HandshakeRecord& record) const
    {
        const boost::system::error_code error(static_cast<int>(ERR_peek_error()), boost::asio::error::get_ssl_category());
        const control::TlsFailure failure = control::describe_tls_error(error, record, *target_.context);
        ERR_clear_error();
        return {Grade::fail, target_.thing, "TLS fails: " + failure.text, "both hosts need certificates of one CA and one trust domain, or the same pre-shared key"};
    }

    Finding judge(const control::HandshakeRecord& record) const
    {
        if (!record.peer) {
            return {Grade::ok, target_.thing, "has the pre-shared key", ""};
        }
        const std::string who = record.peer->name + ", role " + control::to_string(record.peer->role);
        if (record.peer->role != target_.role) {
            return {Grade::fail, target_.thing, "is " + who + ", not of the role " + control::to_string(target_.role), "correct the address, or its certificate"};
        }
        if (!target_.name.empty() && !record.peer->matches_name(target_.name)) {
            return {Grade::fail, target_.thing, "is " + who + ", not " + target_.name, "correct options:remote_name, or its certificate"};
        }
        return {Grade::ok, target_.thing, "is " + who, ""};
    }

    // What the other end says that it can take in one packet is the MTU of its interface.
    void compare_mtu(Finding& finding) const
    {
        tcp_info info{};
        socklen_t size = sizeof info;
        if (getsockopt(fd_.get(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_pmtu == 0) {
            return;
        }
        const uint32_t headers = (target_.remote.is_v4() ? 40 : 60) + ((info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0 ? 12 : 0);
        const uint32_t theirs = info.tcpi_snd_mss + headers;
        if (theirs < info.tcpi_pmtu) {
            finding.grade = Grade::warn;
            finding.what += "; its underlay has an MTU of " + std::to_string(theirs) + ", this host's " + std::to_string(info.tcpi_pmtu);
            finding.fix = "one MTU on all of the underlay, else larger packets of VMs are lost";
        }
    }

    const Target& target_;
    base::UniqueFd fd_;
};

size_t kernel_mtu(const base::IpAddress& remote, const base::IpAddress& local)
{
    const control::Endpoint address = endpoint(remote, esp::outer_port(base::Encap::geneve));
    base::UniqueFd fd(socket(address.data()->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (fd && !local.is_unspecified()) {
        const control::Endpoint own = endpoint(local, 0);
        if (bind(fd.get(), own.data(), own.size()) != 0) {
            return 0;
        }
    }
    int mtu = 0;
    socklen_t size = sizeof mtu;
    const bool v4 = remote.is_v4();
    if (!fd || ::connect(fd.get(), address.data(), address.size()) != 0 ||
        getsockopt(fd.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &size) != 0) {
        return 0;
    }
    return static_cast<size_t>(mtu);
}

std::string place(const base::IpAddress& address, uint16_t port)
{
    return control::to_string(endpoint(address, port));
}

}  // namespace

std::vector<Target> targets_of(const Config& config, const Identity& identity)
{
    std::vector<Target> targets;
    for (const Endpoint& nva : config.nvas) {
        targets.push_back({"NVA " + place(nva.address, nva.port), nva.address, {}, nva.port, identity.certificates, control::Role::nva, ""});
    }
    for (const ExternalNve& nve : config.nves) {
        targets.push_back({"external NVE " + place(nve.endpoint.address, nve.endpoint.port), nve.endpoint.address, {}, nve.endpoint.port, identity.certificates,
                           control::Role::nve, ""});
    }
    std::set<base::IpAddress> seen;
    for (const Tunnel& tunnel : config.tunnels) {
        // Hypervisors call; they do not listen.
        if (tunnel.flow_remote || tunnel.role == control::Role::hypervisor || !seen.insert(tunnel.remote).second) {
            continue;
        }
        auto psk = identity.psk.find(tunnel.psk);
        targets.push_back({"peer " + place(tunnel.remote, config.listen_port) + " of port " + tunnel.port, tunnel.remote, tunnel.local, config.listen_port,
                           tunnel.psk.empty() ? identity.certificates : psk == identity.psk.end() ? nullptr : psk->second, control::Role::nve, tunnel.remote_name});
    }
    targets.resize(std::min(targets.size(), kMaxTargets));
    return targets;
}

void reach_all(const std::vector<Target>& targets, Findings& out)
{
    Findings found(targets.size());
    std::atomic<size_t> next{0};
    std::vector<std::thread> threads;
    for (size_t i = 0; i < std::min(kAtOnce, targets.size()); i++) {
        threads.emplace_back([&] {
            for (size_t at; (at = next++) < targets.size();) {
                found[at] = Call(targets[at]).run();
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    out.insert(out.end(), found.begin(), found.end());
}

std::vector<Underlay> underlays_of(const Config& config)
{
    std::vector<Underlay> underlays;
    auto add = [&](const base::IpAddress& remote, const base::IpAddress& local, base::Encap encap, esp::Cipher cipher) {
        underlays.push_back({remote.to_string(), kernel_mtu(remote, local), !remote.is_v4(), encap, cipher});
    };
    for (const Tunnel& tunnel : config.tunnels) {
        if (!tunnel.flow_remote) {
            add(tunnel.remote, tunnel.local, tunnel.encap, tunnel.cipher);
        }
    }
    for (const ExternalNve& nve : config.nves) {
        add(nve.endpoint.address, {}, base::Encap::geneve, nve.cipher);
    }
    // Peers that the NVA will name are reached by the same underlay as it, as far as can be told here.
    for (const Endpoint& nva : config.nvas) {
        add(nva.address, {}, base::Encap::geneve, esp::Cipher::aes128gcm);
    }
    return underlays;
}

}  // namespace nvo3::agent
