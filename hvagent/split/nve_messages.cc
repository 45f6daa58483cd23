// SPDX-License-Identifier: Apache-2.0
//
// See nve_side.h: messages of hypervisors, and what the table of TSIs makes of them.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/log.h"
#include "hvagent/split/nve_side.h"
#include "hvagent/vn_pipeline.h"

namespace nvo3::agent {

using namespace std::chrono_literals;
using base::LogLevel;
using control::AuditKind;
using control::Session;
namespace proto = control::proto;

namespace {

constexpr const char* kModule = "nve";
constexpr auto kSlowDownGap = 1s;
// Between two messages beyond the pace: nearer they are one excess.
constexpr auto kExcessGap = 2s;
constexpr auto kExcessLimit = 30s;
constexpr auto kBarred = 30s;
constexpr double kSlowDownShare = 0.6;
// The answer is many times the question.
constexpr auto kQueryGap = 10s;
constexpr int kReported = 256;          // TSIs in a TsiReport

base::ByteView view(const std::string& octets)
{
    return {reinterpret_cast<const uint8_t*>(octets.data()), octets.size()};
}

std::string octets(base::ByteView bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TsiAsked asked_of(const proto::TsiRequest& request)
{
    TsiAsked asked;
    asked.action = request.action();
    asked.vni = base::Vni(request.vni());
    asked.tsi = request.tsi();
    asked.mac = base::MacAddress::from_bytes(view(request.mac()));
    for (const std::string& address : request.addresses()) {
        asked.addresses.push_back(base::IpAddress::from_bytes(view(address)));
    }
    asked.migration = request.migration();
    asked.vm = control::quoted(request.vm());
    return asked;
}

}  // namespace

void NveSide::on_message(Session& session, const control::Envelope& message)
{
    if (Hypervisor* hypervisor = of_session(session)) {
        take(*hypervisor, message, false);
    }
}

void NveSide::on_vn_refused(Session& session, const control::Envelope& message)
{
    if (Hypervisor* hypervisor = of_session(session)) {
        take(*hypervisor, message, true);
    }
}

void NveSide::take(Hypervisor& hypervisor, const control::Envelope& message, bool vn_refused)
{
    hypervisor.messages++;
    if (!keeps_pace(hypervisor)) {
        return;
    }
    switch (message.body_case()) {
    case control::Envelope::kVnConnect: on_connect(hypervisor, message); break;
    case control::Envelope::kVnDisconnect: {
        const base::Vni vni(message.vn_disconnect().vni());
        if (hypervisor.connected.contains(vni)) {
            leave(hypervisor, vni, "");
            on_change_();
        }
        break;
    }
    case control::Envelope::kTsiRequest: on_request(hypervisor, message, vn_refused); break;
    case control::Envelope::kTsiQuery: on_query(hypervisor, message); break;
    case control::Envelope::kTsiSyncDone: on_sync_done(hypervisor); break;
    default: break;     // a Hello with another switch; a TsiReport that nobody asked for
    }
    pump();
}

// False if the hypervisor was cut off.
bool NveSide::keeps_pace(Hypervisor& hypervisor)
{
    (void)hypervisor.limit.take();
    if (hypervisor.pace.take()) {
        return true;
    }
    const auto now = host_.clock().now();
    if (!hypervisor.exceeded || now - *hypervisor.exceeded > kExcessGap) {
        hypervisor.exceeds_since = now;
    }
    hypervisor.exceeded = now;
    if (now - *hypervisor.exceeds_since >= kExcessLimit) {
        const std::string reason = "it has sent more than " + std::to_string(static_cast<uint64_t>(limit().per_second)) +
                                   " messages a second (other_config:nvo3-hypervisor-rate) for 30 seconds, whatever it was told";
        hypervisor.cut_off++;
        hypervisor.barred_until = now + kBarred;
        hypervisor.exceeds_since.reset();
        hypervisor.exceeded.reset();
        audit(hypervisor, AuditKind::refused, reason);
        base::log(LogLevel::warn, kModule, hypervisor.name + " is cut off: " + reason);
        hypervisor.session->close(proto::CLOSE_UNAUTHORIZED, reason);
        return false;
    }
    if (!hypervisor.slowed_down || now - *hypervisor.slowed_down >= kSlowDownGap) {
        if (hypervisor.exceeds_since == now) {
            base::log(LogLevel::info, kModule, hypervisor.name + " sends too much and is told to slow down");
        }
        hypervisor.slowed_down = now;
        hypervisor.slow_downs++;
        control::Envelope message;
        message.mutable_slow_down()->set_messages_per_second(static_cast<uint32_t>(std::max(1.0, std::floor(kSlowDownShare * limit().per_second))));
        send(hypervisor, std::move(message), 0);
    }
    return true;
}

// ---- Messages ----

void NveSide::on_connect(Hypervisor& hypervisor, const control::Envelope& message)
{
    const VnView* vn = find_vn(*directory_, message.vn_connect().vn());
    const Tunnel* port = vn ? port_for(hypervisor, *vn) : nullptr;
    control::Envelope answer;
    auto& result = *answer.mutable_vn_connect_result();
    if (!port) {
        // Which networks there are is nothing to who may not be in them.
        const std::string reason = "this hypervisor may not connect to network " + control::quoted(message.vn_connect().vn()).substr(0, 64) +
                                   (directory_->complete ? "" : ", or the NVA has not told of it yet");
        result.set_reason(reason);
        refuse(hypervisor, vn ? std::optional(vn->vni) : std::nullopt, reason);
    } else {
        result.set_accepted(true);
        result.set_name(vn->name);
        result.set_vni(vn->vni.value);
        result.set_encap(static_cast<proto::Encap>(vn->encap));
        result.set_cipher(static_cast<uint32_t>(port->cipher));
        hypervisor.told.insert(vn->vni);
        if (hypervisor.connected.insert(vn->vni).second) {
            on_change_();
        }
    }
    send(hypervisor, std::move(answer), message.request_id());
}

void NveSide::on_request(Hypervisor& hypervisor, const control::Envelope& message, bool vn_refused)
{
    const TsiAsked asked = asked_of(message.tsi_request());
    if (!vn_refused) {
        return table_.request(hypervisor.name, message.request_id(), asked, host_.clock().now());
    }
    const std::string reason = "the hypervisor is not connected to this network";
    control::Envelope answer;
    answer.mutable_tsi_result()->set_reason(reason);
    send(hypervisor, std::move(answer), message.request_id());
    refuse(hypervisor, asked.vni, std::string(to_string(asked.action)) + " " + asked.tsi + ": " + reason);
}

void NveSide::on_query(Hypervisor& hypervisor, const control::Envelope& message)
{
    const auto now = host_.clock().now();
    if (hypervisor.last_query && now - *hypervisor.last_query < kQueryGap) {
        return hypervisor.session->close(proto::CLOSE_PROTOCOL_ERROR, "a TsiQuery may come every 10 seconds");
    }
    hypervisor.last_query = now;
    const std::vector<TsiClaim> claims = table_.claims(hypervisor.name);
    size_t next = 0;
    do {
        control::Envelope answer;
        auto& report = *answer.mutable_tsi_report();
        for (; next < claims.size() && report.tsis_size() < kReported; next++) {
            auto& tsi = *report.add_tsis();
            tsi.set_vni(claims[next].vni.value);
            tsi.set_tsi(claims[next].tsi);
            tsi.set_mac(octets(claims[next].mac.octets));
            for (const base::IpAddress& address : claims[next].state == proto::TSI_ACTIVE ? claims[next].in_use() : std::vector<base::IpAddress>{}) {
                tsi.add_addresses(octets(address.wire()));
            }
            tsi.set_state(claims[next].state);
        }
        report.set_more(next < claims.size());
        send(hypervisor, std::move(answer), message.request_id());
    } while (next < claims.size() && hypervisor.session);
}

void NveSide::on_sync_done(Hypervisor& hypervisor)
{
    for (base::Vni vni : std::set<base::Vni>(hypervisor.connected)) {
        if (!hypervisor.told.contains(vni)) {
            leave(hypervisor, vni, "");
        }
    }
    table_.sync_done(hypervisor.name);
    hypervisor.settled = true;
    flows_may_go_ = flows_may_go_ || std::ranges::all_of(hypervisors_, [](const auto& entry) { return !entry.second.session || entry.second.settled; });
    on_change_();
}

// ---- Answers and changes ----

void NveSide::send(Hypervisor& hypervisor, control::Envelope message, uint64_t in_reply_to)
{
    if (!hypervisor.session) {
        return;
    }
    message.set_in_reply_to(in_reply_to);
    if (auto sent = hypervisor.session->send(std::move(message)); !sent && sent.error().code == ENOBUFS) {
        hypervisor.session->close(proto::CLOSE_TIMEOUT, "what it is told is not read");
    }
}

void NveSide::refuse(Hypervisor& hypervisor, std::optional<base::Vni> vni, const std::string& reason)
{
    hypervisor.refused++;
    if (!hypervisor.audits.take()) {
        hypervisor.audits_withheld++;
        return;
    }
    std::string more;
    if (uint64_t count = std::exchange(hypervisor.audits_withheld, 0)) {
        more = " (" + std::to_string(count) + " more before)";
    }
    audit(hypervisor, AuditKind::refused, reason + more, vni);
    base::log(LogLevel::info, kModule, hypervisor.name + ": refused: " + reason + more);
}

void NveSide::audit(const Hypervisor& hypervisor, AuditKind kind, const std::string& reason, std::optional<base::Vni> vni) const
{
    control::AuditEvent event{kind, hypervisor.name, hypervisor.address, reason, vni};
    event.text = {{"role", "hypervisor"}, {"channel", "control"}};
    host_.audit().write(event);
}

void NveSide::pump()
{
    TsiTable::Actions actions = table_.take();
    const bool changed = !actions.changes.empty() || std::ranges::any_of(actions.answers, &TsiTable::Answer::accepted);
    for (const TsiTable::Answer& answer : actions.answers) {
        Hypervisor* hypervisor = by_name(answer.hypervisor);
        if (!hypervisor) {
            continue;
        }
        control::Envelope message;
        auto& result = *message.mutable_tsi_result();
        result.set_accepted(answer.accepted);
        result.set_reason(control::quoted(answer.reason));
        result.set_state(answer.state);
        send(*hypervisor, std::move(message), answer.request_id);
        if (!answer.accepted) {
            refuse(*hypervisor, answer.asked.vni, std::string(to_string(answer.asked.action)) + " " + answer.asked.tsi + ": " + answer.reason);
        }
    }
    for (const TsiTable::Change& change : actions.changes) {
        const TsiClaim& claim = change.claim;
        Hypervisor* hypervisor = by_name(claim.hypervisor);
        // What is taken away must be gone, whatever else that costs.
        flows_may_go_ = flows_may_go_ || change.before == proto::TSI_ACTIVE;
        control::AuditEvent event{AuditKind::tsi_changed, claim.hypervisor, hypervisor ? hypervisor->address : base::IpAddress{}, change.reason, claim.vni};
        event.text = {{"tsi", claim.tsi}, {"vm", claim.vm}, {"mac", to_string(claim.mac)}, {"before", to_string(change.before)}, {"state", to_string(claim.state)}};
        host_.audit().write(event);
        base::log(LogLevel::info, kModule, claim.hypervisor + "/" + claim.tsi + " (VNI " + std::to_string(claim.vni.value) + ", " + to_string(claim.mac) +
                                               "): " + to_string(claim.state) + (change.reason.empty() ? "" : ", " + change.reason));
        if (change.tell && hypervisor) {
            control::Envelope message;
            auto& removed = *message.mutable_tsi_removed();
            removed.set_vni(claim.vni.value);
            removed.set_tsi(claim.tsi);
            removed.set_reason(control::quoted(change.reason));
            send(*hypervisor, std::move(message), 0);
        }
    }
    if (changed) {
        on_change_();
    }
    auto next = table_.next_deadline();
    for (const auto& [address, hypervisor] : hypervisors_) {
        next = earlier(next, hypervisor.keep_until);
    }
    timer_.set(next);
}

}  // namespace nvo3::agent
