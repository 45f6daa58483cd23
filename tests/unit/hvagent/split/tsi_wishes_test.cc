// SPDX-License-Identifier: Apache-2.0
#include "hvagent/split/tsi_wishes.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace nvo3::agent {
namespace {

using namespace std::chrono_literals;
namespace proto = control::proto;

const auto kCipher = *esp::cipher_from_level("confidential");

TsiWish wish(const std::string& id, VmRun run = VmRun::running, const std::string& vn = "blue", uint8_t mac = 1)
{
    return {id, "vm-" + id, "name-" + id, vn, base::MacAddress{{0x52, 0x54, 0, 0, 0, mac}}, {}, "port-" + id, run};
}

// The wishes, and an NVE that knows the networks "blue" (5001) and "red" (5002).
struct TsiWishesTest : testing::Test {
    tests::FakeClock clock;
    TsiWishes wishes;
    uint64_t next_id = 1;
    std::vector<std::string> log;           // what was told, in order
    std::map<std::string, proto::TsiState> nve;
    std::string refuse;                     // what the NVE says no to, as in 'log'

    struct Asked {
        uint64_t id;
        control::Envelope message;
    };

    static std::string text(const control::Envelope& message)
    {
        if (message.has_vn_connect()) {
            return "connect " + message.vn_connect().vn();
        }
        if (message.has_vn_disconnect()) {
            return "disconnect " + std::to_string(message.vn_disconnect().vni());
        }
        static const char* const kActions[] = {"?", "associate", "activate", "deactivate", "disassociate"};
        const auto& request = message.tsi_request();
        return std::string(kActions[request.action()]) + " " + request.tsi() + (request.migration() ? " migration" : "");
    }

    // As the other end reads it, which ends the session for what it cannot read.
    static std::string wrong_with(const control::Envelope& message)
    {
        const std::string octets = message.SerializeAsString();
        auto read = control::parse_envelope({reinterpret_cast<const uint8_t*>(octets.data()), octets.size()});
        return read ? "" : read.error().text;
    }

    // One round: all messages that there are to send.
    std::vector<Asked> messages()
    {
        std::vector<Asked> result;
        for (const auto& news : wishes.news(clock.now())) {
            if (auto message = wishes.take(news.what, clock.now())) {
                log.push_back(text(*message));
                message->set_request_id(next_id);
                EXPECT_EQ(wrong_with(*message), "");
                result.push_back({next_id++, *message});
                if (!message->has_vn_disconnect()) {
                    wishes.sent(news.what, result.back().id);
                }
            }
        }
        return result;
    }

    void answer(const Asked& asked)
    {
        const bool no = text(asked.message) == refuse;
        if (asked.message.has_vn_connect()) {
            const std::string& vn = asked.message.vn_connect().vn();
            proto::VnConnectResult result;
            result.set_accepted(!no);
            if (no) {
                result.set_reason("not for you");
            } else {
                result.set_name(vn == "5001" ? "blue" : vn);
                result.set_vni(vn == "red" ? 5002 : 5001);
                result.set_encap(proto::ENCAP_GENEVE);
                result.set_cipher(static_cast<uint32_t>(kCipher));
            }
            wishes.on_vn_result(asked.id, result, clock.now());
        } else if (asked.message.has_tsi_request()) {
            const auto& request = asked.message.tsi_request();
            auto& state = nve[request.tsi()];
            // control.proto's machine; a step that it does not have fails the test.
            static const std::map<proto::TsiAction, std::pair<std::set<proto::TsiState>, proto::TsiState>> kMachine = {
                {proto::TSI_ASSOCIATE, {{proto::TSI_NONE, proto::TSI_ASSOCIATED, proto::TSI_ACTIVE}, proto::TSI_ASSOCIATED}},
                {proto::TSI_ACTIVATE, {{proto::TSI_ASSOCIATED, proto::TSI_ACTIVE}, proto::TSI_ACTIVE}},
                {proto::TSI_DEACTIVATE, {{proto::TSI_ACTIVE}, proto::TSI_ASSOCIATED}},
                {proto::TSI_DISASSOCIATE, {{proto::TSI_ASSOCIATED, proto::TSI_ACTIVE}, proto::TSI_NONE}}};
            const auto& [from, to] = kMachine.at(request.action());
            EXPECT_TRUE(from.contains(state)) << text(asked.message) << " in state " << state;
            if (!no) {
                state = state == proto::TSI_ACTIVE && to == proto::TSI_ASSOCIATED && request.action() == proto::TSI_ASSOCIATE ? state : to;
            }
            proto::TsiResult result;
            result.set_accepted(!no);
            result.set_state(state);
            result.set_reason(no ? "policy" : "");
            wishes.on_result(asked.id, result, clock.now());
        }
    }

