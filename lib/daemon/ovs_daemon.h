/* SPDX-License-Identifier: Apache-2.0
 *
 * What the daemons take from OVS besides its databases: daemon options, log,
 * unixctl, the poll loop.
 *
 * Place: lib/daemon, C; used by hvagent and nvo3-nva.  Thread: the OVS thread, except
 * ovs_daemon_log() and ovs_daemon_wake(), which any thread may call. */
#ifndef NVO3_DAEMON_OVS_DAEMON_H
#define NVO3_DAEMON_OVS_DAEMON_H 1

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* First of all: names the program for log, help and pid file. */
void ovs_daemon_name(const char *argv0, const char *version);

/* Options that every daemon of OVS has, parsed from what the daemon's own parser
 * left over.  Ends the process on errors. */
struct ovs_daemon_options {
    const char *unixctl;        /* NULL: the default path */
    const char *database;       /* the one argument, or the default; malloc'd */
    /* -p, -c and -C, absolute and malloc'd; NULL if not given.  OVS's "ssl:"
     * connections use them already. */
    const char *private_key;
    const char *certificate;
    const char *ca_cert;
};
/* 'socket' in RUNDIR is the default database. */
void ovs_daemon_parse(int argc, char *argv[], const char *socket,
                      struct ovs_daemon_options *);
void ovs_daemon_usage(void);            /* their part of --help, to stdout */

/* Instead of what follows, in a command that prints and ends: nothing is logged
 * to the console. */
void ovs_daemon_quiet(void);

const char *ovs_daemon_rundir(void);
const char *ovs_daemon_logdir(void);

/* Forks into the background if asked to.  No thread may exist yet. */
void ovs_daemon_start(void);
/* Opens the unixctl socket; the process ends if it cannot. */
void ovs_daemon_listen(const struct ovs_daemon_options *);
/* Tells the waiting parent that start-up succeeded. */
void ovs_daemon_ready(void);
/* True once "exit" was asked for. */
bool ovs_daemon_run(void);
void ovs_daemon_block(void);            /* waits for events of this thread */
void ovs_daemon_wake(void);             /* ends that wait, from any thread */
long long ovs_daemon_now(void);         /* monotonic, ms */
void ovs_daemon_wake_at(long long ms);  /* ends the next wait at that time */
void ovs_daemon_close(void);

/* Answers a command with malloc'd text: the reply, or with '*ok' false the
 * error. */
typedef char *ovs_daemon_command(int argc, const char *argv[], bool *ok,
                                 void *aux);
void ovs_daemon_register(const char *name, const char *usage, int min_args,
                         int max_args, ovs_daemon_command *, void *aux);

/* The same, answered later: once, by ovs_daemon_answer(), until when its connection
 * stays open.  'text' may be NULL. */
struct ovs_daemon_call;
typedef void ovs_daemon_later_command(int argc, const char *argv[],
                                      struct ovs_daemon_call *, void *aux);
void ovs_daemon_register_later(const char *name, const char *usage,
                               int min_args, int max_args,
                               ovs_daemon_later_command *, void *aux);
void ovs_daemon_answer(struct ovs_daemon_call *, bool ok, const char *text);

enum ovs_daemon_level { OVS_DAEMON_ERR, OVS_DAEMON_WARN, OVS_DAEMON_INFO,
                        OVS_DAEMON_DBG };
/* Warnings and information are limited for each 'module', a string literal. */
void ovs_daemon_log(enum ovs_daemon_level, const char *module,
                    const char *text);

#ifdef __cplusplus
}
#endif
#endif
