/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands nvo3/show, nvo3/sa-list, nvo3/counters, nvo3/guard and nvo3/metrics of
 * ovs-appctl.  A last argument "json" asks for JSON, but of the last.  No command prints
 * a key: the engine gives the text, and has no function that would.
 * Threads: main thread only. */

#include <stdlib.h>
#include <string.h>

#include "openvswitch/util.h"
#include "ovs-ext/shim/nvo3_guard.h"
#include "ovs-ext/shim/nvo3_internal.h"
#include "unixctl.h"
#include "util.h"

/* Removes the last argument if it is "json". */
static bool
take_json(int *argc, const char *argv[])
{
    if (*argc > 1 && !strcmp(argv[*argc - 1], "json")) {
        --*argc;
        return true;
    }
    return false;
}

static void
reply(struct unixctl_conn *conn, char *text)
{
    unixctl_command_reply(conn, text);
    free(text);
}

static void
nvo3_unixctl_show(struct unixctl_conn *conn, int argc, const char *argv[],
                  void *aux OVS_UNUSED)
{
    bool json = take_json(&argc, argv);
    const char *port = argc > 1 ? argv[1] : NULL;
    char *text = nvo3_show(port, json);

    if (text || !port) {
        reply(conn, text);
    } else {
        char *error = xasprintf("no protected tunnel port %s", port);
        unixctl_command_reply_error(conn, error);
        free(error);
    }
}

static void
nvo3_unixctl_sa_list(struct unixctl_conn *conn, int argc, const char *argv[],
                     void *aux OVS_UNUSED)
{
    bool json = take_json(&argc, argv);

    if (argc > 1) {
        unixctl_command_reply_error(conn, "the only argument is \"json\"");
        return;
    }
    reply(conn, nvo3_sa_list(json));
}

static void
nvo3_unixctl_counters(struct unixctl_conn *conn, int argc, const char *argv[],
                      void *aux OVS_UNUSED)
{
    bool json = take_json(&argc, argv);

    if (argc > 1) {
        unixctl_command_reply_error(conn, "the only argument is \"json\"");
        return;
    }
    reply(conn, nvo3_counters(json));
}

static void
nvo3_unixctl_metrics(struct unixctl_conn *conn, int argc OVS_UNUSED,
                     const char *argv[] OVS_UNUSED, void *aux OVS_UNUSED)
{
    reply(conn, nvo3_metrics());
}

static void
nvo3_unixctl_guard(struct unixctl_conn *conn, int argc, const char *argv[],
                   void *aux OVS_UNUSED)
{
    bool json = take_json(&argc, argv);
    const char *bridge = argc > 1 ? argv[1] : NULL;
    char *text = nvo3_guard_report(bridge, json);

    if (text || !bridge) {
        reply(conn, text);
    } else {
        char *error = xasprintf("no bridge %s with datapath_type=%s", bridge,
                                NVO3_TYPE);
        unixctl_command_reply_error(conn, error);
        free(error);
    }
}

void
nvo3_unixctl_register(void)
{
    unixctl_command_register("nvo3/show", "[port] [json]", 0, 2,
                             nvo3_unixctl_show, NULL);
    unixctl_command_register("nvo3/sa-list", "[json]", 0, 1,
                             nvo3_unixctl_sa_list, NULL);
    unixctl_command_register("nvo3/counters", "[json]", 0, 1,
                             nvo3_unixctl_counters, NULL);
    unixctl_command_register("nvo3/guard", "[bridge] [json]", 0, 2,
                             nvo3_unixctl_guard, NULL);
    unixctl_command_register("nvo3/metrics", "", 0, 0, nvo3_unixctl_metrics,
                             NULL);
}
