/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's view of the Open vSwitch database.  All that it writes are the
 * tunnel ports of its own on the integration bridge, marked
 * external_ids:nvo3-owner=hvagent, the bridge's fail_mode, marked
 * external_ids:nvo3-fail-mode (what it was before), and its
 * other_config:nvo3-pipeline.
 *
 * Place: between OVS's OVSDB client (C) and config.cc (C++); with
 * ovs_daemon.h, all of OVS that hvagent sees.  Thread: the OVS thread only. */
#ifndef HVAGENT_OVSDB_ADAPTER_H
#define HVAGENT_OVSDB_ADAPTER_H 1

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Receives the rows of one walk; strings are valid during the call only. */
struct ovsdb_visitor {
    void *aux;
    /* A pair of Open_vSwitch other_config. */
    void (*other_config)(void *aux, const char *key, const char *value);
    /* An Interface of type geneve or vxlan on a bridge of type nvo3; the
     * options that follow are its own.  'ofport' is 0 while the switch has given
     * none, and on other bridges than the integration bridge. */
    void (*tunnel)(void *aux, const char *name, const char *type,
                   uint32_t ofport);
    void (*tunnel_option)(void *aux, const char *key, const char *value);
    /* An Interface of the integration bridge (other_config:nvo3-bridge) that
     * names a virtual network, or on a hypervisor (nvo3-role) is libvirt's; its
     * external_ids follow.  'ofport' is 0 while the switch has given none. */
    void (*vm_port)(void *aux, const char *name, uint32_t ofport);
    void (*vm_port_id)(void *aux, const char *key, const char *value);
    /* An OpenFlow port of the integration bridge that is none of the above, while
     * the bridge lets no packet through by itself because of us. */
    void (*plain_port)(void *aux, uint32_t ofport);
    /* A tunnel port of ours that the switch has made. */
    void (*own_tunnel)(void *aux, const char *type, uint32_t ofport);
};

/* Starts following 'database' ("unix:FILE", "tcp:...", "ssl:...").  Connects
 * and reconnects by itself for ever. */
void ovsdb_adapter_open(const char *database);
void ovsdb_adapter_close(void);

/* Processes what has arrived; never blocks.  True if the contents may differ
 * from those at the last true, false while the database was never reached. */
bool ovsdb_adapter_run(void);
void ovsdb_adapter_wait(void);  /* arranges the next wake-up of poll_block() */

/* Walks the current contents. */
void ovsdb_adapter_visit(const struct ovsdb_visitor *);

/* ---- For hvagent --check ---- */

/* After ovsdb_adapter_open(), before anything else: asks for more columns. */
void ovsdb_adapter_want_facts(void);
/* Waits at most so long; false: nothing came.  The only function here that
 * blocks. */
bool ovsdb_adapter_wait_for_contents(int ms);
struct ovsdb_facts_visitor {
    void *aux;
    /* One that the switch knows. */
    void (*datapath_type)(void *aux, const char *type);
    /* 'mtu' is 0 where the switch has not said any. */
    void (*interface)(void *aux, const char *bridge, const char *bridge_type,
                      const char *name, const char *type, int64_t mtu);
};
void ovsdb_adapter_visit_facts(const struct ovsdb_facts_visitor *);

/* ---- Writing ---- */

enum ovsdb_wish {
    OVSDB_AS_IS,                /* Stays if it is there. */
    OVSDB_WANTED,
    OVSDB_GONE,
};
/* What ovsdb_adapter_run() brings about: a tunnel port of ours of 'type',
 * "geneve" or "vxlan", on the integration bridge; */
void ovsdb_adapter_own_tunnel(const char *type, enum ovsdb_wish);
/* that the integration bridge, and 'others', not WANTED, have no flow but what they
 * were told (fail_mode=secure), from their start on.  A bridge that is secure
 * already, or that has a controller, is its operator's and stays as it is.  OVS
 * empties a bridge's flow tables when its fail_mode changes.  WANTED or not, it
 * also marks where our flows belong, for the switch. */
void ovsdb_adapter_fail_closed(enum ovsdb_wish integration,
                               enum ovsdb_wish others);

#ifdef __cplusplus
}
#endif
#endif
