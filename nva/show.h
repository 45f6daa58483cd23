// SPDX-License-Identifier: Apache-2.0
//
// The NVA's state in words and as JSON.  No key is in it.
//
// Place: used by commands.cc.  Thread: pure functions.
#ifndef NVA_SHOW_H
#define NVA_SHOW_H

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/audit.h"
#include "nva/view.h"

namespace nvo3::nva {

std::string show_sessions(const ServiceView&, StoreState, bool json);
// State of the store alone, one line.
std::string show_store(const ServiceView&, StoreState, bool json);
// 'which': a name or VNI with its members and mappings; empty: all, in short.  ENOENT.
base::Result<std::string> show_vns(const ServiceView&, const std::string& which, bool json);
std::string show_groups(const ServiceView&, bool json);
// For Prometheus; 'events' are those of the audit log.
std::string show_metrics(const ServiceView&, StoreState, const std::map<control::AuditKind, uint64_t>& events);

}  // namespace nvo3::nva
#endif
