// SPDX-License-Identifier: Apache-2.0
//
// See libvirt_adapter.h.
#include "hvagent/libvirt/libvirt_adapter.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "hvagent/libvirt/domain_xml.h"

namespace nvo3::agent {

using namespace std::chrono_literals;
using base::LogLevel;
using Time = std::chrono::steady_clock::time_point;
using std::chrono::steady_clock;

namespace {

constexpr const char* kModule = "libvirt";
constexpr std::chrono::milliseconds kFirstRetry = 200ms, kLastRetry = 10s;
// How often a domain is looked at that is about to become something else, or could not be read.
constexpr auto kUnsettled = 2s;
constexpr auto kLookLater = 30s;
constexpr auto kEnd = 1s;
// A libvirt that answers nothing is given up after their product, in seconds.
constexpr int kKeepAliveInterval = 5;
constexpr unsigned int kKeepAliveCount = 3;

struct CloseConnection {
    void operator()(virConnect* connection) const { virConnectClose(connection); }
};
struct FreeDomain {
    void operator()(virDomain* domain) const { virDomainFree(domain); }
};
struct FreeText {
    void operator()(char* text) const { std::free(text); }
};
using Connection = std::unique_ptr<virConnect, CloseConnection>;
using Domain = std::unique_ptr<virDomain, FreeDomain>;

std::string last_error()
{
    return virGetLastErrorMessage();
}

std::string uuid_of(virDomain* domain)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    virDomainGetUUIDString(domain, uuid);
    return uuid;
}

std::string name_of(virDomain* domain)
{
    const char* name = virDomainGetName(domain);
    return name ? name : "";
}

// 0: no job.
int job_operation(virDomain* domain)
{
    int type = 0, count = 0, operation = 0;
    virTypedParameterPtr parameters = nullptr;
    if (virDomainGetJobStats(domain, &type, &parameters, &count, 0) == 0) {
        virTypedParamsGetInt(parameters, count, VIR_DOMAIN_JOB_OPERATION, &operation);
        virTypedParamsFree(parameters, count);
    }
    return operation;
}

// libvirt's default is to print them.
void no_print(void*, virErrorPtr) {}

}  // namespace

VmRun vm_run(int state, int reason, int operation)
{
    switch (state) {
    case VIR_DOMAIN_NOSTATE:        // what Xen says of one that waits for a processor
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
    case VIR_DOMAIN_SHUTDOWN:       // being shut down: the guest still has its say
        return VmRun::running;
    case VIR_DOMAIN_PAUSED:
        if (reason == VIR_DOMAIN_PAUSED_POSTCOPY) {
            return VmRun::outgoing;     // its memory follows the guest
        }
        if (reason == VIR_DOMAIN_PAUSED_MIGRATION) {
            // The host that it comes to shows no job.
            return operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT ? VmRun::outgoing : VmRun::incoming;
        }
        if (operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN) {
            return VmRun::incoming;
        }
        return reason == VIR_DOMAIN_PAUSED_STARTING_UP ? VmRun::preparing : VmRun::paused;
    case VIR_DOMAIN_PMSUSPENDED:
        return VmRun::paused;
    default:                        // shut off, crashed
        return VmRun::gone;
    }
}

class LibvirtAdapter::Worker {
public:
    Worker(VmObserver& observer, Post post) : observer_(observer), post_(std::move(post)) {}

    // ---- any thread ----

    void set_uri(const std::string& uri)
    {
        std::lock_guard lock(mutex_);
        if (!uri_ || *uri_ != uri) {
            uri_ = uri;
            wake();
        }
    }

    void look_later(const std::string& uuid, const std::string& name)
    {
        std::lock_guard lock(mutex_);
        later_[uuid] = {name, steady_clock::now() + kLookLater};
        wake();
    }

    void stop()
    {
        std::lock_guard lock(mutex_);
        stopped_ = true;
        wake();
    }

    // ---- the thread ----

    void run()
    {
        {
            std::lock_guard lock(mutex_);
            timer_ = virEventAddTimeout(0, [](int, void* worker) { static_cast<Worker*>(worker)->work(); }, this, nullptr);
        }
        while (!stopped()) {
            if (virEventRunDefaultImpl() < 0) {
                base::log(LogLevel::error, kModule, "the event loop has failed: " + last_error());
                break;
            }
        }
        disconnect();
        std::lock_guard lock(mutex_);
        virEventRemoveTimeout(timer_);
        timer_ = -1;
    }

private:
    struct Later {
        std::string name;
        Time due;
    };
    struct Dirty {
        Domain domain;
        bool stopped = false;       // an event said so
    };

