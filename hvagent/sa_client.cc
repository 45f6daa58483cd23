// SPDX-License-Identifier: Apache-2.0
//
// See sa_client.h.
#include "hvagent/sa_client.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <algorithm>
#include <deque>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/secret.h"

namespace nvo3::agent {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using base::LogLevel;
using esp::SaMessage;

namespace {

constexpr const char* kModule = "sa_client";
constexpr auto kBackoffMin = 100ms, kBackoffMax = 2000ms;
// From connecting to the end of the list of SAs.
constexpr auto kStartTimeout = 10s;
// Of the rule guard, before the list is complete.
constexpr size_t kMaxNotices = 256;
// A switch that reads nothing for so long is treated as gone.
constexpr size_t kMaxQueuedBytes = 32u << 20;

// Whoever gets our keys must be root, ourselves, or the owner of the run directory.
bool trusted(int fd, const std::string& path, std::string& why)
{
    ucred peer{};
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        why = "its owner cannot be determined";
        return false;
    }
    struct stat directory {};
    bool have = stat(std::filesystem::path(path).parent_path().c_str(), &directory) == 0;
    if (peer.uid == 0 || peer.uid == geteuid() || (have && peer.uid == directory.st_uid)) {
        return true;
    }
    why = "it belongs to uid " + std::to_string(peer.uid) + ", who is not the switch";
    return false;
}

}  // namespace

struct SaClient::Impl : std::enable_shared_from_this<Impl> {
    Impl(asio::io_context& io, std::string path_, uint64_t instance_, SaClientHandler& handler_)
        : socket(io), timer(io), path(std::move(path_)), instance(instance_), handler(&handler_)
    {
    }

    asio::local::stream_protocol::socket socket;
    asio::steady_timer timer;       // the back-off, or the limit of the start
    const std::string path;
    const uint64_t instance;
    SaClientHandler* handler;       // null once the client is gone

    std::chrono::milliseconds backoff = kBackoffMin;
    uint64_t connection = 0;        // tells callbacks of a former connection
    // Shared with the operation under way, which may end after its connection.
    std::shared_ptr<esp::SaMessageReader> reader;
    std::deque<std::shared_ptr<base::Secret>> queue;
    size_t queued_bytes = 0;
    bool writing = false;
    uint32_t next_request = 1;
    std::string problem = "not connected to the switch yet";

    // Between connect and up.
    std::optional<esp::msg::SwitchHello> hello;
    uint32_t list_request = 0;
    std::vector<esp::msg::SaRecord> live;
    std::vector<esp::msg::GuardNotice> notices;     // which come once
    bool up = false;

    void connect()
    {
        if (!handler) {
            return;
        }
        connection++;
        socket.async_connect(path, [self = shared_from_this(), this, mine = connection](const boost::system::error_code& error) {
            if (mine != connection) {
                return;
            }
            std::string why;
            if (error) {
                fail("cannot connect to " + path + ": " + error.message() + "; is the nvo3 ovs-vswitchd running?");
            } else if (!trusted(socket.native_handle(), path, why)) {
                fail(path + " is not used: " + why);
            } else {
                begin();
            }
        });
    }

    void begin()
    {
        reader = std::make_shared<esp::SaMessageReader>();
        write(esp::msg::AgentHello{esp::kSaProtocolVersion, instance});
        timer.expires_after(kStartTimeout);
        timer.async_wait([self = shared_from_this(), this, mine = connection](const boost::system::error_code& error) {
            if (!error && mine == connection && !up) {
                fail("the switch did not answer on " + path);
            }
        });
        read();
    }

    // Ends the connection, if any, and tries again later.
    void fail(const std::string& reason)
    {
        connection++;
        boost::system::error_code ignored;
        socket.close(ignored);
        queue.clear();
        queued_bytes = 0;
        writing = false;
        hello.reset();
        live.clear();
        notices.clear();
        if (problem != reason) {
            base::log(up ? LogLevel::warn : LogLevel::info, kModule, reason);
        }
        problem = reason;
        bool was_up = std::exchange(up, false);
        timer.expires_after(backoff);
        backoff = std::min<std::chrono::milliseconds>(backoff * 2, kBackoffMax);
        timer.async_wait([self = shared_from_this(), this](const boost::system::error_code& error) {
            if (!error) {
                connect();
            }
        });
        if (was_up && handler) {
            handler->on_switch_down(reason);
        }
    }

    // ---- Reading ----

