/* SPDX-License-Identifier: Apache-2.0
 *
 * See nvactl_rows.h. */
#include "nva/nvactl_rows.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "db-ctl-base.h"
#include "dirs.h"
#include "jsonrpc.h"
#include "nva/nvo3-idl.h"
#include "openvswitch/dynamic-string.h"
#include "ovsdb-idl.h"
#include "packets.h"
#include "svec.h"
#include "unixctl.h"
#include "util.h"

/* ---- Input ---- */

bool
good_name(const char *name, size_t max)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
                            "YZ0123456789._-");
    return n && n <= max && !name[n] && strcmp(name, ".")
           && strcmp(name, "..");
}

char *
canonical_address(const char *text, bool *multicast, bool *local)
{
    char buffer[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    ovs_be32 v4;

    if (inet_pton(AF_INET, text, &v4) == 1) {
        if (!v4 || v4 == htonl(UINT32_MAX)) {
            return NULL;
        }
        *multicast = ip_is_multicast(v4);
        *local = ip_is_local_multicast(v4);
        return xstrdup(inet_ntop(AF_INET, &v4, buffer, sizeof buffer));
    }
    if (inet_pton(AF_INET6, text, &v6) == 1 && ipv6_addr_is_set(&v6)
        && !IN6_IS_ADDR_V4MAPPED(&v6)) {
        *multicast = ipv6_addr_is_multicast(&v6);
        *local = IN6_IS_ADDR_MC_LINKLOCAL(&v6) || IN6_IS_ADDR_MC_NODELOCAL(&v6);
        return xstrdup(inet_ntop(AF_INET6, &v6, buffer, sizeof buffer));
    }
    return NULL;
}

const char *
option(struct ctl_context *ctx, const char *name)
{
    return shash_find_data(&ctx->options, name);
}

bool
has_option(struct ctl_context *ctx, const char *name)
{
    return shash_find(&ctx->options, name) != NULL;
}

const struct nvo3rec_nve *
lookup_nve(struct ctl_context *ctx, const char *name)
{
    const struct nvo3rec_nve *nve;
    NVO3REC_NVE_FOR_EACH (nve, ctx->idl) {
        if (!strcmp(nve->name, name)) {
            return nve;
        }
    }
    return NULL;
}

const struct nvo3rec_nve *
find_nve(struct ctl_context *ctx, const char *name)
{
    const struct nvo3rec_nve *nve = lookup_nve(ctx, name);
    if (!nve) {
        ctl_error(ctx, "no NVE is called '%s'; see nve-list, or add it with "
                  "nve-add %s ADDRESS", name, name);
    }
    return nve;
}

const struct nvo3rec_vn *
lookup_vn(struct ctl_context *ctx, const char *name)
{
    long long int vni;
    bool number = str_to_llong(name, 0, &vni);
    const struct nvo3rec_vn *vn;
    NVO3REC_VN_FOR_EACH (vn, ctx->idl) {
        if (!strcmp(vn->name, name) || (number && vn->vni == vni)) {
            return vn;
        }
    }
    return NULL;
}

const struct nvo3rec_vn *
find_vn(struct ctl_context *ctx, const char *name)
{
    const struct nvo3rec_vn *vn = lookup_vn(ctx, name);
    if (!vn) {
        ctl_error(ctx, "no network is called '%s', nor has it as its VNI; "
                  "see vn-list, or make it with vn-add", name);
    }
    return vn;
}

bool
listed_vn(struct ctl_context *ctx, const struct nvo3rec_vn **vnp)
{
    *vnp = ctx->argc > 1 ? find_vn(ctx, ctx->argv[1]) : NULL;
    return *vnp || ctx->argc <= 1;
}

const struct nvo3rec_membership *
find_member(struct ctl_context *ctx, const struct nvo3rec_vn *vn,
            const struct nvo3rec_nve *nve)
{
    const struct nvo3rec_membership *member;
    NVO3REC_MEMBERSHIP_FOR_EACH (member, ctx->idl) {
        if (member->vn == vn && member->nve == nve) {
            return member;
        }
    }
    return NULL;
}

char *
others_of(struct ctl_context *ctx, const struct nvo3rec_vn *vn,
          const struct nvo3rec_nve *nve)
{
    struct svec names = SVEC_EMPTY_INITIALIZER;
    const struct nvo3rec_membership *member;
    NVO3REC_MEMBERSHIP_FOR_EACH (member, ctx->idl) {
        if (vn ? member->vn == vn : member->nve == nve) {
            svec_add(&names, vn ? member->nve->name : member->vn->name);
        }
    }
    svec_sort(&names);
    char *text = svec_join(&names, " ", "");
    svec_destroy(&names);
    return text;
}

/* Of the service that packages install. */
#define SERVICE_CONTROL "/run/nvo3-nva/nvo3-nva.ctl"

char *
ask_own_nva(const char *command, const char *argument)
{
    char *pidfile = xasprintf("%s/nvo3-nva.pid", ovs_rundir());
    pid_t pid = access(pidfile, R_OK) ? -1 : read_pidfile(pidfile);
    char *path = pid > 0 ? xasprintf("%s/nvo3-nva.%ld.ctl", ovs_rundir(),
                                     (long int) pid)
                         : xstrdup(SERVICE_CONTROL);
    struct jsonrpc *client;
    char *result = NULL, *error = NULL;
    char *argv[] = { CONST_CAST(char *, argument) };

    if (!access(path, F_OK) && !unixctl_client_create(path, &client)) {
        if (unixctl_client_transact(client, command, argument != NULL, argv,
                                    &result, &error)) {
            result = NULL;
        }
        jsonrpc_close(client);
    }
    free(error);
    free(path);
    free(pidfile);
    return result;
}

void
print_sorted(struct ctl_context *ctx, struct svec *lines)
{
    svec_sort(lines);
    const char *line;
    size_t i;
    SVEC_FOR_EACH (i, line, lines) {
        ds_put_format(&ctx->output, "%s\n", line);
    }
    svec_destroy(lines);
}

/* ---- Removing ---- */

void
remove_from(struct ctl_context *ctx, const struct nvo3rec_vn *vn,
            const struct nvo3rec_nve *nve)
{
    const struct nvo3rec_mapping *mapping;
    NVO3REC_MAPPING_FOR_EACH_SAFE (mapping, ctx->idl) {
        if (mapping->nve == nve && (!vn || mapping->vn == vn)) {
            nvo3rec_mapping_delete(mapping);
        }
    }
    const struct nvo3rec_group_sender *sender;
    NVO3REC_GROUP_SENDER_FOR_EACH_SAFE (sender, ctx->idl) {
        if (sender->nve == nve && (!vn || sender->group->vn == vn)) {
            nvo3rec_group_sender_delete(sender);
        }
    }
    const struct nvo3rec_membership *member;
    NVO3REC_MEMBERSHIP_FOR_EACH_SAFE (member, ctx->idl) {
        if (member->nve == nve && (!vn || member->vn == vn)) {
            nvo3rec_membership_delete(member);
        }
    }
}

void
delete_group(struct ctl_context *ctx, const struct nvo3rec_group *group)
{
    const struct nvo3rec_group_sender *sender;
    NVO3REC_GROUP_SENDER_FOR_EACH_SAFE (sender, ctx->idl) {
        if (sender->group == group) {
            nvo3rec_group_sender_delete(sender);
        }
    }
    nvo3rec_group_delete(group);
}
