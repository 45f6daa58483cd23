// SPDX-License-Identifier: Apache-2.0
//
// Who counts as away, and since when: what the store says, what is seen here, and what cannot
// be known (REQ 4).
#include "nva/presence.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/nva/nva_fixture.h"

using namespace nvo3;
using namespace nvo3::tests;
using namespace std::chrono_literals;

namespace {

class PresenceTest : public ::testing::Test {
protected:
    // Time passes, and all NVAs of 'alive' say that they live.
    void pass(std::chrono::seconds time, std::vector<std::string> alive = {"a", "b"})
    {
        for (auto end = now + time; now < end;) {
            now += 1s;
            for (auto& row : rows.nvas) {
                row.beat += std::ranges::count(alive, row.instance);
            }
            apply();
        }
    }
    void apply() { presence.apply(*view_of(rows), own, now); }
    void session(const std::string& instance)
    {
        rows.nves[0].session = instance;
        apply();
    }
    std::optional<std::chrono::milliseconds> away(const std::string& nve = "hv1") { return presence.away_for(nve, now); }

    Rows rows = [] {
        Rows rows = small_store();
        rows.nvas = {{"a", 1}, {"b", 7}};
        return rows;
    }();
    std::set<std::string> own;
    nva::Presence::TimePoint now{100s};
    nva::Presence presence;
};

TEST_F(PresenceTest, AwayIsWhoHasNoSession)
{
    EXPECT_FALSE(away()) << "nothing was seen yet";
    apply();
    pass(3s);
    EXPECT_EQ(away(), 3s);
    session("b");
    EXPECT_FALSE(away());
    pass(100s);
    EXPECT_FALSE(away()) << "b lives";
    session("");
    pass(2s);
    EXPECT_EQ(away(), 2s);
    session("a");
    session("");
    EXPECT_EQ(away(), 0s) << "who came back for a moment begins anew";
    EXPECT_FALSE(away("hv9")) << "no NVE";
}

TEST_F(PresenceTest, OwnSessionsCountBeforeTheStoreHasThem)
{
    apply();
    pass(30s);
    own = {"hv1"};
    apply();
    EXPECT_FALSE(away());
    EXPECT_EQ(away("hv2"), 30s);
}

TEST_F(PresenceTest, SessionsOfADeadNvaCountNoLonger)
{
    session("b");
    pass(19s, {"a"});
    EXPECT_FALSE(away());
    pass(4s, {"a"});
    EXPECT_EQ(away(), 3s) << "b has not said for 20 s that it lives";
    EXPECT_TRUE(presence.dead(now).empty());
    pass(100s, {"a"});
    EXPECT_EQ(presence.dead(now), std::vector<std::string>{"b"});
    rows.nvas.pop_back();
    apply();
    EXPECT_GT(away(), 100s) << "nor does one that the store does not know any more";
    EXPECT_TRUE(presence.dead(now).empty());
}

TEST_F(PresenceTest, NothingIsKnownOfTheTimeWithoutTheStore)
{
    session("b");
    rows.nves[1].session = "";
    pass(12s, {"a"});
    EXPECT_EQ(away("hv2"), 12s);
    now += 60s;     // nobody told anything
    presence.forget(now);
    apply();
    EXPECT_EQ(away("hv2"), 0s);
    EXPECT_FALSE(away()) << "b may have lived";
    pass(21s, {"a"});
    EXPECT_EQ(away("hv2"), 21s);
    EXPECT_EQ(away(), 1s);
}

}  // namespace
