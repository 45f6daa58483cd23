/* SPDX-License-Identifier: Apache-2.0
 *
 * nvo3-nvactl: the store's command line, with the verbs of ovs-vsctl and its
 * kin (db-ctl-base) and plain ones for networks, NVEs and groups.
 *
 * Place: nva, a program of its own, C.  Thread: one.  Its own commands are in
 * nvactl_commands.c. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "command-line.h"
#include "daemon.h"
#include "db-ctl-base.h"
#include "dirs.h"
#include "fatal-signal.h"
#include "nva/nvactl.h"
#include "nva/nvo3-idl.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovsdb-data.h"
#include "ovsdb-idl.h"
#include "process.h"
#include "stream-ssl.h"
#include "stream.h"
#include "table.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nvactl);

static const char *db;
static unsigned int timeout;
static bool oneline;
static bool dry_run;
static int leader_only = -1;    /* -1: not said. */
static struct table_style table_style = TABLE_STYLE_DEFAULT;

/* For leave() only. */
static struct ovsdb_idl *the_idl;
static struct ovsdb_idl_txn *the_txn;

static const struct ctl_table_class tables[NVO3REC_N_TABLES] = {
    [NVO3REC_TABLE_NVE].row_ids = {{&nvo3rec_nve_col_name, NULL, NULL}},
    [NVO3REC_TABLE_VN].row_ids = {{&nvo3rec_vn_col_name, NULL, NULL},
                                  {&nvo3rec_vn_col_vni, NULL, NULL}},
    [NVO3REC_TABLE_GROUP].row_ids = {{&nvo3rec_group_col_address, NULL, NULL}},
    [NVO3REC_TABLE_MAPPING].row_ids = {{&nvo3rec_mapping_col_mac, NULL, NULL}},
};

static const struct cmd_show_table show_tables[] = {
    {&nvo3rec_table_vn, &nvo3rec_vn_col_name,
     {&nvo3rec_vn_col_vni, &nvo3rec_vn_col_encap, &nvo3rec_vn_col_cipher},
     {NULL, NULL, NULL}},
    {&nvo3rec_table_nve, &nvo3rec_nve_col_name,
     {&nvo3rec_nve_col_addresses, &nvo3rec_nve_col_revoked},
     {NULL, NULL, NULL}},
    {NULL, NULL, {NULL, NULL, NULL}, {NULL, NULL, NULL}},
};

/* Frees what a leak checker would complain about, and exits. */
OVS_NO_RETURN static void
leave(int status)
{
    if (the_txn) {
        ovsdb_idl_txn_abort(the_txn);
        ovsdb_idl_txn_destroy(the_txn);
    }
    ovsdb_idl_destroy(the_idl);
    exit(status);
}

OVS_NO_RETURN static void
usage(void)
{
    printf("%s: the store of nvo3-nva\n"
           "usage: %s [OPTIONS] COMMAND [ARG...] [-- COMMAND [ARG...]]...\n\n%s"
           "%s\n%s\n"
           "Options:\n"
           "  --db=DATABASE               connect to DATABASE\n"
           "                              (default: unix:%s/nvo3_db.sock)\n"
           "  --[no-]leader-only          accept only the leader of a cluster, or any member\n"
           "                              (default: the leader, but this machine's server)\n"
           "  -t, --timeout=SECS          wait at most SECS seconds\n"
           "  --dry-run                   do not commit changes\n"
           "  --oneline                   print exactly one line per command\n",
           program_name, program_name, nvactl_usage, ctl_get_db_cmd_usage(),
           ctl_list_db_tables_usage(), ovs_rundir());
    table_usage();
    vlog_usage();
    stream_usage("database", true, true, true);
    printf("\nOther options:\n"
           "  -h, --help                  display this help message\n"
           "  -V, --version               display version information\n");
    exit(EXIT_SUCCESS);
}

