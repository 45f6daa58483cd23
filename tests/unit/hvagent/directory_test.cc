// SPDX-License-Identifier: Apache-2.0
#include "hvagent/directory.h"

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>

namespace nvo3::agent {
namespace {

namespace proto = control::proto;

std::string octets(std::initializer_list<int> values)
{
    return {values.begin(), values.end()};
}

std::string mac(int last)
{
    return octets({0x52, 0x54, 0, 0, 0, last});
}

base::MacAddress mac_of(int last)
{
    return {{0x52, 0x54, 0, 0, 0, static_cast<uint8_t>(last)}};
}

// The head of a step.
proto::VnUpdate step(uint32_t vni, uint64_t from, uint64_t version, bool more = false)
{
    proto::VnUpdate update;
    update.set_vni(vni);
    update.set_from_version(from);
    update.set_version(version);
    update.set_more(more);
    update.set_name("vn" + std::to_string(vni));
    update.set_encap(proto::ENCAP_GENEVE);
    update.set_cipher(1);
    update.add_groups(octets({239, 1, 1, 1}));
    return update;
}

// What comes behind it.
proto::VnUpdate part(uint32_t vni, uint64_t from, uint64_t version, bool more = false)
{
    proto::VnUpdate update;
    update.set_vni(vni);
    update.set_from_version(from);
    update.set_version(version);
    update.set_more(more);
    return update;
}

void member(proto::VnUpdate& update, const std::string& name, int last)
{
    auto& added = *update.add_members();
    added.set_name(name);
    added.add_addresses(octets({192, 0, 2, last}));
}

void mapping(proto::VnUpdate& update, int last, const std::string& nve, std::initializer_list<int> addresses = {})
{
    auto& added = *update.add_mappings();
    added.set_mac(mac(last));
    added.set_nve(nve);
    for (int address : addresses) {
        added.add_addresses(octets({10, 0, 0, address}));
    }
}

proto::VnUpdate whole(uint32_t vni, uint64_t version)
{
    proto::VnUpdate update = step(vni, 0, version);
    member(update, "hv1", 1);
    member(update, "hv2", 2);
    mapping(update, 1, "hv1", {2, 1});
    return update;
}

proto::VnGone gone(uint32_t vni)
{
    proto::VnGone message;
    message.set_vni(vni);
    return message;
}

bool take(Directory& directory, const proto::VnUpdate& update)
{
    auto taken = directory.on_update(update);
    EXPECT_TRUE(taken) << (taken ? "" : taken.error().text);
    return taken && *taken;
}

TEST(Directory, CompleteState)
{
    Directory directory;
    EXPECT_FALSE(directory.snapshot()->complete);
    directory.session_up(1);
    EXPECT_EQ(directory.request().nva_instance(), 0u);
    EXPECT_TRUE(take(directory, whole(5, 7)));
    auto view = directory.snapshot();
    EXPECT_FALSE(view->complete) << "there may be more";
    const VnView* vn = view->find(base::Vni(5));
    ASSERT_TRUE(vn);
    EXPECT_EQ(vn->name, "vn5");
    EXPECT_EQ(vn->encap, base::Encap::geneve);
    EXPECT_EQ(vn->cipher, esp::Cipher::aes128gcm);
    EXPECT_EQ(vn->groups, std::vector{*base::IpAddress::parse("239.1.1.1")});
    EXPECT_EQ(vn->members.at("hv2"), std::vector{*base::IpAddress::parse("192.0.2.2")});
    EXPECT_EQ(vn->mappings.at(mac_of(1)).nve, "hv1");
    EXPECT_EQ(vn->mappings.at(mac_of(1)).addresses,
              (std::vector{*base::IpAddress::parse("10.0.0.1"), *base::IpAddress::parse("10.0.0.2")}))
        << "sorted";
    EXPECT_TRUE(directory.on_ready());
    EXPECT_TRUE(directory.snapshot()->complete);
    EXPECT_FALSE(directory.on_ready());
}

TEST(Directory, Steps)
{
    struct Row {
        const char* what;
        std::function<void(proto::VnUpdate&)> make;
        bool changes;
        std::function<bool(const VnView&)> then;
    };
    const Row rows[] = {
        {"a member comes", [](auto& u) { member(u, "hv3", 3); }, true, [](const VnView& vn) { return vn.members.size() == 3; }},
        {"a member moves", [](auto& u) { member(u, "hv2", 9); }, true,
         [](const VnView& vn) { return vn.members.at("hv2") == std::vector{*base::IpAddress::parse("192.0.2.9")}; }},
        {"a member goes", [](auto& u) { u.add_members_gone("hv2"); }, true, [](const VnView& vn) { return vn.members.size() == 1; }},
        {"a mapping comes", [](auto& u) { mapping(u, 2, "hv2"); }, true, [](const VnView& vn) { return vn.mappings.size() == 2; }},
        {"a mapping moves", [](auto& u) { mapping(u, 1, "hv2"); }, true, [](const VnView& vn) { return vn.mappings.at(mac_of(1)).nve == "hv2"; }},
        {"a mapping goes", [](auto& u) { u.add_mappings_gone(mac(1)); }, true, [](const VnView& vn) { return vn.mappings.empty(); }},
        {"the same again", [](auto& u) { mapping(u, 1, "hv1", {1, 2}); }, false, [](const VnView& vn) { return vn.mappings.size() == 1; }},
        {"nothing of what goes was there", [](auto& u) { u.add_mappings_gone(mac(7)); u.add_members_gone("hv9"); }, false,
         [](const VnView& vn) { return vn.members.size() == 2; }},
        {"another cipher", [](auto& u) { u.set_cipher(2); }, true, [](const VnView& vn) { return vn.cipher == esp::Cipher::aes256gcm; }},
        {"another name", [](auto& u) { u.set_name("blue"); }, true, [](const VnView& vn) { return vn.name == "blue"; }},
        {"no groups", [](auto& u) { u.clear_groups(); }, true, [](const VnView& vn) { return vn.groups.empty(); }},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        Directory directory;
        directory.session_up(1);
        take(directory, whole(5, 7));
        take(directory, whole(6, 1));
        auto before = directory.snapshot();
        proto::VnUpdate update = step(5, 7, 8);
        row.make(update);
        EXPECT_EQ(take(directory, update), row.changes);
        auto after = directory.snapshot();
        EXPECT_TRUE(row.then(*after->find(base::Vni(5))));
        EXPECT_EQ(after == before, !row.changes) << "a snapshot does not change";
        EXPECT_EQ(after->vns.at(base::Vni(6)), before->vns.at(base::Vni(6))) << "of another network nothing is made anew";
        EXPECT_EQ(directory.request().known(0).version(), 8u);
    }
}

TEST(Directory, PartsAreAdoptedAsAWhole)
{
    Directory directory;
    directory.session_up(1);
    take(directory, whole(5, 7));
    proto::VnUpdate first = step(5, 0, 9, true), second = part(5, 0, 9, true), third = part(5, 0, 9);
    member(first, "hv1", 1);
    member(second, "hv4", 4);
    mapping(second, 4, "hv4");
    mapping(third, 5, "hv4");
    EXPECT_FALSE(take(directory, first));
    EXPECT_FALSE(take(directory, second));
    EXPECT_EQ(directory.snapshot()->find(base::Vni(5))->members.size(), 2u);
    EXPECT_EQ(directory.snapshot()->find(base::Vni(5))->mappings.count(mac_of(1)), 1u);
    EXPECT_TRUE(take(directory, third));
    const VnView& vn = *directory.snapshot()->find(base::Vni(5));
    EXPECT_EQ(vn.members.size(), 2u);
    EXPECT_TRUE(vn.members.contains("hv4"));
    EXPECT_EQ(vn.mappings.size(), 2u) << "what a complete state does not name is gone";
    EXPECT_FALSE(vn.mappings.contains(mac_of(1)));
}

TEST(Directory, PartsOfALostSessionCountForNothing)
{
    Directory directory;
    directory.session_up(1);
    take(directory, whole(5, 7));
    EXPECT_FALSE(take(directory, step(5, 7, 8, true)));
    directory.session_up(1);
    ASSERT_EQ(directory.request().known_size(), 1);
    EXPECT_EQ(directory.request().known(0).version(), 7u);
    proto::VnUpdate again = step(5, 7, 8);
    member(again, "hv5", 5);
    EXPECT_TRUE(take(directory, again));
}

TEST(Directory, Misfits)
{
    struct Row {
        const char* words;
        std::function<proto::VnUpdate(Directory&)> make;
    };
    const Row rows[] = {
        {"from version 6", [](Directory&) { return step(5, 6, 8); }},
        {"from version 1", [](Directory&) { return step(77, 1, 2); }},
        {"go forward", [](Directory&) { return step(5, 7, 7); }},
        {"go forward", [](Directory&) { return step(5, 0, 0); }},
        {"above 24 bits", [](Directory&) { return step(1u << 24, 0, 1); }},
        {"was complete", [](Directory& d) { take(d, step(5, 7, 8, true)); return step(6, 0, 1); }},
        {"was complete", [](Directory& d) { take(d, step(5, 7, 8, true)); return part(5, 7, 9); }},
        {"encapsulation", [](Directory&) { return part(5, 7, 8); }},
        {"upgrade it", [](Directory&) { auto u = step(5, 7, 8); u.set_cipher(99); return u; }},
        {"upgrade it", [](Directory&) { auto u = step(5, 7, 8); u.set_cipher(257); return u; }},
        {"a group", [](Directory&) { auto u = step(5, 7, 8); u.add_groups("abc"); return u; }},
        {"a member", [](Directory&) { auto u = step(5, 7, 8); member(u, "", 1); return u; }},
        {"a member", [](Directory&) { auto u = step(5, 7, 8); u.add_members()->set_name(std::string(129, 'x')); return u; }},
        {"a mapping", [](Directory&) { auto u = step(5, 7, 8); auto& m = *u.add_mappings(); m.set_mac("12345"); m.set_nve("hv1"); return u; }},
        {"a mapping", [](Directory&) { auto u = step(5, 7, 8); mapping(u, 1, "hv1", {1}); u.mutable_mappings(0)->add_addresses("x"); return u; }},
        {"6 octets", [](Directory&) { auto u = step(5, 7, 8); u.add_mappings_gone("1234567"); return u; }},
        {"more than", [](Directory&) {
             auto u = step(5, 7, 8);
             for (size_t i = 0; i <= Directory::kMaxMembers; i++) {
                 member(u, "m" + std::to_string(i), 1);
             }
             return u;
         }},
    };
    for (const Row& row : rows) {
        Directory directory;
        directory.session_up(1);
        take(directory, whole(5, 7));
        directory.on_ready();
        auto taken = directory.on_update(row.make(directory));
        ASSERT_FALSE(taken) << row.words;
        EXPECT_EQ(taken.error().code, EPROTO);
        EXPECT_NE(taken.error().text.find(row.words), std::string::npos) << taken.error().text;
        EXPECT_TRUE(directory.snapshot()->complete);
        EXPECT_TRUE(directory.snapshot()->find(base::Vni(5))) << "what was told stays";
    }
}

TEST(Directory, StepsEnd)
{
    Directory directory;
    directory.session_up(1);
    proto::VnUpdate update = step(5, 0, 7, true);
    for (int i = 0; i < 1000; i++) {
        mapping(update, i, "hv1");
    }
    base::Result<bool> taken = false;
    size_t parts = 0;
    while ((taken = directory.on_update(update))) {
        ASSERT_LT(++parts, 1000u) << "without end";
    }
    EXPECT_NE(taken.error().text.find("more in one step"), std::string::npos);
    EXPECT_TRUE(directory.snapshot()->vns.empty());
}

TEST(Directory, NetworksHaveALimit)
{
    Directory directory;
    directory.session_up(1);
    for (uint32_t vni = 0; vni < Directory::kMaxVns; vni++) {
        take(directory, step(vni, 0, 1));
    }
    EXPECT_FALSE(directory.on_update(step(Directory::kMaxVns, 0, 1)));
    EXPECT_TRUE(directory.on_update(step(3, 0, 2)));
    EXPECT_EQ(directory.request().known_size(), 3000);
    EXPECT_LT(directory.request().ByteSizeLong(), 65000u);
}

TEST(Directory, AfterSessionsAndProcesses)
{
    Directory directory;
    directory.session_up(1);
    take(directory, whole(5, 7));
    take(directory, whole(6, 3));
    directory.on_ready();
    // The same process sends what has changed since; the rest stays, told or not.
    directory.session_up(1);
    EXPECT_EQ(directory.request().nva_instance(), 1u);
    EXPECT_EQ(directory.request().known_size(), 2);
    EXPECT_FALSE(directory.on_ready());
    EXPECT_EQ(directory.snapshot()->vns.size(), 2u);
    // Another one's versions mean something else: it tells all, and until it is done nothing is forgotten.
    directory.session_up(2);
    EXPECT_EQ(directory.request().known_size(), 0);
    EXPECT_TRUE(directory.snapshot()->complete);
    EXPECT_EQ(directory.snapshot()->vns.size(), 2u);
    EXPECT_FALSE(directory.on_update(step(5, 7, 8))) << "a step from the version of another process";
    auto before = directory.snapshot();
    EXPECT_FALSE(take(directory, whole(5, 1))) << "the same content is no change";
    EXPECT_EQ(directory.snapshot(), before);
    // It is lost before it is ready, and found again.
    directory.session_up(2);
    ASSERT_EQ(directory.request().known_size(), 1);
    EXPECT_EQ(directory.request().known(0).vni(), 5u);
    EXPECT_EQ(directory.snapshot()->vns.size(), 2u);
    EXPECT_TRUE(directory.on_ready());
    EXPECT_EQ(directory.snapshot()->vns.size(), 1u) << "what it did not tell is not there";
    // An NVA that says no instance is another one each time.
    directory.session_up(0);
    take(directory, whole(5, 1));
    directory.session_up(0);
    EXPECT_EQ(directory.request().known_size(), 0);
}

TEST(Directory, NetworkGone)
{
    Directory directory;
    directory.session_up(1);
    take(directory, whole(5, 7));
    EXPECT_FALSE(directory.on_gone(gone(6)));
    EXPECT_TRUE(directory.on_gone(gone(5)));
    EXPECT_TRUE(directory.snapshot()->vns.empty());
    EXPECT_FALSE(directory.on_update(step(5, 7, 8)));
    EXPECT_TRUE(take(directory, whole(5, 9))) << "and back";
    take(directory, step(5, 9, 10, true));
    EXPECT_TRUE(directory.on_gone(gone(5)));
    EXPECT_TRUE(take(directory, whole(5, 11))) << "the step went with it";
}

TEST(Directory, Clear)
{
    Directory directory;
    directory.session_up(1);
    take(directory, whole(5, 7));
    directory.on_ready();
    directory.clear();
    EXPECT_FALSE(directory.snapshot()->complete);
    EXPECT_TRUE(directory.snapshot()->vns.empty());
    EXPECT_EQ(directory.request().known_size(), 0);
}

}  // namespace
}  // namespace nvo3::agent
