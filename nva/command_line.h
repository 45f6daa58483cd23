// SPDX-License-Identifier: Apache-2.0
//
// The options of nvo3-nva.
//
// Place: used by main.cc.  Thread: before any thread exists.
#ifndef NVA_COMMAND_LINE_H
#define NVA_COMMAND_LINE_H

#include <boost/program_options.hpp>

#include "base/result.h"
#include "daemon/options.h"
#include "daemon/ovs_daemon.h"
#include "nva/nva.h"

namespace nvo3::nva {

boost::program_options::options_description own_options();
// The error names the option.
base::Result<Nva::Options> read_settings(const daemon::Options&, const ovs_daemon_options&);

}  // namespace nvo3::nva
#endif
