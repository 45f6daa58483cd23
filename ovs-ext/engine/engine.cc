// SPDX-License-Identifier: Apache-2.0
//
// See engine.h: main loop, ports, the agent's requests.
#include "ovs-ext/engine/engine.h"

#include <poll.h>
#include <sys/random.h>

#include <climits>
#include <map>
#include <utility>
#include <variant>

namespace nvo3::engine {
namespace {

using base::Encap;
using base::Error;
using base::IpAddress;
using base::Result;
using base::Status;

constexpr long long kReopenIntervalMs = 2000;
// Far more ports than a switch has; what the agent says of others is ignored.
constexpr size_t kMaxAgentViews = 16384;

std::string
socket_path(const nvo3_host& host)
{
    return std::string(host.rundir) + "/" + esp::kSaSocketName;
}

}  // namespace

Result<std::unique_ptr<Engine>>
Engine::make(const nvo3_host& host)
{
    Result<const esp::AeadLibrary*> library = esp::choose_aead_library();
    if (!library) {
        return library.error();
    }
    uint64_t instance;
    if (getrandom(&instance, sizeof instance, 0) != sizeof instance) {
        return Error{errno, "the kernel gives no random numbers"};
    }
    return std::unique_ptr<Engine>(new Engine(host, **library, instance));
}

Engine::Engine(const nvo3_host& host, const esp::AeadLibrary& library, uint64_t instance)
    : host_(host), library_(library), peers_(host),
      guard_([this] {
          Notice notice;
          notice.kind = NoticeKind::guard;
          notices_.post(notice);
      }),
      keeper_(host, peers_, library),
      agent_(host, socket_path(host),
             esp::msg::SwitchHello{esp::kSaProtocolVersion, instance, library.name()}, *this),
      notifier_(host, peers_, ports_, global_, agent_)
{
}

Engine::~Engine() = default;

// ---- Main loop ----

Status
Engine::open_socket()
{
    Status status = agent_.open();
    const std::string error = status ? std::string() : status.error().text;
    if (error != socket_error_) {
        socket_error_ = error;
        mark_all_ports();
    }
    reopen_ms_ = host_.now_ms() + kReopenIntervalMs;
    return status;
}

void
Engine::run()
{
    if (!agent_.is_open() && host_.now_ms() >= reopen_ms_) {
        const std::string before = socket_error_;
        if (Status status = open_socket(); !status && socket_error_ != before) {
            host_.log(NVO3_LOG_ERR, socket_error_.c_str());
        }
    }
    notifier_.run(notices_);
    keeper_.run();
    if (retell_ && !agent_.listing()) {
        retell_ = false;
        keeper_.retell();
    }
    // Not as events that may be lost: nothing tells of them again.
    for (const esp::msg::SaExpiring& message : keeper_.take_expiring()) {
        agent_.send(message);
    }
    agent_.run();
    if (keeper_.take_changed()) {
        mark_all_ports();
        if (!guard_.agent_has_told()) {
            std::set<base::Vni> vnis;
            for (const auto& [channel, count] : keeper_.counts()) {
                vnis.insert(channel.vni);
            }
            guard_.sas_serve(std::move(vnis));
        }
    }
    tell_guard();
    tell_status();
}

void
Engine::wait()
{
    agent_.wait();
    if (!agent_.is_open()) {
        host_.wait_until(reopen_ms_);
    }
    if (notices_.wake_fd() >= 0) {
        host_.wait_fd(notices_.wake_fd(), POLLIN);
    }
    if (const long long when = keeper_.next_scan_ms(); when != LLONG_MAX) {
        host_.wait_until(when);
    }
    if (const long long when = guard_.next_notice_ms(); when != LLONG_MAX) {
        host_.wait_until(when);
    }
    if (!changed_ports_.empty() || (retell_ && !agent_.listing())) {
        host_.wait_until(0);
    }
}

void
Engine::mark_all_ports()
{
    for (const auto& [name, port] : ports_.all()) {
        changed_ports_.insert(name);
    }
}

void
Engine::tell_status()
{
    for (const std::string& name : std::exchange(changed_ports_, {})) {
        Port* port = ports_.find(name);
        if (!port) {
            continue;
        }
        // OVS takes news of a port for a change of the port itself and looks at
        // all flows again: a rekey, which changes nothing to see, is no news.
        std::string seen;
        port_status(name, [&](const char* key, const char* value) { seen.append(key).append("=").append(value).append("\n"); });
        if (seen != port->status_told) {
            port->status_told = std::move(seen);
            host_.status_changed(name.c_str());
        }
    }
}

void
Engine::tell_guard()
{
    for (const esp::msg::GuardNotice& notice : guard_.take_notices(host_.now_ms())) {
        const std::string text = "bridge " + notice.bridge + ": " + (notice.refused ? "refused " : "would refuse ")
                                 + notice.text + ", from " + notice.connection
                                 + (notice.count > 1 ? " (" + std::to_string(notice.count) + " of this kind)" : "");
        host_.log(NVO3_LOG_WARN, text.c_str());
        guard_.hold(notice);
    }
    // Without an agent they wait for one: its audit log has what came before it.
    if (agent_.connected()) {
        for (const esp::msg::GuardNotice& notice : guard_.take_held()) {
            agent_.send_event(notice);
        }
    }
}

bool
Engine::permits(std::string_view bridge, const nvo3_guard_change& change)
{
    return guard_.permits(bridge, change, host_.now_ms());
}

// ---- Ports ----

Status
Engine::set_port(const std::string& name, const nvo3_port_options& options)
{
    Result<PortConfig> parsed = parse_port(name, options);
    if (!parsed) {
        return parsed.error();
    }
    if (const Port* present = ports_.find(name); present && present->config == *parsed) {
        return {};
    }
    const PortConfig now = *parsed;
    const std::optional<PortConfig> former = ports_.put(std::move(*parsed));
    ports_changed(former ? &*former : nullptr, &now);
    changed_ports_.insert(name);
    return {};
}

void
Engine::remove_port(std::string_view name)
{
    if (const std::optional<PortConfig> former = ports_.remove(name)) {
        if (const auto it = changed_ports_.find(name); it != changed_ports_.end()) {
            changed_ports_.erase(it);
        }
        ports_changed(&*former, nullptr);
    }
}

// SAs end with what they were for: with the last port that may carry their
// network to their peer, and with the cipher that was asked for, so that nothing
// is sent under less protection than the configuration now demands.
void
Engine::ports_changed(const PortConfig* former, const PortConfig* now)
{
    if (now && now->from_nva) {
        // SAs may be here before the port that they are for.
        keeper_.sad().for_each([&](const esp::SaRuntime& sa) {
            serve_for_nva(sa.remote(), sa.encap());
            if (sa.of_group()) {
                serve_for_nva(sa.group(), sa.encap());
            }
        });
    }
    refresh_lanes();
    guard_.ports_changed(ports_.all());
    std::map<std::pair<Channel, esp::Cipher>, bool> stays;
    keeper_.remove_if([&](const esp::SaRuntime& sa) {
        const Channel channel = channel_of(sa);
        const bool is_its = now && covers(*now, channel);
        // A peer that only this port named takes along what remote_ip=flow
        // ports had with it.
        const bool was_its = former && (covers(*former, channel) || former->remote == channel.remote);
        if (!is_its && !was_its) {
            return false;
        }
        const auto [it, first] = stays.try_emplace({channel, sa.cipher()});
        if (first) {
            it->second = is_its ? ports_.serves_with(channel, sa.cipher()) : ports_.serves(channel);
        }
        return !it->second;
    });
}

// The peers and groups of a port of the NVA are those that there are SAs for, from
// the first SA until the last such port is gone: so an SA that has ended is asked
// for again, and counters go on.
void
Engine::serve_for_nva(const IpAddress& remote, Encap encap)
{
    if (!ports_.has_nva(encap) || !nva_lanes_.emplace(remote, encap).second) {
        return;
    }
    known_remotes_.insert(remote);
    if (Lane* lane = peers_.serve(remote, encap)) {
        lane->served.store(true, std::memory_order_relaxed);
    }
}

// Which peers the ports know, for packet threads to see.  One pass over the
// ports, however many there are: it is called for each of them.
void
Engine::refresh_lanes()
{
    std::map<std::pair<IpAddress, Encap>, int> mtu_by_lane;     // of the ports that name a remote
    std::set<Encap> of_flow_ports;
    std::set<IpAddress> named;
    for (const auto& [name, port] : ports_.all()) {
        if (!port.config.remote) {
            if (!port.config.from_nva) {
                of_flow_ports.insert(port.config.encap);
            }
            continue;
        }
        named.insert(*port.config.remote);
        int& mtu = mtu_by_lane[{*port.config.remote, port.config.encap}];
        if (port.underlay_mtu > 0 && (mtu == 0 || port.underlay_mtu < mtu)) {
            mtu = port.underlay_mtu;
        }
    }
    std::erase_if(nva_lanes_, [&](const auto& lane) { return !ports_.has_nva(lane.second); });
    known_remotes_.insert(named.begin(), named.end());
    for (const IpAddress& remote : known_remotes_) {
        for (Encap encap : {Encap::geneve, Encap::vxlan}) {
            const auto own = mtu_by_lane.find({remote, encap});
            const bool served = own != mtu_by_lane.end() || nva_lanes_.contains({remote, encap})
                                || (named.contains(remote) && of_flow_ports.contains(encap));
            const Peer* peer = served ? nullptr : peers_.find(remote);
            Lane* lane = served ? peers_.serve(remote, encap) : peer ? peer->lane(encap) : nullptr;
            if (lane) {
                lane->served.store(served, std::memory_order_relaxed);
                lane->underlay_mtu.store(own == mtu_by_lane.end() ? 0 : static_cast<uint32_t>(own->second),
                                         std::memory_order_relaxed);
            }
        }
    }
    std::erase_if(known_remotes_, [&](const IpAddress& remote) {
        return !named.contains(remote) && !nva_lanes_.contains({remote, Encap::geneve})
               && !nva_lanes_.contains({remote, Encap::vxlan});
    });
}

void
Engine::set_underlay_mtu(std::string_view name, int mtu)
{
    Port* port = ports_.find(name);
    if (!port || port->underlay_mtu == mtu) {
        return;
    }
    port->underlay_mtu = mtu;
    changed_ports_.insert(port->config.name);
    if (!port->config.remote) {
        return;
    }
    const IpAddress& remote = *port->config.remote;
    const Encap encap = port->config.encap;
    if (Lane* lane = peers_.serve(remote, encap)) {
        lane->underlay_mtu.store(static_cast<uint32_t>(ports_.underlay_mtu(remote, encap)),
                                 std::memory_order_relaxed);
    }
}

// ---- The agent ----

void
Engine::on_agent_up(uint64_t)
{
    host_.log(NVO3_LOG_INFO, ("agent (pid " + std::to_string(agent_.agent_pid())
                              + ") connected").c_str());
    mark_all_ports();
}

// Live SAs stay: traffic goes on until their hard limits.
void
Engine::on_agent_down()
{
    retell_ = false;
    agent_view_.clear();
    mark_all_ports();
}

void
Engine::on_agent_message(esp::SaMessage& message)
{
    std::visit([&](auto& body) {
        if constexpr (requires { handle(body); }) {
            handle(body);
        } else {
            // A second hello, or a message of the switch: harmless, but wrong.
            host_.log(NVO3_LOG_WARN, "the agent sent a message that only the switch sends");
        }
    }, message);
}

void
Engine::answer(uint32_t request, const Status& status)
{
    agent_.send(status ? esp::msg::Result{request, 0, ""}
                       : esp::msg::Result{request, static_cast<uint32_t>(status.error().code),
                                          status.error().text});
}

void
Engine::handle(esp::msg::InstallSa& message)
{
    // The agent's view of the configuration may be older than ours: what a port
    // towards that peer no longer allows must not come back by its next rekey.
    // No port of the configuration names a group, only those of the NVA are for it.
    const bool of_group = message.sa.of_group();
    const Channel channel{of_group ? message.sa.group : message.sa.remote, message.sa.encap, message.sa.vni};
    const bool known = ports_.names(channel.remote, Encap::geneve) || ports_.names(channel.remote, Encap::vxlan);
    const Status status = known && !ports_.serves_with(channel, message.sa.cipher)
                              ? Status(Error{EINVAL, "no port towards " + channel.remote.to_string() + " carries VNI "
                                                     + to_string(channel.vni) + " with " + esp::to_string(message.sa.cipher)})
                              : keeper_.install(message.sa);
    message.sa.key.reset();
    if (status) {
        serve_for_nva(message.sa.remote, message.sa.encap);
        if (of_group) {
            serve_for_nva(message.sa.group, message.sa.encap);
        }
    }
    answer(message.request, status);
}

void
Engine::handle(esp::msg::RemoveSa& message)
{
    const bool there = keeper_.remove(message.direction, message.spi, {message.remote, message.encap, message.vni});
    answer(message.request,
           there ? Status{} : Status(Error{ENOENT, "there is no such SA with "
                                                       + message.remote.to_string()}));
}

void
Engine::handle(esp::msg::RemovePeer& message)
{
    keeper_.remove_peer(message.remote);
    answer(message.request, {});
}

void
Engine::handle(esp::msg::ListSas& message)
{
    agent_.send_list(keeper_.list(message.request), {message.request, 0, ""});
    retell_ = true;
}

void
Engine::handle(esp::msg::PortStatus& message)
{
    const auto it = agent_view_.find(message.port);
    if (it == agent_view_.end() && agent_view_.size() >= kMaxAgentViews) {
        return;
    }
    if (it != agent_view_.end() && it->second == message) {
        return;
    }
    if (ports_.find(message.port)) {
        changed_ports_.insert(message.port);
    }
    std::string name = message.port;
    agent_view_.insert_or_assign(std::move(name), std::move(message));
}

void
Engine::handle(esp::msg::ServedNetworks& message)
{
    guard_.agent_serves(message.vnis);
}

}  // namespace nvo3::engine
