// SPDX-License-Identifier: Apache-2.0
//
// See peers.h: configuration, credentials, listener.  The switch is in peers_switch.cc, status in peers_view.cc.
#include "hvagent/peers.h"

#include <openssl/rand.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cstdlib>
#include <set>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "hvagent/wanted_peers.h"

namespace nvo3::agent {

using namespace std::chrono_literals;
using base::LogLevel;
using control::AuditKind;
using control::Session;

namespace {

constexpr const char* kModule = "peers";
constexpr auto kPollInterval = 2s;     // of files, and of a listener that failed

uint64_t new_instance()
{
    uint64_t instance = 0;
    while (instance == 0) {
        if (RAND_bytes(reinterpret_cast<unsigned char*>(&instance), sizeof instance) != 1) {
            base::log(LogLevel::error, kModule, "the machine gives no random numbers");
            std::abort();
        }
    }
    return instance;
}

}  // namespace

Peers::Peers(boost::asio::io_context& io, Options options, control::AuditLog& audit, const base::Clock& clock)
    : io_(io), options_(std::move(options)), audit_(audit), clock_(clock), instance_(new_instance()),
      overlay_(*this, [this] { directory_changed(); }, [this] { overlay_changed(); }),
      hypervisor_(*this, [this] { directory_changed(); }, [this] { changed(); }), nve_side_(*this, [this] { nve_side_changed(); }), poll_timer_(io), publish_timer_(io)
{
    switch_ = std::make_unique<SaClient>(io_, options_.sa_socket, instance_, *this);
}

Peers::~Peers()
{
    *alive_ = false;
    for (auto& [remote, peer] : peers_) {
        peer->detach();
    }
}

void Peers::stop()
{
    stopping_ = true;
    listener_.reset();
    poll_timer_.cancel();
    publish_timer_.cancel();
    overlay_.stop();
    hypervisor_.stop();
    nve_side_.stop();
    for (auto& [remote, peer] : peers_) {
        peer->detach();
    }
    switch_.reset();
}

Peer* Peers::find(const base::IpAddress& remote)
{
    auto it = peers_.find(remote);
    return it == peers_.end() ? nullptr : it->second.get();
}

// ---- Configuration ----

void Peers::apply(std::shared_ptr<const Config> config)
{
    if (stopping_) {
        return;
    }
    std::shared_ptr<const Config> before = std::exchange(config_, std::move(config));
    report_changes(before.get());
    auto inputs = [](const Config& of) {
        return std::tie(of.certificate, of.private_key, of.ca_cert, of.crl, of.control_level, of.role);
    };
    if (!before || inputs(*before) != inputs(*config_) || usable_pins() != pins_) {
        apply_credentials();
    }
    bool listener_differs = !before || before->listen_address != config_->listen_address ||
                            before->listen_port != config_->listen_port || before->listen_dual_stack != config_->listen_dual_stack ||
                            before->role != config_->role;
    nve_side_.configure(config_, overlay_.directory());
    overlay_.configure(*config_, nve_side_.tsis());
    hypervisor_.configure(*config_);
    apply_peers();
    if (listener_differs) {
        listener_.reset();
        listen();
    }
    if (before && (before->control_rate != config_->control_rate || before->control_burst != config_->control_burst)) {
        for (auto& [remote, peer] : peers_) {
            peer->rates_changed();
        }
        overlay_.rates_changed();
        hypervisor_.rates_changed();
        nve_side_.rates_changed();
    }
    if (!before) {
        // Only now is known which of the SAs in the switch are wanted.
        switch_->start();
        poll();
    }
    all_changed();
}

void Peers::report_changes(const Config* before)
{
    for (const Problem& problem : config_->problems) {
        if (!before || std::ranges::find(before->problems, problem) == before->problems.end()) {
            base::log(LogLevel::warn, "config", (problem.port.empty() ? "" : "port " + problem.port + ": ") + problem.text);
        }
    }
    auto event = [&](const std::string& text) {
        base::log(LogLevel::info, "config", text);
        audit_.write({AuditKind::config_changed, "", {}, text});
    };
    static const Config nothing;
    const Config& old = before ? *before : nothing;
    for (const Tunnel& tunnel : config_->tunnels) {
        auto it = std::ranges::find(old.tunnels, tunnel.port, &Tunnel::port);
        if (it == old.tunnels.end()) {
            event("tunnel " + tunnel.port + " added");
        } else if (*it != tunnel) {
            event("tunnel " + tunnel.port + " changed");
        }
    }
    for (const Tunnel& tunnel : old.tunnels) {
        if (std::ranges::find(config_->tunnels, tunnel.port, &Tunnel::port) == config_->tunnels.end()) {
            event("tunnel " + tunnel.port + " removed");
        }
    }
    for (auto [key, was, is] : {std::tuple{"certificate", &old.certificate, &config_->certificate},
                                {"private_key", &old.private_key, &config_->private_key},
                                {"ca_cert", &old.ca_cert, &config_->ca_cert},
                                {"nvo3-crl", &old.crl, &config_->crl}}) {
        if (*was != *is) {
            event(std::string("other_config:") + key + " is now " + (is->empty() ? "unset" : *is));
        }
    }
    if (old.nves != config_->nves) {
        event("other_config:nvo3-nve now names " + std::to_string(config_->nves.size()) + " external NVEs");
    }
    if (old.nvas != config_->nvas) {
        event("other_config:nvo3-nva now names " + std::to_string(config_->nvas.size()) + " NVAs");
    }
}

std::shared_ptr<const DirectoryView> Peers::directory() const
{
    return config_ && config_->is_hypervisor() ? hypervisor_.directory() : overlay_.directory();
}

bool Peers::is_complete() const
{
    return config_ && config_->is_hypervisor() ? directory()->complete : overlay_.is_complete();
}

void Peers::apply_peers()
{
    auto [wanted, reach, problems] = wanted_peers(*config_, *directory(), own_name(), nve_side_.connected());
    for (const std::string& problem : problems) {
        if (std::ranges::find(directory_problems_, problem) == directory_problems_.end()) {
            base::log(LogLevel::warn, kModule, problem);
        }
    }
    reach_ = std::move(reach);
    directory_problems_ = std::move(problems);
    std::erase_if(peers_, [&](const auto& entry) {
        auto it = wanted.find(entry.first);
        bool goes = it == wanted.end() || !entry.second->config().same_base(it->second);
        if (goes) {
            // Its tokens must not reach one that takes its place.
            std::erase_if(results_, [&](const auto& result) { return result.second.remote == entry.first; });
        }
        return goes;
    });
    for (auto& [remote, config] : wanted) {
        if (Peer* peer = find(remote)) {
            peer->configure(std::move(config));
            continue;
        }
        auto peer = std::make_unique<Peer>(*this, std::move(config));
        if (switch_instance_ != 0) {
            peer->switch_up({}, switch_instance_);
        }
        peers_.emplace(remote, std::move(peer));
    }
    claim_unclaimed();
}

// What the switch had of networks that the directory told later.  Once it is complete,
// what nobody has claimed is nobody's.
void Peers::claim_unclaimed()
{
    for (auto& [remote, sas] : unclaimed_) {
        Peer* peer = find(remote);
        if (!peer) {
            continue;
        }
        std::vector<Keying::LiveSa> claimed;
        std::erase_if(sas, [&](const Keying::LiveSa& sa) {
            bool known = peer->serves(sa.channel.vni, sa.channel.encap);
            if (known) {
                claimed.push_back(sa);
            }
            return known;
        });
        if (!claimed.empty()) {
            peer->adopt(claimed);
        }
    }
    if (!is_complete()) {
        return;
    }
    for (auto it = unclaimed_.begin(); it != unclaimed_.end();) {
        if (!nve_side_.is_settled(it->first)) {
            ++it;       // a hypervisor that may connect to the network again
            continue;
        }
        auto [remote, sas] = std::move(*it);
        it = unclaimed_.erase(it);
        if (sas.empty()) {
            continue;
        }
        base::log(LogLevel::info, kModule, "removing SAs with " + remote.to_string() + ", with which this host shares no such network");
        for (const Keying::LiveSa& sa : sas) {
            send_to_switch(esp::msg::RemoveSa{0, sa.direction, sa.spi, remote, sa.channel.encap, sa.channel.vni});
        }
    }
}

void Peers::directory_changed()
{
    if (!config_ || stopping_) {
        return;
    }
    nve_side_.configure(config_, overlay_.directory());
    tell_nve_side();
    nve_side_changed();
}

// The NVA's session, groups, or what it says of interfaces: of which it may say much at once.
void Peers::overlay_changed()
{
    changed();
    if (std::exchange(answers_pending_, true)) {
        return;
    }
    boost::asio::post(io_, [this, alive = alive_] {
        if (*alive && std::exchange(answers_pending_, false)) {
            tell_nve_side();
        }
    });
}

void Peers::tell_nve_side()
{
    if (!stopping_) {
        nve_side_.on_nva(overlay_.has_nva(), overlay_.answers());
    }
}

// What hypervisors are connected to, or have.
void Peers::nve_side_changed()
{
    if (!config_ || stopping_) {
        return;
    }
    overlay_.configure(*config_, nve_side_.tsis());
    overlay_changed();      // of one that moved here from another hypervisor the NVA has spoken already
    apply_peers();
    all_changed();
}

// As the directory knows this host.
std::string Peers::own_name() const
{
    const ContextPtr& own = credentials_.context();
    return own && own->own_identity().spiffe() ? own->own_identity().name : "";
}

// ---- Credentials ----

// One unreadable remote_cert must not keep the others from working.
std::vector<std::string> Peers::usable_pins() const
{
    std::set<std::string> pins;
    for (const Tunnel& tunnel : config_->tunnels) {
        if (!tunnel.remote_cert.empty() && control::certificate_fingerprint(tunnel.remote_cert)) {
            pins.insert(tunnel.remote_cert);
        }
    }
    return {pins.begin(), pins.end()};
}

void Peers::apply_credentials()
{
    pins_ = usable_pins();
    ContextPtr before = credentials_.context();
    std::string problem = credentials_.problem();
    credentials_ = control::certificate_credentials(
        {config_->certificate, config_->private_key, config_->ca_cert, config_->crl, pins_},
        {"other_config:certificate", "other_config:private_key", "other_config:ca_cert"}, config_->control_level, config_->role);
    credentials_.keep(before);
    credentials_.refresh(true);
    if (credentials_.problem() != problem) {
        log_credentials_problem();
    }
    credentials_refreshed(before);
}

// With pre-shared keys alone none are needed.
bool Peers::wants_certificates() const
{
    return config_ && (config_->has_pipeline() || std::ranges::any_of(config_->tunnels, [](const Tunnel& tunnel) {
                           return tunnel.psk.empty() && !tunnel.flow_remote;
                       }));
}

ContextPtr Peers::certificate_context(ControlLevel level)
{
    const ContextPtr& own = credentials_.context();
    if (!own || own->level() == level) {
        return own;
    }
    Derived& derived = levels_[level];
    if (derived.from != own) {
        auto made = own->at_level(level);
        if (!made) {
            base::log(LogLevel::error, kModule, made.error().text);
        }
        derived = {own, made ? *made : nullptr};
    }
    return derived.context;
}

void Peers::log_credentials_problem() const
{
    if (!credentials_.problem().empty() && wants_certificates()) {
        base::log(LogLevel::error, kModule, credentials_.problem());
    }
}

void Peers::credentials_refreshed(const ContextPtr& before)
{
    const ContextPtr& now = credentials_.context();
    if (now == before) {
        return;
    }
    if (!now) {
        for (auto& [remote, peer] : peers_) {
            if (peer->config().psk.empty()) {
                peer->start_over("no certificate is configured any more");
            }
        }
        overlay_.credentials_changed(true, false);
        hypervisor_.credentials_changed(true, false);
        nve_side_.check_sessions();
        return all_changed();
    }
    const control::PeerIdentity& own = now->own_identity();
    base::log(LogLevel::info, kModule, "this host is " + own.name + ", certificate " + config_->certificate);
    bool renamed = before && (before->own_identity().name != own.name || before->own_identity().trust_domain != own.trust_domain);
    bool renew = before && (before->own_identity().fingerprint != own.fingerprint || before->level() != now->level());
    for (auto& [remote, peer] : peers_) {
        if (renamed && peer->config().psk.empty()) {
            peer->start_over("this host is called " + own.name + " now");
        }
        peer->context_changed(renew && !renamed);
    }
    overlay_.credentials_changed(renew, renamed);
    hypervisor_.credentials_changed(renew, renamed);
    nve_side_.check_sessions();
    all_changed();
}

void Peers::poll()
{
    if (stopping_) {
        return;
    }
    if (usable_pins() != pins_) {
        apply_credentials();
    } else {
        ContextPtr before = credentials_.context();
        std::string problem = credentials_.problem();
        credentials_.refresh(false);
        if (credentials_.problem() != problem) {
            log_credentials_problem();
            all_changed();
        }
        credentials_refreshed(before);
    }
    for (auto& [remote, peer] : peers_) {
        peer->refresh(false);
    }
    overlay_.poll();
    hypervisor_.poll();
    nve_side_.poll();
    if (!unclaimed_.empty()) {
        claim_unclaimed();
    }
    if (!listener_) {
        listen();
    }
    poll_timer_.expires_after(kPollInterval);
    poll_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
        if (!error && *alive) {
            poll();
        }
    });
}

