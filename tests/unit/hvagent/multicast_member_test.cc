// SPDX-License-Identifier: Apache-2.0
#include "hvagent/multicast_member.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace nvo3::agent {
namespace {

base::IpAddress ip(const char* text)
{
    return *base::IpAddress::parse(text);
}

// What the kernel says it is a member of.
bool kernel_has(const char* file, const char* word)
{
    std::ifstream in(file);
    return std::string(std::istreambuf_iterator<char>(in), {}).find(word) != std::string::npos;
}

TEST(MulticastMember, JoinsAndLeaves)
{
    struct Row {
        const char *group, *local, *file, *word;
    };
    const Row rows[] = {
        {"239.77.1.2", "127.0.0.1", "/proc/net/igmp", "02014DEF"},
        {"ff0e::77:1:2", "::1", "/proc/net/igmp6", "ff0e0000000000000000007700010002"},
    };
    for (const Row& row : rows) {
        if (!kernel_has(row.file, "lo")) {
            continue;       // this machine has no such loopback
        }
        MulticastMember member;
        member.join(ip(row.group), ip(row.local));
        EXPECT_TRUE(member.problems().empty()) << member.problems()[0];
        EXPECT_TRUE(kernel_has(row.file, row.word)) << row.group;
        EXPECT_FALSE(member.refresh());
        EXPECT_TRUE(kernel_has(row.file, row.word)) << row.group;
        member.leave(ip(row.group));
        EXPECT_FALSE(kernel_has(row.file, row.word)) << row.group;
    }
}

TEST(MulticastMember, AddressThatNoInterfaceHas)
{
    MulticastMember member;
    member.join(ip("239.77.1.3"), ip("192.0.2.77"));
    ASSERT_EQ(member.problems().size(), 1u);
    EXPECT_NE(member.problems()[0].find("no interface has this host's address 192.0.2.77"), std::string::npos) << member.problems()[0];
    EXPECT_FALSE(member.refresh()) << "the same problem is no news";
    member.join(ip("239.77.1.3"), ip("127.0.0.1"));
    EXPECT_TRUE(member.problems().empty());
}

}  // namespace
}  // namespace nvo3::agent
