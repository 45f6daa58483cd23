/* SPDX-License-Identifier: Apache-2.0
 *
 * See nvactl.h: commands about the policy between networks.  The store has its
 * text as a whole; nothing is written that nvo3-nva would not take. */
#include "nva/nvactl.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db-ctl-base.h"
#include "nva/nvactl_rows.h"
#include "nva/nvo3-idl.h"
#include "nva/policy_check.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/shash.h"
#include "ovsdb-idl.h"
#include "unicode.h"
#include "util.h"

/* Of the texts of files, which are read once, however often the transaction
 * must be tried. */
static struct shash files = SHASH_INITIALIZER(&files);

/* ---- Text ---- */

static char *
read_text(FILE *stream)
{
    /* One more, so that a longer text is said to be too long. */
    char *text = xmalloc(POLICY_MAX_TEXT + 2);
    size_t n = fread(text, 1, POLICY_MAX_TEXT + 1, stream);
    int error = ferror(stream) ? errno : 0;
    text[n] = '\0';
    if (!error && strlen(text) != n) {
        error = EILSEQ;
    }
    if (error) {
        free(text);
        errno = error;
        return NULL;
    }
    return text;
}

/* The text of a file, "-" is standard input.  NULL with an error set. */
static const char *
text_of_file(struct ctl_context *ctx, const char *name)
{
    char *text = shash_find_data(&files, name);
    if (text) {
        return text;
    }
    FILE *stream = strcmp(name, "-") ? fopen(name, "r") : stdin;
    text = stream ? read_text(stream) : NULL;
    if (!text) {
        ctl_error(ctx, "%s: cannot be read as a policy: %s", name,
                  errno == EILSEQ ? "a NUL is in it" : ovs_strerror(errno));
    } else {
        shash_add(&files, name, text);
    }
    if (stream && stream != stdin) {
        fclose(stream);
    }
    return text;
}

/* ---- Checks ---- */

static char *
check_text(struct ctl_context *ctx, const char *text, char **summary)
{
    size_t length;
    char *error = utf8_validate(text, &length);
    if (error) {
        free(error);
        return xstrdup("it is not UTF-8, comments included");
    }
    struct policy_network *networks = NULL;
    size_t n = 0, allocated = 0;
    const struct nvo3rec_vn *vn;
    NVO3REC_VN_FOR_EACH (vn, ctx->idl) {
        if (n == allocated) {
            networks = x2nrealloc(networks, &allocated, sizeof *networks);
        }
        networks[n].name = vn->name;
        networks[n++].vni = vn->vni;
    }
    error = policy_check(text, networks, n, summary);
    free(networks);
    return error;
}

void
policy_status(struct ctl_context *ctx, struct ds *output)
{
    const struct nvo3rec_policy *row = nvo3rec_policy_first(ctx->idl);
    if (!row) {
        ds_put_cstr(output, "policy: none\n");
        return;
    }
    char *summary;
    char *error = check_text(ctx, row->text, &summary);
    if (error) {
        ds_put_format(output, "policy: version %"PRId64" is bad: %s; NVAs go "
                      "on with the last good one, or without what is about "
                      "networks that are not there\n", row->version, error);
        free(error);
    } else {
        ds_put_format(output, "policy: version %"PRId64", %s\n",
                      row->version, summary);
        free(summary);
    }
}

size_t
policy_line(struct ctl_context *ctx, const struct nvo3rec_vn *vn)
{
    const struct nvo3rec_policy *row = nvo3rec_policy_first(ctx->idl);
    struct policy_network network = {vn->name, vn->vni};
    return row ? policy_line_of(row->text, &network) : 0;
}

/* ---- Commands ---- */

static const char *
present_text(struct ctl_context *ctx)
{
    const struct nvo3rec_policy *row = nvo3rec_policy_first(ctx->idl);
    return row ? row->text : "";
}

