// SPDX-License-Identifier: Apache-2.0
//
// See nva_client.h.
#include "hvagent/nva_client.h"

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

constexpr const char* kModule = "nva";
// Many messages make one snapshot.
constexpr auto kDirectoryDelay = 10ms;

constexpr ServerClient::Kind kKind{"NVA", kModule, "other_config:nvo3-nva", control::Role::nva, proto::CHANNEL_UNSPECIFIED};

}  // namespace

NvaClient::NvaClient(PeerHost& host, NvaHandler& handler)
    : host_(host), handler_(handler), servers_(host, *this, kKind), directory_timer_(host.io(), [this] { flush_directory(); }), announce_timer_(host.io(), [this] { announce(); })
{
}

NvaClient::~NvaClient()
{
    stop();
}

void NvaClient::stop()
{
    servers_.stop();
    directory_timer_.cancel();
    announce_timer_.cancel();
}

void NvaClient::configure(const std::vector<Endpoint>& nvas, const std::vector<Tsi>& tsis)
{
    announcer_.set_tsis(tsis);
    servers_.configure(nvas);
    // Before anybody hears of the end: who does may configure this again.
    if (std::exchange(has_nvas_, !nvas.empty()) && nvas.empty()) {
        base::log(LogLevel::info, kModule, "no NVA is configured any more: its networks end");
        forget();
        flush_directory();
    }
    announce();
}

void NvaClient::context_changed(bool renew, bool renamed)
{
    if (renamed) {
        forget();
    }
    servers_.context_changed(renew || renamed);
    flush_directory();
}

void NvaClient::forget()
{
    directory_.clear();
    directory_dirty_ = true;
    policy_parts_.clear();
    if (std::exchange(policy_, nullptr)) {
        handler_.on_policy();
    }
}

void NvaClient::on_server_up(Session& session)
{
    policy_parts_.clear();
    directory_.session_up(session.peer_hello().agent_instance());
    Envelope message;
    *message.mutable_directory_request() = directory_.request();
    if (policy_) {
        message.mutable_directory_request()->set_policy_digest(control::policy_digest(policy_->text));
    }
    (void)session.send(std::move(message));     // a session that is lost says so itself
    announcer_.session_up();
    handler_.on_nva_up();
    announce();
}

// What it told goes on.
void NvaClient::on_server_down()
{
    announcer_.session_down();
    handler_.on_nva_down();
}

// ---- Messages ----

void NvaClient::on_server_message(Session&, const Envelope& message)
{
    switch (message.body_case()) {
    case Envelope::kVnUpdate:
    case Envelope::kVnGone:
    case Envelope::kDirectoryReady:
        on_directory_message(message);
        break;
    case Envelope::kPolicyUpdate:
        on_policy_message(message.policy_update());
        break;
    case Envelope::kMappingResult: {
        auto refused = announcer_.on_result(message.in_reply_to(), message.mapping_result(), host_.clock().now());
        if (refused) {
            control::AuditEvent event{AuditKind::refused, servers_.name(), servers_.endpoint().address, refused->reason, refused->vni};
            event.text = {{"port", refused->port}, {"mac", to_string(refused->mac)}};
            host_.audit().write(event);
            base::log(LogLevel::warn, kModule,
                      servers_.label() + " refuses port " + refused->port + ", " + to_string(refused->mac) + " in VNI " +
                          std::to_string(refused->vni.value) + ": " + refused->reason);
        }
        handler_.on_nva_status();
        announce();
        break;
    }
    case Envelope::kGroupKey:
        flush_directory();      // which came before
        handler_.on_group_key(message.group_key());
        break;
    case Envelope::kGroupGrant:
        flush_directory();
        handler_.on_group_grant(message.in_reply_to(), message.group_grant());
        break;
    case Envelope::kGroupRenewed:
        flush_directory();
        handler_.on_group_renewed(message.in_reply_to(), message.group_renewed());
        break;
    default:
        break;
    }
}

void NvaClient::on_directory_message(const Envelope& message)
{
    bool changed = false;
    if (message.body_case() == Envelope::kVnUpdate) {
        auto taken = directory_.on_update(message.vn_update());
        if (!taken) {
            return broken(taken.error().text);
        }
        changed = *taken;
    } else if (message.body_case() == Envelope::kVnGone) {
        changed = directory_.on_gone(message.vn_gone());
        base::log(LogLevel::info, kModule, "this host does not serve VNI " + std::to_string(message.vn_gone().vni()) + ": " +
                                               message.vn_gone().reason().substr(0, 256));
        if (changed) {
            // At once: should the network be back in a moment, all is to be told anew.
            directory_dirty_ = true;
            flush_directory();
        }
        return;
    } else {
        changed = directory_.on_ready();
        base::log(LogLevel::info, kModule, servers_.label() + " has told " + std::to_string(directory_.snapshot()->vns.size()) + " networks");
        announcer_.ready();
        directory_dirty_ = true;
        return flush_directory();
    }
    if (changed) {
        directory_changed();
    }
}

void NvaClient::on_policy_message(const proto::PolicyUpdate& update)
{
    auto whole = policy_parts_.add(update);
    if (!whole) {
        return broken(whole.error().text);
    }
    if (!*whole) {
        return;
    }
    base::log(LogLevel::info, kModule, servers_.label() + " has told version " + std::to_string((*whole)->version) + " of the policy, " +
                                           std::to_string((*whole)->text.size()) + " octets for this host");
    policy_ = std::make_shared<const control::PolicyText>(**std::move(whole));
    flush_directory();      // which came before
    handler_.on_policy();
}

void NvaClient::broken(const std::string& why)
{
    host_.audit().write({AuditKind::refused, servers_.name(), servers_.endpoint().address, why});
    servers_.close(proto::CLOSE_PROTOCOL_ERROR, why);
}

void NvaClient::directory_changed()
{
    if (std::exchange(directory_dirty_, true)) {
        return;
    }
    directory_timer_.set(std::chrono::steady_clock::now() + kDirectoryDelay);
}

void NvaClient::flush_directory()
{
    if (!std::exchange(directory_dirty_, false)) {
        return;
    }
    ContextPtr own = host_.certificate_context();
    announcer_.set_directory(directory_.snapshot(), own ? own->own_identity().name : "");
    handler_.on_directory();
    announce();
}

void NvaClient::announce()
{
    if (!is_up()) {
        return;
    }
    for (const proto::MappingAnnounce& one : announcer_.take(host_.clock().now())) {
        Envelope message;
        *message.mutable_mapping_announce() = one;
        if (auto sent = send(std::move(message))) {
            announcer_.sent(one, *sent);
        } else if (sent.error().code == ENOBUFS) {
            // All anew, over a session that can take it.
            return servers_.close(proto::CLOSE_TIMEOUT, sent.error().text);
        } else {
            base::log(LogLevel::warn, kModule, sent.error().text);
        }
    }
    announce_timer_.set(announcer_.next_deadline());
}

}  // namespace nvo3::agent
