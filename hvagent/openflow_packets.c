/* SPDX-License-Identifier: Apache-2.0
 *
 * See openflow_packets.h. */
#include "hvagent/openflow_packets.h"

#include "byte-order.h"
#include "hvagent/openflow_flows.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/rconn.h"
#include "util.h"

void
of_packets_ask(struct of_packets *p, struct rconn *rconn,
               const uint8_t tables[], size_t n)
{
    if (p->n) {
        return;
    }
    ovs_assert(n <= OF_PACKETS_TABLES);
    for (size_t i = 0; i < n; i++) {
        struct ofputil_flow_stats_request request = {
            .match = MATCH_CATCHALL_INITIALIZER,
            .cookie = htonll(NVO3_COOKIE),
            .cookie_mask = OVS_BE64_MAX,
            .out_port = OFPP_ANY,
            .out_group = OFPG_ANY,
            .table_id = tables[i],
        };
        struct ofpbuf *msg = ofputil_encode_flow_stats_request(
            &request, NVO3_OFP_PROTOCOL);
        p->xids[i] = ((struct ofp_header *) msg->data)->xid;
        rconn_send(rconn, msg, NULL);
    }
    p->n = n;
}

static size_t
find(const struct of_packets *p, ovs_be32 xid)
{
    size_t i = 0;
    while (i < p->n && p->xids[i] != xid) {
        i++;
    }
    return i;
}

static void
answered(struct of_packets *p, size_t i)
{
    p->xids[i] = p->xids[--p->n];
    if (!p->n) {
        p->seqno++;
    }
}

bool
of_packets_reply(struct of_packets *p, const struct ofp_header *oh,
                 const struct hmap *desired)
{
    size_t i = find(p, oh->xid);
    if (i == p->n) {
        return false;
    }
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    struct ofputil_flow_stats fs;
    struct ofpbuf ofpacts;

    ofpbuf_init(&ofpacts, 256);
    while (!ofputil_decode_flow_stats_reply(&fs, &b, false, &ofpacts)) {
        struct of_flow *key = of_flow_from_stats(&fs);
        struct of_flow *flow = of_flows_find(desired, key);
        if (flow) {
            flow->n_packets = fs.packet_count;
        }
        of_flow_free(key);
    }
    ofpbuf_uninit(&ofpacts);
    if (!ofpmp_more(oh)) {
        answered(p, i);
    }
    return true;
}

void
of_packets_error(struct of_packets *p, const struct ofp_header *oh)
{
    size_t i = find(p, oh->xid);
    if (i < p->n) {
        answered(p, i);
    }
}
