// SPDX-License-Identifier: Apache-2.0
//
// What an NVA has told this host: the virtual networks that it serves, with
// their members and mappings.
//
// A pure state machine: VnUpdate, VnGone and DirectoryReady of control.proto go in,
// immutable snapshots come out.  An NVA that goes away takes nothing along.
//
// Place: fed by nva_client.cc; snapshots go to peers.cc (who the peers are),
// groups.cc and, on the OVS thread, vn_pipeline.cc.  Thread: Directory on the
// I/O thread; snapshots any.
#ifndef HVAGENT_DIRECTORY_H
#define HVAGENT_DIRECTORY_H

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/mac_address.h"
#include "base/result.h"
#include "control/authorization.h"
#include "esp/cipher.h"

namespace nvo3::agent {

struct VnMapping {
    std::vector<base::IpAddress> addresses;     // of the interface, sorted
    std::string nve;
    bool operator==(const VnMapping&) const = default;
};

struct VnView {
    base::Vni vni{0};
    std::string name;
    base::Encap encap{};
    esp::Cipher cipher{};
    std::vector<base::IpAddress> groups;                                // underlay multicast; empty: none
    std::map<std::string, std::vector<base::IpAddress>> members;        // name, underlay addresses; this host too
    std::map<base::MacAddress, VnMapping> mappings;                     // this host's too
    // The member that has all interfaces which are not here and not in 'mappings': a
    // hypervisor's external NVE.  Empty: none.
    std::string uplink;
    bool operator==(const VnView&) const = default;
};

struct DirectoryView {
    // All that this host serves is in it.  Before, and while no NVA could be
    // reached since this process started, what is missing may exist all the same:
    // nothing must be removed on its account.
    bool complete = false;
    std::map<base::Vni, std::shared_ptr<const VnView>> vns;

    const VnView* find(base::Vni vni) const
    {
        auto it = vns.find(vni);
        return it == vns.end() ? nullptr : it->second.get();
    }
};

class Directory {
public:
    // What the NVA is asked for: all since these versions.  After session_up().
    control::proto::DirectoryRequest request() const;

    // A session with an NVA process begins (Hello.agent_instance).  Networks of
    // another process stay until that one has told its own.
    void session_up(uint64_t nva_instance);

    // True if the snapshot has changed.  EPROTO, with a sentence, for a message that
    // does not fit what came before, or for more than a host can take: the session
    // is of no more use, what was told until then stays.
    base::Result<bool> on_update(const control::proto::VnUpdate&);
    bool on_gone(const control::proto::VnGone&);
    bool on_ready();
    // No NVA is configured any more: all is forgotten.
    void clear();

    // Made when it is asked for: ask once for many messages.
    std::shared_ptr<const DirectoryView> snapshot() const;

    // More is refused: no confused NVA shall take this host's memory.
    static constexpr size_t kMaxVns = 4096, kMaxMembers = 4096, kMaxMappings = 131072;

private:
    struct Vn {
        VnView state;
        mutable std::shared_ptr<const VnView> view;     // of 'state'; null: to be made
        uint64_t version = 0;
        // Told by the process that the session is with, or was.
        bool told = false;
    };
    struct Step {               // of which not all parts have come
        std::vector<control::proto::VnUpdate> parts;
        size_t entries = 0;
    };

    base::Status begin(const control::proto::VnUpdate&);
    base::Result<bool> adopt(const std::vector<control::proto::VnUpdate>& parts);

    uint64_t nva_instance_ = 0;
    std::map<base::Vni, Vn> vns_;
    std::optional<Step> step_;
    bool complete_ = false;
    mutable std::shared_ptr<const DirectoryView> snapshot_ = std::make_shared<const DirectoryView>();     // null: to be made
};

}  // namespace nvo3::agent
#endif
