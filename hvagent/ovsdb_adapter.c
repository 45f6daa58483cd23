/* SPDX-License-Identifier: Apache-2.0
 *
 * See ovsdb_adapter.h.  A C file because OVS's headers are not C++.  The build
 * brings OVS's own config.h. */
#include "hvagent/ovsdb_adapter.h"

#include <string.h>

#include "lib/vswitch-idl.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovsdb-idl.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nvo3_ovsdb);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

#define OWNER_KEY "nvo3-owner"
#define OWNER "hvagent"
/* Of a Bridge whose fail_mode is ours: what it was, NO_MODE if it was not set. */
#define FAIL_MODE_KEY "nvo3-fail-mode"
#define NO_MODE "none"
/* Of a Bridge, other_config: our flows belong in it.  The rule guard goes by it
 * while they are not there, after a restart of the switch (doc/guard.md). */
#define PIPELINE_KEY "nvo3-pipeline"
#define RETRY_INTERVAL_MS 1000

static struct ovsdb_idl *idl;
static unsigned int seen_seqno;

/* A tunnel port of ours.  The OpenFlow port is asked for so that it is the same
 * after a restart of the switch. */
struct own_tunnel {
    const char *type, *name;
    int64_t ofport_request;
    enum ovsdb_wish wish;
};
static struct own_tunnel own_tunnels[] = {
    { "geneve", "nvo3-geneve", 65001, OVSDB_AS_IS },
    { "vxlan", "nvo3-vxlan", 65002, OVSDB_AS_IS },
};
#define N_OWN_TUNNELS (sizeof own_tunnels / sizeof *own_tunnels)

static enum ovsdb_wish fail_closed = OVSDB_AS_IS;
static enum ovsdb_wish others_fail_closed = OVSDB_AS_IS;
/* From this cur_cfg on the switch has what we wrote: before, its flows may yet be
 * emptied. */
static int64_t closed_from;

static struct ovsdb_idl_txn *txn;       /* That is under way, or NULL. */
static bool wishes_changed;             /* Or the rows, or the last txn failed. */
static long long int retry_at;

static void run_transaction(void);

