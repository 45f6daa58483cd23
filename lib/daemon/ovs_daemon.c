/* SPDX-License-Identifier: Apache-2.0
 *
 * See ovs_daemon.h. */
#include "daemon/ovs_daemon.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command-line.h"
#include "daemon.h"
#include "dirs.h"
#include "fatal-signal.h"
#include "latch.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "stream-ssl.h"
#include "stream.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nvo3);

static struct unixctl_server *unixctl;
static struct latch wake;
static bool exiting;

void
ovs_daemon_name(const char *argv0, const char *version)
{
    ovs_set_program_name(argv0, version);
}

/* Daemons change their directory. */
static const char *
absolute(const char *file)
{
    return abs_file_name(NULL, file);
}

void
ovs_daemon_parse(int argc, char *argv[], const char *socket,
                 struct ovs_daemon_options *options)
{
    enum {
        OPT_UNIXCTL = UCHAR_MAX + 1,
        VLOG_OPTION_ENUMS,
        DAEMON_OPTION_ENUMS,
        SSL_OPTION_ENUMS,
    };
    static const struct option long_options[] = {
        {"unixctl", required_argument, NULL, OPT_UNIXCTL},
        DAEMON_LONG_OPTIONS,
        VLOG_LONG_OPTIONS,
        STREAM_SSL_LONG_OPTIONS,
        {NULL, 0, NULL, 0},
    };

    *options = (struct ovs_daemon_options) { 0 };
    char *short_options = ovs_cmdl_long_options_to_short_options(long_options);
    for (;;) {
        int c = getopt_long(argc, argv, short_options, long_options, NULL);
        if (c == -1) {
            break;
        }
        switch (c) {
        case OPT_UNIXCTL:
            options->unixctl = optarg;
            break;
        case 'p':
            options->private_key = absolute(optarg);
            stream_ssl_set_private_key_file(options->private_key);
            break;
        case 'c':
            options->certificate = absolute(optarg);
            stream_ssl_set_certificate_file(options->certificate);
            break;
        case 'C':
            options->ca_cert = absolute(optarg);
            stream_ssl_set_ca_cert_file(options->ca_cert, false);
            break;
        case OPT_SSL_PROTOCOLS:
            stream_ssl_set_protocols(optarg);
            break;
        case OPT_SSL_CIPHERS:
            stream_ssl_set_ciphers(optarg);
            break;
        VLOG_OPTION_HANDLERS
        DAEMON_OPTION_HANDLERS
        default:
            exit(EXIT_FAILURE);
        }
    }
    free(short_options);

    if (argc - optind > 1) {
        ovs_fatal(0, "at most one argument, the database, is accepted; "
                  "use --help for usage");
    }
    options->database = (argc > optind
                         ? xstrdup(argv[optind])
                         : xasprintf("unix:%s/%s", ovs_rundir(), socket));
}

void
ovs_daemon_usage(void)
{
    stream_usage("DATABASE", true, false, true);
    daemon_usage();
    vlog_usage();
    printf("\nOther options:\n"
           "  --unixctl=SOCKET          override default control socket name\n");
}

void
ovs_daemon_quiet(void)
{
    fatal_ignore_sigpipe();
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_OFF);
}

const char *
ovs_daemon_rundir(void)
{
    return ovs_rundir();
}

const char *
ovs_daemon_logdir(void)
{
    return ovs_logdir();
}

void
ovs_daemon_start(void)
{
    ovsthread_id_init();
    fatal_ignore_sigpipe();
    daemonize_start(false);
    latch_init(&wake);
}

static void
exit_command(struct unixctl_conn *conn, int argc OVS_UNUSED,
             const char *argv[] OVS_UNUSED, void *aux OVS_UNUSED)
{
    exiting = true;
    unixctl_command_reply(conn, NULL);
}

void
ovs_daemon_listen(const struct ovs_daemon_options *options)
{
    if (unixctl_server_create(options->unixctl, &unixctl)) {
        exit(EXIT_FAILURE);     /* the reason is logged */
    }
    unixctl_command_register("exit", "", 0, 0, exit_command, NULL);
}

void
ovs_daemon_ready(void)
{
    daemonize_complete();
}

bool
ovs_daemon_run(void)
{
    latch_poll(&wake);
    unixctl_server_run(unixctl);
    return exiting;
}

