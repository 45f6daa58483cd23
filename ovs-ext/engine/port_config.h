// SPDX-License-Identifier: Apache-2.0
//
// The options of a protected tunnel port, checked.
// Place: engine.  Threads: plain values.
#ifndef NVO3_ENGINE_PORT_CONFIG_H
#define NVO3_ENGINE_PORT_CONFIG_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "esp/cipher.h"
#include "ovs-ext/api/nvo3_ext.h"

namespace nvo3::engine {

struct PortConfig {
    std::string name;
    base::Encap encap = base::Encap::geneve;
    std::optional<base::IpAddress> remote;  // none: remote_ip=flow
    base::IpAddress local;                  // unspecified: any
    bool key_flow = false;                  // of either direction
    // nvo3_vnis=nva: carries whatever the agent has SAs for, with any remote, of
    // any network and cipher.  'vnis' and 'cipher' then mean nothing.
    bool from_nva = false;
    // nvo3_vnis=nva of a hypervisor's port: as that, with this remote and cipher.
    bool any_vni = false;
    std::vector<base::Vni> vnis;            // sorted; all that the port may carry
    esp::Cipher cipher = esp::Cipher::aes128gcm;
    uint32_t replay_window = 1024;

    bool carries(base::Vni vni) const;
    bool operator==(const PortConfig&) const = default;
};

// The error is a sentence that names port, option, value and what is right.
base::Result<PortConfig> parse_port(const std::string& name,
                                    const nvo3_port_options& options);

}  // namespace nvo3::engine

#endif