void
ovsdb_adapter_open(const char *database)
{
    /* Of the whole database only these columns are asked for. */
    const struct ovsdb_idl_column *columns[] = {
        &ovsrec_open_vswitch_col_other_config,
        &ovsrec_open_vswitch_col_bridges,
        &ovsrec_open_vswitch_col_cur_cfg,
        &ovsrec_open_vswitch_col_next_cfg,
        &ovsrec_bridge_col_controller,
        &ovsrec_bridge_col_external_ids,
        &ovsrec_bridge_col_fail_mode,
        &ovsrec_bridge_col_datapath_type,
        &ovsrec_bridge_col_name,
        &ovsrec_bridge_col_other_config,
        &ovsrec_bridge_col_ports,
        &ovsrec_port_col_name,
        &ovsrec_port_col_interfaces,
        &ovsrec_port_col_vlan_mode,
        &ovsrec_port_col_trunks,
        &ovsrec_interface_col_name,
        &ovsrec_interface_col_type,
        &ovsrec_interface_col_options,
        &ovsrec_interface_col_ofport,
        &ovsrec_interface_col_ofport_request,
        &ovsrec_interface_col_external_ids,
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
    if (txn) {
        ovsdb_idl_txn_destroy(txn);
        txn = NULL;
    }
    ovsdb_idl_destroy(idl);
    idl = NULL;
}

bool
ovsdb_adapter_run(void)
{
    ovsdb_idl_run(idl);
    run_transaction();
    /* Without its one row the database is being made or replaced: what was
     * configured stays until it tells otherwise. */
    if (!ovsdb_idl_has_ever_connected(idl)
        || !ovsrec_open_vswitch_first(idl)
        || ovsdb_idl_get_seqno(idl) == seen_seqno) {
        return false;
    }
    seen_seqno = ovsdb_idl_get_seqno(idl);
    wishes_changed = true;
    return true;
}

void
ovsdb_adapter_wait(void)
{
    ovsdb_idl_wait(idl);
    if (txn) {
        ovsdb_idl_txn_wait(txn);
    } else if (wishes_changed) {
        poll_timer_wait_until(retry_at);
    }
}

/* ---- Reading ---- */

static const char *
integration_bridge(const struct ovsrec_open_vswitch *ovs)
{
    const char *name = smap_get(&ovs->other_config, "nvo3-bridge");
    return name && name[0] ? name : "br-int";
}

static uint32_t
ofport_of(const struct ovsrec_interface *iface)
{
    return iface->n_ofport && *iface->ofport > 0 ? *iface->ofport : 0;
}

static bool
is_own(const struct ovsrec_interface *iface)
{
    return !strcmp(smap_get_def(&iface->external_ids, OWNER_KEY, ""), OWNER);
}

static bool
is_secure(const struct ovsrec_bridge *bridge)
{
    return bridge->fail_mode && !strcmp(bridge->fail_mode, "secure");
}

static bool
is_closed_by_us(const struct ovsrec_open_vswitch *ovs,
                const struct ovsrec_bridge *bridge)
{
    return (is_secure(bridge) && !bridge->n_controller
            && smap_get(&bridge->external_ids, FAIL_MODE_KEY)
            && ovs->cur_cfg >= closed_from);
}

static void
visit_vm_port(const struct ovsrec_interface *iface, bool hypervisor,
              bool closed_by_us, const struct ovsdb_visitor *visitor)
{
    if (is_own(iface)) {
        if (ofport_of(iface)) {
            visitor->own_tunnel(visitor->aux, iface->type, ofport_of(iface));
        }
        return;
    }
    if (!smap_get(&iface->external_ids, "nvo3-vn")
        && !smap_get(&iface->external_ids, "port-profile")) {
        if (closed_by_us && ofport_of(iface)) {
            visitor->plain_port(visitor->aux, ofport_of(iface));
        }
        if (!hypervisor || !smap_get(&iface->external_ids, "iface-id")) {
            return;
        }
    }
    visitor->vm_port(visitor->aux, iface->name, ofport_of(iface));

    const struct smap_node *node;
    SMAP_FOR_EACH (node, &iface->external_ids) {
        visitor->vm_port_id(visitor->aux, node->key, node->value);
    }
}

static void
visit_tunnel(const struct ovsrec_interface *iface, bool integration,
             const struct ovsdb_visitor *visitor)
{
    if (strcmp(iface->type, "geneve") && strcmp(iface->type, "vxlan")) {
        return;
    }
    visitor->tunnel(visitor->aux, iface->name, iface->type,
                    integration ? ofport_of(iface) : 0);

    const struct smap_node *node;
    SMAP_FOR_EACH (node, &iface->options) {
        visitor->tunnel_option(visitor->aux, node->key, node->value);
    }
}

static void
visit_bridge(const struct ovsrec_open_vswitch *ovs,
             const struct ovsrec_bridge *bridge, bool hypervisor,
             const struct ovsdb_visitor *visitor)
{
    bool integration = !strcmp(bridge->name, integration_bridge(ovs));
    bool protected = !strcmp(bridge->datapath_type, "nvo3");
    bool closed_by_us = is_closed_by_us(ovs, bridge);

    for (size_t i = 0; i < bridge->n_ports; i++) {
        const struct ovsrec_port *port = bridge->ports[i];
        for (size_t j = 0; j < port->n_interfaces; j++) {
            if (protected) {
                visit_tunnel(port->interfaces[j], integration, visitor);
            }
            if (integration) {
                visit_vm_port(port->interfaces[j], hypervisor, closed_by_us,
                              visitor);
            }
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
    bool hypervisor = !strcmp(smap_get_def(&ovs->other_config, "nvo3-role", ""),
                              "hypervisor");
    for (size_t i = 0; i < ovs->n_bridges; i++) {
        visit_bridge(ovs, ovs->bridges[i], hypervisor, visitor);
    }
}

/* ---- For hvagent --check ---- */

void
ovsdb_adapter_want_facts(void)
{
    ovsdb_idl_add_column(idl, &ovsrec_open_vswitch_col_datapath_types);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_mtu);
}

bool
ovsdb_adapter_wait_for_contents(int ms)
{
    long long int deadline = time_msec() + ms;

    while (!ovsdb_adapter_run()) {
        if (time_msec() >= deadline) {
            return false;
        }
        ovsdb_adapter_wait();
        poll_timer_wait_until(deadline);
        poll_block();
    }
    return true;
}

void
ovsdb_adapter_visit_facts(const struct ovsdb_facts_visitor *visitor)
{
    const struct ovsrec_open_vswitch *ovs = ovsrec_open_vswitch_first(idl);
    if (!ovs) {
        return;
    }

    for (size_t i = 0; i < ovs->n_datapath_types; i++) {
        visitor->datapath_type(visitor->aux, ovs->datapath_types[i]);
    }
    for (size_t i = 0; i < ovs->n_bridges; i++) {
        const struct ovsrec_bridge *bridge = ovs->bridges[i];
        for (size_t j = 0; j < bridge->n_ports; j++) {
            const struct ovsrec_port *port = bridge->ports[j];
            for (size_t k = 0; k < port->n_interfaces; k++) {
                const struct ovsrec_interface *iface = port->interfaces[k];
                visitor->interface(visitor->aux, bridge->name,
                                   bridge->datapath_type, iface->name,
                                   iface->type,
                                   iface->n_mtu ? iface->mtu[0] : 0);
            }
        }
    }
}

/* ---- Writing ---- */

void
ovsdb_adapter_own_tunnel(const char *type, enum ovsdb_wish wish)
{
    for (size_t i = 0; i < N_OWN_TUNNELS; i++) {
        struct own_tunnel *tunnel = &own_tunnels[i];
        if (!strcmp(tunnel->type, type) && tunnel->wish != wish) {
            tunnel->wish = wish;
            wishes_changed = true;
        }
    }
}

void
ovsdb_adapter_fail_closed(enum ovsdb_wish integration, enum ovsdb_wish others)
{
    if (fail_closed != integration || others_fail_closed != others) {
        fail_closed = integration;
        others_fail_closed = others;
        wishes_changed = true;
    }
}

/* A port that is ours alone; else NULL. */
static const struct own_tunnel *
own_tunnel_of(const struct ovsrec_port *port)
{
    if (port->n_interfaces != 1 || !is_own(port->interfaces[0])) {
        return NULL;
    }
    for (size_t i = 0; i < N_OWN_TUNNELS; i++) {
        if (!strcmp(own_tunnels[i].name, port->name)) {
            return &own_tunnels[i];
        }
    }
    return NULL;
}

static void
begin_transaction(void)
{
    if (!txn) {
        txn = ovsdb_idl_txn_create(idl);
        ovsdb_idl_txn_add_comment(
            txn, "hvagent: tunnel ports of its own, fail_mode, nvo3-pipeline");
    }
}

static void
insert_tunnel(const struct ovsrec_bridge *bridge,
              const struct own_tunnel *tunnel)
{
    struct ovsrec_interface *iface = ovsrec_interface_insert(txn);
    ovsrec_interface_set_name(iface, tunnel->name);
    ovsrec_interface_set_type(iface, tunnel->type);
    ovsrec_interface_set_ofport_request(iface, &tunnel->ofport_request, 1);
    struct smap map = SMAP_INITIALIZER(&map);
    smap_add(&map, "remote_ip", "flow");
    smap_add(&map, "key", "flow");
    smap_add(&map, "nvo3_vnis", "nva");
    ovsrec_interface_set_options(iface, &map);
    smap_clear(&map);
    smap_add(&map, OWNER_KEY, OWNER);
    ovsrec_interface_set_external_ids(iface, &map);
    smap_destroy(&map);

    struct ovsrec_port *port = ovsrec_port_insert(txn);
    ovsrec_port_set_name(port, tunnel->name);
    ovsrec_port_set_interfaces(port, &iface, 1);
    /* Of a VLAN that no frame has: NORMAL neither takes from the port nor gives
     * to it, even before our flows are there. */
    const int64_t no_vlan = 4095;
    ovsrec_port_set_vlan_mode(port, "trunk");
    ovsrec_port_set_trunks(port, &no_vlan, 1);
    ovsrec_bridge_update_ports_addvalue(bridge, port);
}

static bool
port_exists(const char *name)
{
    const struct ovsrec_interface *iface;

    OVSREC_INTERFACE_FOR_EACH (iface, idl) {
        if (!strcmp(iface->name, name)) {
            return true;
        }
    }
    return false;
}

/* True if that is another one than before. */
static bool
bring_fail_mode_about(const struct ovsrec_bridge *bridge, bool right)
{
    const char *former = smap_get(&bridge->external_ids, FAIL_MODE_KEY);
    enum ovsdb_wish wish = right ? fail_closed : others_fail_closed;
    bool wanted = wish == OVSDB_WANTED && !bridge->n_controller;

    if (wish == OVSDB_AS_IS) {
        return false;
    }
    if (wanted && !is_secure(bridge)) {
        begin_transaction();
        ovsrec_bridge_update_external_ids_setkey(
            bridge, FAIL_MODE_KEY,
            bridge->fail_mode ? bridge->fail_mode : NO_MODE);
        ovsrec_bridge_set_fail_mode(bridge, "secure");
        VLOG_INFO("%s: setting fail_mode=secure, which empties its flow tables "
                  "once: no packet passes that no flow of ours or yours lets "
                  "through", bridge->name);
        return true;
    }
    if (!wanted && former) {
        begin_transaction();
        if (is_secure(bridge)) {
            ovsrec_bridge_set_fail_mode(
                bridge, strcmp(former, NO_MODE) ? former : NULL);
        }
        ovsrec_bridge_update_external_ids_delkey(bridge, FAIL_MODE_KEY);
        VLOG_INFO("%s: fail_mode is as it was before", bridge->name);
        return true;
    }
    return false;
}

/* Goes when our flows have gone, as fail_mode does. */
static void
bring_mark_about(const struct ovsrec_bridge *bridge, bool right)
{
    enum ovsdb_wish wish = right ? fail_closed : others_fail_closed;

    if (wish == OVSDB_WANTED
        && !smap_get_bool(&bridge->other_config, PIPELINE_KEY, false)) {
        begin_transaction();
        ovsrec_bridge_update_other_config_setkey(bridge, PIPELINE_KEY, "true");
    } else if (wish == OVSDB_GONE
               && smap_get(&bridge->other_config, PIPELINE_KEY)) {
        begin_transaction();
        ovsrec_bridge_update_other_config_delkey(bridge, PIPELINE_KEY);
    }
}

static void
bring_about(const struct ovsrec_open_vswitch *ovs)
{
    bool closes = false;
    const struct ovsrec_bridge *integration = NULL;
    bool there[N_OWN_TUNNELS] = { false };

    for (size_t i = 0; i < ovs->n_bridges; i++) {
        const struct ovsrec_bridge *bridge = ovs->bridges[i];
        bool right = !strcmp(bridge->name, integration_bridge(ovs));
        integration = right ? bridge : integration;
        closes |= bring_fail_mode_about(bridge, right);
        bring_mark_about(bridge, right);

        for (size_t j = 0; j < bridge->n_ports; j++) {
            const struct own_tunnel *tunnel = own_tunnel_of(bridge->ports[j]);
            if (!tunnel || tunnel->wish == OVSDB_AS_IS) {
                continue;
            }
            if (right && tunnel->wish == OVSDB_WANTED) {
                there[tunnel - own_tunnels] = true;
            } else {
                begin_transaction();
                ovsrec_bridge_update_ports_delvalue(bridge, bridge->ports[j]);
                VLOG_INFO("%s: removing tunnel port %s", bridge->name,
                          tunnel->name);
            }
        }
    }
    for (size_t i = 0; i < N_OWN_TUNNELS; i++) {
        const struct own_tunnel *tunnel = &own_tunnels[i];
        if (tunnel->wish != OVSDB_WANTED || there[i]) {
            continue;
        }
        if (!integration || strcmp(integration->datapath_type, "nvo3")) {
            VLOG_WARN_RL(&rl, "no tunnel port %s: there is no bridge %s of "
                         "datapath_type nvo3; make it, or name another by "
                         "other_config:nvo3-bridge", tunnel->name,
                         integration_bridge(ovs));
        } else if (port_exists(tunnel->name)) {
            /* After a change of the bridge ours goes first. */
            VLOG_WARN_RL(&rl, "no tunnel port %s: another port has the name",
                         tunnel->name);
        } else {
            begin_transaction();
            insert_tunnel(integration, tunnel);
            VLOG_INFO("%s: adding tunnel port %s", integration->name,
                      tunnel->name);
        }
    }
    if (closes) {
        ovsdb_idl_txn_increment(txn, &ovs->header_,
                                &ovsrec_open_vswitch_col_next_cfg, false);
    }
}

static void
run_transaction(void)
{
    const struct ovsrec_open_vswitch *ovs = ovsrec_open_vswitch_first(idl);

    if (!txn && wishes_changed && ovs && ovsdb_idl_is_connected(idl)
        && time_msec() >= retry_at) {
        wishes_changed = false;
        bring_about(ovs);
    }
    if (!txn) {
        return;
    }
    enum ovsdb_idl_txn_status status = ovsdb_idl_txn_commit(txn);
    if (status == TXN_INCOMPLETE) {
        return;
    }
    if (status != TXN_SUCCESS && status != TXN_UNCHANGED) {
        if (status != TXN_TRY_AGAIN) {
            VLOG_WARN_RL(&rl, "the database refuses a change of ours: %s",
                         ovsdb_idl_txn_get_error(txn));
        }
        wishes_changed = true;
        retry_at = time_msec() + RETRY_INTERVAL_MS;
    }
    if (status == TXN_SUCCESS && ovsdb_idl_txn_get_increment_new_value(txn)) {
        closed_from = ovsdb_idl_txn_get_increment_new_value(txn);
    }
    ovsdb_idl_txn_destroy(txn);
    txn = NULL;
}
