/* SPDX-License-Identifier: Apache-2.0
 *
 * What differs between the flows that are wanted and those that the switch has,
 * and the bundle that brings it about: all or nothing.
 *
 * Place: part of openflow_adapter.c, which alone includes it.  Thread: the OVS
 * thread. */
#ifndef HVAGENT_OPENFLOW_BUNDLE_H
#define HVAGENT_OPENFLOW_BUNDLE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/hmap.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/types.h"

struct of_change;
struct ofp_header;
struct rconn;

struct of_bundle {
    struct of_change *changes;
    size_t n;                   /* 0: none is under way. */
    uint32_t first_xid;         /* Of changes[0]; they are consecutive. */
    ovs_be32 open_xid, commit_xid;
    enum ofperr open_error;
    uint32_t id;
};

/* There are no changes, or they are forgotten. */
void of_bundle_clear(struct of_bundle *);
/* Finds the changes from 'installed' to 'desired'; with 'keep' additions alone. */
void of_bundle_compare(struct of_bundle *, const struct hmap *desired,
                       const struct hmap *installed, bool keep);
void of_bundle_send(struct of_bundle *, struct rconn *);

/* True if 'oh' is an error about what is under way. */
bool of_bundle_error(struct of_bundle *, const struct ofp_header *oh);

enum of_bundle_result {
    OF_BUNDLE_DONE,             /* 'installed' has it. */
    OF_BUNDLE_REFUSED,          /* Flows are marked as refused: compare again. */
    OF_BUNDLE_FAILED,           /* For no flow's fault. */
};
/* The switch has answered the commit, with 'error' or without; forgets the changes.
 * '*classified' becomes true if table 0 has got a port. */
enum of_bundle_result of_bundle_end(struct of_bundle *, const char *bridge,
                                    enum ofperr error, struct hmap *desired,
                                    struct hmap *installed, bool *classified);

#endif
