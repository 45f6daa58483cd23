/* SPDX-License-Identifier: Apache-2.0
 *
 * See openflow_adapter.h.  'desired' is what is wanted, 'installed' what the
 * switch is known to have of ours; what differs goes out in one bundle, and one
 * bundle is under way at a time. */
#include "hvagent/openflow_adapter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "byte-order.h"
#include "dirs.h"
#include "hvagent/openflow_bundle.h"
#include "hvagent/openflow_fdb.h"
#include "hvagent/openflow_flows.h"
#include "hvagent/openflow_packets.h"
#include "hvagent/openflow_ports.h"
#include "hvagent/openflow_zones.h"
#include "flow.h"
#include "openvswitch/ofp-connection.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/ofp-monitor.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/rconn.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nvo3_openflow);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(60, 60);
static struct vlog_rate_limit slow_rl = VLOG_RATE_LIMIT_INIT(1, 1);

/* Somebody removed our flows in a way that told us nothing: seen so soon. */
#define CHECK_INTERVAL_MS 5000
#define RETRY_INTERVAL_MS 1000
#define LEAVE_TIMEOUT_MS 5000
#define MESSAGES_PER_RUN 100

enum state {
    DISCONNECTED,
    DUMPING,                    /* The switch tells which flows of ours it has. */
    IDLE,
    COMMITTING,                 /* A bundle is under way. */
};

struct openflow_adapter {
    char *bridge;
    struct rconn *rconn;
    struct openflow_ports *ports;
    bool classified;            /* Other ports than before: FDB is to be flushed. */
    struct fdb_flush *flush;    /* Under way, or NULL. */
    enum state state;
    unsigned int seqno;         /* Of the connection. */
    ovs_be32 asked;             /* xid of the flow dump, or of the count. */

    bool given;                 /* 'desired' says something. */
    bool keep;
    bool leaving;
    long long int leave_deadline;
    bool dirty;                 /* 'desired' and 'installed' may differ. */
    bool stale;                 /* 'installed' is not to be trusted. */
    long long int retry_at, check_at;
    bool counting;              /* 'asked' is of a count. */
    struct of_packets packets;
    struct of_zones zones;

    struct of_flow **texts;     /* 'desired' by text, sorted. */
    size_t n_texts;
    struct hmap desired, installed;

    struct of_bundle bundle;    /* COMMITTING. */
};

struct openflow_adapter *
openflow_adapter_open(const char *bridge)
{
    struct openflow_adapter *a = xzalloc(sizeof *a);
    char *target = xasprintf("unix:%s/%s.mgmt", ovs_rundir(), bridge);

    a->bridge = xstrdup(bridge);
    hmap_init(&a->desired);
    hmap_init(&a->installed);
    a->ports = openflow_ports_create(target, bridge);
    a->rconn = rconn_create(5, 1, 0, 1u << NVO3_OFP_VERSION);
    rconn_connect(a->rconn, target, NULL);
    a->seqno = rconn_get_connection_seqno(a->rconn);
    free(target);
    return a;
}

void
openflow_adapter_close(struct openflow_adapter *a)
{
    if (a) {
        of_bundle_clear(&a->bundle);
        for (size_t i = 0; i < a->n_texts; i++) {
            of_flow_free(a->texts[i]);
        }
        free(a->texts);
        hmap_destroy(&a->desired);
        of_flows_clear(&a->installed);
        hmap_destroy(&a->installed);
        openflow_ports_destroy(a->ports);
        of_zones_destroy(&a->zones);
        fdb_flush_destroy(a->flush);
        rconn_destroy(a->rconn);
        free(a->bridge);
        free(a);
    }
}

const char *
openflow_adapter_bridge(const struct openflow_adapter *a)
{
    return a->bridge;
}

/* ---- What is wanted ---- */