    void wake()     // under mutex_
    {
        woken_ = true;
        if (timer_ >= 0) {
            virEventUpdateTimeout(timer_, 0);
        }
    }

    bool stopped()
    {
        std::lock_guard lock(mutex_);
        return stopped_;
    }

    void tell(std::function<void(VmObserver&)> what)
    {
        std::lock_guard lock(mutex_);
        if (!stopped_) {
            post_([&observer = observer_, what = std::move(what)] { what(observer); });
        }
    }

    void tell_problem(const std::string& problem)
    {
        if (std::exchange(problem_, problem) != problem) {
            if (!problem.empty()) {
                base::log(LogLevel::warn, kModule, problem);
            }
            tell([problem](VmObserver& observer) { observer.on_libvirt(problem); });
        }
    }

    // All that there is to do; then the timer is set for what comes next.
    void work()
    {
        std::string uri;
        {
            std::lock_guard lock(mutex_);
            woken_ = false;
            uri = uri_.value_or("");
            if (stopped_) {
                return;
            }
        }
        if (uri != connected_to_) {
            disconnect();
            connected_to_ = uri;
            backoff_ = kFirstRetry;
            retry_.reset();
            if (uri.empty()) {
                known_.clear();
                tell([](VmObserver& observer) { observer.on_vms({}); });
                tell_problem("");
            } else {
                retry_ = steady_clock::now();
            }
        }
        if (lost_) {
            disconnect();
            tell_problem("the connection to libvirt, " + connected_to_ + ", is lost; it is made again");
            retry_ = steady_clock::now() + backoff_;
        }
        if (retry_ && steady_clock::now() >= *retry_) {
            retry_.reset();
            connect();
        }
        if (connection_) {
            look_again();
            read_dirty();
        }
        set_timer();
    }

    void set_timer()
    {
        std::optional<Time> next = retry_;
        auto earlier = [&next](Time time) { next = next ? std::min(*next, time) : time; };
        if (connection_ && (!unsettled_.empty() || list_failed_)) {
            earlier(next_look_);
        }
        std::lock_guard lock(mutex_);
        for (const auto& [uuid, later] : later_) {
            if (connection_) {
                earlier(later.due);
            }
        }
        int timeout = -1;
        if (woken_) {
            timeout = 0;
        } else if (next) {
            timeout = static_cast<int>(std::clamp<long long>(std::chrono::ceil<std::chrono::milliseconds>(*next - steady_clock::now()).count(), 0, 3600000));
        }
        virEventUpdateTimeout(timer_, timeout);
    }

    // ---- connection ----

    template <class F>
    void listen_to(int event, F* callback)
    {
        const int id = virConnectDomainEventRegisterAny(connection_.get(), nullptr, event, VIR_DOMAIN_EVENT_CALLBACK(callback), this, nullptr);
        if (id >= 0) {
            callbacks_.push_back(id);
        }
    }

    void connect()
    {
        connection_.reset(virConnectOpenReadOnly(connected_to_.c_str()));
        if (!connection_) {
            tell_problem("libvirt, " + connected_to_ + ", cannot be reached: " + last_error());
            retry_ = steady_clock::now() + backoff_;
            backoff_ = std::min(2 * backoff_, kLastRetry);
            return;
        }
        // Not all drivers have them; libvirt says so in the log of its own.
        virConnectSetKeepAlive(connection_.get(), kKeepAliveInterval, kKeepAliveCount);
        virConnectRegisterCloseCallback(connection_.get(), on_close, this, nullptr);
        // Before the list: nothing is missed between the two.
        listen_to(VIR_DOMAIN_EVENT_ID_LIFECYCLE, +[](virConnectPtr, virDomainPtr domain, int event, int, void* worker) {
            static_cast<Worker*>(worker)->look_at(domain, event == VIR_DOMAIN_EVENT_STOPPED);
            return 0;
        });
        listen_to(VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, +[](virConnectPtr, virDomainPtr domain, const char*, void* worker) { static_cast<Worker*>(worker)->look_at(domain); });
        listen_to(VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, +[](virConnectPtr, virDomainPtr domain, const char*, void* worker) { static_cast<Worker*>(worker)->look_at(domain); });
        listen_to(VIR_DOMAIN_EVENT_ID_REBOOT, +[](virConnectPtr, virDomainPtr domain, void* worker) { static_cast<Worker*>(worker)->look_at(domain); });
        listen_to(VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, +[](virConnectPtr, virDomainPtr domain, int, void* worker) { static_cast<Worker*>(worker)->look_at(domain); });
        listen_to(VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
                  +[](virConnectPtr, virDomainPtr domain, int, const char*, void* worker) { static_cast<Worker*>(worker)->look_at(domain); });
        backoff_ = kFirstRetry;
        tell_problem("");
        base::log(LogLevel::info, kModule, "connected to " + connected_to_);
        list();
    }

