// SPDX-License-Identifier: Apache-2.0
//
// The session with one of the NVAs of other_config:nvo3-nva.
//
// What it tells of networks goes into the directory, what it tells of groups to the
// handler; the text of the policy is kept as it comes.  It is told of this host's tenant system interfaces.
//
// Place: owned by overlay.cc.  Thread: the I/O thread.
#ifndef HVAGENT_NVA_CLIENT_H
#define HVAGENT_NVA_CLIENT_H

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/policy_text.h"
#include "hvagent/announcer.h"
#include "hvagent/config.h"
#include "hvagent/directory.h"
#include "hvagent/peer.h"
#include "hvagent/server_client.h"
#include "hvagent/view.h"
#include "hvagent/wake_timer.h"
#include "policy/policy.h"

namespace nvo3::agent {

class NvaHandler {
public:
    virtual ~NvaHandler() = default;
    // The directory has another snapshot.
    virtual void on_directory() = 0;
    // NvaClient::policy() is another text, or there is none any more.  After on_directory()
    // for the networks that were told before, before on_directory() says 'complete'.
    virtual void on_policy() = 0;
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

class NvaClient final : public ServerHandler {
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
    void check() { servers_.check(); }
    void rates_changed() { servers_.rates_changed(); }
    void switch_restarted(uint64_t switch_instance) { servers_.switch_restarted(switch_instance); }
    void stop();

    const Directory& directory() const { return directory_; }
    // The policy between networks, its text not looked at yet.  Null: none was told; as for
    // the directory, an NVA that goes away takes nothing along.
    std::shared_ptr<const control::PolicyText> policy() const { return policy_; }
    bool is_up() const { return servers_.session() != nullptr; }
    // ENOTCONN without a session.
    base::Result<uint64_t> send(control::Envelope message) { return servers_.send(std::move(message)); }

    std::map<std::string, std::string> refused_tsis() const { return announcer_.refused(); }
    std::map<Announcer::Key, Announcer::Answer> answers() const { return announcer_.answers(); }
    ServerView view() const { return servers_.view(); }
    std::vector<TsiView> tsis() const { return announcer_.view(); }

    // ServerHandler.
    void on_server_up(control::Session&) override;
    void on_server_down() override;
    void on_server_message(control::Session&, const control::Envelope&) override;
    // The NVA says which networks there are: none is shared with it.
    bool on_server_vn(base::Vni) override { return false; }
    void on_server_status() override { handler_.on_nva_status(); }

private:
    void on_directory_message(const control::Envelope&);
    void on_policy_message(const control::proto::PolicyUpdate&);
    // The session is of no more use.
    void broken(const std::string& why);
    void forget();
    void directory_changed();
    void flush_directory();
    void announce();

    PeerHost& host_;
    NvaHandler& handler_;
    Directory directory_;
    control::PolicyParts policy_parts_{policy::kMaxText};
    std::shared_ptr<const control::PolicyText> policy_;
    Announcer announcer_;
    ServerClient servers_;
    bool has_nvas_ = false;
    bool directory_dirty_ = false;
    WakeTimer directory_timer_, announce_timer_;
};

}  // namespace nvo3::agent
#endif
