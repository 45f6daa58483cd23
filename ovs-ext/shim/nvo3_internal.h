/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the shim know of each other.  Marked as in nvo3_ext.h:
 * [main] main thread, [packet] any thread that handles packets, [any]. */
#ifndef NVO3_INTERNAL_H
#define NVO3_INTERNAL_H 1

#include <stdbool.h>

#include "openvswitch/types.h"
#include "ovs-ext/api/nvo3_ext.h"

struct dp_packet_batch;
struct dpif_class;
struct netdev;
struct netdev_class;
struct ovs_action_push_tnl;
struct smap;

/* Name of the datapath type, for dpif, ofproto and Bridge:datapath_type. */
#define NVO3_TYPE "nvo3"

/* ---- nvo3_host.c ---- */

/* [any] The functions lent to the engine. */
const struct nvo3_host *nvo3_host(void);

/* [main] From now on the engine's messages are logged at their own level
 * instead of debug level. */
void nvo3_host_started(void);

/* [packet] 'make_room' of the host; also for tests. */
bool nvo3_make_room(struct nvo3_frame *, size_t headroom, size_t tailroom);

/* ---- nvo3_dpif.c ---- */

/* [main] */
void nvo3_dpif_register(void);

/* [any] Is some datapath of type nvo3 the owner of the UDP port of 'encap'? */
bool nvo3_dpif_owns(enum nvo3_encap);

/* ---- nvo3_ofproto.c ---- */

/* [main] */
void nvo3_ofproto_register(void);

/* ---- nvo3_neigh.c ---- */

/* [main] Bridge 'bridge' is, or is no longer, of type nvo3. */
void nvo3_neigh_set_protected(const char *bridge, bool protect);

/* ---- nvo3_vport.c ---- */

/* [main] Hooks the tunnel classes of OVS.  Before the first bridge_run(). */
void nvo3_vport_register(void);

/* [any] The encapsulation of 'netdev' if it is a geneve or vxlan device with
 * the UDP port of protected tunnels, otherwise 0. */
enum nvo3_encap nvo3_vport_encap(const struct netdev *);

/* [any] Was 'netdev' opened for a bridge of type nvo3? */
bool nvo3_vport_is_ours(const struct netdev *);

/* ---- nvo3_packet.c ---- */

/* [packet] The batch hooks of the geneve and vxlan classes. */
bool nvo3_push_header_batch(const struct netdev *, struct dp_packet_batch *,
                            const struct ovs_action_push_tnl *);
void nvo3_pop_header_batch(struct netdev *, struct dp_packet_batch *);

/* [main] Makes both hooks drop everything and returns when no thread is in one
 * of them any more. */
void nvo3_packet_stop(void);

/* ---- nvo3_ports.c ---- */

/* [main] Port 'name' is configured in the engine.  It is removed from there at
 * the end of the main loop's turn unless a bridge has taken it by then. */
void nvo3_ports_configured(const char *name);

/* [main] A bridge takes or gives up port 'name'.  Other ports are ignored. */
void nvo3_ports_set_live(const char *name, bool live);

/* [main] Removes from the engine what no bridge has, looks at the routes. */
void nvo3_ports_run(void);
void nvo3_ports_wait(void);

/* [main] Adds to 'status' what the engine and the route of 'netdev' say. */
void nvo3_ports_get_status(const struct netdev *, struct smap *status);

/* ---- nvo3_unixctl.c ---- */

/* [main] */
void nvo3_unixctl_register(void);

#endif
