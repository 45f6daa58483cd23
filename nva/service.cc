// SPDX-License-Identifier: Apache-2.0
//
// See service.h: sessions and what they are told.  Their mappings are in service_mappings.cc.
#include "nva/service.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "base/log.h"

namespace nvo3::nva {

using namespace std::chrono_literals;
using base::LogLevel;
using control::AuditKind;
using control::Session;

namespace {

constexpr const char* kModule = "service";
constexpr auto kPollInterval = 1s;      // of files, epochs, and of a listener that failed
// To one NVE; it is filled to a quarter (Session::writable()), the rest waits here.
constexpr size_t kQueueMessages = 64;
constexpr size_t kQueueOctets = 1 << 20;
// An NVE asks for more answers than this without reading them: it is not served.
constexpr size_t kOutbox = 32768;

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

std::string hex(uint64_t number)
{
    std::array<char, 17> text{};
    std::snprintf(text.data(), text.size(), "%016" PRIx64, number);
    return text.data();
}

}  // namespace

Service::Service(boost::asio::io_context& io, Options options, base::Secret group_key, StoreWriter& writer, control::AuditLog& audit,
                 const base::Clock& clock)
    : io_(io),
      options_(std::move(options)),
      writer_(writer),
      audit_(audit),
      clock_(clock),
      instance_(new_instance()),
      self_(hex(instance_)),
      stale_timer_(io),
      directory_(instance_, options_.directory),
      groups_(std::move(group_key), writer, audit, clock),
      credentials_(control::certificate_credentials(options_.files, {"--certificate", "--private-key", "--ca-cert"}, options_.level,
                                                    control::Role::nva)),
      poll_timer_(io)
{
}

Service::~Service()
{
    *alive_ = false;
    for (auto& [id, client] : clients_) {
        client->session->abandon(control::proto::CLOSE_SHUTDOWN, "the NVA ends");
    }
}

void Service::stop()
{
    stopping_ = true;
    *alive_ = false;
    listener_.reset();
    poll_timer_.cancel();
    stale_timer_.cancel();
    for (auto& [id, client] : clients_) {
        writer_.cancel(id);
        client->session->abandon(control::proto::CLOSE_SHUTDOWN, "the NVA ends");
    }
    clients_.clear();
    by_session_.clear();
    by_name_.clear();
}

// ---- The store ----

void Service::apply(std::shared_ptr<const StoreView> view)
{
    if (stopping_) {
        return;
    }
    std::shared_ptr<const StoreView> before = std::exchange(store_, std::move(view));
    report(before.get());
    directory_.apply(store_);
    groups_.apply(store_);
    bool other_settings = before && before->settings != store_->settings;
    bool other_nves = !before || before->nves != store_->nves;
    for (auto it = clients_.begin(); it != clients_.end() && (other_settings || other_nves);) {
        Client& client = *(it++)->second;       // drop() removes it
        if (!store_->find_nve(client.name)) {
            drop(client, control::proto::CLOSE_REVOKED, "'" + client.name + "' is revoked, or is no NVE of this store any more");
        } else if (other_settings) {
            control::Rate rate{static_cast<double>(store_->settings.control_rate), static_cast<double>(store_->settings.control_burst)};
            client.session->set_rates(rate, rate);
        }
    }
    tell_presence();
    remove_strays();
    if (!before) {
        poll();     // reads the certificates, listens
    }
    if (other_settings || (before && before->policy != store_->policy)) {
        for (auto& [id, client] : clients_) {
            pump(*client);
        }
    } else if (before) {
        pump_members(*before);
    }
}

// Those to whom a change of the store since 'before' is news.
void Service::pump_members(const StoreView& before)
{
    std::set<std::string> names;
    auto changed_of = [&](const StoreView& one, const StoreView& other) {
        for (const auto& [vni, vn] : one.vns) {
            if (vn.get() != other.find(vni)) {
                for (const auto& [name, addresses] : vn->members) {
                    names.insert(name);
                }
            }
        }
    };
    changed_of(before, *store_);
    changed_of(*store_, before);
    for (const std::string& name : names) {
        if (auto it = by_name_.find(name); it != by_name_.end()) {
            pump(*it->second);
        }
    }
}

void Service::set_store_fresh(bool fresh)
{
    if (stopping_ || !store_ || fresh == !lost_at_) {
        return;
    }
    if (fresh) {
        lost_at_.reset();
        presence_.forget(clock_.now());
        stale_timer_.cancel();
        base::log(LogLevel::info, kModule, "the store is back");
        if (std::exchange(stale_, false)) {
            audit_.write({AuditKind::config_changed, "", {}, "the store is back: NVEs are served again"});
        }
        return;
    }
    lost_at_ = clock_.now();
    base::log(LogLevel::warn, kModule, "the store is lost: serving what was known last");
    stale_timer_.expires_after(options_.stale_after);
    stale_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
        if (!error && *alive && lost_at_) {
            go_stale();
        }
    });
}

