/* SPDX-License-Identifier: Apache-2.0
 *
 * The rule guard's hooks in OVS: what OpenFlow requests and "learn" would change
 * is shown to the engine, which may refuse it (doc/guard.md).  No packet that the
 * datapath forwards comes here.
 *
 * Threads: OpenFlow is the main thread's; rule_check also runs in the threads
 * that carry out "learn", under ofproto_mutex. */

#include "ovs-ext/shim/nvo3_guard.h"

#include "byte-order.h"
#include "classifier.h"
#include "dirs.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/list.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-bundle.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-packet.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/ofp-table.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "ofproto/connmgr.h"
#include "ofproto/ofproto-provider.h"
#include "ovs-ext/shim/nvo3_internal.h"
#include "ovs-ext/shim/nvo3_shim.h"
#include "ovs-thread.h"
#include "smap.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nvo3_guard);

#define OPTION "nvo3-guard"
/* Hvagent's word that its flows belong in the bridge: they may come later than a
 * controller does. */
#define PIPELINE_OPTION "nvo3-pipeline"
#define VNI_MASK 0xffffffU

/* So many flows that are there already are named for each bridge. */
#define MAX_STANDING 20

static struct ofproto_class base;           /* The class derived from. */
static struct shash bridges = SHASH_INITIALIZER(&bridges);

/* On whose behalf this thread works. */
struct requester {
    enum nvo3_guard_who who;
    const char *connection;
};
DEFINE_STATIC_PER_THREAD_DATA(struct requester, requester,
                              { NVO3_GUARD_SWITCH, NULL });

/* ---- hvagent's flows ---- */

static bool
is_own(const struct rule *rule)
{
    return rule && rule->flow_cookie == htonll(NVO3_GUARD_COOKIE);
}

static bool
has_own(const struct ofproto *ofproto, uint8_t table,
        const struct match *match, int priority)
{
    if (table >= ofproto->n_tables) {
        return false;
    }
    return is_own(rule_from_cls_rule(
                      classifier_find_match_exactly(
                          &ofproto->tables[table].cls, match, priority,
                          OVS_VERSION_MAX)));
}

static bool
has_pipeline(const struct ofproto *ofproto)
{
    struct match match;

    match_init_catchall(&match);
    return has_own(ofproto, NVO3_GUARD_WITNESS_TABLE, &match, 0);
}

bool
nvo3_guard_is_of_network(const struct ofproto *ofproto, uint32_t ofp_port)
{
    struct match match;

    match_init_catchall(&match);
    match_set_in_port(&match, u16_to_ofp(ofp_port));
    return has_own(ofproto, 0, &match, NVO3_GUARD_PRIORITY);
}

/* ---- Changes ---- */

static struct nvo3_guard_change
new_change(const struct ofproto *ofproto, enum nvo3_guard_what what)
{
    const struct requester *req = requester_get();

    return (struct nvo3_guard_change) {
        .what = what,
        .who = req->who,
        .connection = req->connection,
        .pipeline = has_pipeline(ofproto),
        .adds = true,
    };
}

static void
set_in_port(struct nvo3_guard_change *change, const struct ofproto *ofproto,
            ofp_port_t port)
{
    change->in_port_known = true;
    change->in_port = ofp_to_u16(port);
    change->in_port_of_network = nvo3_guard_is_of_network(ofproto,
                                                          change->in_port);
}

/* Frees 'steps'. */
static bool
permits(const struct ofproto *ofproto, struct nvo3_guard_change *change,
        struct nvo3_guard_steps *steps)
{
    change->steps = steps->steps;
    change->n_steps = steps->n;
    bool ok = nvo3_guard_permits(ofproto->name, change);
    nvo3_guard_steps_free(steps);
    return ok;
}

/* A flow with the match of 'rule' and 'actions'. */
static void
describe_rule(const struct rule *rule, const struct rule_actions *actions,
              struct nvo3_guard_change *change,
              struct nvo3_guard_steps *steps)
{
    struct match match;

