// SPDX-License-Identifier: Apache-2.0
//
// The directory: what each NVE is told, in which order, from which version; never more than its
// networks, never a message above the limits.
#include "nva/directory.h"

#include <gtest/gtest.h>

#include "control/framer.h"
#include "tests/unit/nva/nva_fixture.h"

using namespace nvo3;
using namespace nvo3::tests;
using control::Envelope;
using nva::Directory;

namespace {

constexpr uint64_t kInstance = 77;

class DirectoryTest : public ::testing::Test {
protected:
    DirectoryTest() { apply(); }

    void apply() { directory.apply(view = view_of(raw, &model)); }

    static control::proto::DirectoryRequest request(std::vector<std::pair<uint32_t, uint64_t>> known = {}, uint64_t instance = kInstance)
    {
        control::proto::DirectoryRequest request;
        request.set_nva_instance(instance);
        for (auto [vni, version] : known) {
            auto* entry = request.add_known();
            entry->set_vni(vni);
            entry->set_version(version);
        }
        return request;
    }

    // All steps, each message checked as the other side will.
    std::vector<Envelope> all(Directory::Subscriber& subscriber)
    {
        std::vector<Envelope> messages;
        for (auto step = directory.next(subscriber); !step.empty(); step = directory.next(subscriber)) {
            for (Envelope& message : step) {
                message.set_request_id(1);
                EXPECT_TRUE(control::check_envelope(message));
                EXPECT_LE(message.ByteSizeLong(), control::kMaxFrameSize);
                messages.push_back(std::move(message));
            }
        }
        return messages;
    }

    Directory::Subscriber subscribed(const std::string& nve)
    {
        auto subscriber = directory.subscribe(nve, request());
        all(subscriber);
        return subscriber;
    }

    Rows raw = small_store();
    nva::StoreModel model;
    std::shared_ptr<const nva::StoreView> view;
    Directory directory{kInstance, {.log = 16, .part_octets = 1000, .part_entries = 10}};
};

TEST_F(DirectoryTest, TellsTheNetworksOfAnNveAndThenThatItIsReady)
{
    auto subscriber = directory.subscribe("hv2", request());
    auto messages = all(subscriber);
    ASSERT_EQ(messages.size(), 3u);
    const auto& red = messages[0].vn_update();
    EXPECT_EQ(red.vni(), kRed);
    EXPECT_EQ(red.from_version(), 0u);
    EXPECT_EQ(red.name(), "red");
    EXPECT_EQ(red.encap(), control::proto::ENCAP_GENEVE);
    ASSERT_EQ(red.members_size(), 2);
    EXPECT_EQ(red.members(0).name(), "hv1");
    EXPECT_EQ(red.members(0).addresses(0), std::string("\x0a\0\0\x01", 4));
    EXPECT_EQ(messages[1].vn_update().vni(), kBlue);
    EXPECT_TRUE(messages[2].has_directory_ready());
    EXPECT_TRUE(directory.next(subscriber).empty());
}

TEST_F(DirectoryTest, UnknownAndRevokedNvesHearNothingOfAnyNetwork)
{
    raw.nves[1].revoked = true;
    apply();
    for (const char* name : {"mallory", "hv2"}) {
        auto subscriber = directory.subscribe(name, request());
        auto messages = all(subscriber);
        ASSERT_EQ(messages.size(), 1u) << name;
        EXPECT_TRUE(messages[0].has_directory_ready());
    }
    auto hv1 = directory.subscribe("hv1", request());
    EXPECT_EQ(all(hv1)[0].vn_update().members_size(), 1) << "a revoked NVE is no member";
}

TEST_F(DirectoryTest, AStepHasWhatChangedAndNoMore)
{
    auto subscriber = subscribed("hv1");
    uint64_t before = directory.version(base::Vni(kRed));
    raw.mappings.push_back({kRed, "52:54:00:00:00:01", {"192.168.0.1"}, "hv2"});
    apply();
    EXPECT_FALSE(directory.is_current(subscriber, base::Vni(kRed)));
    auto messages = all(subscriber);
    ASSERT_EQ(messages.size(), 1u);
    const auto& update = messages[0].vn_update();
    EXPECT_EQ(update.from_version(), before);
    EXPECT_EQ(update.members_size(), 0);
    ASSERT_EQ(update.mappings_size(), 1);
    EXPECT_EQ(update.mappings(0).nve(), "hv2");
    EXPECT_TRUE(directory.is_current(subscriber, base::Vni(kRed)));

    raw.mappings.clear();
    apply();
    messages = all(subscriber);
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].vn_update().mappings_gone_size(), 1);
}

TEST_F(DirectoryTest, WhatCameAndWentWhileAnNveWasSlowIsOneStep)
{
    auto subscriber = subscribed("hv1");
    for (int i = 0; i < 5; i++) {
        raw.mappings = {{kRed, "52:54:00:00:00:01", {}, i % 2 ? "hv1" : "hv2"}};
        apply();
    }
    auto messages = all(subscriber);
    ASSERT_EQ(messages.size(), 1u);
    ASSERT_EQ(messages[0].vn_update().mappings_size(), 1);
    EXPECT_EQ(messages[0].vn_update().mappings(0).nve(), "hv2");
}

