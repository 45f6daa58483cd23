/* SPDX-License-Identifier: Apache-2.0
 *
 * See store.h.  A C file because OVS's headers are not C++.  The build brings
 * OVS's own config.h. */
#include "nva/store.h"

#include <errno.h>
#include <string.h>

#include "nva/nvo3-idl.h"
#include "openvswitch/poll-loop.h"
#include "ovsdb-idl.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"

/* A connection is probed when nothing has come for so long, and is lost when
 * nothing has come for as long again. */
#define PROBE_MS 2000

/* Between two tries of a transaction, if nothing has changed meanwhile. */
#define AGAIN_MS 100

static struct ovsdb_idl *idl;
static unsigned int seen_seqno;
static bool loaded;             /* since the connection was made */
static unsigned int lost_seqno; /* as long as there was none */
static struct ovsdb_idl_index *vn_by_vni, *nve_by_name, *nva_by_instance,
    *member_index, *mapping_index;

/* The transaction, from store_begin() to its outcome. */
static struct ovsdb_idl_txn *txn;
static enum ovsdb_idl_txn_status status;
static unsigned int txn_seqno;  /* of the contents that it was made from */
static bool held_back;          /* the last one must be tried again ... */
static long long int again_at;  /* ... not before this, or a change */

void
store_open(const char *remotes)
{
    idl = ovsdb_idl_create(remotes, &nvo3rec_idl_class, true, true);
    ovsdb_idl_set_leader_only(idl, false);
    ovsdb_idl_set_probe_interval(idl, PROBE_MS);
    ovsdb_idl_track_add_all(idl);
    vn_by_vni = ovsdb_idl_index_create1(idl, &nvo3rec_vn_col_vni);
    nve_by_name = ovsdb_idl_index_create1(idl, &nvo3rec_nve_col_name);
    nva_by_instance = ovsdb_idl_index_create1(idl, &nvo3rec_nva_col_instance);
    member_index = ovsdb_idl_index_create2(idl, &nvo3rec_membership_col_vn,
                                           &nvo3rec_membership_col_nve);
    mapping_index = ovsdb_idl_index_create2(idl, &nvo3rec_mapping_col_vn,
                                            &nvo3rec_mapping_col_mac);
    seen_seqno = ovsdb_idl_get_seqno(idl);
}

void
store_close(void)
{
    if (txn) {
        ovsdb_idl_txn_abort(txn);
        ovsdb_idl_txn_destroy(txn);
        txn = NULL;
    }
    ovsdb_idl_destroy(idl);
    idl = NULL;
}

bool
store_run(void)
{
    ovsdb_idl_run(idl);
    /* A connection is not enough: it may be to a server that has lost its
     * cluster, or has not sent the contents yet.  These always change the
     * number, be they the same as before. */
    if (!ovsdb_idl_is_connected(idl)) {
        loaded = false;
        lost_seqno = ovsdb_idl_get_seqno(idl);
    } else if (ovsdb_idl_get_seqno(idl) != lost_seqno) {
        loaded = true;
    }
    if (txn && status == TXN_INCOMPLETE) {
        status = ovsdb_idl_txn_commit(txn);
    }
    /* Without its one row the database is being made or replaced: what was
     * known stays until it tells otherwise, and is told anew then. */
    if (!nvo3rec_nvo3_global_first(idl)) {
        ovsdb_idl_track_clear(idl);
        return false;
    }
    if (ovsdb_idl_get_seqno(idl) == seen_seqno) {
        return false;
    }
    seen_seqno = ovsdb_idl_get_seqno(idl);
    return true;
}

void
store_wait(void)
{
    ovsdb_idl_wait(idl);
    if (txn) {
        ovsdb_idl_txn_wait(txn);
    }
    if (held_back) {
        poll_timer_wait_until(again_at);
    }
}

enum store_state
store_state(void)
{
    return !loaded ? STORE_AWAY
           : nvo3rec_nvo3_global_first(idl) ? STORE_FRESH : STORE_EMPTY;
}

/* ---- Reading ---- */

/* False if the row is of no use: it names one that is not there. */
static bool
visit_nve(const struct store_visitor *visitor, const struct nvo3rec_nve *row)
{
    visitor->nve(visitor->aux, &row->header_.uuid, row->name, row->addresses,
                 row->n_addresses, row->revoked,
                 row->session ? row->session : "");
    return true;
}

static bool
visit_nva(const struct store_visitor *visitor, const struct nvo3rec_nva *row)
{
    visitor->nva(visitor->aux, &row->header_.uuid, row->instance, row->beat);
    return true;
}