    minimatch_expand(&rule->cr.match, &match);
    change->table = rule->table_id;
    change->priority = rule->cr.priority;
    change->vni = ntohll(match.flow.tunnel.tun_id) & VNI_MASK;
    change->vni_mask = ntohll(match.wc.masks.tunnel.tun_id) & VNI_MASK;
    if (match.wc.masks.in_port.ofp_port == u16_to_ofp(UINT16_MAX)) {
        set_in_port(change, rule->ofproto, match.flow.in_port.ofp_port);
    }
    nvo3_guard_steps_add(steps, rule->ofproto, rule->table_id,
                         actions->ofpacts, actions->ofpacts_len);
}

/* OVS's own: of in-band control, of recirculation. */
static bool
is_internal(const struct rule *rule)
{
    const struct oftable *table = &rule->ofproto->tables[rule->table_id];

    return rule_is_hidden(rule) || table->flags & OFTABLE_HIDDEN;
}

static enum ofperr
rule_check(const struct rule *old_rule, const struct rule *new_rule)
{
    const struct rule *rule = old_rule ? old_rule : new_rule;
    const struct ofproto *ofproto = rule->ofproto;

    /* A request may delete a hundred thousand flows that matter to nobody. */
    if (!new_rule && !is_own(old_rule)) {
        return 0;
    }
    if (is_internal(rule) || !nvo3_guard_is_on(ofproto->name)) {
        return 0;
    }

    struct nvo3_guard_steps steps = NVO3_GUARD_STEPS_INITIALIZER;
    struct nvo3_guard_change change = new_change(ofproto, NVO3_GUARD_FLOW);

    change.adds = new_rule != NULL;
    change.own = is_own(new_rule);
    change.replaces_own = is_own(old_rule);
    if (new_rule) {
        describe_rule(rule, rule_get_actions(new_rule), &change, &steps);
    } else {
        change.table = rule->table_id;
        change.priority = rule->cr.priority;
    }
    return permits(ofproto, &change, &steps) ? 0 : OFPERR_OFPFMFC_EPERM;
}

static enum ofperr
group_construct(struct ofgroup *group)
{
    const struct ofproto *ofproto = group->ofproto;

    if (nvo3_guard_is_on(ofproto->name)) {
        struct nvo3_guard_steps steps = NVO3_GUARD_STEPS_INITIALIZER;
        struct nvo3_guard_change change = new_change(ofproto,
                                                     NVO3_GUARD_GROUP);
        const struct ofputil_bucket *bucket;

        LIST_FOR_EACH (bucket, list_node, &group->buckets) {
            nvo3_guard_steps_add_copy(&steps, ofproto, 0, bucket->ofpacts,
                                      bucket->ofpacts_len);
        }
        if (!permits(ofproto, &change, &steps)) {
            return OFPERR_OFPGMFC_EPERM;
        }
    }
    return base.group_construct(group);
}

/* A packet with the metadata of 'flow'. */
static void
describe_packet(const struct ofproto *ofproto, const struct flow *flow,
                struct nvo3_guard_change *change)
{
    set_in_port(change, ofproto, flow->in_port.ofp_port);
    change->vni = ntohll(flow->tunnel.tun_id) & VNI_MASK;
    change->vni_mask = VNI_MASK;
}

static enum ofperr
packet_xlate(struct ofproto *ofproto, struct ofproto_packet_out *opo)
{
    if (nvo3_guard_is_on(ofproto->name)) {
        struct nvo3_guard_steps steps = NVO3_GUARD_STEPS_INITIALIZER;
        struct nvo3_guard_change change = new_change(ofproto,
                                                     NVO3_GUARD_PACKET_OUT);

        describe_packet(ofproto, opo->flow, &change);
        nvo3_guard_steps_add(&steps, ofproto, 0, opo->ofpacts,
                             opo->ofpacts_len);
        if (!permits(ofproto, &change, &steps)) {
            return OFPERR_OFPBRC_EPERM;
        }
    }
    return base.packet_xlate(ofproto, opo);
}

