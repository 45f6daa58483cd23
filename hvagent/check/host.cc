// SPDX-License-Identifier: Apache-2.0
//
// See check.h: sockets, the switch that runs, kernel, CPU, uplinks.
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/unique_fd.h"
#include "esp/sa_protocol.h"
#include "hvagent/check/check.h"

namespace nvo3::agent {
namespace {

using Grade = Finding::Grade;

constexpr const char* kAlternative = "/etc/alternatives/ovs-vswitchd";
constexpr std::string_view kOurs = "/openvswitch-switch-nvo3/";
const char* const kChoose = "update-alternatives --set ovs-vswitchd /usr/lib/openvswitch-switch-nvo3/ovs-vswitchd && systemctl restart openvswitch-switch";
#ifndef AF_XDP
constexpr int AF_XDP = 44;
#endif

// 0, or why there is no connection.
int try_connect(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return 0;       // OVS has a way around that; the database tells
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return fd && connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

// Of a daemon that runs; 0: none.
pid_t running(const std::string& pidfile)
{
    std::ifstream file(pidfile);
    pid_t pid = 0;
    file >> pid;
    struct stat status {};
    return pid > 0 && stat(("/proc/" + std::to_string(pid)).c_str(), &status) == 0 ? pid : 0;
}

std::string link_target(const std::string& path)
{
    std::error_code error;
    return std::filesystem::read_symlink(path, error).string();
}

std::string first_word(const std::string& path)
{
    std::ifstream file(path);
    std::string word;
    file >> word;
    return word;
}

class HostChecker {
public:
    HostChecker(const Facts& facts, const std::string& rundir, Findings& out) : facts_(facts), rundir_(rundir), out_(out) {}

    void directory()
    {
        struct stat status {};
        if (stat(rundir_.c_str(), &status) != 0) {
            return add(Grade::fail, "run directory", rundir_ + ": " + std::strerror(errno), "start openvswitch-switch, which makes it");
        }
        if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
            return add(Grade::fail, "run directory", rundir_ + " may be written by others, who could put their own sockets there", "chmod go-w " + rundir_);
        }
        add(Grade::ok, "run directory", rundir_);
    }

    void database()
    {
        int error = facts_.database.starts_with("unix:") ? try_connect(facts_.database.substr(5)) : 0;
        if (error == EACCES) {
            return add(Grade::fail, "database", facts_.database + ": " + std::strerror(error), "run this as root");
        }
        if (error != 0 || !facts_.reached) {
            return add(Grade::fail, "database", facts_.database + ": " + (error != 0 ? std::strerror(error) : "no answer"), "start ovsdb-server (systemctl start openvswitch-switch)");
        }
        add(Grade::ok, "database", facts_.database);
    }

    void sa_socket()
    {
        const std::string path = rundir_ + "/" + esp::kSaSocketName;
        struct stat status {};
        if (stat(path.c_str(), &status) != 0) {
            if (errno == ENOENT) {
                return add(Grade::fail, "SA socket", path + " is not there: no switch of ovs-nvo3 has made it", "start that switch; see the line of ovs-vswitchd");
            }
            return add(Grade::fail, "SA socket", path + ": " + std::strerror(errno), "run this as root");
        }
        if (!S_ISSOCK(status.st_mode)) {
            return add(Grade::fail, "SA socket", path + " is no socket", "remove it and restart ovs-vswitchd");
        }
        if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
            return add(Grade::fail, "SA socket", path + " is open to others than its owner", "chmod 600 " + path);
        }
        // Not a connection: the switch has one agent.
        if (faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK, AT_EACCESS) != 0) {
            return add(Grade::fail, "SA socket", path + ": " + std::strerror(errno), "run hvagent as root or as the owner of that file, which ovs-vswitchd runs as");
        }
        add(Grade::ok, "SA socket", path);
    }

    void daemons()
    {
        if (running(rundir_ + "/hvagent.pid") != 0) {
            add(Grade::ok, "hvagent", "runs");
        } else {
            add(Grade::warn, "hvagent", "does not run, so that no keys are agreed", "systemctl start hvagent");
        }
    }

    void switch_daemon()
    {
        const pid_t pid = running(rundir_ + "/ovs-vswitchd.pid");
        if (pid == 0) {
            return add(Grade::fail, "ovs-vswitchd", "does not run", "systemctl start openvswitch-switch, and its log");
        }
        std::string program = link_target("/proc/" + std::to_string(pid) + "/exe");
        const bool replaced = program.ends_with(" (deleted)");
        program = replaced ? program.substr(0, program.size() - std::strlen(" (deleted)")) : program;
        const std::string name = program.empty() ? "process " + std::to_string(pid) : program;
        const bool ours = std::ranges::find(facts_.datapath_types, "nvo3") != facts_.datapath_types.end();
        const std::string chosen = link_target(kAlternative);
        if (facts_.reached && !ours && chosen.find(kOurs) != chosen.npos) {
            return add(Grade::fail, "ovs-vswitchd", name + " runs, which knows no datapath type nvo3, though that of ovs-nvo3 is chosen", "systemctl restart openvswitch-switch");
        }
        if (facts_.reached && !ours) {
            return add(Grade::fail, "ovs-vswitchd", name + " runs, which knows no datapath type nvo3: a stock switch", kChoose);
        }
        if (replaced) {
            return add(Grade::warn, "ovs-vswitchd", name + " was replaced since it was started", "systemctl restart openvswitch-switch, when it suits: SAs are agreed anew within seconds");
        }
        if (program.find(kOurs) != program.npos && !chosen.empty() && chosen.find(kOurs) == chosen.npos) {
            return add(Grade::warn, "ovs-vswitchd", name + " runs, but " + chosen + " is chosen for its next start", kChoose);
        }
        add(Grade::ok, "ovs-vswitchd", name);
    }

