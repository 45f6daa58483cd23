// SPDX-License-Identifier: Apache-2.0
//
// Carries the store's contents to the NVA, and the NVA's changes to the store: as many as
// wait in one transaction, the next when that is answered.
//
// Place: between store.h (C) and nva.h; made by main.cc.  Thread: the OVS thread, but submit() and
// cancel() on the I/O thread.
#ifndef NVA_STORE_FEED_H
#define NVA_STORE_FEED_H

#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "nva/nva.h"
#include "nva/store_writer.h"

namespace nvo3::nva {

class StoreFeed final : public StoreWriter {
public:
    // Starts following the store; 'remotes' as store_open() takes it.
    explicit StoreFeed(const char* remotes);
    ~StoreFeed() override;

    // Hands contents on to 'nva', takes up and answers changes, arranges the next wake-up;
    // never blocks.
    void run(Nva& nva);

    void submit(uint64_t owner, StoreChange, Done) override;
    void cancel(uint64_t owner) override;

private:
    struct Op {
        uint64_t owner = 0;
        StoreChange change;
        Done done;
        int tries = 0;
    };

    void answer(Nva&, Op, base::Status);
    void begin(Nva&);
    void finish(Nva&);
    void retry();
    std::vector<Op> take_batch();

    // OVS thread.
    std::shared_ptr<const StoreView> view_;
    std::vector<Op> batch_;             // in the transaction under way
    size_t one_by_one_ = 0;             // so many still, as a batch of them was refused

    std::mutex mutex_;
    std::deque<Op> queue_;              // under mutex_
};

}  // namespace nvo3::nva
#endif