void
ovs_daemon_block(void)
{
    latch_wait(&wake);
    unixctl_server_wait(unixctl);
    if (exiting) {
        poll_immediate_wake();
    }
    poll_block();
}

void
ovs_daemon_wake(void)
{
    latch_set(&wake);
}

long long
ovs_daemon_now(void)
{
    return time_msec();
}

void
ovs_daemon_wake_at(long long ms)
{
    poll_timer_wait_until(ms);
}

void
ovs_daemon_close(void)
{
    unixctl_server_destroy(unixctl);
}

/* ---- Commands ---- */

struct command {
    ovs_daemon_command *run;
    void *aux;
};

static void
run_command(struct unixctl_conn *conn, int argc, const char *argv[],
            void *command_)
{
    const struct command *command = command_;
    bool ok = true;
    char *reply = command->run(argc, argv, &ok, command->aux);

    if (ok) {
        unixctl_command_reply(conn, reply);
    } else {
        unixctl_command_reply_error(conn, reply);
    }
    free(reply);
}

void
ovs_daemon_register(const char *name, const char *usage, int min_args,
                    int max_args, ovs_daemon_command *run, void *aux)
{
    struct command *command = xmalloc(sizeof *command); /* lives for ever */
    *command = (struct command) { run, aux };
    unixctl_command_register(name, usage, min_args, max_args, run_command,
                             command);
}

struct later_command {
    ovs_daemon_later_command *run;
    void *aux;
};

static void
run_later_command(struct unixctl_conn *conn, int argc, const char *argv[],
                  void *command_)
{
    const struct later_command *command = command_;

    command->run(argc, argv, (struct ovs_daemon_call *) conn, command->aux);
}

void
ovs_daemon_register_later(const char *name, const char *usage, int min_args,
                          int max_args, ovs_daemon_later_command *run,
                          void *aux)
{
    struct later_command *command = xmalloc(sizeof *command); /* for ever */
    *command = (struct later_command) { run, aux };
    unixctl_command_register(name, usage, min_args, max_args,
                             run_later_command, command);
}

void
ovs_daemon_answer(struct ovs_daemon_call *call, bool ok, const char *text)
{
    struct unixctl_conn *conn = (struct unixctl_conn *) call;

    if (ok) {
        unixctl_command_reply(conn, text);
    } else {
        unixctl_command_reply_error(conn, text);
    }
}

/* ---- Log ---- */

/* So many lines a minute, and at once.  Of each module and level, so that what outsiders provoke in one hides nothing of another. */
#define LOG_RATE 60
#define LOG_BURST 200

/* Modules are string literals, far fewer than these; more would share the last. */
#define LOG_MODULES 32

static struct vlog_rate_limit *
log_limit(enum ovs_daemon_level level, const char *module)
{
    struct limit {
        const char *module;
        struct vlog_rate_limit of[2];   /* Warnings, information. */
    };
    static struct limit limits[LOG_MODULES];
    static size_t n_limits;
    static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;

    ovs_mutex_lock(&mutex);
    size_t i = 0;
    while (i < n_limits && strcmp(limits[i].module, module)) {
        i++;
    }
    if (i == LOG_MODULES) {
        i--;
    } else if (i == n_limits) {
        limits[n_limits++] = (struct limit) {
            .module = module,
            .of = { VLOG_RATE_LIMIT_INIT(LOG_RATE, LOG_BURST),
                    VLOG_RATE_LIMIT_INIT(LOG_RATE, LOG_BURST) },
        };
    }
    ovs_mutex_unlock(&mutex);
    return &limits[i].of[level == OVS_DAEMON_INFO];
}

void
ovs_daemon_log(enum ovs_daemon_level level, const char *module,
               const char *text)
{
    static const enum vlog_level levels[] = {
        [OVS_DAEMON_ERR] = VLL_ERR, [OVS_DAEMON_WARN] = VLL_WARN,
        [OVS_DAEMON_INFO] = VLL_INFO, [OVS_DAEMON_DBG] = VLL_DBG,
    };

    /* Errors are all told; debugging lines come only where they are asked for. */
    if (level == OVS_DAEMON_WARN || level == OVS_DAEMON_INFO) {
        VLOG_RL(log_limit(level, module), levels[level], "%s: %s", module, text);
    } else {
        VLOG(levels[level], "%s: %s", module, text);
    }
}
