// SPDX-License-Identifier: Apache-2.0
//
// The audit log: one line each, whatever a peer puts into its texts.
#include "control/audit.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "fake_clock.h"
#include "test_pki.h"

namespace nvo3::tests {
namespace {

using namespace std::chrono_literals;
using control::AuditEvent;
using control::AuditKind;
using control::AuditLog;
using Json = nlohmann::json;

class AuditTest : public ::testing::Test {
protected:
    std::vector<std::string> lines() const
    {
        std::ifstream in(path_);
        std::vector<std::string> result;
        for (std::string line; std::getline(in, line);) {
            result.push_back(line);
        }
        return result;
    }

    TempDir dir_;
    FakeClock clock_;
    std::string path_ = dir_.file("audit.log");
};

TEST_F(AuditTest, Line)
{
    auto log = AuditLog::open(path_, clock_);
    ASSERT_TRUE(log.ok()) << log.error().text;
    AuditEvent event{.kind = AuditKind::sa_installed, .peer = "hv2"};
    event.address = *base::IpAddress::parse("192.0.2.2");
    event.vni = base::Vni(5001);
    event.reason = "rekey";
    event.text = {{"direction", "in"}};
    event.numbers = {{"generation", 2}};
    (*log)->write(event);
    ASSERT_EQ(lines().size(), 1u);
    EXPECT_EQ(lines()[0],
              R"({"time":"2026-01-01T00:00:00.000Z","event":"sa_installed","peer":"hv2",)"
              R"("address":"192.0.2.2","vni":5001,"reason":"rekey","direction":"in","generation":2})");
    EXPECT_EQ((*log)->recent(), lines());
    struct stat status{};
    ASSERT_EQ(stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777 & ~0640, 0u);
}

TEST_F(AuditTest, HostileTextStaysInItsLine)
{
    auto log = AuditLog::open(path_, clock_);
    using namespace std::string_literals;
    const std::string hostile = "a\n{\"event\":\"authenticated\"}\x1b[2J\x7f\xff\xc2\x9b\0z"s;
    (*log)->write({.kind = AuditKind::refused, .peer = hostile, .reason = hostile + std::string(5000, 'x')});
    ASSERT_EQ(lines().size(), 1u);
    const std::string line = lines()[0];
    for (char c : line) {
        EXPECT_TRUE(c >= 0x20 && c < 0x7f);
    }
    const Json parsed = Json::parse(line);
    EXPECT_EQ(parsed["event"], "refused");
    EXPECT_LT(line.size(), 2000u);
}

TEST_F(AuditTest, Appends)
{
    std::ofstream(path_) << "before\n";
    auto log = AuditLog::open(path_, clock_);
    (*log)->write({.kind = AuditKind::started});
    EXPECT_EQ(lines().size(), 2u);
    EXPECT_EQ((*log)->recent().size(), 1u);
}

// As logrotate does with all of a directory: nobody says so.
TEST_F(AuditTest, RotationIsNoticed)
{
    auto log = AuditLog::open(path_, clock_);
    ASSERT_TRUE(log.ok());
    (*log)->write({.kind = AuditKind::started});
    ASSERT_EQ(std::rename(path_.c_str(), (path_ + ".1").c_str()), 0);
    std::ofstream(path_).close();
    (*log)->write({.kind = AuditKind::stopped});
    ASSERT_EQ(lines().size(), 1u);
    EXPECT_EQ(Json::parse(lines()[0])["event"], "stopped");
    // Without "create" of logrotate.
    ASSERT_EQ(std::rename(path_.c_str(), (path_ + ".1").c_str()), 0);
    (*log)->write({.kind = AuditKind::alarm});
    ASSERT_EQ(lines().size(), 1u);
    EXPECT_EQ(Json::parse(lines()[0])["event"], "alarm");
    // Another file cannot be had: the former one goes on, which is said once.
    std::vector<std::string> said;
    base::set_log_sink([&said](base::LogLevel, const char*, std::string_view text) { said.emplace_back(text); });
    ASSERT_EQ(std::rename(path_.c_str(), (path_ + ".1").c_str()), 0);
    ASSERT_EQ(symlink("elsewhere", path_.c_str()), 0);
    for (int i = 0; i < 3; i++) {
        (*log)->write({.kind = AuditKind::alarm});
    }
    EXPECT_EQ((*log)->recent().size(), 6u);
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(path_).replace_filename("elsewhere")));
    ASSERT_EQ(said.size(), 1u);
    EXPECT_NE(said[0].find("the former file goes on: cannot open audit log " + path_), std::string::npos) << said[0];
    ASSERT_EQ(std::remove(path_.c_str()), 0);
    (*log)->write({.kind = AuditKind::stopped});
    ASSERT_EQ(lines().size(), 1u);
    EXPECT_EQ(said.size(), 1u);
    base::set_log_sink(nullptr);
}

