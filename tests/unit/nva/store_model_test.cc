// SPDX-License-Identifier: Apache-2.0
//
// From rows to views: what is of no use is left out and named, what has not changed is the same
// object, and a view made by difference is the one that is made of all rows.
#include "nva/store_model.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "tests/unit/nva/nva_fixture.h"

using namespace nvo3;
using namespace nvo3::tests;

TEST(StoreModel, WhatHasNotChangedIsTheSameObject)
{
    auto raw = small_store();
    nva::StoreModel model;
    auto first = view_of(raw, &model);
    raw.mappings.push_back({kRed, "52:54:00:00:00:01", {}, "hv1"});
    auto second = view_of(raw, &model);
    EXPECT_NE(first->vns.at(base::Vni(kRed)), second->vns.at(base::Vni(kRed)));
    EXPECT_EQ(first->vns.at(base::Vni(kBlue)), second->vns.at(base::Vni(kBlue)));
}

TEST(StoreModel, RowsOfNoUse)
{
    struct Row {
        const char* description;
        void (*change)(Rows&);
        const char* problem;
    };
    const Row rows[] = {
        {"address", [](Rows& raw) { raw.nves[0].addresses.push_back("10.0.0"); }, "NVE hv1: '10.0.0'"},
        {"multicast address", [](Rows& raw) { raw.nves[0].addresses = {"239.1.1.1"}; }, "NVE hv1: '239.1.1.1'"},
        {"cipher", [](Rows& raw) { raw.vns[0].cipher = "rot13"; }, "network red"},
        {"MAC", [](Rows& raw) { raw.mappings.push_back({kRed, "01:00:00:00:00:01", {}, "hv1"}); }, "mapping 01:00:00:00:00:01"},
        {"MAC in upper case", [](Rows& raw) { raw.mappings.push_back({kRed, "52:54:00:00:00:AA", {}, "hv1"}); }, "mapping 52:54:00:00:00:AA"},
        {"group", [](Rows& raw) { raw.groups.push_back({kRed, "10.0.0.1", 0, "", 0, {}}); }, "group 10.0.0.1"},
        {"nonce", [](Rows& raw) { raw.groups.push_back({kRed, "239.1.1.1", 4, "zz", 0, {}}); }, "nonce"},
        {"setting", [](Rows& raw) { raw.other_config["control-rate"] = "0"; }, "other_config:control-rate=0"},
    };
    for (const Row& row : rows) {
        auto raw = small_store();
        row.change(raw);
        auto view = view_of(raw);
        ASSERT_EQ(view->problems.size(), 1u) << row.description;
        EXPECT_NE(view->problems[0].find(row.problem), std::string::npos) << row.description << ": " << view->problems[0];
    }
}

TEST(StoreModel, MappingsOfWhoDoesNotServeTheNetworkAreStrays)
{
    auto raw = small_store();
    raw.mappings = {{kRed, "52:54:00:00:00:01", {}, "hv3"}, {kRed, "52:54:00:00:00:02", {}, "hv1"}, {kBlue, "52:54:00:00:00:03", {}, "hv2"}};
    raw.nves[1].revoked = true;
    auto view = view_of(raw);
    EXPECT_EQ(view->find(base::Vni(kRed))->mappings.size(), 1u);
    EXPECT_TRUE(view->find(base::Vni(kBlue))->mappings.empty());
    ASSERT_EQ(view->strays.size(), 2u);
    EXPECT_EQ(view->strays[0].nve, "hv3");
    EXPECT_EQ(view->find_nve("hv2"), nullptr);
}

TEST(StoreModel, SendersAreThoseOfTheEpochAndMembers)
{
    auto raw = small_store();
    std::string id(32, 'a');
    raw.groups.push_back({kRed, "239.1.1.1", 2, std::string(32, 'b'), 0, {"hv1"}});
    raw.senders = {{kRed, "239.1.1.1", "hv1", 2, id, 0x80000001}, {kRed, "239.1.1.1", "hv2", 1, id, 0x80000002},
                   {kRed, "239.1.1.1", "hv3", 2, id, 0x80000003}};
    auto view = view_of(raw);
    const auto& group = view->find(base::Vni(kRed))->groups.at(ip("239.1.1.1"));
    ASSERT_EQ(group.senders.size(), 1u);
    EXPECT_EQ(group.senders.begin()->first, "hv1");
    EXPECT_EQ(group.senders.begin()->second.spi, base::Spi(0x80000001));
}

