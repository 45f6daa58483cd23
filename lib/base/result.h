// SPDX-License-Identifier: Apache-2.0
//
// Errors of the control path as values: a Result holds what was asked for, or
// an Error whose text a user can act on.  Not for the packet path, which has
// DropReason.  Place: lib/base.  Threads: plain values.
#ifndef NVO3_BASE_RESULT_H
#define NVO3_BASE_RESULT_H

#include <cassert>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace nvo3::base {

// 'code' is a positive errno value; 'text' a sentence that names the thing
// (file, port, option) and says how to put it right.  Never contains a secret.
struct Error {
    int code = EINVAL;
    std::string text;
};

template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool ok() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return ok(); }

    // Only if ok().
    T& value() & { assert(ok()); return *std::get_if<0>(&state_); }
    const T& value() const& { assert(ok()); return *std::get_if<0>(&state_); }
    T&& value() && { assert(ok()); return std::move(*std::get_if<0>(&state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    // Only if not ok().
    const Error& error() const { assert(!ok()); return *std::get_if<1>(&state_); }

private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}

    bool ok() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return ok(); }
    const Error& error() const { assert(!ok()); return *error_; }

private:
    std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace nvo3::base

#endif