base::Status Peers::reload()
{
    if (!config_) {
        return base::Error{EAGAIN, "the database has not been reached yet"};
    }
    apply_credentials();
    for (auto& [remote, peer] : peers_) {
        peer->refresh(true);
    }
    audit_.write({AuditKind::config_changed, "", {}, "credentials read again by command"});
    if (!credentials_.problem().empty() && wants_certificates()) {
        return base::Error{EINVAL, credentials_.problem()};
    }
    return {};
}

bool Peers::rekey(const std::string& name)
{
    bool found = false;
    for (auto& [remote, peer] : peers_) {
        if (peer->name() == name || remote.to_string() == name) {
            peer->rekey();
            found = true;
        }
    }
    return found;
}

// ---- Listener and sessions ----

void Peers::listen()
{
    // A hypervisor connects; nobody connects to it.
    if (stopping_ || config_->is_hypervisor()) {
        listen_problem_.clear();
        return;
    }
    boost::asio::ip::address address = boost::asio::ip::address_v4::any();
    if (config_->listen_dual_stack) {
        address = boost::asio::ip::address_v6::any();
    } else if (!config_->listen_address.is_unspecified()) {
        address = control::to_asio(config_->listen_address);
    }
    auto opened = control::Listener::open(
        io_, {.endpoint = {address, config_->listen_port}, .clock = &clock_},
        [this](const base::IpAddress& remote, const base::IpAddress&) { return accept(remote); },
        [this](const base::IpAddress& remote, const std::string& reason) {
            audit_.write({AuditKind::refused, "", remote, reason});
        });
    std::string problem = opened ? "" : "other_config:nvo3-listen: " + opened.error().text;
    if (opened) {
        listener_ = std::move(*opened);
        base::log(LogLevel::info, kModule, "listening on port " + std::to_string(config_->listen_port));
    } else if (problem != listen_problem_) {
        base::log(LogLevel::error, kModule, problem);
    }
    if (problem != listen_problem_) {
        listen_problem_ = problem;
        changed();
    }
}