// Random changes of single rows, as they come one by one, and all rows afresh.
TEST(StoreModel, ByDifferenceAsAfresh)
{
    using RowId = nva::StoreModel::RowId;
    std::mt19937 random(1);
    auto any = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
    auto id = [](uint8_t table, uint32_t number) { return RowId{table, static_cast<uint8_t>(number >> 8), static_cast<uint8_t>(number)}; };
    auto name = [](uint32_t n) { return "hv" + std::to_string(n); };
    const std::string octets(32, 'a');

    std::map<RowId, std::function<void(nva::StoreModel&)>> rows;
    nva::StoreModel model;
    std::map<std::string, std::string> settings;
    std::shared_ptr<const nva::StoreView> before = model.view();
    size_t kept = 0, served = 0, strays = 0, senders = 0;
    for (int step = 0; step < 4000; step++) {
        RowId row;
        std::function<void(nva::StoreModel&)> put;
        auto is = [&](uint8_t table, uint32_t number, auto value) {
            row = id(table, number);
            put = [row, value](nva::StoreModel& to) { to.put(row, value); };
        };
        uint32_t nve = any(6), vn = any(5);
        switch (any(8)) {
        case 0: is(1, nve, nva::raw::Nve{name(nve), {"10.0.0." + std::to_string(1 + any(9))}, any(4) == 0, ""}); break;
        case 1: is(2, vn, nva::raw::Vn{"vn" + std::to_string(vn), 5000 + vn, "geneve", any(9) ? "aes128gcm" : "rot13"}); break;
        case 2: is(3, nve * 8 + vn, nva::raw::Member{5000 + vn, name(nve)}); break;
        case 3: is(5, vn, nva::raw::Group{5000 + vn, "239.1.1.1", 1 + any(3), octets, 0, {name(nve)}}); break;
        case 4: is(6, nve * 8 + vn, nva::raw::Sender{5000 + vn, "239.1.1.1", name(nve), 1 + any(3), octets, 0x80000001 + nve}); break;
        case 5: settings["control-rate"] = std::to_string(any(3)); break;
        default: is(4, any(20) * 8 + vn, nva::raw::Mapping{5000 + vn, to_string(mac(static_cast<uint8_t>(any(20)))), {}, name(nve)}); break;
        }
        if (put && any(5) == 0) {
            rows.erase(row);
            model.erase(row);
        } else if (put) {
            rows[row] = put;
            put(model);
        }
        model.set_settings(settings);
        if (any(500) == 0) {
            model.clear();
            for (const auto& [key, tell] : rows) {
                tell(model);
            }
        }
        if (any(3) != 0) {
            continue;       // several changes may come at once
        }
        auto view = model.view();
        nva::StoreModel other;
        for (const auto& [key, tell] : rows) {
            tell(other);
        }
        other.set_settings(settings);
        auto afresh = other.view();
        ASSERT_EQ(*view->nves, *afresh->nves) << step;
        ASSERT_EQ(view->settings, afresh->settings) << step;
        ASSERT_EQ(view->strays, afresh->strays) << step;
        ASSERT_EQ(view->problems, afresh->problems) << step;
        ASSERT_EQ(view->vns.size(), afresh->vns.size()) << step;
        for (const auto& [vni, network] : view->vns) {
            ASSERT_EQ(*network, *afresh->vns.at(vni)) << step;
            auto former = before->vns.find(vni);
            if (former != before->vns.end() && *former->second == *network) {
                ASSERT_EQ(former->second, network) << step << ": not the same object";
                kept++;
            }
            served++;
            senders += network->groups.empty() ? 0 : network->groups.begin()->second.senders.size();
        }
        strays += view->strays.size();
        before = view;
    }
    EXPECT_GT(kept, 100u);
    EXPECT_GT(served - kept, 100u);
    EXPECT_GT(strays, 100u);
    EXPECT_GT(senders, 100u);
}

TEST(StoreModel, SessionsComeAndGoWithoutAnotherNetwork)
{
    nva::StoreModel model;
    Rows rows = small_store();
    auto before = view_of(rows, &model);
    EXPECT_TRUE(before->sessions->empty());
    nva::StoreModel::RowId id{1, 0, 0};
    model.put(id, nva::raw::Nve{"hv1", {"10.0.0.1"}, false, "a"});
    model.put({7, 0, 0}, nva::raw::Nva{"a", 3});
    auto view = model.view();
    EXPECT_EQ(view->session_of("hv1"), "a");
    EXPECT_EQ(view->session_of("hv2"), "");
    EXPECT_EQ(view->nvas, (std::map<std::string, int64_t>{{"a", 3}}));
    EXPECT_EQ(view->nves, before->nves) << "the same object";
    model.put(id, nva::raw::Nve{"hv1", {"10.0.0.9"}, false, "a"});
    EXPECT_NE(model.view()->nves, before->nves);
    model.erase({7, 0, 0});
    model.erase(id);
    view = model.view();
    EXPECT_TRUE(view->nvas.empty());
    EXPECT_TRUE(view->sessions->empty());
}
