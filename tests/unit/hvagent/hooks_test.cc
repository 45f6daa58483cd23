// SPDX-License-Identifier: Apache-2.0
#include "hvagent/libvirt/hooks.h"

#include <gtest/gtest.h>

#include <string>

namespace nvo3::agent {
namespace {

using Ask = HookCall::Ask;

constexpr const char* kXml =
    "<domain><name>vm1</name><uuid>aaaaaaaa-0000-4000-8000-000000000001</uuid><devices><interface type='bridge'><mac address='52:54:00:00:50:01'/>"
    "<virtualport type='openvswitch'><parameters interfaceid='id1' profileid='blue'/></virtualport></interface></devices></domain>";

std::vector<std::string> hook(const std::string& operation, const std::string& xml = kXml, const std::string& domain = "vm1")
{
    return {domain, operation, "begin", "-", xml};
}

// Rows of one life each: operation, what it asks for, and the VM's state.
TEST(Hooks, LivesOfAVm)
{
    struct Step {
        const char* operation;
        Ask ask;
        VmRun run;
    };
    struct Row {
        const char* what;
        bool alone;
        std::vector<Step> steps;
    } const rows[] = {
        {"start and stop", false,
         {{"prepare", Ask::reserve, VmRun::preparing}, {"start", Ask::reserve, VmRun::preparing}, {"started", Ask::nothing, VmRun::running},
          {"stopped", Ask::tell, VmRun::gone}, {"release", Ask::tell, VmRun::gone}}},
        {"a start that fails", false, {{"prepare", Ask::reserve, VmRun::preparing}, {"stopped", Ask::tell, VmRun::gone}, {"release", Ask::tell, VmRun::gone}}},
        {"it comes from another host", false,
         {{"migrate", Ask::reserve, VmRun::incoming}, {"prepare", Ask::reserve, VmRun::incoming}, {"start", Ask::reserve, VmRun::incoming},
          {"started", Ask::nothing, VmRun::running}, {"prepare", Ask::reserve, VmRun::preparing}}},
        {"that fails, and it is started here", false,
         {{"migrate", Ask::reserve, VmRun::incoming}, {"prepare", Ask::reserve, VmRun::incoming}, {"release", Ask::tell, VmRun::gone},
          {"prepare", Ask::reserve, VmRun::preparing}}},
        {"without libvirt's events", true, {{"prepare", Ask::reserve, VmRun::preparing}, {"started", Ask::tell, VmRun::running}, {"reconnect", Ask::tell, VmRun::running}}},
        {"without libvirt's events an incoming one is not known to run", true, {{"migrate", Ask::reserve, VmRun::incoming}, {"started", Ask::nothing, VmRun::running}}},
        {"the daemon has been restarted", false, {{"reconnect", Ask::nothing, VmRun::running}}},
    };
    for (const Row& row : rows) {
        Hooks hooks;
        for (const Step& step : row.steps) {
            auto call = hooks.read(hook(step.operation), row.alone);
            ASSERT_TRUE(call.ok()) << row.what << ", " << step.operation << ": " << call.error().text;
            EXPECT_EQ(call->ask, step.ask) << row.what << ", " << step.operation;
            EXPECT_EQ(call->vm.name, "vm1");
            EXPECT_EQ(call->vm.run, step.run) << row.what << ", " << step.operation;
            EXPECT_EQ(call->vm.interfaces.size(), step.run == VmRun::gone ? 0u : 1u) << row.what << ", " << step.operation;
        }
    }
}

TEST(Hooks, WhatCannotBeRefusedNeverFails)
{
    Hooks hooks;
    for (const char* operation : {"started", "stopped", "release", "reconnect", "attach", "restore", "", "something new"}) {
        auto call = hooks.read(hook(operation, "no XML"), true);
        ASSERT_TRUE(call.ok()) << operation;
        EXPECT_EQ(call->ask, Ask::nothing) << operation;
    }
}

TEST(Hooks, RefusedInWords)
{
    struct Row {
        const char* what;
        std::vector<std::string> arguments;
        const char* words;
    } const rows[] = {
        {"too few", {"vm1", "prepare", "begin", "-"}, "usage: hook/qemu"},
        {"no XML", hook("prepare", "x"), "hook of domain vm1: the domain's XML is not XML"},
        {"no XML of a VM that comes", hook("migrate", ""), "hook of domain vm1"},
        {"of another domain", hook("start", kXml, "vm2"), "hook of domain vm2: the XML is of domain vm1"},
    };
    for (const Row& row : rows) {
        auto call = Hooks().read(row.arguments, false);
        ASSERT_FALSE(call.ok()) << row.what;
        EXPECT_NE(call.error().text.find(row.words), std::string::npos) << row.what << ": " << call.error().text;
    }
}

TEST(Hooks, BoundedInWhatTheyRemember)
{
    Hooks hooks;
    auto xml = [](size_t i) {
        char uuid[40];
        std::snprintf(uuid, sizeof uuid, "aaaaaaaa-0000-4000-8000-%012zu", i);
        return "<domain><name>vm1</name><uuid>" + std::string(uuid) + "</uuid></domain>";
    };
    for (size_t i = 0; i <= Hooks::kMaxIncoming; i++) {
        auto call = hooks.read(hook("migrate", xml(i)), false);
        ASSERT_TRUE(call.ok());
        EXPECT_EQ(call->vm.run, i < Hooks::kMaxIncoming ? VmRun::incoming : VmRun::preparing) << i;
    }
}

}  // namespace
}  // namespace nvo3::agent
