// SPDX-License-Identifier: Apache-2.0
//
// Keeps the integration bridge as the virtual networks need it: while this host is told
// of networks, closed but for the flows of vn_pipeline.h, and with a tunnel port per
// encapsulation; else nothing of ours.
//
// Place: part of ovs_feed.cc; drives openflow_adapter.h and the writing half of
// ovsdb_adapter.h.  Thread: the OVS thread.
#ifndef HVAGENT_PIPELINE_FEED_H
#define HVAGENT_PIPELINE_FEED_H

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "hvagent/policy_counters.h"
#include "hvagent/policy_keeper.h"
#include "hvagent/show_policy.h"
#include "hvagent/vn_pipeline.h"

struct openflow_adapter;

namespace nvo3::agent {

class PipelineFeed {
public:
    PipelineFeed() = default;
    ~PipelineFeed();
    PipelineFeed(const PipelineFeed&) = delete;

    // What the database says: 'config' was made of 'vm_ports' and more.
    void configure(std::shared_ptr<const Config> config, std::vector<RawVmPort> vm_ports, std::map<base::Encap, uint32_t> tunnel_ports,
                   std::vector<uint32_t> plain_ports);
    // What the I/O thread says; never null.
    void set_networks(std::shared_ptr<const NetworkView> networks);

    // Brings it about and arranges the next wake-up; never blocks.
    void run();

    // The flows that are wanted, one a line; and whether the switch has them.
    std::string show(bool json) const;

    // The policy between networks.
    const std::string& policy_error() const { return policy_.error(); }
    std::string show_policy(bool json) const;
    base::Result<std::string> trace_policy(const std::vector<std::string>& words, bool json) const;
    // Reads the file again.
    base::Status reload_policy();

private:
    void update_policy();
    void flush_zones();
    void count_packets();
    std::string why_no_policy() const;
    PolicyState policy_state() const;
    bool is_settled() const;
    void update();
    void leave(openflow_adapter*&);
    void wish_tunnels();
    std::vector<Tsi> tsis() const;
    void wish_fail_mode() const;

    std::shared_ptr<const Config> config_;      // null: the database was not read yet
    std::vector<RawVmPort> vm_ports_;
    PipelineInput input_;
    Pipeline pipeline_;
    std::vector<Problem> logged_;
    bool changed_ = false;
    long long next_update_ = 0;                 // ms; not before

    PolicyKeeper policy_;
    std::shared_ptr<const control::PolicyText> policy_told_;    // looked at last
    std::string policy_file_;                           // read last
    uint64_t policy_reads_ = 0;
    std::map<uint16_t, base::Vni> zone_owners_;         // of each conntrack zone, the network that had it last
    PolicyCounters counters_;
    long long next_count_ = 0, counted_ = 0;            // ms; counted_ 0: never
    unsigned int count_seqno_ = 0;

    std::string bridge_;                        // of adapter_
    openflow_adapter* adapter_ = nullptr;       // null: no pipeline, or no database yet
    std::vector<openflow_adapter*> leaving_;    // of bridges that are ours no longer
};

}  // namespace nvo3::agent
#endif
