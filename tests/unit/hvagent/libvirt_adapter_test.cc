// SPDX-License-Identifier: Apache-2.0
//
// The adapter with libvirt's test driver, whose state all connections of a process share.
#include "hvagent/libvirt/libvirt_adapter.h"

#include <gtest/gtest.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>

namespace nvo3::agent {
namespace {

using namespace std::chrono_literals;

constexpr const char* kUuid = "aaaaaaaa-0000-4000-8000-000000000001";

// What was told, in order.
class Told final : public VmObserver {
public:
    void on_vm(const Vm& vm) override { add({vm, std::nullopt, std::nullopt}); }
    void on_vms(const std::vector<Vm>& vms) override { add({std::nullopt, vms, std::nullopt}); }
    void on_libvirt(const std::string& problem) override { add({std::nullopt, std::nullopt, problem}); }

    struct One {
        std::optional<Vm> vm;
        std::optional<std::vector<Vm>> vms;
        std::optional<std::string> problem;
    };

    // The next that fits; what comes before it is forgotten.
    template <class F>
    One wait(F fits)
    {
        std::unique_lock lock(mutex_);
        for (;;) {
            while (!queue_.empty()) {
                One one = std::move(queue_.front());
                queue_.pop_front();
                if (fits(one)) {
                    return one;
                }
            }
            if (changed_.wait_for(lock, 10s) == std::cv_status::timeout) {
                ADD_FAILURE() << "nothing that fits was told";
                return {Vm{}, std::vector<Vm>{}, ""};
            }
        }
    }
    Vm vm(VmRun run)
    {
        return *wait([&](const One& one) { return one.vm && one.vm->uuid == kUuid && one.vm->run == run; }).vm;
    }
    std::vector<Vm> vms()
    {
        return *wait([](const One& one) { return one.vms.has_value(); }).vms;
    }
    std::string problem()
    {
        return *wait([](const One& one) { return one.problem.has_value(); }).problem;
    }

private:
    void add(One one)
    {
        std::lock_guard lock(mutex_);
        queue_.push_back(std::move(one));
        changed_.notify_one();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<One> queue_;
};

struct LibvirtAdapterTest : ::testing::Test {
    LibvirtAdapterTest() : connection(virConnectOpen("test:///default"))
    {
        EXPECT_NE(connection, nullptr);
    }
    ~LibvirtAdapterTest() override
    {
        if (domain) {
            virDomainDestroy(domain);
            virDomainUndefine(domain);
            virDomainFree(domain);
        }
        virConnectClose(connection);
    }

    void define(const std::string& vn = "blue")
    {
        const std::string xml = std::string("<domain type='test'><name>vm1</name><uuid>") + kUuid +
                                "</uuid><memory>8192</memory><os><type>hvm</type></os><devices><interface type='bridge'><mac address='52:54:00:00:50:01'/>"
                                "<source bridge='br-int'/><virtualport type='openvswitch'><parameters interfaceid='ff0cf2db-0000-4000-8000-000000000001' profileid='" +
                                vn + "'/></virtualport></interface></devices></domain>";
        domain = virDomainDefineXML(connection, xml.c_str());
        ASSERT_NE(domain, nullptr) << virGetLastErrorMessage();
    }
    static LibvirtAdapter::Post post()
    {
        return [](std::function<void()> work) { work(); };
    }

    Told told;
    virConnectPtr connection;
    virDomainPtr domain = nullptr;
};

TEST_F(LibvirtAdapterTest, LifeOfAVm)
{
    LibvirtAdapter adapter(told, post());
    adapter.connect("test:///default");
    for (const Vm& vm : told.vms()) {
        EXPECT_EQ(vm.name, "test") << "the one that the driver has";
    }

    define();
    ASSERT_EQ(virDomainCreate(domain), 0);
    Vm vm = told.vm(VmRun::running);
    EXPECT_EQ(vm.name, "vm1");
    ASSERT_EQ(vm.interfaces.size(), 1u);
    EXPECT_EQ(vm.interfaces[0].id, "ff0cf2db-0000-4000-8000-000000000001");
    EXPECT_EQ(vm.interfaces[0].vn, "blue");
    EXPECT_EQ(to_string(vm.interfaces[0].mac), "52:54:00:00:50:01");

    ASSERT_EQ(virDomainSuspend(domain), 0);
    EXPECT_EQ(told.vm(VmRun::paused).interfaces, vm.interfaces);
    ASSERT_EQ(virDomainResume(domain), 0);
    told.vm(VmRun::running);

    const std::string networks = "<networks><interface mac='52:54:00:00:50:01' vn='red' addresses='10.0.0.1'/></networks>";
    ASSERT_EQ(virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, networks.c_str(), "nvo3", "urn:ovs-nvo3:domain:1", VIR_DOMAIN_AFFECT_LIVE), 0);
    vm = *told.wait([](const Told::One& one) { return one.vm && one.vm->run == VmRun::running && one.vm->interfaces[0].vn == "red"; }).vm;
    EXPECT_EQ(vm.interfaces[0].addresses, "10.0.0.1");
    EXPECT_EQ(vm.problems, std::vector<std::string>());

