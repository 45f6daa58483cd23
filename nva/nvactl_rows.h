/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands of nvo3-nvactl share: reading arguments, finding rows, and
 * removing what belongs to one.
 *
 * Place: nva, C, used by nvactl_*.c.  Thread: one. */
#ifndef NVA_NVACTL_ROWS_H
#define NVA_NVACTL_ROWS_H 1

#include <stdbool.h>
#include <stddef.h>

struct ctl_context;
struct ds;
struct nvo3rec_group;
struct nvo3rec_membership;
struct nvo3rec_nve;
struct nvo3rec_vn;
struct svec;

/* The characters of a name in a certificate. */
bool good_name(const char *name, size_t max);
/* The address as the NVAs write it, or NULL. */
char *canonical_address(const char *text, bool *multicast, bool *local);
const char *option(struct ctl_context *ctx, const char *name);
bool has_option(struct ctl_context *ctx, const char *name);
const struct nvo3rec_nve *lookup_nve(struct ctl_context *ctx,
                                     const char *name);
/* NULL with an error set if there is none. */
const struct nvo3rec_nve *find_nve(struct ctl_context *ctx, const char *name);
const struct nvo3rec_vn *lookup_vn(struct ctl_context *ctx, const char *name);
const struct nvo3rec_vn *find_vn(struct ctl_context *ctx, const char *name);
/* Sets '*vnp' to the network that the argument of a list command names, or NULL
 * for all.  False, after an error, if there is no such network. */
bool listed_vn(struct ctl_context *ctx, const struct nvo3rec_vn **vnp);
const struct nvo3rec_membership *find_member(struct ctl_context *ctx,
                                             const struct nvo3rec_vn *vn,
                                             const struct nvo3rec_nve *nve);
/* Sorted and separated by spaces: the networks of an NVE ('vn' NULL), or the
 * NVEs of a network. */
char *others_of(struct ctl_context *ctx, const struct nvo3rec_vn *vn,
                const struct nvo3rec_nve *nve);
/* What the nvo3-nva of this machine, if there is one, answers to a command, which
 * may have an 'argument'; NULL, or to be freed.  It may say other things of the
 * store than this program, which reaches it by itself. */
char *ask_own_nva(const char *command, const char *argument);
/* Prints lines in order. */
void print_sorted(struct ctl_context *ctx, struct svec *lines);
/* What belongs to an NVE in a network, or in all ('vn' NULL): mappings,
 * senders, memberships. */
void remove_from(struct ctl_context *ctx, const struct nvo3rec_vn *vn,
                 const struct nvo3rec_nve *nve);
void delete_group(struct ctl_context *ctx, const struct nvo3rec_group *group);

/* In nvactl_policy.c.  A line about the policy; the first line of it that names
 * the network, 0: none. */
void policy_status(struct ctl_context *ctx, struct ds *output);
size_t policy_line(struct ctl_context *ctx, const struct nvo3rec_vn *vn);

#endif
