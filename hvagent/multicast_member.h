// SPDX-License-Identifier: Apache-2.0
//
// This host's membership in underlay multicast groups: kernel sockets that join, so
// that the kernel speaks IGMP or MLD through the port of the bridge that has our
// underlay address.  Nothing is ever received here: the packets are the switch's.
//
// Place: owned by overlay.cc.  Thread: the I/O thread; nothing blocks.
#ifndef HVAGENT_MULTICAST_MEMBER_H
#define HVAGENT_MULTICAST_MEMBER_H

#include <map>
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace nvo3::agent {

class MulticastMember {
public:
    // On the interface that has 'local'.  What fails is a problem and tried again by
    // refresh().
    void join(const base::IpAddress& group, const base::IpAddress& local);
    void leave(const base::IpAddress& group);
    // Interfaces come, go and change their numbers: joins again where that is needed.
    // True if problems() are others.
    bool refresh();

    // Sentences.
    std::vector<std::string> problems() const;

private:
    struct Membership {
        base::IpAddress local;
        unsigned interface = 0;     // index; 0: not joined
        base::UniqueFd socket;      // the membership ends with it
        std::string problem;
    };

    static void settle(const base::IpAddress& group, Membership&, const std::map<base::IpAddress, unsigned>& interfaces);

    std::map<base::IpAddress, Membership> groups_;
};

}  // namespace nvo3::agent
#endif
