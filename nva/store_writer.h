// SPDX-License-Identifier: Apache-2.0
//
// What the NVA writes to the store, and who takes it.
//
// Place: between service.cc and groups.cc (I/O thread), which submit, and store_feed.cc (OVS
// thread), which writes; a double in tests.  Thread: values; StoreWriter on the I/O thread.
#ifndef NVA_STORE_WRITER_H
#define NVA_STORE_WRITER_H

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/mac_address.h"
#include "base/result.h"

namespace nvo3::nva {

struct PutMapping {
    base::Vni vni{0};
    std::string nve;
    base::MacAddress mac;
    std::vector<base::IpAddress> addresses;
    // The NVE, if any, that it may be taken from, as long as its session is still that one
    // (StoreView::session_of()).
    std::string from, from_session;
};

// An NVE has a session with this process of an NVA ('instance'); 'ends': no longer.
struct PutSession {
    std::string nve, instance;
    bool ends = false;
};

// The process lives; 'dead': its row goes.
struct NvaBeat {
    std::string instance;
    bool dead = false;
};

struct DropMapping {
    base::Vni vni{0};
    std::string nve;            // does nothing if the mapping is another's
    std::string mac;
};

struct StartEpoch {
    base::Vni vni{0};
    base::IpAddress group;
    uint32_t epoch_now = 0;     // the one before
    int64_t epoch = 0;          // the new one; above 32 bits the store refuses it
    std::array<uint8_t, 16> nonce{};
    int64_t started = 0;
    std::vector<std::string> told;
};

struct AddTold {
    base::Vni vni{0};
    base::IpAddress group;
    uint32_t epoch = 0;
    std::vector<std::string> nves;
};

struct PutSender {
    base::Vni vni{0};
    base::IpAddress group;
    uint32_t epoch = 0;
    std::string nve;
    std::array<uint8_t, 16> sender_id{};
    base::Spi spi;
};

using StoreChange = std::variant<PutMapping, DropMapping, PutSession, NvaBeat, StartEpoch, AddTold, PutSender>;

// Whatever a MappingAnnounce says of 'migration': with nothing to prove the move, the flag
// would let any member have any interface's packets.
inline std::string mac_is_held_by(const std::string& nve)
{
    return "the MAC address is held by '" + nve + "': withdraw it there first; moving an interface needs the migration support that is not there yet";
}

class StoreWriter {
public:
    // On the I/O thread.  EEXIST: the MAC is another NVE's (the text has its name), or the
    // SPI is taken; ENOENT, EPERM, ESTALE: see store.h; EIO: the store refused, and why;
    // EAGAIN, ECANCELED: see change_queue.h, answered in the call.
    using Done = std::function<void(const base::Status&)>;

    virtual ~StoreWriter() = default;
    // Changes of one row by one owner are made in order.
    virtual void submit(uint64_t owner, StoreChange, Done) = 0;
    // The owner is gone: what it has submitted and is not on its way yet is not done, nor
    // answered.  Else what a session wanted could be done after what the same NVE wants now,
    // through another NVA.
    virtual void cancel(uint64_t owner) = 0;
};

}  // namespace nvo3::nva
#endif
