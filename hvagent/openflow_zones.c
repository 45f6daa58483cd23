/* SPDX-License-Identifier: Apache-2.0
 *
 * See openflow_zones.h. */
#include "hvagent/openflow_zones.h"

#include <stdlib.h>
#include <string.h>

#include "byte-order.h"
#include "hvagent/openflow_flows.h"
#include "openflow/nicira-ext.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/rconn.h"
#include "util.h"

void
of_zones_destroy(struct of_zones *z)
{
    free(z->zones);
}

void
of_zones_add(struct of_zones *z, const uint16_t zones[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (z->n == z->allocated) {
            z->zones = x2nrealloc(z->zones, &z->allocated, sizeof *z->zones);
        }
        z->zones[z->n++] = zones[i];
    }
}

void
of_zones_connected(struct of_zones *z)
{
    z->n_sent = 0;
}

bool
of_zones_due(const struct of_zones *z)
{
    return z->n && !z->n_sent;
}

void
of_zones_send(struct of_zones *z, struct rconn *rconn)
{
    for (size_t i = 0; i < z->n; i++) {
        struct ofpbuf *msg = ofpraw_alloc(OFPRAW_NXT_CT_FLUSH_ZONE,
                                          NVO3_OFP_VERSION, 0);
        struct nx_zone_id *id = ofpbuf_put_zeros(msg, sizeof *id);
        id->zone_id = htons(z->zones[i]);
        rconn_send(rconn, msg, NULL);
    }
    struct ofpbuf *barrier = ofputil_encode_barrier_request(NVO3_OFP_VERSION);
    z->barrier = ((struct ofp_header *) barrier->data)->xid;
    rconn_send(rconn, barrier, NULL);
    z->n_sent = z->n;
}

void
of_zones_reply(struct of_zones *z, const struct ofp_header *oh)
{
    if (z->n_sent && oh->xid == z->barrier) {
        z->n -= z->n_sent;
        memmove(z->zones, z->zones + z->n_sent, z->n * sizeof *z->zones);
        z->n_sent = 0;
    }
}