void Service::go_stale()
{
    stale_ = true;
    std::string text = check_stale().error().text;
    base::log(LogLevel::error, kModule, text + "; their data goes on");
    control::AuditEvent event{AuditKind::alarm, "", {}, text};
    event.numbers = {{"sessions", clients_.size()}};
    audit_.write(event);
    while (!clients_.empty()) {
        drop(*clients_.begin()->second, control::proto::CLOSE_SHUTDOWN, text);
    }
}

base::Status Service::check_stale() const
{
    if (!stale_) {
        return {};
    }
    return base::Error{EAGAIN, "this NVA has lost the store and serves no NVE before it is back"};
}

void Service::report(const StoreView* before) const
{
    for (const std::string& problem : store_->problems) {
        if (!before || std::ranges::find(before->problems, problem) == before->problems.end()) {
            base::log(LogLevel::warn, "store", problem);
        }
    }
    if (store_->policy && (!before || before->policy != store_->policy)) {
        const std::string text = "the policy between networks is " + store_->policy->summary();
        base::log(LogLevel::info, "store", text);
        audit_.write({AuditKind::config_changed, "", {}, text});
    }
    auto event = [&](const std::string& nve, base::Vni vni, const std::string& text) {
        control::AuditEvent event{AuditKind::config_changed, nve, {}, text};
        event.vni = vni;
        audit_.write(event);
    };
    if (!before) {
        return;
    }
    for (const auto& [vni, vn] : store_->vns) {
        const Vn* old = before->find(vni);
        if (old == vn.get()) {
            continue;
        }
        for (const auto& [name, addresses] : vn->members) {
            if (!old || !old->members.contains(name)) {
                event(name, vni, "serves network " + vn->name + " from now on");
            }
        }
    }
    for (const auto& [vni, vn] : before->vns) {
        const Vn* now = store_->find(vni);
        if (now == vn.get()) {
            continue;
        }
        for (const auto& [name, addresses] : vn->members) {
            if (!now || !now->members.contains(name)) {
                event(name, vni, "does not serve network " + vn->name + " any more");
            }
        }
    }
}

// Its mappings go with an NVE that leaves a network.  Every NVA does this: the store takes
// it once.
void Service::remove_strays()
{
    for (const Stray& stray : store_->strays) {
        if (!removing_.insert(stray).second) {
            continue;
        }
        writer_.submit(0, DropMapping{stray.vni, stray.nve, stray.mac}, [this, stray, alive = alive_](const base::Status&) {
            if (*alive) {
                removing_.erase(stray);
            }
        });
    }
}

// ---- Credentials and listener ----

void Service::poll()
{
    if (stopping_) {
        return;
    }
    control::ContextPtr before = credentials_.context();
    std::string problem = credentials_.problem();
    credentials_.refresh(false);
    if (credentials_.problem() != problem && !credentials_.problem().empty()) {
        base::log(LogLevel::error, kModule, credentials_.problem());
    }
    credentials_changed(before);
    if (!listener_ && credentials_.context()) {
        listen();
    }
    tell_presence();
    groups_.poll();
    poll_timer_.expires_after(kPollInterval);
    poll_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
        if (!error && *alive) {
            poll();
        }
    });
}

void Service::credentials_changed(const control::ContextPtr& before)
{
    const control::ContextPtr& now = credentials_.context();
    if (now == before || !now) {
        return;
    }
    base::log(LogLevel::info, kModule, "this NVA is " + now->own_identity().name + ", certificate " + options_.files.certificate);
    for (auto it = clients_.begin(); it != clients_.end();) {
        Client& client = *(it++)->second;
        if (auto status = client.session->reverify(*now); !status) {
            drop(client, control::proto::CLOSE_REVOKED, status.error().text);
        }
    }
}

base::Status Service::reload()
{
    control::ContextPtr before = credentials_.context();
    credentials_.refresh(true);
    credentials_changed(before);
    audit_.write({AuditKind::config_changed, "", {}, "credentials read again by command"});
    return credentials_.problem().empty() ? base::Status{} : base::Error{EINVAL, credentials_.problem()};
}