static void
parse_options(int argc, char *argv[], struct shash *local_options)
{
    enum {
        OPT_DB = UCHAR_MAX + 1,
        OPT_LEADER_ONLY,
        OPT_NO_LEADER_ONLY,
        OPT_NO_SYSLOG,
        OPT_DRY_RUN,
        OPT_ONELINE,
        OPT_PEER_CA_CERT,
        OPT_COMMANDS,
        OPT_OPTIONS,
        OPT_LOCAL,              /* of a command */
        VLOG_OPTION_ENUMS,
        TABLE_OPTION_ENUMS,
        SSL_OPTION_ENUMS,
    };
    static const struct option global[] = {
        {"db", required_argument, NULL, OPT_DB},
        {"leader-only", no_argument, NULL, OPT_LEADER_ONLY},
        {"no-leader-only", no_argument, NULL, OPT_NO_LEADER_ONLY},
        {"no-syslog", no_argument, NULL, OPT_NO_SYSLOG},
        {"dry-run", no_argument, NULL, OPT_DRY_RUN},
        {"oneline", no_argument, NULL, OPT_ONELINE},
        {"timeout", required_argument, NULL, 't'},
        {"commands", no_argument, NULL, OPT_COMMANDS},
        {"options", no_argument, NULL, OPT_OPTIONS},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        VLOG_LONG_OPTIONS,
        TABLE_LONG_OPTIONS,
        STREAM_SSL_LONG_OPTIONS,
        {"peer-ca-cert", required_argument, NULL, OPT_PEER_CA_CERT},
        {NULL, 0, NULL, 0},
    };
    char *letters = ovs_cmdl_long_options_to_short_options(global);
    char *short_options = xasprintf("+%s", letters);    /* stop at the command */
    free(letters);

    struct option *options = xmemdup(global, sizeof global);
    size_t n_options = ARRAY_SIZE(global) - 1;
    size_t allocated = ARRAY_SIZE(global);
    ctl_add_cmd_options(&options, &n_options, &allocated, OPT_LOCAL);

    for (;;) {
        int index = 0;
        int c = getopt_long(argc, argv, short_options, options, &index);
        if (c == -1) {
            break;
        }
        switch (c) {
        case OPT_DB:
            db = optarg;
            break;
        case OPT_LEADER_ONLY:
            leader_only = true;
            break;
        case OPT_NO_LEADER_ONLY:
            leader_only = false;
            break;
        case OPT_NO_SYSLOG:
            vlog_set_levels(&this_module, VLF_SYSLOG, VLL_WARN);
            break;
        case OPT_DRY_RUN:
            dry_run = true;
            break;
        case OPT_ONELINE:
            oneline = true;
            break;
        case OPT_LOCAL:
            if (shash_find(local_options, options[index].name)) {
                ctl_fatal("'%s' option specified multiple times",
                          options[index].name);
            }
            shash_add_nocopy(local_options,
                             xasprintf("--%s", options[index].name),
                             nullable_xstrdup(optarg));
            break;
        case 't':
            if (!str_to_uint(optarg, 10, &timeout) || !timeout) {
                ctl_fatal("value %s on -t or --timeout is invalid: give a "
                          "number of seconds", optarg);
            }
            break;
        case OPT_COMMANDS:      /* These two are for shell completion. */
            ctl_print_commands();
            break;
        case OPT_OPTIONS:
            ctl_print_options(global);
            break;
        case 'h':
            usage();
        case 'V':
            printf("%s (%s) %s\nDB Schema %s\n", program_name, NVO3_PACKAGE,
                   NVO3_VERSION, nvo3rec_get_db_version());
            exit(EXIT_SUCCESS);
        VLOG_OPTION_HANDLERS
        TABLE_OPTION_HANDLERS(&table_style)
        STREAM_SSL_OPTION_HANDLERS
        case OPT_PEER_CA_CERT:
            stream_ssl_set_peer_ca_cert_file(optarg);
            break;
        case '?':
            exit(EXIT_FAILURE);
        default:
            abort();
        }
    }
    free(short_options);
    for (size_t i = ARRAY_SIZE(global) - 1; options[i].name; i++) {
        free(CONST_CAST(char *, options[i].name));
    }
    free(options);
    if (leader_only < 0) {
        /* This machine's server may lead or follow: it passes on what is
         * written. */
        leader_only = db != NULL;
    }
    if (!db) {
        db = xasprintf("unix:%s/nvo3_db.sock", ovs_rundir());
    }
}

/* ---- The transaction ---- */

/* False: a command wants to see another state of the database first. */
static bool
run_commands(struct ctl_command *commands, size_t n, struct ovsdb_idl *idl,
             struct ovsdb_symbol_table *symtab)
{
    for (size_t i = 0; i < n; i++) {
        ds_init(&commands[i].output);
        commands[i].table = NULL;
    }
    struct ctl_context context;
    ctl_context_init(&context, NULL, idl, the_txn, symtab, NULL);
    bool again = false;
    for (size_t i = 0; i < n && !again; i++) {
        ctl_context_init_command(&context, &commands[i], i + 1 == n);
        if (commands[i].syntax->run) {
            commands[i].syntax->run(&context);
        }
        if (context.error) {
            ctl_fatal("%s", context.error);
        }
        ctl_context_done_command(&context, &commands[i]);
        again = context.try_again;
    }
    ctl_context_done(&context, NULL);
    return !again;
}

static void
check_symbols(const struct ovsdb_symbol_table *symtab)
{
    const struct shash_node *node;
    SHASH_FOR_EACH (node, &symtab->sh) {
        const struct ovsdb_symbol *symbol = node->data;
        if (!symbol->created) {
            ctl_fatal("row id \"%s\" is referenced but never created (e.g. "
                      "with \"-- --id=%s create ...\")", node->name,
                      node->name);
        }
    }
}

static void
postprocess(struct ctl_command *commands, size_t n, struct ovsdb_idl *idl,
            struct ovsdb_symbol_table *symtab)
{
    for (size_t i = 0; i < n; i++) {
        if (commands[i].syntax->postprocess) {
            struct ctl_context context;
            ctl_context_init(&context, &commands[i], idl, the_txn, symtab,
                             NULL);
            commands[i].syntax->postprocess(&context);
            if (context.error) {
                ctl_fatal("%s", context.error);
            }
            ctl_context_done(&context, &commands[i]);
        }
    }
}