    // Until there is nothing more to tell.
    std::vector<std::string> settle()
    {
        log.clear();
        for (int i = 0; i < 20; i++) {
            while (auto message = wishes.take_sync()) {
                log.push_back(message->has_tsi_query() ? "query" : "done");
                if (message->has_tsi_query()) {
                    report();
                }
            }
            auto asked = messages();
            for (const Asked& one : asked) {
                answer(one);
            }
        }
        return log;
    }

    void report()
    {
        proto::TsiReport message;
        for (const auto& [tsi, state] : nve) {
            if (state != proto::TSI_NONE) {
                auto& one = *message.add_tsis();
                one.set_vni(5001);
                one.set_tsi(tsi);
                one.set_mac(std::string("\x52\x54\0\0\0\x01", 6));
                one.set_state(state);
            }
        }
        wishes.on_report(message);
    }

    std::vector<std::string> up_with(std::vector<TsiWish> all)
    {
        wishes.set_wishes(all, true);
        wishes.session_up(false, kCipher);
        return settle();
    }
    std::vector<std::string> set(std::vector<TsiWish> all)
    {
        wishes.set_wishes(all, true);
        return settle();
    }
};

using Log = std::vector<std::string>;

TEST_F(TsiWishesTest, EachStepThatThereIs)
{
    struct Row {
        const char* what;
        VmRun before, after;
        Log told;
    };
    const Row rows[] = {
        {"starts", VmRun::preparing, VmRun::running, {"activate a"}},
        {"pauses", VmRun::running, VmRun::paused, {"deactivate a"}},
        {"resumes", VmRun::paused, VmRun::running, {"activate a"}},
        {"leaves", VmRun::running, VmRun::outgoing, {"deactivate a migration"}},
        {"was paused when it leaves", VmRun::paused, VmRun::outgoing, {}},
        {"stays after all", VmRun::outgoing, VmRun::running, {"associate a", "activate a"}},
        {"arrives", VmRun::incoming, VmRun::running, {"activate a migration"}},
        {"arrives paused", VmRun::incoming, VmRun::paused, {}},
        {"stops running", VmRun::running, VmRun::gone, {"disassociate a", "disconnect 5001"}},
        {"stops paused", VmRun::paused, VmRun::gone, {"disassociate a", "disconnect 5001"}},
        {"is not started after all", VmRun::preparing, VmRun::gone, {"disassociate a", "disconnect 5001"}},
    };
    for (const Row& row : rows) {
        wishes = {};
        nve.clear();
        up_with({wish("a", row.before)});
        EXPECT_EQ(set(row.after == VmRun::gone ? std::vector<TsiWish>{} : std::vector<TsiWish>{wish("a", row.after)}), row.told) << row.what;
    }
}

TEST_F(TsiWishesTest, AllIsToldInTheRightOrder)
{
    EXPECT_EQ(up_with({wish("a")}), (Log{"query", "connect blue", "associate a", "activate a", "done"}));
    EXPECT_TRUE(wishes.in_sync());
    ASSERT_EQ(wishes.networks().size(), 1u);
    EXPECT_EQ(wishes.networks()[0].vni, base::Vni(5001));
    EXPECT_TRUE(wishes.closed_ports().empty());
    EXPECT_EQ(wishes.view().at(0).state, "active");
}

TEST_F(TsiWishesTest, FlagOfMigrationEndsWithTheArrival)
{
    EXPECT_EQ(up_with({wish("a", VmRun::incoming)}), (Log{"query", "connect blue", "associate a migration", "done"}));
    EXPECT_EQ(set({wish("a", VmRun::paused)}), Log{});
    EXPECT_EQ(set({wish("a")}), (Log{"activate a migration"}));
    EXPECT_EQ(set({wish("a", VmRun::paused)}), (Log{"deactivate a"}));
    EXPECT_EQ(set({wish("a")}), (Log{"activate a"}));
}

TEST_F(TsiWishesTest, OnlyTheNewestIsTold)
{
    up_with({wish("a")});
    for (int i = 0; i < 100; i++) {
        wishes.set_wishes({wish("a", i % 2 ? VmRun::running : VmRun::paused)}, true);
    }
    EXPECT_EQ(settle(), Log{}) << "it runs, as the NVE knows";
    // The wish changes while it is asked: then the next step follows.
    wishes.set_wishes({wish("a", VmRun::paused)}, true);
    auto asked = messages();
    ASSERT_EQ(asked.size(), 1u);
    wishes.set_wishes({wish("a")}, true);
    EXPECT_TRUE(messages().empty()) << "one at a time";
    answer(asked[0]);
    EXPECT_EQ(settle(), (Log{"activate a"}));
}

TEST_F(TsiWishesTest, AfterAReconnectAllIsToldAgain)
{
    up_with({wish("a"), wish("b", VmRun::paused, "blue", 1)});
    wishes.session_down();
    EXPECT_TRUE(wishes.closed_ports().count("port-a") == 0) << "an NVE that is away closes nothing";
    wishes.session_up(true, kCipher);
    EXPECT_EQ(wishes.networks().size(), 1u);
    EXPECT_EQ(settle(), (Log{"query", "connect blue", "activate a", "associate b", "done"}));

    // The NVE was restarted and knows nothing: the port stays open meanwhile.
    nve.clear();
    wishes.session_up(true, kCipher);
    EXPECT_EQ(wishes.take_sync()->has_tsi_query(), true);
    report();
    EXPECT_EQ(wishes.closed_ports().count("port-a"), 0u);
    EXPECT_EQ(settle(), (Log{"connect blue", "associate a", "associate b", "activate a", "done"}));

    // Another NVE: its networks are not those of the former.
    nve.clear();
    wishes.session_up(false, kCipher);
    EXPECT_TRUE(wishes.networks().empty());
    EXPECT_EQ(settle().front(), "query");
    EXPECT_EQ(wishes.networks().size(), 1u);
}

TEST_F(TsiWishesTest, NothingIsDoneBeforeLibvirtIsKnown)
{
    wishes.set_wishes({}, false);
    wishes.session_up(false, kCipher);
    EXPECT_EQ(settle(), (Log{"query"}));
    EXPECT_EQ(set({}), (Log{"done"}));
}

TEST_F(TsiWishesTest, RefusedTsiIsAskedForAgainLaterAndLater)
{
    refuse = "activate a";
    EXPECT_EQ(up_with({wish("a")}), (Log{"query", "connect blue", "associate a", "activate a", "done"}));
    EXPECT_EQ(wishes.closed_ports().at("port-a"), "policy");
    EXPECT_EQ(wishes.view().at(0).state, "refused");
    for (auto wait : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
        ASSERT_TRUE(wishes.next_deadline());
        EXPECT_EQ(*wishes.next_deadline() - clock.now(), wait);
        clock.advance(wait - 1ms);
        EXPECT_EQ(settle(), Log{});
        clock.advance(1ms);
        EXPECT_EQ(settle(), (Log{"activate a"}));
    }
    refuse.clear();
    clock.advance(60s);
    EXPECT_EQ(settle(), (Log{"activate a"}));
    EXPECT_TRUE(wishes.closed_ports().empty());
    EXPECT_FALSE(wishes.next_deadline());
}

TEST_F(TsiWishesTest, RefusedNetwork)
{
    refuse = "connect blue";
    EXPECT_EQ(up_with({wish("a"), wish("b", VmRun::running, "red", 2)}),
              (Log{"query", "connect blue", "connect red", "associate b", "activate b", "done"}));
    EXPECT_EQ(wishes.closed_ports().at("port-a"), "network blue: not for you");
    EXPECT_EQ(wishes.networks().size(), 1u);
    refuse.clear();
    clock.advance(1s);
    EXPECT_EQ(settle(), (Log{"connect blue", "associate a", "activate a"}));
}

TEST_F(TsiWishesTest, ReservationOfAVm)
{
    up_with({});
    wishes.set_wishes({wish("a", VmRun::preparing)}, true);
    EXPECT_FALSE(wishes.reserved("vm-a"));
    settle();
    ASSERT_TRUE(wishes.reserved("vm-a"));
    EXPECT_TRUE(wishes.reserved("vm-a")->ok());
    EXPECT_TRUE(wishes.reserved("other")->ok()) << "nothing to reserve";
    refuse = "associate c";
    set({wish("a", VmRun::preparing), wish("c", VmRun::preparing, "blue", 3)});
    ASSERT_TRUE(wishes.reserved("vm-c"));
    EXPECT_EQ(wishes.reserved("vm-c")->error().text, "interface 52:54:00:00:00:03 of name-c: policy");
    wishes.ask_again("vm-c");
    EXPECT_FALSE(wishes.reserved("vm-c"));
    refuse.clear();
    EXPECT_EQ(settle(), (Log{"associate c"}));
    EXPECT_TRUE(wishes.reserved("vm-c")->ok());
}

TEST_F(TsiWishesTest, RemovedByTheNve)
{
    up_with({wish("a")});
    proto::TsiRemoved removed;
    removed.set_vni(5001);
    removed.set_tsi("a");
    removed.set_reason("moved to hv2");
    nve["a"] = proto::TSI_NONE;
    auto refused = wishes.on_removed(removed, clock.now());
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->reason, "moved to hv2");
    EXPECT_EQ(wishes.closed_ports().at("port-a"), "moved to hv2");
    EXPECT_EQ(settle(), Log{});
    clock.advance(1s);
    EXPECT_EQ(settle(), (Log{"associate a", "activate a"})) << "its VM still runs here";
    removed.set_tsi("b");
    EXPECT_FALSE(wishes.on_removed(removed, clock.now()));
}

