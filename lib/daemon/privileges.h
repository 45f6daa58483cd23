// SPDX-License-Identifier: Apache-2.0
//
// Gives up what a daemon does not need.
//
// Place: lib/daemon, called by the main.cc of each daemon.  Thread: before any thread but the caller exists.
#ifndef NVO3_DAEMON_PRIVILEGES_H
#define NVO3_DAEMON_PRIVILEGES_H

#include "base/result.h"

namespace nvo3::daemon {

// No core dumps, no ptrace by others, files for the owner alone, no new privileges; of
// the capabilities only those to read the key and to reach the sockets of OVS stay
// (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH).
base::Status drop_privileges();

}  // namespace nvo3::daemon
#endif
