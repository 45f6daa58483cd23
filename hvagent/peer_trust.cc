// SPDX-License-Identifier: Apache-2.0
//
// See peer.h: credentials of both sides, and who the peer must be.
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "hvagent/peer.h"

namespace nvo3::agent {

using base::LogLevel;
using control::AuditKind;
using control::Session;
namespace proto = control::proto;

namespace {

constexpr const char* kModule = "peer";

}  // namespace

ContextPtr Peer::context() const
{
    return config_.psk.empty() ? host_.certificate_context(config_.control_level) : psk_.context();
}

std::string Peer::credential_problem() const
{
    if (!config_.psk.empty()) {
        return psk_.problem().empty() ? "" : "options:psk: " + psk_.problem();
    }
    return pin_problem_.empty() ? host_.certificate_problem() : "options:remote_cert: " + pin_problem_;
}

void Peer::refresh(bool force)
{
    std::string before = credential_problem();
    ContextPtr former = psk_.context();
    if (!config_.psk.empty() && psk_.refresh(force) && former) {
        start_over("the pre-shared key has changed");
    }
    pin_problem_.clear();
    const auto former_pin = pin_;
    if (config_.remote_cert.empty()) {
        pin_.reset();
    } else if (auto print = control::certificate_fingerprint(config_.remote_cert)) {
        pin_ = *print;
    } else {
        pin_problem_ = print.error().text;
    }
    std::string problem = credential_problem();
    if (problem != before && !problem.empty()) {
        base::log(LogLevel::error, kModule, label() + ": " + problem);
    }
    check_sessions(pin_ != former_pin);
    connect_if_needed();
    pump();
}

void Peer::context_changed(bool renew_sessions)
{
    check_sessions(true);
    connect_if_needed();
    if (renew_sessions && config_.psk.empty()) {
        renew();
    }
    pump();
}

// Whether whoever we talk to, or has SAs of us without a session, would still be let in.
void Peer::check_sessions(bool full)
{
    ContextPtr now = context();
    if (!now || now->is_psk()) {
        return;
    }
    auto due = [&](const control::PeerIdentity& peer) { return full || peer.not_after < host_.clock().wall(); };
    for (auto& [key, live] : sessions_) {
        Session& session = *live.session;
        if (!session.is_open() || session.context().is_psk() || !due(session.peer())) {
            continue;
        }
        if (auto valid = judge(session.peer(), session.reverify(*now), session.context()); !valid) {
            return end_trust(valid, session.peer());
        }
    }
    if (last_ && current_ == 0 && due(last_->identity)) {
        if (auto valid = judge(last_->identity, now->reverify(last_->chain), *now); !valid) {
            end_trust(valid, control::PeerIdentity(last_->identity));
        }
    }
}

base::Status Peer::judge(const control::PeerIdentity& peer, const base::Status& chain, const control::TlsContext& context) const
{
    return chain ? check_identity(peer, context) : chain;
}

void Peer::end_trust(const base::Status& why, const control::PeerIdentity& peer)
{
    if (peer.not_after >= host_.clock().wall()) {
        return bar(why.error().text, proto::CLOSE_REVOKED);
    }
    // No one misbehaves: its SAs may wait for the new certificate.
    last_.reset();
    remove_at_ = host_.clock().now() + kExpiredGrace;
    remove_reason_ = "its certificate has expired";
    close_all(proto::CLOSE_EXPIRED, why.error().text);
    arm();
}

void Peer::bar(const std::string& reason, proto::CloseCode code)
{
    audit(AuditKind::refused, reason);
    base::log(LogLevel::warn, kModule, label() + " is not trusted any more: " + reason);
    set_error(reason, true);
    remove_everything(reason);
    close_all(code, reason);
}

base::Status Peer::check_identity(const control::PeerIdentity& peer, const control::TlsContext& context) const
{
    using Kind = control::PeerIdentity::Kind;
    auto refuse = [](std::string text) { return base::Error{EACCES, std::move(text)}; };
    if (!config_.psk.empty() || peer.kind == Kind::psk) {
        // The handshake was under the key of this address, or it would have failed.
        return !config_.psk.empty() && peer.kind == Kind::psk ? base::Status{} : refuse("authentication is not of the configured kind");
    }
    if (peer.role != config_.role) {
        return refuse("the certificate of " + peer.name + " is for the role " + control::to_string(peer.role) +
                      (config_.role == control::Role::nve ? ", a tunnel needs nve" : ", options:nvo3_role=hypervisor needs hypervisor"));
    }
    if (!config_.remote_cert.empty()) {
        if (!pin_ || *pin_ != peer.fingerprint) {
            return refuse("the certificate of " + peer.name + " is not that of options:remote_cert, " + config_.remote_cert);
        }
        if (peer.kind == Kind::pinned) {
            return {};
        }
    } else if (peer.kind == Kind::pinned) {
        return refuse("the certificate of " + peer.name + " is trusted for another tunnel only");
    }
    if (!config_.remote_name.empty()) {
        return peer.matches_name(config_.remote_name)
                   ? base::Status{}
                   : refuse("the certificate names " + peer.name + ", but options:remote_name is " + config_.remote_name);
    }
    if (!config_.remote_cert.empty()) {
        return {};
    }
    if (!peer.spiffe()) {
        return refuse("the certificate of " + peer.name + " has no nvo3 SPIFFE name: set options:remote_name or options:remote_cert");
    }
    if (context.own_identity().spiffe() && context.own_identity().trust_domain != peer.trust_domain) {
        return refuse(peer.name + " is of trust domain " + peer.trust_domain + ", this host of " + context.own_identity().trust_domain);
    }
    // Any host of the domain could be there, but not one after the other: an insider must
    // not take over the address of a host that is down.
    if (!first_name_.empty() && first_name_ != peer.name) {
        return refuse("the certificate names " + peer.name + ", but " + first_name_ + " was at this address before: if " + peer.name +
                      " is right, set options:remote_name=" + peer.name);
    }
    return {};
}

}  // namespace nvo3::agent
