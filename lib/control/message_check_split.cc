// SPDX-License-Identifier: Apache-2.0
//
// What a message between a hypervisor and its external NVE must look like, see
// authorization.h.
#include <algorithm>

#include "control/message_check.h"

namespace nvo3::control {
namespace {

constexpr size_t kMaxTsi = 64;
constexpr size_t kMaxVm = 64;
constexpr int kMaxReported = 256;

// It stands in logs and in lists of names.
bool
is_printable(const std::string& text)
{
    return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

base::Status
check_tsi(uint32_t vni, const std::string& tsi, const std::string& in)
{
    if (base::Status status = check_vni(vni, in); !status.ok()) {
        return status;
    }
    return !tsi.empty() && tsi.size() <= kMaxTsi && is_printable(tsi)
               ? base::Status{}
               : malformed(in + " whose interface has no name, or one that is too long or not printable");
}

base::Status
check_encap(proto::Encap encap, const std::string& in)
{
    return encap == proto::ENCAP_GENEVE || encap == proto::ENCAP_VXLAN
               ? base::Status{}
               : malformed(in + " with an encapsulation that is not known");
}

}  // namespace

base::Status
check_message(const proto::VnConnect& request)
{
    return is_name(request.vn()) ? base::Status{}
                                 : malformed("a VnConnect without a network, or with a name that is too long");
}

base::Status
check_message(const proto::VnConnectResult& result, uint64_t in_reply_to)
{
    if (in_reply_to == 0) {
        return malformed("a VnConnectResult that answers nothing");
    }
    if (base::Status status = check_reason(result.reason(), "a VnConnectResult"); !status.ok()) {
        return status;
    }
    if (!result.accepted()) {
        return {};
    }
    if (!is_name(result.name())) {
        return malformed("a VnConnectResult without a name, or with one that is too long");
    }
    if (base::Status status = check_vni(result.vni(), "a VnConnectResult"); !status.ok()) {
        return status;
    }
    if (base::Status status = check_encap(result.encap(), "a VnConnectResult"); !status.ok()) {
        return status;
    }
    return is_cipher(result.cipher()) ? base::Status{}
                                      : malformed("a VnConnectResult with a cipher number out of range");
}

base::Status
check_message(const proto::VnDisconnect& request)
{
    if (base::Status status = check_vni(request.vni(), "a VnDisconnect"); !status.ok()) {
        return status;
    }
    return check_reason(request.reason(), "a VnDisconnect");
}

base::Status
check_message(const proto::TsiRequest& request)
{
    if (request.action() < proto::TSI_ASSOCIATE || request.action() > proto::TSI_DISASSOCIATE) {
        return malformed("a TsiRequest for an action that is not known");
    }
    if (base::Status status = check_tsi(request.vni(), request.tsi(), "a TsiRequest"); !status.ok()) {
        return status;
    }
    if (request.vm().size() > kMaxVm) {
        return malformed("a TsiRequest with a VM's name that is too long");
    }
    return check_interface(request.mac(), request.addresses(), "a TsiRequest");
}

base::Status
check_message(const proto::TsiResult& result, uint64_t in_reply_to)
{
    if (in_reply_to == 0) {
        return malformed("a TsiResult that answers nothing");
    }
    if (result.state() < proto::TSI_NONE || result.state() > proto::TSI_ACTIVE) {
        return malformed("a TsiResult with a state that is not known");
    }
    return check_reason(result.reason(), "a TsiResult");
}

base::Status
check_message(const proto::TsiRemoved& removed)
{
    if (base::Status status = check_tsi(removed.vni(), removed.tsi(), "a TsiRemoved"); !status.ok()) {
        return status;
    }
    return check_reason(removed.reason(), "a TsiRemoved");
}

base::Status
check_message(const proto::TsiReport& report, uint64_t in_reply_to)
{
    if (in_reply_to == 0) {
        return malformed("a TsiReport that answers nothing");
    }
    if (report.tsis_size() > kMaxReported) {
        return malformed("a TsiReport of too many interfaces");
    }
    for (const proto::TsiReport::Tsi& tsi : report.tsis()) {
        if (base::Status status = check_tsi(tsi.vni(), tsi.tsi(), "a TsiReport"); !status.ok()) {
            return status;
        }
        if (tsi.state() < proto::TSI_ASSOCIATED || tsi.state() > proto::TSI_ACTIVE) {
            return malformed("a TsiReport with a state that is not known");
        }
        if (base::Status status = check_interface(tsi.mac(), tsi.addresses(), "a TsiReport"); !status.ok()) {
            return status;
        }
    }
    return {};
}

base::Status
check_message(const proto::SlowDown& request)
{
    return request.messages_per_second() != 0 ? base::Status{} : malformed("a SlowDown to nothing");
}

}  // namespace nvo3::control