    void disconnect()
    {
        lost_ = false;
        dirty_.clear();
        unsettled_.clear();
        list_failed_ = false;
        if (!connection_) {
            return;
        }
        for (int id : callbacks_) {
            virConnectDomainEventDeregisterAny(connection_.get(), id);
        }
        callbacks_.clear();
        virConnectUnregisterCloseCallback(connection_.get(), on_close);
        connection_.reset();
    }

    static void on_close(virConnectPtr, int, void* worker_)
    {
        auto* worker = static_cast<Worker*>(worker_);
        worker->lost_ = true;
        std::lock_guard lock(worker->mutex_);
        worker->wake();
    }

    // ---- domains ----

    void look_at(virDomain* domain, bool stopped = false)
    {
        Dirty& dirty = dirty_[uuid_of(domain)];
        if (!dirty.domain) {
            virDomainRef(domain);
            dirty.domain.reset(domain);
        }
        dirty.stopped = dirty.stopped || stopped;
        std::lock_guard lock(mutex_);
        wake();
    }

    // Nothing if libvirt could not say.
    std::optional<Vm> read(virDomain* domain)
    {
        Vm vm;
        vm.uuid = uuid_of(domain);
        vm.name = name_of(domain);
        int state = VIR_DOMAIN_NOSTATE, reason = 0;
        if (virDomainGetState(domain, &state, &reason, 0) < 0) {
            return no_domain() ? std::optional(vm) : std::nullopt;
        }
        vm.run = vm_run(state, reason, state == VIR_DOMAIN_PAUSED ? job_operation(domain) : 0);
        if (vm.run == VmRun::gone) {
            return vm;
        }
        std::unique_ptr<char, FreeText> xml(virDomainGetXMLDesc(domain, 0));
        if (!xml) {
            vm.run = VmRun::gone;
            return no_domain() ? std::optional(vm) : std::nullopt;
        }
        if (auto parsed = parse_domain(xml.get()); parsed) {
            vm.interfaces = std::move(parsed->interfaces);
            vm.problems = std::move(parsed->problems);
            vm.ordinary = std::move(parsed->ordinary);
        } else {
            vm.problems.push_back("domain " + vm.name + ": " + parsed.error().text);
        }
        return vm;
    }

    static bool no_domain()
    {
        const virError* error = virGetLastError();
        return error && error->code == VIR_ERR_NO_DOMAIN;
    }

    static bool settled(const Vm& vm) { return vm.run == VmRun::running || vm.run == VmRun::paused || vm.run == VmRun::gone; }

