// SPDX-License-Identifier: Apache-2.0
//
// See agent.h.
#include "hvagent/agent.h"

#include <pthread.h>
#include <signal.h>

#include <boost/asio/post.hpp>
#include <future>
#include <utility>

#include "base/log.h"

namespace nvo3::agent {

using namespace std::chrono_literals;
using control::AuditKind;

namespace {

constexpr auto kAskTimeout = 5s;
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
      io_(1),
      work_(boost::asio::make_work_guard(io_)),
      peers_(std::make_unique<Peers>(io_, Peers::Options{std::move(options.sa_socket), options.timing, publisher(std::move(options.on_networks))}, *audit_, clock))
{
    audit_->write({AuditKind::started});
    // Signals belong to the OVS thread: the new one inherits them blocked.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] {
        pthread_setname_np(pthread_self(), "io");
        io_.run();
        done_.set_value();
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
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
    boost::asio::post(io_, [this] {
        peers_->stop();
        work_.reset();
    });
    if (done_.get_future().wait_for(kGoodbye) != std::future_status::ready) {
        io_.stop();
    }
    thread_.join();
    audit_->write({AuditKind::stopped});
}

void Agent::configure(const RawConfig& raw)
{
    config_ = make_config(raw, config_.get());
    boost::asio::post(io_, [this, config = config_] { peers_->apply(config); });
}

template <class T>
base::Result<T> Agent::ask(std::function<base::Result<T>()> work)
{
    auto promise = std::make_shared<std::promise<base::Result<T>>>();
    auto answer = promise->get_future();
    boost::asio::post(io_, [promise, work = std::move(work)] { promise->set_value(work()); });
    if (answer.wait_for(kAskTimeout) != std::future_status::ready) {
        return base::Error{ETIMEDOUT, "the I/O thread is busy; try again"};
    }
    return answer.get();
}

base::Result<std::shared_ptr<const AgentView>> Agent::view()
{
    return ask<std::shared_ptr<const AgentView>>(
        [this]() -> base::Result<std::shared_ptr<const AgentView>> { return std::make_shared<const AgentView>(peers_->view()); });
}

base::Status Agent::rekey(const std::string& peer)
{
    return ask<void>([this, peer]() -> base::Status {
        return peers_->rekey(peer) ? base::Status{} : base::Error{ENOENT, "no peer is called " + peer + "; see peer/show"};
    });
}

base::Status Agent::reload()
{
    return ask<void>([this] { return peers_->reload(); });
}

}  // namespace nvo3::agent
