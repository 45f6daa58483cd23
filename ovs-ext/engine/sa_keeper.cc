// SPDX-License-Identifier: Apache-2.0
//
// See sa_keeper.h.
#include "ovs-ext/engine/sa_keeper.h"

#include <climits>
#include <utility>

namespace nvo3::engine {
namespace {

using base::Error;
using base::Status;
using esp::ExpiryReason;
using esp::SaDirection;
using esp::SaRuntime;

// Often enough that a soft limit is told well before the hard one, rarely
// enough that a scan of very many SAs does not fill the main loop.
constexpr long long kScanIntervalMs = 200;
constexpr size_t kSasPerIntervalMs = 200;
// An SA past a hard limit refuses its packets under their own counter for so
// long, unless the agent replaces it; then it goes.
constexpr long long kEndedGraceMs = 10000;

constexpr ExpiryReason kReasons[] = {
    ExpiryReason::soft_packets, ExpiryReason::soft_bytes, ExpiryReason::hard_packets,
    ExpiryReason::hard_bytes, ExpiryReason::hard_seconds,
};

}  // namespace

Channel
channel_of(const SaRuntime& sa)
{
    return Channel{sa.of_group() ? sa.group() : sa.remote(), sa.encap(), sa.vni()};
}

SaKeeper::SaKeeper(const nvo3_host& host, PeerTable& peers, const esp::AeadLibrary& library)
    : host_(host), peers_(peers), library_(library), reclaimer_(host), sad_(reclaimer_)
{
}

SaRuntime::TimePoint
SaKeeper::now() const
{
    return SaRuntime::TimePoint(std::chrono::milliseconds(host_.now_ms()));
}

// ---- The agent's requests ----

Status
SaKeeper::install(const esp::SaConfig& config)
{
    auto made = SaRuntime::make(config, library_, now());
    if (!made) {
        return made.error();
    }
    Status status;
    if (config.direction == SaDirection::inbound) {
        status = sad_.add_inbound(std::move(*made));
    } else {
        const Peer* peer = peers_.index_of(config.remote);
        if (!peer) {
            return Error{ENOSPC, "no SA with " + config.remote.to_string() + ": the switch has "
                                 "met " + std::to_string(PeerTable::kMaxIndex) + " remote "
                                 "addresses, all it can know; restart it"};
        }
        status = sad_.set_outbound(peer->index, std::move(*made));
    }
    if (status) {
        ended_.erase({config.direction, {config.remote, config.encap, config.vni}, config.spi});
        touch();
    }
    return status;
}

bool
SaKeeper::remove(SaDirection direction, base::Spi spi, const Channel& channel)
{
    const Peer* peer = peers_.find(channel.remote);
    const bool there = direction == SaDirection::inbound
                           ? sad_.remove_inbound(spi, channel.remote)
                           : peer && sad_.remove_outbound(peer->index, channel.encap, channel.vni, spi);
    if (!there) {
        return false;
    }
    ended_.erase({direction, channel, spi});
    touch();
    return true;
}

void
SaKeeper::remove_peer(const base::IpAddress& remote)
{
    if (sad_.remove_peer(remote)) {
        touch();
    }
}

void
SaKeeper::remove_if(const Which& which)
{
    const auto told = [&](const SaRuntime& sa) {
        if (!which(sa)) {
            return false;
        }
        tell(sa, ExpiryReason::removed);
        return true;
    };
    if (sad_.remove_if(told)) {
        touch();
    }
}

// ---- Lifetimes ----

void
SaKeeper::tell(const SaRuntime& sa, ExpiryReason reason)
{
    expiring_.push_back({sa.direction(), sa.spi(), sa.remote(), sa.group(), sa.encap(), sa.vni(),
                         reason});
}

void
SaKeeper::look_at(SaRuntime& sa, long long now_ms)
{
    const uint32_t seconds = sa.limits().hard_seconds;
    if (seconds && now() - sa.created() >= std::chrono::seconds(seconds) && sa.alive()) {
        sa.expire();
    }
    const uint32_t events = sa.take_events();
    for (ExpiryReason reason : kReasons) {
        if (events & (1u << (static_cast<unsigned>(reason) - 1))) {
            tell(sa, reason);
        }
    }
    if (!sa.alive() && ended_.try_emplace(key_of(sa), now_ms).second) {
        touch();
    }
}

void
SaKeeper::retell()
{
    sad_.for_each([&](const SaRuntime& sa) {
        const esp::SaLimits& limits = sa.limits();
        if (!sa.alive()) {
            return;
        }
        if (limits.soft_packets && sa.packets() >= limits.soft_packets) {
            tell(sa, ExpiryReason::soft_packets);
        } else if (limits.soft_bytes && sa.bytes() >= limits.soft_bytes) {
            tell(sa, ExpiryReason::soft_bytes);
        }
    });
}

void
SaKeeper::run()
{
    const long long now_ms = host_.now_ms();
    if (now_ms < next_scan_ms_) {
        return;
    }
    sad_.for_each([&](SaRuntime& sa) { look_at(sa, now_ms); });

    bool due = false;
    for (const auto& [key, since] : ended_) {
        due = due || now_ms - since >= kEndedGraceMs;
    }
    if (due) {
        sad_.remove_if([&](const SaRuntime& sa) {
            const auto it = ended_.find(key_of(sa));
            return it != ended_.end() && !sa.alive() && now_ms - it->second >= kEndedGraceMs;
        });
        std::erase_if(ended_, [&](const auto& entry) { return now_ms - entry.second >= kEndedGraceMs; });
    }
    const size_t sas = sad_.inbound_size() + sad_.outbound_size();
    next_scan_ms_ = now_ms + kScanIntervalMs + static_cast<long long>(sas / kSasPerIntervalMs);
}

long long
SaKeeper::next_scan_ms() const
{
    return sad_.inbound_size() + sad_.outbound_size() ? next_scan_ms_ : LLONG_MAX;
}

// ---- What there is ----

std::vector<esp::msg::SaRecord>
SaKeeper::list(uint32_t request) const
{
    std::vector<esp::msg::SaRecord> records;
    records.reserve(sad_.inbound_size() + sad_.outbound_size());
    sad_.for_each([&](const SaRuntime& sa) {
        if (!sa.alive()) {
            return;
        }
        const auto age = std::chrono::duration_cast<std::chrono::seconds>(now() - sa.created());
        records.push_back({request, sa.direction(), sa.spi(), sa.remote(), sa.local(), sa.group(),
                           sa.encap(), sa.vni(), sa.cipher(), sa.esn(), sa.generation(),
                           sa.packets(), sa.bytes(), static_cast<uint32_t>(age.count())});
    });
    return records;
}

const std::map<Channel, SaKeeper::Count>&
SaKeeper::counts()
{
    if (std::exchange(counts_stale_, false)) {
        counts_.clear();
        sad_.for_each([&](const SaRuntime& sa) {
            if (sa.alive() && !sa.of_group()) {
                Count& count = counts_[channel_of(sa)];
                (sa.direction() == SaDirection::inbound ? count.in : count.out)++;
            }
        });
    }
    return counts_;
}

}  // namespace nvo3::engine