static void
print_output(struct ctl_command *command)
{
    if (command->table) {
        table_print(command->table, &table_style);
    } else if (oneline) {
        ds_chomp(&command->output, '\n');
        for (const char *p = ds_cstr(&command->output); *p; p++) {
            if (*p == '\n') {
                fputs("\\n", stdout);
            } else if (*p == '\\') {
                fputs("\\\\", stdout);
            } else {
                putchar(*p);
            }
        }
        putchar('\n');
    } else {
        fputs(ds_cstr(&command->output), stdout);
    }
}

/* True: done and printed. */
static bool
transact(const char *args, struct ctl_command *commands, size_t n,
         struct ovsdb_idl *idl)
{
    struct ovsdb_symbol_table *symtab = ovsdb_symbol_table_create();
    enum ovsdb_idl_txn_status status = TXN_TRY_AGAIN;

    the_txn = ovsdb_idl_txn_create(idl);
    if (dry_run) {
        ovsdb_idl_txn_set_dry_run(the_txn);
    }
    ovsdb_idl_txn_add_comment(the_txn, "nvo3-nvactl: %s", args);
    if (ctl_might_write_to_db(commands, n)
        && !nvo3rec_nvo3_global_first(idl)) {
        nvo3rec_nvo3_global_insert(the_txn);
    }

    bool ran = run_commands(commands, n, idl, symtab);
    if (ran) {
        check_symbols(symtab);
        status = ovsdb_idl_txn_commit_block(the_txn);
    }
    bool done = status == TXN_UNCHANGED || status == TXN_SUCCESS;
    if (done) {
        postprocess(commands, n, idl, symtab);
    } else if (ran && status != TXN_TRY_AGAIN) {
        ctl_fatal("%s: the transaction failed: %s", db,
                  ovsdb_idl_txn_get_error(the_txn));
    }
    if (!ran) {
        ovsdb_idl_txn_abort(the_txn);
    }
    ovsdb_idl_txn_destroy(the_txn);
    the_txn = NULL;
    ovsdb_symbol_table_destroy(symtab);

    for (size_t i = 0; i < n; i++) {
        if (done) {
            print_output(&commands[i]);
        }
        ds_destroy(&commands[i].output);
        table_destroy(commands[i].table);
        free(commands[i].table);
    }
    return done;
}

int
main(int argc, char *argv[])
{
    ovs_set_program_name(argv[0], NVO3_VERSION);
    fatal_ignore_sigpipe();
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_WARN);
    vlog_set_levels_from_string_assert("reconnect:warn");

    ctl_init(&nvo3rec_idl_class, nvo3rec_table_classes, tables, show_tables,
             leave);
    ctl_register_commands(nvactl_store_commands());
    ctl_register_commands(nvactl_nve_commands());
    ctl_register_commands(nvactl_network_commands());
    ctl_register_commands(nvactl_group_commands());
    ctl_register_commands(nvactl_policy_commands());
    ctl_register_commands(nvactl_graph_commands());

    char *args = process_escape_args(argv);
    struct shash local_options = SHASH_INITIALIZER(&local_options);
    parse_options(argc, argv, &local_options);
    struct ctl_command *commands;
    size_t n;
    char *error = ctl_parse_commands(argc - optind, argv + optind,
                                     &local_options, &commands, &n);
    if (error) {
        ctl_fatal("%s", error);
    }
    VLOG(ctl_might_write_to_db(commands, n) ? VLL_INFO : VLL_DBG,
         "Called as %s", args);
    ctl_timeout_setup(timeout);

    /* Of several servers one may be down: the next is tried. */
    the_idl = ovsdb_idl_create(db, &nvo3rec_idl_class, true,
                               strchr(db, ',') != NULL);
    ovsdb_idl_set_leader_only(the_idl, leader_only);
    /* Once for each state of the database: if a transaction fails, it is
     * because there is another. */
    unsigned int seqno = ovsdb_idl_get_seqno(the_idl);
    for (;;) {
        ovsdb_idl_run(the_idl);
        if (!ovsdb_idl_is_alive(the_idl)) {
            ctl_fatal("%s: database connection failed (%s); is ovsdb-server "
                      "running, with the schema nvo3.ovsschema?", db,
                      ovs_retval_to_string(
                          ovsdb_idl_get_last_error(the_idl)));
        }
        if (seqno != ovsdb_idl_get_seqno(the_idl)) {
            seqno = ovsdb_idl_get_seqno(the_idl);
            if (transact(args, commands, n, the_idl)) {
                break;
            }
        }
        if (seqno == ovsdb_idl_get_seqno(the_idl)) {
            ovsdb_idl_wait(the_idl);
            poll_block();
        }
    }
    for (size_t i = 0; i < n; i++) {
        shash_destroy_free_data(&commands[i].options);
    }
    free(commands);
    free(args);
    leave(EXIT_SUCCESS);
}