TEST_F(TsiWishesTest, WhatLeavesIsNotReservedAnew)
{
    up_with({wish("a")});
    set({wish("a", VmRun::outgoing)});
    proto::TsiRemoved removed;
    removed.set_vni(5001);
    removed.set_tsi("a");
    nve["a"] = proto::TSI_NONE;
    wishes.on_removed(removed, clock.now());
    clock.advance(1h);
    EXPECT_EQ(settle(), Log{});
    EXPECT_EQ(set({}), (Log{"disconnect 5001"}));
}

TEST_F(TsiWishesTest, NetworkIsTakenAway)
{
    up_with({wish("a")});
    proto::VnDisconnect gone;
    gone.set_vni(5001);
    gone.set_reason("no longer yours");
    nve.clear();
    ASSERT_TRUE(wishes.on_disconnect(gone, clock.now()));
    EXPECT_TRUE(wishes.networks().empty());
    EXPECT_EQ(wishes.closed_ports().at("port-a"), "network blue: no longer yours");
    EXPECT_EQ(settle(), Log{});
    clock.advance(1s);
    EXPECT_EQ(settle(), (Log{"connect blue", "associate a", "activate a"}));
}

TEST_F(TsiWishesTest, AnotherCipherThanOurs)
{
    wishes.set_wishes({wish("a")}, true);
    wishes.session_up(false, *esp::cipher_from_level("high"));
    EXPECT_EQ(settle(), (Log{"query", "connect blue", "done", "disconnect 5001"}));
    EXPECT_TRUE(wishes.networks().empty());
    EXPECT_NE(wishes.closed_ports().at("port-a").find("other_config:nvo3-nve asks for aes256gcm"), std::string::npos)
        << wishes.closed_ports().at("port-a");
}

