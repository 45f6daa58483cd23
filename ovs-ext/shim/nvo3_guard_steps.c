/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenFlow actions in the terms of the rule guard: what becomes of a packet's
 * tunnel ID and input port, and where it goes.
 * Threads: any. */

#include "ovs-ext/shim/nvo3_guard.h"

#include "byte-order.h"
#include "openvswitch/meta-flow.h"
#include "openvswitch/ofp-actions.h"
#include "ofproto/ofproto-provider.h"
#include "util.h"

#define VNI_MASK 0xffffffU

static struct nvo3_guard_step *
add(struct nvo3_guard_steps *steps, enum nvo3_guard_op op)
{
    if (steps->n >= steps->allocated) {
        steps->steps = x2nrealloc(steps->steps, &steps->allocated,
                                  sizeof *steps->steps);
    }
    struct nvo3_guard_step *step = &steps->steps[steps->n++];
    *step = (struct nvo3_guard_step) { .op = op };
    return step;
}

static void
add_port(struct nvo3_guard_steps *steps, const struct ofproto *ofproto,
         enum nvo3_guard_op op, ofp_port_t port)
{
    struct nvo3_guard_step *step = add(steps, op);

    step->port = ofp_to_u16(port);
    step->of_network = nvo3_guard_is_of_network(ofproto, step->port);
}

static void
add_table(struct nvo3_guard_steps *steps, uint8_t table)
{
    add(steps, NVO3_GUARD_TABLE)->table = table;
}

static void
add_output(struct nvo3_guard_steps *steps, const struct ofproto *ofproto,
           ofp_port_t port)
{
    if (port == OFPP_ALL) {
        add(steps, NVO3_GUARD_OUTPUT_ANY);
    } else if (port == OFPP_TABLE) {
        add_table(steps, 0);
    } else if (port == OFPP_IN_PORT || port == OFPP_NORMAL
               || port == OFPP_FLOOD || port == OFPP_CONTROLLER) {
        /* To where it came from; to ports that flood, which those of networks
         * do not (hvagent sees to it). */
        add(steps, NVO3_GUARD_OTHER);
    } else {
        add_port(steps, ofproto, NVO3_GUARD_OUTPUT, port);
    }
}

/* Something that is not known is written to a part of 'field'. */
static void
add_write(struct nvo3_guard_steps *steps, const struct mf_field *field)
{
    enum nvo3_guard_op op = NVO3_GUARD_OTHER;

    if (field && field->id == MFF_TUN_ID) {
        op = NVO3_GUARD_SET_VNI_ANY;
    } else if (field && (field->id == MFF_IN_PORT
                         || field->id == MFF_IN_PORT_OXM)) {
        op = NVO3_GUARD_SET_IN_PORT_ANY;
    }
    add(steps, op);
}

static void
add_set_vni(struct nvo3_guard_steps *steps, uint64_t value, uint64_t mask)
{
    struct nvo3_guard_step *step = add(steps, NVO3_GUARD_SET_VNI);

    step->value = value & VNI_MASK;
    step->mask = mask & VNI_MASK;
}

static void
add_set_field(struct nvo3_guard_steps *steps, const struct ofproto *ofproto,
              const struct ofpact_set_field *sf)
{
    const union mf_value *mask = ofpact_set_field_mask(sf);
    ofp_port_t port;

    switch (sf->field->id) {
    case MFF_TUN_ID:
        add_set_vni(steps, ntohll(sf->value->be64), ntohll(mask->be64));
        break;
    case MFF_IN_PORT:
        if (mask->be16 == OVS_BE16_MAX) {
            add_port(steps, ofproto, NVO3_GUARD_SET_IN_PORT,
                     u16_to_ofp(ntohs(sf->value->be16)));
        } else {
            add(steps, NVO3_GUARD_SET_IN_PORT_ANY);
        }
        break;
    case MFF_IN_PORT_OXM:
        if (mask->be32 == OVS_BE32_MAX
            && !ofputil_port_from_ofp11(sf->value->be32, &port)) {
            add_port(steps, ofproto, NVO3_GUARD_SET_IN_PORT, port);
        } else {
            add(steps, NVO3_GUARD_SET_IN_PORT_ANY);
        }
        break;
    default:
        add(steps, NVO3_GUARD_OTHER);
    }
}

