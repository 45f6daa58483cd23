// SPDX-License-Identifier: Apache-2.0
//
// Group keys: when an epoch begins, who is told which secret, what a sender is given.
#include "nva/groups.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/unit/nva/nva_fixture.h"

using namespace nvo3;
using namespace nvo3::tests;
using control::Envelope;
using nva::Directory;
using nva::Groups;

namespace {

using namespace std::chrono_literals;

const base::Bytes kMaster(32, 0x5a);
constexpr uint32_t kFirst = 1767225600;      // the fake clock in seconds

std::string octets(const base::IpAddress& address)
{
    return {reinterpret_cast<const char*>(address.wire().data()), address.wire().size()};
}

// One NVA: its groups and directory.
struct OneNva {
    OneNva(FakeStore& store, control::AuditLog& audit, const base::Clock& clock, base::ByteView master = kMaster)
        : groups(base::Secret(master), store, audit, clock)
    {
    }

    void apply(FakeStore& store)
    {
        auto view = store.view();
        directory.apply(view);
        groups.apply(view);
    }

    // What an NVE that knows its networks is told.
    std::vector<control::proto::GroupKey> told(const std::string& nve)
    {
        groups.present(nve, true);
        auto known = directory.subscribe(nve, {});
        while (!directory.next(known).empty()) {
        }
        std::vector<control::proto::GroupKey> keys;
        for (auto step = groups.next(subscribers[nve], nve, directory, known); !step.empty();
             step = groups.next(subscribers[nve], nve, directory, known)) {
            for (Envelope& message : step) {
                message.set_request_id(1);
                EXPECT_TRUE(control::check_envelope(message));
                keys.push_back(message.group_key());
            }
        }
        return keys;
    }

    Directory directory{1};
    Groups groups;
    std::map<std::string, Groups::Subscriber> subscribers;
};

class GroupsTest : public ::testing::Test {
protected:
    GroupsTest()
    {
        store.rows.groups.push_back({kRed, "239.1.1.1", 0, "", 0, {}});
        settle();
    }

    // Until nothing is left to do, for every NVA.
    void settle()
    {
        for (OneNva* one : {&nva, &other}) {
            one->apply(store);
        }
        while (!store.queue.empty()) {
            store.work();
            for (OneNva* one : {&nva, &other}) {
                one->apply(store);
            }
        }
    }

    control::proto::GroupGrant enrol(const std::string& nve, uint32_t epoch, const std::string& group = "239.1.1.1", uint32_t vni = kRed)
    {
        control::proto::GroupRegister request;
        request.set_vni(vni);
        request.set_group(octets(ip(group)));
        request.set_epoch(epoch);
        control::proto::GroupGrant answer;
        int answers = 0;
        nva.groups.enrol(1, nve, nva.subscribers[nve], request, [&](const auto& grant) {
            answer = grant;
            answers++;
        });
        settle();
        EXPECT_EQ(answers, 1);
        return answer;
    }

    // Asks for another epoch; the answer's epoch comes into 'answers'.
    void renew(OneNva& at, const std::string& nve, const std::string& group = "239.1.1.1", uint32_t vni = kRed)
    {
        control::proto::GroupRenew request;
        request.set_vni(vni);
        request.set_group(octets(ip(group)));
        at.groups.renew(nve, request, [this, nve](const auto& answer) {
            Envelope message;
            message.set_request_id(1);
            message.set_in_reply_to(1);
            *message.mutable_group_renewed() = answer;
            EXPECT_TRUE(control::check_envelope(message));
            (answer.accepted() ? answers : refusals).push_back(nve + " " + (answer.accepted() ? std::to_string(answer.epoch() - kFirst) : answer.reason()));
        });
    }

    std::vector<std::string> answers, refusals;

    const nva::raw::Group& row() { return store.rows.groups[0]; }

