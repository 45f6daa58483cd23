/* SPDX-License-Identifier: Apache-2.0
 *
 * The bridge implementation of type "nvo3": derives from ofproto-dpif and tells
 * the table of protected ports (nvo3_ports.c) which of them a bridge has, and
 * has its OpenFlow guarded (nvo3_guard.c).
 * Threads: main thread only. */

#include "netdev.h"
#include "ofproto/ofproto-provider.h"
#include "openvswitch/vlog.h"
#include "ovs-ext/shim/nvo3_guard.h"
#include "ovs-ext/shim/nvo3_internal.h"
#include "sset.h"

VLOG_DEFINE_THIS_MODULE(nvo3_ofproto);

static struct ofproto_class nvo3_class;

static void
nvo3_ofproto_init(const struct shash *iface_hints OVS_UNUSED)
{
    /* ofproto_dpif_class does it for both. */
}

static void
nvo3_ofproto_enumerate_types(struct sset *types)
{
    sset_add(types, NVO3_TYPE);
}

static int
nvo3_ofproto_construct(struct ofproto *ofproto)
{
    int error = ofproto_dpif_class.construct(ofproto);

    if (!error) {
        nvo3_neigh_set_protected(ofproto->name, true);
        nvo3_guard_add(ofproto);
    }
    return error;
}

static void
nvo3_ofproto_destruct(struct ofproto *ofproto, bool del)
{
    nvo3_neigh_set_protected(ofproto->name, false);
    nvo3_guard_remove(ofproto);
    ofproto_dpif_class.destruct(ofproto, del);
}

static int
nvo3_ofproto_port_construct(struct ofport *port)
{
    int error = ofproto_dpif_class.port_construct(port);

    if (!error) {
        const char *name = netdev_get_name(port->netdev);

        nvo3_ports_set_live(name, true);
        if (nvo3_vport_encap(port->netdev)) {
            nvo3_guard_set_port(port->ofproto->name,
                                ofp_to_u16(port->ofp_port), name);
        }
    }
    return error;
}

static void
nvo3_ofproto_port_destruct(struct ofport *port, bool del)
{
    nvo3_ports_set_live(netdev_get_name(port->netdev), false);
    nvo3_guard_set_port(port->ofproto->name, ofp_to_u16(port->ofp_port), NULL);
    ofproto_dpif_class.port_destruct(port, del);
}

void
nvo3_ofproto_register(void)
{
    nvo3_class = ofproto_dpif_class;
    nvo3_class.init = nvo3_ofproto_init;
    nvo3_class.enumerate_types = nvo3_ofproto_enumerate_types;
    nvo3_class.construct = nvo3_ofproto_construct;
    nvo3_class.destruct = nvo3_ofproto_destruct;
    nvo3_class.port_construct = nvo3_ofproto_port_construct;
    nvo3_class.port_destruct = nvo3_ofproto_port_destruct;
    nvo3_guard_derive(&nvo3_class);

    /* ofproto_dpif_class serves the types of all datapaths, this one as well:
     * the class that is registered first gets it. */
    int error = ofproto_class_register(&nvo3_class);
    if (error) {
        VLOG_ERR("bridge type %s: %s", NVO3_TYPE, ovs_strerror(error));
    }
}
