// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the NVA share: a store that is written in a few words, and a double of
// its writer that keeps the rules of store.h in memory.
// Place: tests/unit/nva.  Threads: the test's own.
#ifndef NVO3_TESTS_UNIT_NVA_NVA_FIXTURE_H
#define NVO3_TESTS_UNIT_NVA_NVA_FIXTURE_H

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nva/store_model.h"
#include "nva/store_writer.h"

namespace nvo3::tests {

constexpr uint32_t kRed = 5001, kBlue = 5002;

inline base::MacAddress mac(uint8_t last)
{
    return {{0x52, 0x54, 0, 0, 0, last}};
}

inline base::IpAddress ip(const std::string& text)
{
    return *base::IpAddress::parse(text);
}

// The store's tables.
struct Rows {
    std::map<std::string, std::string> other_config;
    std::vector<nva::raw::Nve> nves;
    std::vector<nva::raw::Vn> vns;
    std::vector<nva::raw::Member> members;
    std::vector<nva::raw::Mapping> mappings;
    std::vector<nva::raw::Group> groups;
    std::vector<nva::raw::Sender> senders;
    std::vector<nva::raw::Policy> policies;
    std::vector<nva::raw::Nva> nvas;
};

// Tells all rows anew.
std::shared_ptr<const nva::StoreView> view_of(const Rows& rows, nva::StoreModel* model);
inline std::shared_ptr<const nva::StoreView> view_of(const Rows& rows)
{
    nva::StoreModel model;
    return view_of(rows, &model);
}

// hv1 (10.0.0.1) and hv2 serve red, hv2 and hv3 blue.
Rows small_store();

// Holds the rows; changes are made when the test says so, or at once.
class FakeStore final : public nva::StoreWriter {
public:
    explicit FakeStore(Rows rows) : rows(std::move(rows)) {}

    void submit(uint64_t owner, nva::StoreChange change, Done done) override;
    void cancel(uint64_t owner) override;

    // Makes what was submitted, in order; the answers come in the same call.
    void work();
    std::shared_ptr<const nva::StoreView> view() { return view_of(rows, &model_); }

    Rows rows;
    bool at_once = false;
    base::Status next_sender_fails;         // once, as if an SPI were taken
    std::function<void()> on_change;        // after each that changed something
    struct Op {
        uint64_t owner;
        nva::StoreChange change;
        Done done;
    };
    std::deque<Op> queue;

private:
    base::Status make(const nva::StoreChange&);
    std::string session(const std::string& nve) const;
    bool is_member(base::Vni, const std::string& nve) const;
    nva::raw::Group* group(base::Vni, const base::IpAddress&);

    nva::StoreModel model_;
};

}  // namespace nvo3::tests
#endif
