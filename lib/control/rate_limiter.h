// SPDX-License-Identifier: Apache-2.0
//
// Token buckets: one for a stream of messages, one table of them for source
// addresses that is bounded whatever the outside does.
// Place: lib/control.  Threads: one thread per object.
#ifndef NVO3_CONTROL_RATE_LIMITER_H
#define NVO3_CONTROL_RATE_LIMITER_H

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>

#include "base/clock.h"
#include "base/ip_address.h"

namespace nvo3::control {

struct Rate {
    double per_second = 200;
    double burst = 400;  // At least 1 is used.
};

class TokenBucket {
public:
    // Starts full.  'clock' must outlive the bucket.
    TokenBucket(Rate rate, const base::Clock& clock);

    // Takes 'tokens' if they are there.  More than the burst are never there at
    // once: such a request takes a full bucket and leaves a debt.
    bool take(double tokens = 1);
    // How long until take(tokens) succeeds; zero if it would now.
    std::chrono::nanoseconds wait(double tokens = 1);
    // Another rate; what is in the bucket stays, up to the new burst.
    void set_rate(Rate rate);
    bool full();

private:
    void refill();

    const base::Clock* clock_;  // Not a reference: buckets are moved.
    Rate rate_;
    double tokens_;
    std::chrono::steady_clock::time_point last_;
};

// A bucket per source address, IPv6 per /64.  Keeps 'max_entries' addresses,
// forgetting the one unused for longest.
class AddressLimiter {
public:
    AddressLimiter(Rate rate, size_t max_entries, const base::Clock& clock);

    bool allow(const base::IpAddress& address) { return pass(address).has_value(); }
    // Nothing if the address is held back; else how often it was since it last
    // passed (what is forgotten with it does not count).
    std::optional<uint64_t> pass(const base::IpAddress& address);
    size_t size() const noexcept { return entries_.size(); }

private:
    struct Entry {
        base::IpAddress key;
        TokenBucket bucket;
        uint64_t held_back = 0;
    };

    const base::Clock& clock_;
    Rate rate_;
    size_t max_entries_;
    std::list<Entry> order_;  // Most recently used first.
    std::unordered_map<base::IpAddress, std::list<Entry>::iterator> entries_;
};

// What counts as one source: the address, for IPv6 its /64.
base::IpAddress source_of(const base::IpAddress& address);

}  // namespace nvo3::control

#endif