    FakeClock clock;
    std::unique_ptr<control::AuditLog> audit = std::move(*control::AuditLog::open("", clock));
    FakeStore store{small_store()};
    OneNva nva{store, *audit, clock}, other{store, *audit, clock};
};

TEST_F(GroupsTest, OneOfSeveralNvasBeginsTheFirstEpoch)
{
    EXPECT_EQ(row().epoch, kFirst);
    EXPECT_EQ(row().told, (std::vector<std::string>{"hv1", "hv2"}));
    EXPECT_EQ(row().nonce.size(), 32u);
}

TEST_F(GroupsTest, MembersOfEveryNvaHaveTheSameSecretAndOthersHaveNone)
{
    auto hv1 = nva.told("hv1");
    auto hv2 = other.told("hv2");
    ASSERT_EQ(hv1.size(), 1u);
    ASSERT_EQ(hv2.size(), 1u);
    EXPECT_EQ(hv1[0].secret(), hv2[0].secret());
    EXPECT_EQ(hv1[0].secret().size(), control::kGroupSecretSize);
    EXPECT_EQ(hv1[0].epoch(), kFirst);
    EXPECT_TRUE(nva.told("hv3").empty());
    EXPECT_TRUE(nva.told("mallory").empty());
    EXPECT_TRUE(nva.told("hv1").empty()) << "told twice";
}

TEST_F(GroupsTest, WhoJoinsIsNotedBeforeItIsTold)
{
    store.rows.members.push_back({kRed, "hv3"});
    nva.apply(store);
    EXPECT_TRUE(nva.told("hv3").empty()) << "told before the store knew";
    settle();
    EXPECT_EQ(row().epoch, kFirst) << "who joins starts no epoch";
    EXPECT_EQ(row().told.back(), "hv3");
    EXPECT_EQ(nva.told("hv3").size(), 1u);
}

TEST_F(GroupsTest, WhoLeavesOrIsRevokedEndsTheEpochAtOnce)
{
    struct Row {
        const char* description;
        void (*change)(Rows&);
    };
    const Row rows[] = {
        {"leaves", [](Rows& raw) { raw.members.erase(raw.members.begin()); }},
        {"is revoked", [](Rows& raw) { raw.nves[0].revoked = true; }},
        {"is removed", [](Rows& raw) {
             raw.members.erase(raw.members.begin());
             raw.nves.erase(raw.nves.begin());
         }},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.description);
        Rows before = store.rows;
        uint32_t epoch = this->row().epoch;
        std::string nonce = this->row().nonce;
        auto old = nva.told("hv1");
        (void)nva.told("hv2");
        row.change(store.rows);
        settle();
        EXPECT_EQ(this->row().epoch, epoch + 1);
        EXPECT_NE(this->row().nonce, nonce);
        EXPECT_EQ(this->row().told, (std::vector<std::string>{"hv2"}));
        EXPECT_TRUE(nva.told("hv1").empty());
        auto now = nva.told("hv2");
        ASSERT_EQ(now.size(), 1u);
        EXPECT_EQ(now[0].epoch(), epoch + 1);
        before.groups = store.rows.groups;
        store.rows = before;
        settle();
    }
}

TEST_F(GroupsTest, TimeEndsAnEpoch)
{
    store.rows.other_config["group-rekey-seconds"] = "60";
    settle();
    uint32_t epoch = row().epoch;
    clock.advance(59s);
    nva.groups.poll();
    EXPECT_TRUE(store.queue.empty());
    clock.advance(1s);
    nva.groups.poll();
    nva.groups.poll();
    EXPECT_EQ(store.queue.size(), 1u) << "asked once";
    settle();
    EXPECT_EQ(row().epoch, epoch + 60);
}

TEST_F(GroupsTest, EpochsNeverGoBack)
{
    struct Row {
        const char* description;
        std::chrono::seconds later;
        void (*change)(nva::raw::Group&);
        uint32_t expected;
    };
    const Row rows[] = {
        {"made anew", 5s, [](nva::raw::Group& group) { group = {kRed, "239.1.1.1", 0, "", 0, {}}; }, kFirst + 5},
        {"restored", 5s, [](nva::raw::Group& group) { group.epoch = 7, group.started = 0; }, kFirst + 10},
        {"twice in a second", 0s, [](nva::raw::Group& group) { group.started = 0; }, kFirst + 11},
        {"the clock was set back", -100s, [](nva::raw::Group& group) { group.told.emplace_back("gone"); }, kFirst + 12},
        {"a nonce that cannot be read", 0s, [](nva::raw::Group& group) { group.nonce = "zz"; }, kFirst + 13},
    };
    for (const Row& row : rows) {
        clock.advance(row.later);
        row.change(store.rows.groups[0]);
        settle();
        EXPECT_EQ(this->row().epoch, row.expected) << row.description;
        EXPECT_EQ(this->row().nonce.size(), 32u) << row.description;
        auto told = nva.told("hv1");
        ASSERT_EQ(told.size(), 1u) << row.description;
        EXPECT_EQ(told[0].epoch(), row.expected) << row.description;
    }
}

