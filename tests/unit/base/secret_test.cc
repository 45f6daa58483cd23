// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of base/secret.h: where keys live and that they go.
#include "base/secret.h"

#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <string>
#include <type_traits>
#include <vector>

namespace nvo3::base {
namespace {

static_assert(!std::is_copy_constructible_v<Secret>);
static_assert(!std::is_copy_assignable_v<Secret>);

// The VmFlags of the mapping that 'address' is in.
std::string
flags_of(const void* address)
{
    std::ifstream maps("/proc/self/smaps");
    std::string line;
    bool here = false;
    while (std::getline(maps, line)) {
        uintptr_t from, to;
        if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
            const auto at = reinterpret_cast<uintptr_t>(address);
            here = from <= at && at < to;
        } else if (here && line.starts_with("VmFlags:")) {
            return line;
        }
    }
    return "";
}

TEST(Secret, IsLeftOutOfCoreDumps)
{
    // One from the arena, one with a mapping of its own.
    for (size_t size : {36u, 100000u}) {
        Secret secret(size);
        EXPECT_NE(flags_of(secret.data()).find(" dd"), std::string::npos) << size;
    }
    auto heap = std::make_unique<uint8_t[]>(36);
    EXPECT_EQ(flags_of(heap.get()).find(" dd"), std::string::npos);
}

TEST(Secret, IsWipedWhenFreed)
{
    const uint8_t* where;
    {
        Secret secret(size_t{40});
        memset(secret.data(), 0xaa, secret.size());
        where = secret.data();
    }
    // The arena keeps its pages, so they can still be read.  The first octets
    // hold its free list.
    EXPECT_TRUE(std::all_of(where + sizeof(void*), where + 64,
                            [](uint8_t octet) { return octet == 0; }));
}

TEST(Secret, StartsZeroedAlsoWhenReused)
{
    for (int round = 0; round < 3; round++) {
        Secret secret(size_t{64});
        EXPECT_TRUE(std::all_of(secret.view().begin(), secret.view().end(),
                                [](uint8_t octet) { return octet == 0; }));
        memset(secret.data(), 0xff, secret.size());
    }
}

TEST(Secret, SizesDoNotOverlap)
{
    std::vector<Secret> secrets;
    for (size_t size = 1; size <= 9000; size += 37) {
        secrets.emplace_back(size);
        memset(secrets.back().data(), static_cast<int>(size & 0xff), size);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(secrets.back().data()) % 64, 0u);
    }
    for (const Secret& secret : secrets) {
        EXPECT_TRUE(std::all_of(secret.view().begin(), secret.view().end(),
                                [&](uint8_t octet) {
                                    return octet == (secret.size() & 0xff);
                                })) << secret.size();
    }
}

TEST(Secret, MovesAndClones)
{
    const Bytes octets{1, 2, 3};
    Secret first{ByteView(octets)};
    Secret second = std::move(first);
    EXPECT_TRUE(first.empty());
    EXPECT_EQ(to_hex(second.view()), "010203");
    Secret third = second.clone();
    second.reset();
    EXPECT_TRUE(second.empty());
    EXPECT_EQ(to_hex(third.view()), "010203");
}

TEST(Secret, ComparesWhole)
{
    const Bytes a{1, 2, 3}, b{1, 2, 4}, c{1, 2}, d{9, 2, 3};
    EXPECT_TRUE(equal_constant_time(a, a));
    EXPECT_FALSE(equal_constant_time(a, b));
    EXPECT_FALSE(equal_constant_time(a, c));
    EXPECT_FALSE(equal_constant_time(a, d));
    EXPECT_TRUE(equal_constant_time({}, {}));
}

TEST(Secret, GuardWipesTheBuffer)
{
    Bytes buffer{1, 2, 3};
    {
        WipeGuard guard(buffer);
    }
    EXPECT_EQ(buffer, (Bytes{0, 0, 0}));
}

}  // namespace
}  // namespace nvo3::base
