// SPDX-License-Identifier: Apache-2.0
//
// See directory.h.
#include "nva/directory.h"

#include <utility>

namespace nvo3::nva {
namespace {

using control::Envelope;
using control::proto::VnUpdate;

std::string octets(base::ByteView view)
{
    return {reinterpret_cast<const char*>(view.data()), view.size()};
}

std::string octets(const base::MacAddress& mac)
{
    return octets(base::ByteView(mac.octets));
}

// Calls 'differs' with each key whose value is not the same in both.
template <class Map, class F>
void compare(const Map& before, const Map& now, F differs)
{
    auto a = before.begin();
    auto b = now.begin();
    while (a != before.end() || b != now.end()) {
        if (b == now.end() || (a != before.end() && a->first < b->first)) {
            differs(a++->first);
        } else if (a == before.end() || b->first < a->first) {
            differs(b++->first);
        } else {
            if (a->second != b->second) {
                differs(a->first);
            }
            ++a, ++b;
        }
    }
}

bool same_head(const Vn& a, const Vn& b)
{
    auto groups = [](const Vn& vn) {
        std::vector<base::IpAddress> addresses;
        for (const auto& [address, group] : vn.groups) {
            addresses.push_back(address);
        }
        return addresses;
    };
    return a.name == b.name && a.cipher == b.cipher && a.encap == b.encap && groups(a) == groups(b);
}

// Writes a step as messages, none above the limits.
class StepWriter {
public:
    StepWriter(const Vn& vn, uint64_t from, uint64_t version, const Directory::Limits& limits)
        : vn_(vn), version_(version), limits_(limits)
    {
        begin();
        update_->set_from_version(from);
        update_->set_name(vn.name);
        update_->set_encap(static_cast<control::proto::Encap>(vn.encap));
        update_->set_cipher(static_cast<uint32_t>(vn.cipher));
        for (const auto& [address, group] : vn.groups) {
            update_->add_groups(octets(address.wire()));
        }
    }

    void member(const std::string& name)
    {
        auto it = vn_.members.find(name);
        if (it == vn_.members.end()) {
            room(name.size() + 8);
            update_->add_members_gone(name);
            return;
        }
        room(name.size() + 18 * it->second.size() + 16);
        auto& member = *update_->add_members();
        member.set_name(name);
        for (const base::IpAddress& address : it->second) {
            member.add_addresses(octets(address.wire()));
        }
    }

    void mapping(const base::MacAddress& mac)
    {
        auto it = vn_.mappings.find(mac);
        if (it == vn_.mappings.end()) {
            room(8);
            update_->add_mappings_gone(octets(mac));
            return;
        }
        room(it->second.nve.size() + 18 * it->second.addresses.size() + 24);
        auto& mapping = *update_->add_mappings();
        mapping.set_mac(octets(mac));
        mapping.set_nve(it->second.nve);
        for (const base::IpAddress& address : it->second.addresses) {
            mapping.add_addresses(octets(address.wire()));
        }
    }

    std::vector<Envelope> take() { return std::move(messages_); }

private:
    void begin()
    {
        update_ = messages_.emplace_back().mutable_vn_update();
        update_->set_vni(vn_.vni.value);
        update_->set_version(version_);
        size_ = 256 + 18 * vn_.groups.size();
        entries_ = 0;
    }

    // For an entry of at most 'size' octets: in this part, or in another.
    void room(size_t size)
    {
        if (entries_ > 0 && (size_ + size > limits_.part_octets || entries_ >= limits_.part_entries)) {
            update_->set_more(true);
            begin();
        }
        size_ += size;
        entries_++;
    }

