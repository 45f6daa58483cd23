/* SPDX-License-Identifier: Apache-2.0
 *
 * Life of the shim: start, main loop, end.
 * Threads: main thread only. */

#include "ovs-ext/shim/nvo3_shim.h"

#include <stdlib.h>

#include "openvswitch/vlog.h"
#include "ovs-ext/shim/nvo3_internal.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nvo3_shim);

void
nvo3_shim_init(void)
{
    char *error = NULL;

    nvo3_dpif_register();
    nvo3_ofproto_register();
    nvo3_vport_register();
    nvo3_unixctl_register();

    /* Without its socket the engine gets no keys: the switch then serves all
     * other bridges, and no packet passes a tunnel of an nvo3 bridge. */
    int retval = nvo3_ext_init(nvo3_host(), &error);
    if (retval) {
        VLOG_ERR("%s", error ? error : ovs_strerror(retval));
    }
    free(error);
}

void
nvo3_shim_run(void)
{
    nvo3_host_started();
    nvo3_ports_run();
    nvo3_ext_run();
}

void
nvo3_shim_wait(void)
{
    nvo3_ports_wait();
    nvo3_ext_wait();
}

void
nvo3_shim_exit(void)
{
    nvo3_packet_stop();
    nvo3_ext_exit();
}
