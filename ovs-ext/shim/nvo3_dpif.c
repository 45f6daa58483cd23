/* SPDX-License-Identifier: Apache-2.0
 *
 * The datapath type "nvo3": the userspace datapath with its tunnels closed.
 *
 * It admits as tunnel only a geneve or vxlan device on the UDP port of
 * protected tunnels.  Packets of such tunnels to a multicast group are led to it
 * too, whichever the group: the SA knows its own.  Tunnel packets in clear that
 * come for one of the datapath's own addresses, or for a group, are led to such
 * a port as well: there they are refused and counted, instead of reaching the
 * host.
 *
 * Threads: registration and port changes in the main thread. */

#include <errno.h>

#include "dpif.h"
#include "dpif-netdev.h"
#include "dpif-provider.h"
#include "netdev.h"
#include "netdev-vport.h"
#include "openvswitch/list.h"
#include "openvswitch/vlog.h"
#include "ovs-atomic.h"
#include "ovs-ext/shim/nvo3_internal.h"
#include "tnl-ports.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nvo3_dpif);

#define GENEVE_CLEAR_PORT 6081
#define VXLAN_CLEAR_PORT 4789

/* A protected tunnel port of a datapath. */
struct tunnel {
    struct ovs_list node;       /* In 'tunnels'. */
    char *dpif_name;
    odp_port_t port_no;
    enum nvo3_encap encap;
};

/* Main thread. */
static struct ovs_list tunnels = OVS_LIST_INITIALIZER(&tunnels);

/* Who gets the packets that no tunnel asks for by itself: those of each
 * encapsulation in clear, and those of protected tunnels to multicast groups.
 * Main thread. */
static struct sink {
    enum nvo3_encap encap;
    uint16_t udp_port;
    const char *type;
    bool clear;                 /* Else for groups only. */

    bool active;
    odp_port_t port_no;
} sinks[] = {
    { .encap = NVO3_ENCAP_GENEVE, .udp_port = GENEVE_CLEAR_PORT,
      .type = "geneve", .clear = true },
    { .encap = NVO3_ENCAP_VXLAN, .udp_port = VXLAN_CLEAR_PORT,
      .type = "vxlan", .clear = true },
    { .encap = NVO3_ENCAP_GENEVE, .udp_port = NVO3_GENEVE_PORT,
      .type = "geneve" },
    { .encap = NVO3_ENCAP_VXLAN, .udp_port = NVO3_VXLAN_PORT,
      .type = "vxlan" },
};

/* Number of 'tunnels' of each encapsulation. */
static atomic_int n_tunnels[NVO3_ENCAP_VXLAN + 1];

static struct dpif_class nvo3_class;

bool
nvo3_dpif_owns(enum nvo3_encap encap)
{
    int n;

    atomic_read(&n_tunnels[encap], &n);
    return n > 0;
}

static void
count_tunnel(enum nvo3_encap encap, int delta)
{
    int old;

    atomic_add(&n_tunnels[encap], delta, &old);
}

/* A tunnel of the same kind if there is one; for packets in clear, which are
 * only to be refused, also another. */
static const struct tunnel *
choose_tunnel(const struct sink *sink)
{
    const struct tunnel *tunnel, *best = NULL;

    LIST_FOR_EACH (tunnel, node, &tunnels) {
        if (tunnel->encap == sink->encap) {
            return tunnel;
        } else if (!best && sink->clear) {
            best = tunnel;
        }
    }
    return best;
}

static void
open_sink(struct sink *sink, odp_port_t port_no)
{
    const char *name = sink->clear ? "nvo3_clear" : "nvo3_group";
    ovs_be16 udp_port = htons(sink->udp_port);

    if (sink->clear) {
        tnl_port_map_insert(port_no, udp_port, name, sink->type,
                            nvo3_class.type);
    }
    tnl_port_map_insert_multicast(port_no, udp_port, name, sink->type,
                                  nvo3_class.type);
    sink->port_no = port_no;
    sink->active = true;
}

static void
close_sink(struct sink *sink)
{
    ovs_be16 udp_port = htons(sink->udp_port);

    if (sink->clear) {
        tnl_port_map_delete(sink->port_no, udp_port, sink->type,
                            nvo3_class.type);
    }
    tnl_port_map_delete_multicast(udp_port, sink->type);
    sink->active = false;
}

