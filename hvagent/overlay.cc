// SPDX-License-Identifier: Apache-2.0
//
// See overlay.h.
#include "hvagent/overlay.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace nvo3::agent {

using base::LogLevel;
using control::AuditKind;

namespace {

constexpr const char* kModule = "groups";

}  // namespace

Overlay::Overlay(PeerHost& host, std::function<void()> on_directory, std::function<void()> on_change)
    : host_(host), on_directory_(std::move(on_directory)), on_change_(std::move(on_change)), client_(host, *this), timer_(host.io(), [this] { wake(); })
{
}

Overlay::~Overlay() = default;

void Overlay::stop()
{
    client_.stop();
    timer_.cancel();
}

void Overlay::configure(const Config& config, const std::vector<Tsi>& more)
{
    has_nvas_ = !config.nvas.empty();
    std::vector<Tsi> tsis = config.tsis;
    tsis.insert(tsis.end(), more.begin(), more.end());
    client_.configure(config.nvas, tsis);
}

void Overlay::credentials_changed(bool renew, bool renamed)
{
    client_.context_changed(renew, renamed);
}

void Overlay::poll()
{
    client_.check();
    if (multicast_.refresh()) {
        on_change_();
    }
}

bool Overlay::is_complete() const
{
    return !has_nvas_ || directory()->complete;
}

std::string Overlay::own_name() const
{
    ContextPtr own = host_.certificate_context();
    return own && own->own_identity().spiffe() ? own->own_identity().name : "";
}

// ---- The switch ----

void Overlay::switch_up(const std::vector<esp::msg::SaRecord>& live, uint64_t switch_instance)
{
    client_.switch_restarted(switch_instance);
    groups_.switch_up(live, switch_instance, host_.clock().now());
    // What was found may be of groups that are known not to be ours.
    groups_.configure(*directory(), own_name(), host_.clock().now(), is_complete());
    pump();
}

void Overlay::switch_down()
{
    groups_.switch_down();
    pending_.clear();
    pump();
}

void Overlay::installed(uint64_t token, int error, const std::string& text)
{
    if (auto node = pending_.extract(token); node && error == 0) {
        const Pending& sa = node.mapped();
        audit_sa(AuditKind::sa_installed, sa.direction, sa.spi, sa.vni, sa.encap, sa.sender, "");
    }
    groups_.installed(token, error, text, host_.clock().now());
    pump();
}

void Overlay::expiring(const esp::msg::SaExpiring& event)
{
    groups_.expiring(event, host_.clock().now());
    pump();
}

// ---- The NVA ----

void Overlay::on_directory()
{
    groups_.configure(*directory(), own_name(), host_.clock().now(), is_complete());
    pump();
    on_directory_();
}

void Overlay::on_nva_up()
{
    groups_.session_up(host_.clock().now());
    pump();
    on_change_();
}

void Overlay::on_nva_down()
{
    groups_.session_down();
    pump();
    on_change_();
}

void Overlay::on_group_key(const control::proto::GroupKey& key)
{
    groups_.on_key(key, host_.clock().now());
    pump();
}

void Overlay::on_group_grant(uint64_t in_reply_to, const control::proto::GroupGrant& grant)
{
    groups_.on_grant(in_reply_to, grant, host_.clock().now());
    pump();
}

void Overlay::on_group_renewed(uint64_t in_reply_to, const control::proto::GroupRenewed& renewed)
{
    groups_.on_renewed(in_reply_to, renewed, host_.clock().now());
    pump();
}

// ---- What groups want ----

void Overlay::pump()
{
    for (auto actions = groups_.take(); !actions.empty(); actions = groups_.take()) {
        for (Groups::Action& action : actions) {
            std::visit([this](auto& what) { perform(what); }, action);
        }
        on_change_();
    }
    timer_.set(groups_.next_deadline());
}