base::Result<control::Listener::Accepted> Peers::accept(const base::IpAddress& remote)
{
    Peer* peer = find(remote);
    if (!peer) {
        return base::Error{EACCES, "no tunnel to " + remote.to_string() + " is configured"};
    }
    auto context = peer->accept();
    if (!context) {
        return context.error();
    }
    if (peer->config().role == control::Role::hypervisor) {
        // Which channel it is shows after the handshake: what either allows is taken till then.
        context = certificate_context(std::min(config_->control_level, peer->config().control_level));
    }
    return control::Listener::Accepted{*context, session_options(), this};
}

control::SessionOptions Peers::session_options()
{
    control::SessionOptions options;
    options.agent_instance = instance_;
    options.switch_instance = switch_instance_;
    options.send_rate = {static_cast<double>(config_->control_rate), static_cast<double>(config_->control_burst)};
    options.receive_rate = options.send_rate;
    options.clock = &clock_;
    return options;
}

base::Status Peers::admit(Session& session)
{
    if (Peer* peer = find(session.remote_address()); peer && !stopping_) {
        // A hypervisor's session is the peer's once it proves to be for data.
        return peer->config().role == control::Role::hypervisor ? peer->check(session) : peer->admit(session);
    }
    return base::Error{EACCES, "no tunnel to " + session.remote_address().to_string() + " is configured"};
}

