/* SPDX-License-Identifier: Apache-2.0
 *
 * See openflow_bundle.h. */
#include "hvagent/openflow_bundle.h"

#include <stdlib.h>
#include <string.h>

#include "byte-order.h"
#include "hvagent/openflow_flows.h"
#include "openvswitch/ofp-bundle.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/rconn.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nvo3_bundle);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(60, 60);

struct of_change {
    struct of_flow *flow;       /* Owned. */
    bool add;
    enum ofperr error;
};

void
of_bundle_clear(struct of_bundle *b)
{
    for (size_t i = 0; i < b->n; i++) {
        of_flow_free(b->changes[i].flow);
    }
    free(b->changes);
    b->changes = NULL;
    b->n = 0;
}

/* ---- Changes ---- */

static void
add_change(struct of_bundle *b, size_t *allocated, const struct of_flow *flow,
           bool add)
{
    if (b->n == *allocated) {
        b->changes = x2nrealloc(b->changes, allocated, sizeof *b->changes);
    }
    struct of_flow *copy = of_flow_clone(flow);
    copy->text = flow->text ? xstrdup(flow->text) : NULL;
    b->changes[b->n++] = (struct of_change) { .flow = copy, .add = add };
}

void
of_bundle_compare(struct of_bundle *b, const struct hmap *desired,
                  const struct hmap *installed, bool keep)
{
    size_t allocated = 0;
    struct of_flow *flow;

    if (!keep) {
        HMAP_FOR_EACH (flow, node, installed) {
            if (!of_flows_find(desired, flow)) {
                add_change(b, &allocated, flow, false);
            }
        }
    }
    HMAP_FOR_EACH (flow, node, desired) {
        struct of_flow *there = of_flows_find(installed, flow);
        if (!flow->refused
            && (!there || (!keep && !of_flow_equal(flow, there)))) {
            add_change(b, &allocated, flow, true);
        }
    }
}

/* ---- Messages ---- */

static ovs_be32
send_control(struct of_bundle *b, struct rconn *rconn, uint16_t type)
{
    struct ofputil_bundle_ctrl_msg m = {
        .bundle_id = b->id,
        .type = type,
        .flags = OFPBF_ATOMIC | OFPBF_ORDERED,
    };
    struct ofpbuf *msg = ofputil_encode_bundle_ctrl_request(NVO3_OFP_VERSION,
                                                            &m);
    ovs_be32 xid = ((struct ofp_header *) msg->data)->xid;
    rconn_send(rconn, msg, NULL);
    return xid;
}

void
of_bundle_send(struct of_bundle *b, struct rconn *rconn)
{
    b->id++;
    b->open_error = 0;
    b->open_xid = send_control(b, rconn, OFPBCT_OPEN_REQUEST);
    /* Far from those that the other messages get meanwhile. */
    b->first_xid = ntohl(b->open_xid) + 0x10000;
    for (size_t i = 0; i < b->n; i++) {
        const struct of_change *change = &b->changes[i];
        struct ofpbuf *inner = of_flow_encode(
            change->flow, change->add ? OFPFC_ADD : OFPFC_DELETE_STRICT,
            htonl(b->first_xid + i));
        struct ofputil_bundle_add_msg m = {
            .bundle_id = b->id,
            .flags = OFPBF_ATOMIC | OFPBF_ORDERED,
            .msg = inner->data,
        };
        rconn_send(rconn, ofputil_encode_bundle_add(NVO3_OFP_VERSION, &m),
                   NULL);
        ofpbuf_delete(inner);
    }
    b->commit_xid = send_control(b, rconn, OFPBCT_COMMIT_REQUEST);
}

bool
of_bundle_error(struct of_bundle *b, const struct ofp_header *oh)
{
    uint32_t i = ntohl(oh->xid) - b->first_xid;

    if (i < b->n) {
        b->changes[i].error = ofperr_decode_msg(oh, NULL);
        return true;
    }
    if (oh->xid == b->open_xid) {
        b->open_error = ofperr_decode_msg(oh, NULL);
        return true;
    }
    return false;
}

/* ---- The end ---- */

/* A flow that the switch refuses is not sent again on this connection. */
static bool
report_refused(const struct of_bundle *b, const char *bridge,
               struct hmap *desired)
{
    bool any = false;

    for (size_t i = 0; i < b->n; i++) {
        const struct of_change *change = &b->changes[i];
        if (!change->error) {
            continue;
        }
        char *text = of_flow_format(change->flow);
        VLOG_ERR_RL(&rl, "%s refuses to %s flow \"%s\": %s", bridge,
                    change->add ? "add" : "remove", text,
                    ofperr_to_string(change->error));
        free(text);
        struct of_flow *flow = of_flows_find(desired, change->flow);
        if (flow && change->add && of_flow_equal(flow, change->flow)) {
            flow->refused = true;
        }
        any = true;
    }
    return any;
}

static void
take_over(struct of_bundle *b, struct hmap *installed, bool *classified)
{
    for (size_t i = 0; i < b->n; i++) {
        struct of_change *change = &b->changes[i];
        if (!change->error) {
            of_flows_remove(installed, change->flow);
            if (change->add) {
                if (of_flow_is_of_network(change->flow)) {
                    *classified = true;
                }
                of_flows_insert(installed, change->flow);
                change->flow = NULL;
            }
        }
    }
}

enum of_bundle_result
of_bundle_end(struct of_bundle *b, const char *bridge, enum ofperr error,
              struct hmap *desired, struct hmap *installed, bool *classified)
{
    enum of_bundle_result result = report_refused(b, bridge, desired)
                                   ? OF_BUNDLE_REFUSED : OF_BUNDLE_DONE;

    if (!error) {
        take_over(b, installed, classified);
    } else if (result == OF_BUNDLE_DONE) {
        VLOG_ERR_RL(&rl, "%s refuses %"PRIuSIZE" changes of flows: %s", bridge,
                    b->n, ofperr_to_string(b->open_error ? b->open_error
                                           : error));
        result = OF_BUNDLE_FAILED;
    }
    of_bundle_clear(b);
    return result;
}