void
openflow_adapter_set(struct openflow_adapter *a, const char *const flows[],
                     size_t n, bool keep)
{
    struct of_flow **texts = xmalloc(MAX(n, 1) * sizeof *texts);
    size_t n_texts = 0, old = 0;

    /* Both are sorted: only what is new needs to be parsed. */
    hmap_clear(&a->desired);
    for (size_t i = 0; i < n; i++) {
        int order = 1;
        while (old < a->n_texts
               && (order = strcmp(a->texts[old]->text, flows[i])) < 0) {
            of_flow_free(a->texts[old++]);
        }
        if (old < a->n_texts && !order) {
            texts[n_texts++] = a->texts[old++];
            continue;
        }
        char *error;
        struct of_flow *flow = of_flow_parse(flows[i], &error);
        if (flow) {
            texts[n_texts++] = flow;
        } else {
            VLOG_ERR_RL(&rl, "flow \"%s\" is not valid: %s", flows[i], error);
            free(error);
        }
    }
    while (old < a->n_texts) {
        of_flow_free(a->texts[old++]);
    }
    free(a->texts);
    a->texts = texts;
    a->n_texts = n_texts;

    for (size_t i = 0; i < n_texts; i++) {
        if (!of_flows_find(&a->desired, texts[i])) {
            of_flows_insert(&a->desired, texts[i]);
        } else {
            VLOG_ERR_RL(&rl, "flow \"%s\" has the match of another",
                        texts[i]->text);
        }
    }
    a->keep = keep;
    a->given = true;
    a->leaving = false;
    a->dirty = true;
}

void
openflow_adapter_set_no_flood(struct openflow_adapter *a,
                              const uint32_t ports[], size_t n)
{
    openflow_ports_set(a->ports, ports, n);
}

void
openflow_adapter_flush_zones(struct openflow_adapter *a,
                             const uint16_t zones[], size_t n)
{
    of_zones_add(&a->zones, zones, n);
}

void
openflow_adapter_leave(struct openflow_adapter *a)
{
    if (!a->leaving) {
        openflow_adapter_set(a, NULL, 0, false);
        openflow_adapter_set_no_flood(a, NULL, 0);
        a->leaving = true;
        a->leave_deadline = time_msec() + LEAVE_TIMEOUT_MS;
    }
}

/* ---- Counters ---- */

void
openflow_adapter_ask_packets(struct openflow_adapter *a,
                             const uint8_t tables[], size_t n)
{
    if (a->state != DISCONNECTED) {
        of_packets_ask(&a->packets, a->rconn, tables, n);
    }
}

unsigned int
openflow_adapter_packets_seqno(const struct openflow_adapter *a)
{
    return a->packets.seqno;
}

void
openflow_adapter_packets(const struct openflow_adapter *a,
                         void (*take)(void *aux, const char *flow,
                                      uint64_t n_packets), void *aux)
{
    for (size_t i = 0; i < a->n_texts; i++) {
        take(aux, a->texts[i]->text, a->texts[i]->n_packets);
    }
}

/* ---- Connection ---- */

static ovs_be32
send_message(struct openflow_adapter *a, struct ofpbuf *msg)
{
    ovs_be32 xid = ((struct ofp_header *) msg->data)->xid;
    rconn_send(a->rconn, msg, NULL);
    return xid;
}

static void
ask_flows(struct openflow_adapter *a, bool only_count)
{
    struct ofputil_flow_stats_request request = {
        .aggregate = only_count,
        .match = MATCH_CATCHALL_INITIALIZER,
        .cookie = htonll(NVO3_COOKIE),
        .cookie_mask = OVS_BE64_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .table_id = 0xff,
    };
    a->asked = send_message(
        a, ofputil_encode_flow_stats_request(&request, NVO3_OFP_PROTOCOL));
    a->counting = only_count;
}

static void
begin_dump(struct openflow_adapter *a)
{
    of_flows_clear(&a->installed);
    a->stale = false;
    a->state = DUMPING;
    ask_flows(a, false);
}

static void
on_connected(struct openflow_adapter *a)
{
    struct ofputil_async_cfg cfg = OFPUTIL_ASYNC_CFG_INIT;
    cfg.primary[OAM_PORT_STATUS] = (1u << OFPPR_ADD) | (1u << OFPPR_DELETE)
                                   | (1u << OFPPR_MODIFY);
    cfg.primary[OAM_FLOW_REMOVED] = 1u << OFPRR_DELETE;
    send_message(a, ofputil_encode_set_async_config(
                     &cfg,
                     (1u << OAM_PACKET_IN) | (1u << OAM_PORT_STATUS)
                     | (1u << OAM_FLOW_REMOVED) | (1u << OAM_ROLE_STATUS)
                     | (1u << OAM_TABLE_STATUS) | (1u << OAM_REQUESTFORWARD),
                     NVO3_OFP_VERSION));

    for (size_t i = 0; i < a->n_texts; i++) {
        a->texts[i]->refused = false;
    }
    a->packets.n = 0;
    of_zones_connected(&a->zones);
    openflow_ports_refresh(a->ports);
    begin_dump(a);
}