TEST_F(AuditTest, FloodIsCounted)
{
    auto log = AuditLog::open(path_, clock_);
    for (int i = 0; i < 1000; i++) {
        (*log)->write({.kind = AuditKind::refused, .reason = "flood"});
    }
    EXPECT_EQ(lines().size(), 200u);
    // Other kinds are not held back by it.
    (*log)->write({.kind = AuditKind::sa_removed});
    EXPECT_EQ(lines().size(), 201u);
    clock_.advance(1s);
    (*log)->write({.kind = AuditKind::refused, .reason = "later"});
    const Json last = Json::parse(lines().back());
    EXPECT_EQ(last["suppressed"], 800);
    clock_.advance(1s);
    (*log)->write({.kind = AuditKind::refused});
    EXPECT_FALSE(Json::parse(lines().back()).contains("suppressed"));
}

TEST_F(AuditTest, FloodOfOneAddressHidesNoOther)
{
    auto log = AuditLog::open(path_, clock_);
    const auto refused = [&](const char* address) {
        AuditEvent event{.kind = AuditKind::refused};
        event.address = *base::IpAddress::parse(address);
        (*log)->write(event);
    };
    for (int second = 0; second < 100; second++) {
        for (int i = 0; i < 500; i++) {
            refused("192.0.2.66");
        }
        clock_.advance(1s);
    }
    const size_t of_one = lines().size();
    EXPECT_LE(of_one, 200u + 100 * 20);
    refused("192.0.2.2");
    EXPECT_EQ(lines().size(), of_one + 1);
    EXPECT_EQ(Json::parse(lines().back())["address"], "192.0.2.2");
    EXPECT_FALSE(Json::parse(lines().back()).contains("suppressed"));
    refused("192.0.2.66");
    EXPECT_GT(Json::parse(lines().back())["suppressed"], 400);
}

TEST_F(AuditTest, FloodOfManyAddressesIsBounded)
{
    auto log = AuditLog::open(path_, clock_);
    AuditEvent event{.kind = AuditKind::refused};
    for (uint32_t i = 0; i < 5000; i++) {
        event.address = *base::IpAddress::parse("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250));
        (*log)->write(event);
    }
    EXPECT_EQ(lines().size(), 1000u);
    clock_.advance(1s);
    (*log)->write(event);
    EXPECT_EQ(Json::parse(lines().back())["suppressed_of_all"], 4000);
}

TEST_F(AuditTest, RingKeepsTheLast)
{
    auto log = AuditLog::open("", clock_);
    ASSERT_TRUE(log.ok());
    for (uint64_t i = 0; i < 1500; i++) {
        clock_.advance(1s);
        (*log)->write({.kind = AuditKind::alarm, .numbers = {{"n", i}}});
    }
    const auto recent = (*log)->recent();
    ASSERT_EQ(recent.size(), AuditLog::kRingSize);
    EXPECT_EQ(Json::parse(recent.front())["n"], 500);
    EXPECT_EQ(Json::parse(recent.back())["n"], 1499);
    EXPECT_EQ((*log)->recent(2).size(), 2u);
    EXPECT_EQ(Json::parse((*log)->recent(2)[0])["n"], 1498);
}

TEST_F(AuditTest, PathsThatDoNotWork)
{
    const auto log = AuditLog::open(dir_.file("none/audit.log"), clock_);
    ASSERT_FALSE(log.ok());
    EXPECT_NE(log.error().text.find("cannot open audit log " + dir_.file("none/audit.log")),
              std::string::npos);
    ASSERT_EQ(symlink("/etc/hostname", path_.c_str()), 0);
    EXPECT_FALSE(AuditLog::open(path_, clock_).ok());
}

TEST_F(AuditTest, FullDiskDoesNotStopUs)
{
    auto log = AuditLog::open("/dev/full", clock_);
    ASSERT_TRUE(log.ok()) << log.error().text;
    (*log)->write({.kind = AuditKind::started});
    (*log)->write({.kind = AuditKind::stopped});
    EXPECT_EQ((*log)->recent().size(), 2u);
}

TEST(ShowAudit, TextAndJson)
{
    EXPECT_EQ(Json::parse(control::show_audit({"{\"a\":1}", "{\"b\":2}"}, true)).size(), 2u);
    EXPECT_EQ(Json::parse(control::show_audit({}, true)), Json::array());
    EXPECT_EQ(control::show_audit({"{\"a\":1}"}, false), "{\"a\":1}\n");
    EXPECT_EQ(control::show_audit({}, false), "no events\n");
}

// Of suppressed ones too: what counts them must not be blind in a flood.
TEST_F(AuditTest, CountsEachKind)
{
    auto log = AuditLog::open("", clock_);
    ASSERT_TRUE(log.ok());
    for (int i = 0; i < 500; i++) {
        (*log)->write({AuditKind::refused});
    }
    (*log)->write({AuditKind::authenticated});
    auto counts = (*log)->counts();
    EXPECT_EQ(counts.rbegin()->first, AuditKind::rule_suspect) << "the last kind, and so all before it";
    EXPECT_EQ(counts[AuditKind::refused], 500u);
    EXPECT_EQ(counts[AuditKind::authenticated], 1u);
    EXPECT_EQ(counts[AuditKind::alarm], 0u);
    EXPECT_EQ(counts[AuditKind::rule_suspect], 0u);
}

}  // namespace
}  // namespace nvo3::tests
