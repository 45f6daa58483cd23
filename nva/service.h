// SPDX-License-Identifier: Apache-2.0
//
// Serves NVEs: admits those that the store knows, tells each what the directory and the
// groups have for it, takes their mappings.
//
// Back-pressure: an NVE is sent the next step only while the queue to it is short.  One that
// reads slowly costs that queue and a version number for each network, and delays nobody.
//
// Staleness: an NVA that is cut off from the store cannot know who has left a network since, or
// was revoked.  After a few seconds it sends its NVEs away, to other NVAs, and takes none before
// the store is back.
//
// Place: owned by nva.cc.  Thread: the I/O thread.
#ifndef NVA_SERVICE_H
#define NVA_SERVICE_H

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/audit.h"
#include "control/credentials.h"
#include "control/listener.h"
#include "control/session.h"
#include "nva/directory.h"
#include "nva/groups.h"
#include "nva/presence.h"
#include "nva/store_writer.h"
#include "nva/view.h"

namespace nvo3::nva {

class Service final : public control::SessionHandler {
public:
    struct Options {
        control::Endpoint listen;
        control::TlsFiles files;
        control::ControlLevel level = control::ControlLevel::standard;
        control::Rate handshakes_per_address{5, 20};
        size_t max_sessions = 4096;
        std::chrono::milliseconds stale_after{5000};    // without the store
        Directory::Limits directory;
    };

    // 'writer', 'audit' and 'clock' must outlive it.  'group_key': empty, no groups.  Idle, and
    // deaf, until the first apply().
    Service(boost::asio::io_context&, Options, base::Secret group_key, StoreWriter& writer, control::AuditLog& audit,
            const base::Clock& clock);
    ~Service() override;

    void apply(std::shared_ptr<const StoreView>);
    // Whether what was applied last is what the store has; at first it is.
    void set_store_fresh(bool fresh);
    // Reads certificates and revocation list again; the error says what is wrong with them.
    base::Status reload();
    // Says goodbye; the io_context runs out of work soon after.
    void stop();
    ServiceView view() const;
    // With the port that was given for port 0; only while it listens.
    std::optional<control::Endpoint> listening() const;

    // SessionHandler.
    base::Status admit(control::Session&) override;
    void on_open(control::Session&) override;
    bool vn_allowed(control::Session&, base::Vni, std::optional<base::Encap>) override;
    void on_message(control::Session&, const control::Envelope&) override;
    void on_vn_refused(control::Session&, const control::Envelope&) override;
    void on_writable(control::Session&) override;
    void on_closed(control::Session&, const control::CloseInfo&) override;

private:
    struct Client {
        uint64_t id = 0;                    // owner of what it writes
        std::string name;                   // fixed, as in its certificate
        std::shared_ptr<control::Session> session;
        std::optional<Directory::Subscriber> directory;     // from DirectoryRequest on
        Groups::Subscriber groups;
        // What the session has not taken yet: answers, and the rest of a step.
        std::deque<control::Envelope> outbox;
        size_t pending = 0;                 // changes submitted and not answered
        MappingCounters mappings;
    };

    void listen();
    base::Result<control::Listener::Accepted> accept();
    void poll();
    void credentials_changed(const control::ContextPtr& before);
    Client* find(const control::Session&);
    Client* find(uint64_t id);
    void go_stale();
    base::Status check_stale() const;
    void drop(Client&, control::proto::CloseCode, const std::string& text);
    // Sends what waits, and makes the next step when nothing does.
    void pump(Client&);
    void pump_members(const StoreView& before);
    void send(Client&, control::Envelope);
    void remove_strays();
    void tell_presence();
    void tell_presence_soon();
    // Whether the NVE has been away for so long that another may have what it held.
    bool may_be_taken_over(const std::string& nve) const;
    std::chrono::milliseconds taken_over_in(const std::string& nve) const;
    std::string holder(const PutMapping&) const;
    void report(const StoreView* before) const;
    void refuse(Client&, const control::Envelope&, const std::string& reason);
    void on_announce(Client&, const control::Envelope&);
    void on_register(Client&, const control::Envelope&);
    void on_renew(Client&, const control::Envelope&);
    void written(uint64_t client, uint64_t request, const PutMapping&, bool withdraw, const base::Status&);
    std::string mapping_limit(const Client&, const Vn&, const base::MacAddress&) const;
    void reply(Client&, uint64_t request, bool accepted, const std::string& reason, std::chrono::milliseconds retry_after = {});

    // Fixed.
    boost::asio::io_context& io_;
    const Options options_;
    StoreWriter& writer_;
    control::AuditLog& audit_;
    const base::Clock& clock_;
    const uint64_t instance_;
    const std::string self_;                // the same, in the store

    std::shared_ptr<const StoreView> store_;
    std::optional<std::chrono::steady_clock::time_point> lost_at_;      // the store was; empty: it is fresh
    bool stale_ = false;                    // for too long
    boost::asio::steady_timer stale_timer_;
    Directory directory_;
    Groups groups_;
    Presence presence_;
    std::set<std::string> telling_;         // NVEs and NVAs of whom the store is being told
    std::optional<std::chrono::steady_clock::time_point> beat_at_;      // the last
    control::Credentials credentials_;
    std::unique_ptr<control::Listener> listener_;
    std::string listen_problem_;
    std::map<uint64_t, std::unique_ptr<Client>> clients_;   // by id
    std::map<const control::Session*, Client*> by_session_;
    std::map<std::string, Client*> by_name_;
    uint64_t last_id_ = 0;
    std::set<Stray> removing_;
    uint64_t refused_ = 0;                  // connections and sessions
    boost::asio::steady_timer poll_timer_;
    bool stopping_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nvo3::nva
#endif
