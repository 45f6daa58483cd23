// SPDX-License-Identifier: Apache-2.0
//
// See store_feed.h.
#include "nva/store_feed.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"
#include "daemon/ovs_daemon.h"
#include "nva/store.h"

namespace nvo3::nva {
namespace {

constexpr size_t kBatch = 256;
// Of a change that others are always faster with, or that the store refuses.
constexpr int kTries = 20;

std::vector<std::string> strings(char** texts, size_t n)
{
    return {texts, texts + n};
}

RawStore read_store()
{
    RawStore raw;
    store_visitor visitor{};
    visitor.aux = &raw;
    visitor.setting = [](void* aux, const char* key, const char* value) { static_cast<RawStore*>(aux)->other_config[key] = value; };
    visitor.nve = [](void* aux, const char* name, char** addresses, size_t n, bool revoked) {
        static_cast<RawStore*>(aux)->nves.push_back({name, strings(addresses, n), revoked});
    };
    visitor.vn = [](void* aux, const char* name, uint32_t vni, const char* encap, const char* cipher) {
        static_cast<RawStore*>(aux)->vns.push_back({name, vni, encap, cipher});
    };
    visitor.member = [](void* aux, uint32_t vni, const char* nve) { static_cast<RawStore*>(aux)->members.push_back({vni, nve}); };
    visitor.mapping = [](void* aux, uint32_t vni, const char* mac, char** addresses, size_t n, const char* nve) {
        static_cast<RawStore*>(aux)->mappings.push_back({vni, mac, strings(addresses, n), nve});
    };
    visitor.group = [](void* aux, uint32_t vni, const char* address, uint32_t epoch, const char* nonce, int64_t started, char** told, size_t n) {
        static_cast<RawStore*>(aux)->groups.push_back({vni, address, epoch, nonce, started, strings(told, n)});
    };
    visitor.sender = [](void* aux, uint32_t vni, const char* group, const char* nve, uint32_t epoch, const char* sender_id, uint32_t spi) {
        static_cast<RawStore*>(aux)->senders.push_back({vni, group, nve, epoch, sender_id, spi});
    };
    store_visit(&visitor);
    return raw;
}

// The rows that a change is about: no two changes of the same in one transaction.
std::string key_of(const StoreChange& change)
{
    struct Visitor {
        std::string operator()(const PutMapping& c) const { return to_string(c.vni) + " " + to_string(c.mac); }
        std::string operator()(const DropMapping& c) const { return to_string(c.vni) + " " + c.mac; }
        std::string operator()(const StartEpoch& c) const { return to_string(c.vni) + " " + c.group.to_string(); }
        std::string operator()(const AddTold& c) const { return to_string(c.vni) + " " + c.group.to_string(); }
        std::string operator()(const PutSender& c) const { return to_string(c.vni) + " " + c.group.to_string(); }
    };
    return std::visit(Visitor{}, change);
}

std::vector<const char*> pointers(const std::vector<std::string>& texts)
{
    std::vector<const char*> result;
    for (const std::string& text : texts) {
        result.push_back(text.c_str());
    }
    return result;
}

// Into the open transaction; 0 or an errno value.
struct Apply {
    const char* holder = "";

