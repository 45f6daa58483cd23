/* SPDX-License-Identifier: Apache-2.0
 *
 * What Open vSwitch lends to the engine (ovs-ext/api/nvo3_host.h).
 * Threads: as said there for each member. */

#include <string.h>

#include "dirs.h"
#include "dp-packet.h"
#include "netdev.h"
#include "netdev-provider.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-ext/shim/nvo3_internal.h"
#include "ovs-rcu.h"
#include "timeval.h"

VLOG_DEFINE_THIS_MODULE(nvo3);

/* Main thread. */
static bool started;

void
nvo3_host_started(void)
{
    started = true;
}

static void
host_retire(void (*destroy)(void *), void *object)
{
    ovsrcu_postpone__(destroy, object);
}

static void
host_log(enum nvo3_log_level level, const char *text)
{
    /* Before the daemon has detached, its standard error is that of whoever
     * started it: only errors are for there. */
    if (level == NVO3_LOG_ERR) {
        VLOG_ERR("%s", text);
    } else if (level == NVO3_LOG_WARN) {
        VLOG_WARN("%s", text);
    } else if (level == NVO3_LOG_INFO && started) {
        VLOG_INFO("%s", text);
    } else {
        VLOG_DBG("%s", text);
    }
}

static long long
host_now_ms(void)
{
    return time_msec();
}

static void
host_wait_fd(int fd, short events)
{
    poll_fd_wait(fd, events);
}

static void
host_wait_until(long long when_ms)
{
    poll_timer_wait_until(when_ms);
}

bool
nvo3_make_room(struct nvo3_frame *frame, size_t headroom, size_t tailroom)
{
    struct dp_packet *old = frame->packet;
    size_t size = headroom + frame->size + tailroom;

    /* dp_packet keeps these in 16 bits. */
    if (size > UINT16_MAX) {
        return false;
    }

    /* A copy, not dp_packet_resize(), which aborts for buffers that belong to
     * AF_XDP or DPDK. */
    struct dp_packet *new = dp_packet_new_with_headroom(frame->size + tailroom,
                                                        headroom);
    dp_packet_put(new, frame->data, frame->size);
    memcpy(&new->l2_pad_size, &old->l2_pad_size,
           sizeof *new - offsetof(struct dp_packet, l2_pad_size));
    *dp_packet_ol_flags_ptr(new) = *dp_packet_ol_flags_ptr(old)
                                   & DP_PACKET_OL_SUPPORTED_MASK;
    if (dp_packet_rss_valid(old)) {
        dp_packet_set_rss_hash(new, dp_packet_get_rss_hash(old));
    }
    dp_packet_delete(old);

    frame->packet = new;
    frame->data = dp_packet_data(new);
    frame->headroom = dp_packet_headroom(new);
    frame->tailroom = dp_packet_tailroom(new);
    return true;
}

static void
host_status_changed(const char *name)
{
    struct netdev *netdev = netdev_from_name(name);

    if (netdev) {
        netdev_change_seq_changed(netdev);
        netdev_close(netdev);
    }
}

const struct nvo3_host *
nvo3_host(void)
{
    static struct nvo3_host host = {
        .retire = host_retire,
        .log = host_log,
        .now_ms = host_now_ms,
        .wait_fd = host_wait_fd,
        .wait_until = host_wait_until,
        .make_room = nvo3_make_room,
        .status_changed = host_status_changed,
    };

    host.rundir = ovs_rundir();
    return &host;
}