static void
add_bundle(struct nvo3_guard_steps *steps, const struct ofproto *ofproto,
           const struct ofpact_bundle *bundle)
{
    if (bundle->dst.field) {
        add_write(steps, bundle->dst.field);
        return;
    }
    for (size_t i = 0; i < bundle->n_members; i++) {
        add_output(steps, ofproto, bundle->members[i]);
    }
}

static void
add_resubmit(struct nvo3_guard_steps *steps, const struct ofproto *ofproto,
             uint8_t table, const struct ofpact_resubmit *resubmit)
{
    if (resubmit->in_port != OFPP_IN_PORT) {
        add_port(steps, ofproto, NVO3_GUARD_SET_IN_PORT, resubmit->in_port);
    }
    add_table(steps, resubmit->table_id == 255 ? table : resubmit->table_id);
}

static void
add_ct(struct nvo3_guard_steps *steps, const struct ofproto *ofproto,
       uint8_t table, const struct ofpact_conntrack *ct)
{
    if (ct->flags & NX_CT_F_COMMIT) {
        if (ct->zone_src.field) {
            add(steps, NVO3_GUARD_CT_COMMIT_ANY);
        } else {
            add(steps, NVO3_GUARD_CT_COMMIT)->value = ct->zone_imm;
        }
    }
    nvo3_guard_steps_add(steps, ofproto, table, ct->actions,
                         ofpact_ct_get_action_len(ct));
    if (ct->recirc_table != NX_CT_RECIRC_NONE) {
        add_table(steps, ct->recirc_table);
    } else {
        add(steps, NVO3_GUARD_OTHER);
    }
}

