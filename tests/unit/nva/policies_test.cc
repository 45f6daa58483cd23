// SPDX-License-Identifier: Apache-2.0
//
// The policy on its way to each NVE: its networks' part only, when it changes, in its place among
// the networks, and not again when the NVE has it.
#include "nva/policies.h"

#include <gtest/gtest.h>

#include "control/policy_text.h"
#include "nva/directory.h"
#include "tests/unit/nva/nva_fixture.h"

using namespace nvo3;
using namespace nvo3::tests;
using control::Envelope;
using nva::Directory;

namespace {

const std::string kGateways = "gateway red 10.1.0.254/24\ngateway blue 10.2.0.254/24\n";
const std::string kRedGateway = "gateway 5001 10.1.0.254/24\n", kBlueGateway = "gateway 5002 10.2.0.254/24\n";

class PoliciesTest : public ::testing::Test {
protected:
    PoliciesTest() { set(kGateways + "10 allow from red to blue\n", 1); }

    void set(const std::string& text, int64_t version)
    {
        raw.policies = {{text, version}};
        apply();
    }
    void apply() { directory.apply(view_of(raw, &model)); }

    // What an NVE is told, a word each: "+VNI", "-VNI", "policy", "ready"; texts are kept.
    std::vector<std::string> tell(Directory::Subscriber& subscriber)
    {
        std::vector<std::string> words;
        control::PolicyParts parts(policy::kMaxText);
        for (auto step = directory.next(subscriber); !step.empty(); step = directory.next(subscriber)) {
            for (const Envelope& message : step) {
                if (message.has_policy_update()) {
                    auto whole = parts.add(message.policy_update());
                    EXPECT_TRUE(whole);
                    if (*whole) {
                        words.push_back("policy");
                        text = (*whole)->text;
                        version = (*whole)->version;
                    }
                } else {
                    words.push_back(message.has_vn_update() ? "+" + std::to_string(message.vn_update().vni())
                                    : message.has_vn_gone() ? "-" + std::to_string(message.vn_gone().vni()) : "ready");
                }
            }
        }
        return words;
    }
    using Words = std::vector<std::string>;