    void read()
    {
        socket.async_read_some(asio::buffer(reader->space(), reader->space_size()),
                               [self = shared_from_this(), this, mine = connection,
                                keep = reader](const boost::system::error_code& error, size_t size) {
                                   if (mine != connection) {
                                       return;
                                   }
                                   if (error) {
                                       return fail("the switch closed " + path + ": " + error.message());
                                   }
                                   keep->added(size);
                                   if (parse(mine)) {
                                       read();
                                   }
                               });
    }

    // False if the connection did not survive.
    bool parse(uint64_t mine)
    {
        while (true) {
            auto message = reader->next();
            if (!message) {
                fail("the switch sent what is not an SA message: " + message.error().text);
                return false;
            }
            if (!*message) {
                return true;
            }
            take(**message);
            if (mine != connection) {
                return false;
            }
        }
    }

    void take(const SaMessage& message)
    {
        if (const auto* greeting = std::get_if<esp::msg::SwitchHello>(&message)) {
            if (greeting->version != esp::kSaProtocolVersion || hello) {
                return fail("the switch speaks version " + std::to_string(greeting->version) + " of the SA socket, this agent " +
                            std::to_string(esp::kSaProtocolVersion) + ": upgrade both");
            }
            hello = *greeting;
            list_request = write(esp::msg::ListSas{});
            return;
        }
        if (!hello) {
            return fail("the switch did not begin with a hello");
        }
        if (up) {
            if (handler) {
                handler->on_switch_message(message);
            }
            return;
        }
        if (const auto* record = std::get_if<esp::msg::SaRecord>(&message)) {
            live.push_back(*record);
        } else if (const auto* result = std::get_if<esp::msg::Result>(&message); result && result->request == list_request) {
            if (result->error != 0) {
                return fail("the switch cannot list its SAs: " + result->text);
            }
            come_up();
        } else if (const auto* notice = std::get_if<esp::msg::GuardNotice>(&message); notice && notices.size() < kMaxNotices) {
            notices.push_back(*notice);
        }
        // Another event before the list is complete concerns what the list tells.
    }

    void come_up()
    {
        up = true;
        problem.clear();
        backoff = kBackoffMin;
        timer.cancel();
        base::log(LogLevel::info, kModule, "connected to the switch, cipher library " + hello->aead + ", " + std::to_string(live.size()) + " SAs live");
        if (handler) {
            handler->on_switch_up(*hello, std::exchange(live, {}));
        }
        for (const esp::msg::GuardNotice& notice : std::exchange(notices, {})) {
            if (up && handler) {
                handler->on_switch_message(notice);
            }
        }
    }

    // ---- Writing ----

    uint32_t write(SaMessage message)
    {
        uint32_t request = next_request++;
        std::visit(
            [&](auto& body) {
                if constexpr (requires { body.request; }) {
                    body.request = request;
                }
            },
            message);
        queue.push_back(std::make_shared<base::Secret>(esp::encode(message)));
        queued_bytes += queue.back()->size();
        if (queued_bytes > kMaxQueuedBytes) {
            // Not from inside the caller, who is in the middle of something.
            asio::post(socket.get_executor(), [self = shared_from_this(), this, mine = connection] {
                if (mine == connection) {
                    fail("the switch does not read " + path);
                }
            });
        } else if (!writing) {
            flush();
        }
        return request;
    }

    void flush()
    {
        if (queue.empty()) {
            return;
        }
        writing = true;
        asio::async_write(socket, asio::buffer(queue.front()->data(), queue.front()->size()),
                          [self = shared_from_this(), this, mine = connection,
                           keep = queue.front()](const boost::system::error_code& error, size_t) {
                              if (mine != connection) {
                                  return;
                              }
                              writing = false;
                              if (error) {
                                  return fail("the switch closed " + path + ": " + error.message());
                              }
                              queued_bytes -= queue.front()->size();
                              queue.pop_front();
                              flush();
                          });
    }
};

SaClient::SaClient(asio::io_context& io, std::string path, uint64_t agent_instance, SaClientHandler& handler)
    : impl_(std::make_shared<Impl>(io, std::move(path), agent_instance, handler))
{
}

SaClient::~SaClient()
{
    impl_->handler = nullptr;
    impl_->connection++;
    boost::system::error_code ignored;
    impl_->socket.close(ignored);
    impl_->timer.cancel();
}

void SaClient::start()
{
    impl_->connect();
}

bool SaClient::is_up() const
{
    return impl_->up;
}

const std::string& SaClient::problem() const
{
    return impl_->problem;
}

uint32_t SaClient::send(SaMessage message)
{
    return impl_->up ? impl_->write(std::move(message)) : 0;
}

}  // namespace nvo3::agent
