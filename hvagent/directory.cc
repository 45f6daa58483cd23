// SPDX-License-Identifier: Apache-2.0
//
// See directory.h.
#include "hvagent/directory.h"

#include <algorithm>
#include <utility>

namespace nvo3::agent {

namespace proto = control::proto;

namespace {

// Of DirectoryRequest.known, so that it fits a frame; the rest is told anew.
constexpr size_t kMaxKnown = 3000;
constexpr size_t kMaxAddresses = 16, kMaxNameSize = 128;

base::ByteView octets(const std::string& bytes)
{
    return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

base::Error misfit(uint32_t vni, const std::string& what)
{
    return {EPROTO, "the NVA told of VNI " + std::to_string(vni) + " " + what};
}

bool is_address(const std::string& bytes)
{
    return bytes.size() == 4 || bytes.size() == 16;
}

std::vector<base::IpAddress> to_addresses(const google::protobuf::RepeatedPtrField<std::string>& list)
{
    std::vector<base::IpAddress> addresses;
    for (const std::string& bytes : list) {
        addresses.push_back(base::IpAddress::from_bytes(octets(bytes)));
    }
    return addresses;
}

template <class List>
bool all_addresses(const List& list)
{
    return list.size() <= static_cast<int>(kMaxAddresses) && std::ranges::all_of(list, is_address);
}

// What the envelope's check may leave open; a later version of it may be laxer.
base::Status check(const proto::VnUpdate& update)
{
    if (!base::Vni(update.vni()).valid()) {
        return misfit(update.vni(), "that is above 24 bits");
    }
    if (!all_addresses(update.groups())) {
        return misfit(update.vni(), "a group that is no address");
    }
    for (const proto::VnMember& member : update.members()) {
        if (member.name().empty() || member.name().size() > kMaxNameSize || !all_addresses(member.addresses())) {
            return misfit(update.vni(), "a member with a name or address out of range");
        }
    }
    for (const proto::VnMapping& mapping : update.mappings()) {
        if (mapping.mac().size() != 6 || mapping.nve().empty() || mapping.nve().size() > kMaxNameSize || !all_addresses(mapping.addresses())) {
            return misfit(update.vni(), "a mapping with a MAC, NVE or address out of range");
        }
    }
    if (!std::ranges::all_of(update.mappings_gone(), [](const std::string& mac) { return mac.size() == 6; })) {
        return misfit(update.vni(), "a MAC that is not 6 octets");
    }
    return {};
}

size_t entries_of(const proto::VnUpdate& update)
{
    return static_cast<size_t>(update.members_size()) + static_cast<size_t>(update.members_gone_size()) +
           static_cast<size_t>(update.mappings_size()) + static_cast<size_t>(update.mappings_gone_size());
}

template <class Field>
bool assign(Field& field, Field value)
{
    bool differs = field != value;
    field = std::move(value);
    return differs;
}

// True if anything is now other than it was.
bool apply(const proto::VnUpdate& part, VnView& vn)
{
    bool changed = false;
    for (const std::string& name : part.members_gone()) {
        changed |= vn.members.erase(name) > 0;
    }
    for (const proto::VnMember& member : part.members()) {
        auto [it, is_new] = vn.members.try_emplace(member.name());
        changed |= assign(it->second, to_addresses(member.addresses())) || is_new;
    }
    for (const std::string& mac : part.mappings_gone()) {
        changed |= vn.mappings.erase(base::MacAddress::from_bytes(octets(mac))) > 0;
    }
    for (const proto::VnMapping& mapping : part.mappings()) {
        VnMapping value{to_addresses(mapping.addresses()), mapping.nve()};
        std::ranges::sort(value.addresses);
        auto [it, is_new] = vn.mappings.try_emplace(base::MacAddress::from_bytes(octets(mapping.mac())));
        changed |= assign(it->second, std::move(value)) || is_new;
    }
    return changed;
}

}  // namespace

proto::DirectoryRequest Directory::request() const
{
    proto::DirectoryRequest request;
    for (const auto& [vni, vn] : vns_) {
        if (vn.told && static_cast<size_t>(request.known_size()) < kMaxKnown) {
            auto& known = *request.add_known();
            known.set_vni(vni.value);
            known.set_version(vn.version);
        }
    }
    if (request.known_size() > 0) {
        request.set_nva_instance(nva_instance_);
    }
    return request;
}

void Directory::session_up(uint64_t nva_instance)
{
    step_.reset();
    if (nva_instance == nva_instance_ && nva_instance != 0) {
        return;
    }
    nva_instance_ = nva_instance;
    for (auto& [vni, vn] : vns_) {
        vn.told = false;
    }
}

// Whether a new step may begin with this part.
base::Status Directory::begin(const proto::VnUpdate& update)
{
    auto it = vns_.find(base::Vni(update.vni()));
    if (update.version() <= update.from_version()) {
        return misfit(update.vni(), "a step that does not go forward");
    }
    if (update.encap() != proto::ENCAP_GENEVE && update.encap() != proto::ENCAP_VXLAN) {
        return misfit(update.vni(), "an encapsulation that is not known");
    }
    if (update.cipher() > 255 || !esp::is_cipher(static_cast<uint8_t>(update.cipher()))) {
        return misfit(update.vni(), "cipher " + std::to_string(update.cipher()) + ", which this host does not know: upgrade it");
    }
    if (update.name().size() > kMaxNameSize) {
        return misfit(update.vni(), "a name that is too long");
    }
    if (update.from_version() == 0) {
        return it == vns_.end() && vns_.size() >= kMaxVns ? misfit(update.vni(), "which is one network too many") : base::Status{};
    }
    if (it == vns_.end() || !it->second.told || it->second.version != update.from_version()) {
        return misfit(update.vni(), "a step from version " + std::to_string(update.from_version()) + ", which this host does not have");
    }
    return {};
}

base::Result<bool> Directory::on_update(const proto::VnUpdate& update)
{
    base::Status status = check(update);
    if (status && !step_) {
        status = begin(update);
    } else if (status && (step_->parts[0].vni() != update.vni() || step_->parts[0].version() != update.version())) {
        status = misfit(update.vni(), "before the step of VNI " + std::to_string(step_->parts[0].vni()) + " was complete");
    }
    if (!status) {
        step_.reset();
        return status.error();
    }
    if (!update.more() && !step_) {
        return adopt({update});
    }
    if (!step_) {
        step_.emplace();
    }
    step_->entries += entries_of(update) + 1;
    if (step_->entries > 2 * (kMaxMembers + kMaxMappings)) {
        step_.reset();
        return misfit(update.vni(), "more in one step than a network can have");
    }
    step_->parts.push_back(update);
    if (update.more()) {
        return false;
    }
    Step whole = std::move(*step_);
    step_.reset();
    return adopt(whole.parts);
}

// All parts of a step at once.
base::Result<bool> Directory::adopt(const std::vector<proto::VnUpdate>& parts)
{
    const proto::VnUpdate& first = parts[0];
    const base::Vni vni(first.vni());
    Vn& vn = vns_[vni];
    const bool is_new = vn.version == 0;
    const bool whole = first.from_version() == 0;
    VnView fresh;
    VnView& state = whole ? fresh : vn.state;
    state.vni = vni;
    bool changed = assign(state.name, first.name());
    changed |= assign(state.encap, static_cast<base::Encap>(first.encap()));
    changed |= assign(state.cipher, static_cast<esp::Cipher>(first.cipher()));
    changed |= assign(state.groups, to_addresses(first.groups()));
    for (const proto::VnUpdate& part : parts) {
        changed |= apply(part, state);
    }
    if (state.members.size() > kMaxMembers || state.mappings.size() > kMaxMappings) {
        if (is_new) {
            vns_.erase(vni);
        } else {
            vn.told = vn.told && whole;     // half a step in it: to be told anew
            vn.view.reset();
            snapshot_.reset();
        }
        return misfit(vni.value, "more than " + std::to_string(kMaxMembers) + " members or " + std::to_string(kMaxMappings) + " mappings");
    }
    vn.version = first.version();
    vn.told = true;
    if (whole) {
        // The same again, from another NVA, makes no work for anybody.
        changed = is_new || fresh != vn.state;
        vn.state = std::move(fresh);
    }
    if (changed) {
        vn.view.reset();
        snapshot_.reset();
    }
    return changed;
}

bool Directory::on_gone(const proto::VnGone& gone)
{
    if (step_ && step_->parts[0].vni() == gone.vni()) {
        step_.reset();
    }
    if (vns_.erase(base::Vni(gone.vni())) == 0) {
        return false;
    }
    snapshot_.reset();
    return true;
}

bool Directory::on_ready()
{
    size_t erased = std::erase_if(vns_, [](const auto& entry) { return !entry.second.told; });
    bool changed = erased > 0 || !complete_;
    complete_ = true;
    if (changed) {
        snapshot_.reset();
    }
    return changed;
}

void Directory::clear()
{
    *this = Directory();
}

std::shared_ptr<const DirectoryView> Directory::snapshot() const
{
    if (!snapshot_) {
        auto view = std::make_shared<DirectoryView>();
        view->complete = complete_;
        for (const auto& [vni, vn] : vns_) {
            if (!vn.view) {
                vn.view = std::make_shared<const VnView>(vn.state);
            }
            view->vns.emplace(vni, vn.view);
        }
        snapshot_ = std::move(view);
    }
    return snapshot_;
}

}  // namespace nvo3::agent