void Service::listen()
{
    auto opened = control::Listener::open(
        io_, {.endpoint = options_.listen, .handshakes_per_address = options_.handshakes_per_address, .clock = &clock_},
        [this](const base::IpAddress&, const base::IpAddress&) { return accept(); },
        [this](const base::IpAddress& remote, const std::string& reason) {
            refused_++;
            audit_.write({AuditKind::refused, "", remote, reason});
        });
    std::string problem = opened ? "" : "--listen: " + opened.error().text;
    if (opened) {
        listener_ = std::move(*opened);
        base::log(LogLevel::info, kModule, "listening on " + control::to_string(listener_->local_endpoint()));
    } else if (problem != listen_problem_) {
        base::log(LogLevel::error, kModule, problem);
    }
    listen_problem_ = problem;
}

std::optional<control::Endpoint> Service::listening() const
{
    return listener_ ? std::optional(listener_->local_endpoint()) : std::nullopt;
}

base::Result<control::Listener::Accepted> Service::accept()
{
    if (auto status = check_stale(); !status) {
        return status.error();
    }
    if (clients_.size() >= options_.max_sessions) {
        return base::Error{EBUSY, "this NVA has " + std::to_string(clients_.size()) + " sessions and takes no more"};
    }
    control::SessionOptions options;
    options.agent_instance = instance_;
    options.send_rate = {static_cast<double>(store_->settings.control_rate), static_cast<double>(store_->settings.control_burst)};
    options.receive_rate = options.send_rate;
    options.send_queue_messages = kQueueMessages;
    options.send_queue_bytes = kQueueOctets;
    options.clock = &clock_;
    return control::Listener::Accepted{credentials_.context(), options, this};
}

// ---- Sessions ----

base::Status Service::admit(Session& session)
{
    const control::PeerIdentity& peer = session.peer();
    const std::string& domain = session.context().own_identity().trust_domain;
    if (stopping_ || !peer.spiffe() || peer.role != control::Role::nve) {
        return base::Error{EACCES, "'" + peer.name + "' has no certificate for the role nve"};
    }
    if (peer.trust_domain != domain) {
        return base::Error{EACCES, "'" + peer.name + "' is of the trust domain " + peer.trust_domain + ", this NVA of " + domain};
    }
    if (!store_->find_nve(peer.name)) {
        return base::Error{EACCES, "'" + peer.name + "' is no NVE of this store, or is revoked; see nvo3-nvactl nve-add"};
    }
    return check_stale();
}

void Service::on_open(Session& session)
{
    const std::string& name = session.peer().name;
    if (auto status = check_stale(); !status) {     // since admit()
        return session.close(control::proto::CLOSE_SHUTDOWN, status.error().text);
    }
    if (!store_->find_nve(name)) {      // since admit()
        return session.close(control::proto::CLOSE_REVOKED, "'" + name + "' is revoked");
    }
    if (auto it = by_name_.find(name); it != by_name_.end()) {
        drop(*it->second, control::proto::CLOSE_REPLACED, "the same NVE has connected again");
    }
    auto client = std::make_unique<Client>();
    client->id = ++last_id_;
    client->name = name;
    client->session = session.shared_from_this();
    by_session_[&session] = client.get();
    by_name_[name] = client.get();
    clients_[client->id] = std::move(client);
    groups_.present(name, true);
    tell_presence_soon();
    control::AuditEvent event{AuditKind::authenticated, name, session.remote_address()};
    event.text = {{"role", control::to_string(session.peer().role)}, {"tls", session.tls_summary()}};
    audit_.write(event);
    base::log(LogLevel::info, kModule, "session with " + name + " (" + session.remote_address().to_string() + ")");
}

void Service::on_closed(Session& session, const control::CloseInfo& info)
{
    using Kind = control::CloseInfo::Kind;
    bool refused = info.kind == Kind::refused_by_us || info.kind == Kind::protocol_error || info.kind == Kind::unauthorized;
    refused_ += refused;
    Client* client = find(session);
    if (refused || client) {
        control::AuditEvent event{refused ? AuditKind::refused : AuditKind::session_closed, session.peer().name, session.remote_address(),
                                  info.text};
        event.text = {{"kind", control::to_string(info.kind)}};
        audit_.write(event);
    }
    if (client) {
        base::log(LogLevel::info, kModule, "session with " + client->name + " closed: " + info.text);
        writer_.cancel(client->id);
        groups_.present(client->name, false);
        by_name_.erase(client->name);
        by_session_.erase(&session);
        clients_.erase(client->id);
        tell_presence_soon();
    }
}

// At once, whatever the stream still does.
void Service::drop(Client& client, control::proto::CloseCode code, const std::string& text)
{
    control::CloseInfo info{control::CloseInfo::Kind::closed_by_us, code, text};
    std::shared_ptr<Session> session = client.session;
    session->abandon(code, text);
    on_closed(*session, info);
}

Service::Client* Service::find(const Session& session)
{
    auto it = by_session_.find(&session);
    return it == by_session_.end() ? nullptr : it->second;
}

