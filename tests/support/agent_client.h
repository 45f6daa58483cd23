// SPDX-License-Identifier: Apache-2.0
//
// The agent's end of the SA socket, for tests of the switch's end: speaks when
// the test says so and keeps what it hears.
// Place: tests/support.  Threads: one.
#ifndef NVO3_TESTS_SUPPORT_AGENT_CLIENT_H
#define NVO3_TESTS_SUPPORT_AGENT_CLIENT_H

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "esp/sa_protocol.h"

namespace nvo3::tests {

class AgentClient {
public:
    explicit AgentClient(const std::string& path)
        : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        if (connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
            fd_.reset();
        }
    }

    bool connected() const { return static_cast<bool>(fd_); }
    void close() { fd_.reset(); }

    void send(const esp::SaMessage& message) { send_raw(esp::encode(message).view()); }
    // The number of octets that the socket took.
    size_t send_raw(base::ByteView data)
    {
        const ssize_t size = ::send(fd_.get(), data.data(), data.size(), MSG_NOSIGNAL);
        return size < 0 ? 0 : static_cast<size_t>(size);
    }

    // Reads what is there.  False: the other end has closed.
    bool read()
    {
        for (;;) {
            while (true) {
                auto next = reader_.next();
                if (!next || !next->has_value()) {
                    break;
                }
                heard.push_back(std::move(**next));
            }
            const ssize_t size = recv(fd_.get(), reader_.space(), reader_.space_size(), 0);
            if (size <= 0) {
                return size < 0 && errno == EAGAIN;
            }
            reader_.added(static_cast<size_t>(size));
        }
    }

    // The messages of one kind, taken out of 'heard'.
    template <class M>
    std::vector<M> take()
    {
        std::vector<M> taken;
        std::vector<esp::SaMessage> rest;
        for (esp::SaMessage& message : heard) {
            if (auto* body = std::get_if<M>(&message)) {
                taken.push_back(std::move(*body));
            } else {
                rest.push_back(std::move(message));
            }
        }
        heard = std::move(rest);
        return taken;
    }

    std::vector<esp::SaMessage> heard;

private:
    base::UniqueFd fd_;
    esp::SaMessageReader reader_;
};

}  // namespace nvo3::tests

#endif
