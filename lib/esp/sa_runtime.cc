// SPDX-License-Identifier: Apache-2.0
//
// See sa_runtime.h.
#include "esp/sa_runtime.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace nvo3::esp {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

// The last usable number (RFC 4303 section 3.3.3: it must not cycle).  With ESN
// one is kept back, so that last + 1 is a number too.
constexpr uint64_t
last_sequence_of(bool esn) noexcept
{
    return esn ? kUnlimited - 1 : 0xffffffff;
}

constexpr uint64_t
or_unlimited(uint64_t limit) noexcept
{
    return limit ? limit : kUnlimited;
}

// A limit that was not asked for still warns in time for a rekey.
constexpr uint64_t
soft_limit(uint64_t soft, uint64_t hard) noexcept
{
    return soft ? std::min(soft, hard) : hard / 4 * 3;
}

}  // namespace

base::Result<std::unique_ptr<SaRuntime>>
SaRuntime::make(const SaConfig& config, const AeadLibrary& library, TimePoint now)
{
    if (base::Status status = validate(config); !status) {
        return status.error();
    }
    std::unique_ptr<Aead> aead = library.make(config.cipher, config.key);
    if (!aead) {
        return base::Error{ENOTSUP, std::string("the crypto library ") + library.name()
                                        + " has no " + to_string(config.cipher)
                                        + ": use another cipher"};
    }
    return std::unique_ptr<SaRuntime>(new SaRuntime(config, std::move(aead), now));
}

SaRuntime::SaRuntime(const SaConfig& config, std::unique_ptr<Aead> aead, TimePoint now)
    : remote_(config.remote), destination_(config.of_group() ? config.group : config.local),
      aead_(std::move(aead)),
      key_(aead_->hot()), spi_(config.spi), vni_(config.vni), encap_(config.encap),
      direction_(config.direction), esn_(config.esn),
      any_destination_(destination_.is_unspecified()), of_group_(config.of_group()),
      window_(config.direction == SaDirection::inbound ? config.replay_window : 0,
              config.esn),
      key_end_(static_cast<const char*>(aead_->hot()) + aead_->hot_size()),
      local_(config.local), group_(config.group), limits_(config.limits), created_(now), generation_(config.generation),
      cipher_(config.cipher)
{
    const uint64_t asked = or_unlimited(config.limits.hard_packets);
    const uint64_t possible = direction_ == SaDirection::outbound
                              ? last_sequence_of(esn_) : kUnlimited;
    packets_limited_ = asked <= possible;
    hard_packets_ = std::min(asked, possible);
    soft_packets_ = soft_limit(config.limits.soft_packets, hard_packets_);
    hard_bytes_ = std::min(or_unlimited(config.limits.hard_bytes), kHardBytesCeiling);
    soft_bytes_ = soft_limit(config.limits.soft_bytes, hard_bytes_);
}

SaRuntime::SequenceBlock
SaRuntime::reserve(size_t n) noexcept
{
    // Not fetch_add: past the end it would go on counting, and might one day
    // come round.
    uint64_t first = next_sequence_.load(std::memory_order_relaxed);
    size_t count;
    do {
        const uint64_t left = hard_packets_ - (first - 1);
        count = static_cast<size_t>(std::min<uint64_t>(n, left));
    } while (!next_sequence_.compare_exchange_weak(first, first + count,
                                                   std::memory_order_relaxed));
    const uint64_t last = first - 1 + count;
    if (last >= soft_packets_) [[unlikely]] {
        raise(last >= hard_packets_ ? kSoftPackets | kHardPackets : kSoftPackets);
    }
    return {first, count};
}

void
SaRuntime::count(uint64_t packets, uint64_t bytes) noexcept
{
    const uint64_t total = bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    if (total >= soft_bytes_) [[unlikely]] {
        raise(total >= hard_bytes_ ? kSoftBytes | kHardBytes : kSoftBytes);
    }
    if (direction_ == SaDirection::inbound) {
        const uint64_t all =
            packets_.fetch_add(packets, std::memory_order_relaxed) + packets;
        if (all >= soft_packets_) [[unlikely]] {
            raise(all >= hard_packets_ ? kSoftPackets | kHardPackets : kSoftPackets);
        }
    }
}

DropReason
SaRuntime::end_reason() const noexcept
{
    const uint32_t events = events_.load(std::memory_order_relaxed);
    return packets_limited_ || (events & (kHardBytes | kHardSeconds))
           ? DropReason::sa_expired : DropReason::sequence_end;
}

// Read before written: after a soft limit each batch comes here.
void
SaRuntime::raise(uint32_t events) noexcept
{
    if ((events_.load(std::memory_order_relaxed) & events) != events) {
        events_.fetch_or(events, std::memory_order_relaxed);
    }
}

uint32_t
SaRuntime::take_events() noexcept
{
    const uint32_t fresh = events_.load(std::memory_order_relaxed) & ~taken_events_;
    taken_events_ |= fresh;
    return fresh;
}

uint64_t
SaRuntime::packets() const noexcept
{
    return direction_ == SaDirection::outbound
           ? next_sequence_.load(std::memory_order_relaxed) - 1
           : packets_.load(std::memory_order_relaxed);
}

uint64_t
SaRuntime::last_sequence() const noexcept
{
    return direction_ == SaDirection::outbound ? packets() : window_.top();
}

}  // namespace nvo3::esp