TEST_F(DirectoryTest, ChangesOfOthersNetworksAreNoStep)
{
    auto subscriber = subscribed("hv1");
    raw.mappings.push_back({kBlue, "52:54:00:00:00:01", {}, "hv2"});
    raw.nves.push_back({"hv4", {"10.0.0.4"}, false, ""});
    apply();
    EXPECT_TRUE(directory.next(subscriber).empty());
}

TEST_F(DirectoryTest, EpochsAndSendersOfGroupsAreNoStepButGroupsAre)
{
    auto subscriber = subscribed("hv1");
    raw.groups.push_back({kRed, "239.1.1.1", 0, "", 0, {}});
    apply();
    auto messages = all(subscriber);
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].vn_update().groups(0), std::string("\xef\x01\x01\x01"));
    raw.groups[0].epoch = 1;
    raw.groups[0].nonce = std::string(32, 'a');
    raw.groups[0].told = {"hv1"};
    apply();
    EXPECT_TRUE(directory.next(subscriber).empty());
}

TEST_F(DirectoryTest, WhoLeavesHearsOfItFirstAndOthersHearOfWhoLeft)
{
    auto hv1 = subscribed("hv1"), hv2 = subscribed("hv2");
    raw.members.erase(raw.members.begin());     // hv1 from red
    apply();
    auto messages = all(hv1);
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].vn_gone().vni(), kRed);
    messages = all(hv2);
    ASSERT_EQ(messages.size(), 1u);
    ASSERT_EQ(messages[0].vn_update().members_gone_size(), 1);
    EXPECT_EQ(messages[0].vn_update().members_gone(0), "hv1");

    // Back again: all of it, as nothing is known any more.
    raw.members.push_back({kRed, "hv1"});
    apply();
    messages = all(hv1);
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].vn_update().from_version(), 0u);
}

TEST_F(DirectoryTest, ANetworkThatIsMadeAgainIsAnotherOne)
{
    auto subscriber = subscribed("hv1");
    uint64_t version = directory.version(base::Vni(kRed));
    Rows without = raw;
    without.vns.erase(without.vns.begin());
    directory.apply(view_of(without));
    apply();
    EXPECT_GT(directory.version(base::Vni(kRed)), version);
    auto messages = all(subscriber);
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].vn_update().from_version(), 0u);
}

TEST_F(DirectoryTest, Resumes)
{
    uint64_t version = directory.version(base::Vni(kRed));
    raw.mappings.push_back({kRed, "52:54:00:00:00:01", {}, "hv2"});
    apply();
    struct Row {
        const char* description;
        std::vector<std::pair<uint32_t, uint64_t>> known;
        uint64_t instance;
        uint64_t from;
        size_t gone;
    };
    const Row rows[] = {
        {"from what it knows", {{kRed, version}}, kInstance, version, 0},
        {"of another process: all", {{kRed, version}}, kInstance + 1, 0, 0},
        {"a version from the future: all", {{kRed, version + 100}}, kInstance, 0, 0},
        {"and is told what it lost", {{kRed, version}, {kBlue, version}, {9, 9}}, kInstance, version, 2},
        {"knows nothing", {}, kInstance, 0, 0},
    };
    for (const Row& row : rows) {
        auto subscriber = directory.subscribe("hv1", request(row.known, row.instance));
        auto messages = all(subscriber);
        ASSERT_EQ(messages.size(), row.gone + 2) << row.description;
        for (size_t i = 0; i < row.gone; i++) {
            EXPECT_TRUE(messages[i].has_vn_gone()) << row.description;
        }
        EXPECT_EQ(messages[row.gone].vn_update().from_version(), row.from) << row.description;
    }
    auto current = directory.subscribe("hv1", request({{kRed, version + 1}}));
    version = directory.version(base::Vni(kRed));
    current = directory.subscribe("hv1", request({{kRed, version}}));
    EXPECT_EQ(all(current).size(), 1u) << "what is known already was told again";
}

TEST_F(DirectoryTest, WhereTheLogDoesNotReachAllIsTold)
{
    auto subscriber = subscribed("hv1");
    for (int i = 0; i < 20; i++) {      // the log has 16
        raw.mappings = {{kRed, "52:54:00:00:00:01", {}, i % 2 ? "hv1" : "hv2"}};
        apply();
    }
    auto messages = all(subscriber);
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].vn_update().from_version(), 0u);
    EXPECT_EQ(messages[0].vn_update().members_size(), 2);
}

TEST_F(DirectoryTest, LargeStepsComeInPartsThatBelongTogether)
{
    for (int i = 1; i <= 100; i++) {
        raw.mappings.push_back({kRed, to_string(mac(static_cast<uint8_t>(i))), {"192.168.0.1", "2001:db8::1"}, "hv1"});
    }
    apply();
    auto subscriber = directory.subscribe("hv1", request());
    auto step = directory.next(subscriber);
    ASSERT_GT(step.size(), 10u);
    int mappings = 0;
    for (size_t i = 0; i < step.size(); i++) {
        const auto& part = step[i].vn_update();
        mappings += part.mappings_size();
        EXPECT_EQ(part.more(), i + 1 < step.size());
        EXPECT_EQ(part.version(), directory.version(base::Vni(kRed)));
        EXPECT_EQ(part.name().empty(), i > 0);
        EXPECT_LE(part.ByteSizeLong(), 1000u);
        EXPECT_LE(part.mappings_size() + part.members_size(), 10);
    }
    EXPECT_EQ(mappings, 100);
}

}  // namespace