    int operator()(const PutMapping& c)
    {
        std::vector<std::string> texts;
        for (const base::IpAddress& address : c.addresses) {
            texts.push_back(address.to_string());
        }
        return store_put_mapping(c.vni.value, c.nve.c_str(), to_string(c.mac).c_str(), pointers(texts).data(), texts.size(), &holder);
    }
    int operator()(const DropMapping& c) { return store_drop_mapping(c.vni.value, c.nve.c_str(), c.mac.c_str()); }
    int operator()(const StartEpoch& c)
    {
        return store_start_epoch(c.vni.value, c.group.to_string().c_str(), c.epoch_now, c.epoch, base::to_hex(c.nonce).c_str(), c.started,
                                 pointers(c.told).data(), c.told.size());
    }
    int operator()(const AddTold& c)
    {
        return store_add_told(c.vni.value, c.group.to_string().c_str(), c.epoch, pointers(c.nves).data(), c.nves.size());
    }
    int operator()(const PutSender& c)
    {
        return store_put_sender(c.vni.value, c.group.to_string().c_str(), c.epoch, c.nve.c_str(), base::to_hex(c.sender_id).c_str(),
                                c.spi.value);
    }
};

base::Error error_of(int code, const std::string& holder)
{
    switch (code) {
    case EEXIST: return {code, mac_is_held_by(holder)};
    case EPERM: return {code, "the NVE does not serve this network"};
    case ESTALE: return {code, "the group is in another epoch already"};
    default: return {code, "the store has no such row"};
    }
}

}  // namespace

StoreFeed::StoreFeed(const char* remotes)
{
    store_open(remotes);
}

StoreFeed::~StoreFeed()
{
    store_close();
}

void StoreFeed::submit(uint64_t owner, StoreChange change, Done done)
{
    {
        std::lock_guard lock(mutex_);
        queue_.push_back({owner, std::move(change), std::move(done)});
    }
    ovs_daemon_wake();
}

void StoreFeed::cancel(uint64_t owner)
{
    std::lock_guard lock(mutex_);
    std::erase_if(queue_, [&](const Op& op) { return op.owner == owner; });
}

void StoreFeed::run(Nva& nva)
{
    if (store_run()) {
        view_ = make_view(read_store(), view_.get());
        nva.apply(view_);
    }
    switch (store_state()) {
    case STORE_AWAY: nva.set_store(StoreState::away); break;
    case STORE_EMPTY: nva.set_store(StoreState::empty); break;
    case STORE_FRESH: nva.set_store(StoreState::fresh); break;
    }
    finish(nva);
    begin(nva);
    store_wait();
}

void StoreFeed::answer(Nva& nva, Op op, base::Status status)
{
    nva.post([done = std::move(op.done), status = std::move(status)] { done(status); });
}

std::vector<StoreFeed::Op> StoreFeed::take_batch()
{
    std::vector<Op> batch;
    std::set<std::string> keys;
    size_t limit = one_by_one_ > 0 ? 1 : kBatch;
    std::lock_guard lock(mutex_);
    while (!queue_.empty() && batch.size() < limit && keys.insert(key_of(queue_.front().change)).second) {
        batch.push_back(std::move(queue_.front()));
        queue_.pop_front();
    }
    return batch;
}

void StoreFeed::begin(Nva& nva)
{
    {
        std::lock_guard lock(mutex_);
        if (queue_.empty()) {
            return;
        }
    }
    if (!batch_.empty() || !store_begin()) {
        return;
    }
    for (Op& op : take_batch()) {
        Apply apply;
        if (int error = std::visit(apply, op.change)) {
            answer(nva, std::move(op), error_of(error, apply.holder));
            continue;
        }
        op.tries++;
        batch_.push_back(std::move(op));
    }
    one_by_one_ -= one_by_one_ > 0;
    store_commit();
}

void StoreFeed::finish(Nva& nva)
{
    char* text = nullptr;
    store_outcome outcome = store_take_outcome(&text);
    std::string error = text ? text : "";
    free(text);
    switch (outcome) {
    case STORE_NONE:
    case STORE_RUNNING: return;
    case STORE_DONE:
        for (Op& op : batch_) {
            answer(nva, std::move(op), {});
        }
        batch_.clear();
        return;
    case STORE_AGAIN: return retry();
    case STORE_FAILED:
        if (batch_.size() > 1) {
            one_by_one_ = batch_.size();    // to find the one that it is about
            return retry();
        }
        for (Op& op : batch_) {
            bool clash = error.find("constraint violation") != std::string::npos;
            if (clash && std::holds_alternative<PutSender>(op.change)) {
                answer(nva, std::move(op), base::Error{EEXIST, "the SPI is taken"});
            } else if (clash && op.tries < kTries) {
                return retry();             // another NVA's row, soon seen here
            } else {
                base::log(base::LogLevel::warn, "store", "a change was refused: " + error);
                answer(nva, std::move(op), base::Error{EIO, "the store refused the change"});
            }
        }
        batch_.clear();
    }
}

void StoreFeed::retry()
{
    std::lock_guard lock(mutex_);
    queue_.insert(queue_.begin(), std::make_move_iterator(batch_.begin()), std::make_move_iterator(batch_.end()));
    batch_.clear();
}

}  // namespace nvo3::nva
