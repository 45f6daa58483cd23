/* SPDX-License-Identifier: Apache-2.0
 *
 * See nvactl.h.  A command checks all of its input before it changes anything;
 * what it complains of, it names, with the way out. */
#include "nva/nvactl.h"

#include <inttypes.h>
#include <stdlib.h>

#include "db-ctl-base.h"
#include "nva/nvactl_rows.h"
#include "nva/nvo3-idl.h"
#include "openvswitch/dynamic-string.h"
#include "ovsdb-idl.h"
#include "util.h"

const char nvactl_usage[] = "\
Store commands:\n\
  init                        make the database ready for use\n\
  status                      what is in the store, in short\n\
  graph                       hosts, networks and groups as a graph for dot(1)\n\
\n\
NVE commands:\n\
  [--may-exist] nve-add NAME ADDRESS...  admit NVE NAME with its underlay\n\
                              addresses (--may-exist: set them)\n\
  [--if-exists] [--force] nve-del NAME  remove it (--force: from all networks)\n\
  nve-revoke NAME             shut it out, at once, from everything\n\
  nve-restore NAME            take that back\n\
  nve-list                    print NVEs and their networks\n\
\n\
Network commands (VN is a name or VNI):\n\
  [--encap=geneve|vxlan] [--cipher=CIPHER | --level=LEVEL]\n\
    vn-add NAME VNI           make a virtual network\n\
  [--if-exists] [--force] vn-del VN  remove it (--force: with its members)\n\
  vn-list                     print networks and their members\n\
  vn-join VN NVE...           have NVEs serve VN\n\
  [--if-exists] vn-leave VN NVE...  have them serve it no longer\n\
  mapping-list [VN]           print where MAC addresses are\n\
  [--if-exists] mapping-del VN MAC  forget one\n\
\n\
Group commands:\n\
  [--may-exist] group-add VN ADDRESS  give VN an underlay multicast group\n\
  [--if-exists] group-del VN ADDRESS  remove it\n\
  group-list [VN]             print groups and their epochs\n\
  group-rekey VN [ADDRESS]    have the NVAs start a new epoch now\n\
\n\
Policy commands (what may go from one network to another):\n\
  policy-set FILE             have the text of FILE ('-': standard input) be\n\
                              the policy, if all of it is good\n\
  policy-check FILE           say what is wrong with it, change nothing\n\
  policy-show                 print the policy\n\
  policy-add STATEMENT...     add a gateway or a rule\n\
  [--if-exists] policy-del STATEMENT...  remove it (gateway VN is enough)\n\
";

/* ---- Store ---- */

static void
cmd_init(struct ctl_context *ctx OVS_UNUSED)
{
    /* The one row of NVO3_Global is made for every command that writes. */
}

static void
cmd_status(struct ctl_context *ctx)
{
    size_t n_nves = 0, n_revoked = 0, n_vns = 0, n_members = 0;
    size_t n_mappings = 0, n_groups = 0;
    const struct nvo3rec_nve *nve;
    const struct nvo3rec_vn *vn;
    const struct nvo3rec_membership *member;
    const struct nvo3rec_mapping *mapping;
    const struct nvo3rec_group *group;

    NVO3REC_NVE_FOR_EACH (nve, ctx->idl) {
        n_nves++;
        n_revoked += nve->revoked;
    }
    NVO3REC_VN_FOR_EACH (vn, ctx->idl) {
        n_vns++;
    }
    NVO3REC_MEMBERSHIP_FOR_EACH (member, ctx->idl) {
        n_members++;
    }
    NVO3REC_MAPPING_FOR_EACH (mapping, ctx->idl) {
        n_mappings++;
    }
    NVO3REC_GROUP_FOR_EACH (group, ctx->idl) {
        n_groups++;
    }
    ds_put_format(&ctx->output,
                  "store: %s\n"
                  "NVEs: %"PRIuSIZE", of which revoked: %"PRIuSIZE"\n"
                  "networks: %"PRIuSIZE", memberships: %"PRIuSIZE"\n"
                  "mappings: %"PRIuSIZE"\n"
                  "groups: %"PRIuSIZE"\n",
                  nvo3rec_nvo3_global_first(ctx->idl)
                  ? "initialised" : "not initialised, run nvo3-nvactl init",
                  n_nves, n_revoked, n_vns, n_members, n_mappings, n_groups);
    policy_status(ctx, &ctx->output);
    NVO3REC_GROUP_FOR_EACH (group, ctx->idl) {
        if (!group->epoch) {
            ds_put_format(&ctx->output, "group %s of %s: no NVA has begun an "
                          "epoch yet (--group-key)\n", group->address,
                          group->vn->name);
        }
    }
    char *said = ask_own_nva("store/show", NULL);
    if (said) {
        ds_put_format(&ctx->output, "the NVA of this machine: store %s", said);
        free(said);
    }
}

static const struct ctl_command_syntax commands[] = {
    {"init", 0, 0, "", NULL, cmd_init, NULL, "", RW},
    {"status", 0, 0, "", NULL, cmd_status, NULL, "", RO},
    {NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, RO},
};

const struct ctl_command_syntax *
nvactl_store_commands(void)
{
    return commands;
}
