/* SPDX-License-Identifier: Apache-2.0
 *
 * See openflow_ports.h. */
#include "hvagent/openflow_ports.h"

#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "flow.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/rconn.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nvo3_ports);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

#define MAX_PORT 0xff00         /* OFPP_MAX of OpenFlow 1.0 */

struct openflow_ports {
    char *target, *bridge;
    unsigned long *wanted;      /* Bitmaps by OpenFlow port. */
    unsigned long *had;         /* Have it from us. */
    bool changed;               /* Since the last round began. */

    /* A round: connect, ask, change, barrier. */
    struct rconn *rconn;        /* NULL: none. */
    bool asked;
    ovs_be32 barrier;           /* 0: not sent yet. */
};

struct openflow_ports *
openflow_ports_create(const char *target, const char *bridge)
{
    struct openflow_ports *ports = xzalloc(sizeof *ports);
    ports->target = xstrdup(target);
    ports->bridge = xstrdup(bridge);
    ports->wanted = bitmap_allocate(MAX_PORT);
    ports->had = bitmap_allocate(MAX_PORT);
    return ports;
}

void
openflow_ports_destroy(struct openflow_ports *ports)
{
    rconn_destroy(ports->rconn);
    bitmap_free(ports->wanted);
    bitmap_free(ports->had);
    free(ports->target);
    free(ports->bridge);
    free(ports);
}

void
openflow_ports_set(struct openflow_ports *ports, const uint32_t wanted[],
                   size_t n)
{
    unsigned long *map = bitmap_allocate(MAX_PORT);
    for (size_t i = 0; i < n; i++) {
        if (wanted[i] < MAX_PORT) {
            bitmap_set1(map, wanted[i]);
        }
    }
    if (!bitmap_equal(map, ports->wanted, MAX_PORT)) {
        ports->changed = true;
    }
    bitmap_free(ports->wanted);
    ports->wanted = map;
}

void
openflow_ports_had(struct openflow_ports *ports, uint32_t port)
{
    if (port < MAX_PORT && !bitmap_is_set(ports->had, port)) {
        bitmap_set1(ports->had, port);
        ports->changed = true;
    }
}

void
openflow_ports_refresh(struct openflow_ports *ports)
{
    if (!bitmap_is_all_zeros(ports->wanted, MAX_PORT)
        || !bitmap_is_all_zeros(ports->had, MAX_PORT)) {
        ports->changed = true;
    }
}

bool
openflow_ports_is_settled(const struct openflow_ports *ports)
{
    return !ports->changed && !ports->rconn;
}

static void
change_port(struct openflow_ports *ports, const struct ofputil_phy_port *pp)
{
    uint32_t number = ofp_to_u16(pp->port_no);
    if (number >= MAX_PORT) {
        return;
    }
    bool wanted = bitmap_is_set(ports->wanted, number);
    bool has = pp->config & OFPUTIL_PC_NO_FLOOD;
    bool had = bitmap_is_set(ports->had, number);
    if (wanted != has && (wanted || had)) {
        struct ofputil_port_mod pm = {
            .port_no = pp->port_no,
            .hw_addr = pp->hw_addr,
            .config = wanted ? OFPUTIL_PC_NO_FLOOD : 0,
            .mask = OFPUTIL_PC_NO_FLOOD,
        };
        rconn_send(ports->rconn,
                   ofputil_encode_port_mod(&pm, OFPUTIL_P_OF10_NXM), NULL);
    }
    bitmap_set(ports->had, number, wanted);
}

static void
on_message(struct openflow_ports *ports, const struct ofp_header *oh)
{
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    enum ofptype type;

    if (ofptype_pull(&type, &b)) {
        return;
    }
    if (type == OFPTYPE_ECHO_REQUEST) {
        rconn_send(ports->rconn, ofputil_encode_echo_reply(oh), NULL);
    } else if (type == OFPTYPE_PORT_DESC_STATS_REPLY && !ports->barrier) {
        struct ofputil_phy_port pp;
        while (!ofputil_pull_phy_port(oh->version, &b, &pp)) {
            change_port(ports, &pp);
        }
        if (!ofpmp_more(oh)) {
            struct ofpbuf *request
                = ofputil_encode_barrier_request(OFP10_VERSION);
            ports->barrier = ((struct ofp_header *) request->data)->xid;
            rconn_send(ports->rconn, request, NULL);
        }
    } else if (type == OFPTYPE_BARRIER_REPLY && oh->xid == ports->barrier) {
        rconn_destroy(ports->rconn);
        ports->rconn = NULL;
    } else if (type == OFPTYPE_ERROR) {
        VLOG_WARN_RL(&rl, "%s: a port of a virtual network could not be kept "
                     "out of flooding: %s", ports->bridge,
                     ofperr_to_string(ofperr_decode_msg(oh, NULL)));
    }
}

void
openflow_ports_run(struct openflow_ports *ports)
{
    if (!ports->rconn) {
        if (!ports->changed) {
            return;
        }
        ports->rconn = rconn_create(5, 8, 0,
                                    1u << OFP10_VERSION);
        rconn_connect(ports->rconn, ports->target, NULL);
        ports->asked = false;
    }

    rconn_run(ports->rconn);
    if (!rconn_is_connected(ports->rconn)) {
        ports->asked = false;
        if (rconn_failure_duration(ports->rconn) > 10) {
            VLOG_WARN_RL(&rl, "%s: no OpenFlow 1.0 connection (%s), so other "
                         "ports may flood to those of virtual networks: if "
                         "Bridge protocols is set, add OpenFlow10",
                         ports->bridge,
                         ovs_retval_to_string(
                             rconn_get_last_error(ports->rconn)));
        }
        return;
    }
    if (!ports->asked) {
        ports->asked = true;
        ports->changed = false;
        ports->barrier = 0;
        rconn_send(ports->rconn,
                   ofputil_encode_port_desc_stats_request(OFP10_VERSION,
                                                          OFPP_ANY), NULL);
    }
    struct ofpbuf *msg;
    while (ports->rconn && (msg = rconn_recv(ports->rconn))) {
        on_message(ports, msg->data);
        ofpbuf_delete(msg);
    }
}

void
openflow_ports_wait(struct openflow_ports *ports)
{
    if (ports->rconn) {
        rconn_run_wait(ports->rconn);
        rconn_recv_wait(ports->rconn);
    } else if (ports->changed) {
        poll_immediate_wake();
    }
}
