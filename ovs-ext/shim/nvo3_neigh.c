/* SPDX-License-Identifier: Apache-2.0
 *
 * Which bridges may learn a tunnel peer's Ethernet address from tunnel packets.
 * Stock OVS does so from each packet that ends at a tunnel port.  Here such a
 * packet is not authenticated yet: one forged packet would turn the peer's
 * traffic elsewhere.  Bridges of type nvo3 learn by ARP and neighbour discovery
 * only, as OVS did before it had this.
 * Threads: names change in the main thread, handler threads ask. */

#include "ovs-ext/shim/nvo3_internal.h"
#include "ovs-ext/shim/nvo3_shim.h"
#include "ovs-thread.h"
#include "sset.h"

static struct ovs_rwlock rwlock = OVS_RWLOCK_INITIALIZER;
static struct sset protected_bridges OVS_GUARDED_BY(rwlock)
    = SSET_INITIALIZER(&protected_bridges);

void
nvo3_neigh_set_protected(const char *bridge, bool protect)
{
    ovs_rwlock_wrlock(&rwlock);
    if (protect) {
        sset_add(&protected_bridges, bridge);
    } else {
        sset_find_and_delete(&protected_bridges, bridge);
    }
    ovs_rwlock_unlock(&rwlock);
}

bool
nvo3_neigh_may_learn(const char *bridge)
{
    ovs_rwlock_rdlock(&rwlock);
    bool may = !sset_contains(&protected_bridges, bridge);
    ovs_rwlock_unlock(&rwlock);
    return may;
}
