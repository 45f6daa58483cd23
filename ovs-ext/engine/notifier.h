// SPDX-License-Identifier: Apache-2.0
//
// Turns the notices of packet threads into messages for the agent and lines in
// the log, at most one a second for each channel (acquire) or each peer and
// reason (alarm).  The filter of the packet threads does most of that; this is
// exact.
// Place: engine.  Threads: main.
#ifndef NVO3_ENGINE_NOTIFIER_H
#define NVO3_ENGINE_NOTIFIER_H

#include <cstdint>
#include <map>
#include <tuple>

#include "ovs-ext/api/nvo3_host.h"
#include "ovs-ext/engine/agent_socket.h"
#include "ovs-ext/engine/notices.h"
#include "ovs-ext/engine/peers.h"
#include "ovs-ext/engine/ports.h"

namespace nvo3::engine {

class Notifier {
public:
    // 'global' counts refused packets of no peer.
    Notifier(const nvo3_host& host, const PeerTable& peers, const PortTable& ports,
             const Counters& global, AgentSocket& agent)
        : host_(host), peers_(peers), ports_(ports), global_(global), agent_(agent) {}

    // Takes all notices that are there.
    void run(NoticeQueue& notices);

private:
    struct Seen {
        long long at_ms = 0;
        uint64_t count = 0;     // of the counter, when it was last told
    };
    using AlarmKey = std::tuple<uint16_t, base::Encap, esp::DropReason>;

    void acquire(const Notice& notice, long long now_ms);
    void alarm(const Notice& notice, long long now_ms);
    void log_alarm(const esp::msg::Alarm& alarm, long long now_ms);
    void forget_old(long long now_ms);

    const nvo3_host& host_;
    const PeerTable& peers_;
    const PortTable& ports_;
    const Counters& global_;
    AgentSocket& agent_;

    std::map<Channel, long long> acquires_;     // when last asked for
    std::map<AlarmKey, Seen> alarms_;           // bounded by peers and reasons
    long long forgot_ms_ = 0;
    long long log_second_ = 0;
    int logged_ = 0;                            // lines in that second
};

}  // namespace nvo3::engine

#endif
