/* SPDX-License-Identifier: Apache-2.0
 *
 * The shim between Open vSwitch and the engine, as the main program sees it.
 * Place: called by ovs-ext/vswitchd around the main loop's bridge_*().
 * Threads: main thread only, but where said. */
#ifndef NVO3_SHIM_H
#define NVO3_SHIM_H 1

#include <stdbool.h>

struct ofconn;
struct ovs_list;

/* Registers the datapath, bridge and tunnel hooks and starts the engine.  To be
 * called once, before bridge_init(); does not log above debug level on success,
 * because the daemon's standard error is still that of its starter. */
void nvo3_shim_init(void);

void nvo3_shim_run(void);       /* After each bridge_run(). */
void nvo3_shim_wait(void);      /* After each bridge_wait(). */

/* After bridge_exit(): no tunnel packet passes any more, all keys are wiped. */
void nvo3_shim_exit(void);

/* An OpenFlow message for a bridge has come: refuses it, or has it carried out by
 * 'handle' on behalf of its connection. */
void nvo3_guard_handle_openflow(struct ofconn *, const struct ovs_list *msgs,
                                void (*handle)(struct ofconn *,
                                               const struct ovs_list *));

/* [any] May 'bridge' learn a peer's Ethernet address from tunnel packets? */
bool nvo3_neigh_may_learn(const char *bridge);

#endif