    void list()
    {
        virDomainPtr* found = nullptr;
        const int count = virConnectListAllDomains(connection_.get(), &found, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
        list_failed_ = count < 0;
        std::vector<Vm> vms;
        std::set<std::string> known, unsettled;
        for (int i = 0; i < count; i++) {
            Domain domain(found[i]);
            const auto vm = list_failed_ ? std::nullopt : read(domain.get());
            if (!vm) {
                list_failed_ = true;
                continue;
            }
            if (vm->run != VmRun::gone) {
                known.insert(vm->uuid);
                vms.push_back(*vm);
            }
            if (!settled(*vm)) {
                unsettled.insert(vm->uuid);
            }
        }
        std::free(found);
        if (list_failed_) {
            // Who is missing would be taken for gone.
            tell_problem("libvirt, " + connected_to_ + ", does not list its domains: " + last_error());
            next_look_ = steady_clock::now() + kUnsettled;
            return;
        }
        known_ = std::move(known);
        unsettled_ = std::move(unsettled);
        next_look_ = steady_clock::now() + kUnsettled;
        tell_problem("");
        tell([vms = std::move(vms)](VmObserver& observer) { observer.on_vms(vms); });
    }

    // Domains of which no event may come.
    void look_again()
    {
        const Time now = steady_clock::now();
        if (now >= next_look_ && list_failed_) {
            list();
        } else if (now >= next_look_ && !unsettled_.empty()) {
            next_look_ = now + kUnsettled;
            for (const std::string& uuid : std::exchange(unsettled_, {})) {
                look_up(uuid, "");
            }
        }
        std::map<std::string, std::string> due;
        {
            std::lock_guard lock(mutex_);
            std::erase_if(later_, [&](const auto& later) { return now >= later.second.due && due.try_emplace(later.first, later.second.name).second; });
        }
        for (const auto& [uuid, name] : due) {
            known_.insert(uuid);        // that it is gone is to be told
            look_up(uuid, name);
        }
    }

    void look_up(const std::string& uuid, const std::string& name)
    {
        Domain domain(virDomainLookupByUUIDString(connection_.get(), uuid.c_str()));
        if (domain) {
            dirty_.try_emplace(uuid, Dirty{std::move(domain)});
        } else if (no_domain()) {
            Vm vm;
            vm.uuid = uuid;
            vm.name = name;
            deliver(vm, false);
        } else {
            unsettled_.insert(uuid);
        }
    }

    void read_dirty()
    {
        for (auto& [uuid, dirty] : std::exchange(dirty_, {})) {
            if (auto vm = read(dirty.domain.get())) {
                deliver(*vm, dirty.stopped);
            } else {
                unsettled_.insert(uuid);
                next_look_ = steady_clock::now() + kUnsettled;
            }
        }
    }

    void deliver(const Vm& vm, bool stopped)
    {
        if (settled(vm)) {
            unsettled_.erase(vm.uuid);
        } else if (unsettled_.insert(vm.uuid).second) {
            next_look_ = steady_clock::now() + kUnsettled;
        }
        // A domain that is only defined may be one of which a hook has just told that it is
        // about to come: libvirt does not know it yet.
        if (vm.run != VmRun::gone) {
            known_.insert(vm.uuid);
        } else if (known_.erase(vm.uuid) == 0 && !stopped) {
            return;
        }
        tell([vm](VmObserver& observer) { observer.on_vm(vm); });
    }

    VmObserver& observer_;
    const Post post_;

    std::mutex mutex_;              // of these; no call of libvirt but that which sets the timer
    bool stopped_ = false, woken_ = false;
    int timer_ = -1;
    std::optional<std::string> uri_;        // wanted; nothing: nobody has said yet
    std::map<std::string, Later> later_;    // by UUID

    // the thread only
    std::string connected_to_;
    Connection connection_;
    std::vector<int> callbacks_;
    bool lost_ = false, list_failed_ = false;
    std::optional<Time> retry_;
    std::chrono::milliseconds backoff_ = kFirstRetry;
    std::optional<std::string> problem_;
    std::map<std::string, Dirty> dirty_;            // by UUID
    std::set<std::string> known_, unsettled_;       // UUIDs
    Time next_look_{};
};

struct LibvirtAdapter::Thread {
    std::thread thread;
    std::future<void> done;
};

LibvirtAdapter::LibvirtAdapter(VmObserver& observer, Post post)
    : worker_(std::make_shared<Worker>(observer, std::move(post))), thread_(std::make_unique<Thread>())
{
    static const bool initialised = [] {
        virSetErrorFunc(nullptr, no_print);
        return virInitialize() == 0 && virEventRegisterDefaultImpl() == 0;
    }();
    if (!initialised) {
        base::log(LogLevel::error, kModule, "libvirt's library cannot be initialised: " + last_error());
        return;
    }
    std::promise<void> done;
    thread_->done = done.get_future();
    // Signals belong to the OVS thread.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_->thread = std::thread([worker = worker_, done = std::move(done)]() mutable {
        pthread_setname_np(pthread_self(), "libvirt");
        worker->run();
        done.set_value();
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LibvirtAdapter::~LibvirtAdapter()
{
    worker_->stop();
    if (!thread_->thread.joinable()) {
        return;
    }
    if (thread_->done.wait_for(kEnd) == std::future_status::ready) {
        thread_->thread.join();
    } else {
        thread_->thread.detach();
    }
}

void LibvirtAdapter::connect(const std::string& uri)
{
    worker_->set_uri(uri);
}

void LibvirtAdapter::look_later(const std::string& uuid, const std::string& name)
{
    worker_->look_later(uuid, name);
}

}  // namespace nvo3::agent
