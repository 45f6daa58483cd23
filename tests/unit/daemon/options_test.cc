// SPDX-License-Identifier: Apache-2.0
//
// Options of a daemon.
#include "daemon/options.h"

#include <gtest/gtest.h>

namespace nvo3::daemon {
namespace {

boost::program_options::options_description own()
{
    boost::program_options::options_description own("Options of test");
    own.add_options()("audit-log", boost::program_options::value<std::string>()->value_name("FILE"), "a file");
    return own;
}

TEST(Options, OursAndThoseOfOvs)
{
    std::vector<std::string> words{"hvagent", "--pidfile=/x", "--detach", "--audit-log=/a/b", "-vfile:dbg", "unix:/db", "--unixctl", "/ctl"};
    std::vector<char*> argv;
    for (auto& word : words) {
        argv.push_back(word.data());
    }
    auto options = parse_options(own(), static_cast<int>(argv.size()), argv.data());
    ASSERT_TRUE(options) << options.error().text;
    EXPECT_EQ(options->file("audit-log"), "/a/b");
    EXPECT_FALSE(options->help);
    EXPECT_EQ(options->rest, (std::vector<std::string>{"hvagent", "--pidfile=/x", "--detach", "-vfile:dbg", "unix:/db", "--unixctl", "/ctl"}));
    EXPECT_STREQ(options->rest_argv[0], "hvagent");
    EXPECT_EQ(options->rest_argv.back(), nullptr);

    EXPECT_EQ(options->file("other", "/c"), "/c");

    char program[] = "hvagent", bad[] = "--audit-log";
    char* wrong[] = {program, bad};
    auto refused = parse_options(own(), 2, wrong);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().text.find("audit-log"), std::string::npos);
}

}  // namespace
}  // namespace nvo3::daemon
