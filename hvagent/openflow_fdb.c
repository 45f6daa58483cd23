/* SPDX-License-Identifier: Apache-2.0
 *
 * See openflow_fdb.h. */
#include "hvagent/openflow_fdb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "dirs.h"
#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(nvo3_fdb);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

struct fdb_flush {
    char *bridge;
    struct jsonrpc *rpc;
};

static void
complain(const char *bridge, int error)
{
    VLOG_WARN_RL(&rl, "%s: learned MAC addresses could not be flushed (%s): "
                 "until they age, other ports may reach ports of virtual "
                 "networks; 'ovs-appctl fdb/flush %s' does the same",
                 bridge, ovs_retval_to_string(error), bridge);
}

static int
connect_switch(struct jsonrpc **rpc)
{
    char *pidfile = xasprintf("%s/ovs-vswitchd.pid", ovs_rundir());
    pid_t pid = read_pidfile(pidfile);
    free(pidfile);
    if (pid < 0) {
        return -pid;
    }
    char *path = xasprintf("%s/ovs-vswitchd.%ld.ctl", ovs_rundir(),
                           (long int) pid);
    int error = unixctl_client_create(path, rpc);
    free(path);
    return error;
}

struct fdb_flush *
fdb_flush_start(const char *bridge)
{
    struct jsonrpc *rpc;
    int error = connect_switch(&rpc);

    if (!error) {
        struct json *name = json_string_create(bridge);
        error = jsonrpc_send(
            rpc, jsonrpc_create_request("fdb/flush", json_array_create_1(name),
                                        NULL));
        if (error) {
            jsonrpc_close(rpc);
        }
    }
    if (error) {
        complain(bridge, error);
        return NULL;
    }
    struct fdb_flush *flush = xmalloc(sizeof *flush);
    *flush = (struct fdb_flush) { xstrdup(bridge), rpc };
    return flush;
}

bool
fdb_flush_run(struct fdb_flush *flush)
{
    struct jsonrpc_msg *reply;

    jsonrpc_run(flush->rpc);
    int error = jsonrpc_recv(flush->rpc, &reply);
    if (error == EAGAIN) {
        error = jsonrpc_get_status(flush->rpc);
        if (!error) {
            return false;
        }
    }
    if (error) {
        complain(flush->bridge, error);
    } else {
        jsonrpc_msg_destroy(reply);
    }
    return true;
}

void
fdb_flush_wait(struct fdb_flush *flush)
{
    jsonrpc_wait(flush->rpc);
    jsonrpc_recv_wait(flush->rpc);
}

void
fdb_flush_destroy(struct fdb_flush *flush)
{
    if (flush) {
        jsonrpc_close(flush->rpc);
        free(flush->bridge);
        free(flush);
    }
}