TEST_F(GroupsTest, ASenderIsGrantedAnIdAndAllMembersHearOfIt)
{
    (void)nva.told("hv1");
    (void)other.told("hv2");
    auto grant = enrol("hv1", kFirst);
    ASSERT_TRUE(grant.accepted()) << grant.reason();
    EXPECT_EQ(grant.sender().name(), "hv1");
    EXPECT_EQ(grant.sender().address(), octets(ip("10.0.0.1")));
    EXPECT_EQ(grant.sender().sender_id().size(), control::kSenderIdSize);
    EXPECT_TRUE(base::Spi(grant.sender().spi()).of_group());
    for (auto& keys : {nva.told("hv1"), other.told("hv2")}) {
        ASSERT_EQ(keys.size(), 1u);
        ASSERT_EQ(keys[0].senders_size(), 1);
        EXPECT_EQ(keys[0].senders(0).SerializeAsString(), grant.sender().SerializeAsString());
    }
    clock.advance(1s);
    auto again = enrol("hv1", kFirst);
    EXPECT_NE(again.sender().sender_id(), grant.sender().sender_id());
    ASSERT_EQ(other.told("hv2")[0].senders_size(), 1) << "the former one is gone";
}

TEST_F(GroupsTest, OneSenderIdASecondForEachGroupAndEpoch)
{
    store.rows.groups.push_back({kRed, "239.1.1.2", 0, "", 0, {}});
    settle();
    EXPECT_TRUE(enrol("hv1", kFirst).accepted());
    clock.advance(999ms);
    auto soon = enrol("hv1", kFirst);
    EXPECT_FALSE(soon.accepted());
    EXPECT_NE(soon.reason().find("less than a second ago"), std::string::npos) << soon.reason();
    EXPECT_EQ(store.rows.senders.size(), 1u);
    EXPECT_TRUE(enrol("hv1", kFirst, "239.1.1.2").accepted()) << "another group";
    EXPECT_TRUE(enrol("hv2", kFirst).accepted()) << "another NVE";
    clock.advance(1ms);
    EXPECT_TRUE(enrol("hv1", kFirst).accepted());
    store.rows.groups[0].epoch++;
    settle();
    EXPECT_TRUE(enrol("hv1", kFirst + 1).accepted()) << "another epoch";
}

TEST_F(GroupsTest, AnSpiThatIsTakenIsDrawnAnew)
{
    store.next_sender_fails = base::Error{EEXIST, "taken"};
    EXPECT_TRUE(enrol("hv1", kFirst).accepted());
    EXPECT_EQ(store.rows.senders.size(), 1u);
}

TEST_F(GroupsTest, WhoIsRefused)
{
    struct Row {
        const char* nve;
        uint32_t vni;
        const char* group;
        uint32_t epoch;
        const char* reason;
    };
    store.rows.groups.push_back({kRed, "ff05::1:1", 0, "", 0, {}});
    settle();
    const Row rows[] = {
        {"hv1", kRed, "239.1.1.1", 2, "epoch 1767225600, not 2"},    {"hv3", kRed, "239.1.1.1", kFirst, "does not serve"},
        {"hv1", kRed, "239.1.1.2", kFirst, "no group"},          {"hv1", kBlue, "239.1.1.1", kFirst, "no group"},
        {"hv1", kRed, "ff05::1:1", kFirst, "no underlay address"},
    };
    for (const Row& row : rows) {
        auto grant = enrol(row.nve, row.epoch, row.group, row.vni);
        EXPECT_FALSE(grant.accepted());
        EXPECT_FALSE(grant.has_sender());
        EXPECT_NE(grant.reason().find(row.reason), std::string::npos) << grant.reason();
    }
    EXPECT_TRUE(store.rows.senders.empty());
}

TEST_F(GroupsTest, AnotherMasterKeyIsAnotherSecretAndNoneIsNoGroups)
{
    OneNva foreign(store, *audit, clock, base::Bytes(32, 1)), off(store, *audit, clock, {});
    foreign.apply(store);
    off.apply(store);
    EXPECT_NE(foreign.told("hv1")[0].secret(), nva.told("hv1")[0].secret());
    EXPECT_FALSE(off.groups.enabled());
    EXPECT_TRUE(off.told("hv1").empty());
    EXPECT_TRUE(store.queue.empty());
}

TEST_F(GroupsTest, WhoHasLostItsWindowsIsGivenAnotherEpoch)
{
    (void)nva.told("hv1");
    (void)nva.told("hv2");
    clock.advance(60s);
    renew(nva, "hv1");
    EXPECT_EQ(store.queue.size(), 1u) << "at once";
    EXPECT_TRUE(answers.empty()) << "the store does not have it yet";
    settle();
    EXPECT_EQ(answers, std::vector<std::string>{"hv1 60"});
    EXPECT_EQ(row().epoch, kFirst + 60);
    for (const char* nve : {"hv1", "hv2"}) {
        auto told = nva.told(nve);
        ASSERT_EQ(told.size(), 1u);
        EXPECT_EQ(told[0].epoch(), kFirst + 60);
    }
}