    ASSERT_EQ(virDomainReboot(domain, 0), 0);
    ASSERT_EQ(virDomainDestroy(domain), 0);
    vm = told.vm(VmRun::gone);
    EXPECT_EQ(vm.name, "vm1");
    EXPECT_TRUE(vm.interfaces.empty());
}

TEST_F(LibvirtAdapterTest, WhatRunsAlreadyIsTold)
{
    define();
    ASSERT_EQ(virDomainCreate(domain), 0);
    ASSERT_EQ(virDomainSuspend(domain), 0);
    LibvirtAdapter adapter(told, post());
    adapter.connect("test:///default");
    EXPECT_EQ(told.problem(), "");
    bool found = false;
    for (const Vm& vm : told.vms()) {
        if (vm.uuid == kUuid) {
            found = true;
            EXPECT_EQ(vm.run, VmRun::paused);
            EXPECT_EQ(vm.interfaces.size(), 1u);
        }
    }
    EXPECT_TRUE(found);
}

TEST_F(LibvirtAdapterTest, ADomainThatCannotBeReadIsAProblem)
{
    LibvirtAdapter adapter(told, post());
    adapter.connect("test:///default");
    told.vms();
    define("");     // no network: nothing of ours
    ASSERT_EQ(virDomainCreate(domain), 0);
    EXPECT_TRUE(told.vm(VmRun::running).interfaces.empty());
    ASSERT_EQ(virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, "<networks><interface vn=''/></networks>", "nvo3", "urn:ovs-nvo3:domain:1",
                                   VIR_DOMAIN_AFFECT_LIVE), 0);
    const Vm vm = *told.wait([](const Told::One& one) { return one.vm && !one.vm->problems.empty(); }).vm;
    EXPECT_NE(vm.problems[0].find("domain vm1, <metadata>"), std::string::npos) << vm.problems[0];
}

// A hypervisor that is not there (yet) is tried for ever; another URI, or none, at any time.
TEST_F(LibvirtAdapterTest, ConnectsWhenItCan)
{
    const std::string file = ::testing::TempDir() + "nvo3-node.xml";
    std::remove(file.c_str());
    LibvirtAdapter adapter(told, post());
    adapter.connect("test://" + file);
    EXPECT_NE(told.problem().find("libvirt, test://" + file + ", cannot be reached"), std::string::npos);
    std::ofstream(file) << "<node><domain type='test'><name>far</name><uuid>aaaaaaaa-0000-4000-8000-000000000002</uuid><memory>8192</memory>"
                           "<os><type>hvm</type></os></domain></node>";
    EXPECT_EQ(told.problem(), "");
    const auto vms = told.vms();
    ASSERT_EQ(vms.size(), 1u);
    EXPECT_EQ(vms[0].name, "far");

    adapter.connect("");
    EXPECT_TRUE(told.vms().empty());
    adapter.connect("nonsense:///system");
    EXPECT_NE(told.problem(), "");
    adapter.connect("test:///default");
    EXPECT_EQ(told.problem(), "");
    std::remove(file.c_str());
}

TEST(VmRunTest, OfStateReasonAndJob)
{
    struct Row {
        const char* what;
        int state, reason, operation;
        VmRun run;
    } const rows[] = {
        {"running", VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED, 0, VmRun::running},
        {"running while it is copied away", VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED, VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT, VmRun::running},
        {"blocked", VIR_DOMAIN_BLOCKED, 0, 0, VmRun::running},
        {"shutting down", VIR_DOMAIN_SHUTDOWN, VIR_DOMAIN_SHUTDOWN_USER, 0, VmRun::running},
        {"paused by the user", VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER, 0, VmRun::paused},
        {"paused by an I/O error while it is copied away", VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR, VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT, VmRun::paused},
        {"paused at the end of the copy", VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION, VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT, VmRun::outgoing},
        {"its memory follows", VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY, 0, VmRun::outgoing},
        {"being copied to here", VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION, 0, VmRun::incoming},
        {"about to be copied to here", VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_STARTING_UP, VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN, VmRun::incoming},
        {"starting", VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_STARTING_UP, VIR_DOMAIN_JOB_OPERATION_START, VmRun::preparing},
        {"started paused", VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_UNKNOWN, 0, VmRun::paused},
        {"asleep", VIR_DOMAIN_PMSUSPENDED, 0, 0, VmRun::paused},
        {"off", VIR_DOMAIN_SHUTOFF, 0, 0, VmRun::gone},
        {"crashed", VIR_DOMAIN_CRASHED, 0, 0, VmRun::gone},
    };
    for (const Row& row : rows) {
        EXPECT_EQ(vm_run(row.state, row.reason, row.operation), row.run) << row.what;
    }
}

}  // namespace
}  // namespace nvo3::agent