static void
update_sinks(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(sinks); i++) {
        struct sink *sink = &sinks[i];
        const struct tunnel *tunnel = choose_tunnel(sink);

        if (sink->active && (!tunnel || tunnel->port_no != sink->port_no)) {
            close_sink(sink);
        }
        if (!sink->active && tunnel) {
            open_sink(sink, tunnel->port_no);
        }
    }
}

/* A reference of our own to the entry that ofproto makes for the port: its
 * reconfiguration then has no moment without an entry, in which packets of the
 * tunnel would reach the host. */
static void
hold_udp_port(const struct tunnel *tunnel, bool hold)
{
    bool geneve = tunnel->encap == NVO3_ENCAP_GENEVE;
    ovs_be16 udp_port = htons(geneve ? NVO3_GENEVE_PORT : NVO3_VXLAN_PORT);
    const char *type = geneve ? "geneve" : "vxlan";

    if (hold) {
        tnl_port_map_insert(tunnel->port_no, udp_port,
                            geneve ? "genev_sys_4500" : "vxlan_sys_4501",
                            type, nvo3_class.type);
    } else {
        tnl_port_map_delete(tunnel->port_no, udp_port, type, nvo3_class.type);
    }
}

static void
remove_tunnel(struct tunnel *tunnel)
{
    ovs_list_remove(&tunnel->node);
    hold_udp_port(tunnel, false);
    update_sinks();
    count_tunnel(tunnel->encap, -1);
    free(tunnel->dpif_name);
    free(tunnel);
}

static int
nvo3_dpif_port_add(struct dpif *dpif, struct netdev *netdev,
                   odp_port_t *port_nop)
{
    if (!netdev_get_tunnel_config(netdev)) {
        return dpif_netdev_class.port_add(dpif, netdev, port_nop);
    }

    enum nvo3_encap encap = nvo3_vport_encap(netdev);
    if (!encap) {
        VLOG_WARN("%s: %s tunnel cannot be protected, refused",
                  netdev_get_name(netdev), netdev_get_type(netdev));
        return EOPNOTSUPP;
    }

    /* Before the port can get its first packet, so that this one already meets
     * the hooks closed. */
    count_tunnel(encap, 1);
    int error = dpif_netdev_class.port_add(dpif, netdev, port_nop);
    if (error) {
        count_tunnel(encap, -1);
        return error;
    }

    struct tunnel *tunnel = xmalloc(sizeof *tunnel);
    tunnel->dpif_name = xstrdup(dpif_base_name(dpif));
    tunnel->port_no = *port_nop;
    tunnel->encap = encap;
    ovs_list_push_back(&tunnels, &tunnel->node);
    hold_udp_port(tunnel, true);
    update_sinks();
    return 0;
}

static int
nvo3_dpif_port_del(struct dpif *dpif, odp_port_t port_no)
{
    int error = dpif_netdev_class.port_del(dpif, port_no);

    if (!error) {
        struct tunnel *tunnel;

        LIST_FOR_EACH_SAFE (tunnel, node, &tunnels) {
            if (tunnel->port_no == port_no
                && !strcmp(tunnel->dpif_name, dpif_base_name(dpif))) {
                remove_tunnel(tunnel);
            }
        }
    }
    return error;
}

static int
nvo3_dpif_destroy(struct dpif *dpif)
{
    int error = dpif_netdev_class.destroy(dpif);

    /* The ports are still served until the last user closes the datapath.
     * Their UDP port then stays owned, which only means closed: a new datapath
     * of type nvo3 counts its own. */
    if (!error) {
        struct tunnel *tunnel;

        LIST_FOR_EACH_SAFE (tunnel, node, &tunnels) {
            if (!strcmp(tunnel->dpif_name, dpif_base_name(dpif))) {
                count_tunnel(tunnel->encap, 1);
                remove_tunnel(tunnel);
            }
        }
    }
    return error;
}

void
nvo3_dpif_register(void)
{
    nvo3_class = dpif_netdev_class;
    nvo3_class.type = NVO3_TYPE;
    nvo3_class.init = NULL;     /* Done by dpif_netdev_class. */
    nvo3_class.port_add = nvo3_dpif_port_add;
    nvo3_class.port_del = nvo3_dpif_port_del;
    nvo3_class.destroy = nvo3_dpif_destroy;

    int error = dp_register_provider(&nvo3_class);
    if (error) {
        VLOG_ERR("datapath type %s: %s", nvo3_class.type, ovs_strerror(error));
    }
}
