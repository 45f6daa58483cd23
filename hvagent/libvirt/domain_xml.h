// SPDX-License-Identifier: Apache-2.0
//
// Reads libvirt's XML of a domain: which of its interfaces are in which virtual network.
//
// An interface is ours if it has <virtualport type='openvswitch'>, whatever its type, and a
// network: that of <parameters profileid=>, or of the domain's <metadata>, which wins:
//
//   <nvo3:networks xmlns:nvo3="urn:ovs-nvo3:domain:1">
//     <nvo3:interface mac="52:54:00:00:50:01" vn="blue" addresses="10.0.0.5"/>
//     <nvo3:interface vn="red"/>        all that no other line names
//   </nvo3:networks>
//
// Each attribute by itself: a line with addresses and without vn leaves the profile's
// network.  doc/split-nve.md says it for operators.
//
// Place: used by the libvirt adapter and the hook command; knows libxml2, not libvirt.
// Thread: pure function.
#ifndef HVAGENT_LIBVIRT_DOMAIN_XML_H
#define HVAGENT_LIBVIRT_DOMAIN_XML_H

#include <string_view>

#include "base/result.h"
#include "hvagent/split/vm.h"

namespace nvo3::agent {

inline constexpr const char* kMetadataNamespace = "urn:ovs-nvo3:domain:1";

// A VM's owner may have written parts of it: no document type, no entity, nothing fetched,
// and no more than these.
inline constexpr size_t kMaxDomainXml = 1 << 20;
inline constexpr size_t kMaxDomainInterfaces = 128;
inline constexpr size_t kMaxDomainProblems = 16;

// 'run' of what is returned is VmRun::gone: the XML does not say it.  What can be used
// is used; the rest becomes problems.  The error is a sentence: no XML, or of no domain.
base::Result<Vm> parse_domain(std::string_view xml);

}  // namespace nvo3::agent
#endif
