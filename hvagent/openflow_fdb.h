/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes a bridge forget where its NORMAL action has learned MAC addresses to be.
 *
 * A port that joins a virtual network may have been learned before, and NORMAL
 * would go on to send there what other ports address to it.  No OpenFlow message
 * does this: it is the command fdb/flush of ovs-vswitchd.
 *
 * Place: part of openflow_adapter.c, which alone includes it.  Thread: the OVS
 * thread. */
#ifndef HVAGENT_OPENFLOW_FDB_H
#define HVAGENT_OPENFLOW_FDB_H 1

#include <stdbool.h>

struct fdb_flush;

/* Sends the command; NULL, and a log line, if it cannot be. */
struct fdb_flush *fdb_flush_start(const char *bridge);
/* True once it is answered or will never be; never blocks. */
bool fdb_flush_run(struct fdb_flush *);
void fdb_flush_wait(struct fdb_flush *);
void fdb_flush_destroy(struct fdb_flush *);

#endif
