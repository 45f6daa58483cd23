// SPDX-License-Identifier: Apache-2.0
//
// The agent's state as plain values, for ovs-appctl and Interface status.  Holds no key.
//
// Place: filled by peer_view.cc and peers_view.cc on the I/O thread, rendered by show.cc on
// the OVS thread.  Thread: immutable once published.
#ifndef HVAGENT_VIEW_H
#define HVAGENT_VIEW_H

#include <chrono>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "base/mac_address.h"
#include "control/identity.h"
#include "hvagent/directory.h"
#include "hvagent/keying.h"
#include "hvagent/network_view.h"
#include "hvagent/split/throttle.h"

namespace nvo3::control {
class Session;
}

namespace nvo3::agent {

struct SessionView {
    std::string tls;                // cipher suite and group
    bool initiator = false;
    TimePoint opened;
    std::string peer_role;
    uint64_t messages_in = 0, messages_out = 0;
    uint64_t receive_throttled = 0, send_throttled = 0;
};

// Of an open session.
SessionView view_of(const control::Session&);

struct PeerView {
    std::string name;               // as authenticated; else as configured; else the address
    base::IpAddress remote;
    std::string state;              // up, connecting, waiting, error
    std::string error;              // a sentence; empty: none
    bool psk = false;
    std::vector<std::string> ports;
    std::optional<SessionView> session;     // of the newest open one
    std::optional<SessionView> control;     // that of the control channel, with a hypervisor or of one
    uint64_t sessions = 0;          // opened since the agent started
    uint64_t rekeys = 0;            // SAs that took the place of one
    std::vector<ChannelView> channels;
};

// One entry of other_config:nvo3-nva, or nvo3-nve.
struct ServerEndpointView {
    std::string endpoint;           // address and port
    std::string name;               // as it was authenticated last; empty: never
    bool in_use = false;
    std::string error;              // why not, a sentence; empty: not tried
};
struct ServerView {
    std::vector<ServerEndpointView> list;
    std::optional<SessionView> session;
    uint64_t sessions = 0;          // opened since the agent started
};

// An underlay multicast address of a network.
struct GroupId {
    base::Vni vni{0};
    base::IpAddress address;
    auto operator<=>(const GroupId&) const = default;
};
std::string to_string(const GroupId&);

struct GroupView {
    GroupId id;
    uint32_t epoch = 0;             // 0: no key was told yet
    esp::Cipher cipher{};
    std::vector<std::string> senders;       // whose SAs the switch has, of this epoch; sorted
    size_t former = 0;              // SAs of former epochs or senders, for packets under way
    base::Spi spi{0};               // that this host sends with; 0: none
    std::string state;              // "sending", "activating", "waiting"
    std::string error;              // a sentence; empty: none
};

// A tenant system interface.
struct TsiView {
    std::string port;
    std::string vn;                 // as configured
    std::optional<base::Vni> vni;   // if the directory has it
    base::MacAddress mac;
    std::vector<base::IpAddress> addresses;
    // "announced", "waiting", "refused", "elsewhere"; on a hypervisor "active",
    // "associated", "waiting", "refused".
    std::string state;
    std::string reason;             // a sentence; empty: none
    std::string id, vm, run;        // on a hypervisor: of the TSI, name of the VM, to_string(VmRun)
};

// A hypervisor of this external NVE.
struct HypervisorView {
    std::string name;               // of its certificate
    base::IpAddress address;
    std::optional<SessionView> session;     // for control
    bool settled = false;           // has told all that it has, since this agent started
    std::string error;              // why there is no session, a sentence; empty: none was tried
    std::vector<base::Vni> networks;        // that it is connected to
    uint64_t messages = 0, refused = 0, slow_downs = 0, cut_off = 0;
    struct Interface {
        std::string tsi, vm;
        base::Vni vni{0};
        base::MacAddress mac;
        std::vector<base::IpAddress> addresses;     // of an active one that it uses; empty: any
        std::string state;          // "associated", "active"
        std::string reason;         // why it gets no packets, a sentence; empty: it does
    };
    std::vector<Interface> tsis;
};

struct AgentView {
    TimePoint now;
    bool switch_up = false;
    std::string switch_problem;
    std::string switch_aead;
    std::string own_name;           // of our certificate; empty: none
    std::optional<std::chrono::system_clock::time_point> own_not_after;     // of our certificate
    control::TrustEnds trust_ends;
    std::string credentials_problem;
    std::string listen_problem;
    std::vector<Problem> problems;  // of the configuration
    std::vector<PeerView> peers;
    uint64_t control_rate = 0, control_burst = 0;
    ServerView nva;
    std::vector<std::string> directory_problems;    // of what the NVA told
    std::vector<std::string> multicast_problems;    // of joining underlay groups
    std::shared_ptr<const NetworkView> networks = std::make_shared<const NetworkView>();
    std::vector<GroupView> groups;
    std::vector<TsiView> tsis;
    // Of a hypervisor.
    bool is_hypervisor = false;
    ServerView nve;
    ThrottleView throttle;
    std::string libvirt_problem;    // a sentence; empty: it can be asked, or is not wanted
    std::vector<std::string> tsi_problems;          // of interfaces that the NVE is not told of
    std::vector<HypervisorView> hypervisors;
    uint64_t hypervisor_rate = 0;
};

// What Interface status shows of a port.
struct PortState {
    std::string state, peer, error;
    bool operator==(const PortState&) const = default;
};

}  // namespace nvo3::agent
#endif
