/* SPDX-License-Identifier: Apache-2.0
 *
 * See nvactl.h: commands about groups. */
#include "nva/nvactl.h"

#include <stdlib.h>
#include <string.h>

#include "db-ctl-base.h"
#include "nva/nvactl_rows.h"
#include "nva/nvo3-idl.h"
#include "openvswitch/dynamic-string.h"
#include "ovsdb-idl.h"
#include "svec.h"
#include "timeval.h"
#include "util.h"

static const struct nvo3rec_group *
lookup_group(struct ctl_context *ctx, const struct nvo3rec_vn *vn,
             const char *address)
{
    const struct nvo3rec_group *group;
    NVO3REC_GROUP_FOR_EACH (group, ctx->idl) {
        if (group->vn == vn && !strcmp(group->address, address)) {
            return group;
        }
    }
    return NULL;
}

/* As the NVAs write it, or NULL with an error set. */
static char *
group_address(struct ctl_context *ctx, const char *text)
{
    bool multicast = false, local = false;
    char *address = canonical_address(text, &multicast, &local);
    if (!address || !multicast) {
        ctl_error(ctx, "'%s' is no multicast address: give an IPv4 address "
                  "from 224.0.1.0 to 239.255.255.255, or an IPv6 one that "
                  "begins with ff", text);
    } else if (local) {
        ctl_error(ctx, "%s is for protocols of one link, and not kept from "
                  "others: choose one such as 239.1.1.1 or ff05::1:1", text);
    } else {
        return address;
    }
    free(address);
    return NULL;
}

static void
cmd_group_add(struct ctl_context *ctx)
{
    const struct nvo3rec_vn *vn = find_vn(ctx, ctx->argv[1]);
    char *address = vn ? group_address(ctx, ctx->argv[2]) : NULL;
    if (!address) {
        return;
    }
    if (!lookup_group(ctx, vn, address)) {
        struct nvo3rec_group *group = nvo3rec_group_insert(ctx->txn);
        nvo3rec_group_set_vn(group, vn);
        nvo3rec_group_set_address(group, address);
    } else if (!has_option(ctx, "--may-exist")) {
        ctl_error(ctx, "network '%s' has group %s already", vn->name, address);
    }
    free(address);
}

static void
cmd_group_del(struct ctl_context *ctx)
{
    const struct nvo3rec_vn *vn = find_vn(ctx, ctx->argv[1]);
    char *address = vn ? group_address(ctx, ctx->argv[2]) : NULL;
    if (!address) {
        return;
    }
    const struct nvo3rec_group *group = lookup_group(ctx, vn, address);
    if (group) {
        delete_group(ctx, group);
    } else if (!has_option(ctx, "--if-exists")) {
        ctl_error(ctx, "network '%s' has no group %s; see group-list",
                  vn->name, address);
    }
    free(address);
}

static void
cmd_group_list(struct ctl_context *ctx)
{
    const struct nvo3rec_vn *vn;
    if (!listed_vn(ctx, &vn)) {
        return;
    }
    struct svec lines = SVEC_EMPTY_INITIALIZER;
    const struct nvo3rec_group *group;
    NVO3REC_GROUP_FOR_EACH (group, ctx->idl) {
        if (vn && group->vn != vn) {
            continue;
        }
        size_t n_senders = 0;
        const struct nvo3rec_group_sender *sender;
        NVO3REC_GROUP_SENDER_FOR_EACH (sender, ctx->idl) {
            n_senders += sender->group == group;
        }
        svec_add_nocopy(&lines, xasprintf(
            "%s %s: epoch %"PRId64", %"PRIuSIZE" told, %"PRIuSIZE" senders",
            group->vn->name, group->address, group->epoch, group->n_told,
            n_senders));
    }
    print_sorted(ctx, &lines);
}

/* An epoch without a time of its start is over: the NVAs draw the nonce. */
static void
cmd_group_rekey(struct ctl_context *ctx)
{
    const struct nvo3rec_vn *vn = find_vn(ctx, ctx->argv[1]);
    char *address = NULL;
    if (!vn) {
        return;
    }
    if (ctx->argc > 2) {
        address = group_address(ctx, ctx->argv[2]);
        if (!address) {
            return;
        }
    }
    bool found = false;
    const struct nvo3rec_group *group;
    NVO3REC_GROUP_FOR_EACH (group, ctx->idl) {
        if (group->vn == vn && (!address || !strcmp(group->address, address))) {
            nvo3rec_group_set_started(group, 0);
            found = true;
        }
    }
    if (!found) {
        ctl_error(ctx, "network '%s' has no group%s%s; see group-list",
                  vn->name, address ? " " : "", address ? address : "");
    }
    free(address);
}

static const struct ctl_command_syntax commands[] = {
    {"group-add", 2, 2, "VN ADDRESS", NULL, cmd_group_add, NULL,
     "--may-exist", RW},
    {"group-del", 2, 2, "VN ADDRESS", NULL, cmd_group_del, NULL,
     "--if-exists", RW},
    {"group-list", 0, 1, "[VN]", NULL, cmd_group_list, NULL, "", RO},
    {"group-rekey", 1, 2, "VN [ADDRESS]", NULL, cmd_group_rekey, NULL, "",
     RW},
    {NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, RO},
};

const struct ctl_command_syntax *
nvactl_group_commands(void)
{
    return commands;
}
