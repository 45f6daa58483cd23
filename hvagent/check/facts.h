// SPDX-License-Identifier: Apache-2.0
//
// What the checks look at besides the agent's configuration.
//
// Place: hvagent/check; filled by run.cc from the database.  Thread: values.
#ifndef HVAGENT_CHECK_FACTS_H
#define HVAGENT_CHECK_FACTS_H

#include <cstdint>
#include <string>
#include <vector>

namespace nvo3::agent {

struct InterfaceFact {
    std::string bridge, bridge_type;    // of the bridge that it is on
    std::string name, type;
    int64_t mtu = 0;                    // 0: the switch has not said any
};

struct Facts {
    std::string database;               // "unix:FILE", "tcp:..."
    bool reached = false;               // else what follows is empty
    std::vector<std::string> datapath_types;    // that the switch knows
    std::vector<InterfaceFact> interfaces;
};

inline bool is_tunnel(const InterfaceFact& interface)
{
    return interface.type == "geneve" || interface.type == "vxlan";
}

}  // namespace nvo3::agent
#endif
