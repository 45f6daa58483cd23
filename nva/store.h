/* SPDX-License-Identifier: Apache-2.0
 *
 * The store: database NVO3 (nvo3.ovsschema), read as a whole and written in
 * transactions that are taken up and answered while the poll loop turns.
 *
 * Place: nva, C, between OVS's OVSDB client and store_feed.cc (C++); with
 * ovs_daemon.h all of OVS that nvo3-nva sees.  Thread: the OVS thread only. */
#ifndef NVA_STORE_H
#define NVA_STORE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 'remotes': one or more of "unix:FILE", "ssl:HOST:PORT", separated by commas.
 * Connects and reconnects by itself for ever; any member of a cluster will do. */
void store_open(const char *remotes);
void store_close(void);

/* Processes what has arrived; never blocks.  True if the contents may differ
 * from those at the last true, false while the database was never reached. */
bool store_run(void);
void store_wait(void);          /* arranges the next wake-up of poll_block() */

enum store_state {
    STORE_AWAY,                 /* no connection, or what it has is not here yet */
    STORE_EMPTY,                /* without its one row: being made or replaced */
    STORE_FRESH,                /* what is here is what the store has */
};
/* As of the last store_run().  A server that has lost its cluster is as good as
 * none; one that says nothing is lost after four seconds. */
enum store_state store_state(void);

/* Receives rows; 'id' is the UUID of the row, 16 octets; all pointers are valid
 * during the call only. */
struct store_visitor {
    void *aux;
    void (*all)(void *aux);     /* before all rows: those known are not there any more */
    void (*gone)(void *aux, const void *id);
    void (*setting)(void *aux, const char *key, const char *value);
    void (*nve)(void *aux, const void *id, const char *name, char **addresses,
                size_t n_addresses, bool revoked, const char *session);
    void (*nva)(void *aux, const void *id, const char *instance,
                int64_t beat);
    void (*vn)(void *aux, const void *id, const char *name, uint32_t vni, const char *encap,
               const char *cipher);
    void (*policy)(void *aux, const void *id, const char *text,
                   int64_t version);
    void (*member)(void *aux, const void *id, uint32_t vni, const char *nve);
    void (*mapping)(void *aux, const void *id, uint32_t vni, const char *mac, char **addresses,
                    size_t n_addresses, const char *nve);
    void (*group)(void *aux, const void *id, uint32_t vni, const char *address, uint32_t epoch,
                  const char *nonce, int64_t started, char **told,
                  size_t n_told);
    void (*sender)(void *aux, const void *id, uint32_t vni, const char *group, const char *nve,
                   uint32_t epoch, const char *sender_id, uint32_t spi);
};
/* To be called after each store_run() that was true.  All settings; of the other
 * tables what has changed since the last call, or, if that is not known, all. */
void store_visit(const struct store_visitor *);

/* A transaction: store_begin(), any of the changes, each of other rows than the
 * others, store_commit(); then store_outcome() until it is not STORE_RUNNING.
 * Everything that a change depends on is verified by the server, so that of
 * several NVAs that act on the same rows one wins.  store_run() may be called
 * after store_commit() only. */
bool store_begin(void);         /* false: not connected, or too early */

/* Each is 0, or an errno value and has changed nothing: ENOENT (no such network,
 * group or NVE), EPERM (the NVE is not a member, or revoked), EEXIST (the MAC
 * is another NVE's; '*holder' is its name, valid until store_commit()), ESTALE
 * (the group is not in that epoch any more). */
/* 'from': the NVE, if not NULL, that it may be taken from, provided its session
 * is still that one ("": none). */
int store_put_mapping(uint32_t vni, const char *nve, const char *mac,
                      const char *const *addresses, size_t n_addresses,
                      const char *from, const char *from_session,
                      const char **holder);
int store_drop_mapping(uint32_t vni, const char *nve, const char *mac);
/* An NVE has a session with the NVA process 'instance'; or, of store_end_session(),
 * no longer, if the store still says so. */
int store_put_session(const char *nve, const char *instance);
int store_end_session(const char *nve, const char *instance);
/* The NVA process lives; is no more. */
int store_beat(const char *instance);
int store_drop_nva(const char *instance);
int store_start_epoch(uint32_t vni, const char *group, uint32_t epoch_now,
                      int64_t epoch, const char *nonce, int64_t started,
                      const char *const *told, size_t n_told);
/* Of the NVEs those that are members. */
int store_add_told(uint32_t vni, const char *group, uint32_t epoch,
                   const char *const *nves, size_t n_nves);
int store_put_sender(uint32_t vni, const char *group, uint32_t epoch,
                     const char *nve, const char *sender_id, uint32_t spi);

void store_commit(void);

enum store_outcome {
    STORE_NONE,                 /* no transaction is under way */
    STORE_RUNNING,
    STORE_DONE,
    STORE_AGAIN,                /* something else was faster: try once more */
    STORE_FAILED,               /* refused, see '*error': say, an index clash */
};
/* Of the last commit; after any of the last three it is STORE_NONE.  '*error' is
 * malloc'd. */
enum store_outcome store_take_outcome(char **error);

#ifdef __cplusplus
}
#endif
#endif