static void
add_action(struct nvo3_guard_steps *steps, const struct ofproto *ofproto,
           uint8_t table, const struct ofpact *a)
{
    switch (a->type) {
    case OFPACT_OUTPUT:
        add_output(steps, ofproto, ofpact_get_OUTPUT(a)->port);
        break;
    case OFPACT_ENQUEUE:
        add_output(steps, ofproto, ofpact_get_ENQUEUE(a)->port);
        break;
    case OFPACT_OUTPUT_TRUNC:
        add_output(steps, ofproto, ofpact_get_OUTPUT_TRUNC(a)->port);
        break;
    case OFPACT_OUTPUT_REG:
        add(steps, NVO3_GUARD_OUTPUT_ANY);
        break;
    case OFPACT_BUNDLE:
        add_bundle(steps, ofproto, ofpact_get_BUNDLE(a));
        break;
    case OFPACT_SET_FIELD:
        add_set_field(steps, ofproto, ofpact_get_SET_FIELD(a));
        break;
    case OFPACT_SET_TUNNEL:
        add_set_vni(steps, ofpact_get_SET_TUNNEL(a)->tun_id, UINT64_MAX);
        break;
    case OFPACT_REG_MOVE:
        add_write(steps, ofpact_get_REG_MOVE(a)->dst.field);
        break;
    case OFPACT_STACK_POP:
        add_write(steps, ofpact_get_STACK_POP(a)->subfield.field);
        break;
    case OFPACT_MULTIPATH:
        add_write(steps, ofpact_get_MULTIPATH(a)->dst.field);
        break;
    case OFPACT_CHECK_PKT_LARGER:
        add_write(steps, ofpact_get_CHECK_PKT_LARGER(a)->dst.field);
        break;
    case OFPACT_LEARN:
        if (ofpact_get_LEARN(a)->cookie == htonll(NVO3_GUARD_COOKIE)) {
            add(steps, NVO3_GUARD_LEARN_OWN);
        }
        add_write(steps, ofpact_get_LEARN(a)->result_dst.field);
        break;
    case OFPACT_RESUBMIT:
        add_resubmit(steps, ofproto, table, ofpact_get_RESUBMIT(a));
        break;
    case OFPACT_GOTO_TABLE:
        add_table(steps, ofpact_get_GOTO_TABLE(a)->table_id);
        break;
    case OFPACT_CT:
        add_ct(steps, ofproto, table, ofpact_get_CT(a));
        break;
    case OFPACT_CLONE:
        nvo3_guard_steps_add_copy(steps, ofproto, table,
                                  ofpact_get_CLONE(a)->actions,
                                  ofpact_nest_get_action_len(
                                      ofpact_get_CLONE(a)));
        break;
    case OFPACT_WRITE_ACTIONS:
        nvo3_guard_steps_add_copy(steps, ofproto, table,
                                  ofpact_get_WRITE_ACTIONS(a)->actions,
                                  ofpact_nest_get_action_len(
                                      ofpact_get_WRITE_ACTIONS(a)));
        break;

    /* A flow that does no more than this drops its packets. */
    case OFPACT_NOTE:
    case OFPACT_METER:
    case OFPACT_CLEAR_ACTIONS:
    case OFPACT_CONJUNCTION:
        break;

    case OFPACT_GROUP:          /* Its buckets are looked at as they are made. */
    case OFPACT_CONTROLLER:
    case OFPACT_SET_VLAN_VID:
    case OFPACT_SET_VLAN_PCP:
    case OFPACT_STRIP_VLAN:
    case OFPACT_PUSH_VLAN:
    case OFPACT_SET_ETH_SRC:
    case OFPACT_SET_ETH_DST:
    case OFPACT_SET_IPV4_SRC:
    case OFPACT_SET_IPV4_DST:
    case OFPACT_SET_IP_DSCP:
    case OFPACT_SET_IP_ECN:
    case OFPACT_SET_IP_TTL:
    case OFPACT_SET_L4_SRC_PORT:
    case OFPACT_SET_L4_DST_PORT:
    case OFPACT_STACK_PUSH:
    case OFPACT_DEC_TTL:
    case OFPACT_SET_MPLS_LABEL:
    case OFPACT_SET_MPLS_TC:
    case OFPACT_SET_MPLS_TTL:
    case OFPACT_DEC_MPLS_TTL:
    case OFPACT_PUSH_MPLS:
    case OFPACT_POP_MPLS:
    case OFPACT_DEC_NSH_TTL:
    case OFPACT_DELETE_FIELD:
    case OFPACT_ENCAP:
    case OFPACT_DECAP:
    case OFPACT_SET_QUEUE:
    case OFPACT_POP_QUEUE:
    case OFPACT_FIN_TIMEOUT:
    case OFPACT_EXIT:
    case OFPACT_SAMPLE:
    case OFPACT_UNROLL_XLATE:
    case OFPACT_CT_CLEAR:
    case OFPACT_NAT:
    case OFPACT_DEBUG_RECIRC:
    case OFPACT_DEBUG_SLOW:
    case OFPACT_WRITE_METADATA:
        add(steps, NVO3_GUARD_OTHER);
        break;
    }
}

void
nvo3_guard_steps_add(struct nvo3_guard_steps *steps,
                     const struct ofproto *ofproto, uint8_t table,
                     const struct ofpact *ofpacts, size_t ofpacts_len)
{
    const struct ofpact *a;

    OFPACT_FOR_EACH (a, ofpacts, ofpacts_len) {
        add_action(steps, ofproto, table, a);
    }
}

void
nvo3_guard_steps_add_copy(struct nvo3_guard_steps *steps,
                          const struct ofproto *ofproto, uint8_t table,
                          const struct ofpact *ofpacts, size_t ofpacts_len)
{
    add(steps, NVO3_GUARD_PUSH);
    nvo3_guard_steps_add(steps, ofproto, table, ofpacts, ofpacts_len);
    add(steps, NVO3_GUARD_POP);
}

void
nvo3_guard_steps_free(struct nvo3_guard_steps *steps)
{
    free(steps->steps);
}
