// SPDX-License-Identifier: Apache-2.0
//
// nvo3-libvirt-hook: what libvirt runs as its hook "qemu".  Hands event and XML to
// hvagent, waits for its answer, and lets libvirt go on or refuses the VM in words.
//
// Never calls libvirt, which holds the domain while a hook runs.  Writes nothing to the
// standard output, which libvirt would take for a domain's new XML.  An event that
// cannot be refused, or must not be (reconnect), always succeeds.
//
// Place: utilities/libvirt-hook, installed to pkglibexecdir.  Thread: one.
#include <nvo3_config.h>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "libvirt-hook/exchange.h"

using namespace nvo3;
using namespace std::chrono_literals;
using hook::Deadline;

namespace {

constexpr const char* kProgram = "nvo3-libvirt-hook";
constexpr size_t kMaxXml = 1 << 20;
constexpr auto kDatabaseTimeout = 2s;
constexpr const char* kUsage =
    "usage: nvo3-libvirt-hook [--timeout=SECONDS] [--target=SOCKET] [--] DOMAIN OPERATION SUB-OPERATION EXTRA <XML\n"
    "Run by libvirt as its hook \"qemu\"; see nvo3-libvirt-hook(8).\n";

struct Options {
    std::chrono::seconds timeout{10};
    std::string target;             // hvagent's control socket; empty: found by its pid file
    std::vector<std::string> arguments;
};

[[noreturn]] void refuse(const std::string& text)
{
    std::fprintf(stderr, "nvo3: %s\n", text.c_str());
    std::exit(EXIT_FAILURE);
}

Options read_options(int argc, char* argv[])
{
    Options options;
    int at = 1;
    // As libvirt calls it there are no options, and a domain may have any name.
    for (; argc != 5 && at < argc && std::string_view(argv[at]).starts_with("--"); at++) {
        const std::string_view word = argv[at];
        if (word == "--") {
            at++;
            break;
        } else if (word == "--help") {
            std::fputs(kUsage, stdout);
            std::exit(EXIT_SUCCESS);
        } else if (word == "--version") {
            std::printf("%s (%s) %s\n", kProgram, PACKAGE_NAME, PACKAGE_VERSION);
            std::exit(EXIT_SUCCESS);
        } else if (word.starts_with("--timeout=")) {
            const auto seconds = base::parse_number(word.substr(10), 3600);
            if (!seconds || *seconds == 0) {
                refuse("--timeout: 1 to 3600 seconds");
            }
            options.timeout = std::chrono::seconds(*seconds);
        } else if (word.starts_with("--target=")) {
            options.target = word.substr(9);
        } else {
            std::fputs(kUsage, stderr);
            std::exit(EXIT_FAILURE);
        }
    }
    options.arguments.assign(argv + at, argv + argc);
    if (options.arguments.size() != 4) {
        std::fputs(kUsage, stderr);
        std::exit(EXIT_FAILURE);
    }
    return options;
}

// The domain's XML; an error if there is too much of it, or it does not end in time.
base::Result<std::string> read_xml(Deadline deadline)
{
    std::string xml;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
        pollfd in{STDIN_FILENO, POLLIN, 0};
        const int n = poll(&in, 1, static_cast<int>(std::clamp<long long>(left, 0, 3600000)));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return base::Error{ETIMEDOUT, "the domain's XML did not come in time"};
        }
        char buffer[65536];
        const ssize_t size = read(STDIN_FILENO, buffer, sizeof buffer);
        if (size < 0 && errno != EINTR) {
            return base::Error{errno, std::string("the domain's XML cannot be read: ") + std::strerror(errno)};
        }
        if (size == 0) {
            return xml;
        }
        xml.append(buffer, static_cast<size_t>(std::max<ssize_t>(size, 0)));
        if (xml.size() > kMaxXml || xml.find('\0') != xml.npos) {
            return base::Error{EFBIG, "the domain's XML has more than " + std::to_string(kMaxXml) + " octets, or one that is zero"};
        }
    }
}

std::string run_directory()
{
    const char* directory = std::getenv("OVS_RUNDIR");
    return directory && *directory ? directory : NVO3_RUNDIR;
}

// As ovs-appctl finds it.
base::Result<std::string> agent_socket(const std::string& target)
{
    if (!target.empty()) {
        return target;
    }
    const std::string file = run_directory() + "/hvagent.pid";
    std::ifstream in(file);
    unsigned long pid = 0;
    if (!(in >> pid) || pid == 0) {
        return base::Error{ENOENT, file + ": no such file, or no process id in it"};
    }
    return run_directory() + "/hvagent." + std::to_string(pid) + ".ctl";
}

base::Result<std::string> ask_agent(const Options& options, const std::string& xml, Deadline deadline)
{
    auto socket = agent_socket(options.target);
    if (!socket) {
        return socket.error();
    }
    std::vector<std::string> arguments = options.arguments;
    arguments.push_back(xml);
    auto reply = hook::call(*socket, hook::command_request("hook/qemu", arguments), deadline);
    return reply ? hook::command_reply(*reply) : reply;
}

// What the operator chose for the case that the agent cannot say it.  Without a database
// there is no port of the VM either: nothing is lost by letting it start.
bool strict()
{
    auto reply = hook::call(run_directory() + "/db.sock", hook::other_config_request(), std::chrono::steady_clock::now() + kDatabaseTimeout);
    auto value = reply ? hook::other_config_reply(*reply, "nvo3-hook") : reply;
    return value && *value == "strict";
}

}  // namespace

int main(int argc, char* argv[])
{
    const Options options = read_options(argc, argv);
    const std::string& operation = options.arguments[1];
    const bool refusable = operation == "prepare" || operation == "start" || operation == "migrate";
    const Deadline deadline = std::chrono::steady_clock::now() + options.timeout;

    auto xml = read_xml(deadline);
    auto answer = xml ? ask_agent(options, *xml, deadline) : xml;
    if (answer || !refusable) {
        return EXIT_SUCCESS;
    }
    // The agent refuses only where it shall be strict.
    if (answer.error().code == EPERM) {
        refuse(answer.error().text);
    }
    if (strict()) {
        refuse((xml ? "hvagent cannot be asked whether the domain's networks are granted: " : "") + answer.error().text +
               " (other_config:nvo3-hook=strict)");
    }
    return EXIT_SUCCESS;
}
