// SPDX-License-Identifier: Apache-2.0
//
// See wish_list.h.
#include "hvagent/split/wish_list.h"

#include <algorithm>
#include <set>
#include <utility>

#include "control/session.h"

namespace nvo3::agent {
namespace {

// Of control.proto.
constexpr size_t kMaxId = 64, kMaxVn = 255;

// What the NVE would end the session for, with all that others have to tell.
bool is_id(const std::string& text)
{
    return !text.empty() && text.size() <= kMaxId && std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

class Maker {
public:
    Maker(const std::vector<RawVmPort>& ports, WishList& out) : ports_(ports), out_(out)
    {
        for (const RawVmPort& port : ports) {
            if (!port.iface_id.empty()) {
                by_id_.emplace(port.iface_id, &port);
            }
        }
    }

    void add(const Vm& vm)
    {
        for (const std::string& problem : vm.problems) {
            refuse(vm, "", problem);
        }
        for (const VmInterface& interface : vm.interfaces) {
            const RawVmPort* port = port_of(interface);
            if (port) {
                claimed_.insert(port);
            }
            auto addresses = parse_addresses(interface.addresses);
            if (!addresses) {
                refuse(vm, port ? port->name : "", "interface " + to_string(interface.mac) + ": nvo3-addresses: " + addresses.error().text);
                continue;
            }
            std::string problem = add({interface.id, vm.uuid, vm.name, interface.vn, interface.mac, *addresses, port ? port->name : "", vm.run},
                                      port ? port->ofport : 0);
            if (!problem.empty()) {
                refuse(vm, port ? port->name : "", problem);
            }
        }
    }

    void add_unclaimed(const std::map<std::string, Vm>& vms, Libvirt libvirt)
    {
        for (const RawVmPort& port : ports_) {
            if (claimed_.contains(&port)) {
                continue;
            }
            if (port.vn.empty() && port.port_profile.empty()) {
                add_ordinary(port, vms, libvirt);
                continue;
            }
            if (libvirt == Libvirt::there && port.vn.empty()) {
                out_.problems[port.name] = "no VM of libvirt has an interface with the id of this port (external_ids:iface-id=" + port.iface_id + ")";
                continue;
            }
            auto tsi = parse_tsi(port);
            if (!tsi) {
                out_.problems[port.name] = tsi.error().text;
                continue;
            }
            std::string problem = add({port.iface_id.empty() ? port.name : port.iface_id, port.name, port.name, tsi->vn, tsi->mac, tsi->addresses,
                                       port.name, VmRun::running}, port.ofport);
            if (!problem.empty()) {
                out_.problems[port.name] = problem;
            }
        }
    }

private:
    const RawVmPort* port_of(const VmInterface& interface) const
    {
        auto it = by_id_.find(interface.id);
        return it == by_id_.end() ? nullptr : it->second;
    }

    void refuse(const Vm& vm, const std::string& port, const std::string& text)
    {
        out_.problems.try_emplace(port.empty() ? "VM " + vm.name : port, text);
        out_.unusable_vms.try_emplace(vm.uuid, text);
    }

    void add_ordinary(const RawVmPort& port, const std::map<std::string, Vm>& vms, Libvirt libvirt)
    {
        auto vm = vms.find(port.vm_id);
        if (libvirt == Libvirt::none || port.vm_id.empty()) {
            out_.ordinary_ports.insert(port.name);
        } else if (vm != vms.end() && !vm->second.problems.empty()) {
            out_.problems[port.name] = vm->second.problems[0];      // which may be about this one
        } else if (vm != vms.end() && std::ranges::find(vm->second.ordinary, port.iface_id) != vm->second.ordinary.end()) {
            out_.ordinary_ports.insert(port.name);
        } else {
            out_.problems[port.name] = "libvirt has not told of this interface yet (external_ids:iface-id=" + port.iface_id + ")";
        }
    }

    // Why not; empty: added.
    std::string add(TsiWish wish, uint32_t ofport)
    {
        if (!is_id(wish.id)) {
            return "the id of interface " + to_string(wish.mac) + " (external_ids:iface-id, else the port's name), '" + control::quoted(wish.id) +
                   "', cannot be used: 1 to 64 printable ASCII characters without spaces are possible";
        }
        if (wish.vn.size() > kMaxVn) {
            return "the name of the network of interface " + to_string(wish.mac) + " has " + std::to_string(wish.vn.size()) + " octets, at most 255 are possible";
        }
        auto by_mac = macs_.find({wish.vn, wish.mac});
        auto by_id = ids_.find({wish.vn, wish.id});
        if (by_mac != macs_.end() || by_id != ids_.end()) {
            return "interface " + to_string(wish.mac) + " has the " + (by_mac != macs_.end() ? "MAC address of one of " + by_mac->second
                                                                                              : "id of one of " + by_id->second) + " in the same network";
        }
        macs_[{wish.vn, wish.mac}] = ids_[{wish.vn, wish.id}] = wish.vm_name;
        if (!wish.port.empty()) {
            out_.tsis.push_back({wish.port, ofport, wish.vn, wish.mac, wish.addresses});
        }
        out_.wishes.push_back(std::move(wish));
        return "";
    }

    const std::vector<RawVmPort>& ports_;
    WishList& out_;
    std::map<std::string, const RawVmPort*> by_id_;
    std::set<const RawVmPort*> claimed_;
    // Names of VMs by what no two may have.
    std::map<std::pair<std::string, base::MacAddress>, std::string> macs_;
    std::map<std::pair<std::string, std::string>, std::string> ids_;
};

}  // namespace

WishList make_wish_list(const std::map<std::string, Vm>& vms, const std::vector<RawVmPort>& ports, Libvirt libvirt)
{
    WishList list;
    Maker maker(ports, list);
    for (const auto& [uuid, vm] : vms) {
        maker.add(vm);
    }
    maker.add_unclaimed(vms, libvirt);
    std::ranges::sort(list.tsis, {}, &Tsi::port);
    return list;
}

}  // namespace nvo3::agent
