// SPDX-License-Identifier: Apache-2.0
//
// Packets of each rule of the policy, whatever flows the rule was made into, and the
// lines of the log about them.
//
// Place: part of pipeline_feed.cc, told by the switch's flow statistics.  Thread: plain
// values.
#ifndef HVAGENT_POLICY_COUNTERS_H
#define HVAGENT_POLICY_COUNTERS_H

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "hvagent/policy_flows.h"

namespace nvo3::agent {

class PolicyCounters {
public:
    // The flows of now.  What is not counted any more is forgotten.
    void set_flows(const std::vector<CountedFlow>&);
    // The switch has seen so many packets of a flow since it got it.
    void tell(const std::string& flow, uint64_t packets);
    // 0 if nothing is known.
    uint64_t packets(const Counted& what) const;
    const std::map<Counted, uint64_t>& all() const { return totals_; }

    // Lines for the log: what has counted since it was last spoken of, if it is to be logged
    // at all, each once in kPause and kLines together.  'now' in ms.
    std::vector<std::string> lines(long long now);
    static constexpr long long kPauseMs = 10000;
    static constexpr size_t kLines = 20;

private:
    std::multimap<std::string, Counted> flows_;
    std::map<std::string, uint64_t> last_;              // of a flow, as told
    std::map<Counted, uint64_t> totals_;
    std::map<Counted, uint64_t> spoken_;                // of those that are logged, when the log had it
    long long next_ = 0;                                // ms
};

}  // namespace nvo3::agent
#endif
