// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of ovs-ext/engine/agent_socket.h.
#include "ovs-ext/engine/agent_socket.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/agent_client.h"
#include "tests/support/fake_host.h"

namespace nvo3::engine {
namespace {

using tests::AgentClient;
namespace msg = esp::msg;

class AgentSocketTest : public ::testing::Test, public AgentSocket::Handler {
protected:
    void on_agent_up(uint64_t instance) override { ups.push_back(instance); }
    void on_agent_down() override { downs++; }
    void on_agent_message(esp::SaMessage& message) override
    {
        messages++;
        if (auto* list = std::get_if<msg::ListSas>(&message)) {
            requests.push_back(list->request);
            if (list_size) {
                socket.send_list(std::vector<msg::SaRecord>(list_size), {list->request, 0, ""});
            }
        }
    }

    // An agent that has said hello.
    AgentClient greeted()
    {
        AgentClient agent(host.socket_path());
        agent.send(msg::AgentHello{esp::kSaProtocolVersion, 7});
        socket.run();
        return agent;
    }

    tests::FakeHost host;
    AgentSocket socket{host.host(), host.socket_path(), msg::SwitchHello{1, 42, "test"}, *this};
    std::vector<uint64_t> ups;
    std::vector<uint32_t> requests;
    int downs = 0;
    int messages = 0;
    size_t list_size = 0;
};

TEST_F(AgentSocketTest, GreetsAndTakesMessages)
{
    ASSERT_TRUE(socket.open().ok());
    AgentClient agent = greeted();
    EXPECT_TRUE(socket.connected());
    EXPECT_EQ(ups, std::vector<uint64_t>{7});
    EXPECT_EQ(socket.agent_pid(), getpid());
    ASSERT_TRUE(agent.read());
    const auto hellos = agent.take<msg::SwitchHello>();
    ASSERT_EQ(hellos.size(), 1u);
    EXPECT_EQ(hellos[0].switch_instance, 42u);

    agent.send(msg::ListSas{3});
    agent.send(msg::ListSas{4});
    socket.run();
    EXPECT_EQ(requests, (std::vector<uint32_t>{3, 4}));
    agent.close();
    socket.run();
    EXPECT_EQ(downs, 1);
    EXPECT_FALSE(socket.connected());
}

TEST_F(AgentSocketTest, IsForTheOwnerOnly)
{
    ASSERT_TRUE(socket.open().ok());
    struct stat made;
    ASSERT_EQ(stat(host.socket_path().c_str(), &made), 0);
    EXPECT_EQ(made.st_mode & 07777, 0600u);
}

TEST_F(AgentSocketTest, RefusesAnotherUser)
{
    if (geteuid() != 0) {
        GTEST_SKIP() << "only root can be another user";
    }
    ASSERT_TRUE(socket.open().ok());
    // As if the file's mode had been changed: the credentials must do.
    ASSERT_EQ(chmod(host.socket_path().c_str(), 0777), 0);
    ASSERT_EQ(chmod(host.host().rundir, 0755), 0);
    const pid_t child = fork();
    if (child == 0) {
        if (setresuid(65534, 65534, 65534) != 0) {
            _exit(3);
        }
        AgentClient agent(host.socket_path());
        agent.send(msg::AgentHello{esp::kSaProtocolVersion, 7});
        _exit(agent.connected() ? 0 : 2);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(WEXITSTATUS(status), 0) << "the child could not connect";
    socket.run();
    EXPECT_TRUE(ups.empty());
    EXPECT_EQ(socket.agent_pid(), 0);
    ASSERT_FALSE(host.log_lines.empty());
    EXPECT_NE(host.log_lines.back().find("65534"), std::string::npos);
}

TEST_F(AgentSocketTest, NewConnectionReplacesTheOld)
{
    ASSERT_TRUE(socket.open().ok());
    AgentClient first = greeted();
    AgentClient second = greeted();
    EXPECT_EQ(ups.size(), 2u);
    EXPECT_EQ(downs, 1);
    first.send(msg::ListSas{1});
    second.send(msg::ListSas{2});
    socket.run();
    EXPECT_EQ(requests, std::vector<uint32_t>{2});
    EXPECT_FALSE(first.read());
    EXPECT_TRUE(second.read());
}

TEST_F(AgentSocketTest, WhoSaysNoHelloDisplacesNobody)
{
    ASSERT_TRUE(socket.open().ok());
    AgentClient agent = greeted();
    AgentClient silent(host.socket_path());
    AgentClient old(host.socket_path());
    old.send(msg::AgentHello{99, 8});
    AgentClient rude(host.socket_path());
    rude.send(msg::ListSas{9});
    socket.run();
    agent.send(msg::ListSas{1});
    socket.run();
    EXPECT_EQ(downs, 0);
    EXPECT_EQ(ups.size(), 1u);
    EXPECT_EQ(requests, std::vector<uint32_t>{1});
    EXPECT_TRUE(agent.read());
    EXPECT_FALSE(old.read());
    EXPECT_FALSE(rude.read());
    // It hears the switch's hello, and may still take over with its own.
    EXPECT_TRUE(silent.read());
    EXPECT_EQ(silent.take<msg::SwitchHello>().size(), 1u);
    silent.send(msg::AgentHello{esp::kSaProtocolVersion, 8});
    silent.send(msg::ListSas{2});
    socket.run();
    EXPECT_EQ(ups, (std::vector<uint64_t>{7, 8}));
    EXPECT_EQ(downs, 1);
    EXPECT_EQ(requests, (std::vector<uint32_t>{1, 2}));
}

TEST_F(AgentSocketTest, GuestsAreFewAndBrief)
{
    ASSERT_TRUE(socket.open().ok());
    AgentClient agent = greeted();
    std::vector<AgentClient> guests;
    for (int i = 0; i < 9; i++) {
        guests.emplace_back(host.socket_path());
        socket.run();
    }
    EXPECT_FALSE(guests[0].read()) << "the oldest makes room";
    for (size_t i = 1; i < guests.size(); i++) {
        EXPECT_TRUE(guests[i].read()) << i;
    }
    host.clear_waits();
    socket.wait();
    EXPECT_EQ(host.waiting.size(), 10u);    // listener, agent, 8 guests
    host.advance_ms(4999);
    socket.run();
    EXPECT_TRUE(guests[8].read());
    host.advance_ms(1);
    socket.run();
    for (size_t i = 1; i < guests.size(); i++) {
        EXPECT_FALSE(guests[i].read()) << i;
    }
    EXPECT_TRUE(agent.read());
    EXPECT_EQ(downs, 0);
}

TEST_F(AgentSocketTest, MakesItsFileAgain)
{
    ASSERT_TRUE(socket.open().ok());
    AgentClient agent = greeted();
    host.clear_waits();
    socket.wait();
    EXPECT_EQ(host.wake_ms, host.host().now_ms() + 2000);

    unlink(host.socket_path().c_str());
    socket.run();
    EXPECT_FALSE(AgentClient(host.socket_path()).connected()) << "not looked at all the time";
    host.advance_ms(2000);
    socket.run();
    EXPECT_TRUE(AgentClient(host.socket_path()).connected());
    EXPECT_NE(host.log_lines.back().find("was removed or replaced"), std::string::npos);
    // The agent that was there stays, and the next one is heard.
    EXPECT_EQ(downs, 0);
    AgentClient next = greeted();
    EXPECT_EQ(ups.size(), 2u);

    // A file in its place is left alone.
    unlink(host.socket_path().c_str());
    std::ofstream(host.socket_path()) << "precious";
    host.advance_ms(2000);
    socket.run();
    EXPECT_FALSE(socket.is_open());
    EXPECT_NE(socket.open().error().text.find("is not a socket"), std::string::npos);
    unlink(host.socket_path().c_str());
    EXPECT_TRUE(socket.open().ok());
}

TEST_F(AgentSocketTest, EndsWithWhoeverBreaksTheProtocol)
{
    struct Row {
        const char* what;
        base::Bytes octets;
    };
    const auto octets = [](const esp::SaMessage& message) {
        const base::Secret wire = esp::encode(message);
        return base::Bytes(wire.view().begin(), wire.view().end());
    };
    const Row rows[] = {
        {"no hello", octets(msg::ListSas{1})},
        {"other version", octets(msg::AgentHello{99, 1})},
        {"unknown type", {0, 0, 0, 1, 200}},
        {"size 0", {0, 0, 0, 0}},
        {"huge size", {0x7f, 0xff, 0xff, 0xff}},
        {"cut message", {0, 0, 0, 2, 1, 0}},
    };
    ASSERT_TRUE(socket.open().ok());
    for (const Row& row : rows) {
        AgentClient agent(host.socket_path());
        agent.send_raw(row.octets);
        socket.run();
        EXPECT_FALSE(agent.read()) << row.what;
        EXPECT_EQ(socket.agent_pid(), 0) << row.what;
    }
    EXPECT_TRUE(ups.empty());
    EXPECT_EQ(downs, 0);
    EXPECT_EQ(messages, 0);
    // And it still serves.
    AgentClient agent = greeted();
    EXPECT_TRUE(socket.connected());
}

TEST_F(AgentSocketTest, TakesThePlaceOfAStaleSocket)
{
    {
        // Bound, never removed: what a killed switch leaves.
        base::UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, host.socket_path().c_str());
        ASSERT_EQ(bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    ASSERT_TRUE(socket.open().ok());
    EXPECT_TRUE(AgentClient(host.socket_path()).connected());
}

TEST_F(AgentSocketTest, LeavesALiveSocketAlone)
{
    ASSERT_TRUE(socket.open().ok());
    AgentSocket other(host.host(), host.socket_path(), msg::SwitchHello{}, *this);
    const base::Status status = other.open();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, EADDRINUSE);
    EXPECT_TRUE(AgentClient(host.socket_path()).connected());
}

TEST_F(AgentSocketTest, LeavesAFileAlone)
{
    std::ofstream(host.socket_path()) << "precious";
    const base::Status status = socket.open();
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().text.find(host.socket_path()), std::string::npos);
    EXPECT_EQ(access(host.socket_path().c_str(), F_OK), 0);
}

TEST_F(AgentSocketTest, SaysWhenThePathIsTooLong)
{
    AgentSocket far(host.host(), "/" + std::string(200, 'x'), msg::SwitchHello{}, *this);
    const base::Status status = far.open();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ENAMETOOLONG);
}

TEST_F(AgentSocketTest, RemovesItsFileInTheEnd)
{
    {
        AgentSocket brief(host.host(), host.socket_path(), msg::SwitchHello{}, *this);
        ASSERT_TRUE(brief.open().ok());
        ASSERT_EQ(access(host.socket_path().c_str(), F_OK), 0);
    }
    EXPECT_NE(access(host.socket_path().c_str(), F_OK), 0);
}

TEST_F(AgentSocketTest, SendsALongListBitByBit)
{
    ASSERT_TRUE(socket.open().ok());
    AgentClient agent = greeted();
    list_size = 100000;
    agent.send(msg::ListSas{1});
    agent.send(msg::ListSas{2});
    size_t records = 0;
    std::vector<msg::Result> ends;
    int rounds = 0;
    while (ends.size() < 2 && rounds++ < 10000) {
        socket.run();
        ASSERT_TRUE(agent.read());
        for (esp::SaMessage& message : agent.heard) {
            if (std::holds_alternative<msg::SaRecord>(message)) {
                records++;
            } else if (auto* end = std::get_if<msg::Result>(&message)) {
                // Whole lists, one after the other.
                ends.push_back(*end);
                EXPECT_EQ(records, ends.size() * list_size);
            }
        }
        agent.heard.clear();
    }
    ASSERT_EQ(ends.size(), 2u);
    EXPECT_EQ(ends[0].request, 1u);
    EXPECT_EQ(ends[1].request, 2u);
    EXPECT_GT(rounds, 2);
}

TEST_F(AgentSocketTest, LosesEventsOfAnAgentThatDoesNotRead)
{
    ASSERT_TRUE(socket.open().ok());
    AgentClient agent = greeted();
    for (int i = 0; i < 100000; i++) {
        socket.send_event(msg::Acquire{});
        if (i % 1000 == 0) {
            socket.run();
        }
    }
    size_t heard = 0;
    for (int i = 0; i < 1000; i++) {
        ASSERT_TRUE(agent.read());
        heard += agent.take<msg::Acquire>().size();
        socket.run();
    }
    EXPECT_GT(heard, 100u);
    EXPECT_LT(heard, 50000u);
}

TEST_F(AgentSocketTest, WaitsForWhatItNeeds)
{
    socket.wait();
    EXPECT_TRUE(host.waiting.empty());
    ASSERT_TRUE(socket.open().ok());
    AgentClient agent = greeted();
    host.clear_waits();
    socket.wait();
    EXPECT_EQ(host.waiting.size(), 2u);
    // More messages than one run takes: it must come back without the peer.
    base::Bytes many;
    for (uint32_t i = 0; i < 300; i++) {
        const base::Secret wire = esp::encode(msg::ListSas{i});
        many.insert(many.end(), wire.view().begin(), wire.view().end());
    }
    ASSERT_EQ(agent.send_raw(many), many.size());
    socket.run();
    EXPECT_LT(messages, 300);
    host.clear_waits();
    socket.wait();
    EXPECT_EQ(host.wake_ms, 0);
    socket.run();
    EXPECT_EQ(messages, 300);
}

}  // namespace
}  // namespace nvo3::engine
