/* SPDX-License-Identifier: Apache-2.0
 *
 * See nvactl.h: commands about NVEs. */
#include "nva/nvactl.h"

#include <stdlib.h>
#include <string.h>

#include "db-ctl-base.h"
#include "nva/nvactl_rows.h"
#include "nva/nvo3-idl.h"
#include "openvswitch/dynamic-string.h"
#include "ovsdb-idl.h"
#include "sset.h"
#include "svec.h"
#include "util.h"

static bool
check_nve_addresses(struct ctl_context *ctx, const struct nvo3rec_nve *own,
                    struct sset *addresses)
{
    for (int i = 2; i < ctx->argc; i++) {
        bool multicast = false, local = false;
        char *address = canonical_address(ctx->argv[i], &multicast, &local);
        if (!address || multicast) {
            ctl_error(ctx, "'%s' is no unicast IPv4 or IPv6 address: give the "
                      "underlay addresses of the NVE", ctx->argv[i]);
            free(address);
            return false;
        }
        sset_add_and_free(addresses, address);
    }
    if (sset_count(addresses) > 8) {
        ctl_error(ctx, "an NVE has at most 8 addresses");
        return false;
    }
    const struct nvo3rec_nve *nve;
    NVO3REC_NVE_FOR_EACH (nve, ctx->idl) {
        for (size_t i = 0; nve != own && i < nve->n_addresses; i++) {
            if (sset_contains(addresses, nve->addresses[i])) {
                ctl_error(ctx, "address %s is that of NVE '%s' already",
                          nve->addresses[i], nve->name);
                return false;
            }
        }
    }
    return true;
}

static void
cmd_nve_add(struct ctl_context *ctx)
{
    const char *name = ctx->argv[1];
    if (!good_name(name, 128)) {
        ctl_error(ctx, "'%s' cannot be the name of an NVE: it is the name in "
                  "its certificate, letters, digits, '.', '_' and '-'", name);
        return;
    }
    const struct nvo3rec_nve *nve = lookup_nve(ctx, name);
    if (nve && !has_option(ctx, "--may-exist")) {
        ctl_error(ctx, "NVE '%s' exists already; use --may-exist to set its "
                  "addresses", name);
        return;
    }
    struct sset addresses = SSET_INITIALIZER(&addresses);
    if (check_nve_addresses(ctx, nve, &addresses)) {
        if (!nve) {
            nve = nvo3rec_nve_insert(ctx->txn);
            nvo3rec_nve_set_name(nve, name);
        }
        const char **array = sset_sort(&addresses);
        nvo3rec_nve_set_addresses(nve, array, sset_count(&addresses));
        free(array);
    }
    sset_destroy(&addresses);
}

static void
cmd_nve_del(struct ctl_context *ctx)
{
    const char *name = ctx->argv[1];
    const struct nvo3rec_nve *nve = has_option(ctx, "--if-exists")
                                    ? lookup_nve(ctx, name)
                                    : find_nve(ctx, name);
    if (!nve) {
        return;
    }
    char *networks = others_of(ctx, NULL, nve);
    if (*networks && !has_option(ctx, "--force")) {
        ctl_error(ctx, "NVE '%s' serves %s; use vn-leave first, or --force",
                  name, networks);
    } else {
        remove_from(ctx, NULL, nve);
        nvo3rec_nve_delete(nve);
    }
    free(networks);
}

static void
set_revoked(struct ctl_context *ctx, bool revoked)
{
    const struct nvo3rec_nve *nve = find_nve(ctx, ctx->argv[1]);
    if (nve) {
        nvo3rec_nve_set_revoked(nve, revoked);
    }
}

static void
cmd_nve_revoke(struct ctl_context *ctx)
{
    set_revoked(ctx, true);
}

static void
cmd_nve_restore(struct ctl_context *ctx)
{
    set_revoked(ctx, false);
}

static void
cmd_nve_list(struct ctl_context *ctx)
{
    struct svec lines = SVEC_EMPTY_INITIALIZER;
    const struct nvo3rec_nve *nve;
    NVO3REC_NVE_FOR_EACH (nve, ctx->idl) {
        struct ds line = DS_EMPTY_INITIALIZER;
        ds_put_cstr(&line, nve->name);
        for (size_t i = 0; i < nve->n_addresses; i++) {
            ds_put_format(&line, "%c%s", i ? ',' : ' ', nve->addresses[i]);
        }
        char *networks = others_of(ctx, NULL, nve);
        ds_put_format(&line, "%s: %s", nve->revoked ? " (revoked)" : "",
                      *networks ? networks : "no networks");
        free(networks);
        svec_add_nocopy(&lines, ds_steal_cstr(&line));
    }
    print_sorted(ctx, &lines);
}

static const struct ctl_command_syntax commands[] = {
    {"nve-add", 2, INT_MAX, "NAME ADDRESS...", NULL, cmd_nve_add, NULL,
     "--may-exist", RW},
    {"nve-del", 1, 1, "NAME", NULL, cmd_nve_del, NULL,
     "--if-exists,--force", RW},
    {"nve-revoke", 1, 1, "NAME", NULL, cmd_nve_revoke, NULL, "", RW},
    {"nve-restore", 1, 1, "NAME", NULL, cmd_nve_restore, NULL, "", RW},
    {"nve-list", 0, 0, "", NULL, cmd_nve_list, NULL, "", RO},
    {NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, RO},
};

const struct ctl_command_syntax *
nvactl_nve_commands(void)
{
    return commands;
}