void Overlay::wake()
{
    groups_.tick(host_.clock().now());
    pump();
    on_change_();
}

void Overlay::perform(Groups::Install& what)
{
    pending_[what.token] = {what.sa.direction, what.sa.spi, what.sa.vni, what.sa.encap, what.sender};
    host_.install({}, what.token, std::move(what.sa));
}

void Overlay::perform(Groups::Remove& what)
{
    host_.send_to_switch(esp::msg::RemoveSa{0, what.direction, what.spi, what.remote, what.encap, what.vni});
    audit_sa(AuditKind::sa_removed, what.direction, what.spi, what.vni, what.encap, what.sender, what.reason);
}

void Overlay::perform(Groups::Register& what)
{
    control::Envelope message;
    auto& request = *message.mutable_group_register();
    request.set_vni(what.group.vni.value);
    request.set_group(what.group.address.wire().data(), what.group.address.wire().size());
    request.set_epoch(what.epoch);
    // Without an answer it is asked again.
    if (auto sent = client_.send(std::move(message))) {
        groups_.register_sent(what.group, *sent);
    }
}

void Overlay::perform(Groups::Renew& what)
{
    control::Envelope message;
    auto& request = *message.mutable_group_renew();
    request.set_vni(what.group.vni.value);
    request.set_group(what.group.address.wire().data(), what.group.address.wire().size());
    // Without an answer it is asked again.
    if (auto sent = client_.send(std::move(message))) {
        groups_.renew_sent(what.group, *sent);
    }
}

void Overlay::perform(Groups::Join& what)
{
    multicast_.join(what.group, what.local);
}

void Overlay::perform(Groups::Leave& what)
{
    multicast_.leave(what.group);
}

void Overlay::perform(Groups::Refused& what)
{
    control::AuditEvent event{AuditKind::refused, "", {}, what.reason, what.group.vni};
    event.text.emplace_back("group", what.group.address.to_string());
    host_.audit().write(event);
    base::log(LogLevel::warn, kModule, to_string(what.group) + ": refused: " + what.reason);
}

void Overlay::perform(Groups::Note& what)
{
    base::log(LogLevel::info, kModule, to_string(what.group) + ": " + what.text);
}

void Overlay::audit_sa(AuditKind kind, SaDirection direction, base::Spi spi, base::Vni vni, base::Encap encap, const std::string& sender,
                       const std::string& reason) const
{
    control::AuditEvent event{kind, sender, {}, reason, vni};
    event.text.emplace_back("encap", to_string(encap));
    event.text.emplace_back("direction", esp::to_string(direction));
    event.text.emplace_back("spi", to_string(spi));
    event.text.emplace_back("kind", "group");
    host_.audit().write(event);
}

// ---- What is told ----

void Overlay::fill(NetworkView& view) const
{
    view.refused_tsis = client_.refused_tsis();
    for (auto& [vni, reach] : view.reach) {
        const VnView* vn = view.directory->find(vni);
        reach.group.reset();
        for (const base::IpAddress& group : vn ? vn->groups : std::vector<base::IpAddress>{}) {
            // A member that cannot receive it would miss what is sent there.
            bool all = std::ranges::all_of(vn->members, [&](const auto& member) {
                return std::ranges::any_of(member.second, [&](const base::IpAddress& address) { return address.is_v4() == group.is_v4(); });
            });
            auto from = groups_.sending_from({vni, group});
            if (all && from && !reach.group) {
                reach.group = MemberPath{*from, group};
            }
        }
    }
}

void Overlay::fill(AgentView& view) const
{
    view.nva = client_.view();
    view.groups = groups_.view();
    view.tsis = client_.tsis();
    if (!has_nvas_) {
        for (TsiView& tsi : view.tsis) {
            tsi.state = "here";     // there is nobody to tell
            tsi.reason.clear();
        }
    }
    view.multicast_problems = multicast_.problems();
}

}  // namespace nvo3::agent
