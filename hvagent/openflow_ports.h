/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeps ports of a bridge out of what its NORMAL action floods (OFPPC_NO_FLOOD).
 *
 * Only OpenFlow 1.0 has that flag, and a switch with a connection of that version
 * treats packets that match nothing differently: so there is one only for the
 * moment of a change.
 *
 * Place: part of openflow_adapter.c, which alone includes it.  Thread: the OVS
 * thread. */
#ifndef HVAGENT_OPENFLOW_PORTS_H
#define HVAGENT_OPENFLOW_PORTS_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct openflow_ports;

/* 'target' as vconn_open() takes it. */
struct openflow_ports *openflow_ports_create(const char *target,
                                             const char *bridge);
void openflow_ports_destroy(struct openflow_ports *);

/* Wants the flag on 'ports', sorted, and off on those that had it from us. */
void openflow_ports_set(struct openflow_ports *, const uint32_t ports[],
                        size_t n);
/* 'port' has the flag from us, perhaps of a former process. */
void openflow_ports_had(struct openflow_ports *, uint32_t port);
/* Ports of the switch have changed. */
void openflow_ports_refresh(struct openflow_ports *);

void openflow_ports_run(struct openflow_ports *);
void openflow_ports_wait(struct openflow_ports *);
bool openflow_ports_is_settled(const struct openflow_ports *);

#endif