static void
on_committed(struct openflow_adapter *a, enum ofperr error)
{
    enum of_bundle_result result = of_bundle_end(
        &a->bundle, a->bridge, error, &a->desired, &a->installed,
        &a->classified);

    if (result != OF_BUNDLE_DONE) {
        a->dirty = true;
    }
    if (result == OF_BUNDLE_FAILED) {
        a->retry_at = time_msec() + RETRY_INTERVAL_MS;
        a->stale = true;
    }
    a->state = IDLE;
    a->check_at = time_msec() + CHECK_INTERVAL_MS;
}

/* ---- Messages of the switch ---- */

static void
on_flows(struct openflow_adapter *a, const struct ofp_header *oh)
{
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    struct ofputil_flow_stats fs;
    struct ofpbuf ofpacts;
    int error;

    if (of_packets_reply(&a->packets, oh, &a->desired)
        || a->state != DUMPING || oh->xid != a->asked) {
        return;
    }
    ofpbuf_init(&ofpacts, 256);
    while (!(error = ofputil_decode_flow_stats_reply(&fs, &b, false,
                                                     &ofpacts))) {
        struct of_flow *flow = of_flow_from_stats(&fs);
        if (of_flow_is_of_network(flow)) {
            openflow_ports_had(a->ports, ofp_to_u16(of_flow_in_port(flow)));
        }
        of_flows_remove(&a->installed, flow);
        of_flows_insert(&a->installed, flow);
    }
    ofpbuf_uninit(&ofpacts);
    if (error != EOF) {
        VLOG_WARN_RL(&rl, "%s tells flows that cannot be read (%s)",
                     a->bridge, ofperr_to_string(error));
        rconn_reconnect(a->rconn);
    } else if (!ofpmp_more(oh)) {
        a->state = IDLE;
        a->dirty = true;
        a->check_at = time_msec() + CHECK_INTERVAL_MS;
    }
}

static void
on_count(struct openflow_adapter *a, const struct ofp_header *oh)
{
    struct ofputil_aggregate_stats stats;

    if (a->state == IDLE && a->counting && oh->xid == a->asked
        && !ofputil_decode_aggregate_stats_reply(&stats, oh)
        && stats.flow_count != hmap_count(&a->installed)) {
        a->stale = true;
    }
}

static void
on_removed(struct openflow_adapter *a, const struct ofp_header *oh)
{
    struct ofputil_flow_removed fr;

    if (ofputil_decode_flow_removed(&fr, oh)
        || fr.cookie != htonll(NVO3_COOKIE)) {
        return;
    }
    struct ofputil_flow_stats fs = {
        .match = fr.match, .table_id = fr.table_id, .priority = fr.priority,
    };
    struct of_flow *key = of_flow_from_stats(&fs);
    /* What we removed ourselves is in 'installed' no longer. */
    if (of_flows_find(&a->installed, key)) {
        a->stale = true;
    }
    of_flow_free(key);
}

static void
on_error(struct openflow_adapter *a, const struct ofp_header *oh)
{
    enum ofperr error = ofperr_decode_msg(oh, NULL);

    if (a->state == COMMITTING && oh->xid == a->bundle.commit_xid) {
        on_committed(a, error);
    } else if (a->state != COMMITTING || !of_bundle_error(&a->bundle, oh)) {
        of_packets_error(&a->packets, oh);
        of_zones_reply(&a->zones, oh);
        VLOG_WARN_RL(&rl, "%s: %s", a->bridge, ofperr_to_string(error));
        if (a->state == DUMPING && oh->xid == a->asked) {
            a->retry_at = time_msec() + RETRY_INTERVAL_MS;
            a->stale = true;
            a->state = IDLE;
        }
    }
}

