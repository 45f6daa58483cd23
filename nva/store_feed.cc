// SPDX-License-Identifier: Apache-2.0
//
// See store_feed.h.
#include "nva/store_feed.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
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

StoreModel::RowId row_id(const void* id)
{
    StoreModel::RowId result;
    std::memcpy(result.data(), id, result.size());
    return result;
}

// Tells the model what has changed.
class Reader {
public:
    explicit Reader(StoreModel* model) : model_(model)
    {
        store_visitor visitor{};
        visitor.aux = this;
        visitor.all = [](void* aux) { of(aux).clear(); };
        visitor.gone = [](void* aux, const void* id) { of(aux).erase(row_id(id)); };
        visitor.setting = [](void* aux, const char* key, const char* value) { static_cast<Reader*>(aux)->settings_[key] = value; };
        visitor.nve = [](void* aux, const void* id, const char* name, char** addresses, size_t n, bool revoked,
                         const char* session) { of(aux).put(row_id(id), raw::Nve{name, strings(addresses, n), revoked, session}); };
        visitor.nva = [](void* aux, const void* id, const char* instance, int64_t beat) { of(aux).put(row_id(id), raw::Nva{instance, beat}); };
        visitor.vn = [](void* aux, const void* id, const char* name, uint32_t vni, const char* encap, const char* cipher) {
            of(aux).put(row_id(id), raw::Vn{name, vni, encap, cipher});
        };
        visitor.policy = [](void* aux, const void* id, const char* text, int64_t version) {
            of(aux).put(row_id(id), raw::Policy{text, version});
        };
        visitor.member = [](void* aux, const void* id, uint32_t vni, const char* nve) { of(aux).put(row_id(id), raw::Member{vni, nve}); };
        visitor.mapping = [](void* aux, const void* id, uint32_t vni, const char* mac, char** addresses, size_t n, const char* nve) {
            of(aux).put(row_id(id), raw::Mapping{vni, mac, strings(addresses, n), nve});
        };
        visitor.group = [](void* aux, const void* id, uint32_t vni, const char* address, uint32_t epoch, const char* nonce, int64_t started,
                           char** told, size_t n) {
            of(aux).put(row_id(id), raw::Group{vni, address, epoch, nonce, started, strings(told, n)});
        };
        visitor.sender = [](void* aux, const void* id, uint32_t vni, const char* group, const char* nve, uint32_t epoch, const char* sender_id,
                            uint32_t spi) { of(aux).put(row_id(id), raw::Sender{vni, group, nve, epoch, sender_id, spi}); };
        store_visit(&visitor);
        model_->set_settings(settings_);
    }

private:
    static StoreModel& of(void* aux) { return *static_cast<Reader*>(aux)->model_; }

    StoreModel* model_;
    std::map<std::string, std::string> settings_;
};

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
        return store_put_mapping(c.vni.value, c.nve.c_str(), to_string(c.mac).c_str(), pointers(texts).data(), texts.size(),
                                 c.from.empty() ? nullptr : c.from.c_str(), c.from_session.c_str(), &holder);
    }
    int operator()(const DropMapping& c) { return store_drop_mapping(c.vni.value, c.nve.c_str(), c.mac.c_str()); }
    int operator()(const PutSession& c)
    {
        return c.ends ? store_end_session(c.nve.c_str(), c.instance.c_str()) : store_put_session(c.nve.c_str(), c.instance.c_str());
    }
    int operator()(const NvaBeat& c) { return c.dead ? store_drop_nva(c.instance.c_str()) : store_beat(c.instance.c_str()); }
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
    std::vector<ChangeQueue::Refused> refused;
    {
        std::lock_guard lock(mutex_);
        refused = queue_.push({owner, std::move(change), std::move(done)});
    }
    ovs_daemon_wake();
    for (ChangeQueue::Refused& one : refused) {
        one.done(one.error);
    }
}

void StoreFeed::cancel(uint64_t owner)
{
    std::lock_guard lock(mutex_);
    queue_.cancel(owner);
}

void StoreFeed::run(Nva& nva)
{
    if (store_run()) {
        Reader reader(&model_);
        nva.apply(model_.view());
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

void StoreFeed::begin(Nva& nva)
{
    std::vector<Op> taken;
    {
        std::lock_guard lock(mutex_);
        if (!batch_.empty()) {
            return;
        }
        auto next = queue_.next();
        if (!next) {
            return;
        }
        if (auto wait = std::chrono::ceil<std::chrono::milliseconds>(*next - base::system_clock().now()); wait.count() > 0) {
            ovs_daemon_wake_at(ovs_daemon_now() + wait.count());
            return;
        }
        if (!store_begin()) {
            return;
        }
        taken = queue_.take(one_by_one_ > 0 ? 1 : kBatch);
    }
    for (Op& op : taken) {
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
    case STORE_AGAIN: return retry(nva);
    case STORE_FAILED:
        if (batch_.size() > 1) {
            one_by_one_ = batch_.size();    // to find the one that it is about
            return retry(nva);
        }
        for (Op& op : batch_) {
            bool clash = error.find("constraint violation") != std::string::npos;
            if (clash && std::holds_alternative<PutSender>(op.change)) {
                answer(nva, std::move(op), base::Error{EEXIST, "the SPI is taken"});
            } else if (clash && op.tries < kTries) {
                return retry(nva);             // another NVA's row, soon seen here
            } else {
                base::log(base::LogLevel::warn, "store", "a change was refused: " + error);
                answer(nva, std::move(op), base::Error{EIO, "the store refused the change"});
            }
        }
        batch_.clear();
    }
}

void StoreFeed::retry(Nva& nva)
{
    std::vector<ChangeQueue::Refused> refused;
    {
        std::lock_guard lock(mutex_);
        refused = queue_.put_back(std::exchange(batch_, {}));
    }
    for (ChangeQueue::Refused& one : refused) {
        nva.post([done = std::move(one.done), error = std::move(one.error)] { done(error); });
    }
}

}  // namespace nvo3::nva
