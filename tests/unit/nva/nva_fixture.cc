// SPDX-License-Identifier: Apache-2.0
//
// See nva_fixture.h.
#include "tests/unit/nva/nva_fixture.h"

#include <algorithm>

namespace nvo3::tests {
namespace {

nva::StoreModel::RowId row_id(uint8_t table, size_t number)
{
    return {table, static_cast<uint8_t>(number >> 8), static_cast<uint8_t>(number)};
}

}  // namespace

std::shared_ptr<const nva::StoreView> view_of(const Rows& rows, nva::StoreModel* model)
{
    model->clear();
    model->set_settings(rows.other_config);
    auto put = [&](uint8_t table, const auto& list) {
        for (size_t i = 0; i < list.size(); i++) {
            model->put(row_id(table, i), list[i]);
        }
    };
    put(1, rows.nves);
    put(2, rows.vns);
    put(3, rows.members);
    put(4, rows.mappings);
    put(5, rows.groups);
    put(6, rows.senders);
    put(7, rows.policies);
    put(8, rows.nvas);
    return model->view();
}

Rows small_store()
{
    Rows raw;
    for (const char* n : {"1", "2", "3"}) {
        raw.nves.push_back({std::string("hv") + n, {std::string("10.0.0.") + n}, false, ""});
    }
    raw.vns = {{"red", kRed, "geneve", "aes128gcm"}, {"blue", kBlue, "vxlan", "aes256gcm"}};
    raw.members = {{kRed, "hv1"}, {kRed, "hv2"}, {kBlue, "hv2"}, {kBlue, "hv3"}};
    return raw;
}

void FakeStore::submit(uint64_t owner, nva::StoreChange change, Done done)
{
    // Of who is there, which no test waits for.
    if (std::holds_alternative<nva::PutSession>(change) || std::holds_alternative<nva::NvaBeat>(change)) {
        done(make(change));
        if (at_once && on_change) {
            on_change();
        }
        return;
    }
    queue.push_back({owner, std::move(change), std::move(done)});
    if (at_once) {
        work();
    }
}

void FakeStore::cancel(uint64_t owner)
{
    std::erase_if(queue, [&](const Op& op) { return op.owner == owner; });
}

void FakeStore::work()
{
    while (!queue.empty()) {
        Op op = std::move(queue.front());
        queue.pop_front();
        base::Status status = make(op.change);
        op.done(status);
        if (status && on_change) {
            on_change();
        }
    }
}

bool FakeStore::is_member(base::Vni vni, const std::string& nve) const
{
    return std::ranges::any_of(rows.members, [&](const auto& row) { return row.vni == vni.value && row.nve == nve; }) &&
           std::ranges::any_of(rows.nves, [&](const auto& row) { return row.name == nve && !row.revoked; });
}

std::string FakeStore::session(const std::string& nve) const
{
    auto it = std::ranges::find(rows.nves, nve, &nva::raw::Nve::name);
    return it == rows.nves.end() ? "" : it->session;
}

nva::raw::Group* FakeStore::group(base::Vni vni, const base::IpAddress& address)
{
    auto it = std::ranges::find_if(rows.groups, [&](const auto& row) { return row.vni == vni.value && row.address == address.to_string(); });
    return it == rows.groups.end() ? nullptr : &*it;
}

base::Status FakeStore::make(const nva::StoreChange& change)
{
    if (const auto* put = std::get_if<nva::PutMapping>(&change)) {
        auto it = std::ranges::find_if(rows.mappings, [&](const auto& row) { return row.vni == put->vni.value && row.mac == to_string(put->mac); });
        if (it != rows.mappings.end() && it->nve != put->nve && !(it->nve == put->from && session(put->from) == put->from_session)) {
            return base::Error{EEXIST, nva::mac_is_held_by(it->nve)};
        }
        if (!is_member(put->vni, put->nve)) {
            return base::Error{EPERM, "no member"};
        }
        if (it == rows.mappings.end()) {
            it = rows.mappings.insert(it, nva::raw::Mapping{put->vni.value, to_string(put->mac), {}, {}});
        }
        it->nve = put->nve;
        it->addresses.clear();
        for (const base::IpAddress& address : put->addresses) {
            it->addresses.push_back(address.to_string());
        }
    } else if (const auto* drop = std::get_if<nva::DropMapping>(&change)) {
        if (std::erase_if(rows.mappings, [&](const auto& row) { return row.vni == drop->vni.value && row.mac == drop->mac && row.nve == drop->nve; }) == 0) {
            return base::Error{ENOENT, "no such row"};
        }
    } else if (const auto* session = std::get_if<nva::PutSession>(&change)) {
        for (auto& row : rows.nves) {
            if (row.name == session->nve && (!session->ends || row.session == session->instance)) {
                row.session = session->ends ? "" : session->instance;
            }
        }
    } else if (const auto* beat = std::get_if<nva::NvaBeat>(&change)) {
        auto it = std::ranges::find(rows.nvas, beat->instance, &nva::raw::Nva::instance);
        if (beat->dead) {
            std::erase_if(rows.nvas, [&](const auto& row) { return row.instance == beat->instance; });
        } else if (it == rows.nvas.end()) {
            rows.nvas.push_back({beat->instance, 1});
        } else {
            it->beat++;
        }
    } else if (const auto* start = std::get_if<nva::StartEpoch>(&change)) {
        nva::raw::Group* row = group(start->vni, start->group);
        if (!row || row->epoch != start->epoch_now) {
            return base::Error{ESTALE, "another epoch"};
        }
        row->epoch = static_cast<uint32_t>(start->epoch);
        row->nonce = base::to_hex(start->nonce);
        row->started = start->started;
        row->told = start->told;
        std::erase_if(rows.senders, [&](const auto& sender) { return sender.vni == start->vni.value && sender.group == row->address; });
    } else if (const auto* add = std::get_if<nva::AddTold>(&change)) {
        nva::raw::Group* row = group(add->vni, add->group);
        if (!row || row->epoch != add->epoch) {
            return base::Error{ESTALE, "another epoch"};
        }
        row->told.insert(row->told.end(), add->nves.begin(), add->nves.end());
    } else if (const auto* sender = std::get_if<nva::PutSender>(&change)) {
        if (!next_sender_fails) {
            return std::exchange(next_sender_fails, {});
        }
        nva::raw::Group* row = group(sender->vni, sender->group);
        if (!row || row->epoch != sender->epoch) {
            return base::Error{ESTALE, "another epoch"};
        }
        std::erase_if(rows.senders, [&](const auto& old) { return old.vni == sender->vni.value && old.group == row->address && old.nve == sender->nve; });
        rows.senders.push_back({sender->vni.value, row->address, sender->nve, sender->epoch, base::to_hex(sender->sender_id), sender->spi.value});
    }
    return {};
}

}  // namespace nvo3::tests
