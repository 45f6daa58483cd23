// SPDX-License-Identifier: Apache-2.0
//
// See exchange.h.
#include "libvirt-hook/exchange.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/unique_fd.h"

namespace nvo3::hook {
namespace {

using nlohmann::json;

// Deeper is none of ours, and would cost stack.
constexpr int kMaxDepth = 32;

base::Error no_answer()
{
    return {EPROTO, "what came is no answer"};
}

std::string text_of(const json& message)
{
    return message.dump(-1, ' ', false, json::error_handler_t::replace);
}

// The "result" of a reply, or its "error" as EPERM.
base::Result<json> result_of(std::string_view text)
{
    if (!is_whole(text)) {
        return no_answer();
    }
    const json reply = json::parse(text, nullptr, false);
    if (!reply.is_object() || reply.value("id", json()) != json(1)) {
        return no_answer();
    }
    if (const json error = reply.value("error", json()); !error.is_null()) {
        std::string words = error.is_string() ? error.get<std::string>() : text_of(error);
        while (words.ends_with('\n')) {
            words.pop_back();
        }
        return base::Error{EPERM, words};
    }
    return reply.contains("result") ? base::Result<json>(reply["result"]) : no_answer();
}

// Waits until the socket is ready for 'events'; false at the deadline.
bool wait_for(int fd, short events, Deadline deadline)
{
    pollfd one{fd, events, 0};
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
        const int n = poll(&one, 1, static_cast<int>(std::clamp<long long>(left, 0, 3600000)));
        if (n != 0 && !(n < 0 && errno == EINTR)) {
            return n > 0;
        }
        if (n == 0) {
            return false;
        }
    }
}

}  // namespace

std::string command_request(const std::string& method, const std::vector<std::string>& arguments)
{
    return text_of({{"id", 1}, {"method", method}, {"params", arguments}});
}

std::string other_config_request()
{
    const json select = {{"op", "select"}, {"table", "Open_vSwitch"}, {"where", json::array()}, {"columns", {"other_config"}}};
    return text_of({{"id", 1}, {"method", "transact"}, {"params", {"Open_vSwitch", select}}});
}

bool is_whole(std::string_view text)
{
    if (text.size() > kMaxReply) {
        return false;
    }
    // Counts braces first: parsing anew for each piece that arrives would be slow, and a
    // parser is recursive.
    int depth = 0, deepest = 0;
    bool quoted = false, begun = false;
    for (size_t i = 0; i < text.size(); i++) {
        const char c = text[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            deepest = std::max(deepest, ++depth);
            begun = true;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return begun && !quoted && depth == 0 && deepest <= kMaxDepth && json::accept(text);
}

base::Result<std::string> command_reply(std::string_view text)
{
    auto result = result_of(text);
    if (!result) {
        return result.error();
    }
    return result->is_string() ? base::Result<std::string>(result->get<std::string>()) : no_answer();
}

// [{"rows": [{"other_config": ["map", [["KEY", "VALUE"], ...]]}]}]
base::Result<std::string> other_config_reply(std::string_view text, const std::string& key)
{
    auto result = result_of(text);
    if (!result) {
        return result.error();
    }
    try {
        for (const json& pair : result->at(0).at("rows").at(0).at("other_config").at(1)) {
            if (pair.at(0).get<std::string>() == key) {
                return pair.at(1).get<std::string>();
            }
        }
    } catch (const json::exception&) {
        return no_answer();
    }
    return std::string();
}

base::Result<std::string> call(const std::string& path, const std::string& request, Deadline deadline)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return base::Error{ENAMETOOLONG, path + ": the name is too long for a socket"};
    }
    path.copy(address.sun_path, path.size());
    // EPERM is the daemon's word.
    auto failed = [&path](int code) { return base::Error{code == EPERM ? EACCES : code, path + ": " + std::strerror(code)}; };

    base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
        return failed(errno);
    }
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) {
        return failed(errno);
    }
    const base::Error late{ETIMEDOUT, path + ": no answer in time"};
    for (std::string_view rest = request; !rest.empty();) {
        if (!wait_for(fd.get(), POLLOUT, deadline)) {
            return late;
        }
        const ssize_t n = send(fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return failed(errno);
        }
        rest.remove_prefix(static_cast<size_t>(std::max<ssize_t>(n, 0)));
    }
    std::string reply;
    while (!is_whole(reply)) {
        if (!wait_for(fd.get(), POLLIN, deadline)) {
            return late;
        }
        char buffer[4096];
        const ssize_t n = recv(fd.get(), buffer, sizeof buffer, 0);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return failed(errno);
        }
        if (n == 0 || reply.size() > kMaxReply) {
            return base::Error{ECONNRESET, path + ": the connection ended without an answer"};
        }
        reply.append(buffer, static_cast<size_t>(std::max<ssize_t>(n, 0)));
    }
    return reply;
}

}  // namespace nvo3::hook
