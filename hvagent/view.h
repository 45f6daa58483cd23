// SPDX-License-Identifier: Apache-2.0
//
// The agent's state as plain values, for ovs-appctl and Interface status.  Holds no key.
//
// Place: filled by peer_view.cc and peers_view.cc on the I/O thread, rendered by show.cc on
// the OVS thread.  Thread: immutable once published.
#ifndef HVAGENT_VIEW_H
#define HVAGENT_VIEW_H

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "hvagent/keying.h"

namespace nvo3::agent {

struct SessionView {
    std::string tls;                // cipher suite and group
    bool initiator = false;
    TimePoint opened;
    std::string peer_role;
    uint64_t messages_in = 0, messages_out = 0;
    uint64_t receive_throttled = 0, send_throttled = 0;
};

struct PeerView {
    std::string name;               // as authenticated; else as configured; else the address
    base::IpAddress remote;
    std::string state;              // up, connecting, waiting, error
    std::string error;              // a sentence; empty: none
    bool psk = false;
    std::vector<std::string> ports;
    std::optional<SessionView> session;     // of the newest open one
    uint64_t sessions = 0;          // opened since the agent started
    std::vector<ChannelView> channels;
};

struct AgentView {
    TimePoint now;
    bool switch_up = false;
    std::string switch_problem;
    std::string switch_aead;
    std::string own_name;           // of our certificate; empty: none
    std::string credentials_problem;
    std::string listen_problem;
    std::vector<Problem> problems;  // of the configuration
    std::vector<PeerView> peers;
    uint64_t control_rate = 0, control_burst = 0;
};

// What Interface status shows of a port.
struct PortState {
    std::string state, peer, error;
    bool operator==(const PortState&) const = default;
};

}  // namespace nvo3::agent
#endif