static bool
visit_vn(const struct store_visitor *visitor, const struct nvo3rec_vn *row)
{
    visitor->vn(visitor->aux, &row->header_.uuid, row->name, row->vni,
                row->encap, row->cipher);
    return true;
}

static bool
visit_policy(const struct store_visitor *visitor,
             const struct nvo3rec_policy *row)
{
    visitor->policy(visitor->aux, &row->header_.uuid, row->text, row->version);
    return true;
}

static bool
visit_membership(const struct store_visitor *visitor,
                 const struct nvo3rec_membership *row)
{
    if (!row->vn || !row->nve) {
        return false;
    }
    visitor->member(visitor->aux, &row->header_.uuid, row->vn->vni,
                    row->nve->name);
    return true;
}

static bool
visit_mapping(const struct store_visitor *visitor,
              const struct nvo3rec_mapping *row)
{
    if (!row->vn || !row->nve) {
        return false;
    }
    visitor->mapping(visitor->aux, &row->header_.uuid, row->vn->vni, row->mac,
                     row->addresses, row->n_addresses, row->nve->name);
    return true;
}

static bool
visit_group(const struct store_visitor *visitor,
            const struct nvo3rec_group *row)
{
    if (!row->vn) {
        return false;
    }
    visitor->group(visitor->aux, &row->header_.uuid, row->vn->vni,
                   row->address, row->epoch, row->nonce, row->started,
                   row->told, row->n_told);
    return true;
}

static bool
visit_group_sender(const struct store_visitor *visitor,
                   const struct nvo3rec_group_sender *row)
{
    if (!row->group || !row->group->vn || !row->nve) {
        return false;
    }
    visitor->sender(visitor->aux, &row->header_.uuid, row->group->vn->vni,
                    row->group->address, row->nve->name, row->epoch,
                    row->sender_id, row->spi);
    return true;
}

/* The changed rows of a table, or all. */
#define VISIT(TABLE, NAME)                                              \
    do {                                                                \
        const struct nvo3rec_##NAME *row;                               \
        if (all) {                                                      \
            NVO3REC_##TABLE##_FOR_EACH (row, idl) {                     \
                visit_##NAME(visitor, row);                             \
            }                                                           \
            break;                                                      \
        }                                                               \
        NVO3REC_##TABLE##_FOR_EACH_TRACKED (row, idl) {                 \
            if (nvo3rec_##NAME##_is_deleted(row)                        \
                || !visit_##NAME(visitor, row)) {                       \
                visitor->gone(visitor->aux, &row->header_.uuid);        \
            }                                                           \
        }                                                               \
    } while (0)

void
store_visit(const struct store_visitor *visitor)
{
    BUILD_ASSERT_DECL(sizeof(struct uuid) == 16);
    const struct nvo3rec_nvo3_global *global = nvo3rec_nvo3_global_first(idl);
    /* When the client has to fetch everything anew it does not say which of the
     * former rows are gone; but then this row, which is always there, is new. */
    bool all = nvo3rec_nvo3_global_is_new(global);
    if (all) {
        visitor->all(visitor->aux);
    }
    const struct smap_node *node;
    SMAP_FOR_EACH (node, &global->other_config) {
        visitor->setting(visitor->aux, node->key, node->value);
    }
    VISIT(NVE, nve);
    VISIT(NVA, nva);
    VISIT(VN, vn);
    VISIT(POLICY, policy);
    VISIT(MEMBERSHIP, membership);
    VISIT(MAPPING, mapping);
    VISIT(GROUP, group);
    VISIT(GROUP_SENDER, group_sender);
    ovsdb_idl_track_clear(idl);
}

/* ---- Finding ---- */

static const struct nvo3rec_vn *
find_vn(uint32_t vni)
{
    struct nvo3rec_vn *key = nvo3rec_vn_index_init_row(vn_by_vni);
    nvo3rec_vn_index_set_vni(key, vni);
    const struct nvo3rec_vn *vn = nvo3rec_vn_index_find(vn_by_vni, key);
    nvo3rec_vn_index_destroy_row(key);
    return vn;
}

static const struct nvo3rec_nve *
find_nve(const char *name)
{
    struct nvo3rec_nve *key = nvo3rec_nve_index_init_row(nve_by_name);
    nvo3rec_nve_index_set_name(key, name);
    const struct nvo3rec_nve *nve = nvo3rec_nve_index_find(nve_by_name, key);
    nvo3rec_nve_index_destroy_row(key);
    return nve;
}