static enum ofperr
nxt_resume(struct ofproto *ofproto,
           const struct ofputil_packet_in_private *pin)
{
    if (nvo3_guard_is_on(ofproto->name)) {
        struct nvo3_guard_steps steps = NVO3_GUARD_STEPS_INITIALIZER;
        struct nvo3_guard_change change = new_change(ofproto,
                                                     NVO3_GUARD_RESUME);

        describe_packet(ofproto, &pin->base.flow_metadata.flow, &change);
        change.table = pin->base.table_id;
        nvo3_guard_steps_add(&steps, ofproto, change.table, pin->actions,
                             pin->actions_len);
        nvo3_guard_steps_add_copy(&steps, ofproto, change.table,
                                  pin->action_set, pin->action_set_len);
        if (!permits(ofproto, &change, &steps)) {
            return OFPERR_OFPBRC_EPERM;
        }
    }
    return base.nxt_resume(ofproto, pin);
}

/* ---- Messages ---- */

static enum ofperr
check_port_mod(const struct ofproto *ofproto, const struct ofp_header *oh)
{
    struct nvo3_guard_change change = new_change(ofproto,
                                                 NVO3_GUARD_PORT_MOD);
    struct ofputil_port_mod pm;

    if (ofputil_decode_port_mod(oh, &pm, true)) {
        return 0;               /* OVS has an error for it. */
    }
    set_in_port(&change, ofproto, pm.port_no);
    return nvo3_guard_permits(ofproto->name, &change) ? 0 : OFPERR_OFPPMFC_EPERM;
}

static enum ofperr
check_table_mod(const struct ofproto *ofproto, const struct ofp_header *oh)
{
    struct nvo3_guard_change change = new_change(ofproto,
                                                 NVO3_GUARD_TABLE_MOD);
    struct ofputil_table_mod tm;

    if (ofputil_decode_table_mod(oh, &tm)) {
        return 0;
    }
    change.table = tm.table_id;
    return nvo3_guard_permits(ofproto->name, &change) ? 0 : OFPERR_OFPTMFC_EPERM;
}

static enum ofperr
check_ct_flush(const struct ofproto *ofproto)
{
    struct nvo3_guard_change change = new_change(ofproto,
                                                 NVO3_GUARD_CT_FLUSH);

    return nvo3_guard_permits(ofproto->name, &change) ? 0 : OFPERR_OFPBRC_EPERM;
}

/* What has no hook in the class. */
static enum ofperr
check_message(const struct ofproto *ofproto, const struct ofp_header *oh)
{
    struct ofputil_bundle_add_msg add;
    enum ofptype type;

    if (ofptype_decode(&type, oh)) {
        return 0;
    }
    if (type == OFPTYPE_BUNDLE_ADD_MESSAGE) {
        if (ofputil_decode_bundle_add(oh, &add, &type)) {
            return 0;
        }
        oh = add.msg;
    }
    return type == OFPTYPE_PORT_MOD ? check_port_mod(ofproto, oh)
           : type == OFPTYPE_TABLE_MOD ? check_table_mod(ofproto, oh)
           : type == OFPTYPE_CT_FLUSH || type == OFPTYPE_CT_FLUSH_ZONE
             ? check_ct_flush(ofproto)
           : 0;
}

/* Is 'target' the socket that a bridge always has, for root of this host? */
static bool
is_management(const struct ofproto *ofproto, const char *target)
{
    char *name = xasprintf("punix:%s/%s.mgmt", ovs_rundir(), ofproto->name);
    bool same = !strcmp(name, target);

    free(name);
    return same;
}

void
nvo3_guard_handle_openflow(struct ofconn *ofconn, const struct ovs_list *msgs,
                           void (*handle)(struct ofconn *,
                                          const struct ovs_list *))
{
    const struct ofproto *ofproto = ofconn_get_ofproto(ofconn);

    if (ofproto->ofproto_class->rule_check != rule_check) {
        handle(ofconn, msgs);
        return;
    }

    const struct ofp_header *oh
        = ofpbuf_from_list(ovs_list_front(msgs))->data;
    const char *target = ofconn_get_target(ofconn);
    struct requester *req = requester_get();

    req->who = (is_management(ofproto, target)
                ? NVO3_GUARD_LOCAL : NVO3_GUARD_CONTROLLER);
    req->connection = target;
    enum ofperr error = (req->who == NVO3_GUARD_CONTROLLER
                         && nvo3_guard_is_on(ofproto->name)
                         ? check_message(ofproto, oh) : 0);
    if (error) {
        ofconn_send_error(ofconn, oh, error);
    } else {
        handle(ofconn, msgs);
    }
    req->who = NVO3_GUARD_SWITCH;
    req->connection = NULL;
}