/* Nothing, with an error set, if the text is bad. */
static void
set_text(struct ctl_context *ctx, const char *name, const char *text)
{
    char *summary;
    char *error = check_text(ctx, text, &summary);
    if (error) {
        ctl_error(ctx, "%s: %s; the policy is as it was", name, error);
        free(error);
        return;
    }
    free(summary);
    const struct nvo3rec_policy *row = nvo3rec_policy_first(ctx->idl);
    if (!row) {
        row = nvo3rec_policy_insert(ctx->txn);
        nvo3rec_policy_set_version(row, 1);
    } else {
        /* Who else changes it meanwhile has this done again, on what is then
         * there. */
        nvo3rec_policy_verify_text(row);
        nvo3rec_policy_verify_version(row);
        if (!strcmp(row->text, text)) {
            return;
        }
        nvo3rec_policy_set_version(row, row->version + 1);
    }
    nvo3rec_policy_set_text(row, text);
}

static void
cmd_policy_set(struct ctl_context *ctx)
{
    const char *text = text_of_file(ctx, ctx->argv[1]);
    if (text) {
        set_text(ctx, ctx->argv[1], text);
    }
}

static void
cmd_policy_check(struct ctl_context *ctx)
{
    const char *text = text_of_file(ctx, ctx->argv[1]);
    char *summary;
    char *error = text ? check_text(ctx, text, &summary) : NULL;
    if (error) {
        ctl_error(ctx, "%s: %s", ctx->argv[1], error);
        free(error);
    } else if (text) {
        ds_put_format(&ctx->output, "%s: good, %s\n", ctx->argv[1], summary);
        free(summary);
    }
}

static void
cmd_policy_show(struct ctl_context *ctx)
{
    const char *text = present_text(ctx);
    ds_put_cstr(&ctx->output, text);
    if (*text && text[strlen(text) - 1] != '\n') {
        ds_put_char(&ctx->output, '\n');
    }
}

static char *
statement_of(struct ctl_context *ctx)
{
    struct ds statement = DS_EMPTY_INITIALIZER;
    for (int i = 1; i < ctx->argc; i++) {
        ds_put_format(&statement, "%s%s", i > 1 ? " " : "", ctx->argv[i]);
    }
    return ds_steal_cstr(&statement);
}

static void
cmd_policy_add(struct ctl_context *ctx)
{
    char *statement = statement_of(ctx);
    const char *before = present_text(ctx);
    size_t n = strlen(before);
    char *text = xasprintf("%s%s%s\n", before,
                           n && before[n - 1] != '\n' ? "\n" : "", statement);
    if (strchr(statement, '\n')) {
        ctl_error(ctx, "give one statement; more with policy-set, or each "
                  "with policy-add after --");
    } else {
        set_text(ctx, statement, text);
    }
    free(text);
    free(statement);
}

static void
cmd_policy_del(struct ctl_context *ctx)
{
    char *statement = statement_of(ctx);
    size_t *lines;
    size_t n = policy_find(present_text(ctx), statement, &lines);

    if (!n) {
        if (!has_option(ctx, "--if-exists")) {
            ctl_error(ctx, "'%s' is no statement of the policy; see "
                      "policy-show", statement);
        }
    } else {
        struct ds text = DS_EMPTY_INITIALIZER;
        const char *p = present_text(ctx);
        for (size_t number = 1; *p; number++) {
            size_t size = strcspn(p, "\n");
            size += p[size] == '\n';
            bool goes = false;
            for (size_t i = 0; i < n; i++) {
                goes |= lines[i] == number;
            }
            if (!goes) {
                ds_put_buffer(&text, p, size);
            }
            p += size;
        }
        set_text(ctx, statement, ds_cstr(&text));
        ds_destroy(&text);
    }
    free(lines);
    free(statement);
}

static const struct ctl_command_syntax commands[] = {
    {"policy-set", 1, 1, "FILE", NULL, cmd_policy_set, NULL, "", RW},
    {"policy-check", 1, 1, "FILE", NULL, cmd_policy_check, NULL, "", RO},
    {"policy-show", 0, 0, "", NULL, cmd_policy_show, NULL, "", RO},
    {"policy-add", 1, INT_MAX, "STATEMENT...", NULL, cmd_policy_add, NULL, "",
     RW},
    {"policy-del", 1, INT_MAX, "STATEMENT...", NULL, cmd_policy_del, NULL,
     "--if-exists", RW},
    {NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, RO},
};

const struct ctl_command_syntax *
nvactl_policy_commands(void)
{
    return commands;
}
