// SPDX-License-Identifier: Apache-2.0
#include "hvagent/policy_keeper.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace nvo3::agent {
namespace {

constexpr const char* kGood = "gateway blue 10.1.0.254/24\ngateway red 10.2.0.254/24\n100 allow from blue to red\n";

TEST(PolicyKeeper, TakesWhatIsRight)
{
    PolicyKeeper keeper;
    EXPECT_TRUE(keeper.take("the NVA", kGood, 7));
    ASSERT_TRUE(keeper.policy());
    EXPECT_EQ(keeper.policy()->rules.size(), 1u);
    EXPECT_EQ(keeper.version(), 7u);
    EXPECT_FALSE(keeper.take("the NVA", kGood, 8));     // no other one
    EXPECT_EQ(keeper.version(), 8u);
}

TEST(PolicyKeeper, KeepsTheFormerForOneThatIsWrong)
{
    PolicyKeeper keeper;
    EXPECT_FALSE(keeper.take("file /p", "gateway blue\n", 1));
    EXPECT_FALSE(keeper.policy());
    EXPECT_NE(keeper.error().find("file /p, line 1"), std::string::npos) << keeper.error();
    EXPECT_NE(keeper.error().find("no policy is in force"), std::string::npos) << keeper.error();
    ASSERT_TRUE(keeper.take("file /p", kGood, 2));
    EXPECT_EQ(keeper.error(), "");
    EXPECT_FALSE(keeper.take("file /p", std::string(kGood) + "what?\n", 3));
    ASSERT_TRUE(keeper.policy());
    EXPECT_EQ(keeper.policy()->rules.size(), 1u);
    EXPECT_EQ(keeper.version(), 2u);
    EXPECT_NE(keeper.error().find("file /p, line 4"), std::string::npos) << keeper.error();
    EXPECT_NE(keeper.error().find("the former policy stays in force"), std::string::npos) << keeper.error();
    EXPECT_FALSE(keeper.take("file /p", kGood, 4));     // as it was: nothing is wrong any more
    EXPECT_EQ(keeper.error(), "");
    keeper.miss("file /q", "file /q cannot be read");
    EXPECT_NE(keeper.error().find("the policy of file /p stays in force"), std::string::npos) << keeper.error();
    EXPECT_TRUE(keeper.clear());
    EXPECT_FALSE(keeper.policy());
    EXPECT_FALSE(keeper.clear());
}

TEST(PolicyFile, IsARegularFile)
{
    char name[] = "/tmp/nvo3-policy-XXXXXX";
    const std::string directory = ::mkdtemp(name), file = directory + "/policy", fifo = directory + "/fifo";
    std::ofstream(file) << kGood;
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    auto good = read_policy(file);
    ASSERT_TRUE(good) << good.error().text;
    EXPECT_EQ(*good, kGood);
    for (const std::string& wrong : {fifo, directory, directory + "/none"}) {
        auto read = read_policy(wrong);
        ASSERT_FALSE(read) << wrong;
        EXPECT_NE(read.error().text.find(wrong), std::string::npos) << read.error().text;
    }
    std::ofstream(file, std::ios::app) << std::string(policy::kMaxText, '#');
    auto read = read_policy(file);
    PolicyKeeper keeper;
    EXPECT_FALSE(read && keeper.take("file", *read, 1));        // never more than fits
    ::unlink(file.c_str());
    ::unlink(fifo.c_str());
    ::rmdir(directory.c_str());
}

}  // namespace
}  // namespace nvo3::agent
