/* SPDX-License-Identifier: Apache-2.0
 *
 * The rule guard, part of the C ABI of the engine (nvo3_ext.h): the shim tells
 * what an OpenFlow request would do to a bridge, in the terms below, and is told
 * whether that may be.  Marked as in nvo3_ext.h; doc/guard.md has the rules. */
#ifndef NVO3_GUARD_H
#define NVO3_GUARD_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- What hvagent's flows look like (doc/vn-pipeline.md) ---- */

#define NVO3_GUARD_COOKIE UINT64_C(0x6e766f3300000000)
/* In table 0 each port that takes part in networks has a flow that matches
 * nothing but the port, with this priority: none of a lower one gets its packets. */
#define NVO3_GUARD_PRIORITY 40000
/* The tables behind table 0, with room for more.  In one of them is always the
 * flow that matches everything with priority 0. */
#define NVO3_GUARD_FIRST_TABLE 60
#define NVO3_GUARD_LAST_TABLE 79
#define NVO3_GUARD_WITNESS_TABLE 61

/* ---- A change ---- */

enum nvo3_guard_what {
    NVO3_GUARD_FLOW,            /* flow mod, bundle, "learn" */
    NVO3_GUARD_GROUP,           /* of each bucket */
    NVO3_GUARD_PACKET_OUT,
    NVO3_GUARD_RESUME,          /* of a packet that a controller held */
    NVO3_GUARD_PORT_MOD,
    NVO3_GUARD_TABLE_MOD,
    NVO3_GUARD_CT_FLUSH         /* of any zone */
};

enum nvo3_guard_who {
    NVO3_GUARD_LOCAL,           /* the bridge's management socket */
    NVO3_GUARD_CONTROLLER,      /* any other OpenFlow connection */
    NVO3_GUARD_SWITCH           /* no connection: "learn" */
};

enum nvo3_guard_op {
    NVO3_GUARD_SET_VNI,         /* 'value' and 'mask' of the tunnel ID's 24 bits */
    NVO3_GUARD_SET_VNI_ANY,     /* to what is not known */
    NVO3_GUARD_OUTPUT,          /* 'port' */
    NVO3_GUARD_OUTPUT_ANY,      /* not known, or all */
    NVO3_GUARD_TABLE,           /* goes on in 'table' */
    NVO3_GUARD_SET_IN_PORT,     /* 'port' */
    NVO3_GUARD_SET_IN_PORT_ANY,
    NVO3_GUARD_CT_COMMIT,       /* makes a connection in zone 'value' */
    NVO3_GUARD_CT_COMMIT_ANY,
    NVO3_GUARD_LEARN_OWN,       /* "learn" makes flows with hvagent's cookie */
    NVO3_GUARD_PUSH,            /* up to the next POP on a copy of the packet */
    NVO3_GUARD_POP,
    NVO3_GUARD_OTHER            /* anything else that is not a drop */
};

struct nvo3_guard_step {
    enum nvo3_guard_op op;
    uint32_t port;              /* OpenFlow port */
    bool of_network;            /* ... that takes part in networks */
    uint8_t table;
    uint32_t value, mask;
};

struct nvo3_guard_change {
    enum nvo3_guard_what what;
    enum nvo3_guard_who who;
    const char *connection;     /* "tcp:192.0.2.1:6653"; NULL: of no connection */
    bool pipeline;              /* hvagent's flows are in the bridge */
    bool replaces_own;          /* would replace, modify or delete one of them */
    bool own;                   /* the new flow would have their cookie */
    bool adds;                  /* false: only deletes or modifies */
    uint8_t table;              /* flow; first one of a packet; 255: all */
    int priority;
    bool in_port_known;         /* a flow: matched; port of a port mod */
    uint32_t in_port;
    bool in_port_of_network;
    uint32_t vni, vni_mask;     /* matched, or what a packet has; mask 0: any */
    const struct nvo3_guard_step *steps;
    size_t n_steps;             /* 0: drop */
};

/* ---- Functions ---- */

/* [main] The bridge has come, with 'mode' off, log, enforce or NULL (default).
 * 'pipeline': hvagent's flows belong in it, so that what comes before them is
 * held to the same.
 * On EINVAL '*errp' names bridge, option and value; the guard then enforces. */
int nvo3_guard_set_bridge(const char *bridge, const char *mode, bool pipeline,
                          char **errp);
void nvo3_guard_remove_bridge(const char *bridge);      /* [main] */

/* [main] 'ofp_port' of the bridge is tunnel port 'name', or, if NULL, is gone. */
void nvo3_guard_set_port(const char *bridge, uint32_t ofp_port,
                         const char *name);

/* [any, may lock] Does the guard of the bridge look at anything? */
bool nvo3_guard_is_on(const char *bridge);

/* [any, may lock] May it be?  Counts and tells what may not; with mode log it
 * may all the same.  Without an engine nothing is refused: no tunnel works. */
bool nvo3_guard_permits(const char *bridge, const struct nvo3_guard_change *);

/* [any, may lock] Why a controller's change may not be, to be freed with free();
 * NULL: it may.  Counts nothing: for what is there already. */
char *nvo3_guard_objection(const char *bridge,
                           const struct nvo3_guard_change *);

/* [main] ovs-appctl nvo3/guard: text or JSON, to be freed with free().  NULL: no
 * such bridge; 'bridge' NULL: all. */
char *nvo3_guard_show(const char *bridge, bool json);

#ifdef __cplusplus
}
#endif
#endif
