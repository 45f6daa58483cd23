// SPDX-License-Identifier: Apache-2.0
//
// libvirt's XML of a domain, parts of which the VM's owner wrote.
// Place: tests/fuzz.
#include <cstdlib>
#include <set>
#include <string>

#include "hvagent/libvirt/domain_xml.h"
#include "hvagent/tsi.h"

using namespace nvo3::agent;

namespace {

// What goes into logs, JSON and messages.
void must_be_one_line(const std::string& text, size_t max)
{
    if (text.empty() || text.size() > max) {
        std::abort();
    }
    for (unsigned char c : text) {
        if (c < 0x20 || c == 0x7f) {
            std::abort();
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const auto vm = parse_domain({reinterpret_cast<const char*>(data), size});
    if (!vm) {
        must_be_one_line(vm.error().text, 500);
        return 0;
    }
    must_be_one_line(vm->name, 255);
    if (vm->uuid.size() != 36 || vm->interfaces.size() > kMaxDomainInterfaces || vm->problems.size() > kMaxDomainProblems) {
        std::abort();
    }
    for (const std::string& problem : vm->problems) {
        must_be_one_line(problem, 500);
    }
    std::set<std::string> ids;
    for (const VmInterface& one : vm->interfaces) {
        must_be_one_line(one.id, 64);
        must_be_one_line(one.vn, 255);
        if (!ids.insert(one.id).second || one.mac.is_zero() || one.mac.is_multicast() || !parse_addresses(one.addresses)) {
            std::abort();
        }
    }
    return 0;
}