Service::Client* Service::find(uint64_t id)
{
    auto it = clients_.find(id);
    return it == clients_.end() ? nullptr : it->second.get();
}

bool Service::vn_allowed(Session& session, base::Vni vni, std::optional<base::Encap>)
{
    const Vn* vn = store_->find(vni);
    return vn && vn->members.contains(session.peer().name);
}

void Service::on_message(Session& session, const control::Envelope& message)
{
    Client* client = find(session);
    if (!client) {
        return;
    }
    switch (message.body_case()) {
    case control::Envelope::kDirectoryRequest:
        if (client->directory) {
            return session.close(control::proto::CLOSE_PROTOCOL_ERROR, "the directory was asked for before");
        }
        client->directory = directory_.subscribe(client->name, message.directory_request());
        return pump(*client);
    case control::Envelope::kMappingAnnounce: return on_announce(*client, message);
    case control::Envelope::kGroupRegister: return on_register(*client, message);
    case control::Envelope::kGroupRenew: return on_renew(*client, message);
    default: return;    // a Hello: the NVE asks for its groups again by itself
    }
}

void Service::on_writable(Session& session)
{
    if (Client* client = find(session)) {
        pump(*client);
    }
}

void Service::pump(Client& client)
{
    while (client.session->writable()) {
        if (client.outbox.empty() && client.directory) {
            std::vector<control::Envelope> messages = directory_.next(*client.directory);
            if (messages.empty()) {
                messages = groups_.next(client.groups, client.name, directory_, *client.directory);
            }
            client.outbox.assign(std::make_move_iterator(messages.begin()), std::make_move_iterator(messages.end()));
        }
        if (client.outbox.empty()) {
            return;
        }
        auto sent = client.session->send(std::move(client.outbox.front()));
        client.outbox.pop_front();
        if (!sent) {
            // Skipped, a step would be half a truth.
            base::log(LogLevel::error, kModule, "session with " + client.name + ": " + sent.error().text);
            return client.session->close(control::proto::CLOSE_TIMEOUT, "what there is to tell cannot be sent");
        }
    }
}

void Service::send(Client& client, control::Envelope message)
{
    if (client.outbox.size() >= kOutbox) {
        return client.session->close(control::proto::CLOSE_TIMEOUT, "the answers are not read");
    }
    client.outbox.push_back(std::move(message));
    pump(client);
}

// ---- View ----

ServiceView Service::view() const
{
    ServiceView view;
    if (credentials_.context()) {
        view.own_name = credentials_.context()->own_identity().name;
        view.own_not_after = credentials_.context()->own_identity().not_after;
        view.trust_ends = credentials_.context()->trust_ends();
    }
    view.listening = listener_ ? control::to_string(listener_->local_endpoint()) : "";
    for (const std::string* text : {&credentials_.problem(), &listen_problem_}) {
        if (!text->empty() && store_) {
            view.problems.push_back(*text);
        }
    }
    view.groups_enabled = groups_.enabled();
    view.refused = refused_;
    view.stale = stale_;
    if (lost_at_) {
        view.store_lost_seconds = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(clock_.now() - *lost_at_).count());
    }
    view.store = store_;
    view.groups = groups_.view();
    if (store_) {
        view.problems.insert(view.problems.end(), store_->problems.begin(), store_->problems.end());
        for (const auto& [vni, vn] : store_->vns) {
            view.versions[vni] = directory_.version(vni);
        }
    }
    for (const auto& [name, client] : by_name_) {
        const Session& session = *client->session;
        Session::Stats stats = session.stats();
        SessionView entry;
        entry.name = name;
        entry.address = session.remote_address();
        entry.tls = session.tls_summary();
        entry.age_seconds = static_cast<uint64_t>(
            std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - session.opened_at()).count());
        entry.ready = client->directory && client->directory->ready;
        const std::set<base::Vni>& networks = directory_.networks_of(name);
        entry.networks = networks.size();
        entry.behind = static_cast<size_t>(std::ranges::count_if(
            networks, [&](base::Vni vni) { return !client->directory || !directory_.is_current(*client->directory, vni); }));
        entry.policy_told = client->directory && directory_.has_policy(*client->directory);
        entry.queued = stats.queued + client->outbox.size();
        entry.pending = client->pending;
        entry.messages_in = stats.messages_in;
        entry.messages_out = stats.messages_out;
        entry.receive_throttled = stats.receive_throttled;
        entry.send_throttled = stats.send_throttled;
        entry.vn_refused = stats.vn_refused;
        entry.mappings = client->mappings;
        view.sessions.push_back(std::move(entry));
    }
    return view;
}

}  // namespace nvo3::nva
