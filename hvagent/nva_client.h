// SPDX-License-Identifier: Apache-2.0
//
// The session with one of the NVAs of other_config:nvo3-nva.
//
// The first of the list that answers is used, for as long as it works; when it goes
// all are tried again, from the first on.  What it tells of networks goes into the
// directory, what it tells of groups to the handler.  It is told of this host's tenant
// system interfaces.
//
// Place: owned by overlay.cc.  Thread: the I/O thread.
#ifndef HVAGENT_NVA_CLIENT_H
#define HVAGENT_NVA_CLIENT_H

#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/connector.h"
#include "control/session.h"
#include "hvagent/announcer.h"
#include "hvagent/config.h"
#include "hvagent/directory.h"
#include "hvagent/peer.h"
#include "hvagent/view.h"

namespace nvo3::agent {

class NvaHandler {
public:
    virtual ~NvaHandler() = default;
    // The directory has another snapshot.
    virtual void on_directory() = 0;
    // What was agreed before is not asked for again; requests under way are lost.
    virtual void on_nva_up() = 0;
    virtual void on_nva_down() = 0;
    // About groups of networks that the directory has.
    virtual void on_group_key(const control::proto::GroupKey&) = 0;
    virtual void on_group_grant(uint64_t in_reply_to, const control::proto::GroupGrant&) = 0;
    virtual void on_group_renewed(uint64_t in_reply_to, const control::proto::GroupRenewed&) = 0;
    // The state that commands show has changed, or an announcement was refused.
    virtual void on_nva_status() = 0;
};

class NvaClient final : public control::SessionHandler {
public:
    // Both must outlive it.  Idle until configure().
    NvaClient(PeerHost&, NvaHandler&);
    ~NvaClient() override;

    // 'nvas' in order of preference.  Without any the directory is forgotten.
    void configure(const std::vector<Endpoint>& nvas, const std::vector<Tsi>& tsis);
    // This host's certificate or the revocation lists are others; 'renew': the
    // certificate is.  'renamed': what was told is another host's.
    void context_changed(bool renew, bool renamed);
    // Time has passed: certificates may have ended.
    void check();
    void rates_changed();
    void switch_restarted(uint64_t switch_instance);
    void stop();

    const Directory& directory() const { return directory_; }
    bool is_up() const { return current_ != nullptr; }
    // ENOTCONN without a session.
    base::Result<uint64_t> send(control::Envelope);

    std::map<std::string, std::string> refused_tsis() const { return announcer_.refused(); }
    NvaView view() const;
    std::vector<TsiView> tsis() const { return announcer_.view(); }

    // SessionHandler.
    base::Status admit(control::Session&) override;
    void on_open(control::Session&) override;
    // The NVA says which networks there are: none is shared with it.
    bool vn_allowed(control::Session&, base::Vni, std::optional<base::Encap>) override { return false; }
    void on_message(control::Session&, const control::Envelope&) override;
    void on_vn_refused(control::Session&, const control::Envelope&) override {}
    void on_closed(control::Session&, const control::CloseInfo&) override;

private:
    struct Nva {
        Endpoint endpoint;
        std::unique_ptr<control::Connector> connector;
        std::shared_ptr<control::Session> session;      // in handshake or open
        std::string name;               // as it proved it last; empty: never
        std::string error;
    };

    Nva* nva_of(const control::Session&);
    std::string label(const Nva&) const;
    void search();
    void arm_search();
    void connected(Nva&, boost::asio::ip::tcp::socket);
    void failed(Nva&, const std::string& reason);
    void close(Nva&, control::proto::CloseCode, const std::string& reason);
    void drop(Nva&);
    base::Status check_identity(const control::PeerIdentity&) const;
    void on_directory_message(const control::Envelope&);
    void directory_changed();
    void flush_directory();
    void announce();

    PeerHost& host_;
    NvaHandler& handler_;
    Directory directory_;
    Announcer announcer_;
    std::vector<std::unique_ptr<Nva>> nvas_;
    Nva* current_ = nullptr;            // whose session is open
    bool stopped_ = false;
    bool directory_dirty_ = false;
    uint64_t sessions_ = 0;             // opened since the agent started
    boost::asio::steady_timer search_timer_, directory_timer_, announce_timer_;
    // Handlers of the timers find out whether this object is still there.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nvo3::agent
#endif
