// SPDX-License-Identifier: Apache-2.0
//
// Calls its owner at the next moment at which there is something to do.
//
// Place: a member of what has deadlines.  Thread: the I/O thread.
#ifndef HVAGENT_WAKE_TIMER_H
#define HVAGENT_WAKE_TIMER_H

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace nvo3::agent {

class WakeTimer {
public:
    using TimePoint = std::chrono::steady_clock::time_point;

    // 'wake' is called by the io_context, never by set(), and not after this object has gone.
    WakeTimer(boost::asio::io_context& io, std::function<void()> wake) : timer_(io), wake_(std::make_shared<std::function<void()>>(std::move(wake))) {}

    // Instead of what was set before; nothing: not at all.
    void set(std::optional<TimePoint> at)
    {
        if (!at) {
            timer_.cancel();
            return;
        }
        timer_.expires_at(*at);
        timer_.async_wait([wake = std::weak_ptr(wake_)](const boost::system::error_code& error) {
            if (auto there = wake.lock(); there && !error) {
                (*there)();
            }
        });
    }
    void cancel() { timer_.cancel(); }

private:
    boost::asio::steady_timer timer_;
    const std::shared_ptr<std::function<void()>> wake_;     // handlers under way find it gone
};

// The earlier of two moments, of which either may not be.
inline std::optional<WakeTimer::TimePoint> earlier(std::optional<WakeTimer::TimePoint> a, std::optional<WakeTimer::TimePoint> b)
{
    return a && b ? std::min(*a, *b) : a ? a : b;
}

}  // namespace nvo3::agent
#endif