    Rows raw = small_store();
    nva::StoreModel model;
    Directory directory{77};
    std::string text;
    uint64_t version = 0;
};

TEST_F(PoliciesTest, EachIsToldItsPartBetweenNetworksAndReady)
{
    auto hv1 = directory.subscribe("hv1", {});
    EXPECT_FALSE(directory.has_policy(hv1));
    EXPECT_EQ(tell(hv1), (Words{"+5001", "policy", "ready"}));
    EXPECT_EQ(text, kRedGateway);
    EXPECT_TRUE(directory.has_policy(hv1));
    auto hv2 = directory.subscribe("hv2", {});
    EXPECT_EQ(tell(hv2), (Words{"+5001", "+5002", "policy", "ready"}));
    EXPECT_EQ(text, kRedGateway + kBlueGateway + "10 allow from 5001 to 5002\n");
    EXPECT_EQ(version, 1u);
    auto hv3 = directory.subscribe("hv3", {});
    tell(hv3);
    EXPECT_EQ(text, kBlueGateway);
}

TEST_F(PoliciesTest, WhoHasNothingOfItIsToldNothing)
{
    set("gateway red 10.1.0.254/24\n", 2);
    auto hv3 = directory.subscribe("hv3", {});
    EXPECT_EQ(tell(hv3), (Words{"+5002", "ready"}));
    auto mallory = directory.subscribe("mallory", {});
    EXPECT_EQ(tell(mallory), Words{"ready"});
    // But who has had some: that there is none.
    auto hv2 = directory.subscribe("hv2", {});
    tell(hv2);
    set("", 3);
    EXPECT_EQ(tell(hv2), Words{"policy"});
    EXPECT_EQ(text, "");
}

TEST_F(PoliciesTest, AChangeIsToldToThoseWhomItConcerns)
{
    auto hv1 = directory.subscribe("hv1", {}), hv2 = directory.subscribe("hv2", {});
    tell(hv1), tell(hv2);
    set(kGateways + "10 deny from red to blue\n", 2);
    EXPECT_FALSE(directory.has_policy(hv1));
    EXPECT_EQ(tell(hv1), Words{});
    EXPECT_TRUE(directory.has_policy(hv1));
    EXPECT_EQ(tell(hv2), Words{"policy"});
    EXPECT_EQ(version, 2u);
    EXPECT_NE(text.find("10 deny"), std::string::npos);
    set(kGateways + "  10  deny from 5001 to blue # the same\n", 3);
    EXPECT_EQ(tell(hv2), Words{});
}

TEST_F(PoliciesTest, MembershipChangesTheTextAsWell)
{
    auto hv1 = directory.subscribe("hv1", {});
    tell(hv1);
    raw.members.push_back({kBlue, "hv1"});
    apply();
    EXPECT_EQ(tell(hv1), (Words{"+5002", "policy"}));
    EXPECT_NE(text.find("10 allow"), std::string::npos);
    raw.members.pop_back();
    apply();
    EXPECT_EQ(tell(hv1), (Words{"-5002", "policy"}));
    EXPECT_EQ(text, kRedGateway);
}

TEST_F(PoliciesTest, WhoComesBackWithTheSameIsNotToldAgain)
{
    for (const bool same : {true, false}) {
        control::proto::DirectoryRequest request;
        request.set_nva_instance(5);        // of another NVA
        request.set_policy_digest(control::policy_digest(same ? kRedGateway : "gateway 5001 10.1.0.253/24\n"));
        auto hv1 = directory.subscribe("hv1", request);
        EXPECT_EQ(tell(hv1), same ? (Words{"+5001", "ready"}) : (Words{"+5001", "policy", "ready"}));
    }
}

TEST_F(PoliciesTest, ABadPolicyIsToldToNobody)
{
    auto hv2 = directory.subscribe("hv2", {});
    tell(hv2);
    set("gateway red\n", 2);
    EXPECT_EQ(tell(hv2), Words{});
    EXPECT_TRUE(directory.has_policy(hv2));
    // An NVA that has seen no other takes nothing away.
    nva::StoreModel fresh;
    Directory other{78};
    other.apply(view_of(raw, &fresh));
    control::proto::DirectoryRequest request;
    request.set_policy_digest(control::policy_digest(kRedGateway));
    auto again = other.subscribe("hv1", request);
    for (auto step = other.next(again); !step.empty(); step = other.next(again)) {
        EXPECT_FALSE(step[0].has_policy_update());
    }
}

TEST_F(PoliciesTest, PartsOfOneTextAreTogetherWhateverComesBetween)
{
    std::string rules;
    for (int i = 1; i <= 2000; i++) {
        rules += std::to_string(i) + " allow from red to blue proto tcp port " + std::to_string(i) + "\n";
    }
    set(kGateways + rules, 2);
    auto hv2 = directory.subscribe("hv2", {});
    control::PolicyParts parts(policy::kMaxText);
    std::vector<std::string> texts;
    for (auto step = directory.next(hv2); !step.empty(); step = directory.next(hv2)) {
        if (!step[0].has_policy_update()) {
            continue;
        }
        ASSERT_EQ(step.size(), 1u) << "no more waits in a queue than goes next";
        auto whole = parts.add(step[0].policy_update());
        ASSERT_TRUE(whole);
        if (*whole) {
            texts.push_back((*whole)->text);
        } else if (texts.empty()) {
            set(kGateways, 3);      // while it is being told
        }
    }
    ASSERT_EQ(texts.size(), 2u);
    EXPECT_GT(texts[0].size(), control::kPolicyPartSize);
    EXPECT_EQ(texts[1], kRedGateway + kBlueGateway);
}

TEST_F(PoliciesTest, WhoAnnouncesWithoutEndKeepsThePolicyFromNobody)
{
    auto hv2 = directory.subscribe("hv2", {});
    tell(hv2);
    set(kGateways, 2);
    raw.mappings.push_back({kRed, "52:54:00:00:00:01", {}, "hv1"});
    apply();
    EXPECT_EQ(tell(hv2), (Words{"policy", "+5001"}));
}

}  // namespace