static const struct nvo3rec_nva *
find_nva(const char *instance)
{
    struct nvo3rec_nva *key = nvo3rec_nva_index_init_row(nva_by_instance);
    nvo3rec_nva_index_set_instance(key, instance);
    const struct nvo3rec_nva *nva
        = nvo3rec_nva_index_find(nva_by_instance, key);
    nvo3rec_nva_index_destroy_row(key);
    return nva;
}

static const struct nvo3rec_mapping *
find_mapping(const struct nvo3rec_vn *vn, const char *mac)
{
    struct nvo3rec_mapping *key = nvo3rec_mapping_index_init_row(mapping_index);
    nvo3rec_mapping_index_set_vn(key, vn);
    nvo3rec_mapping_index_set_mac(key, mac);
    const struct nvo3rec_mapping *mapping
        = nvo3rec_mapping_index_find(mapping_index, key);
    nvo3rec_mapping_index_destroy_row(key);
    return mapping;
}

static const struct nvo3rec_group *
find_group(uint32_t vni, const char *address)
{
    const struct nvo3rec_group *group;
    NVO3REC_GROUP_FOR_EACH (group, idl) {
        if (group->vn && group->vn->vni == vni
            && !strcmp(group->address, address)) {
            return group;
        }
    }
    return NULL;
}

/* 0 if the NVE serves the network; the transaction then fails should that
 * change meanwhile. */
static int
verify_member(const struct nvo3rec_vn *vn, const struct nvo3rec_nve *nve)
{
    struct nvo3rec_membership *key
        = nvo3rec_membership_index_init_row(member_index);
    nvo3rec_membership_index_set_vn(key, vn);
    nvo3rec_membership_index_set_nve(key, nve);
    const struct nvo3rec_membership *member
        = nvo3rec_membership_index_find(member_index, key);
    nvo3rec_membership_index_destroy_row(key);
    if (!member || nve->revoked) {
        return EPERM;
    }
    nvo3rec_membership_verify_vn(member);
    nvo3rec_nve_verify_revoked(nve);
    return 0;
}

/* ---- Writing ---- */

bool
store_begin(void)
{
    if (txn || !ovsdb_idl_is_connected(idl)
        || (held_back && txn_seqno == ovsdb_idl_get_seqno(idl)
            && time_msec() < again_at)) {
        return false;
    }
    held_back = false;
    txn_seqno = ovsdb_idl_get_seqno(idl);
    txn = ovsdb_idl_txn_create(idl);
    status = TXN_UNCOMMITTED;
    return true;
}

int
store_put_mapping(uint32_t vni, const char *nve_name, const char *mac,
                  const char *const *addresses, size_t n_addresses,
                  const char *from, const char *from_session,
                  const char **holder)
{
    const struct nvo3rec_vn *vn = find_vn(vni);
    const struct nvo3rec_nve *nve = find_nve(nve_name);
    if (!vn || !nve) {
        return ENOENT;
    }
    const struct nvo3rec_mapping *mapping = find_mapping(vn, mac);
    const struct nvo3rec_nve *other
        = mapping && mapping->nve != nve ? mapping->nve : NULL;
    if (mapping && mapping->nve != nve
        && !(other && from && !strcmp(other->name, from)
             && !strcmp(other->session ? other->session : "",
                        from_session))) {
        *holder = other ? other->name : "";
        return EEXIST;
    }
    int error = verify_member(vn, nve);
    if (error) {
        return error;
    }
    if (mapping) {
        nvo3rec_mapping_verify_nve(mapping);
        if (other) {
            nvo3rec_nve_verify_session(other);  /* it has not come back */
        }
    } else {
        mapping = nvo3rec_mapping_insert(txn);
        nvo3rec_mapping_set_vn(mapping, vn);
        nvo3rec_mapping_set_mac(mapping, mac);
    }
    nvo3rec_mapping_set_nve(mapping, nve);
    nvo3rec_mapping_set_addresses(mapping, (const char **) addresses,
                                  n_addresses);
    return 0;
}

int
store_drop_mapping(uint32_t vni, const char *nve, const char *mac)
{
    const struct nvo3rec_vn *vn = find_vn(vni);
    const struct nvo3rec_mapping *mapping = vn ? find_mapping(vn, mac) : NULL;
    if (!mapping || !mapping->nve || strcmp(mapping->nve->name, nve)) {
        return ENOENT;
    }
    nvo3rec_mapping_verify_nve(mapping);
    nvo3rec_mapping_delete(mapping);
    return 0;
}

int
store_put_session(const char *nve_name, const char *instance)
{
    const struct nvo3rec_nve *nve = find_nve(nve_name);
    if (!nve) {
        return ENOENT;
    }
    nvo3rec_nve_set_session(nve, instance);
    return 0;
}

