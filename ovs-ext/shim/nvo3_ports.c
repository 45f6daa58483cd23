/* SPDX-License-Identifier: Apache-2.0
 *
 * The protected ports of all bridges: keeps the engine's ports in step with
 * those that bridges have, and watches the route that each port leaves by.
 *
 * Threads: main thread only. */

#include <net/if.h>
#include <string.h>

#include "connectivity.h"
#include "netdev.h"
#include "netdev-provider.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "ovs-ext/shim/nvo3_internal.h"
#include "ovs-router.h"
#include "packets.h"
#include "route-table.h"
#include "seq.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"

/* While the route of some port is not as it must be, it is looked at again so
 * often: not every change that cures it makes itself known. */
#define RECHECK_MS 1000

struct port {
    bool live;                  /* A bridge has it. */
    char *route_error;          /* A sentence, or NULL. */
    int underlay_mtu;           /* 0: unknown. */
};

/* Name to 'struct port'. */
static struct shash ports = SHASH_INITIALIZER(&ports);

static uint64_t last_connectivity;
static uint64_t last_routes;
static bool routes_stale;
static long long recheck_at = LLONG_MAX;

void
nvo3_ports_configured(const char *name)
{
    if (!shash_find(&ports, name)) {
        shash_add(&ports, name, xzalloc(sizeof(struct port)));
    }
    routes_stale = true;
}

void
nvo3_ports_set_live(const char *name, bool live)
{
    struct port *port = shash_find_data(&ports, name);

    if (port) {
        port->live = live;
    }
}

/* ---- Routes ---- */

/* What keeps packets to 'remote' from leaving by 'device', as a sentence; NULL
 * if nothing does. */
static char *
check_device(const char *remote, const char *device, int *mtu)
{
    struct netdev *netdev = netdev_from_name(device);
    const char *type = netdev ? netdev_get_dpif_type(netdev) : NULL;
    char *error = NULL;

    if (!type) {
        error = xasprintf("the route to %s leaves by %s, which is no bridge: "
                          "tunnels of a %s bridge need the underlay address on "
                          "a bridge with datapath_type=%s",
                          remote, device, NVO3_TYPE, NVO3_TYPE);
    } else if (strcmp(type, NVO3_TYPE)) {
        error = xasprintf("the route to %s leaves by bridge %s with "
                          "datapath_type=%s: packets are lost until it is "
                          "datapath_type=%s too",
                          remote, device, type, NVO3_TYPE);
    } else if (netdev_get_mtu(netdev, mtu)) {
        *mtu = 0;
    }
    netdev_close(netdev);
    return error;
}

static char *
check_route(const struct netdev *netdev, int *mtu)
{
    const struct netdev_tunnel_config *config
        = netdev_get_tunnel_config(netdev);
    struct in6_addr gateway;
    char device[IFNAMSIZ];

    *mtu = 0;
    if (config->ip_dst_flow) {
        return NULL;            /* As many routes as flows. */
    }

    char remote[INET6_ADDRSTRLEN];
    ipv6_string_mapped(remote, &config->ipv6_dst);
    if (!ovs_router_lookup(config->egress_pkt_mark, &config->ipv6_dst,
                           device, NULL, &gateway)) {
        return xasprintf("there is no route to %s: give the bridge that the "
                         "underlay is on an address", remote);
    }
    return check_device(remote, device, mtu);
}

static void
update_route(const char *name, struct port *port)
{
    struct netdev *netdev = netdev_from_name(name);
    char *error = NULL;
    int mtu = 0;

    if (!netdev) {
        return;
    }
    if (nvo3_vport_is_ours(netdev) && netdev_get_tunnel_config(netdev)) {
        error = check_route(netdev, &mtu);
    }
    /* Each time: the engine forgets it with a change of the remote address. */
    nvo3_port_set_underlay_mtu(name, mtu);
    if (mtu != port->underlay_mtu) {
        port->underlay_mtu = mtu;
        netdev_change_seq_changed(netdev);
    }
    if (!nullable_string_is_equal(error, port->route_error)) {
        free(port->route_error);
        port->route_error = error;
        netdev_change_seq_changed(netdev);
    } else {
        free(error);
    }
    netdev_close(netdev);
}

static void
update_routes(void)
{
    uint64_t connectivity = seq_read(connectivity_seq_get());
    uint64_t routes = route_table_get_change_seq();

    if (!routes_stale && connectivity == last_connectivity
        && routes == last_routes && time_msec() < recheck_at) {
        return;
    }
    routes_stale = false;
    last_connectivity = connectivity;
    last_routes = routes;
    recheck_at = LLONG_MAX;

    struct shash_node *node;
    SHASH_FOR_EACH (node, &ports) {
        struct port *port = node->data;

        update_route(node->name, port);
        if (port->route_error) {
            recheck_at = time_msec() + RECHECK_MS;
        }
    }
}

/* ---- Main loop ---- */

void
nvo3_ports_run(void)
{
    struct shash_node *node;

    SHASH_FOR_EACH_SAFE (node, &ports) {
        struct port *port = node->data;

        if (!port->live) {
            nvo3_port_remove(node->name);
            free(port->route_error);
            free(port);
            shash_delete(&ports, node);
        }
    }
    update_routes();
}

void
nvo3_ports_wait(void)
{
    if (!shash_is_empty(&ports)) {
        seq_wait(connectivity_seq_get(), last_connectivity);
        if (recheck_at != LLONG_MAX) {
            poll_timer_wait_until(recheck_at);
        }
    }
}

/* ---- Status ---- */

static void
add_status(const char *key, const char *value, void *status)
{
    smap_replace(status, key, value);
}

void
nvo3_ports_get_status(const struct netdev *netdev, struct smap *status)
{
    const char *name = netdev_get_name(netdev);
    const struct port *port = shash_find_data(&ports, name);

    nvo3_port_status(name, add_status, status);

    /* Whatever the engine says, a packet that cannot leave comes first. */
    if (port && port->route_error) {
        smap_replace(status, "nvo3_state", "error");
        smap_replace(status, "nvo3_error", port->route_error);
    }
}
