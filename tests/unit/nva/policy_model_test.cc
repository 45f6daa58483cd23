// SPDX-License-Identifier: Apache-2.0
//
// The store's policy: a bad one takes the place of no good one, networks that are not there
// have no part in it, what has not changed is the same object.
#include "nva/policy_model.h"

#include <gtest/gtest.h>

#include "nva/policy_check.h"
#include "tests/unit/nva/nva_fixture.h"

using namespace nvo3;
using namespace nvo3::tests;

namespace {

const std::string kText = "gateway red 10.1.0.254/24   # of the shop\n"
                          "gateway 5002 10.2.0.254/24 mac 0e:00:00:00:00:02\n"
                          "gateway green 10.3.0.254/24\n"
                          "\n"
                          "10 allow from red to 5002 proto tcp port 80\n"
                          "20 deny from green to red\n";
const std::set<base::Vni> kBoth{base::Vni(kRed), base::Vni(kBlue)};

class PolicyModelTest : public ::testing::Test {
protected:
    PolicyModelTest()
    {
        raw.vns.push_back({"green", 5003, "geneve", "aes128gcm"});
        set(kText, 7);
    }

    void set(const std::string& text, int64_t version)
    {
        raw.policies = {{text, version}};
        apply();
    }
    void apply() { view = view_of(raw, &model); }
    std::string text(const std::set<base::Vni>& networks) const { return view->policy->text_of(networks); }

