// SPDX-License-Identifier: Apache-2.0
//
// See service.h: which NVEs are there, as the store and this NVA know it together, and what
// follows for the mappings of those that are not.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "nva/service.h"

namespace nvo3::nva {

using namespace std::chrono_literals;

// Brings what the store says of sessions in line with those that there are here.
void Service::tell_presence()
{
    if (!store_ || lost_at_) {
        return;
    }
    const auto now = clock_.now();
    const auto sessions = store_->sessions;
    std::set<std::string> own;
    for (const auto& [name, client] : by_name_) {
        own.insert(name);
    }
    presence_.apply(*store_, own, now);
    auto tell = [&](const std::string& whom, StoreChange change) {
        if (telling_.insert(whom).second) {
            writer_.submit(0, std::move(change), [this, whom, alive = alive_](const base::Status&) {
                if (*alive) {
                    telling_.erase(whom);
                }
            });
        }
    };
    if (!beat_at_ || now - *beat_at_ >= Presence::kBeat) {
        beat_at_ = now;
        tell("NVA " + self_, NvaBeat{self_});
    }
    for (const std::string& name : own) {
        if (store_->session_of(name) != self_) {
            tell(name, PutSession{name, self_});
        }
    }
    for (const auto& [name, instance] : *sessions) {
        if (instance == self_ && !own.contains(name)) {
            tell(name, PutSession{name, self_, true});
        }
    }
    for (const std::string& instance : presence_.dead(now)) {
        if (instance != self_) {
            tell("NVA " + instance, NvaBeat{instance, true});
        }
    }
}

// Not in the midst of what changes them.
void Service::tell_presence_soon()
{
    boost::asio::post(io_, [this, alive = alive_] {
        if (*alive) {
            tell_presence();
        }
    });
}

bool Service::may_be_taken_over(const std::string& nve) const
{
    const std::chrono::seconds after(store_->settings.takeover_seconds);
    return after.count() != 0 && presence_.away_for(nve, clock_.now()).value_or(0ms) >= after;
}

// When what an NVE holds may be had by another, should it stay away; zero: it is there, or it
// never may.
std::chrono::milliseconds Service::taken_over_in(const std::string& nve) const
{
    const auto away = presence_.away_for(nve, clock_.now());
    const std::chrono::milliseconds after = std::chrono::seconds(store_->settings.takeover_seconds);
    const std::chrono::milliseconds least(100);
    return !away || after.count() == 0 ? std::chrono::milliseconds{} : std::max(after - *away, least);
}

}  // namespace nvo3::nva
