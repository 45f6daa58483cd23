// SPDX-License-Identifier: Apache-2.0
//
// Commands of a control socket that are answered later: other commands are served
// meanwhile, and each caller gets an answer.
#include "daemon/commands.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/ovs_daemon.h"

using namespace nvo3;

namespace {

std::string path;
std::mutex kept_mutex;
std::condition_variable kept_changed;
std::optional<daemon::Answer> kept;     // of "later", under kept_mutex

// Waits until "later" has come: two connections are served in any order.
daemon::Answer take_kept()
{
    std::unique_lock lock(kept_mutex);
    kept_changed.wait(lock, [] { return kept.has_value(); });
    daemon::Answer answer = std::move(*kept);
    kept.reset();
    return answer;
}

// A connection to the control socket, one JSON-RPC message at a time.
class Client {
public:
    Client() : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
    }
    void send(const std::string& method, const std::string& parameters = "")
    {
        const std::string text = "{\"id\":1,\"method\":\"" + method + "\",\"params\":[" + parameters + "]}";
        EXPECT_EQ(write(fd_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }
    std::string receive()
    {
        char buffer[4096];
        const ssize_t n = read(fd_.get(), buffer, sizeof buffer);
        return {buffer, static_cast<size_t>(std::max<ssize_t>(n, 0))};
    }

private:
    base::UniqueFd fd_;
};

// Runs the loop of a daemon while 'client' runs beside it.
template <class F>
void serve(F client)
{
    std::atomic<bool> done = false;
    std::thread thread([&] {
        client();
        done = true;
        ovs_daemon_wake();
    });
    while (!done) {
        ovs_daemon_run();
        daemon::send_answers();
        if (!done) {
            ovs_daemon_block();
        }
    }
    thread.join();
}

TEST(Commands, AnsweredAtOnce)
{
    serve([] {
        Client client;
        client.send("now");
        EXPECT_NE(client.receive().find("\"result\":\"done\\n\""), std::string::npos);
    });
}

TEST(Commands, OthersAreServedUntilTheAnswerComes)
{
    serve([] {
        Client first, second;
        first.send("later", "\"a\",\"b\"");
        const daemon::Answer answer = take_kept();
        second.send("now");
        EXPECT_NE(second.receive().find("done"), std::string::npos);
        second.send("given");
        EXPECT_NE(second.receive().find("a,b"), std::string::npos) << "its arguments";
        answer(std::string("granted"));
        answer(std::string("twice"));
        const std::string reply = first.receive();
        EXPECT_NE(reply.find("\"result\":\"granted\\n\""), std::string::npos) << reply;
        EXPECT_EQ(reply.find("twice"), std::string::npos) << reply;
    });
}

TEST(Commands, AnErrorIsAnError)
{
    serve([] {
        Client client;
        client.send("later");
        take_kept()(base::Error{EPERM, "no network"});
        EXPECT_NE(client.receive().find("\"error\":\"no network\\n\""), std::string::npos);
    });
}

TEST(Commands, AnAnswerThatIsLetGoIsSaid)
{
    serve([] {
        Client client;
        client.send("later");
        take_kept();
        EXPECT_NE(client.receive().find("\"error\":\"this was not answered\\n\""), std::string::npos);
    });
}

TEST(Commands, WrongUse)
{
    serve([] {
        Client client;
        client.send("later", "\"1\",\"2\",\"3\"");
        EXPECT_NE(client.receive().find("usage: later A B"), std::string::npos);
    });
}

TEST(Commands, TheCallerNeedNotWait)
{
    serve([] {
        Client other;
        std::optional<Client> client(std::in_place);
        client->send("later");
        const daemon::Answer answer = take_kept();
        client.reset();
        other.send("now");
        other.receive();
        answer(std::string("nobody hears it"));
        other.send("now");
        EXPECT_NE(other.receive().find("done"), std::string::npos);
    });
}

}  // namespace

int main(int argc, char* argv[])
{
    ::testing::InitGoogleTest(&argc, argv);
    path = ::testing::TempDir() + "nvo3-commands." + std::to_string(getpid()) + ".ctl";
    ovs_daemon_name(argv[0], "test");
    ovs_daemon_start();
    const ovs_daemon_options options{path.c_str(), nullptr, nullptr, nullptr, nullptr};
    ovs_daemon_listen(&options);
    std::string arguments;
    daemon::register_command({"now", "", 0, [](const daemon::Call& call) -> base::Result<std::string> { return daemon::done(call.json, "done"); }});
    daemon::register_command({"given", "", 0, [&](const daemon::Call&) -> base::Result<std::string> { return arguments; }});
    daemon::register_later({"later", "A B", 2, [&](const daemon::Call& call, daemon::Answer answer) {
                                arguments.clear();
                                for (const std::string& one : call.arguments) {
                                    arguments += (arguments.empty() ? "" : ",") + one;
                                }
                                std::lock_guard lock(kept_mutex);
                                kept = std::move(answer);
                                kept_changed.notify_all();
                            }});
    const int result = RUN_ALL_TESTS();
    ovs_daemon_close();
    return result;
}
