/* SPDX-License-Identifier: Apache-2.0
 *
 * Flows of ours as the switch sees them: parsed, keyed by table, priority and
 * match, compared by actions.
 *
 * Place: part of openflow_adapter.c, which alone includes it.  Thread: the OVS
 * thread. */
#ifndef HVAGENT_OPENFLOW_FLOWS_H
#define HVAGENT_OPENFLOW_FLOWS_H 1

#include <stdbool.h>

#include "openvswitch/hmap.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-flow.h"

/* "nvo3": all flows of ours and no others. */
#define NVO3_COOKIE UINT64_C(0x6e766f3300000000)
#define NVO3_OFP_VERSION OFP14_VERSION
#define NVO3_OFP_PROTOCOL OFPUTIL_P_OF14_OXM

struct of_flow {
    struct hmap_node node;      /* In a set, by key. */

    /* The key. */
    uint8_t table_id;
    uint16_t priority;
    struct minimatch match;

    struct ofpact *ofpacts;
    size_t ofpacts_len;
    enum ofputil_flow_mod_flags flags;

    char *text;                 /* NULL: known from the switch only. */
    uint64_t n_packets;         /* Of a desired one, as the switch told last. */
    bool refused;               /* By the switch, on this connection. */
};

/* NULL, and in '*error' malloc'd words, if 'text' is no flow. */
struct of_flow *of_flow_parse(const char *text, char **error);
struct of_flow *of_flow_from_stats(const struct ofputil_flow_stats *);
struct of_flow *of_flow_clone(const struct of_flow *);
void of_flow_free(struct of_flow *);

/* Same actions.  'b' gets those of 'a' if so: then it is cheap the next time. */
bool of_flow_equal(const struct of_flow *a, struct of_flow *b);
/* The port that it is for (in_port of table 0), OFPP_NONE if none. */
ofp_port_t of_flow_in_port(const struct of_flow *);
/* It takes the packets of a port, with which the bridge's NORMAL action has nothing to
 * do then. */
bool of_flow_is_of_network(const struct of_flow *);
/* 'command' is OFPFC_ADD or OFPFC_DELETE_STRICT. */
struct ofpbuf *of_flow_encode(const struct of_flow *, int command,
                              ovs_be32 xid);
char *of_flow_format(const struct of_flow *);   /* malloc'd, for the log */

/* Sets own their flows. */
struct of_flow *of_flows_find(const struct hmap *, const struct of_flow *key);
void of_flows_insert(struct hmap *, struct of_flow *);  /* no such key yet */
void of_flows_remove(struct hmap *, const struct of_flow *key);
void of_flows_clear(struct hmap *);

#endif
