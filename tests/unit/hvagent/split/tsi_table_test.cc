// SPDX-License-Identifier: Apache-2.0
//
// The NVE's table of TSIs: each transition, those that are forbidden too (REQ 17, REQ 22).
#include "hvagent/split/tsi_table.h"

#include <gtest/gtest.h>

namespace nvo3::agent {
namespace {

namespace pb = control::proto;
using namespace std::chrono_literals;
using TimePoint = TsiTable::TimePoint;

constexpr auto kNone = pb::TSI_NONE;
constexpr auto kAssociated = pb::TSI_ASSOCIATED;
constexpr auto kActive = pb::TSI_ACTIVE;
const base::MacAddress kMac = *base::MacAddress::parse("52:54:00:00:00:01"), kMac2 = *base::MacAddress::parse("52:54:00:00:00:02");

std::vector<base::IpAddress> ips(const std::vector<std::string>& texts)
{
    std::vector<base::IpAddress> result;
    for (const std::string& text : texts) {
        result.push_back(*base::IpAddress::parse(text));
    }
    return result;
}

struct Ask {
    TsiAction action;
    std::vector<std::string> addresses = {};
    bool migration = false;
    std::string tsi = "t1";
    base::MacAddress mac = kMac;
    uint32_t vni = 5001;
};

class TsiTableTest : public ::testing::Test {
protected:
    TsiTableTest()
    {
        table.session_up("hv1", now);
        table.session_up("hv2", now);
    }
    static TsiAsked asked(const Ask& ask)
    {
        return {ask.action, base::Vni(ask.vni), ask.tsi, ask.mac, ips(ask.addresses), ask.migration, "vm"};
    }
    // The answer; nothing: it waits.
    std::optional<TsiTable::Answer> request(const std::string& hypervisor, const Ask& ask)
    {
        (void)table.take();
        table.request(hypervisor, ++last_id, asked(ask), now);
        actions = table.take();
        for (const auto& answer : actions.answers) {
            if (answer.hypervisor == hypervisor && answer.request_id == last_id) {
                return answer;
            }
        }
        return {};
    }
    bool accepts(const std::string& hypervisor, const Ask& ask)
    {
        auto answer = request(hypervisor, ask);
        reason = answer ? answer->reason : "(waits)";
        return answer && answer->accepted;
    }
    const TsiClaim* claim(const std::string& hypervisor, const std::string& tsi = "t1")
    {
        claims = table.claims(hypervisor);
        auto it = std::ranges::find(claims, tsi, &TsiClaim::tsi);
        return it == claims.end() ? nullptr : &*it;
    }
    TsiState state(const std::string& hypervisor) { return claim(hypervisor) ? claim(hypervisor)->state : kNone; }
    // Brings hv1's t1 into a state.
    void bring(TsiState wanted, std::vector<std::string> addresses = {})
    {
        if (wanted != kNone) {
            ASSERT_TRUE(accepts("hv1", {pb::TSI_ASSOCIATE, addresses}));
        }
        if (wanted == kActive) {
            ASSERT_TRUE(accepts("hv1", {pb::TSI_ACTIVATE}));
        }
    }
    const TsiTable::Change* change_of(const std::string& hypervisor) const
    {
        for (const auto& change : actions.changes) {
            if (change.claim.hypervisor == hypervisor) {
                return &change;
            }
        }
        return nullptr;
    }

