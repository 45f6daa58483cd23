/* SPDX-License-Identifier: Apache-2.0
 *
 * See nvactl.h: the command "graph".  Hosts, networks and groups as Graphviz has
 * them, with the state of each membership as far as the store and the NVA of this
 * machine know it.  Keys of pairs are between the hosts alone: their state is in
 * files with what the hosts said. */
#include "nva/nvactl.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "db-ctl-base.h"
#include "nva/nvactl_rows.h"
#include "nva/nvo3-idl.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "ovsdb-idl.h"
#include "svec.h"
#include "util.h"

/* ---- Text ---- */

/* A line of dot: the arguments of "%s" must be quoted() or our own. */
static void add_line(struct svec *, const char *format, ...)
    OVS_PRINTF_FORMAT(2, 3);

static void
add_line(struct svec *lines, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    svec_add_nocopy(lines, xvasprintf(format, args));
    va_end(args);
}

/* Without what would end a string of dot; to be freed. */
static char *
quoted(const char *text)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\') {
            ds_put_char(&ds, '\\');
        }
        ds_put_char(&ds, (unsigned char) *p < ' ' ? ' ' : *p);
    }
    return ds_steal_cstr(&ds);
}

/* ---- JSON ---- */

/* Member 'name' of an object, if it is of that type. */
static const struct json *
member_of(const struct json *object, const char *name, enum json_type type)
{
    const struct json *value = object->type == JSON_OBJECT
        ? shash_find_data(json_object(object), name) : NULL;
    return value && value->type == type ? value : NULL;
}

/* ---- Sessions ---- */

enum session { UNKNOWN, NONE, BEING_TOLD, READY };

static const char *const colors[] = {
    [UNKNOWN] = "white",
    [NONE] = "lightgrey",
    [BEING_TOLD] = "khaki",
    [READY] = "palegreen",
};
static const char *const words[] = {
    [UNKNOWN] = "",
    [NONE] = "\\nno session with this NVA",
    [BEING_TOLD] = "\\nis being told",
    [READY] = "",
};

/* Names of the NVEs with a session, to non-NULL if they were told all; NULL: no NVA
 * of this machine answers. */
static struct json *
read_sessions(struct shash *ready)
{
    char *text = ask_own_nva("session/show", "json");
    struct json *shown = text ? json_from_string(text) : NULL;
    free(text);
    if (!shown || shown->type != JSON_OBJECT) {
        json_destroy(shown);
        return NULL;
    }
    const struct json *list = member_of(shown, "sessions", JSON_ARRAY);
    for (size_t i = 0; list && i < list->array.n; i++) {
        const struct json *one = list->array.elems[i];
        const struct json *name = member_of(one, "name", JSON_STRING);
        if (name) {
            shash_replace(ready, json_string(name),
                          member_of(one, "ready", JSON_TRUE));
        }
    }
    return shown;
}

static enum session
session_of(const char *nve, bool asked, const struct shash *ready)
{
    if (!asked) {
        return UNKNOWN;
    }
    const struct shash_node *node = shash_find(ready, nve);
    return !node ? NONE : node->data ? READY : BEING_TOLD;
}

/* ---- Parts of the graph ---- */

static void
add_nve(struct svec *lines, const struct nvo3rec_nve *nve,
        enum session session)
{
    char *name = quoted(nve->name);
    struct ds addresses = DS_EMPTY_INITIALIZER;
    for (size_t i = 0; i < nve->n_addresses; i++) {
        char *address = quoted(nve->addresses[i]);
        ds_put_format(&addresses, "\\n%s", address);
        free(address);
    }
    add_line(lines, "  \"nve %s\" [shape=box, style=filled, fillcolor=%s%s, "
             "label=\"%s%s%s\"];", name, colors[session],
             nve->revoked ? ", color=red, fontcolor=red" : "", name,
             ds_cstr(&addresses),
             nve->revoked ? "\\nrevoked" : words[session]);
    ds_destroy(&addresses);
    free(name);
}

static bool
was_told(const struct nvo3rec_group *group, const char *nve)
{
    for (size_t i = 0; i < group->n_told; i++) {
        if (!strcmp(group->told[i], nve)) {
            return true;
        }
    }
    return false;
}

/* The edge of a membership: red of a revoked NVE, dashed of one that was not told
 * a group's epoch yet. */
static void
add_membership(struct svec *lines, struct ctl_context *ctx,
               const struct nvo3rec_membership *member)
{
    const struct nvo3rec_mapping *mapping;
    const struct nvo3rec_group *group;
    size_t n_mappings = 0;
    int64_t awaited = 0;

    NVO3REC_MAPPING_FOR_EACH (mapping, ctx->idl) {
        n_mappings += mapping->vn == member->vn && mapping->nve == member->nve;
    }
    NVO3REC_GROUP_FOR_EACH (group, ctx->idl) {
        if (group->vn == member->vn && group->epoch
            && !was_told(group, member->nve->name)) {
            awaited = group->epoch;
        }
    }
    char *nve = quoted(member->nve->name), *vn = quoted(member->vn->name);
    struct ds label = DS_EMPTY_INITIALIZER;
    if (n_mappings) {
        ds_put_format(&label, "%"PRIuSIZE" MAC%s", n_mappings,
                      n_mappings > 1 ? "s" : "");
    }
    if (awaited) {
        ds_put_format(&label, "%swaits for epoch %"PRId64,
                      n_mappings ? "\\n" : "", awaited);
    }
    add_line(lines, "  \"nve %s\" -- \"vn %s\" [label=\"%s\"%s%s];", nve, vn,
             ds_cstr(&label), awaited ? ", style=dashed" : "",
             member->nve->revoked ? ", color=red" : "");
    ds_destroy(&label);
    free(nve);
    free(vn);
}

