// SPDX-License-Identifier: Apache-2.0
//
// Owner of the SAD: installs and removes SAs for the agent, watches their
// lifetimes.  SAs live in memory only and die with the process.
// Place: engine.  Threads: main; packet threads read sad().
#ifndef NVO3_ENGINE_SA_KEEPER_H
#define NVO3_ENGINE_SA_KEEPER_H

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "base/result.h"
#include "esp/aead.h"
#include "esp/sa.h"
#include "esp/sa_protocol.h"
#include "esp/sad.h"
#include "ovs-ext/api/nvo3_host.h"
#include "ovs-ext/engine/peers.h"
#include "ovs-ext/engine/ports.h"

namespace nvo3::engine {

Channel channel_of(const esp::SaRuntime& sa);

class SaKeeper {
public:
    struct Count {
        size_t in = 0;
        size_t out = 0;
    };
    using Which = std::function<bool(const esp::SaRuntime&)>;

    SaKeeper(const nvo3_host& host, PeerTable& peers, const esp::AeadLibrary& library);

    const esp::Sad& sad() const noexcept { return sad_; }

    // EEXIST: the inbound SPI is taken; EINVAL: no SA can be made of it; ENOTSUP:
    // the AEAD library lacks the cipher; ENOSPC: no peer index is left.
    base::Status install(const esp::SaConfig& config);
    // Whether there was one.
    bool remove(esp::SaDirection direction, base::Spi spi, const Channel& channel);
    // Those of the pair, not those of groups that 'remote' sends to.
    void remove_peer(const base::IpAddress& remote);
    // Those that 'which' names; tells of each as "removed".
    void remove_if(const Which& which);

    // Ends SAs that are past their time, tells of soft and hard limits.
    void run();
    // Tells again of soft limits that were reached before: for an agent that was
    // away then.
    void retell();
    // When run() has to look again; LLONG_MAX: never.
    long long next_scan_ms() const;
    // What run() and remove_if() have to tell the agent; empty afterwards.
    std::vector<esp::msg::SaExpiring> take_expiring() { return std::exchange(expiring_, {}); }

    // The live ones.
    std::vector<esp::msg::SaRecord> list(uint32_t request) const;
    // Of live SAs of pairs; counted anew only when the set has changed.
    const std::map<Channel, Count>& counts();
    // Whether the set of live SAs has changed since the last call.
    bool take_changed() { return std::exchange(changed_, false); }

private:
    // Peers choose the SPIs that we send with, so they may coincide.
    using Key = std::tuple<esp::SaDirection, Channel, base::Spi>;
    static Key key_of(const esp::SaRuntime& sa) { return {sa.direction(), {sa.remote(), sa.encap(), sa.vni()}, sa.spi()}; }

    // Lent to the SAD: OVS's RCU decides when an SA is destroyed.
    class HostReclaimer final : public esp::Reclaimer {
    public:
        explicit HostReclaimer(const nvo3_host& host) : host_(host) {}
        void retire(void* p, void (*destroy)(void*)) override { host_.retire(destroy, p); }

    private:
        const nvo3_host& host_;
    };

    esp::SaRuntime::TimePoint now() const;
    void tell(const esp::SaRuntime& sa, esp::ExpiryReason reason);
    void look_at(esp::SaRuntime& sa, long long now_ms);
    void touch() { changed_ = counts_stale_ = true; }

    const nvo3_host& host_;
    PeerTable& peers_;
    const esp::AeadLibrary& library_;
    HostReclaimer reclaimer_;
    esp::Sad sad_;

    long long next_scan_ms_ = 0;
    std::map<Key, long long> ended_;        // past a hard limit, and since when
    std::vector<esp::msg::SaExpiring> expiring_;
    std::map<Channel, Count> counts_;
    bool counts_stale_ = false;
    bool changed_ = false;
};

}  // namespace nvo3::engine

#endif
