// SPDX-License-Identifier: Apache-2.0
//
// See agent.h.
#include "hvagent/agent.h"

#include <utility>

#include "base/log.h"

namespace nvo3::agent {

using namespace std::chrono_literals;
using control::AuditKind;

namespace {

constexpr auto kGoodbye = 2s;

}  // namespace

base::Result<std::unique_ptr<Agent>> Agent::start(Options options, const base::Clock& clock)
{
    auto audit = control::AuditLog::open(options.audit_log, clock);
    if (!audit) {
        return audit.error();
    }
    return std::unique_ptr<Agent>(new Agent(std::move(options), std::move(*audit), clock));
}

Agent::Agent(Options options, std::unique_ptr<control::AuditLog> audit, const base::Clock& clock)
    : audit_(std::move(audit)),
      peers_(std::make_unique<Peers>(thread_.io(), Peers::Options{std::move(options.sa_socket), options.timing, publisher(std::move(options.on_networks))}, *audit_, clock))
{
    audit_->write({AuditKind::started});
    thread_.start();
}

Peers::PublishNetworks Agent::publisher(std::function<void()> on_networks)
{
    return [this, on_networks = std::move(on_networks)](std::shared_ptr<const NetworkView> view) {
        networks_.set(std::move(view));
        if (on_networks) {
            on_networks();
        }
    };
}

Agent::~Agent()
{
    thread_.stop([this] { peers_->stop(); }, kGoodbye);
    audit_->write({AuditKind::stopped});
}

void Agent::configure(const RawConfig& raw)
{
    config_ = make_config(raw, config_.get());
    thread_.post([this, config = config_] { peers_->apply(config); });
}

base::Result<std::shared_ptr<const AgentView>> Agent::view()
{
    return thread_.ask<std::shared_ptr<const AgentView>>(
        [this]() -> base::Result<std::shared_ptr<const AgentView>> { return std::make_shared<const AgentView>(peers_->view()); });
}

base::Status Agent::rekey(const std::string& peer)
{
    return thread_.ask<void>([this, peer]() -> base::Status {
        return peers_->rekey(peer) ? base::Status{} : base::Error{ENOENT, "no peer is called " + peer + "; see peer/show"};
    });
}

void Agent::with_hypervisor(std::function<void(Hypervisor&)> work)
{
    thread_.post([this, work = std::move(work)] { work(peers_->hypervisor()); });
}

base::Status Agent::reload()
{
    return thread_.ask<void>([this] { return peers_->reload(); });
}

}  // namespace nvo3::agent
