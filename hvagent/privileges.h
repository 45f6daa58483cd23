// SPDX-License-Identifier: Apache-2.0
//
// Gives up what the agent does not need.
//
// Place: called by main.cc.  Thread: before any thread but the caller exists.
#ifndef HVAGENT_PRIVILEGES_H
#define HVAGENT_PRIVILEGES_H

#include "base/result.h"

namespace nvo3::agent {

// No core dumps, no ptrace by others, files for the owner alone, no new privileges; of
// the capabilities only those to read the key and to reach the sockets of OVS stay
// (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH).
base::Status drop_privileges();

}  // namespace nvo3::agent
#endif