int
store_end_session(const char *nve_name, const char *instance)
{
    const struct nvo3rec_nve *nve = find_nve(nve_name);
    if (!nve || !nve->session || strcmp(nve->session, instance)) {
        return ENOENT;
    }
    nvo3rec_nve_verify_session(nve);
    nvo3rec_nve_set_session(nve, NULL);
    return 0;
}

int
store_beat(const char *instance)
{
    const struct nvo3rec_nva *nva = find_nva(instance);
    if (!nva) {
        nva = nvo3rec_nva_insert(txn);
        nvo3rec_nva_set_instance(nva, instance);
    }
    nvo3rec_nva_set_beat(nva, nva->beat + 1);
    return 0;
}

int
store_drop_nva(const char *instance)
{
    const struct nvo3rec_nva *nva = find_nva(instance);
    if (!nva) {
        return ENOENT;
    }
    nvo3rec_nva_verify_beat(nva);
    nvo3rec_nva_delete(nva);
    return 0;
}

/* ESTALE unless it is there, in that epoch, which the server verifies. */
static int
verify_epoch(const struct nvo3rec_group *group, uint32_t epoch)
{
    if (!group) {
        return ENOENT;
    }
    if (group->epoch != epoch) {
        return ESTALE;
    }
    nvo3rec_group_verify_epoch(group);
    return 0;
}

int
store_start_epoch(uint32_t vni, const char *address, uint32_t epoch_now,
                  int64_t epoch, const char *nonce, int64_t started,
                  const char *const *told, size_t n_told)
{
    const struct nvo3rec_group *group = find_group(vni, address);
    int error = verify_epoch(group, epoch_now);
    if (error) {
        return error;
    }
    nvo3rec_group_set_epoch(group, epoch);
    nvo3rec_group_set_nonce(group, nonce);
    nvo3rec_group_set_started(group, started);
    nvo3rec_group_set_told(group, (const char **) told, n_told);

    const struct nvo3rec_group_sender *sender;
    NVO3REC_GROUP_SENDER_FOR_EACH_SAFE (sender, idl) {
        if (sender->group == group) {
            nvo3rec_group_sender_delete(sender);
        }
    }
    return 0;
}

int
store_add_told(uint32_t vni, const char *address, uint32_t epoch,
               const char *const *nves, size_t n_nves)
{
    const struct nvo3rec_group *group = find_group(vni, address);
    int error = verify_epoch(group, epoch);
    for (size_t i = 0; !error && i < n_nves; i++) {
        const struct nvo3rec_nve *nve = find_nve(nves[i]);
        if (nve && !verify_member(group->vn, nve)) {
            nvo3rec_group_update_told_addvalue(group, nves[i]);
        }
    }
    return error;
}

int
store_put_sender(uint32_t vni, const char *address, uint32_t epoch,
                 const char *nve_name, const char *sender_id, uint32_t spi)
{
    const struct nvo3rec_group *group = find_group(vni, address);
    const struct nvo3rec_nve *nve = find_nve(nve_name);
    int error = verify_epoch(group, epoch);
    if (!error) {
        error = nve ? verify_member(group->vn, nve) : ENOENT;
    }
    if (error) {
        return error;
    }
    const struct nvo3rec_group_sender *sender;
    NVO3REC_GROUP_SENDER_FOR_EACH (sender, idl) {
        if (sender->group == group && sender->nve == nve) {
            break;
        }
    }
    if (!sender) {
        sender = nvo3rec_group_sender_insert(txn);
        nvo3rec_group_sender_set_group(sender, group);
        nvo3rec_group_sender_set_nve(sender, nve);
    }
    nvo3rec_group_sender_set_epoch(sender, epoch);
    nvo3rec_group_sender_set_sender_id(sender, sender_id);
    nvo3rec_group_sender_set_spi(sender, spi);
    return 0;
}

void
store_commit(void)
{
    status = ovsdb_idl_txn_commit(txn);
}

enum store_outcome
store_take_outcome(char **error)
{
    if (!txn) {
        return STORE_NONE;
    }
    if (status == TXN_INCOMPLETE) {
        return STORE_RUNNING;
    }
    enum store_outcome outcome = STORE_FAILED;
    if (status == TXN_SUCCESS || status == TXN_UNCHANGED) {
        outcome = STORE_DONE;
    } else if (status != TXN_ERROR) {
        outcome = STORE_AGAIN;
        held_back = true;
        again_at = time_msec() + AGAIN_MS;
    } else {
        *error = xstrdup(ovsdb_idl_txn_get_error(txn));
    }
    ovsdb_idl_txn_destroy(txn);
    txn = NULL;
    return outcome;
}
