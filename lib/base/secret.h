// SPDX-License-Identifier: Apache-2.0
//
// Keys.  A Secret lives in memory that is left out of core dumps, locked
// against swapping where the limits allow, and wiped when it is freed.
// Place: lib/base.  Threads: one thread per object; the memory behind them is
// shared and may be used from any thread (it takes a mutex: control path only).
#ifndef NVO3_BASE_SECRET_H
#define NVO3_BASE_SECRET_H

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace nvo3::base {

// Overwrites 'size' octets so that no compiler leaves it out.
void wipe(void* data, size_t size) noexcept;

// Whether both are the same, in a time that tells nothing but their sizes.
bool equal_constant_time(ByteView a, ByteView b) noexcept;

// Memory as a Secret has it, zeroed, aligned to 64 octets: for key schedules.
// Throws std::bad_alloc.  'size' must be the same in both calls.
void* secret_allocate(size_t size);
void secret_free(void* data, size_t size) noexcept;

class Secret {
public:
    Secret() noexcept = default;
    // 'size' octets of zero.  Throws std::bad_alloc.
    explicit Secret(size_t size);
    // A copy; the original is the caller's to wipe.
    explicit Secret(ByteView data);
    ~Secret() { reset(); }

    Secret(Secret&& other) noexcept;
    Secret& operator=(Secret&& other) noexcept;
    Secret(const Secret&) = delete;
    Secret& operator=(const Secret&) = delete;

    // A copy, asked for in so many words.
    Secret clone() const { return Secret(view()); }

    ByteView view() const noexcept { return {data_, size_}; }
    uint8_t* data() noexcept { return data_; }
    const uint8_t* data() const noexcept { return data_; }
    size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

    // Wipes and frees.
    void reset() noexcept;

private:
    uint8_t* data_ = nullptr;
    size_t size_ = 0;
};

// Wipes a buffer that held a secret on its way, when the scope ends.
class WipeGuard {
public:
    explicit WipeGuard(Bytes& data) noexcept : data_(data) {}
    ~WipeGuard() { wipe(data_.data(), data_.size()); }
    WipeGuard(const WipeGuard&) = delete;
    WipeGuard& operator=(const WipeGuard&) = delete;

private:
    Bytes& data_;
};

}  // namespace nvo3::base

#endif
