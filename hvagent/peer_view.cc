// SPDX-License-Identifier: Apache-2.0
//
// See peer.h: what is told of a peer, in status, by commands and in the audit log.
#include "hvagent/peer.h"

#include <algorithm>

namespace nvo3::agent {

using control::AuditKind;
using control::Session;

SessionView view_of(const Session& session)
{
    auto stats = session.stats();
    return {session.tls_summary(), session.side() == Session::Side::initiator, session.opened_at(),
            control::to_string(session.peer().role), stats.messages_in, stats.messages_out, stats.receive_throttled, stats.send_throttled};
}

void Peer::audit(AuditKind kind, const std::string& reason, const std::optional<ChannelId>& channel) const
{
    control::AuditEvent event{kind, name_, config_.remote, reason};
    if (channel) {
        event.vni = channel->vni;
        event.text.emplace_back("encap", to_string(channel->encap));
    }
    host_.audit().write(event);
}

void Peer::audit_sa(AuditKind kind, SaDirection direction, const SaParameters& sa, const std::string& reason) const
{
    control::AuditEvent event{kind, name_, config_.remote, reason, sa.channel.vni};
    event.text.emplace_back("encap", to_string(sa.channel.encap));
    event.text.emplace_back("direction", esp::to_string(direction));
    event.text.emplace_back("spi", to_string(sa.spi));
    if (sa.generation != 0) {
        event.text.emplace_back("cipher", esp::to_string(sa.cipher));
        event.numbers.emplace_back("generation", sa.generation);
    }
    host_.audit().write(event);
}

PortState Peer::port_state(const std::vector<ChannelId>& channels) const
{
    PortState state{"up", name_, credential_problem()};
    auto worsen = [&](const char* to, const std::string& why) {
        if (state.state != "error") {
            state.state = to;
        }
        if (state.error.empty()) {
            state.error = why;
        }
    };
    if (!context()) {
        worsen("error", "");
    } else if (current_ == 0) {
        std::string why = error_.empty() && config_.passive ? "the hypervisor has no session for data with this NVE, which it begins by itself" : error_;
        if (opened_ > 0 && sa_count() > 0) {
            why += "; traffic goes on with the keys that live";
        }
        worsen(authentication_failed_ ? "error" : "connecting", why);
    }
    for (auto id = channels.begin(); current_ != 0 && id != channels.end(); ++id) {
        auto health = keying_.health(*id);
        if (health && !health->works) {
            worsen(health->send_error->empty() ? "waiting" : "error", health->send_error->empty() ? *health->error : *health->send_error);
        }
        if (state.state == "error" && !state.error.empty()) {
            break;      // no channel makes it worse
        }
    }
    return state;
}

const PortState& Peer::port_state(const std::string& port, const std::vector<ChannelId>& channels) const
{
    auto it = states_.find(port);
    if (it == states_.end()) {
        it = states_.emplace(port, port_state(channels)).first;
    }
    return it->second;
}

void Peer::touch()
{
    states_.clear();
    host_.changed();
}

size_t Peer::sa_count() const
{
    return keying_.sa_count();
}

PeerView Peer::view() const
{
    PeerView view;
    view.name = name_;
    view.remote = config_.remote;
    view.psk = !config_.psk.empty();
    view.ports = config_.ports;
    view.sessions = opened_;
    view.rekeys = keying_.rekeys();
    view.channels = keying_.view();
    std::vector<ChannelId> all;
    for (const ChannelView& channel : view.channels) {
        all.push_back(channel.id);
    }
    PortState state = port_state(all);
    view.state = state.state;
    view.error = state.error;
    for (const auto& [key, live] : sessions_) {
        if (live.id != current_ || !live.session->is_open()) {
            continue;
        }
        view.session = view_of(*live.session);
    }
    return view;
}

}  // namespace nvo3::agent
