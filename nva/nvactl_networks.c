/* SPDX-License-Identifier: Apache-2.0
 *
 * See nvactl.h: commands about networks, their members and mappings. */
#include "nva/nvactl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "db-ctl-base.h"
#include "nva/nvactl_rows.h"
#include "nva/nvo3-idl.h"
#include "openvswitch/dynamic-string.h"
#include "ovsdb-idl.h"
#include "packets.h"
#include "svec.h"
#include "util.h"

/* The cipher that --cipher or --level asks for; NULL with an error set. */
static const char *
wanted_cipher(struct ctl_context *ctx)
{
    static const char *const ciphers[] = {
        "aes128gcm", "aes256gcm", "aes128gmac", "aes256gmac",
        "chacha20poly1305",
    };
    static const struct {
        const char *level, *cipher;
    } levels[] = {
        {"integrity", "aes128gmac"}, {"confidential", "aes128gcm"},
        {"high", "aes256gcm"},
    };
    const char *cipher = option(ctx, "--cipher");
    const char *level = option(ctx, "--level");

    if (cipher && level) {
        ctl_error(ctx, "give --cipher or --level, not both");
        return NULL;
    }
    if (cipher) {
        for (size_t i = 0; i < ARRAY_SIZE(ciphers); i++) {
            if (!strcmp(cipher, ciphers[i])) {
                return ciphers[i];
            }
        }
        ctl_error(ctx, "--cipher=%s is not known: aes128gcm, aes256gcm, "
                  "aes128gmac, aes256gmac or chacha20poly1305", cipher);
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        if (!strcmp(level ? level : "confidential", levels[i].level)) {
            return levels[i].cipher;
        }
    }
    ctl_error(ctx, "--level=%s is not known: integrity, confidential or high",
              level);
    return NULL;
}

static void
cmd_vn_add(struct ctl_context *ctx)
{
    const char *name = ctx->argv[1];
    const char *encap = option(ctx, "--encap");
    const char *cipher = wanted_cipher(ctx);
    long long int vni;

    if (!cipher) {
        return;
    }
    if (encap && strcmp(encap, "geneve") && strcmp(encap, "vxlan")) {
        ctl_error(ctx, "--encap=%s is not known: geneve or vxlan", encap);
        return;
    }
    if (!good_name(name, 64) || str_to_llong(name, 0, &vni)) {
        ctl_error(ctx, "'%s' cannot be the name of a network: letters, "
                  "digits, '.', '_' and '-', at most 64, and not to be taken "
                  "for a number", name);
        return;
    }
    if (!str_to_llong(ctx->argv[2], 0, &vni) || vni < 0 || vni > 0xffffff) {
        ctl_error(ctx, "'%s' is no VNI: give a number from 0 to 16777215",
                  ctx->argv[2]);
        return;
    }
    const struct nvo3rec_vn *vn;
    NVO3REC_VN_FOR_EACH (vn, ctx->idl) {
        if (!strcmp(vn->name, name)) {
            ctl_error(ctx, "network '%s' exists already, with VNI %"PRId64,
                      name, vn->vni);
            return;
        }
        if (vn->vni == vni) {
            ctl_error(ctx, "VNI %lld is that of network '%s' already", vni,
                      vn->name);
            return;
        }
    }
    vn = nvo3rec_vn_insert(ctx->txn);
    nvo3rec_vn_set_name(vn, name);
    nvo3rec_vn_set_vni(vn, vni);
    nvo3rec_vn_set_encap(vn, encap ? encap : "geneve");
    nvo3rec_vn_set_cipher(vn, cipher);
}

static void
cmd_vn_del(struct ctl_context *ctx)
{
    const struct nvo3rec_vn *vn = has_option(ctx, "--if-exists")
                                  ? lookup_vn(ctx, ctx->argv[1])
                                  : find_vn(ctx, ctx->argv[1]);
    if (!vn) {
        return;
    }
    char *members = others_of(ctx, vn, NULL);
    if (*members && !has_option(ctx, "--force")) {
        ctl_error(ctx, "network '%s' is served by %s; use vn-leave first, or "
                  "--force", vn->name, members);
        free(members);
        return;
    }
    free(members);
    size_t line = policy_line(ctx, vn);
    if (line && !has_option(ctx, "--force")) {
        ctl_error(ctx, "network '%s' is in line %"PRIuSIZE" of the policy; use "
                  "policy-set or policy-del first, or --force", vn->name, line);
        return;
    }
    const struct nvo3rec_membership *member;
    NVO3REC_MEMBERSHIP_FOR_EACH_SAFE (member, ctx->idl) {
        if (member->vn == vn) {
            nvo3rec_membership_delete(member);
        }
    }
    const struct nvo3rec_mapping *mapping;
    NVO3REC_MAPPING_FOR_EACH_SAFE (mapping, ctx->idl) {
        if (mapping->vn == vn) {
            nvo3rec_mapping_delete(mapping);
        }
    }
    const struct nvo3rec_group *group;
    NVO3REC_GROUP_FOR_EACH_SAFE (group, ctx->idl) {
        if (group->vn == vn) {
            delete_group(ctx, group);
        }
    }
    nvo3rec_vn_delete(vn);
}

