// SPDX-License-Identifier: Apache-2.0
//
// An immutable value that one thread publishes and others read.  Readers keep
// what they got for as long as they like: that is why it is a shared_ptr.
// Place: lib/base.  Threads: any.  Not for the packet path: a mutex is held for
// the copy of a pointer.
#ifndef NVO3_BASE_SNAPSHOT_H
#define NVO3_BASE_SNAPSHOT_H

#include <memory>
#include <mutex>
#include <utility>

namespace nvo3::base {

template <class T>
class Snapshot {
public:
    Snapshot() = default;
    explicit Snapshot(std::shared_ptr<const T> value) : value_(std::move(value)) {}

    // The newest value; null if none was set.
    std::shared_ptr<const T> get() const
    {
        std::lock_guard lock(mutex_);
        return value_;
    }

    void set(std::shared_ptr<const T> value)
    {
        {
            std::lock_guard lock(mutex_);
            value_.swap(value);
        }
        // The old value, if nobody else has it, is destroyed here, unlocked.
    }

private:
    mutable std::mutex mutex_;
    std::shared_ptr<const T> value_;    // under mutex_
};

}  // namespace nvo3::base

#endif