// One odd name must not cost the session of all others.
TEST_F(TsiWishesTest, NamesThatAreTooLongAreCut)
{
    auto odd = wish("a", VmRun::running, std::string(255, 'n'));
    for (odd.vm_name = "vm-"; odd.vm_name.size() < 200; odd.vm_name += "\xc3\xbc") {
    }
    wishes.set_wishes({odd}, true);
    wishes.session_up(false, *esp::cipher_from_level("high"));
    EXPECT_EQ(settle().back(), "disconnect 5001") << "with a reason that names the network";
    wishes.session_up(false, kCipher);
    EXPECT_EQ(settle(), (Log{"query", "connect " + std::string(255, 'n'), "associate a", "activate a", "done"}));
}

TEST_F(TsiWishesTest, OtherMacOrAddresses)
{
    up_with({wish("a")});
    auto changed = wish("a", VmRun::running, "blue", 9);
    wishes.set_wishes({changed}, true);
    EXPECT_EQ(wishes.closed_ports().count("port-a"), 1u);
    EXPECT_EQ(settle(), (Log{"disassociate a", "associate a", "activate a"}));
    changed.addresses = {*base::IpAddress::parse("192.0.2.1")};
    EXPECT_EQ(set({changed}), (Log{"associate a"})) << "without an interruption";
    EXPECT_TRUE(wishes.closed_ports().empty());
}

TEST_F(TsiWishesTest, TwoSpellingsOfOneNetwork)
{
    up_with({wish("a"), wish("b", VmRun::running, "5001", 2)});
    EXPECT_EQ(wishes.networks().size(), 1u);
    EXPECT_EQ(set({wish("a")}), (Log{"disassociate b"})) << "the network is used under its other name";
    EXPECT_EQ(set({}), (Log{"disassociate a", "disconnect 5001"}));
}

TEST_F(TsiWishesTest, AnNveThatDoesNotAnswerIsAskedAgain)
{
    up_with({});
    wishes.set_wishes({wish("a")}, true);
    ASSERT_EQ(messages().size(), 1u);
    EXPECT_TRUE(messages().empty());
    ASSERT_TRUE(wishes.next_deadline());
    clock.advance(*wishes.next_deadline() - clock.now());
    EXPECT_EQ(messages().size(), 1u);
    EXPECT_EQ(log, (Log{"query", "done", "connect blue", "connect blue"}));
}

TEST_F(TsiWishesTest, ALateAnswerIsNoneToWhatWasAskedSince)
{
    up_with({});
    wishes.set_wishes({wish("a")}, true);
    const Asked first = messages().at(0);
    clock.advance(*wishes.next_deadline() - clock.now());
    const Asked second = messages().at(0);
    answer(first);
    EXPECT_TRUE(messages().empty()) << "the second is still open";
    answer(second);
    EXPECT_EQ(settle(), (Log{"associate a", "activate a"}));
}

}  // namespace
}  // namespace nvo3::agent
