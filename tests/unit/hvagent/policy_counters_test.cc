// SPDX-License-Identifier: Apache-2.0
#include "hvagent/policy_counters.h"

#include <gtest/gtest.h>

namespace nvo3::agent {
namespace {

TEST(PolicyCounters, AddUpOverTheFlowsOfARule)
{
    PolicyCounters counters;
    counters.set_flows({{"a", {Counted::Kind::rule, "1"}, false}, {"b", {Counted::Kind::rule, "1"}, false}, {"b", {Counted::Kind::rule, "2"}, false}});
    counters.tell("a", 3);
    counters.tell("b", 4);
    counters.tell("c", 100);
    EXPECT_EQ(counters.packets({Counted::Kind::rule, "1"}), 7u);
    EXPECT_EQ(counters.packets({Counted::Kind::rule, "2"}), 4u);
    counters.tell("a", 5);
    EXPECT_EQ(counters.packets({Counted::Kind::rule, "1"}), 9u);
    counters.tell("a", 2);      // the switch has it anew
    EXPECT_EQ(counters.packets({Counted::Kind::rule, "1"}), 11u);
    counters.set_flows({{"a", {Counted::Kind::rule, "1"}, false}});
    EXPECT_EQ(counters.packets({Counted::Kind::rule, "1"}), 11u);
    EXPECT_EQ(counters.packets({Counted::Kind::rule, "2"}), 0u);
    EXPECT_EQ(counters.all().size(), 1u);
}

TEST(PolicyCounters, SpeakOfWhatIsLoggedAndNotTooOften)
{
    PolicyCounters counters;
    counters.set_flows({{"a", {Counted::Kind::rule, "10 deny from blue to red log"}, true}, {"b", {Counted::Kind::rule, "5 allow from blue to red"}, false}, {"c", {Counted::Kind::by_default, "red", "blue"}, true}});
    EXPECT_TRUE(counters.lines(0).empty());
    counters.tell("a", 3);
    counters.tell("b", 3);
    counters.tell("c", 1);
    EXPECT_EQ(counters.lines(1000), (std::vector<std::string>{"1 packet denied from network red to blue: no rule allows them",
                                                              "3 packets of rule '10 deny from blue to red log'"}));
    counters.tell("a", 5);
    EXPECT_TRUE(counters.lines(1000 + PolicyCounters::kPauseMs - 1).empty());
    EXPECT_EQ(counters.lines(1000 + PolicyCounters::kPauseMs), (std::vector<std::string>{"2 packets of rule '10 deny from blue to red log'"}));
    EXPECT_TRUE(counters.lines(100000).empty());
}

TEST(PolicyCounters, LinesAreLimited)
{
    PolicyCounters counters;
    std::vector<CountedFlow> flows;
    for (size_t i = 0; i < PolicyCounters::kLines + 5; i++) {
        flows.push_back({"f" + std::to_string(i), {Counted::Kind::rule, std::to_string(i)}, true});
    }
    counters.set_flows(flows);
    for (const CountedFlow& flow : flows) {
        counters.tell(flow.flow, 1);
    }
    std::vector<std::string> lines = counters.lines(0);
    ASSERT_EQ(lines.size(), PolicyCounters::kLines + 1);
    EXPECT_NE(lines.back().find("5 more"), std::string::npos) << lines.back();
}

}  // namespace
}  // namespace nvo3::agent
