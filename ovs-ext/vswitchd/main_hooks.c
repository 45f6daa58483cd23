/* SPDX-License-Identifier: Apache-2.0
 *
 * The ovs-vswitchd of ovs-nvo3: the objects of the stock one, linked with
 * --wrap for the functions below, so that main() needs no patch.
 * Threads: main thread only, but for tnl_neigh_set(). */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bridge.h"
#include "ofproto/connmgr.h"
#include "openvswitch/util.h"
#include "ovs-ext/shim/nvo3_shim.h"
#include "tnl-neigh-cache.h"
#include "util.h"

typedef void openflow_handler(struct ofconn *, const struct ovs_list *msgs);

void __real_bridge_init(const char *remote);
void __real_bridge_run(void);
void __real_bridge_wait(void);
void __real_bridge_exit(bool delete_datapath);
void __real_tnl_neigh_set(const char name[IFNAMSIZ], const struct in6_addr *,
                          const struct eth_addr);
void __real_ovs_print_version(uint8_t min_ofp, uint8_t max_ofp);
void __real_connmgr_run(struct connmgr *, openflow_handler *);

void __wrap_bridge_init(const char *remote);
void __wrap_bridge_run(void);
void __wrap_bridge_wait(void);
void __wrap_bridge_exit(bool delete_datapath);
void __wrap_tnl_neigh_set(const char name[IFNAMSIZ], const struct in6_addr *,
                          const struct eth_addr);
void __wrap_ovs_print_version(uint8_t min_ofp, uint8_t max_ofp);
void __wrap_connmgr_run(struct connmgr *, openflow_handler *);

void
__wrap_bridge_init(const char *remote)
{
    nvo3_shim_init();
    __real_bridge_init(remote);
}

void
__wrap_bridge_run(void)
{
    __real_bridge_run();
    nvo3_shim_run();
}

void
__wrap_bridge_wait(void)
{
    __real_bridge_wait();
    nvo3_shim_wait();
}

void
__wrap_bridge_exit(bool delete_datapath)
{
    __real_bridge_exit(delete_datapath);
    nvo3_shim_exit();
}

/* Handler threads.  Called for packets that end at a tunnel port; the calls for
 * ARP and neighbour discovery are inside tnl-neigh-cache.c and not wrapped. */
void
__wrap_tnl_neigh_set(const char name[IFNAMSIZ], const struct in6_addr *dst,
                     const struct eth_addr mac)
{
    if (nvo3_neigh_may_learn(name)) {
        __real_tnl_neigh_set(name, dst, mac);
    }
}

void
__wrap_ovs_print_version(uint8_t min_ofp, uint8_t max_ofp)
{
    __real_ovs_print_version(min_ofp, max_ofp);
    printf("ovs-nvo3 %s\n", NVO3_VERSION);
}

/* The one handler that ofproto has for OpenFlow messages. */
static openflow_handler *handle_openflow;

static void
guard_openflow(struct ofconn *ofconn, const struct ovs_list *msgs)
{
    nvo3_guard_handle_openflow(ofconn, msgs, handle_openflow);
}

void
__wrap_connmgr_run(struct connmgr *mgr, openflow_handler *handler)
{
    handle_openflow = handler;
    __real_connmgr_run(mgr, guard_openflow);
}