    TimePoint now{100s};
    TsiTable table;
    TsiTable::Actions actions;
    std::vector<TsiClaim> claims;
    std::string reason;
    uint64_t last_id = 0;
};

// One hypervisor: every action in every state.
TEST_F(TsiTableTest, Transitions)
{
    struct Row {
        TsiState from;
        TsiAction action;
        bool accepted;
        TsiState to;
        const char* words;
    };
    const Row rows[] = {
        {kNone, pb::TSI_ASSOCIATE, true, kAssociated, ""},
        {kNone, pb::TSI_ACTIVATE, false, kNone, "it is not associated: associate it first"},
        {kNone, pb::TSI_DEACTIVATE, false, kNone, "it is not associated"},
        {kNone, pb::TSI_DISASSOCIATE, true, kNone, ""},
        {kAssociated, pb::TSI_ASSOCIATE, true, kAssociated, ""},
        {kAssociated, pb::TSI_ACTIVATE, true, kActive, ""},
        {kAssociated, pb::TSI_DEACTIVATE, false, kAssociated, "it is not active"},
        {kAssociated, pb::TSI_DISASSOCIATE, true, kNone, ""},
        {kActive, pb::TSI_ASSOCIATE, true, kActive, ""},
        {kActive, pb::TSI_ACTIVATE, true, kActive, ""},
        {kActive, pb::TSI_DEACTIVATE, true, kAssociated, ""},
        {kActive, pb::TSI_DISASSOCIATE, true, kNone, ""},
    };
    for (const Row& row : rows) {
        for (bool migration : {false, true}) {      // alone, the flag changes nothing
            SCOPED_TRACE(std::string(to_string(row.action)) + " of " + to_string(row.from));
            table = TsiTable();
            table.session_up("hv1", now);
            bring(row.from);
            auto answer = request("hv1", {row.action, {}, migration});
            ASSERT_TRUE(answer);
            EXPECT_EQ(answer->accepted, row.accepted);
            EXPECT_EQ(answer->state, row.to);
            EXPECT_EQ(answer->reason, row.words);
            EXPECT_EQ(state("hv1"), row.to);
            EXPECT_EQ(actions.changes.size(), row.from == row.to ? 0u : 1u);
            if (row.from != row.to) {
                EXPECT_EQ(actions.changes[0].before, row.from);
                EXPECT_EQ(actions.changes[0].claim.state, row.to);
                EXPECT_FALSE(actions.changes[0].tell);
            }
        }
    }
}

// With an NVA an activation is answered when that has spoken (REQ 17).
TEST_F(TsiTableTest, NvaHasTheLastWord)
{
    const base::Vni vni(5001);
    const std::string refusal = "the NVA: held by 'nve2'";
    auto activate = [&] {
        bring(kAssociated);
        EXPECT_FALSE(request("hv1", {pb::TSI_ACTIVATE})) << "it waits";
        EXPECT_EQ(state("hv1"), kActive) << "that the NVA is to be asked of";
    };
    auto answer = [&] {
        actions = table.take();
        return actions.answers.size() == 1 ? std::optional(actions.answers[0]) : std::nullopt;
    };
    table.set_nva(true);
    activate();
    table.nva_says(vni, kMac, {});
    ASSERT_TRUE(answer());
    EXPECT_TRUE(actions.answers[0].accepted);
    EXPECT_EQ(actions.answers[0].state, kActive);
    EXPECT_TRUE(accepts("hv1", {pb::TSI_ACTIVATE})) << "once said it holds";
    // Later it is another's after all: nobody asked, so the hypervisor is told.
    table.nva_says(vni, kMac, refusal);
    EXPECT_FALSE(answer());
    ASSERT_TRUE(change_of("hv1"));
    EXPECT_TRUE(change_of("hv1")->tell);
    EXPECT_EQ(change_of("hv1")->reason, refusal);
    EXPECT_EQ(state("hv1"), kNone);
    // Refused at once: it stays associated.
    activate();
    table.nva_says(vni, kMac, refusal);
    ASSERT_TRUE(answer());
    EXPECT_FALSE(actions.answers[0].accepted);
    EXPECT_EQ(actions.answers[0].reason, refusal);
    EXPECT_EQ(actions.answers[0].state, kAssociated);
    EXPECT_FALSE(change_of("hv1")->tell);
    EXPECT_EQ(state("hv1"), kAssociated);
    // What is not active is nothing to the NVA, nor is what is not there.
    table.nva_says(vni, kMac, refusal);
    table.nva_says(vni, kMac2, refusal);
    EXPECT_TRUE(table.take().empty());
    EXPECT_EQ(state("hv1"), kAssociated);
    // It does not answer, or goes away: the activation counts.
    activate();
    now += TsiTable::kNvaAnswers;
    table.tick(now);
    ASSERT_TRUE(answer());
    EXPECT_TRUE(actions.answers[0].accepted);
    ASSERT_TRUE(accepts("hv1", {pb::TSI_DEACTIVATE}));
    activate();
    table.set_nva(false);
    ASSERT_TRUE(answer());
    EXPECT_TRUE(actions.answers[0].accepted);
    ASSERT_TRUE(accepts("hv1", {pb::TSI_DEACTIVATE}));
    EXPECT_TRUE(accepts("hv1", {pb::TSI_ACTIVATE})) << "without an NVA at once";
}

TEST_F(TsiTableTest, WhoWaitsForTheNvaMayChangeItsMind)
{
    table.set_nva(true);
    bring(kAssociated);
    ASSERT_FALSE(request("hv1", {pb::TSI_ACTIVATE}));
    EXPECT_TRUE(accepts("hv1", {pb::TSI_DEACTIVATE}));
    ASSERT_EQ(actions.answers.size(), 2u);
    EXPECT_FALSE(actions.answers[0].accepted) << "the activation";
    table.nva_says(base::Vni(5001), kMac, {});
    EXPECT_TRUE(table.take().empty());
    // Of a hypervisor that goes away nobody waits for the answer.
    ASSERT_FALSE(request("hv1", {pb::TSI_ACTIVATE}));
    table.session_down("hv1", now);
    table.nva_says(base::Vni(5001), kMac, {});
    actions = table.take();
    EXPECT_TRUE(actions.answers.empty());
    EXPECT_EQ(state("hv1"), kActive);
    // One that moves here is asked of as well, when the former holder has given way.
    table.session_up("hv1", now);
    ASSERT_TRUE(accepts("hv1", {pb::TSI_ACTIVATE}));
    ASSERT_TRUE(accepts("hv2", {pb::TSI_ASSOCIATE, {}, true}));
    ASSERT_FALSE(request("hv2", {pb::TSI_ACTIVATE, {}, true}));
    ASSERT_TRUE(request("hv1", {pb::TSI_DEACTIVATE, {}, true})->accepted);
    EXPECT_EQ(actions.answers.size(), 1u);
    EXPECT_EQ(state("hv2"), kActive);
    table.nva_says(base::Vni(5001), kMac, {});
    actions = table.take();
    ASSERT_EQ(actions.answers.size(), 1u);
    EXPECT_TRUE(actions.answers[0].accepted);
}

TEST_F(TsiTableTest, Addresses)
{
    struct Row {
        const char* what;
        std::vector<std::string> associated;
        std::vector<Ask> asks;          // the last one is looked at
        bool accepted;
        TsiState state;
        std::vector<std::string> in_use;
    };
    const std::vector<std::string> two{"10.0.0.1", "10.0.0.2"};
    const Row rows[] = {
        {"all", two, {{pb::TSI_ACTIVATE}}, true, kActive, two},
        {"one", two, {{pb::TSI_ACTIVATE, {"10.0.0.2"}}}, true, kActive, {"10.0.0.2"}},
        {"one, then the other", two, {{pb::TSI_ACTIVATE, {"10.0.0.2"}}, {pb::TSI_ACTIVATE, {"10.0.0.1"}}}, true, kActive, two},
        {"one, then all", two, {{pb::TSI_ACTIVATE, {"10.0.0.2"}}, {pb::TSI_ACTIVATE}}, true, kActive, two},
        {"all stays all", two, {{pb::TSI_ACTIVATE}, {pb::TSI_ACTIVATE, {"10.0.0.1"}}}, true, kActive, two},
        {"a foreign one", two, {{pb::TSI_ACTIVATE, {"10.0.0.3"}}}, false, kAssociated, two},
        {"any, one of them", {}, {{pb::TSI_ACTIVATE, {"10.0.0.3"}}}, true, kActive, {"10.0.0.3"}},
        {"without one", two, {{pb::TSI_ACTIVATE}, {pb::TSI_DEACTIVATE, {"10.0.0.1"}}}, true, kActive, {"10.0.0.2"}},
        {"without both", two, {{pb::TSI_ACTIVATE}, {pb::TSI_DEACTIVATE, two}}, true, kAssociated, two},
        {"without one after the other", two, {{pb::TSI_ACTIVATE}, {pb::TSI_DEACTIVATE, {"10.0.0.1"}}, {pb::TSI_DEACTIVATE, {"10.0.0.2"}}}, true, kAssociated, two},
        {"any without one", {}, {{pb::TSI_ACTIVATE}, {pb::TSI_DEACTIVATE, {"10.0.0.1"}}}, false, kActive, {}},
        {"fewer while active", two, {{pb::TSI_ACTIVATE}, {pb::TSI_ASSOCIATE, {"10.0.0.2"}}}, true, kActive, {"10.0.0.2"}},
        {"others while some are active", two, {{pb::TSI_ACTIVATE, {"10.0.0.1"}}, {pb::TSI_ASSOCIATE, {"10.0.0.2"}}}, true, kAssociated, {"10.0.0.2"}},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        table = TsiTable();
        table.session_up("hv1", now);
        bring(kAssociated, row.associated);
        std::optional<TsiTable::Answer> answer;
        for (const Ask& ask : row.asks) {
            answer = request("hv1", ask);
        }
        ASSERT_TRUE(answer);
        EXPECT_EQ(answer->accepted, row.accepted) << answer->reason;
        ASSERT_TRUE(claim("hv1"));
        EXPECT_EQ(claim("hv1")->state, row.state);
        EXPECT_EQ(claim("hv1")->in_use(), ips(row.in_use));
    }
}

TEST_F(TsiTableTest, OneMacOneInterface)
{
    bring(kActive);
    for (auto action : {pb::TSI_ASSOCIATE, pb::TSI_ACTIVATE, pb::TSI_DEACTIVATE, pb::TSI_DISASSOCIATE}) {
        EXPECT_FALSE(accepts("hv1", {.action = action, .mac = kMac2})) << to_string(action);
        EXPECT_NE(reason.find("it has the MAC 52:54:00:00:00:01"), std::string::npos) << reason;
    }
    EXPECT_FALSE(accepts("hv2", {.action = pb::TSI_ASSOCIATE, .migration = true, .mac = kMac2}));
    EXPECT_FALSE(accepts("hv2", {.action = pb::TSI_ASSOCIATE, .migration = true, .tsi = "t2"}));
    EXPECT_EQ(reason, "its MAC is that of another interface in the same network");
    EXPECT_TRUE(accepts("hv2", {.action = pb::TSI_ASSOCIATE, .tsi = "t2", .vni = 5002})) << reason;
    EXPECT_EQ(state("hv1"), kActive);
    // Free again with the interface.
    EXPECT_TRUE(accepts("hv1", {pb::TSI_DISASSOCIATE}));
    EXPECT_TRUE(accepts("hv2", {.action = pb::TSI_ASSOCIATE, .tsi = "t2"})) << reason;
}

TEST_F(TsiTableTest, MacOfAPortOfTheNve)
{
    table.set_local({{{base::Vni(5001), kMac}, "vm1"}});
    EXPECT_FALSE(accepts("hv1", {pb::TSI_ASSOCIATE}));
    EXPECT_EQ(reason, "its MAC is that of a VM port of this NVE");
    table.set_local({});
    bring(kActive);
    (void)table.take();
    table.set_local({{{base::Vni(5001), kMac}, "vm1"}});
    actions = table.take();
    ASSERT_TRUE(change_of("hv1"));
    EXPECT_TRUE(change_of("hv1")->tell);
    EXPECT_EQ(state("hv1"), kNone);
}

TEST_F(TsiTableTest, AnotherHypervisorNeedsTheMigrationFlag)
{
    for (auto held : {kAssociated, kActive}) {
        table = TsiTable();
        table.session_up("hv1", now);
        table.session_up("hv2", now);
        bring(held);
        EXPECT_FALSE(accepts("hv2", {pb::TSI_ASSOCIATE}));
        EXPECT_EQ(reason, "it is at hv1, and no migration was said");
        EXPECT_FALSE(accepts("hv2", {pb::TSI_ACTIVATE, {}, true}));     // nothing was reserved
        EXPECT_TRUE(accepts("hv2", {pb::TSI_ASSOCIATE, {}, true})) << reason;
        EXPECT_EQ(state("hv1"), held);
        EXPECT_EQ(accepts("hv2", {pb::TSI_ACTIVATE}), held == kAssociated) << reason;
    }
    EXPECT_EQ(reason, "it is active at hv1, and no migration was said");
    EXPECT_EQ(state("hv1"), kActive);
}

TEST_F(TsiTableTest, MigrationSourceGivesWayFirst)
{
    bring(kActive);
    ASSERT_TRUE(accepts("hv2", {pb::TSI_ASSOCIATE, {}, true}));
    ASSERT_TRUE(accepts("hv1", {pb::TSI_DEACTIVATE, {}, true}));
    ASSERT_TRUE(accepts("hv2", {pb::TSI_ACTIVATE, {}, true})) << reason;
    ASSERT_TRUE(change_of("hv1"));
    EXPECT_EQ(change_of("hv1")->reason, "moved to hv2");
    EXPECT_TRUE(change_of("hv1")->tell);
    EXPECT_EQ(state("hv1"), kNone);
    EXPECT_EQ(state("hv2"), kActive);
}

TEST_F(TsiTableTest, MigrationTargetWaitsForTheSource)
{
    for (auto action : {pb::TSI_DEACTIVATE, pb::TSI_DISASSOCIATE}) {
        table = TsiTable();
        table.session_up("hv1", now);
        table.session_up("hv2", now);
        bring(kActive);
        ASSERT_TRUE(accepts("hv2", {pb::TSI_ASSOCIATE, {}, true}));
        EXPECT_FALSE(request("hv2", {pb::TSI_ACTIVATE, {}, true}));
        const uint64_t waiting = last_id;
        EXPECT_EQ(table.next_deadline(), now + TsiTable::kGiveWay);
        EXPECT_TRUE(accepts("hv1", {action, {}, true}));
        ASSERT_EQ(actions.answers.size(), 2u);
        EXPECT_EQ(actions.answers[1].hypervisor, "hv2");
        EXPECT_EQ(actions.answers[1].request_id, waiting);
        EXPECT_TRUE(actions.answers[1].accepted);
        EXPECT_EQ(state("hv2"), kActive);
        EXPECT_FALSE(table.next_deadline());
    }
}

TEST_F(TsiTableTest, MigrationSourceThatDoesNotGiveWayKeepsIt)
{
    bring(kActive);
    ASSERT_TRUE(accepts("hv2", {pb::TSI_ASSOCIATE, {}, true}));
    EXPECT_FALSE(request("hv2", {pb::TSI_ACTIVATE, {}, true}));
    now += TsiTable::kGiveWay - 1ms;
    table.tick(now);
    EXPECT_TRUE(table.take().empty());
    now += 1ms;
    table.tick(now);
    actions = table.take();
    ASSERT_EQ(actions.answers.size(), 1u);
    EXPECT_FALSE(actions.answers[0].accepted);
    EXPECT_EQ(actions.answers[0].reason, "hv1 has not given way for 5 seconds");
    EXPECT_EQ(state("hv1"), kActive);
    EXPECT_EQ(state("hv2"), kAssociated);
}

TEST_F(TsiTableTest, MigrationSourceThatIsAwayGivesWay)
{
    bring(kActive);
    ASSERT_TRUE(accepts("hv2", {pb::TSI_ASSOCIATE, {}, true}));
    EXPECT_FALSE(request("hv2", {pb::TSI_ACTIVATE, {}, true}));
    now += 2s;
    table.session_down("hv1", now);
    EXPECT_TRUE(table.take().empty()) << "it may come back";
    EXPECT_EQ(table.next_deadline(), now + TsiTable::kGiveWay);
    now += TsiTable::kGiveWay - 1ms;
    table.tick(now);
    EXPECT_TRUE(table.take().empty());
    now += 1ms;
    table.tick(now);
    actions = table.take();
    ASSERT_EQ(actions.answers.size(), 1u);
    EXPECT_TRUE(actions.answers[0].accepted) << actions.answers[0].reason;
    ASSERT_TRUE(change_of("hv1"));
    EXPECT_FALSE(change_of("hv1")->tell);       // it cannot be told
    EXPECT_EQ(state("hv2"), kActive);
}

// A hypervisor that once had the VM, or guesses its name, waits for the moment when the agent of
// the present one restarts (REQ 19).
TEST_F(TsiTableTest, WhoReconnectsLosesNothingToOneWithTheFlag)
{
    bring(kActive);
    ASSERT_TRUE(accepts("hv2", {pb::TSI_ASSOCIATE, {}, true}));
    table.session_down("hv1", now);
    EXPECT_FALSE(request("hv2", {pb::TSI_ACTIVATE, {}, true})) << "it waits";
    now += TsiTable::kGiveWay - 1ms;
    table.tick(now);
    table.session_up("hv1", now);
    now += 1ms;
    table.tick(now);
    actions = table.take();
    ASSERT_EQ(actions.answers.size(), 1u);
    EXPECT_FALSE(actions.answers[0].accepted);
    EXPECT_EQ(state("hv1"), kActive);
    // One that has been away for as long gives way at once.
    table.session_down("hv1", now);
    now += TsiTable::kGiveWay;
    EXPECT_TRUE(accepts("hv2", {pb::TSI_ACTIVATE, {}, true})) << reason;
    EXPECT_EQ(state("hv1"), kNone);
}

TEST_F(TsiTableTest, MigrationThatFailsComesBack)
{
    bring(kActive);
    ASSERT_TRUE(accepts("hv2", {pb::TSI_ASSOCIATE, {}, true}));
    ASSERT_TRUE(accepts("hv1", {pb::TSI_DEACTIVATE, {}, true}));
    EXPECT_TRUE(accepts("hv1", {pb::TSI_ACTIVATE})) << reason;
    EXPECT_EQ(state("hv2"), kAssociated);
    EXPECT_TRUE(accepts("hv2", {pb::TSI_DISASSOCIATE}));
    EXPECT_EQ(state("hv1"), kActive);
}

TEST_F(TsiTableTest, WhoWaitsAndAsksSomethingElseIsAnswered)
{
    bring(kActive);
    ASSERT_TRUE(accepts("hv2", {pb::TSI_ASSOCIATE, {}, true}));
    EXPECT_FALSE(request("hv2", {pb::TSI_ACTIVATE, {}, true}));
    EXPECT_TRUE(accepts("hv2", {pb::TSI_DISASSOCIATE}));
    ASSERT_EQ(actions.answers.size(), 2u);
    EXPECT_FALSE(actions.answers[0].accepted);
    EXPECT_EQ(state("hv1"), kActive);
    // One that goes away waits no longer.
    ASSERT_TRUE(accepts("hv2", {pb::TSI_ASSOCIATE, {}, true}));
    EXPECT_FALSE(request("hv2", {pb::TSI_ACTIVATE, {}, true}));
    table.session_down("hv2", now);
    ASSERT_TRUE(accepts("hv1", {pb::TSI_DEACTIVATE}));
    EXPECT_EQ(actions.answers.size(), 1u);
    EXPECT_EQ(state("hv2"), kAssociated);
}

TEST_F(TsiTableTest, LostSessionTakesNothingAlongForAWhile)
{
    bring(kActive);
    table.session_down("hv1", now);
    ASSERT_TRUE(claim("hv1"));
    EXPECT_TRUE(claim("hv1")->away);
    EXPECT_EQ(table.next_deadline(), now + TsiTable::kKeep);
    (void)table.take();
    now += TsiTable::kKeep - 1ms;
    table.tick(now);
    EXPECT_EQ(state("hv1"), kActive);
    now += 1ms;
    table.tick(now);
    actions = table.take();
    ASSERT_TRUE(change_of("hv1"));      // not silently
    EXPECT_EQ(change_of("hv1")->reason, "its hypervisor was away for 60 seconds");
    EXPECT_EQ(state("hv1"), kNone);
    EXPECT_FALSE(table.next_deadline());
}

TEST_F(TsiTableTest, ResynchronisationRemovesWhatIsNotToldAgain)
{
    bring(kActive);
    ASSERT_TRUE(accepts("hv1", {.action = pb::TSI_ASSOCIATE, .tsi = "t2", .mac = kMac2}));
    table.session_down("hv1", now);
    table.session_up("hv1", now);
    ASSERT_TRUE(accepts("hv1", {pb::TSI_ASSOCIATE}));       // as it does not know what is kept
    ASSERT_TRUE(accepts("hv1", {pb::TSI_ACTIVATE}));
    EXPECT_TRUE(actions.changes.empty());                   // nothing was interrupted
    (void)table.take();
    table.sync_done("hv1");
    actions = table.take();
    ASSERT_EQ(actions.changes.size(), 1u);
    EXPECT_EQ(actions.changes[0].claim.tsi, "t2");
    EXPECT_EQ(state("hv1"), kActive);
    now += 2 * TsiTable::kKeep;
    table.tick(now);
    EXPECT_EQ(state("hv1"), kActive);
}

TEST_F(TsiTableTest, ReturnWithoutResynchronisationEndsToo)
{
    bring(kActive);
    table.session_down("hv1", now);
    now += 10s;
    table.session_up("hv1", now);
    (void)table.take();
    now += TsiTable::kKeep;
    table.tick(now);
    actions = table.take();
    ASSERT_TRUE(change_of("hv1"));
    EXPECT_TRUE(change_of("hv1")->tell);
    EXPECT_EQ(state("hv1"), kNone);
}

TEST_F(TsiTableTest, LeavingANetworkAndForgettingAHypervisor)
{
    bring(kActive);
    ASSERT_TRUE(accepts("hv1", {.action = pb::TSI_ASSOCIATE, .tsi = "t2", .vni = 5002}));
    (void)table.take();
    table.leave("hv1", base::Vni(5001), "the network is no longer allowed");
    actions = table.take();
    ASSERT_EQ(actions.changes.size(), 1u);
    EXPECT_EQ(actions.changes[0].claim.tsi, "t1");
    EXPECT_FALSE(actions.changes[0].tell);
    table.forget("hv1", "its port was removed");
    EXPECT_TRUE(table.claims().empty());
    EXPECT_FALSE(request("hv1", {pb::TSI_ASSOCIATE}));      // it is not up
    EXPECT_TRUE(table.claims().empty());
}

TEST_F(TsiTableTest, OneHypervisorCannotTakeAllMemory)
{
    for (size_t i = 0; i < TsiTable::kMaxOfHypervisor; i++) {
        base::MacAddress mac = kMac;
        mac.octets[3] = static_cast<uint8_t>(i >> 8);
        mac.octets[4] = static_cast<uint8_t>(i);
        ASSERT_TRUE(accepts("hv1", {.action = pb::TSI_ASSOCIATE, .tsi = "t" + std::to_string(i + 10), .mac = mac})) << reason;
    }
    EXPECT_FALSE(accepts("hv1", {.action = pb::TSI_ASSOCIATE, .tsi = "more", .mac = kMac2}));
    EXPECT_NE(reason.find("4096"), std::string::npos);
    EXPECT_TRUE(accepts("hv2", {.action = pb::TSI_ASSOCIATE, .tsi = "more", .mac = kMac2})) << reason;
    table.forget("hv1", "");
    table.session_up("hv1", now);
    EXPECT_TRUE(accepts("hv1", {.action = pb::TSI_ASSOCIATE})) << reason;
}

}  // namespace
}  // namespace nvo3::agent
