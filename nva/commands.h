// SPDX-License-Identifier: Apache-2.0
//
// The commands of "ovs-appctl -t nvo3-nva".
//
// Place: between lib/daemon/commands.h and nva.h.  Thread: the OVS thread.
#ifndef NVA_COMMANDS_H
#define NVA_COMMANDS_H

#include "nva/nva.h"

namespace nvo3::nva {

// 'nva' must outlive the unixctl server.
void register_commands(Nva& nva);

}  // namespace nvo3::nva
#endif