    void kernel()
    {
        utsname name{};
        uname(&name);
        if (access("/dev/net/tun", F_OK) != 0) {
            add(Grade::fail, "kernel", "/dev/net/tun is not there, without which bridges have no interface of their own", "modprobe tun");
        }
        base::UniqueFd probe(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
        const bool xdp = probe || (errno != EAFNOSUPPORT && errno != EINVAL);
        const bool wanted = std::ranges::any_of(facts_.interfaces, [](const InterfaceFact& i) { return i.type.starts_with("afxdp"); });
        if (!xdp && wanted) {
            return add(Grade::fail, "kernel", std::string(name.release) + " has no AF_XDP, which a port of type afxdp needs", "another kernel, or ports without a type");
        }
        add(Grade::ok, "kernel", std::string(name.release) + (xdp ? ", with AF_XDP" : ", without AF_XDP: AF_PACKET is used"));
    }

    void cpu()
    {
        std::string has;
#if defined(__x86_64__)
        const auto feature = [&](bool there, const char* word) { has += there ? (has.empty() ? "" : ", ") + std::string(word) : ""; };
        feature(__builtin_cpu_supports("aes"), "AES-NI");
        feature(__builtin_cpu_supports("vaes"), "VAES");
        feature(__builtin_cpu_supports("avx512f"), "AVX-512");
#elif defined(__aarch64__)
        has = (getauxval(AT_HWCAP) & (1ul << 3)) != 0 ? "AES instructions" : "";     // HWCAP_AES
#else
        has = "of a kind whose instructions are not known here";
#endif
        if (has.empty()) {
            return add(Grade::warn, "CPU", "no AES instructions: AES-GCM is slow here", "options:cipher=chacha20poly1305, or a VM with the CPU model of its host");
        }
        add(Grade::ok, "CPU", has);
    }

private:
    void add(Grade grade, const std::string& thing, const std::string& what, const std::string& fix = "") { out_.push_back({grade, thing, what, fix}); }

    const Facts& facts_;
    const std::string& rundir_;
    Findings& out_;
};

// {interface: an address of the host that is on it, but for link-local ones}.
std::map<std::string, std::string> addresses()
{
    std::map<std::string, std::string> found;
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) {
        return found;
    }
    for (const ifaddrs* one = list; one; one = one->ifa_next) {
        char text[INET6_ADDRSTRLEN] = "";
        if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET) {
            inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr, text, sizeof text);
        } else if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET6) {
            const auto& v6 = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr)->sin6_addr;
            if (!IN6_IS_ADDR_LINKLOCAL(&v6)) {
                inet_ntop(AF_INET6, &v6, text, sizeof text);
            }
        }
        if (text[0]) {
            found.try_emplace(one->ifa_name, text);
        }
    }
    freeifaddrs(list);
    return found;
}

bool answers_for_others(const std::string& interface)
{
    const std::string base = "/proc/sys/net/ipv4/conf/";
    return first_word(base + interface + "/arp_ignore") == "0" && first_word(base + "all/arp_ignore") == "0";
}

}  // namespace

void check_host(const Facts& facts, const std::string& rundir, Findings& out)
{
    HostChecker checker(facts, rundir, out);
    checker.database();
    checker.directory();
    checker.switch_daemon();
    checker.sa_socket();
    checker.daemons();
    checker.kernel();
    checker.cpu();
}

void check_uplinks(const Facts& facts, const Config& config, Findings& out)
{
    const auto own = addresses();
    for (const InterfaceFact& interface : facts.interfaces) {
        const bool of_underlay = interface.bridge_type == "nvo3" && interface.bridge != config.bridge && interface.name != interface.bridge &&
                                 !is_tunnel(interface) && interface.type != "patch" && interface.type != "internal";
        if (!of_underlay || if_nametoindex(interface.name.c_str()) == 0) {
            continue;
        }
        const std::string thing = "uplink " + interface.name;
        if (auto address = own.find(interface.name); address != own.end()) {
            out.push_back({Grade::fail, thing, "has the address " + address->second + ", which the kernel answers for beside the switch",
                           "ip addr flush dev " + interface.name + ", and the address on " + interface.bridge});
        } else if (!own.contains(interface.bridge)) {
            continue;       // a bridge of VMs, as there may be several: nobody asks for its address
        } else if (answers_for_others(interface.name)) {
            out.push_back({Grade::fail, thing, "answers ARP for the address of " + interface.bridge + ", so that packets pass the switch by",
                           "sysctl -w net.ipv4.conf." + interface.name + ".arp_ignore=1"});
        } else {
            out.push_back({Grade::ok, thing, "has no address of its own, on " + interface.bridge, ""});
        }
    }
}

}  // namespace nvo3::agent
