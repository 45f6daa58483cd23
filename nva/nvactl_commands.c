/* SPDX-License-Identifier: Apache-2.0
 *
 * See nvactl.h.  A command checks all of its input before it changes anything;
 * what it complains of, it names, with the way out. */
#include "nva/nvactl.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "db-ctl-base.h"
#include "nva/nvo3-idl.h"
#include "openvswitch/dynamic-string.h"
#include "ovsdb-idl.h"
#include "packets.h"
#include "sset.h"
#include "svec.h"
#include "timeval.h"
#include "util.h"

const char nvactl_usage[] = "\
Store commands:\n\
  init                        make the database ready for use\n\
  status                      what is in the store, in short\n\
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
";

/* ---- Input ---- */

/* The characters of a name in a certificate. */
static bool
good_name(const char *name, size_t max)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
                            "YZ0123456789._-");
    return n && n <= max && !name[n] && strcmp(name, ".")
           && strcmp(name, "..");
}

/* The address as the NVAs write it, or NULL. */
static char *
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

static const char *
option(struct ctl_context *ctx, const char *name)
{
    return shash_find_data(&ctx->options, name);
}

static bool
has_option(struct ctl_context *ctx, const char *name)
{
    return shash_find(&ctx->options, name) != NULL;
}

static const struct nvo3rec_nve *
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

/* NULL with an error set if there is none. */
static const struct nvo3rec_nve *
find_nve(struct ctl_context *ctx, const char *name)
{
    const struct nvo3rec_nve *nve = lookup_nve(ctx, name);
    if (!nve) {
        ctl_error(ctx, "no NVE is called '%s'; see nve-list, or add it with "
                  "nve-add %s ADDRESS", name, name);
    }
    return nve;
}

static const struct nvo3rec_vn *
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

static const struct nvo3rec_vn *
find_vn(struct ctl_context *ctx, const char *name)
{
    const struct nvo3rec_vn *vn = lookup_vn(ctx, name);
    if (!vn) {
        ctl_error(ctx, "no network is called '%s', nor has it as its VNI; "
                  "see vn-list, or make it with vn-add", name);
    }
    return vn;
}

/* Sets '*vnp' to the network that the argument of a list command names, or NULL
 * for all.  False, after an error, if there is no such network. */
static bool
listed_vn(struct ctl_context *ctx, const struct nvo3rec_vn **vnp)
{
    *vnp = ctx->argc > 1 ? find_vn(ctx, ctx->argv[1]) : NULL;
    return *vnp || ctx->argc <= 1;
}

static const struct nvo3rec_membership *
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

/* Sorted and separated by spaces: the networks of an NVE ('vn' NULL), or the
 * NVEs of a network. */
static char *
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

/* Prints lines in order. */
static void
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
    NVO3REC_GROUP_FOR_EACH (group, ctx->idl) {
        if (!group->epoch) {
            ds_put_format(&ctx->output, "group %s of %s: no NVA has begun an "
                          "epoch yet (--group-key)\n", group->address,
                          group->vn->name);
        }
    }
}

/* ---- NVEs ---- */

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

/* What belongs to an NVE in a network, or in all ('vn' NULL): mappings,
 * senders, memberships. */
static void
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

/* ---- Networks ---- */

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

/* ---- Groups ---- */

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
    {"init", 0, 0, "", NULL, cmd_init, NULL, "", RW},
    {"status", 0, 0, "", NULL, cmd_status, NULL, "", RO},

    {"nve-add", 2, INT_MAX, "NAME ADDRESS...", NULL, cmd_nve_add, NULL,
     "--may-exist", RW},
    {"nve-del", 1, 1, "NAME", NULL, cmd_nve_del, NULL,
     "--if-exists,--force", RW},
    {"nve-revoke", 1, 1, "NAME", NULL, cmd_nve_revoke, NULL, "", RW},
    {"nve-restore", 1, 1, "NAME", NULL, cmd_nve_restore, NULL, "", RW},
    {"nve-list", 0, 0, "", NULL, cmd_nve_list, NULL, "", RO},

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
nvactl_commands(void)
{
    return commands;
}