void Peers::on_open(Session& session)
{
    if (Peer* peer = find(session.remote_address())) {
        if (peer->config().role != control::Role::hypervisor) {
            return peer->on_open(session);
        }
        const bool control = session.channel() == control::proto::CHANNEL_CONTROL;
        // Anew: configuration may have changed since.
        if (auto status = control ? peer->check(session) : peer->admit(session); !status) {
            return session.close(control::proto::CLOSE_UNAUTHORIZED, status.error().text);
        }
        return control ? nve_side_.on_open(session) : peer->on_open(session);
    }
    session.close(control::proto::CLOSE_NOT_CONFIGURED, "the tunnel was removed");
}

bool Peers::vn_allowed(Session& session, base::Vni vni, std::optional<base::Encap> encap)
{
    if (session.channel() == control::proto::CHANNEL_CONTROL) {
        return nve_side_.vn_allowed(session, vni);
    }
    Peer* peer = find(session.remote_address());
    return peer && encap && peer->serves(vni, *encap);
}

void Peers::on_message(Session& session, const control::Envelope& message)
{
    if (session.channel() == control::proto::CHANNEL_CONTROL) {
        return nve_side_.on_message(session, message);
    }
    if (Peer* peer = find(session.remote_address())) {
        peer->on_message(session, message);
    }
}

// Keying knows no such channel and so adopts nothing: it refuses and reports.
void Peers::on_vn_refused(Session& session, const control::Envelope& message)
{
    if (session.channel() == control::proto::CHANNEL_CONTROL) {
        return nve_side_.on_vn_refused(session, message);
    }
    on_message(session, message);
}

void Peers::on_closed(Session& session, const control::CloseInfo& info)
{
    if (nve_side_.on_closed(session, info)) {
        return;
    }
    if (Peer* peer = find(session.remote_address())) {
        peer->on_closed(session, info);
    }
}

}  // namespace nvo3::agent
