// SPDX-License-Identifier: Apache-2.0
//
// See nve_side.h: configuration, networks, sessions, time.  Messages are in
// nve_messages.cc.
#include "hvagent/split/nve_side.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "hvagent/vn_pipeline.h"

namespace nvo3::agent {

using namespace std::chrono_literals;
using base::LogLevel;
using control::AuditKind;
using control::Session;
namespace proto = control::proto;

namespace {

constexpr const char* kModule = "nve";
// Refusals that a hypervisor can cause in the audit log.
constexpr control::Rate kAuditRate{.per_second = 1, .burst = 50};
// Told to slow down at that share of the limit, so that a hypervisor which keeps to its own
// throttle hears nothing.
constexpr double kPaceShare = 0.8;

}  // namespace

NveSide::NveSide(PeerHost& host, std::function<void()> on_change)
    : host_(host), on_change_(std::move(on_change)), started_(host.clock().now()), timer_(host.io(), [this] { tick(); })
{
}

NveSide::~NveSide()
{
    stop();
}

void NveSide::stop()
{
    timer_.cancel();
    for (auto& [address, hypervisor] : hypervisors_) {
        if (auto session = std::exchange(hypervisor.session, nullptr)) {
            session->abandon(proto::CLOSE_SHUTDOWN, "the agent ends");
        }
    }
}

// ---- Configuration ----

control::Rate NveSide::limit() const
{
    const double rate = config_ ? config_->hypervisor_rate : 50;
    return {rate, 2 * rate};
}

control::Rate NveSide::pace() const
{
    return {kPaceShare * limit().per_second, kPaceShare * limit().burst};
}

void NveSide::configure(std::shared_ptr<const Config> config, std::shared_ptr<const DirectoryView> directory)
{
    bool rates = !config_ || config_->hypervisor_rate != config->hypervisor_rate;
    config_ = std::move(config);
    std::map<base::IpAddress, std::vector<Tunnel>> wanted;
    std::map<std::string, base::IpAddress> names;
    for (const Tunnel& tunnel : config_->tunnels) {
        if (tunnel.role != control::Role::hypervisor) {
            continue;
        }
        auto [it, fresh] = names.try_emplace(tunnel.remote_name, tunnel.remote);
        if (it->second == tunnel.remote) {
            wanted[tunnel.remote].push_back(tunnel);
        }
    }
    for (auto it = hypervisors_.begin(); it != hypervisors_.end();) {
        auto now = wanted.find(it->first);
        if (now == wanted.end() || now->second.front().remote_name != it->second.name) {
            forget(it->second, proto::CLOSE_NOT_CONFIGURED, "its port was removed");
            it = hypervisors_.erase(it);
        } else {
            ++it;
        }
    }
    for (auto& [address, ports] : wanted) {
        auto it = hypervisors_.find(address);
        if (it == hypervisors_.end()) {
            Hypervisor hypervisor{.address = address,
                                  .name = ports.front().remote_name,
                                  .limit = {limit(), host_.clock()},
                                  .pace = {pace(), host_.clock()},
                                  .audits = {kAuditRate, host_.clock()}};
            it = hypervisors_.emplace(address, std::move(hypervisor)).first;
        }
        it->second.ports = std::move(ports);
    }
    make_directory(std::move(directory));
    if (rates) {
        rates_changed();
    }
    apply_local();
    for (auto& [address, hypervisor] : hypervisors_) {
        check_networks(hypervisor);
    }
    pump();
}

// Without an NVA the ports say which networks there are; the first that names one also
// says how it is encapsulated.
void NveSide::make_directory(std::shared_ptr<const DirectoryView> of_nva)
{
    if (!config_->nvas.empty() || hypervisors_.empty()) {
        directory_ = std::move(of_nva);
        return;
    }
    auto made = std::make_shared<DirectoryView>();
    made->complete = true;
    for (const Tunnel& tunnel : config_->tunnels) {
        for (base::Vni vni : tunnel.role == control::Role::hypervisor ? tunnel.vnis : std::vector<base::Vni>{}) {
            auto& vn = made->vns[vni];
            if (!vn) {
                auto view = std::make_shared<VnView>();
                view->vni = vni;
                view->name = std::to_string(vni.value);
                view->encap = tunnel.encap;
                view->cipher = tunnel.cipher;
                vn = std::move(view);
            }
        }
    }
    directory_ = std::move(made);
}

void NveSide::on_nva(bool is_up, const std::map<Announcer::Key, Announcer::Answer>& answers)
{
    if (hypervisors_.empty()) {
        return;
    }
    table_.set_nva(is_up);
    for (const TsiClaim& claim : table_.claims()) {
        auto answer = answers.find({claim.vni, claim.mac});
        if (claim.state == proto::TSI_ACTIVE && answer != answers.end()) {
            // What may be had soon is not refused: it waits for that without packets.
            const bool refused = !answer->second.reason.empty() && !answer->second.for_now;
            table_.nva_says(claim.vni, claim.mac, refused ? std::optional("the NVA: " + answer->second.reason) : std::nullopt);
        }
    }
    pump();
}

void NveSide::apply_local()
{
    TsiTable::LocalMacs macs;
    for (const Tsi& tsi : config_->tsis) {
        if (const VnView* vn = find_vn(*directory_, tsi.vn)) {
            macs.try_emplace({vn->vni, tsi.mac}, tsi.port);
        }
    }
    table_.set_local(std::move(macs));
}

void NveSide::rates_changed()
{
    for (auto& [address, hypervisor] : hypervisors_) {
        hypervisor.limit.set_rate(limit());
        hypervisor.pace.set_rate(pace());
        if (hypervisor.session) {
            hypervisor.session->set_rates(host_.session_options().send_rate, limit());
        }
    }
}

NveSide::Hypervisor* NveSide::find(const base::IpAddress& address)
{
    auto it = hypervisors_.find(address);
    return it == hypervisors_.end() ? nullptr : &it->second;
}

const NveSide::Hypervisor* NveSide::find(const base::IpAddress& address) const
{
    auto it = hypervisors_.find(address);
    return it == hypervisors_.end() ? nullptr : &it->second;
}

NveSide::Hypervisor* NveSide::of_session(const Session& session)
{
    Hypervisor* hypervisor = find(session.remote_address());
    return hypervisor && hypervisor->session.get() == &session ? hypervisor : nullptr;
}

NveSide::Hypervisor* NveSide::by_name(const std::string& name)
{
    auto it = std::ranges::find(hypervisors_, name, [](const auto& entry) { return entry.second.name; });
    return it == hypervisors_.end() ? nullptr : &it->second;
}

// ---- Networks ----

const Tunnel* NveSide::port_for(const Hypervisor& hypervisor, const VnView& vn)
{
    for (const Tunnel& port : hypervisor.ports) {
        if (port.encap == vn.encap && (port.nva || std::ranges::find(port.vnis, vn.vni) != port.vnis.end())) {
            return &port;
        }
    }
    return nullptr;
}

// Whether the hypervisor may still be in what it is connected to.
void NveSide::check_networks(Hypervisor& hypervisor)
{
    for (base::Vni vni : std::set<base::Vni>(hypervisor.connected)) {
        const VnView* vn = directory_->find(vni);
        if (!vn && !directory_->complete) {
            continue;       // the NVA has not told of it yet
        }
        if (!vn || !port_for(hypervisor, *vn)) {
            leave(hypervisor, vni, vn ? "its port (options:nvo3_vnis) does not allow the network any more" : "this NVE does not serve the network any more");
        }
    }
}

// With a reason it is this NVE that says so.
void NveSide::leave(Hypervisor& hypervisor, base::Vni vni, const std::string& reason)
{
    hypervisor.connected.erase(vni);
    hypervisor.told.erase(vni);
    table_.leave(hypervisor.name, vni, reason);
    if (!reason.empty()) {
        control::Envelope message;
        message.mutable_vn_disconnect()->set_vni(vni.value);
        message.mutable_vn_disconnect()->set_reason(control::quoted(reason));
        send(hypervisor, std::move(message), 0);
        audit(hypervisor, AuditKind::config_changed, reason, vni);
    }
}

void NveSide::forget(Hypervisor& hypervisor, proto::CloseCode code, const std::string& reason)
{
    table_.forget(hypervisor.name, reason);
    hypervisor.connected.clear();
    hypervisor.told.clear();
    hypervisor.keep_until.reset();
    if (auto session = std::exchange(hypervisor.session, nullptr)) {
        session->abandon(code, reason);
        audit(hypervisor, AuditKind::session_closed, reason);
    }
    hypervisor.error = reason;
}

// ---- Sessions ----

base::Status NveSide::admit(const Session& session) const
{
    const Hypervisor* hypervisor = find(session.remote_address());
    if (!hypervisor) {
        return base::Error{EACCES, "no port with options:nvo3_role=hypervisor lets " + session.remote_address().to_string() + " in"};
    }
    if (hypervisor->barred_until && *hypervisor->barred_until > host_.clock().now()) {
        return base::Error{EACCES, hypervisor->name + " was cut off for sending too much and may not come back yet"};
    }
    return {};
}

void NveSide::on_open(Session& session)
{
    Hypervisor* hypervisor = find(session.remote_address());
    if (!hypervisor) {
        return session.close(proto::CLOSE_NOT_CONFIGURED, "its port was removed");
    }
    base::Status status = admit(session);
    if (status) {
        status = session.check_level(config_->control_level);
    }
    if (!status) {
        hypervisor->error = status.error().text;
        audit(*hypervisor, AuditKind::refused, status.error().text);
        return session.close(proto::CLOSE_UNAUTHORIZED, status.error().text);
    }
    if (auto before = std::exchange(hypervisor->session, nullptr)) {
        before->abandon(proto::CLOSE_REPLACED, "the same hypervisor has connected again");
    }
    hypervisor->session = session.shared_from_this();
    hypervisor->opened = host_.clock().now();
    hypervisor->error.clear();
    hypervisor->told.clear();
    hypervisor->keep_until.reset();
    hypervisor->last_query.reset();
    // A new session is no way to a new burst.
    control::Rate receive = limit();
    if (!hypervisor->limit.full()) {
        receive.burst = 1;
    }
    session.set_rates(host_.session_options().send_rate, receive);
    audit(*hypervisor, AuditKind::authenticated, session.tls_summary());
    base::log(LogLevel::info, kModule, hypervisor->name + " (" + hypervisor->address.to_string() + "): control session open, " + session.tls_summary());
    table_.session_up(hypervisor->name, host_.clock().now());
    pump();
    on_change_();
}

bool NveSide::on_closed(const Session& session, const control::CloseInfo& info)
{
    using Kind = control::CloseInfo::Kind;
    Hypervisor* hypervisor = of_session(session);
    if (!hypervisor) {
        return false;
    }
    const auto now = host_.clock().now();
    hypervisor->session.reset();
    hypervisor->error = info.text;
    const bool refused = info.kind == Kind::refused_by_us || info.kind == Kind::unauthorized || info.kind == Kind::protocol_error;
    audit(*hypervisor, refused ? AuditKind::refused : AuditKind::session_closed, info.text);
    base::log(refused ? LogLevel::warn : LogLevel::info, kModule, hypervisor->name + ": control session closed: " + info.text);
    if (info.kind == Kind::closed_by_peer && info.code == proto::CLOSE_NOT_CONFIGURED) {
        // It is with another NVE, which shall not wait for what would be kept here.
        forget(*hypervisor, info.code, "its hypervisor has left: " + info.text);
        hypervisor->settled = true;
    } else {
        hypervisor->keep_until = now + TsiTable::kKeep;
        table_.session_down(hypervisor->name, now);
    }
    pump();
    on_change_();
    return true;
}

bool NveSide::vn_allowed(const Session& session, base::Vni vni) const
{
    const Hypervisor* hypervisor = find(session.remote_address());
    return hypervisor && hypervisor->connected.contains(vni);
}

void NveSide::check_sessions()
{
    ContextPtr now = host_.certificate_context();
    for (auto& [address, hypervisor] : hypervisors_) {
        if (!hypervisor.session) {
            continue;
        }
        Session& session = *hypervisor.session;
        base::Status valid = base::Error{EACCES, "this NVE has no certificate any more"};
        if (now) {
            valid = session.reverify(*now);
        }
        if (valid) {
            continue;
        }
        if (session.peer().not_after < host_.clock().wall()) {
            session.close(proto::CLOSE_EXPIRED, valid.error().text);    // it may come back with a new one
            continue;
        }
        audit(hypervisor, AuditKind::refused, valid.error().text);
        forget(hypervisor, proto::CLOSE_REVOKED, valid.error().text);
    }
    pump();
    on_change_();
}

// ---- Time ----

void NveSide::poll()
{
    bool expired = false;
    for (auto& [address, hypervisor] : hypervisors_) {
        if (!hypervisor.session) {
            continue;
        }
        Session& session = *hypervisor.session;
        expired = expired || session.peer().not_after < host_.clock().wall();
        if (hypervisor.limit.full()) {
            session.set_rates(host_.session_options().send_rate, limit());      // its burst again
        }
        if (host_.clock().now() - hypervisor.opened > host_.timing().give_up_after) {
            session.close(proto::CLOSE_TIMEOUT, "the session was not renewed in time");
        }
    }
    if (expired) {
        check_sessions();
    }
}

void NveSide::tick()
{
    const auto now = host_.clock().now();
    table_.tick(now);
    for (auto& [address, hypervisor] : hypervisors_) {
        if (hypervisor.keep_until && *hypervisor.keep_until <= now) {
            hypervisor.keep_until.reset();
            hypervisor.connected.clear();
            on_change_();
        }
    }
    pump();
}

bool NveSide::is_settled(const base::IpAddress& address) const
{
    const Hypervisor* hypervisor = find(address);
    return !hypervisor || hypervisor->settled || host_.clock().now() - started_ >= TsiTable::kKeep;
}

void NveSide::switch_up(std::set<base::IpAddress> with_sas)
{
    if (!served_before_) {
        served_before_ = std::move(with_sas);
    }
}

bool NveSide::is_settled() const
{
    if (flows_may_go_ || hypervisors_.empty() || host_.clock().now() - started_ >= TsiTable::kKeep) {
        return true;
    }
    // As long as flows stay, none follows the directory: so for nobody without need.
    return served_before_ && std::ranges::all_of(hypervisors_, [&](const auto& entry) {
               return entry.second.settled || !served_before_->contains(entry.first);
           });
}

// ---- What follows ----

ConnectedNetworks NveSide::connected() const
{
    ConnectedNetworks result;
    for (const auto& [address, hypervisor] : hypervisors_) {
        result[address] = hypervisor.connected;
    }
    return result;
}

std::vector<RemoteTsi> NveSide::remote_tsis() const
{
    std::vector<RemoteTsi> result;
    for (const TsiClaim& claim : table_.claims()) {
        auto it = std::ranges::find(hypervisors_, claim.hypervisor, [](const auto& entry) { return entry.second.name; });
        const VnView* vn = directory_->find(claim.vni);
        const Tunnel* port = it != hypervisors_.end() && vn ? port_for(it->second, *vn) : nullptr;
        if (port && claim.state == proto::TSI_ACTIVE) {
            result.push_back({claim.hypervisor + "/" + claim.tsi, port->port, claim.vni, claim.mac, claim.in_use()});
        }
    }
    return result;
}

std::vector<Tsi> NveSide::tsis() const
{
    std::vector<Tsi> result;
    for (const RemoteTsi& remote : remote_tsis()) {
        result.push_back({remote.name, 0, std::to_string(remote.vni.value), remote.mac, remote.addresses});
    }
    return result;
}

std::vector<HypervisorView> NveSide::view() const
{
    std::vector<HypervisorView> result;
    for (const auto& [address, hypervisor] : hypervisors_) {
        HypervisorView view;
        view.name = hypervisor.name;
        view.address = address;
        if (hypervisor.session) {
            view.session = view_of(*hypervisor.session);
        }
        view.settled = hypervisor.settled;
        view.error = hypervisor.error;
        view.networks = {hypervisor.connected.begin(), hypervisor.connected.end()};
        view.messages = hypervisor.messages;
        view.refused = hypervisor.refused;
        view.slow_downs = hypervisor.slow_downs;
        view.cut_off = hypervisor.cut_off;
        for (const TsiClaim& claim : table_.claims(hypervisor.name)) {
            view.tsis.push_back({claim.tsi, claim.vm, claim.vni, claim.mac, claim.in_use(), to_string(claim.state),
                                 claim.away ? "its hypervisor is away: it goes unless that comes back" : ""});
        }
        result.push_back(std::move(view));
    }
    return result;
}

}  // namespace nvo3::agent
