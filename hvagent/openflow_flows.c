/* SPDX-License-Identifier: Apache-2.0
 *
 * See openflow_flows.h. */
#include "hvagent/openflow_flows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "byte-order.h"
#include "hash.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/ofp-match.h"
#include "openvswitch/ofpbuf.h"
#include "util.h"

static struct of_flow *
make(uint8_t table_id, uint16_t priority, const struct ofpact *ofpacts,
     size_t ofpacts_len, enum ofputil_flow_mod_flags flags)
{
    struct of_flow *flow = xzalloc(sizeof *flow);
    flow->table_id = table_id;
    flow->priority = priority;
    flow->ofpacts = ofpacts_len ? xmemdup(ofpacts, ofpacts_len) : NULL;
    flow->ofpacts_len = ofpacts_len;
    flow->flags = flags & OFPUTIL_FF_STATE;
    return flow;
}

/* As the switch would read 'fm' off the wire: there, a flow looks other than in
 * its text, and is to be compared with what the switch tells. */
static struct of_flow *
from_wire(const struct ofputil_flow_mod *fm, char **error)
{
    struct ofpbuf *msg = ofputil_encode_flow_mod(fm, NVO3_OFP_PROTOCOL);
    struct ofpbuf ofpacts;
    struct ofputil_flow_mod read;
    struct of_flow *flow = NULL;

    ofpbuf_init(&ofpacts, 256);
    enum ofperr err = ofputil_decode_flow_mod(&read, msg->data,
                                              NVO3_OFP_PROTOCOL, NULL, NULL,
                                              &ofpacts, OFPP_MAX, 255);
    if (err) {
        *error = xasprintf("the flow cannot be sent: %s",
                           ofperr_to_string(err));
    } else {
        flow = make(read.table_id, read.priority, read.ofpacts,
                    read.ofpacts_len, read.flags);
        struct match match;
        minimatch_expand(&read.match, &match);
        ofputil_normalize_match_quiet(&match);
        minimatch_init(&flow->match, &match);
        minimatch_destroy(&read.match);
    }
    ofpbuf_uninit(&ofpacts);
    ofpbuf_delete(msg);
    return flow;
}

struct of_flow *
of_flow_parse(const char *text, char **error)
{
    struct ofputil_flow_mod fm;
    enum ofputil_protocol usable;

    *error = parse_ofp_flow_mod_str(&fm, text, NULL, NULL, OFPFC_ADD,
                                    &usable);
    if (*error) {
        return NULL;
    }
    struct of_flow *flow = NULL;
    if (usable & NVO3_OFP_PROTOCOL) {
        flow = from_wire(&fm, error);
    } else {
        *error = xstrdup("OpenFlow 1.4 has no such flow");
    }
    if (flow) {
        flow->text = xstrdup(text);
    }
    free(CONST_CAST(struct ofpact *, fm.ofpacts));
    minimatch_destroy(&fm.match);
    return flow;
}

struct of_flow *
of_flow_from_stats(const struct ofputil_flow_stats *fs)
{
    struct of_flow *flow = make(fs->table_id, fs->priority, fs->ofpacts,
                                fs->ofpacts_len, fs->flags);
    minimatch_init(&flow->match, &fs->match);
    return flow;
}

struct of_flow *
of_flow_clone(const struct of_flow *old)
{
    struct of_flow *flow = make(old->table_id, old->priority, old->ofpacts,
                                old->ofpacts_len, old->flags);
    minimatch_clone(&flow->match, &old->match);
    return flow;
}

void
of_flow_free(struct of_flow *flow)
{
    if (flow) {
        minimatch_destroy(&flow->match);
        free(flow->ofpacts);
        free(flow->text);
        free(flow);
    }
}

bool
of_flow_equal(const struct of_flow *a, struct of_flow *b)
{
    if (a->flags != b->flags) {
        return false;
    }
    if (a->ofpacts_len == b->ofpacts_len
        && (!a->ofpacts_len
            || !memcmp(a->ofpacts, b->ofpacts, a->ofpacts_len))) {
        return true;
    }
    /* OVS leaves padding as it was, so that same actions may differ in bytes. */
    if (!ofpacts_equal_stringwise(a->ofpacts, a->ofpacts_len,
                                  b->ofpacts, b->ofpacts_len)) {
        return false;
    }
    free(b->ofpacts);
    b->ofpacts = xmemdup(a->ofpacts, a->ofpacts_len);
    b->ofpacts_len = a->ofpacts_len;
    return true;
}

ofp_port_t
of_flow_in_port(const struct of_flow *flow)
{
    struct match match;

    if (flow->table_id) {
        return OFPP_NONE;
    }
    minimatch_expand(&flow->match, &match);
    return (match.wc.masks.in_port.ofp_port
            ? match.flow.in_port.ofp_port : OFPP_NONE);
}

bool
of_flow_is_of_network(const struct of_flow *flow)
{
    return flow->priority && of_flow_in_port(flow) != OFPP_NONE;
}

struct ofpbuf *
of_flow_encode(const struct of_flow *flow, int command, ovs_be32 xid)
{
    struct ofputil_flow_mod fm = {
        .match = flow->match,
        .priority = flow->priority,
        .table_id = flow->table_id,
        .command = command,
        .buffer_id = UINT32_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
    };

    if (command == OFPFC_ADD) {
        fm.new_cookie = htonll(NVO3_COOKIE);
        fm.flags = flow->flags;
        fm.ofpacts = flow->ofpacts;
        fm.ofpacts_len = flow->ofpacts_len;
    } else {
        fm.cookie = htonll(NVO3_COOKIE);
        fm.cookie_mask = OVS_BE64_MAX;
        fm.new_cookie = OVS_BE64_MAX;
    }
    struct ofpbuf *msg = ofputil_encode_flow_mod(&fm, NVO3_OFP_PROTOCOL);
    ((struct ofp_header *) msg->data)->xid = xid;
    return msg;
}

char *
of_flow_format(const struct of_flow *flow)
{
    if (flow->text) {
        return xstrdup(flow->text);
    }
    struct match match;
    minimatch_expand(&flow->match, &match);
    char *words = match_to_string(&match, NULL, flow->priority);
    char *text = xasprintf("table=%u,%s", flow->table_id, words);
    free(words);
    return text;
}

static uint32_t
hash_key(const struct of_flow *flow)
{
    return minimatch_hash(&flow->match,
                          hash_2words(flow->table_id, flow->priority));
}

struct of_flow *
of_flows_find(const struct hmap *set, const struct of_flow *key)
{
    struct of_flow *flow;

    HMAP_FOR_EACH_WITH_HASH (flow, node, hash_key(key), set) {
        if (flow->table_id == key->table_id
            && flow->priority == key->priority
            && minimatch_equal(&flow->match, &key->match)) {
            return flow;
        }
    }
    return NULL;
}

void
of_flows_insert(struct hmap *set, struct of_flow *flow)
{
    hmap_insert(set, &flow->node, hash_key(flow));
}

void
of_flows_remove(struct hmap *set, const struct of_flow *key)
{
    struct of_flow *flow = of_flows_find(set, key);
    if (flow) {
        hmap_remove(set, &flow->node);
        of_flow_free(flow);
    }
}

void
of_flows_clear(struct hmap *set)
{
    struct of_flow *flow;

    HMAP_FOR_EACH_POP (flow, node, set) {
        of_flow_free(flow);
    }
}
