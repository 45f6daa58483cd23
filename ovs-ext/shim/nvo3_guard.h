/* SPDX-License-Identifier: Apache-2.0
 *
 * The rule guard's end in OVS, within the shim: nvo3_guard.c asks the engine
 * (api/nvo3_guard.h), nvo3_guard_steps.c puts actions into its terms. */
#ifndef NVO3_SHIM_GUARD_H
#define NVO3_SHIM_GUARD_H 1

#include <stddef.h>
#include <stdint.h>

#include "openvswitch/ofp-errors.h"
#include "ovs-ext/api/nvo3_guard.h"

struct ofpact;
struct ofproto;
struct ofproto_class;
struct smap;

/* ---- nvo3_guard.c ---- */

/* [main] Puts the guard into a class that derives from ofproto-dpif. */
void nvo3_guard_derive(struct ofproto_class *);

/* [main] A bridge of that class has come or goes. */
void nvo3_guard_add(const struct ofproto *);
void nvo3_guard_remove(const struct ofproto *);

/* [any] Does 'ofp_port' of 'ofproto' take part in networks of hvagent? */
bool nvo3_guard_is_of_network(const struct ofproto *ofproto,
                              uint32_t ofp_port);

/* [main] Text of 'nvo3/guard', to be freed with free(); NULL: no such bridge. */
char *nvo3_guard_report(const char *bridge, bool json);

/* ---- nvo3_guard_steps.c ---- */

struct nvo3_guard_steps {
    struct nvo3_guard_step *steps;
    size_t n, allocated;
};
#define NVO3_GUARD_STEPS_INITIALIZER { NULL, 0, 0 }

/* [any] Adds what actions of a flow in 'table' of 'ofproto' do. */
void nvo3_guard_steps_add(struct nvo3_guard_steps *, const struct ofproto *,
                          uint8_t table, const struct ofpact *,
                          size_t ofpacts_len);
/* [any] The same, on a copy of the packet. */
void nvo3_guard_steps_add_copy(struct nvo3_guard_steps *,
                               const struct ofproto *, uint8_t table,
                               const struct ofpact *, size_t ofpacts_len);
void nvo3_guard_steps_free(struct nvo3_guard_steps *);

#endif
