/* SPDX-License-Identifier: Apache-2.0
 *
 * Ends the connections of conntrack zones.
 *
 * Place: part of openflow_adapter.c, which alone includes it.  Thread: the OVS
 * thread. */
#ifndef HVAGENT_OPENFLOW_ZONES_H
#define HVAGENT_OPENFLOW_ZONES_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/types.h"

struct ofp_header;
struct rconn;

struct of_zones {
    uint16_t *zones;            /* To be flushed, until the switch has. */
    size_t n, allocated;
    size_t n_sent;              /* The first of them, on this connection. */
    ovs_be32 barrier;           /* Whose answer says that it has. */
};

void of_zones_destroy(struct of_zones *);
void of_zones_add(struct of_zones *, const uint16_t zones[], size_t n);
/* The connection is another one: what was not confirmed is to be sent again. */
void of_zones_connected(struct of_zones *);
/* Something is to be sent. */
bool of_zones_due(const struct of_zones *);
void of_zones_send(struct of_zones *, struct rconn *);
/* 'oh' is the answer to a barrier, or an error. */
void of_zones_reply(struct of_zones *, const struct ofp_header *oh);

#endif
