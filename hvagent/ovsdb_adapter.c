/* SPDX-License-Identifier: Apache-2.0
 *
 * See ovsdb_adapter.h.  A C file because OVS's headers are not C++.  The build
 * brings OVS's own config.h. */
#include "hvagent/ovsdb_adapter.h"

#include <string.h>

#include "lib/vswitch-idl.h"
#include "ovsdb-idl.h"
#include "smap.h"

static struct ovsdb_idl *idl;
static unsigned int seen_seqno;

void
ovsdb_adapter_open(const char *database)
{
    /* Of the whole database only these columns are asked for. */
    const struct ovsdb_idl_column *columns[] = {
        &ovsrec_open_vswitch_col_other_config,
        &ovsrec_open_vswitch_col_bridges,
        &ovsrec_bridge_col_datapath_type,
        &ovsrec_bridge_col_ports,
        &ovsrec_port_col_interfaces,
        &ovsrec_interface_col_name,
        &ovsrec_interface_col_type,
        &ovsrec_interface_col_options,
    };

    idl = ovsdb_idl_create(database, &ovsrec_idl_class, false, true);
    ovsdb_idl_set_leader_only(idl, false);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        ovsdb_idl_add_column(idl, columns[i]);
    }
    seen_seqno = ovsdb_idl_get_seqno(idl);
}

void
ovsdb_adapter_close(void)
{
    ovsdb_idl_destroy(idl);
    idl = NULL;
}

bool
ovsdb_adapter_run(void)
{
    ovsdb_idl_run(idl);
    /* Without its one row the database is being made or replaced: what was
     * configured stays until it tells otherwise. */
    if (!ovsdb_idl_has_ever_connected(idl)
        || !ovsrec_open_vswitch_first(idl)
        || ovsdb_idl_get_seqno(idl) == seen_seqno) {
        return false;
    }
    seen_seqno = ovsdb_idl_get_seqno(idl);
    return true;
}

void
ovsdb_adapter_wait(void)
{
    ovsdb_idl_wait(idl);
}

static void
visit_port(const struct ovsrec_port *port, const struct ovsdb_visitor *visitor)
{
    for (size_t i = 0; i < port->n_interfaces; i++) {
        const struct ovsrec_interface *iface = port->interfaces[i];
        if (strcmp(iface->type, "geneve") && strcmp(iface->type, "vxlan")) {
            continue;
        }
        visitor->tunnel(visitor->aux, iface->name, iface->type);

        const struct smap_node *node;
        SMAP_FOR_EACH (node, &iface->options) {
            visitor->tunnel_option(visitor->aux, node->key, node->value);
        }
    }
}

void
ovsdb_adapter_visit(const struct ovsdb_visitor *visitor)
{
    const struct ovsrec_open_vswitch *ovs = ovsrec_open_vswitch_first(idl);
    if (!ovs) {
        return;
    }

    const struct smap_node *node;
    SMAP_FOR_EACH (node, &ovs->other_config) {
        visitor->other_config(visitor->aux, node->key, node->value);
    }
    for (size_t i = 0; i < ovs->n_bridges; i++) {
        const struct ovsrec_bridge *bridge = ovs->bridges[i];
        if (strcmp(bridge->datapath_type, "nvo3")) {
            continue;
        }
        for (size_t j = 0; j < bridge->n_ports; j++) {
            visit_port(bridge->ports[j], visitor);
        }
    }
}
