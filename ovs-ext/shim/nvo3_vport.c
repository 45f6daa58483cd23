/* SPDX-License-Identifier: Apache-2.0
 *
 * Hooks into the tunnel classes of Open vSwitch.
 *
 * The types keep their names, which OVS compares in many places: the functions
 * of their classes are replaced, and do what the original does for any bridge
 * that is not of type nvo3.  Of geneve and vxlan a bridge of type nvo3 gets
 * protected tunnels, of all other tunnel types a refusal.
 *
 * Threads: configuration and status in the main thread, build_header in any
 * thread that translates flows. */

#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "netdev.h"
#include "netdev-native-tnl.h"
#include "netdev-provider.h"
#include "netdev-vport.h"
#include "netdev-vport-private.h"
#include "odp-netlink.h"
#include "openvswitch/vlog.h"
#include "ovs-ext/shim/nvo3_internal.h"
#include "packets.h"
#include "smap.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nvo3_vport);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

/* A tunnel class of OVS.  Constant after registration. */
struct hooked_class {
    const char *type;
    enum nvo3_encap encap;              /* 0: cannot be protected. */
    uint16_t udp_port;                  /* Of the protected tunnel. */
    const struct netdev_class *class;
    struct netdev_class stock;          /* As it was before. */
};

static struct hooked_class hooked_classes[] = {
    { .type = "geneve", .encap = NVO3_ENCAP_GENEVE,
      .udp_port = NVO3_GENEVE_PORT },
    { .type = "vxlan", .encap = NVO3_ENCAP_VXLAN,
      .udp_port = NVO3_VXLAN_PORT },
    { .type = "gre" },
    { .type = "ip6gre" },
    { .type = "erspan" },
    { .type = "ip6erspan" },
    { .type = "lisp" },
    { .type = "stt" },
    { .type = "gtpu" },
    { .type = "bareudp" },
};

/* Options of a protected port that stock OVS does not know. */
static const char *const own_options[] = {
    "cipher", "nvo3_role", "nvo3_vnis", "replay_window", "security_level",
};

static const struct hooked_class *
hooked_class(const struct netdev *netdev)
{
    const struct netdev_class *class = netdev_get_class(netdev);

    for (size_t i = 0; i < ARRAY_SIZE(hooked_classes); i++) {
        if (hooked_classes[i].class == class) {
            return &hooked_classes[i];
        }
    }
    return NULL;
}

bool
nvo3_vport_is_ours(const struct netdev *netdev)
{
    const char *type = netdev_get_dpif_type(netdev);

    return type && !strcmp(type, NVO3_TYPE);
}

enum nvo3_encap
nvo3_vport_encap(const struct netdev *netdev)
{
    const struct hooked_class *hooked = hooked_class(netdev);

    /* The devices of the datapath, which packets meet, take their port from
     * their name when they are made and are never configured: no lock is needed
     * to read it.  Of others this is asked in the main thread, which configures
     * them. */
    if (hooked && hooked->encap
        && netdev_vport_cast(netdev)->tnl_cfg.dst_port
           == htons(hooked->udp_port)) {
        return hooked->encap;
    }
    return 0;
}

/* ---- Configuration ---- */

static char *
unprotectable(const struct netdev *netdev, const char *what)
{
    return xasprintf("%s: %s cannot be protected: on a bridge of datapath_type "
                     "%s use type geneve or vxlan",
                     netdev_get_name(netdev), what, NVO3_TYPE);
}

static int
refused_set_config(struct netdev *netdev, const struct smap *args, char **errp)
{
    const struct hooked_class *hooked = hooked_class(netdev);

    if (!nvo3_vport_is_ours(netdev)) {
        return hooked->stock.set_config(netdev, args, errp);
    }
    char *what = xasprintf("a %s tunnel", hooked->type);
    *errp = unprotectable(netdev, what);
    VLOG_WARN_RL(&rl, "%s", *errp);
    free(what);
    return EOPNOTSUPP;
}

/* Gives OVS the options that it knows, with the UDP port of the tunnel. */
static int
set_stock_config(struct netdev *netdev, const struct hooked_class *hooked,
                 const struct smap *args, char **errp)
{
    struct smap stock_args;

    smap_clone(&stock_args, args);
    for (size_t i = 0; i < ARRAY_SIZE(own_options); i++) {
        smap_remove(&stock_args, own_options[i]);
    }
    char *udp_port = xasprintf("%"PRIu16, hooked->udp_port);
    smap_replace(&stock_args, "dst_port", udp_port);
    free(udp_port);

    int error = hooked->stock.set_config(netdev, &stock_args, errp);
    smap_destroy(&stock_args);
    return error;
}

