// SPDX-License-Identifier: Apache-2.0
//
// See service.h: what NVEs ask for.  An NVE may announce only interfaces of its own, in
// networks that it serves, so many, and none that another NVE holds; what is refused is answered,
// counted and audited.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "nva/service.h"

namespace nvo3::nva {

using control::AuditKind;
using control::Envelope;

namespace {

std::vector<base::IpAddress> addresses_of(const control::proto::MappingAnnounce& announce)
{
    std::vector<base::IpAddress> addresses;
    for (const std::string& octets : announce.addresses()) {
        addresses.push_back(base::IpAddress::from_bytes({reinterpret_cast<const uint8_t*>(octets.data()), octets.size()}));
    }
    std::ranges::sort(addresses);
    addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
    return addresses;
}

// Empty: good.
std::string wrong_with(const PutMapping& mapping)
{
    if (mapping.mac.is_multicast() || mapping.mac.is_zero()) {
        return to_string(mapping.mac) + " is not the MAC address of an interface";
    }
    for (const base::IpAddress& address : mapping.addresses) {
        if (address.is_unspecified() || address.is_multicast() || address.is_loopback()) {
            return address.to_string() + " is not the IP address of an interface";
        }
    }
    return "";
}

}  // namespace

void Service::reply(Client& client, uint64_t request, bool accepted, const std::string& reason, std::chrono::milliseconds retry_after)
{
    Envelope answer;
    answer.set_in_reply_to(request);
    answer.mutable_mapping_result()->set_accepted(accepted);
    answer.mutable_mapping_result()->set_reason(reason.substr(0, 256));
    answer.mutable_mapping_result()->set_retry_after_ms(static_cast<uint32_t>(retry_after.count()));
    send(client, std::move(answer));
}

void Service::refuse(Client& client, const Envelope& message, const std::string& reason)
{
    base::Vni vni;
    if (message.body_case() == Envelope::kGroupRegister) {
        vni = base::Vni(message.group_register().vni());
        Envelope answer;
        answer.set_in_reply_to(message.request_id());
        auto& grant = *answer.mutable_group_grant();
        grant.set_reason(reason.substr(0, 256));
        grant.set_vni(message.group_register().vni());
        grant.set_group(message.group_register().group());
        grant.set_epoch(message.group_register().epoch());
        send(client, std::move(answer));
    } else if (message.body_case() == Envelope::kGroupRenew) {
        vni = base::Vni(message.group_renew().vni());
        Envelope answer;
        answer.set_in_reply_to(message.request_id());
        auto& renewed = *answer.mutable_group_renewed();
        renewed.set_reason(reason.substr(0, 256));
        renewed.set_vni(message.group_renew().vni());
        renewed.set_group(message.group_renew().group());
        send(client, std::move(answer));
    } else {
        vni = base::Vni(message.mapping_announce().vni());
        client.mappings.refused++;
        reply(client, message.request_id(), false, reason);
    }
    control::AuditEvent event{AuditKind::refused, client.name, client.session->remote_address(), reason};
    event.vni = vni;
    event.text = {{"message", control::message_name(message.body_case())}};
    audit_.write(event);
}

void Service::on_vn_refused(control::Session& session, const Envelope& message)
{
    if (Client* client = find(session)) {
        refuse(*client, message, "'" + client->name + "' does not serve this network");
    }
}

std::string Service::mapping_limit(const Client& client, const Vn& vn, const base::MacAddress& mac) const
{
    auto known = vn.mappings.find(mac);
    if (known != vn.mappings.end() && known->second.nve == client.name) {
        return "";
    }
    const Settings& settings = store_->settings;
    // Pending ones may be of any network, or withdrawals: a bound, not a count.
    if (known == vn.mappings.end() && vn.mappings.size() + client.pending >= settings.max_mappings_per_vn) {
        return "network " + vn.name + " has " + std::to_string(vn.mappings.size()) +
               " mappings, its limit is other_config:max-mappings-per-vn=" + std::to_string(settings.max_mappings_per_vn);
    }
    if (vn.mappings.size() + client.pending < settings.max_mappings_per_nve) {
        return "";
    }
    auto own = static_cast<size_t>(std::ranges::count_if(vn.mappings, [&](const auto& entry) { return entry.second.nve == client.name; }));
    if (own + client.pending >= settings.max_mappings_per_nve) {
        return "'" + client.name + "' has " + std::to_string(own) + " mappings in network " + vn.name +
               ", the limit is other_config:max-mappings-per-nve=" + std::to_string(settings.max_mappings_per_nve);
    }
    return "";
}

void Service::on_announce(Client& client, const Envelope& message)
{
    const auto& announce = message.mapping_announce();
    const Vn* vn = store_->find(base::Vni(announce.vni()));
    if (!vn) {
        return refuse(client, message, "there is no such network");
    }
    PutMapping mapping{vn->vni, client.name,
                       base::MacAddress::from_bytes({reinterpret_cast<const uint8_t*>(announce.mac().data()), announce.mac().size()}),
                       addresses_of(announce), "", ""};
    std::string wrong = wrong_with(mapping);
    if (wrong.empty() && !announce.withdraw()) {
        wrong = mapping_limit(client, *vn, mapping.mac);
    }
    if (!wrong.empty()) {
        return refuse(client, message, wrong);
    }
    if (const std::string other = holder(mapping); !other.empty() && !announce.withdraw() && may_be_taken_over(other)) {
        mapping.from = other;
        mapping.from_session = store_->session_of(other);
    }
    StoreChange change = mapping;
    if (announce.withdraw()) {
        change = DropMapping{mapping.vni, client.name, to_string(mapping.mac)};
    }
    client.pending++;
    writer_.submit(client.id, std::move(change),
                   [this, alive = alive_, id = client.id, request = message.request_id(), mapping,
                    withdraw = announce.withdraw()](const base::Status& status) {
                       if (*alive) {
                           written(id, request, mapping, withdraw, status);
                       }
                   });
}

void Service::written(uint64_t id, uint64_t request, const PutMapping& mapping, bool withdraw, const base::Status& status)
{
    Client* client = find(id);
    if (!client) {
        return;     // and has cancelled it, or was too late to
    }
    client->pending--;
    // One that is gone, or never was this NVE's, is withdrawn.
    if (status || (withdraw && status.error().code == ENOENT)) {
        client->mappings.accepted++;
        if (status && !mapping.from.empty() && !withdraw) {
            control::AuditEvent event{AuditKind::alarm, client->name, client->session->remote_address(),
                                      "takes over " + to_string(mapping.mac) + " from '" + mapping.from + "', which has had no session with an NVA for " +
                                          std::to_string(store_->settings.takeover_seconds) + " seconds"};
            event.vni = mapping.vni;
            audit_.write(event);
            base::log(base::LogLevel::warn, "service", "'" + client->name + "' " + event.reason);
        }
        return reply(*client, request, true, "");
    }
    if (status.error().code == ECANCELED) {
        return reply(*client, request, false, status.error().text);     // what counts is the later one
    }
    client->mappings.refused++;
    std::string reason = status.error().text;
    const std::string held_by = status.error().code == EEXIST ? holder(mapping) : "";
    const std::chrono::milliseconds retry_after = taken_over_in(held_by);
    if (retry_after.count() != 0) {
        reason = "the MAC address is held by '" + held_by + "', which is away: another may have it when that has had no session with an NVA for " +
                 std::to_string(store_->settings.takeover_seconds) + " seconds";
    }
    control::AuditEvent event{AuditKind::refused, client->name, client->session->remote_address(), reason};
    event.vni = mapping.vni;
    event.text = {{"mac", to_string(mapping.mac)}, {"message", "MappingAnnounce"}};
    audit_.write(event);
    reply(*client, request, false, reason, retry_after);
}

// Who has the MAC address instead, as far as is known here; empty: nobody.
std::string Service::holder(const PutMapping& mapping) const
{
    const Vn* vn = store_->find(mapping.vni);
    auto known = vn ? vn->mappings.find(mapping.mac) : std::map<base::MacAddress, Mapping>::const_iterator{};
    return !vn || known == vn->mappings.end() || known->second.nve == mapping.nve ? "" : known->second.nve;
}

void Service::on_register(Client& client, const Envelope& message)
{
    groups_.enrol(client.id, client.name, client.groups, message.group_register(),
                  [this, alive = alive_, id = client.id, message](const control::proto::GroupGrant& grant) {
                      Client* client = *alive ? find(id) : nullptr;
                      if (!client) {
                          return;
                      }
                      if (!grant.accepted()) {
                          return refuse(*client, message, grant.reason());
                      }
                      Envelope answer;
                      answer.set_in_reply_to(message.request_id());
                      *answer.mutable_group_grant() = grant;
                      send(*client, std::move(answer));
                  });
}

void Service::on_renew(Client& client, const Envelope& message)
{
    groups_.renew(client.name, message.group_renew(), [this, alive = alive_, id = client.id, message](const control::proto::GroupRenewed& renewed) {
        Client* client = *alive ? find(id) : nullptr;
        if (!client) {
            return;
        }
        if (!renewed.accepted()) {
            return refuse(*client, message, renewed.reason());
        }
        Envelope answer;
        answer.set_in_reply_to(message.request_id());
        *answer.mutable_group_renewed() = renewed;
        send(*client, std::move(answer));
    });
}

}  // namespace nvo3::nva
