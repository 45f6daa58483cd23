// SPDX-License-Identifier: Apache-2.0
//
// See throttle.h.
#include "hvagent/split/throttle.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace nvo3::agent {

using namespace std::chrono_literals;

namespace {

// A wait below this is how timers work, not the throttle.
constexpr auto kAtOnce = 10ms;

}  // namespace

Throttle::Throttle(const base::Clock& clock, ThrottleLimits limits) : clock_(clock), limits_(limits), host_(host_rate(), clock) {}

control::Rate Throttle::host_rate() const
{
    const double rate = told_ == 0 ? limits_.per_second : std::min(told_, limits_.per_second);
    // Who was asked to slow down sends no burst.
    return {rate, told_ == 0 ? 2 * rate : 1};
}

control::Rate Throttle::vm_rate() const
{
    const double rate = limits_.vm_per_second;
    return {rate, 2 * rate};
}

void Throttle::set_limits(const ThrottleLimits& limits)
{
    if (limits_ == limits) {
        return;
    }
    limits_ = limits;
    host_.set_rate(host_rate());
    for (auto& [vm, queue] : queues_) {
        queue.bucket.set_rate(vm_rate());
    }
}

void Throttle::slow_down(uint32_t per_second)
{
    told_ = std::max<uint32_t>(per_second, 1);
    host_.set_rate(host_rate());
}

void Throttle::offer(const std::string& vm, const std::string& what)
{
    auto it = queues_.try_emplace(vm, Queue{{}, control::TokenBucket(vm_rate(), clock_)}).first;
    auto& held = it->second.held;
    if (std::ranges::find(held, what, &Held::what) != held.end()) {
        merged_++;
        return;
    }
    held.push_back({what, clock_.now()});
    held_++;
}

void Throttle::withdraw(const std::string& vm, const std::string& what)
{
    if (auto it = queues_.find(vm); it != queues_.end()) {
        held_ -= std::erase_if(it->second.held, [&](const Held& one) { return one.what == what; });
    }
}

void Throttle::pause()
{
    not_before_.reset();
}

void Throttle::resume(std::chrono::milliseconds jitter)
{
    not_before_ = clock_.now() + jitter;
    told_ = 0;
    host_.set_rate(host_rate());
}

Throttle::Turn Throttle::give(std::map<std::string, Queue>::iterator it)
{
    Held held = std::move(it->second.held.front());
    it->second.held.pop_front();
    held_--;
    sent_++;
    const auto waited = clock_.now() - held.since;
    waited_ += waited > kAtOnce;
    longest_ = std::max<std::chrono::nanoseconds>(longest_, waited);
    last_ = it->first;
    return {it->first, std::move(held.what)};
}

// A VM that has nothing to tell and a full bucket is as one that was never seen.
void Throttle::forget_idle()
{
    for (auto it = queues_.begin(); it != queues_.end();) {
        it = it->second.held.empty() && it->second.bucket.full() ? queues_.erase(it) : std::next(it);
    }
}

std::optional<Throttle::Turn> Throttle::take()
{
    if (held_ == 0) {
        forget_idle();
        return {};
    }
    if (!not_before_ || clock_.now() < *not_before_ || host_.wait() > 0ns) {
        return {};
    }
    if (auto it = queues_.find(""); it != queues_.end() && !it->second.held.empty()) {
        host_.take();
        return give(it);
    }
    auto it = queues_.upper_bound(last_);
    for (size_t i = 0; i < queues_.size(); i++, ++it) {
        if (it == queues_.end()) {
            it = queues_.begin();
        }
        if (!it->second.held.empty() && it->second.bucket.take()) {
            host_.take();
            return give(it);
        }
    }
    return {};
}

std::optional<Throttle::TimePoint> Throttle::next_deadline()
{
    if (held_ == 0 || !not_before_) {
        return {};
    }
    std::optional<std::chrono::nanoseconds> wait;
    for (auto& [vm, queue] : queues_) {
        if (!queue.held.empty()) {
            auto own = vm.empty() ? 0ns : queue.bucket.wait();
            wait = wait ? std::min(*wait, own) : own;
        }
    }
    return std::max(*not_before_, clock_.now() + std::max(host_.wait(), *wait));
}

ThrottleView Throttle::view() const
{
    ThrottleView view{limits_, told_, sent_, merged_, waited_, std::chrono::duration_cast<std::chrono::milliseconds>(longest_), {}};
    for (const auto& [vm, queue] : queues_) {
        if (!queue.held.empty()) {
            view.held[vm] = queue.held.size();
        }
    }
    return view;
}

}  // namespace nvo3::agent
