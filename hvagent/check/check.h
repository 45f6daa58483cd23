// SPDX-License-Identifier: Apache-2.0
//
// hvagent --check: looks at all that has to be right before and beside the agent, and
// changes nothing.
//
// Place: run.cc, used by main.cc, brings the parts together; the parts need no OVS.
// Thread: the only one, but reach_all() makes some.
#ifndef HVAGENT_CHECK_CHECK_H
#define HVAGENT_CHECK_CHECK_H

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/credentials.h"
#include "hvagent/check/facts.h"
#include "hvagent/check/finding.h"
#include "hvagent/config.h"

namespace nvo3::agent {

// Reads the configuration from 'database', prints what it finds to stdout, one line each.  The
// exit status: 1 if something fails.
int run_checks(const std::string& database);

// ---- The parts ----

// Sockets of 'rundir' and its rights; the switch that runs; kernel and CPU.
void check_host(const Facts&, const std::string& rundir, Findings&);
// What a kernel interface below a protected bridge must not have.
void check_uplinks(const Facts&, const Config&, Findings&);

// The policy between networks, if it is of a file.
void check_policy(const Config&, Findings&);

// Clock, certificate, key, CA, revocation list, pre-shared keys.  What a peer or server is then met with:
struct Identity {
    control::ContextPtr certificates;                       // null: none, or they cannot be used
    std::map<std::string, control::ContextPtr> psk;         // by Tunnel::psk
};
Identity check_credentials(const Config&, const base::Clock&, Findings&);

// A daemon that this host must be able to talk to.
struct Target {
    std::string thing;                  // "peer 192.0.2.2:6652"
    base::IpAddress remote, local;      // local unspecified: any
    uint16_t port = 0;
    control::ContextPtr context;        // null: TCP alone
    control::Role role = control::Role::nve;
    std::string name;                   // that its certificate must have; empty: any
};
std::vector<Target> targets_of(const Config&, const Identity&);
// Calls each, up to its certificate: what is proved of this host is not sent, so that a session that
// lives is not disturbed.  At most some seconds in all.
void reach_all(const std::vector<Target>&, Findings&);

// What VMs may send, against what fits the underlay.
struct Underlay {
    std::string to;                     // a peer
    size_t mtu = 0;                     // of the way there, as the kernel has it; 0: no way
    bool ipv6 = false;
    base::Encap encap = base::Encap::geneve;
    esp::Cipher cipher = esp::Cipher::aes128gcm;
};
std::vector<Underlay> underlays_of(const Config&);
void check_mtu(const Facts&, const Config&, const std::vector<Underlay>&, Findings&);

}  // namespace nvo3::agent
#endif
