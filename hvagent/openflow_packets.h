/* SPDX-License-Identifier: Apache-2.0
 *
 * How many packets flows of ours had: question and answer.
 *
 * Place: part of openflow_adapter.c, which alone includes it.  Thread: the OVS
 * thread. */
#ifndef HVAGENT_OPENFLOW_PACKETS_H
#define HVAGENT_OPENFLOW_PACKETS_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/hmap.h"
#include "openvswitch/types.h"

struct ofp_header;
struct rconn;

#define OF_PACKETS_TABLES 8

struct of_packets {
    ovs_be32 xids[OF_PACKETS_TABLES];   /* What is still to be answered. */
    size_t n;
    unsigned int seqno;                 /* How often all was answered. */
};

/* At most OF_PACKETS_TABLES; nothing while answers are due. */
void of_packets_ask(struct of_packets *, struct rconn *,
                    const uint8_t tables[], size_t n);
/* False if 'oh', flow statistics, answers another question.  Else flows of
 * 'desired' have it in n_packets. */
bool of_packets_reply(struct of_packets *, const struct ofp_header *oh,
                      const struct hmap *desired);
/* 'oh' is an error. */
void of_packets_error(struct of_packets *, const struct ofp_header *oh);

#endif
