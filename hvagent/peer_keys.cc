// SPDX-License-Identifier: Apache-2.0
//
// See peer.h: messages of the session, the switch, and carrying out what keying wants.
#include "hvagent/peer.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "control/keying.h"

namespace nvo3::agent {

using control::AuditKind;
using control::Session;
using base::LogLevel;
namespace proto = control::proto;

namespace {

constexpr const char* kModule = "peer";
// Of one session, see insists(): bounded whatever the peer sends.
constexpr size_t kMaxRefusedChannels = 8192;
constexpr auto kMinRefusedGap = std::chrono::milliseconds(500);
constexpr unsigned kMaxInsistence = 1000;

}  // namespace

// ---- Messages ----

namespace {

ChannelId channel_of(uint32_t vni, proto::Encap encap)
{
    return {static_cast<base::Encap>(encap), base::Vni(vni)};
}

RequestReason reason_of(proto::SaRequestReason reason)
{
    switch (reason) {
    case proto::SA_REQUEST_REKEY: return RequestReason::rekey;
    case proto::SA_REQUEST_LOST: return RequestReason::lost;
    default: return RequestReason::acquire;
    }
}

proto::SaRequestReason reason_of(RequestReason reason)
{
    switch (reason) {
    case RequestReason::acquire: return proto::SA_REQUEST_ACQUIRE;
    case RequestReason::rekey: return proto::SA_REQUEST_REKEY;
    case RequestReason::lost: return proto::SA_REQUEST_LOST;
    }
    return proto::SA_REQUEST_UNSPECIFIED;
}

}  // namespace

void Peer::on_message(Session& session, const control::Envelope& message)
{
    Live* from = live(session);
    if (!from) {
        return;
    }
    auto now = host_.clock().now();
    speaking_ = from->id;
    switch (message.body_case()) {
    case control::Envelope::kHello:
        // What it lost it asks for and offers by itself.
        log_of_peer(LogLevel::info, "the peer's switch was restarted");
        break;
    case control::Envelope::kSaOffer: {
        const auto& offer = message.sa_offer();
        SaParameters sa;
        sa.channel = channel_of(offer.vni(), offer.encap());
        sa.spi = base::Spi(offer.spi());
        sa.cipher = static_cast<esp::Cipher>(offer.cipher());
        sa.generation = offer.generation();
        if (offer.nonce().size() != sa.nonce.size()) {
            session.close(proto::CLOSE_PROTOCOL_ERROR, "nonce of a wrong size");
            break;
        }
        std::copy(offer.nonce().begin(), offer.nonce().end(), sa.nonce.begin());
        sa.replay_window = offer.replay_window();
        keying_.on_offer(from->id, message.request_id(), sa, offer.esn(), now);
        break;
    }
    case control::Envelope::kSaAnswer:
        keying_.on_answer(from->id, message.in_reply_to(), message.sa_answer().accepted(), control::quoted(message.sa_answer().reason()), now);
        break;
    case control::Envelope::kSaRequest:
        keying_.on_request(from->id, channel_of(message.sa_request().vni(), message.sa_request().encap()),
                           reason_of(message.sa_request().reason()), now);
        break;
    case control::Envelope::kSaDelete:
        keying_.on_delete(from->id, channel_of(message.sa_delete().vni(), message.sa_delete().encap()),
                          base::Spi(message.sa_delete().spi()), control::quoted(message.sa_delete().reason()), now);
        break;
    default:
        break;
    }
    pump();
    speaking_ = 0;
}

// ---- The switch ----

void Peer::switch_up(const std::vector<Keying::LiveSa>& live, uint64_t switch_instance)
{
    for (auto& [key, entry] : sessions_) {
        if (entry.session->is_open()) {
            entry.session->announce_switch_instance(switch_instance);
        }
    }
    auto now = host_.clock().now();
    keying_.switch_up(live, now);
    if (!live.empty() && opened_ == 0 && !remove_at_) {
        remove_at_ = now + host_.timing().adopted_for;
        remove_reason_ = "the peer has not come back since this agent was restarted";
    }
    pump();
}

void Peer::adopt(const std::vector<Keying::LiveSa>& live)
{
    auto now = host_.clock().now();
    keying_.adopt(live, now);
    if (opened_ == 0 && !remove_at_) {
        remove_at_ = now + host_.timing().adopted_for;
        remove_reason_ = "the peer has not come back since this agent was restarted";
    }
    pump();
}

void Peer::switch_down()
{
    keying_.switch_down();
    pending_.clear();
    pump();
}

void Peer::installed(uint64_t token, int error, const std::string& text)
{
    if (auto node = pending_.extract(token); node && error == 0) {
        audit_sa(AuditKind::sa_installed, node.mapped().direction, node.mapped().sa, "");
    }
    keying_.installed(token, error, text, host_.clock().now());
    pump();
}

void Peer::acquire(const ChannelId& id)
{
    keying_.acquire(id, host_.clock().now());
    pump();
}

void Peer::expiring(const esp::msg::SaExpiring& event)
{
    bool hard = event.reason >= esp::ExpiryReason::hard_packets;
    keying_.expiring(event.direction, {event.encap, event.vni}, event.spi, hard, host_.clock().now());
    pump();
}

void Peer::rates_changed()
{
    auto options = host_.session_options();
    for (auto& [key, live] : sessions_) {
        live.session->set_rates(options.send_rate, options.receive_rate);
    }
}

void Peer::rekey()
{
    keying_.rekey(host_.clock().now());
    pump();
}

// ---- What keying wants ----

void Peer::pump()
{
    // An action that fails at once may bring new ones; retries wait for the timer.
    for (auto actions = keying_.take(); !actions.empty(); actions = keying_.take()) {
        for (Action& action : actions) {
            std::visit([this](auto& what) { perform(what); }, action);
        }
        host_.changed();
    }
    states_.clear();    // an event need not bring actions
    arm();
}

void Peer::perform(InstallSa& what)
{
    auto fail = [&](const std::string& text) { keying_.installed(what.token, ENOTCONN, text, host_.clock().now()); };
    Live* on = live(what.session);
    if (!on || !on->session->is_open()) {
        return fail("the session is closed");
    }
    const Session& session = *on->session;
    bool inbound = what.direction == SaDirection::inbound;
    control::TrafficKeyContext context;
    context.sender_name = inbound ? session.peer().name : session.local_name();
    context.sender_role = inbound ? session.peer().role : session.local_role();
    context.receiver_name = inbound ? session.local_name() : session.peer().name;
    context.receiver_role = inbound ? session.local_role() : session.peer().role;
    context.vni = what.sa.channel.vni;
    context.encap = what.sa.channel.encap;
    context.spi = what.sa.spi;
    context.cipher = static_cast<uint8_t>(what.sa.cipher);
    context.esn = true;
    context.generation = what.sa.generation;
    context.nonce = what.sa.nonce;
    auto key = control::derive_traffic_key(control::exporter_of(session), context,
                                           esp::key_size(what.sa.cipher) + esp::kSaltSize);
    if (!key) {
        return fail("no key: " + key.error().text);
    }
    esp::SaConfig sa;
    sa.direction = what.direction;
    sa.spi = what.sa.spi;
    sa.remote = config_.remote;
    sa.local = config_.local;
    sa.encap = what.sa.channel.encap;
    sa.vni = what.sa.channel.vni;
    sa.cipher = what.sa.cipher;
    sa.esn = true;
    if (inbound) {
        sa.replay_window = what.sa.replay_window;
    }
    sa.limits = what.limits;
    sa.generation = what.sa.generation;
    sa.key = std::move(*key);
    pending_[what.token] = {what.direction, what.sa};
    host_.install(config_.remote, what.token, std::move(sa));
}

void Peer::perform(RemoveSa& what)
{
    host_.send_to_switch(esp::msg::RemoveSa{0, what.direction, what.spi, config_.remote, what.channel.encap, what.channel.vni});
    audit_sa(AuditKind::sa_removed, what.direction, {what.channel, what.spi, {}, 0, {}, 0}, what.reason);
}

base::Result<uint64_t> Peer::send(SessionId id, control::Envelope message)
{
    Live* on = live(id);
    if (!on) {
        return base::Error{ENOTCONN, "the session is closed"};
    }
    return on->session->send(std::move(message));
}

void Peer::perform(SendOffer& what)
{
    control::Envelope message;
    auto& offer = *message.mutable_sa_offer();
    offer.set_vni(what.sa.channel.vni.value);
    offer.set_encap(static_cast<proto::Encap>(what.sa.channel.encap));
    offer.set_spi(what.sa.spi.value);
    offer.set_cipher(static_cast<uint32_t>(what.sa.cipher));
    offer.set_generation(what.sa.generation);
    offer.set_nonce(what.sa.nonce.data(), what.sa.nonce.size());
    offer.set_esn(true);
    offer.set_replay_window(what.sa.replay_window);
    if (auto sent = send(what.session, std::move(message))) {
        keying_.offer_sent(what.token, *sent);
    }
}

void Peer::perform(SendAnswer& what)
{
    control::Envelope message;
    message.set_in_reply_to(what.offer);
    message.mutable_sa_answer()->set_accepted(what.accepted);
    message.mutable_sa_answer()->set_reason(control::quoted(what.reason));
    // If it is lost the peer offers again.
    (void)send(what.session, std::move(message));
}

void Peer::perform(SendRequest& what)
{
    control::Envelope message;
    message.mutable_sa_request()->set_vni(what.channel.vni.value);
    message.mutable_sa_request()->set_encap(static_cast<proto::Encap>(what.channel.encap));
    message.mutable_sa_request()->set_reason(reason_of(what.reason));
    (void)send(what.session, std::move(message));       // repeated if unanswered
}

void Peer::perform(SendDelete& what)
{
    control::Envelope message;
    message.mutable_sa_delete()->set_vni(what.channel.vni.value);
    message.mutable_sa_delete()->set_encap(static_cast<proto::Encap>(what.channel.encap));
    message.mutable_sa_delete()->set_spi(what.spi.value);
    message.mutable_sa_delete()->set_reason(control::quoted(what.reason));
    (void)send(what.session, std::move(message));       // a closed session says as much
}

void Peer::perform(Refused& what)
{
    audit(AuditKind::refused, what.reason, what.channel);
    log_of_peer(LogLevel::warn, "refused: " + what.reason);
    if (Live* from = live(speaking_); from && insists(*from, what.channel)) {
        from->session->close(proto::CLOSE_UNAUTHORIZED, "what was refused was sent again and again");
    }
}

// A peer of another configuration asks for each network, and again after a while, but not
// more often; one that does is broken or looks for a hole.
bool Peer::insists(Live& from, const ChannelId& channel) const
{
    auto now = host_.clock().now();
    auto known = from.refused.find(channel);
    if (known == from.refused.end() && from.refused.size() < kMaxRefusedChannels) {
        from.refused.emplace(channel, now);
        return false;
    }
    bool early = known == from.refused.end() || now - known->second < kMinRefusedGap;
    if (known != from.refused.end()) {
        known->second = now;
    }
    from.insistence += early;
    return from.insistence == kMaxInsistence;
}

void Peer::log_of_peer(LogLevel level, const std::string& text)
{
    if (!log_bucket_.take()) {
        log_suppressed_++;
        return;
    }
    std::string more;
    if (uint64_t count = std::exchange(log_suppressed_, 0)) {
        more = " (" + std::to_string(count) + " lines about this peer were suppressed)";
    }
    base::log(level, kModule, label() + ": " + text + more);
}

void Peer::perform(Note& what)
{
    log_of_peer(LogLevel::info, to_string(what.channel) + ": " + what.text);
}

}  // namespace nvo3::agent
