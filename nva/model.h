// SPDX-License-Identifier: Apache-2.0
//
// The store's contents as checked, immutable values.  A network that has not changed is the
// same object in two views that follow each other: comparing pointers tells what is new.
//
// Place: made by store_model.cc from database rows; read by directory.cc, groups.cc and
// service.cc.  Thread: values; once published, any.
#ifndef NVA_MODEL_H
#define NVA_MODEL_H

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/mac_address.h"
#include "control/group_keying.h"
#include "esp/cipher.h"
#include "nva/network_policy.h"

namespace nvo3::nva {

// ---- Rows as they are in the database ----

namespace raw {

struct Nve {
    std::string name;
    std::vector<std::string> addresses;
    bool revoked = false;
    std::string session;            // instance of the NVA that it has one with; empty: none
};
struct Nva {
    std::string instance;
    int64_t beat = 0;
};
struct Vn {
    std::string name;
    uint32_t vni = 0;
    std::string encap, cipher;
};
struct Member {
    uint32_t vni = 0;
    std::string nve;
};
struct Mapping {
    uint32_t vni = 0;
    std::string mac;
    std::vector<std::string> addresses;
    std::string nve;
};
struct Group {
    uint32_t vni = 0;
    std::string address;
    uint32_t epoch = 0;
    std::string nonce;
    int64_t started = 0;
    std::vector<std::string> told;
};
struct Sender {
    uint32_t vni = 0;
    std::string group, nve;
    uint32_t epoch = 0;
    std::string sender_id;
    uint32_t spi = 0;
};
struct Policy {
    std::string text;
    int64_t version = 0;
    bool operator==(const Policy&) const = default;
};

}  // namespace raw

// ---- What the NVA works with ----

struct Nve {
    std::vector<base::IpAddress> addresses;     // sorted
    bool revoked = false;
    bool operator==(const Nve&) const = default;
};

struct Mapping {
    std::vector<base::IpAddress> addresses;     // sorted
    std::string nve;                            // a member
    bool operator==(const Mapping&) const = default;
};

struct Sender {
    uint32_t epoch = 0;
    std::array<uint8_t, control::kSenderIdSize> sender_id{};
    base::Spi spi;
    bool operator==(const Sender&) const = default;
};

struct Group {
    uint32_t epoch = 0;                         // 0: none was begun
    std::array<uint8_t, control::kGroupNonceSize> nonce{};
    bool nonce_unreadable = false;              // the epoch has no secret: the next one begins
    int64_t started = 0;                        // milliseconds since 1970
    std::set<std::string> told;                 // who may know the epoch's secret
    std::map<std::string, Sender> senders;      // by NVE; of this epoch, members only
    bool operator==(const Group&) const = default;
};

struct Vn {
    base::Vni vni{0};
    std::string name;
    base::Encap encap{};
    esp::Cipher cipher{};
    std::map<std::string, std::vector<base::IpAddress>> members;    // none that is revoked
    std::map<base::MacAddress, Mapping> mappings;                   // of members only
    std::map<base::IpAddress, Group> groups;
    bool operator==(const Vn&) const = default;
};

// NVO3_Global other_config.
struct Settings {
    uint64_t control_rate = 200, control_burst = 400;
    uint64_t max_mappings_per_nve = 1024, max_mappings_per_vn = 65536;
    uint64_t takeover_seconds = 15;         // 0: never
    uint64_t group_rekey_seconds = 3600, group_activation_ms = 500, group_removal_ms = 1000;
    bool operator==(const Settings&) const = default;
};

// A mapping of an NVE that does not serve the network (any more): to be removed.
struct Stray {
    base::Vni vni{0};
    std::string mac, nve;       // as in the row
    auto operator<=>(const Stray&) const = default;
};

struct StoreView {
    Settings settings;
    using Nves = std::map<std::string, Nve>;
    std::shared_ptr<const Nves> nves;           // those that are revoked too
    std::map<base::Vni, std::shared_ptr<const Vn>> vns;
    std::shared_ptr<const NetworkPolicy> policy;        // the last that was good; null: none was
    std::string policy_error;                   // why the present one is not; one of 'problems'
    // Who has a session with which NVA, and how often each of those has said that it lives.
    using Sessions = std::map<std::string, std::string>;
    std::shared_ptr<const Sessions> sessions = std::make_shared<const Sessions>();
    std::map<std::string, int64_t> nvas;
    std::vector<Stray> strays;
    std::vector<std::string> problems;          // sentences about rows that are of no use

    const Vn* find(base::Vni vni) const
    {
        auto it = vns.find(vni);
        return it == vns.end() ? nullptr : it->second.get();
    }
    const Nve* find_nve(const std::string& name) const      // null: unknown or revoked
    {
        auto it = nves->find(name);
        return it == nves->end() || it->second.revoked ? nullptr : &it->second;
    }
    std::string session_of(const std::string& name) const   // instance of an NVA, dead or alive; empty: none
    {
        auto it = sessions->find(name);
        return it == sessions->end() ? "" : it->second;
    }
};

}  // namespace nvo3::nva
#endif
