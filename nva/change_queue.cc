// SPDX-License-Identifier: Apache-2.0
//
// See change_queue.h.
#include "nva/change_queue.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <set>
#include <utility>

namespace nvo3::nva {
namespace {

// The row that a change is about.
std::string row_of(const StoreChange& change)
{
    struct Visitor {
        std::string operator()(const PutMapping& c) const { return to_string(c.vni) + " " + to_string(c.mac); }
        std::string operator()(const DropMapping& c) const { return to_string(c.vni) + " " + c.mac; }
        std::string operator()(const PutSession& c) const { return "NVE " + c.nve; }
        std::string operator()(const NvaBeat& c) const { return "NVA " + c.instance; }
        std::string operator()(const StartEpoch& c) const { return to_string(c.vni) + " " + c.group.to_string(); }
        std::string operator()(const AddTold& c) const { return to_string(c.vni) + " " + c.group.to_string(); }
        std::string operator()(const PutSender& c) const { return to_string(c.vni) + " " + c.group.to_string(); }
    };
    return std::visit(Visitor{}, change);
}

base::Error superseded()
{
    return {ECANCELED, "a later request about the same takes its place"};
}

}  // namespace

std::vector<ChangeQueue::Refused> ChangeQueue::push(Entry entry)
{
    std::vector<Refused> refused;
    Waiting& waiting = waiting_[entry.owner];
    auto [it, is_new] = waiting.by_row.try_emplace(row_of(entry.change));
    if (!is_new) {
        // Where it stands: who changes its mind waits no longer for that, and no shorter.
        refused.push_back({std::move(it->second->done), superseded()});
        *it->second = std::move(entry);
        return refused;
    }
    if (entry.owner != 0 && waiting.entries.size() >= kMaxWaiting) {
        waiting.by_row.erase(it);
        refused.push_back({std::move(entry.done),
                           {EAGAIN, std::to_string(kMaxWaiting) + " changes of this NVE wait for the store already; try again later"}});
        return refused;
    }
    it->second = waiting.entries.insert(waiting.entries.end(), std::move(entry));
    return refused;
}

std::vector<ChangeQueue::Refused> ChangeQueue::put_back(std::vector<Entry> entries)
{
    std::vector<Refused> refused;
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
        if (cancelled_.contains(entry->owner)) {
            continue;
        }
        Waiting& waiting = waiting_[entry->owner];
        auto [it, is_new] = waiting.by_row.try_emplace(row_of(entry->change));
        if (is_new) {
            it->second = waiting.entries.insert(waiting.entries.begin(), std::move(*entry));
        } else {
            refused.push_back({std::move(entry->done), superseded()});
        }
    }
    return refused;
}

// What comes back from a transaction has had its turn.
bool ChangeQueue::rests(uint64_t owner, const Waiting& waiting) const
{
    auto pace = paces_.find(owner);
    return pace != paces_.end() && pace->second.rests_until > clock_.now() && waiting.entries.front().tries == 0;
}

bool ChangeQueue::may_go(uint64_t owner, const Waiting& waiting)
{
    if (rests(owner, waiting)) {
        return false;
    }
    if (waiting.entries.front().tries > 0) {
        return true;
    }
    Pace& pace = paces_.try_emplace(owner, Pace{control::TokenBucket(kRate, clock_), {}}).first->second;
    if (!pace.bucket.take()) {
        pace.rests_until = clock_.now() + pace.bucket.wait(kTurn);
        return false;
    }
    return true;
}

void ChangeQueue::forget_rested()
{
    for (auto it = paces_.begin(); it != paces_.end();) {
        it = !waiting_.contains(it->first) && it->second.bucket.full() ? paces_.erase(it) : std::next(it);
    }
}

std::optional<std::chrono::steady_clock::time_point> ChangeQueue::next() const
{
    std::optional<std::chrono::steady_clock::time_point> first;
    for (const auto& [owner, waiting] : waiting_) {
        if (!rests(owner, waiting)) {
            return clock_.now();
        }
        first = std::min(first.value_or(paces_.at(owner).rests_until), paces_.at(owner).rests_until);
    }
    return first;
}

std::vector<ChangeQueue::Entry> ChangeQueue::take(size_t limit)
{
    cancelled_.clear();
    forget_rested();
    std::vector<Entry> taken;
    std::set<std::string> rows;
    std::optional<uint64_t> held_up;    // the first of those whose row is in the transaction already
    // The first that waits; false if it does not get into this transaction.
    auto take_one = [&](uint64_t owner) {
        auto it = waiting_.find(owner);
        Waiting& waiting = it->second;
        std::string row = row_of(waiting.entries.front().change);
        if (rows.contains(row)) {
            held_up = held_up.value_or(owner);
            return false;
        }
        if (owner != 0 && !may_go(owner, waiting)) {
            return false;
        }
        rows.insert(row);
        taken.push_back(std::move(waiting.entries.front()));
        waiting.entries.pop_front();
        waiting.by_row.erase(row);
        if (waiting.entries.empty()) {
            waiting_.erase(it);
        }
        return true;
    };
    while (taken.size() < limit && waiting_.contains(0) && take_one(0)) {
    }
    held_up.reset();
    for (size_t before = limit; taken.size() < limit && taken.size() != before;) {
        before = taken.size();
        std::vector<uint64_t> round;
        for (auto it = waiting_.upper_bound(last_); it != waiting_.end(); ++it) {
            round.push_back(it->first);
        }
        for (auto it = waiting_.upper_bound(0); it != waiting_.end() && it->first <= last_; ++it) {
            round.push_back(it->first);
        }
        for (uint64_t owner : round) {
            if (taken.size() == limit) {
                break;
            }
            if (take_one(owner)) {
                last_ = owner;
            }
        }
    }
    if (held_up) {
        last_ = *held_up - 1;   // first in the next, or it could be held up for ever
    }
    return taken;
}

void ChangeQueue::cancel(uint64_t owner)
{
    waiting_.erase(owner);
    cancelled_.insert(owner);
}

size_t ChangeQueue::waiting(uint64_t owner) const
{
    auto it = waiting_.find(owner);
    return it == waiting_.end() ? 0 : it->second.entries.size();
}

}  // namespace nvo3::nva
