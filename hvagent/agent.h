// SPDX-License-Identifier: Apache-2.0
//
// The agent: an I/O thread with all peers, fed by the OVS thread.  The two share
// immutable values only: configurations go one way, views the other.
//
// Place: made by main.cc.  Thread: all functions on the OVS thread, with_hypervisor() on any.
#ifndef HVAGENT_AGENT_H
#define HVAGENT_AGENT_H

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/snapshot.h"
#include "control/audit.h"
#include "daemon/io_thread.h"
#include "hvagent/config.h"
#include "hvagent/network_view.h"
#include "hvagent/peers.h"
#include "hvagent/view.h"

namespace nvo3::agent {

class Agent {
public:
    struct Options {
        std::string sa_socket;
        std::string audit_log;      // empty: none but the ring
        SessionTiming timing;
        // Called on the I/O thread when networks() is another; must not block.
        std::function<void()> on_networks;
    };

    // Starts the I/O thread; after daemonising.  Fails if the audit log cannot be
    // opened.
    static base::Result<std::unique_ptr<Agent>> start(Options, const base::Clock& = base::system_clock());
    // Says goodbye to the peers and ends the thread; at most about two seconds.
    ~Agent();

    // The database's contents; never blocks.
    void configure(const RawConfig&);
    // What configure() made of it; null before.
    std::shared_ptr<const Config> config() const { return config_; }
    // The newest that the I/O thread has published; never null.
    std::shared_ptr<const NetworkView> networks() const { return networks_.get(); }

    // Each waits for the I/O thread, at most five seconds.
    base::Result<std::shared_ptr<const AgentView>> view();
    base::Status rekey(const std::string& peer);
    base::Status reload();

    // Tells of virtual machines: runs 'work' on the I/O thread, soon.  From any thread;
    // nothing is run once the agent ends.
    void with_hypervisor(std::function<void(Hypervisor&)> work);

    control::AuditLog& audit() { return *audit_; }

private:
    Agent(Options, std::unique_ptr<control::AuditLog>, const base::Clock&);

    Peers::PublishNetworks publisher(std::function<void()> on_networks);

    std::unique_ptr<control::AuditLog> audit_;
    std::shared_ptr<const Config> config_;      // OVS thread: the last one made
    base::Snapshot<NetworkView> networks_{std::make_shared<const NetworkView>()};   // set on the I/O thread
    daemon::IoThread thread_;
    std::unique_ptr<Peers> peers_;              // I/O thread
};

}  // namespace nvo3::agent
#endif