TEST_F(GroupsTest, ManyThatStartAtOnceShareAnEpoch)
{
    store.rows.members.push_back({kRed, "hv3"});
    settle();
    for (const char* nve : {"hv1", "hv2", "hv3"}) {
        (void)nva.told(nve);
    }
    settle();
    clock.advance(60s);
    renew(nva, "hv1");
    renew(nva, "hv2");      // when the epoch that hv1 gets may have begun
    settle();
    EXPECT_EQ(answers, std::vector<std::string>{"hv1 60"});
    renew(nva, "hv3");
    settle();
    EXPECT_EQ(answers.size(), 1u) << "a group's epoch lasts two seconds";
    clock.advance(2s - 1ms);
    settle();
    EXPECT_EQ(answers.size(), 1u);
    clock.advance(1ms);
    settle();
    EXPECT_EQ(answers, (std::vector<std::string>{"hv1 60", "hv2 62", "hv3 62"}));
    EXPECT_EQ(row().epoch, kFirst + 62);
}

// An epoch that began for another reason is as good.
TEST_F(GroupsTest, WhoWaitsSharesWhateverEpochBegins)
{
    (void)nva.told("hv1");
    (void)nva.told("hv2");
    clock.advance(60s);
    renew(nva, "hv1");
    settle();
    renew(nva, "hv2");
    store.rows.members.erase(store.rows.members.begin());
    settle();
    EXPECT_EQ(answers, (std::vector<std::string>{"hv1 60", "hv2 61"}));
}

// Of an epoch that another NVA begins it is not known here whether it came first.
TEST_F(GroupsTest, AnEpochOfAnotherNvaIsNoAnswer)
{
    (void)nva.told("hv1");
    (void)other.told("hv2");
    clock.advance(60s);
    renew(nva, "hv1");
    renew(other, "hv2");
    settle();
    EXPECT_EQ(answers, std::vector<std::string>{"hv1 60"});
    clock.advance(2s);
    settle();
    EXPECT_EQ(answers, (std::vector<std::string>{"hv1 60", "hv2 62"}));
}

TEST_F(GroupsTest, OneNveGetsAnEpochEveryTenSeconds)
{
    (void)nva.told("hv1");
    (void)nva.told("hv2");
    clock.advance(60s);
    renew(nva, "hv1");
    settle();
    for (int second = 1; second < 10; second++) {
        clock.advance(1s);
        renew(nva, "hv1");
        settle();
        EXPECT_EQ(answers.size(), 1u) << second;
    }
    EXPECT_EQ(nva.groups.view()[0].postponed, 9u);
    EXPECT_EQ(nva.groups.view()[0].waiting, 1u);
    EXPECT_NE(audit->recent(1).back().find("too often"), std::string::npos);
    clock.advance(1s - 1ms);
    settle();
    EXPECT_EQ(answers.size(), 1u);
    clock.advance(1ms);
    settle();
    EXPECT_EQ(answers, (std::vector<std::string>{"hv1 60", "hv1 70"}));
    EXPECT_EQ(nva.groups.view()[0].waiting, 0u);
    clock.advance(3s);
    renew(nva, "hv2");
    settle();
    EXPECT_EQ(answers.back(), "hv2 73") << "others are not held back";
}

TEST_F(GroupsTest, WhoIsGoneWaitsForNothing)
{
    (void)nva.told("hv1");
    clock.advance(60s);
    renew(nva, "hv1");
    settle();
    renew(nva, "hv2");
    nva.groups.present("hv2", false);
    clock.advance(60s);
    settle();
    EXPECT_EQ(answers, std::vector<std::string>{"hv1 60"});
    EXPECT_EQ(row().epoch, kFirst + 60);
}

TEST_F(GroupsTest, WhoIsRefusedAnotherEpoch)
{
    clock.advance(60s);
    renew(nva, "hv3");
    renew(nva, "hv1", "239.1.1.2");
    renew(nva, "hv2", "239.1.1.1", kBlue);
    OneNva off(store, *audit, clock, {});
    off.apply(store);
    renew(off, "hv1");
    settle();
    EXPECT_EQ(refusals, (std::vector<std::string>{"hv3 'hv3' does not serve this network", "hv1 the network has no group 239.1.1.2",
                                                  "hv2 the network has no group 239.1.1.1",
                                                  "hv1 this NVA has no group key (--group-key): groups are off"}));
    EXPECT_EQ(row().epoch, kFirst);
}

}  // namespace