    const Vn& vn_;
    const uint64_t version_;
    const Directory::Limits& limits_;
    std::vector<Envelope> messages_;
    VnUpdate* update_ = nullptr;
    size_t size_ = 0, entries_ = 0;
};

}  // namespace

Directory::Directory(uint64_t instance, Limits limits) : instance_(instance), limits_(limits) {}

void Directory::apply(std::shared_ptr<const StoreView> view)
{
    std::erase_if(entries_, [&](const auto& entry) {
        bool goes = !view->vns.contains(entry.first);
        if (goes) {
            set_members(entry.second.vn.get(), nullptr);
        }
        return goes;
    });
    for (const auto& [vni, vn] : view->vns) {
        Entry& entry = entries_[vni];
        if (entry.vn != vn) {
            set_members(entry.vn.get(), vn.get());
            update(entry, vn);
        }
    }
    policies_.apply(view->policy);
}

// Null: there is, or was, no such network.
void Directory::set_members(const Vn* before, const Vn* now)
{
    static const Vn none;
    const auto& former = before ? before->members : none.members;
    const auto& present = now ? now->members : none.members;
    compare(former, present, [&](const std::string& name) {
        if (!present.contains(name)) {
            auto it = networks_.find(name);
            it->second.erase(before->vni);
            if (it->second.empty()) {
                networks_.erase(it);
            }
        } else {
            networks_[name].insert(now->vni);
        }
    });
}

void Directory::update(Entry& entry, std::shared_ptr<const Vn> vn)
{
    uint64_t version = counter_ + 1;
    if (!entry.vn) {
        entry.log_begin = version;
        entry.version = version;
    } else {
        size_t before = entry.log.size();
        if (!same_head(*entry.vn, *vn)) {
            entry.log.push_back({version, {}});
        }
        compare(entry.vn->members, vn->members, [&](const std::string& name) { entry.log.push_back({version, name}); });
        compare(entry.vn->mappings, vn->mappings, [&](const base::MacAddress& mac) { entry.log.push_back({version, mac}); });
        if (entry.log.size() != before) {
            entry.version = version;    // else only epochs or senders of a group are others
        }
    }
    entry.vn = std::move(vn);
    counter_ = std::max(counter_, entry.version);
    // A version's changes go together.
    while (entry.log.size() > limits_.log) {
        entry.log_begin = entry.log.front().version;
        while (!entry.log.empty() && entry.log.front().version == entry.log_begin) {
            entry.log.pop_front();
        }
    }
}

Directory::Subscriber Directory::subscribe(const std::string& nve, const control::proto::DirectoryRequest& request) const
{
    Subscriber subscriber;
    subscriber.nve = nve;
    subscriber.policy.digest = request.policy_digest();
    for (const auto& known : request.known()) {
        auto it = entries_.find(base::Vni(known.vni()));
        // A version that was never given out proves another history.
        bool ours = request.nva_instance() == instance_ && it != entries_.end() && known.version() <= it->second.version;
        subscriber.told[base::Vni(known.vni())] = ours ? known.version() : 0;
    }
    return subscriber;
}

const std::set<base::Vni>& Directory::networks_of(const std::string& nve) const
{
    static const std::set<base::Vni> none;
    auto it = networks_.find(nve);
    return it == networks_.end() ? none : it->second;
}

uint64_t Directory::version(base::Vni vni) const
{
    auto it = entries_.find(vni);
    return it == entries_.end() ? 0 : it->second.version;
}

bool Directory::is_current(const Subscriber& subscriber, base::Vni vni) const
{
    auto it = subscriber.told.find(vni);
    return it != subscriber.told.end() && it->second != 0 && it->second == version(vni);
}

bool Directory::has_policy(const Subscriber& subscriber) const
{
    return policies_.is_current(subscriber.policy, networks_of(subscriber.nve));
}

std::vector<control::Envelope> Directory::next(Subscriber& subscriber) const
{
    const std::set<base::Vni>& serves = networks_of(subscriber.nve);
    // What was lost first: it is the more urgent.
    for (auto it = subscriber.told.begin(); it != subscriber.told.end(); ++it) {
        if (!serves.contains(it->first)) {
            std::vector<Envelope> messages(1);
            messages[0].mutable_vn_gone()->set_vni(it->first.value);
            messages[0].mutable_vn_gone()->set_reason("this NVE does not serve the network");
            subscriber.told.erase(it);
            return messages;
        }
    }
    // The policy needs the networks that it is about, but waits for no change of theirs: who
    // announces without end must not keep it from anybody.
    for (bool whole : {true, false}) {
        for (base::Vni vni : serves) {
            const Entry& entry = entries_.at(vni);
            uint64_t& told = subscriber.told[vni];
            if (whole ? told == 0 : told != entry.version) {
                return step(entry, std::exchange(told, entry.version));
            }
        }
        if (std::optional<Envelope> message = policies_.next(subscriber.policy, serves)) {
            return {*std::move(message)};
        }
    }
    if (!subscriber.ready) {
        subscriber.ready = true;
        std::vector<Envelope> messages(1);
        messages[0].mutable_directory_ready();
        return messages;
    }
    return {};
}

std::vector<control::Envelope> Directory::step(const Entry& entry, uint64_t from) const
{
    const Vn& vn = *entry.vn;
    if (from == 0 || from < entry.log_begin) {
        StepWriter writer(vn, 0, entry.version, limits_);
        for (const auto& [name, addresses] : vn.members) {
            writer.member(name);
        }
        for (const auto& [mac, mapping] : vn.mappings) {
            writer.mapping(mac);
        }
        return writer.take();
    }
    // Each once, as it is now.
    std::set<std::string> members;
    std::set<base::MacAddress> mappings;
    for (auto it = entry.log.rbegin(); it != entry.log.rend() && it->version > from; ++it) {
        if (const auto* name = std::get_if<std::string>(&it->what)) {
            members.insert(*name);
        } else if (const auto* mac = std::get_if<base::MacAddress>(&it->what)) {
            mappings.insert(*mac);
        }
    }
    StepWriter writer(vn, from, entry.version, limits_);
    for (const std::string& name : members) {
        writer.member(name);
    }
    for (const base::MacAddress& mac : mappings) {
        writer.mapping(mac);
    }
    return writer.take();
}

}  // namespace nvo3::nva