static int
protected_set_config(struct netdev *netdev, const struct smap *args,
                     char **errp)
{
    const struct hooked_class *hooked = hooked_class(netdev);
    const char *name = netdev_get_name(netdev);

    if (!nvo3_vport_is_ours(netdev)) {
        return hooked->stock.set_config(netdev, args, errp);
    }

    const char *extensions = smap_get(args, "exts");
    if (extensions && strstr(extensions, "gpe")) {
        *errp = unprotectable(netdev, "VXLAN-GPE (options:exts=gpe)");
        VLOG_WARN_RL(&rl, "%s", *errp);
        return EINVAL;
    }

    const char *key = smap_get(args, "key");
    struct nvo3_port_options options = {
        .encap = hooked->encap,
        .remote_ip = smap_get(args, "remote_ip"),
        .local_ip = smap_get(args, "local_ip"),
        .in_key = smap_get_def(args, "in_key", key),
        .out_key = smap_get_def(args, "out_key", key),
        .nvo3_vnis = smap_get(args, "nvo3_vnis"),
        .nvo3_role = smap_get(args, "nvo3_role"),
        .security_level = smap_get(args, "security_level"),
        .cipher = smap_get(args, "cipher"),
        .replay_window = smap_get(args, "replay_window"),
        .dst_port = smap_get(args, "dst_port"),
        .packet_type = smap_get(args, "packet_type"),
    };
    int error = nvo3_port_set(name, &options, errp);
    if (error) {
        if (*errp) {
            VLOG_WARN_RL(&rl, "%s", *errp);
        }
        return error;
    }

    /* From here on the engine knows the port: if OVS refuses it, no bridge
     * takes it, and nvo3_ports_run() removes it. */
    nvo3_ports_configured(name);
    return set_stock_config(netdev, hooked, args, errp);
}

/* ---- Packets ---- */

static int
protected_build_header(const struct netdev *netdev,
                       struct ovs_action_push_tnl *data,
                       const struct netdev_tnl_build_header_params *params)
{
    const struct hooked_class *hooked = hooked_class(netdev);
    int error = hooked->stock.build_header(netdev, data, params);

    if (error || !nvo3_vport_is_ours(netdev)) {
        return error;
    }

    struct in6_addr remote = flow_tnl_dst(&params->flow->tunnel);
    uint16_t index = nvo3_peer_index(&remote);
    if (!index) {
        return ENOBUFS;
    }

    void *header = data->header;
    struct udp_header *udp = netdev_tnl_is_header_ipv6(header)
                             ? (void *) (netdev_tnl_ipv6_hdr(header) + 1)
                             : (void *) (netdev_tnl_ip_hdr(header) + 1);
    udp->udp_src = htons(index);
    udp->udp_csum = 0;          /* ESP's ICV does it: RFC 3948, RFC 6935. */
    return 0;
}

/* ---- Status and statistics ---- */

static int
protected_get_status(const struct netdev *netdev, struct smap *status)
{
    int error = hooked_class(netdev)->stock.get_status(netdev, status);

    if (error) {
        return error;
    }
    if (nvo3_vport_is_ours(netdev)) {
        nvo3_ports_get_status(netdev, status);
    } else if (nvo3_vport_encap(netdev)
               && nvo3_dpif_owns(nvo3_vport_encap(netdev))) {
        /* All datapaths share the device of an UDP port, and this one is closed
         * to what is not protected. */
        char *words = xasprintf("UDP port %"PRIu16" belongs to the protected "
                                "tunnels of the bridges of datapath_type %s, "
                                "so this port carries nothing: set another "
                                "options:dst_port",
                                hooked_class(netdev)->udp_port, NVO3_TYPE);
        VLOG_WARN_RL(&rl, "%s: %s", netdev_get_name(netdev), words);
        smap_add(status, "nvo3_error", words);
        free(words);
    }
    return 0;
}

struct counters {
    struct netdev_custom_stats *stats;
    size_t allocated;
};

static void
add_counter(const char *key, uint64_t value, void *counters_)
{
    struct counters *counters = counters_;
    struct netdev_custom_stats *stats = counters->stats;

    if (stats->size >= counters->allocated) {
        stats->counters = x2nrealloc(stats->counters, &counters->allocated,
                                     sizeof *stats->counters);
    }
    struct netdev_custom_counter *counter = &stats->counters[stats->size++];
    counter->value = value;
    ovs_strlcpy(counter->name, key, sizeof counter->name);
}

static int
protected_get_custom_stats(const struct netdev *netdev,
                           struct netdev_custom_stats *stats)
{
    if (!nvo3_vport_is_ours(netdev)) {
        return EOPNOTSUPP;
    }

    struct counters counters = { .stats = stats };
    nvo3_port_statistics(netdev_get_name(netdev), add_counter, &counters);
    return 0;
}

/* ---- Registration ---- */

static void
hook(struct hooked_class *hooked)
{
    struct netdev *netdev;
    int error = netdev_open("nvo3-hook", hooked->type, &netdev);

    if (error) {
        /* Registration is part of OVS: nothing outside can cause this. */
        VLOG_FATAL("no tunnel type %s (%s)", hooked->type,
                   ovs_strerror(error));
    }

    /* The classes are static objects that are not constant. */
    struct netdev_class *class = CONST_CAST(struct netdev_class *,
                                            netdev_get_class(netdev));
    hooked->class = class;
    hooked->stock = *class;
    if (hooked->encap) {
        class->set_config = protected_set_config;
        class->build_header = protected_build_header;
        class->get_status = protected_get_status;
        class->get_custom_stats = protected_get_custom_stats;
        class->push_header_batch = nvo3_push_header_batch;
        class->pop_header_batch = nvo3_pop_header_batch;
    } else {
        class->set_config = refused_set_config;
    }
    netdev_close(netdev);
}

void
nvo3_vport_register(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(hooked_classes); i++) {
        hook(&hooked_classes[i]);
    }
}