static void
add_group(struct svec *lines, const struct nvo3rec_group *group)
{
    char *vn = quoted(group->vn->name), *address = quoted(group->address);
    add_line(lines, "  \"group %s %s\" [shape=note, label=\"%s\\nepoch "
             "%"PRId64"\"];", vn, address, address, group->epoch);
    add_line(lines, "  \"vn %s\" -- \"group %s %s\" [style=dotted];", vn, vn,
             address);
    free(vn);
    free(address);
}

/* ---- Pairs ---- */

static bool
has_keys(const struct json *network)
{
    const struct json *in = member_of(network, "inbound", JSON_INTEGER);
    const struct json *out = member_of(network, "outbound", JSON_INTEGER);
    return in && json_integer(in) > 0 && out && json_integer(out) > 0;
}

/* What host 'from' says of one peer: the networks that it has security
 * associations for in both directions, and the first few that it has not. */
static void
add_pair(struct svec *lines, const char *from, const struct json *peer)
{
    enum { MAX_NAMED = 4 };
    const struct json *name = member_of(peer, "name", JSON_STRING);
    const struct json *networks = member_of(peer, "networks", JSON_ARRAY);
    if (!name || !networks) {
        return;
    }
    size_t n_keyed = 0, n_other = 0;
    struct ds other = DS_EMPTY_INITIALIZER;
    for (size_t i = 0; i < networks->array.n; i++) {
        const struct json *network = networks->array.elems[i];
        const struct json *vni = member_of(network, "vni", JSON_INTEGER);
        if (has_keys(network)) {
            n_keyed++;
        } else if (++n_other <= MAX_NAMED && vni) {
            ds_put_format(&other, "\\nVNI %"PRId64": no keys",
                          json_integer(vni));
        } else if (n_other == MAX_NAMED + 1) {
            ds_put_cstr(&other, "\\n...");
        }
    }
    char *a = quoted(from), *b = quoted(json_string(name));
    add_line(lines, "  \"nve %s\" -- \"nve %s\" [dir=forward, color=%s%s, "
             "label=\"%"PRIuSIZE" keyed%s\"];", a, b,
             n_other || !n_keyed ? "red" : "forestgreen",
             member_of(peer, "session", JSON_OBJECT) ? "" : ", style=dashed",
             n_keyed, ds_cstr(&other));
    ds_destroy(&other);
    free(a);
    free(b);
}

/* False: 'file' is not what "peer/show json" prints; ctl_error() has said so. */
static bool
add_pairs(struct svec *lines, struct ctl_context *ctx, const char *file)
{
    struct json *shown = json_from_file(file);
    const struct json *name = member_of(shown, "name", JSON_STRING);
    const struct json *peers = member_of(shown, "peers", JSON_ARRAY);
    bool ok = name && peers;
    if (ok) {
        for (size_t i = 0; i < peers->array.n; i++) {
            add_pair(lines, json_string(name), peers->array.elems[i]);
        }
    } else {
        ctl_error(ctx, "%s: %s; it must have what \"ovs-appctl -t hvagent "
                  "peer/show json\" printed on a host", file,
                  shown->type == JSON_STRING ? json_string(shown)
                  : "no host and its peers");
    }
    json_destroy(shown);
    return ok;
}

static void
cmd_graph(struct ctl_context *ctx)
{
    struct svec lines = SVEC_EMPTY_INITIALIZER;
    for (size_t i = 1; i < ctx->argc; i++) {
        if (!add_pairs(&lines, ctx, ctx->argv[i])) {
            svec_destroy(&lines);
            return;
        }
    }
    struct shash ready = SHASH_INITIALIZER(&ready);
    struct json *sessions = read_sessions(&ready);
    const struct nvo3rec_nve *nve;
    const struct nvo3rec_vn *vn;
    const struct nvo3rec_membership *member;
    const struct nvo3rec_group *group;

    NVO3REC_NVE_FOR_EACH (nve, ctx->idl) {
        add_nve(&lines, nve, session_of(nve->name, sessions != NULL, &ready));
    }
    NVO3REC_VN_FOR_EACH (vn, ctx->idl) {
        char *name = quoted(vn->name);
        add_line(&lines, "  \"vn %s\" [label=\"%s\\nVNI %"PRId64", %s\\n%s\"];",
                 name, name, vn->vni, vn->encap, vn->cipher);
        free(name);
    }
    NVO3REC_MEMBERSHIP_FOR_EACH (member, ctx->idl) {
        add_membership(&lines, ctx, member);
    }
    NVO3REC_GROUP_FOR_EACH (group, ctx->idl) {
        add_group(&lines, group);
    }
    ds_put_cstr(&ctx->output, "graph overlay {\n"
                "  graph [rankdir=LR];\n"
                "  node [fontname=\"sans-serif\", fontsize=11];\n"
                "  edge [fontname=\"sans-serif\", fontsize=9];\n");
    print_sorted(ctx, &lines);
    ds_put_cstr(&ctx->output, "}\n");
    shash_destroy(&ready);
    json_destroy(sessions);
}

static const struct ctl_command_syntax commands[] = {
    {"graph", 0, INT_MAX, "[FILE]...", NULL, cmd_graph, NULL, "", RO},
    {NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, RO},
};

const struct ctl_command_syntax *
nvactl_graph_commands(void)
{
    return commands;
}
