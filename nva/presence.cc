// SPDX-License-Identifier: Apache-2.0
//
// See presence.h.
#include "nva/presence.h"

namespace nvo3::nva {

void Presence::apply(const StoreView& view, const std::set<std::string>& own, TimePoint now)
{
    std::erase_if(nvas_, [&](const auto& entry) { return !view.nvas.contains(entry.first); });
    for (const auto& [instance, beat] : view.nvas) {
        auto [it, fresh] = nvas_.try_emplace(instance, Process{beat, now});
        if (!fresh && it->second.beat != beat) {
            it->second = {beat, now};
        }
    }
    std::erase_if(away_since_, [&](const auto& entry) { return !view.nves->contains(entry.first); });
    for (const auto& [name, nve] : *view.nves) {
        auto nva = nvas_.find(view.session_of(name));
        if (own.contains(name) || (nva != nvas_.end() && now - nva->second.since < kDead)) {
            away_since_.erase(name);
        } else {
            away_since_.try_emplace(name, now);
        }
    }
}

void Presence::forget(TimePoint now)
{
    for (auto& [instance, process] : nvas_) {
        process.since = now;
    }
    for (auto& [name, since] : away_since_) {
        since = now;
    }
}

std::optional<std::chrono::milliseconds> Presence::away_for(const std::string& nve, TimePoint now) const
{
    auto it = away_since_.find(nve);
    if (it == away_since_.end()) {
        return {};
    }
    return std::chrono::duration_cast<std::chrono::milliseconds>(now - it->second);
}

std::vector<std::string> Presence::dead(TimePoint now) const
{
    std::vector<std::string> result;
    for (const auto& [instance, process] : nvas_) {
        if (now - process.since >= kForget) {
            result.push_back(instance);
        }
    }
    return result;
}

}  // namespace nvo3::nva
