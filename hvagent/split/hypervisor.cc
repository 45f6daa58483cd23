// SPDX-License-Identifier: Apache-2.0
//
// See hypervisor.h.
#include "hvagent/split/hypervisor.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/log.h"

namespace nvo3::agent {

using namespace std::chrono_literals;
using base::LogLevel;
using control::AuditKind;
using control::Envelope;
using control::Session;
namespace proto = control::proto;

namespace {

constexpr const char* kModule = "hypervisor";
constexpr ServerClient::Kind kKind{"NVE", kModule, "other_config:nvo3-nve", control::Role::nve, proto::CHANNEL_CONTROL};
// After a reconnect: an NVE that comes back has all of its hypervisors at once.
constexpr int kMaxJitterMs = 500;
// One that hangs must not keep ports of running VMs closed when the agent was restarted.
constexpr auto kLibvirtTellsIn = 10s;

}  // namespace

const char* to_string(VmRun run)
{
    switch (run) {
    case VmRun::preparing:
        return "preparing";
    case VmRun::incoming:
        return "incoming";
    case VmRun::paused:
        return "paused";
    case VmRun::running:
        return "running";
    case VmRun::outgoing:
        return "outgoing";
    case VmRun::gone:
        break;
    }
    return "gone";
}

Hypervisor::Hypervisor(PeerHost& host, std::function<void()> on_directory, std::function<void()> on_change)
    : host_(host), on_directory_(std::move(on_directory)), on_change_(std::move(on_change)), throttle_(host.clock()), servers_(host, *this, kKind),
      timer_(host.io(), [this] { wake(); })
{
}

Hypervisor::~Hypervisor()
{
    *alive_ = false;
    stop();
}

void Hypervisor::stop()
{
    stopped_ = true;
    timer_.cancel();
    servers_.stop();
    for (Reservation& one : std::exchange(reservations_, {})) {
        one.done(base::Error{ECANCELED, "the agent ends"});
    }
}

// ---- Configuration ----

void Hypervisor::configure(const Config& config)
{
    enabled_ = config.is_hypervisor();
    nves_ = config.nves;
    ports_ = config.vm_ports;
    with_libvirt_ = !config.libvirt_uri.empty();
    await_libvirt();
    throttle_.set_limits(config.throttle);
    std::vector<Endpoint> endpoints;
    for (const ExternalNve& nve : nves_) {
        endpoints.push_back(nve.endpoint);
    }
    servers_.configure(endpoints);
    if (uplink_ && std::ranges::none_of(endpoints, [&](const Endpoint& one) { return one.address == uplink_->remote; })) {
        forget_networks();
    } else if (Session* session = servers_.session(); session && wishes_.cipher() != cipher_of(servers_.endpoint())) {
        // The sessions are of another level then: all anew.
        servers_.close(proto::CLOSE_REPLACED, "other_config:nvo3-nve asks for another level now");
    }
    vms_changed();
}

void Hypervisor::forget_networks()
{
    uplink_.reset();
    complete_ = false;
    wishes_.forget_networks();
}

void Hypervisor::credentials_changed(bool renew, bool renamed)
{
    if (renamed) {
        forget_networks();
    }
    servers_.context_changed(renew || renamed);
    update_directory();
}

esp::Cipher Hypervisor::cipher_of(const Endpoint& endpoint) const
{
    auto it = std::ranges::find(nves_, endpoint, &ExternalNve::endpoint);
    return it == nves_.end() ? esp::Cipher{} : it->cipher;
}

// ---- Virtual machines ----

void Hypervisor::vms_changed()
{
    vms_dirty_ = false;
    if (!enabled_) {
        list_ = {};
        wishes_.set_wishes({}, false);
        pump();
        return;
    }
    WishList list = make_wish_list(vms_, ports_, !with_libvirt_ ? Libvirt::none : libvirt_problem_.empty() ? Libvirt::there : Libvirt::away);
    for (const auto& [where, problem] : list.problems) {
        auto before = list_.problems.find(where);
        if (before == list_.problems.end() || before->second != problem) {
            base::log(LogLevel::warn, kModule, where + ": " + problem);
        }
    }
    list_ = std::move(list);
    wishes_.set_wishes(list_.wishes, vms_known_ || !with_libvirt_);
    pump();
    on_change_();
}

void Hypervisor::await_libvirt()
{
    if (!enabled_ || !with_libvirt_ || vms_known_ || !libvirt_problem_.empty()) {
        libvirt_due_.reset();
    } else if (!libvirt_due_) {
        libvirt_due_ = host_.clock().now() + kLibvirtTellsIn;
    }
}

void Hypervisor::on_vm(const Vm& vm)
{
    if (vm.run == VmRun::gone) {
        vms_.erase(vm.uuid);
    } else if (auto [it, fresh] = vms_.try_emplace(vm.uuid, vm); !fresh) {
        if (it->second == vm) {
            return;
        }
        it->second = vm;
    }
    vms_change_soon();
}

// A storm of events is taken in first, and looked at then.
void Hypervisor::vms_change_soon()
{
    if (std::exchange(vms_dirty_, true)) {
        return;
    }
    boost::asio::post(host_.io(), [this, alive = alive_] {
        if (*alive && vms_dirty_) {
            vms_changed();
        }
    });
}

void Hypervisor::on_vms(const std::vector<Vm>& vms)
{
    vms_.clear();
    for (const Vm& vm : vms) {
        if (vm.run != VmRun::gone) {
            vms_[vm.uuid] = vm;
        }
    }
    vms_known_ = true;
    libvirt_problem_.clear();
    await_libvirt();
    vms_changed();
}

void Hypervisor::on_libvirt(const std::string& problem)
{
    if (libvirt_problem_ != problem) {
        libvirt_problem_ = problem;
        await_libvirt();
        vms_changed();
    }
}

void Hypervisor::reserve(const Vm& vm, std::chrono::milliseconds at_most, Reserved done)
{
    on_vm(vm);
    if (!enabled_ || stopped_) {
        return done({});
    }
    vms_changed();
    wishes_.ask_again(vm.uuid);
    reservations_.push_back({vm.uuid, vm.name, host_.clock().now() + at_most, std::move(done)});
    pump();
}

void Hypervisor::answer_reservations()
{
    std::vector<std::pair<Reserved, base::Status>> answers;
    std::erase_if(reservations_, [&](Reservation& one) {
        std::optional<base::Status> answer = wishes_.reserved(one.uuid);
        if (auto unusable = list_.unusable_vms.find(one.uuid); unusable != list_.unusable_vms.end()) {
            answer = base::Error{EACCES, "VM " + one.name + ": " + unusable->second};
        } else if (!answer && one.until <= host_.clock().now()) {
            answer = base::Error{ETIMEDOUT, servers_.session() ? servers_.label() + " has not granted the networks of VM " + one.name + " in time"
                                                               : "no external NVE can be reached: see ovs-appctl -t hvagent nve/show"};
        }
        if (answer) {
            answers.emplace_back(std::move(one.done), std::move(*answer));
        }
        return answer.has_value();
    });
    for (auto& [done, status] : answers) {
        done(status);
    }
}

// ---- The NVE ----

void Hypervisor::on_server_up(Session& session)
{
    Uplink uplink{session.peer().name, session.local_address(), session.remote_address()};
    wishes_.session_up(uplink_ == uplink, cipher_of(servers_.endpoint()));
    uplink_ = std::move(uplink);
    throttle_.resume(std::chrono::milliseconds(sessions_++ == 0 ? 0 : std::uniform_int_distribution<int>(0, kMaxJitterMs)(random_)));
    pump();
    on_change_();
}

// What it granted goes on.
void Hypervisor::on_server_down()
{
    wishes_.session_down();
    throttle_.pause();
    on_change_();
}

void Hypervisor::on_server_message(Session&, const Envelope& message)
{
    const TimePoint now = host_.clock().now();
    switch (message.body_case()) {
    case Envelope::kVnConnectResult:
        report(wishes_.on_vn_result(message.in_reply_to(), message.vn_connect_result(), now), "refused");
        break;
    case Envelope::kTsiResult:
        report(wishes_.on_result(message.in_reply_to(), message.tsi_result(), now), "refused");
        break;
    case Envelope::kTsiRemoved:
        report(wishes_.on_removed(message.tsi_removed(), now), "removed");
        break;
    case Envelope::kVnDisconnect:
        report(wishes_.on_disconnect(message.vn_disconnect(), now), "taken away");
        break;
    case Envelope::kTsiReport:
        wishes_.on_report(message.tsi_report());
        break;
    case Envelope::kSlowDown:
        throttle_.slow_down(message.slow_down().messages_per_second());
        base::log(LogLevel::warn, kModule, servers_.label() + " asks for at most " + std::to_string(message.slow_down().messages_per_second()) +
                                               " messages a second");
        break;
    default:
        return;
    }
    pump();
    on_change_();
}

void Hypervisor::report(const std::optional<TsiWishes::Refused>& refused, const char* what)
{
    if (!refused) {
        return;
    }
    const std::string reason = control::quoted(refused->reason);
    control::AuditEvent event{AuditKind::refused, servers_.name(), servers_.endpoint().address, reason};
    event.text = {{"vn", refused->vn}};
    std::string subject = "network " + refused->vn;
    if (!refused->tsi.empty()) {
        event.text.emplace_back("vm", refused->vm);
        event.text.emplace_back("tsi", refused->tsi);
        subject = "interface " + refused->tsi + " of " + refused->vm + " in " + subject;
    }
    host_.audit().write(event);
    base::log(LogLevel::warn, kModule, servers_.label() + ": " + subject + ": " + what + ": " + reason);
}

// ---- What is told ----

void Hypervisor::send(const Envelope& message, const std::string* what)
{
    auto sent = servers_.send(message);
    if (sent && what && !message.has_vn_disconnect()) {
        wishes_.sent(*what, *sent);
    } else if (!sent && sent.error().code == ENOBUFS) {
        // All anew, over a session that can take it.
        servers_.close(proto::CLOSE_TIMEOUT, sent.error().text);
    } else if (!sent) {
        base::log(LogLevel::warn, kModule, sent.error().text);
    }
}

void Hypervisor::pump()
{
    if (stopped_) {
        return;
    }
    const TimePoint now = host_.clock().now();
    if (libvirt_due_ && *libvirt_due_ <= now) {
        libvirt_due_.reset();
        libvirt_problem_ = "libvirt has not told of its VMs yet: libvirtd hangs, or cannot be asked";
        base::log(LogLevel::warn, kModule, libvirt_problem_);
        return vms_changed();
    }
    for (bool more = servers_.session() != nullptr; more;) {
        more = false;
        while (auto message = wishes_.take_sync()) {
            send(*message, nullptr);
            more = true;
        }
        for (const TsiWishes::News& news : wishes_.news(now)) {
            throttle_.offer(news.vm, news.what);
        }
        while (auto turn = throttle_.take()) {
            if (auto message = wishes_.take(turn->what, now)) {
                send(*message, &turn->what);
                more = true;
            }
        }
    }
    update_directory();
    answer_reservations();
    arm();
}

void Hypervisor::update_directory()
{
    complete_ = complete_ || wishes_.in_sync();
    auto directory = std::make_shared<DirectoryView>();
    directory->complete = complete_;
    ContextPtr own = host_.certificate_context();
    if (uplink_ && own && enabled_) {
        for (const ConnectedVn& network : wishes_.networks()) {
            auto vn = std::make_shared<VnView>();
            vn->vni = network.vni;
            vn->name = network.name;
            vn->encap = network.encap;
            vn->cipher = network.cipher;
            vn->members = {{own->own_identity().name, {uplink_->local}}, {uplink_->name, {uplink_->remote}}};
            vn->uplink = uplink_->name;
            directory->vns.emplace(network.vni, std::move(vn));
        }
    }
    const bool same = directory->complete == directory_->complete &&
                      std::ranges::equal(directory->vns, directory_->vns, [](const auto& a, const auto& b) { return *a.second == *b.second; });
    if (!same) {
        directory_ = std::move(directory);
        on_directory_();
    }
}

void Hypervisor::arm()
{
    auto next = earlier(earlier(throttle_.next_deadline(), wishes_.next_deadline()), libvirt_due_);
    for (const Reservation& one : reservations_) {
        next = earlier(next, one.until);
    }
    timer_.set(next);
}

void Hypervisor::wake()
{
    pump();
    on_change_();
}

// ---- What is shown ----

void Hypervisor::fill(NetworkView& view) const
{
    if (enabled_) {
        view.tsis = list_.tsis;
        view.ordinary_ports = list_.ordinary_ports;
        view.refused_tsis = wishes_.closed_ports();
    }
}

void Hypervisor::fill(AgentView& view) const
{
    view.is_hypervisor = enabled_;
    if (!enabled_) {
        return;
    }
    view.nve = servers_.view();
    view.tsis = wishes_.view();
    view.throttle = throttle_.view();
    // By the VM's name, which is what an operator knows.
    std::map<std::string, size_t> held;
    for (const auto& [vm, count] : view.throttle.held) {
        auto it = vms_.find(vm);
        held[it == vms_.end() ? vm : it->second.name] += count;
    }
    view.throttle.held = std::move(held);
    view.libvirt_problem = with_libvirt_ ? libvirt_problem_ : "";
    for (const auto& [where, problem] : list_.problems) {
        view.tsi_problems.push_back(where + ": " + problem);
    }
    if (Session* session = servers_.session()) {
        for (PeerView& peer : view.peers) {
            if (peer.remote == session->remote_address()) {
                peer.control = view_of(*session);
            }
        }
    }
}

}  // namespace nvo3::agent
