// SPDX-License-Identifier: Apache-2.0
//
// See policy_counters.h.
#include "hvagent/policy_counters.h"

#include <utility>

namespace nvo3::agent {
namespace {

std::string words(const Counted& what, uint64_t packets)
{
    const std::string count = std::to_string(packets) + (packets == 1 ? " packet" : " packets");
    if (what.kind == Counted::Kind::rule) {
        return count + " of rule '" + what.text + "'";
    }
    return count + " denied from network " + what.text + " to " + what.to + ": no rule allows them";
}

}  // namespace

void PolicyCounters::set_flows(const std::vector<CountedFlow>& flows)
{
    flows_.clear();
    std::map<std::string, uint64_t> last;
    std::map<Counted, uint64_t> totals, spoken;
    for (const CountedFlow& flow : flows) {
        flows_.emplace(flow.flow, flow.what);
        if (auto it = last_.find(flow.flow); it != last_.end()) {
            last[it->first] = it->second;
        }
        totals[flow.what] = packets(flow.what);
        if (flow.logged) {
            auto it = spoken_.find(flow.what);
            spoken[flow.what] = it == spoken_.end() ? 0 : it->second;
        }
    }
    last_ = std::move(last);
    totals_ = std::move(totals);
    spoken_ = std::move(spoken);
}

void PolicyCounters::tell(const std::string& flow, uint64_t packets)
{
    auto [begin, end] = flows_.equal_range(flow);
    if (begin == end) {
        return;
    }
    uint64_t& last = last_[flow];
    // The switch has got it anew.
    const uint64_t more = packets >= last ? packets - last : packets;
    last = packets;
    for (auto it = begin; it != end; ++it) {
        totals_[it->second] += more;
    }
}

uint64_t PolicyCounters::packets(const Counted& what) const
{
    auto it = totals_.find(what);
    return it == totals_.end() ? 0 : it->second;
}

std::vector<std::string> PolicyCounters::lines(long long now)
{
    std::vector<std::string> result;
    if (now < next_) {
        return result;
    }
    size_t left = 0;
    for (auto& [what, spoken] : spoken_) {
        const uint64_t total = packets(what);
        if (total <= spoken) {
            continue;
        }
        if (result.size() == kLines) {
            left++;
            continue;
        }
        result.push_back(words(what, total - spoken));
        spoken = total;
    }
    if (left > 0) {
        result.push_back("and of " + std::to_string(left) + " more rules; see policy/show");
    }
    if (!result.empty()) {
        next_ = now + kPauseMs;
    }
    return result;
}

}  // namespace nvo3::agent
