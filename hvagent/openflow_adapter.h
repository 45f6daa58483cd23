/* SPDX-License-Identifier: Apache-2.0
 *
 * Brings the flows of a bridge to what is wanted, over OpenFlow.
 *
 * All flows of ours bear one cookie, 0x6e766f3300000000; those of others are
 * neither read nor touched.  What the switch has already is left alone, so that
 * its counters go on; changes go in one bundle, all or nothing.  A switch that
 * was restarted, or whose flows somebody removed, gets them again.
 *
 * Place: between OVS's OpenFlow library (C) and pipeline_feed.cc (C++).  Thread:
 * the OVS thread only. */
#ifndef HVAGENT_OPENFLOW_ADAPTER_H
#define HVAGENT_OPENFLOW_ADAPTER_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct openflow_adapter;

/* Connects to 'bridge' of the ovs-vswitchd of this run directory, and again
 * whenever the connection is lost.  Nothing is changed before
 * openflow_adapter_set() or _leave(). */
struct openflow_adapter *openflow_adapter_open(const char *bridge);
void openflow_adapter_close(struct openflow_adapter *);     /* flows stay */
const char *openflow_adapter_bridge(const struct openflow_adapter *);

/* Wants the 'n' flows, texts as ovs-ofctl(8) takes them, sorted by strcmp().
 * With 'keep', none of our flows that are there already is replaced or removed. */
void openflow_adapter_set(struct openflow_adapter *,
                          const char *const flows[], size_t n, bool keep);
/* Wants these OpenFlow ports, sorted, to get nothing of what the bridge's NORMAL
 * action floods. */
void openflow_adapter_set_no_flood(struct openflow_adapter *,
                                   const uint32_t ports[], size_t n);
/* Ends the connections of these conntrack zones, once the switch has the flows
 * that are wanted. */
void openflow_adapter_flush_zones(struct openflow_adapter *,
                                  const uint16_t zones[], size_t n);
/* Wants nothing of ours on the bridge. */
void openflow_adapter_leave(struct openflow_adapter *);

/* Asks how many packets the flows of each of these tables had; the answers come
 * while it runs.  Nothing is asked without a connection, or while answers are due. */
void openflow_adapter_ask_packets(struct openflow_adapter *,
                                  const uint8_t tables[], size_t n);
/* How often all have come. */
unsigned int openflow_adapter_packets_seqno(const struct openflow_adapter *);
/* Calls 'take' with each flow that is wanted, and what the switch told last. */
void openflow_adapter_packets(const struct openflow_adapter *,
                              void (*take)(void *aux, const char *flow,
                                           uint64_t n_packets),
                              void *aux);

void openflow_adapter_run(struct openflow_adapter *);       /* never blocks */
void openflow_adapter_wait(struct openflow_adapter *);

/* The switch has confirmed what is wanted; after _leave() also if there is no
 * such bridge. */
bool openflow_adapter_is_settled(const struct openflow_adapter *);

#ifdef __cplusplus
}
#endif
#endif