    Rows raw = small_store();
    nva::StoreModel model;
    std::shared_ptr<const nva::StoreView> view;
};

TEST_F(PolicyModelTest, APartHasTheNetworksThatWereAskedForAndNoOther)
{
    EXPECT_TRUE(view->problems.empty());
    EXPECT_EQ(view->policy->summary(), "version 7: 3 gateways, 2 rules");
    EXPECT_EQ(text(kBoth), "gateway 5001 10.1.0.254/24\n"
                           "gateway 5002 10.2.0.254/24 mac 0e:00:00:00:00:02\n"
                           "10 allow from 5001 to 5002 proto tcp port 80\n");
    EXPECT_EQ(text({base::Vni(kRed)}), "gateway 5001 10.1.0.254/24\n") << "a rule of which one end is here is of no use here";
    EXPECT_EQ(text({base::Vni(5003), base::Vni(77)}), "gateway 5003 10.3.0.254/24\n");
    EXPECT_EQ(text({}), "");
    std::set<base::Vni> all = kBoth;
    all.insert(base::Vni(5003));
    EXPECT_TRUE(policy::parse_policy(text(all)));
    EXPECT_LT(text(all).find("20 deny"), text(all).find("10 allow")) << "in the order in which they decide";
}

TEST_F(PolicyModelTest, ABadOneTakesThePlaceOfNoGoodOne)
{
    auto good = view->policy;
    for (const char* bad : {"gateway red\n", "gateway red 10.1.0.254/24\n10 allow from red to blue\n", "nonsense"}) {
        set(bad, 8);
        EXPECT_EQ(view->policy, good) << bad;
        ASSERT_EQ(view->problems.size(), 1u) << bad;
        EXPECT_NE(view->problems[0].find("version 8 of the policy is not used: line "), std::string::npos) << view->problems[0];
        EXPECT_NE(view->problems[0].find("version 7 goes on"), std::string::npos) << view->problems[0];
        EXPECT_EQ(view->policy_error, view->problems[0]);
    }
    set("", 9);
    EXPECT_TRUE(view->problems.empty());
    EXPECT_TRUE(view->policy_error.empty());
    EXPECT_EQ(view->policy->summary(), "version 9: 0 gateways, 0 rules");
}

TEST_F(PolicyModelTest, ABadOneAtTheStartIsNone)
{
    nva::StoreModel fresh;
    raw.policies = {{"gateway red\n", 8}};
    view = view_of(raw, &fresh);
    EXPECT_EQ(view->policy, nullptr);
    ASSERT_EQ(view->problems.size(), 1u);
    EXPECT_NE(view->problems[0].find("NVEs go on with what they have"), std::string::npos) << view->problems[0];
    raw.policies.clear();
    view = view_of(raw, &fresh);
    ASSERT_TRUE(view->policy);
    EXPECT_EQ(view->policy->version(), 0u) << "no row is an empty policy";
}

TEST_F(PolicyModelTest, OneNetworkByTwoWordsIsSeen)
{
    set("gateway red 10.1.0.254/24\ngateway 5001 10.2.0.254/24\n", 8);
    ASSERT_EQ(view->problems.size(), 1u);
    EXPECT_NE(view->problems[0].find("line 2: network 5001 has a gateway already (line 1)"), std::string::npos) << view->problems[0];
    EXPECT_EQ(view->policy->version(), 7u);
}

TEST_F(PolicyModelTest, NetworksThatAreNotThereHaveNoPart)
{
    raw.vns.pop_back();     // green
    apply();
    ASSERT_EQ(view->problems.size(), 1u);
    EXPECT_NE(view->problems[0].find("green (line 3)"), std::string::npos) << view->problems[0];
    EXPECT_TRUE(view->policy_error.empty()) << "the rest of it is in force";
    EXPECT_EQ(view->policy->summary(), "version 7: 2 gateways, 1 rules");
    raw.vns.push_back({"green", 9, "geneve", "aes128gcm"});
    apply();
    EXPECT_TRUE(view->problems.empty());
    EXPECT_EQ(text({base::Vni(9)}), "gateway 9 10.3.0.254/24\n");
    EXPECT_EQ(text({base::Vni(5003)}), "");
}

TEST_F(PolicyModelTest, WhatDoesNotConcernItLeavesTheSameObject)
{
    auto before = view->policy;
    raw.mappings.push_back({kRed, "52:54:00:00:00:01", {}, "hv1"});
    raw.vns.push_back({"other", 6000, "geneve", "aes128gcm"});
    apply();
    EXPECT_EQ(view->policy.get(), before.get());
    std::swap(raw.vns[0].name, raw.vns[2].name);
    apply();
    EXPECT_NE(view->policy, before);
    EXPECT_EQ(text({base::Vni(kRed)}), "gateway 5001 10.3.0.254/24\n") << "the text is of names";
}

// ---- As nvo3-nvactl asks ----

TEST(PolicyCheck, SaysWhatIsWrongOrHowMuchThereIs)
{
    const policy_network networks[] = {{"red", kRed}, {"blue", kBlue}};
    struct Row {
        const char* text;
        const char* words;      // null: good
    };
    const Row rows[] = {
        {"", nullptr},
        {"gateway red 10.1.0.254/24\ngateway blue 10.2.0.254/24\n10 allow from red to blue\n", nullptr},
        {"gateway red 10.1.0.254/24\ngateway 5001 10.2.0.254/24\n", "line 2: network 5001 has a gateway already"},
        {"gateway green 10.1.0.254/24\n", "there is no such network: green (line 1)"},
        {"gateway 5003 10.1.0.254/24\n", "there is no such network: 5003 (line 1)"},
        {"\nfoo\n", "line 2, column 1, 'foo'"},
    };
    for (const Row& row : rows) {
        char* summary = nullptr;
        char* error = policy_check(row.text, networks, 2, &summary);
        EXPECT_EQ(error == nullptr, row.words == nullptr) << row.text << (error ? error : "");
        EXPECT_EQ(summary == nullptr, row.words != nullptr);
        if (error && row.words) {
            EXPECT_NE(std::string(error).find(row.words), std::string::npos) << error;
        }
        free(error);
        free(summary);
    }
}

TEST(PolicyCheck, FindsStatements)
{
    auto lines = [](const std::string& statement) {
        size_t* found = nullptr;
        size_t n = policy_find(kText.c_str(), statement.c_str(), &found);
        std::vector<size_t> result(found, found + n);
        free(found);
        return result;
    };
    EXPECT_EQ(lines("10  allow from red to 5002 proto 6 port 80"), std::vector<size_t>{5});
    EXPECT_EQ(lines("gateway red"), std::vector<size_t>{1});
    EXPECT_EQ(lines("gateway red 10.1.0.254/24"), std::vector<size_t>{1});
    EXPECT_TRUE(lines("gateway red 10.1.0.253/24").empty());
    EXPECT_TRUE(lines("10 allow from red to 5002").empty());
    EXPECT_TRUE(lines("").empty());
    const policy_network red{"red", kRed}, blue{"blue", kBlue}, other{"other", 9};
    EXPECT_EQ(policy_line_of(kText.c_str(), &red), 1u);
    EXPECT_EQ(policy_line_of(kText.c_str(), &blue), 2u) << "by its VNI";
    EXPECT_EQ(policy_line_of(kText.c_str(), &other), 0u);
}

}  // namespace
