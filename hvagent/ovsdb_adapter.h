/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's view of the Open vSwitch database, read only.
 *
 * Place: between OVS's OVSDB client (C) and config.cc (C++); with
 * ovs_daemon.h, all of OVS that hvagent sees.  Thread: the OVS thread only. */
#ifndef HVAGENT_OVSDB_ADAPTER_H
#define HVAGENT_OVSDB_ADAPTER_H 1

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Receives the rows of one walk; strings are valid during the call only. */
struct ovsdb_visitor {
    void *aux;
    /* A pair of Open_vSwitch other_config. */
    void (*other_config)(void *aux, const char *key, const char *value);
    /* An Interface of type geneve or vxlan on a bridge of type nvo3; the
     * options that follow are its own. */
    void (*tunnel)(void *aux, const char *name, const char *type);
    void (*tunnel_option)(void *aux, const char *key, const char *value);
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

#ifdef __cplusplus
}
#endif
#endif