/* ---- Bridges ---- */

static void
set_config(struct ofproto *ofproto, const struct smap *other_config)
{
    char *error = NULL;

    if (nvo3_guard_set_bridge(ofproto->name, smap_get(other_config, OPTION),
                              smap_get_bool(other_config, PIPELINE_OPTION,
                                            false),
                              &error)) {
        VLOG_ERR("%s", error ? error : "no memory for the rule guard");
    }
    free(error);
}

void
nvo3_guard_derive(struct ofproto_class *class)
{
    base = *class;
    class->rule_check = rule_check;
    class->group_construct = group_construct;
    class->packet_xlate = packet_xlate;
    class->nxt_resume = nxt_resume;
    class->set_config = set_config;
}

void
nvo3_guard_add(const struct ofproto *ofproto)
{
    char *error = NULL;

    /* Until set_config() comes. */
    nvo3_guard_set_bridge(ofproto->name, NULL, false, &error);
    free(error);
    shash_replace(&bridges, ofproto->name, ofproto);
}

void
nvo3_guard_remove(const struct ofproto *ofproto)
{
    shash_find_and_delete(&bridges, ofproto->name);
    nvo3_guard_remove_bridge(ofproto->name);
}

/* ---- nvo3/guard ---- */

/* What a flow that is there would be refused for if a controller sent it. */
static char *
objection_to(const struct rule *rule)
{
    struct nvo3_guard_steps steps = NVO3_GUARD_STEPS_INITIALIZER;
    struct nvo3_guard_change change = new_change(rule->ofproto,
                                                 NVO3_GUARD_FLOW);

    change.who = NVO3_GUARD_CONTROLLER;
    describe_rule(rule, rule_get_actions(rule), &change, &steps);
    change.steps = steps.steps;
    change.n_steps = steps.n;
    char *text = nvo3_guard_objection(rule->ofproto->name, &change);
    nvo3_guard_steps_free(&steps);
    return text;
}

static void
report_standing(const struct ofproto *ofproto, struct ds *ds)
{
    const struct oftable *table;
    size_t n = 0;

    OFPROTO_FOR_EACH_TABLE (table, ofproto) {
        const struct rule *rule;

        CLS_FOR_EACH (rule, cr, &table->cls) {
            if (is_own(rule) || is_internal(rule)) {
                continue;
            }
            char *text = objection_to(rule);
            if (text && n++ < MAX_STANDING) {
                ds_put_format(ds, "  there already: table=%d, priority=%d, "
                              "cookie=%#"PRIx64": %s\n", rule->table_id,
                              rule->cr.priority, ntohll(rule->flow_cookie),
                              text);
            }
            free(text);
        }
    }
    if (n > MAX_STANDING) {
        ds_put_format(ds, "  and %"PRIuSIZE" more\n", n - MAX_STANDING);
    }
}

char *
nvo3_guard_report(const char *bridge, bool json)
{
    char *text = nvo3_guard_show(bridge, json);

    if (!text || json) {
        return text;
    }

    struct ds ds = DS_EMPTY_INITIALIZER;
    const struct shash_node *node;

    ds_put_cstr(&ds, text);
    free(text);
    SHASH_FOR_EACH (node, &bridges) {
        if (!bridge || !strcmp(bridge, node->name)) {
            struct ds standing = DS_EMPTY_INITIALIZER;

            report_standing(node->data, &standing);
            if (standing.length) {
                ds_put_format(&ds, "flows of %s that a controller could not "
                              "make:\n%s", node->name, ds_cstr(&standing));
            }
            ds_destroy(&standing);
        }
    }
    return ds_steal_cstr(&ds);
}
