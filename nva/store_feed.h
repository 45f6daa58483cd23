// SPDX-License-Identifier: Apache-2.0
//
// Carries the store's contents to the NVA, and the NVA's changes to the store: as many as
// wait in one transaction, the next when that is answered.
//
// Place: between store.h (C) and nva.h; made by main.cc.  Thread: the OVS thread, but submit() and
// cancel() on the I/O thread.
#ifndef NVA_STORE_FEED_H
#define NVA_STORE_FEED_H

#include <mutex>
#include <vector>

#include "nva/change_queue.h"
#include "nva/nva.h"
#include "nva/store_model.h"
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
    using Op = ChangeQueue::Entry;

    void answer(Nva&, Op, base::Status);
    void begin(Nva&);
    void finish(Nva&);
    void retry(Nva&);

    // OVS thread.
    StoreModel model_;
    std::vector<Op> batch_;             // in the transaction under way
    size_t one_by_one_ = 0;             // so many still, as a batch of them was refused

    std::mutex mutex_;
    ChangeQueue queue_{base::system_clock()};   // under mutex_
};

}  // namespace nvo3::nva
#endif