static void
cmd_vn_list(struct ctl_context *ctx)
{
    struct svec lines = SVEC_EMPTY_INITIALIZER;
    const struct nvo3rec_vn *vn;
    NVO3REC_VN_FOR_EACH (vn, ctx->idl) {
        char *members = others_of(ctx, vn, NULL);
        svec_add_nocopy(&lines, xasprintf("%s vni=%"PRId64" %s %s: %s",
                                          vn->name, vn->vni, vn->encap,
                                          vn->cipher, *members
                                          ? members : "no members"));
        free(members);
    }
    print_sorted(ctx, &lines);
}

static void
cmd_vn_join(struct ctl_context *ctx)
{
    const struct nvo3rec_vn *vn = find_vn(ctx, ctx->argv[1]);
    for (int i = 2; vn && i < ctx->argc; i++) {
        const struct nvo3rec_nve *nve = find_nve(ctx, ctx->argv[i]);
        if (!nve) {
            return;
        }
        if (!find_member(ctx, vn, nve)) {
            struct nvo3rec_membership *member
                = nvo3rec_membership_insert(ctx->txn);
            nvo3rec_membership_set_vn(member, vn);
            nvo3rec_membership_set_nve(member, nve);
        }
    }
}

static void
cmd_vn_leave(struct ctl_context *ctx)
{
    const struct nvo3rec_vn *vn = find_vn(ctx, ctx->argv[1]);
    for (int i = 2; vn && i < ctx->argc; i++) {
        const struct nvo3rec_nve *nve = find_nve(ctx, ctx->argv[i]);
        if (!nve) {
            return;
        }
        if (!find_member(ctx, vn, nve) && !has_option(ctx, "--if-exists")) {
            ctl_error(ctx, "NVE '%s' does not serve network '%s'; see "
                      "vn-list", nve->name, vn->name);
            return;
        }
        remove_from(ctx, vn, nve);
    }
}

static void
cmd_mapping_list(struct ctl_context *ctx)
{
    const struct nvo3rec_vn *vn;
    if (!listed_vn(ctx, &vn)) {
        return;
    }
    struct svec lines = SVEC_EMPTY_INITIALIZER;
    const struct nvo3rec_mapping *mapping;
    NVO3REC_MAPPING_FOR_EACH (mapping, ctx->idl) {
        if (vn && mapping->vn != vn) {
            continue;
        }
        struct ds line = DS_EMPTY_INITIALIZER;
        ds_put_format(&line, "%s %s at %s", mapping->vn->name, mapping->mac,
                      mapping->nve->name);
        for (size_t i = 0; i < mapping->n_addresses; i++) {
            ds_put_format(&line, " %s", mapping->addresses[i]);
        }
        svec_add_nocopy(&lines, ds_steal_cstr(&line));
    }
    print_sorted(ctx, &lines);
}

static void
cmd_mapping_del(struct ctl_context *ctx)
{
    const struct nvo3rec_vn *vn = find_vn(ctx, ctx->argv[1]);
    if (!vn) {
        return;
    }
    char *mac = xstrdup(ctx->argv[2]);
    for (char *p = mac; *p; p++) {
        *p = tolower((unsigned char) *p);
    }
    struct eth_addr address;
    const struct nvo3rec_mapping *mapping = NULL;
    if (!eth_addr_from_string(mac, &address)) {
        ctl_error(ctx, "'%s' is no MAC address: write 52:54:00:12:34:56",
                  ctx->argv[2]);
    } else {
        NVO3REC_MAPPING_FOR_EACH (mapping, ctx->idl) {
            if (mapping->vn == vn && !strcasecmp(mapping->mac, mac)) {
                break;
            }
        }
        if (mapping) {
            nvo3rec_mapping_delete(mapping);
        } else if (!has_option(ctx, "--if-exists")) {
            ctl_error(ctx, "network '%s' has no mapping of %s; see "
                      "mapping-list", vn->name, mac);
        }
    }
    free(mac);
}

static const struct ctl_command_syntax commands[] = {
    {"vn-add", 2, 2, "NAME VNI", NULL, cmd_vn_add, NULL,
     "--encap=,--cipher=,--level=", RW},
    {"vn-del", 1, 1, "VN", NULL, cmd_vn_del, NULL, "--if-exists,--force", RW},
    {"vn-list", 0, 0, "", NULL, cmd_vn_list, NULL, "", RO},
    {"vn-join", 2, INT_MAX, "VN NVE...", NULL, cmd_vn_join, NULL, "", RW},
    {"vn-leave", 2, INT_MAX, "VN NVE...", NULL, cmd_vn_leave, NULL,
     "--if-exists", RW},
    {"mapping-list", 0, 1, "[VN]", NULL, cmd_mapping_list, NULL, "", RO},
    {"mapping-del", 2, 2, "VN MAC", NULL, cmd_mapping_del, NULL,
     "--if-exists", RW},
    {NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, RO},
};

const struct ctl_command_syntax *
nvactl_network_commands(void)
{
    return commands;
}
