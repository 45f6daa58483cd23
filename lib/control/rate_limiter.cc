// SPDX-License-Identifier: Apache-2.0
//
// Token buckets, see rate_limiter.h.
#include "control/rate_limiter.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace nvo3::control {
namespace {

Rate
usable(Rate rate)
{
    // NaN fails each comparison and so ends at the minimum as well.
    rate.per_second = rate.per_second > 0.001 ? rate.per_second : 0.001;
    rate.burst = rate.burst > 1 ? rate.burst : 1;
    return rate;
}

}  // namespace

TokenBucket::TokenBucket(Rate rate, const base::Clock& clock)
    : clock_(&clock), rate_(usable(rate)), tokens_(rate_.burst), last_(clock.now())
{
}

void
TokenBucket::refill()
{
    const auto now = clock_->now();
    if (now <= last_) {
        return;
    }
    const std::chrono::duration<double> passed = now - last_;
    tokens_ = std::min(rate_.burst, tokens_ + passed.count() * rate_.per_second);
    last_ = now;
}

bool
TokenBucket::take(double tokens)
{
    refill();
    // The margin absorbs rounding, so that take() after wait() succeeds.
    if (tokens_ + 1e-6 < std::min(tokens, rate_.burst)) {
        return false;
    }
    tokens_ -= tokens;
    return true;
}

std::chrono::nanoseconds
TokenBucket::wait(double tokens)
{
    refill();
    const double missing = std::min(tokens, rate_.burst) - tokens_;
    if (missing <= 1e-6) {
        return std::chrono::nanoseconds(0);
    }
    const double seconds = std::min(missing / rate_.per_second, 3600.0);
    return std::chrono::nanoseconds(static_cast<int64_t>(std::ceil(seconds * 1e9)));
}

void
TokenBucket::set_rate(Rate rate)
{
    refill();
    rate_ = usable(rate);
    tokens_ = std::min(tokens_, rate_.burst);
}

bool
TokenBucket::full()
{
    refill();
    return tokens_ >= rate_.burst;
}

base::IpAddress
source_of(const base::IpAddress& address)
{
    if (address.is_v4()) {
        return address;
    }
    // Whoever has an IPv6 address has its /64.
    auto octets = address.bytes();
    std::fill(octets.begin() + 8, octets.end(), uint8_t{0});
    return base::IpAddress(octets);
}

AddressLimiter::AddressLimiter(Rate rate, size_t max_entries, const base::Clock& clock)
    : clock_(clock), rate_(rate), max_entries_(std::max<size_t>(max_entries, 1))
{
}

std::optional<uint64_t>
AddressLimiter::pass(const base::IpAddress& address)
{
    const base::IpAddress key = source_of(address);
    const auto found = entries_.find(key);
    if (found != entries_.end()) {
        order_.splice(order_.begin(), order_, found->second);
    } else {
        if (entries_.size() >= max_entries_) {
            entries_.erase(order_.back().key);
            order_.pop_back();
        }
        order_.push_front(Entry{key, TokenBucket(rate_, clock_)});
        entries_.emplace(key, order_.begin());
    }
    Entry& entry = order_.front();
    if (!entry.bucket.take()) {
        entry.held_back++;
        return std::nullopt;
    }
    return std::exchange(entry.held_back, 0);
}

}  // namespace nvo3::control
