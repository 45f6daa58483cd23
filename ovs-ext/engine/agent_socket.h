// SPDX-License-Identifier: Apache-2.0
//
// The server's end of the SA socket: one agent at a time, never blocking.  It
// moves messages and knows nothing of what they mean.  Who connects is a guest
// until its hello is accepted; only then does it take the place of the agent.
// Place: engine.  Threads: main.
#ifndef NVO3_ENGINE_AGENT_SOCKET_H
#define NVO3_ENGINE_AGENT_SOCKET_H

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "esp/sa_protocol.h"
#include "ovs-ext/api/nvo3_host.h"

namespace nvo3::engine {

class AgentSocket {
public:
    class Handler {
    public:
        virtual ~Handler() = default;
        // The agent's hello has come; send() reaches it from now on.
        virtual void on_agent_up(uint64_t agent_instance) = 0;
        virtual void on_agent_down() = 0;
        // A message of the agent other than its hello.
        virtual void on_agent_message(esp::SaMessage& message) = 0;
    };

    // 'hello' goes to each agent that connects.
    AgentSocket(const nvo3_host& host, std::string path, esp::msg::SwitchHello hello,
                Handler& handler);
    // Closes, and removes the socket from the file system.
    ~AgentSocket();
    AgentSocket(const AgentSocket&) = delete;
    AgentSocket& operator=(const AgentSocket&) = delete;

    // Listens, with mode 0600.  Takes the place of a socket that nobody listens
    // on any more; fails if somebody does, or if the path is something else.
    base::Status open();
    bool is_open() const noexcept { return static_cast<bool>(listener_); }

    // Also makes the socket again if it is gone from the file system; if that
    // fails, is_open() is false afterwards.
    void run();
    void wait();

    // An agent is there and has said hello.
    bool connected() const noexcept { return connection_ != nullptr; }
    // A list is on its way.
    bool listing() const noexcept { return connection_ && connection_->listing; }
    pid_t agent_pid() const noexcept { return connection_ ? connection_->pid : 0; }

    // Queued; nothing happens without an agent.
    void send(const esp::SaMessage& message);
    // As send(), but lost if the agent is slow to read: for what comes again.
    void send_event(const esp::SaMessage& message);
    // 'records', then 'end'; the agent's next message is read after those.
    void send_list(std::vector<esp::msg::SaRecord> records, esp::msg::Result end);

private:
    struct Connection {
        base::UniqueFd fd;
        pid_t pid = 0;
        long long greet_until_ms = 0;   // a guest's patience
        bool more_input = false;        // stopped reading by its own limit
        esp::SaMessageReader reader;
        base::Bytes out;                // holds no secret
        size_t out_begin = 0;
        std::vector<esp::msg::SaRecord> list;   // in reverse order
        esp::msg::Result list_end;
        bool listing = false;

        size_t queued() const noexcept { return out.size() - out_begin; }
    };

    void accept_agents();
    void take(base::UniqueFd fd);
    void run_guests();
    // The instance of the agent once its hello is accepted; nothing if it has not come.
    static base::Result<std::optional<uint64_t>> greet(Connection& guest);
    void welcome(std::unique_ptr<Connection> guest, uint64_t agent_instance);
    void read_messages();
    bool next_message();
    static base::Result<std::optional<esp::SaMessage>> receive(Connection& from);
    static void fill_from_list(Connection& to);
    void flush();
    // 0 or the errno that ends the connection.
    static int flush(Connection& to);
    static void queue(Connection& to, const esp::SaMessage& message);
    void drop(const std::string& why);
    void log_end(const Connection& ended, const std::string& why);
    base::Status remove_stale();
    bool is_in_place() const;
    void check_place();

    const nvo3_host& host_;
    const std::string path_;
    const esp::msg::SwitchHello hello_;
    Handler& handler_;
    base::UniqueFd listener_;
    dev_t device_ = 0;      // of the socket that open() made
    ino_t inode_ = 0;
    long long check_ms_ = 0;    // when to look next whether it is still there
    std::unique_ptr<Connection> connection_;            // the agent
    std::vector<std::unique_ptr<Connection>> guests_;   // oldest first
};

}  // namespace nvo3::engine

#endif
