/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands that nvo3-nvactl has besides the generic ones.
 *
 * Place: nva, C, between nvactl.c and nvactl_commands.c (the store), nvactl_nves.c,
 * nvactl_networks.c, nvactl_groups.c, nvactl_policy.c and nvactl_graph.c.  Thread: one. */
#ifndef NVA_NVACTL_H
#define NVA_NVACTL_H 1

struct ctl_command_syntax;

/* Each ends with an entry without a name. */
const struct ctl_command_syntax *nvactl_store_commands(void);
const struct ctl_command_syntax *nvactl_nve_commands(void);
const struct ctl_command_syntax *nvactl_network_commands(void);
const struct ctl_command_syntax *nvactl_group_commands(void);
const struct ctl_command_syntax *nvactl_policy_commands(void);
const struct ctl_command_syntax *nvactl_graph_commands(void);
/* Their part of --help. */
extern const char nvactl_usage[];

#endif
