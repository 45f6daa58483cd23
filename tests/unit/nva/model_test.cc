// SPDX-License-Identifier: Apache-2.0
//
// From rows to the model: what is of no use is left out and named, what has not changed is the
// same object.
#include "nva/model.h"

#include <gtest/gtest.h>

#include "tests/unit/nva/nva_fixture.h"

using namespace nvo3;
using namespace nvo3::tests;

TEST(Model, WhatHasNotChangedIsTheSameObject)
{
    auto raw = small_store();
    auto first = nva::make_view(raw, nullptr);
    raw.mappings.push_back({kRed, "52:54:00:00:00:01", {}, "hv1"});
    auto second = nva::make_view(raw, first.get());
    EXPECT_NE(first->vns.at(base::Vni(kRed)), second->vns.at(base::Vni(kRed)));
    EXPECT_EQ(first->vns.at(base::Vni(kBlue)), second->vns.at(base::Vni(kBlue)));
}

TEST(Model, RowsOfNoUse)
{
    struct Row {
        const char* description;
        void (*change)(nva::RawStore&);
        const char* problem;
    };
    const Row rows[] = {
        {"address", [](nva::RawStore& raw) { raw.nves[0].addresses.push_back("10.0.0"); }, "NVE hv1: '10.0.0'"},
        {"multicast address", [](nva::RawStore& raw) { raw.nves[0].addresses = {"239.1.1.1"}; }, "NVE hv1: '239.1.1.1'"},
        {"cipher", [](nva::RawStore& raw) { raw.vns[0].cipher = "rot13"; }, "network red"},
        {"MAC", [](nva::RawStore& raw) { raw.mappings.push_back({kRed, "01:00:00:00:00:01", {}, "hv1"}); }, "mapping 01:00:00:00:00:01"},
        {"MAC in upper case", [](nva::RawStore& raw) { raw.mappings.push_back({kRed, "52:54:00:00:00:AA", {}, "hv1"}); }, "mapping 52:54:00:00:00:AA"},
        {"group", [](nva::RawStore& raw) { raw.groups.push_back({kRed, "10.0.0.1", 0, "", 0, {}}); }, "group 10.0.0.1"},
        {"nonce", [](nva::RawStore& raw) { raw.groups.push_back({kRed, "239.1.1.1", 4, "zz", 0, {}}); }, "nonce"},
        {"setting", [](nva::RawStore& raw) { raw.other_config["control-rate"] = "0"; }, "other_config:control-rate=0"},
    };
    for (const Row& row : rows) {
        auto raw = small_store();
        row.change(raw);
        auto view = nva::make_view(raw, nullptr);
        ASSERT_EQ(view->problems.size(), 1u) << row.description;
        EXPECT_NE(view->problems[0].find(row.problem), std::string::npos) << row.description << ": " << view->problems[0];
    }
}

TEST(Model, MappingsOfWhoDoesNotServeTheNetworkAreStrays)
{
    auto raw = small_store();
    raw.mappings = {{kRed, "52:54:00:00:00:01", {}, "hv3"}, {kRed, "52:54:00:00:00:02", {}, "hv1"}, {kBlue, "52:54:00:00:00:03", {}, "hv2"}};
    raw.nves[1].revoked = true;
    auto view = nva::make_view(raw, nullptr);
    EXPECT_EQ(view->find(base::Vni(kRed))->mappings.size(), 1u);
    EXPECT_TRUE(view->find(base::Vni(kBlue))->mappings.empty());
    ASSERT_EQ(view->strays.size(), 2u);
    EXPECT_EQ(view->strays[0].nve, "hv3");
    EXPECT_EQ(view->find_nve("hv2"), nullptr);
}

TEST(Model, SendersAreThoseOfTheEpochAndMembers)
{
    auto raw = small_store();
    std::string id(32, 'a');
    raw.groups.push_back({kRed, "239.1.1.1", 2, std::string(32, 'b'), 0, {"hv1"}});
    raw.senders = {{kRed, "239.1.1.1", "hv1", 2, id, 0x80000001}, {kRed, "239.1.1.1", "hv2", 1, id, 0x80000002},
                   {kRed, "239.1.1.1", "hv3", 2, id, 0x80000003}};
    auto view = nva::make_view(raw, nullptr);
    const auto& group = view->find(base::Vni(kRed))->groups.at(ip("239.1.1.1"));
    ASSERT_EQ(group.senders.size(), 1u);
    EXPECT_EQ(group.senders.begin()->first, "hv1");
    EXPECT_EQ(group.senders.begin()->second.spi, base::Spi(0x80000001));
}