static void
on_message(struct openflow_adapter *a, const struct ofp_header *oh)
{
    enum ofptype type;

    if (ofptype_decode(&type, oh)) {
        return;
    }
    switch ((int) type) {
    case OFPTYPE_ECHO_REQUEST:
        send_message(a, ofputil_encode_echo_reply(oh));
        break;
    case OFPTYPE_ERROR:
        on_error(a, oh);
        break;
    case OFPTYPE_FLOW_STATS_REPLY:
        on_flows(a, oh);
        break;
    case OFPTYPE_AGGREGATE_STATS_REPLY:
        on_count(a, oh);
        break;
    case OFPTYPE_BUNDLE_CONTROL:
        if (a->state == COMMITTING && oh->xid == a->bundle.commit_xid) {
            on_committed(a, 0);
        }
        break;
    case OFPTYPE_BARRIER_REPLY:
        of_zones_reply(&a->zones, oh);
        break;
    case OFPTYPE_FLOW_REMOVED:
        on_removed(a, oh);
        break;
    case OFPTYPE_PORT_STATUS:
        openflow_ports_refresh(a->ports);
        break;
    }
}

static void
act(struct openflow_adapter *a)
{
    long long int now = time_msec();

    if (a->state != IDLE || now < a->retry_at) {
        return;
    }
    if (a->stale) {
        begin_dump(a);
    } else if (a->dirty && a->given) {
        a->dirty = false;
        of_bundle_compare(&a->bundle, &a->desired, &a->installed, a->keep);
        if (a->bundle.n) {
            of_bundle_send(&a->bundle, a->rconn);
            a->state = COMMITTING;
        }
    } else if (of_zones_due(&a->zones)) {
        of_zones_send(&a->zones, a->rconn);
    } else if (a->classified && !a->flush) {
        a->classified = false;
        a->flush = fdb_flush_start(a->bridge);
    } else if (now >= a->check_at) {
        a->check_at = now + CHECK_INTERVAL_MS;
        ask_flows(a, true);
    }
}

void
openflow_adapter_run(struct openflow_adapter *a)
{
    rconn_run(a->rconn);
    if (!rconn_is_connected(a->rconn)) {
        a->state = DISCONNECTED;
        of_bundle_clear(&a->bundle);
        if (rconn_failure_duration(a->rconn) > 10) {
            VLOG_WARN_RL(&slow_rl, "%s: no OpenFlow 1.4 connection (%s), so "
                         "virtual networks do not follow: is there the bridge? "
                         "If its column protocols is set, add OpenFlow14",
                         a->bridge,
                         ovs_retval_to_string(
                             rconn_get_last_error(a->rconn)));
        }
    } else if (a->state == DISCONNECTED
               || a->seqno != rconn_get_connection_seqno(a->rconn)) {
        a->seqno = rconn_get_connection_seqno(a->rconn);
        of_bundle_clear(&a->bundle);
        on_connected(a);
    }
    for (int i = 0; i < MESSAGES_PER_RUN; i++) {
        struct ofpbuf *msg = rconn_recv(a->rconn);
        if (!msg) {
            break;
        }
        on_message(a, msg->data);
        ofpbuf_delete(msg);
    }
    act(a);
    if (a->flush && fdb_flush_run(a->flush)) {
        fdb_flush_destroy(a->flush);
        a->flush = NULL;
    }
    if (a->state != DISCONNECTED) {
        openflow_ports_run(a->ports);
    }
}

void
openflow_adapter_wait(struct openflow_adapter *a)
{
    rconn_run_wait(a->rconn);
    rconn_recv_wait(a->rconn);
    if (a->state == IDLE) {
        bool work = (a->stale || (a->dirty && a->given)
                     || of_zones_due(&a->zones) || (a->classified && !a->flush));
        poll_timer_wait_until(work ? a->retry_at : a->check_at);
    }
    if (a->flush) {
        fdb_flush_wait(a->flush);
    }
    if (a->state != DISCONNECTED) {
        openflow_ports_wait(a->ports);
    }
    if (a->leaving && a->state == DISCONNECTED) {
        poll_timer_wait_until(a->leave_deadline);
    }
}

bool
openflow_adapter_is_settled(const struct openflow_adapter *a)
{
    if (a->leaving && a->state == DISCONNECTED
        && time_msec() >= a->leave_deadline) {
        return true;
    }
    return (a->state == IDLE && !a->dirty && !a->stale
            && !a->classified && !a->flush && !a->zones.n
            && openflow_ports_is_settled(a->ports));
}
