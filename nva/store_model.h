// SPDX-License-Identifier: Apache-2.0
//
// The store's rows, and from them one view after the other: a change costs what the networks
// cost that it is about.
//
// Place: fed by store_feed.cc; what comes out is in model.h; pure.  Thread: one, in nvo3-nva the
// OVS thread.
#ifndef NVA_STORE_MODEL_H
#define NVA_STORE_MODEL_H

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "nva/model.h"
#include "nva/policy_model.h"

namespace nvo3::nva {

class StoreModel {
public:
    using RowId = std::array<uint8_t, 16>;      // a UUID, of whichever table

    // All rows are told anew, as after clear() none is there.
    void clear();
    void set_settings(const std::map<std::string, std::string>& other_config);
    // A row is new, or another than it was.
    void put(const RowId&, raw::Nve);
    void put(const RowId&, raw::Policy);
    void put(const RowId& id, raw::Vn row)
    {
        put_of(id, row.vni, &Network::vns, std::move(row));
        names_changed_ = true;
    }
    void put(const RowId& id, raw::Nva row) { nvas_[id] = std::move(row); }
    void put(const RowId& id, raw::Member row) { put_of(id, row.vni, &Network::members, std::move(row)); }
    void put(const RowId& id, raw::Mapping row) { put_of(id, row.vni, &Network::mappings, std::move(row)); }
    void put(const RowId& id, raw::Group row) { put_of(id, row.vni, &Network::groups, std::move(row)); }
    void put(const RowId& id, raw::Sender row) { put_of(id, row.vni, &Network::senders, std::move(row)); }
    void erase(const RowId&);                   // one that is not there is fine

    // As it is now.  A network that has not changed since the last view is the same object.
    std::shared_ptr<const StoreView> view();

private:
    template <class Row>
    using Rows = std::map<RowId, Row>;
    struct Network {
        Rows<raw::Vn> vns;
        Rows<raw::Member> members;
        Rows<raw::Mapping> mappings;
        Rows<raw::Group> groups;
        Rows<raw::Sender> senders;
    };
    struct Built {
        std::shared_ptr<const Vn> vn;           // null: none is served
        std::vector<Stray> strays;
        std::vector<std::string> problems;
    };

    template <class Row>
    void put_of(const RowId&, uint32_t vni, Rows<Row> Network::*rows, Row);
    void forget(const RowId&);
    void build_settings();
    void build_nves();
    void build_sessions();
    void build_network(uint32_t vni);
    void build_policy();

    std::map<std::string, std::string> other_config_;
    Rows<raw::Nve> nves_;
    Rows<raw::Policy> policies_;                // at most one, says the schema
    Rows<raw::Nva> nvas_;
    std::map<uint32_t, Network> networks_;
    std::map<RowId, uint32_t> network_of_;      // of all rows but NVEs, NVAs and policies

    // What of them is not in what was built yet.
    bool settings_changed_ = true, nves_changed_ = true, sessions_changed_ = true, policy_changed_ = true, names_changed_ = true;
    std::set<uint32_t> changed_;

    // What the views are made of.
    Settings settings_;
    std::vector<std::string> settings_problems_, nves_problems_;
    std::shared_ptr<const StoreView::Nves> built_nves_ = std::make_shared<const StoreView::Nves>();
    std::shared_ptr<const StoreView::Sessions> built_sessions_;
    std::map<uint32_t, Built> built_;
    PolicyModel policy_;
};

template <class Row>
void StoreModel::put_of(const RowId& id, uint32_t vni, Rows<Row> Network::*rows, Row row)
{
    auto before = network_of_.find(id);
    if (before != network_of_.end() && before->second != vni) {
        forget(id);     // no column that names a network can change: but who knows
    }
    network_of_[id] = vni;
    (networks_[vni].*rows)[id] = std::move(row);
    changed_.insert(vni);
}

}  // namespace nvo3::nva
#endif
