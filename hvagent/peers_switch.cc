// SPDX-License-Identifier: Apache-2.0
//
// See peers.h: what goes to the switch and comes from it.
#include <set>
#include <utility>

#include "base/log.h"
#include "esp/drop_reason.h"
#include "hvagent/peers.h"

namespace nvo3::agent {

using base::LogLevel;
using control::AuditKind;

namespace {

constexpr const char* kModule = "peers";

}  // namespace

void Peers::install(const base::IpAddress& remote, uint64_t token, esp::SaConfig sa)
{
    uint32_t request = switch_ ? switch_->send(esp::msg::InstallSa{0, std::move(sa)}) : 0;
    if (request != 0) {
        results_[request] = {remote, token};
    }
}

void Peers::send_to_switch(esp::SaMessage message)
{
    if (switch_) {
        switch_->send(std::move(message));
    }
}

void Peers::on_switch_up(const esp::msg::SwitchHello& hello, const std::vector<esp::msg::SaRecord>& live)
{
    switch_instance_ = hello.switch_instance;
    switch_aead_ = hello.aead;
    std::map<base::IpAddress, std::vector<Keying::LiveSa>> by_peer;
    unclaimed_.clear();
    std::set<base::IpAddress> with_sas;
    for (const esp::msg::SaRecord& sa : live) {
        with_sas.insert(sa.remote);
        if (!sa.group.is_unspecified()) {
            continue;       // no SA of a pair
        }
        // Of a network that the directory has not told of yet it may well be.
        Peer* peer = find(sa.remote);
        bool known = (is_complete() && nve_side_.is_settled(sa.remote)) || (peer && peer->serves(sa.vni, sa.encap));
        (known ? by_peer : unclaimed_)[sa.remote].push_back(
            {sa.direction, {sa.encap, sa.vni}, sa.spi, sa.cipher, sa.generation, std::chrono::seconds(sa.age_seconds)});
    }
    for (const auto& [remote, sas] : by_peer) {
        if (!find(remote)) {
            base::log(LogLevel::info, kModule, "removing SAs with " + remote.to_string() + ", to which no tunnel is configured");
            send_to_switch(esp::msg::RemovePeer{0, remote});
        }
    }
    for (auto& [remote, peer] : peers_) {
        peer->switch_up(by_peer[remote], switch_instance_);
    }
    nve_side_.switch_up(std::move(with_sas));
    overlay_.switch_up(live, switch_instance_);
    hypervisor_.switch_restarted(switch_instance_);
    published_.clear();
    served_.reset();
    changed();
}

void Peers::on_switch_down(const std::string&)
{
    switch_instance_ = 0;
    results_.clear();
    unclaimed_.clear();
    for (auto& [remote, peer] : peers_) {
        peer->switch_down();
    }
    overlay_.switch_down();
    changed();
}

void Peers::on_switch_message(const esp::SaMessage& message)
{
    if (const auto* result = std::get_if<esp::msg::Result>(&message)) {
        on_result(*result);
    } else if (const auto* acquire = std::get_if<esp::msg::Acquire>(&message)) {
        if (Peer* peer = find(acquire->remote)) {
            peer->acquire({acquire->encap, acquire->vni});
        }
    } else if (const auto* expiring = std::get_if<esp::msg::SaExpiring>(&message)) {
        if (!expiring->group.is_unspecified()) {
            overlay_.expiring(*expiring);
        } else if (Peer* peer = find(expiring->remote)) {
            peer->expiring(*expiring);
        }
    } else if (const auto* alarm = std::get_if<esp::msg::Alarm>(&message)) {
        on_alarm(*alarm);
    } else if (const auto* notice = std::get_if<esp::msg::GuardNotice>(&message)) {
        on_guard_notice(*notice);
    }
}

void Peers::on_result(const esp::msg::Result& result)
{
    auto node = results_.extract(result.request);
    if (!node) {
        return;     // of a removal, which cannot fail in a way that matters
    }
    if (node.mapped().remote.is_unspecified()) {
        overlay_.installed(node.mapped().token, static_cast<int>(result.error), result.text);
    } else if (Peer* peer = find(node.mapped().remote)) {
        peer->installed(node.mapped().token, static_cast<int>(result.error), result.text);
    }
}

void Peers::on_alarm(const esp::msg::Alarm& alarm)
{
    Peer* peer = find(alarm.remote);
    control::AuditEvent event{AuditKind::alarm, peer ? peer->name() : "", alarm.remote, esp::to_string(alarm.reason)};
    if (alarm.reason == esp::DropReason::wrong_vni) {
        event.vni = alarm.vni_expected;
        event.numbers.emplace_back("vni_seen", alarm.vni_seen.value);
    }
    if (alarm.spi.value != 0) {
        event.text.emplace_back("spi", to_string(alarm.spi));
    }
    event.numbers.emplace_back("packets", alarm.count);
    audit_.write(event);
    base::log(LogLevel::warn, "alarm", std::to_string(alarm.count) + " packets from " + alarm.remote.to_string() + " refused: " +
                                           esp::to_string(alarm.reason));
}

// The rule guard's networks.  Before the directory is complete the switch keeps what
// it was told, or goes by its SAs.  The flows of hvagent itself wait for nothing.
void Peers::tell_served()
{
    const auto known = known_directory();
    if (config_->has_pipeline() && !known->complete) {
        return;
    }
    std::vector<base::Vni> served;
    for (const auto& [vni, vn] : known->vns) {
        served.push_back(vni);
    }
    if (served != served_) {
        send_to_switch(esp::msg::ServedNetworks{served});
        served_ = std::move(served);
    }
}

void Peers::on_guard_notice(const esp::msg::GuardNotice& notice)
{
    control::AuditEvent event{notice.refused ? control::AuditKind::rule_refused : control::AuditKind::rule_suspect, "", {}, notice.text};
    event.text = {{"bridge", notice.bridge}, {"connection", notice.connection}, {"rule", notice.reason}};
    event.numbers = {{"count", notice.count}};
    audit_.write(event);
}

}  // namespace nvo3::agent
