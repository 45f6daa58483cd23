/* SPDX-License-Identifier: Apache-2.0
 *
 * What Open vSwitch lends to the engine: the only way back from the core into
 * OVS.  Filled in by the shim before nvo3_ext_init(), constant afterwards.
 * Every member is required. */
#ifndef NVO3_HOST_H
#define NVO3_HOST_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nvo3_frame;

enum nvo3_log_level { NVO3_LOG_ERR, NVO3_LOG_WARN, NVO3_LOG_INFO, NVO3_LOG_DBG };

struct nvo3_host {
    /* Directory of the SA socket (OVS_RUNDIR).  Valid for the process. */
    const char *rundir;

    /* Runs 'destroy(object)' once no packet thread can still hold 'object'
     * (ovsrcu_postpone there, at once in unit tests).  Any thread. */
    void (*retire)(void (*destroy)(void *), void *object);

    /* One log line, never from a packet thread. */
    void (*log)(enum nvo3_log_level, const char *text);

    /* Monotonic milliseconds; cheap, any thread. */
    long long (*now_ms)(void);

    /* Main loop only: wake it when 'fd' has 'events' (POLLIN, POLLOUT), or at
     * 'when_ms' at the latest. */
    void (*wait_fd)(int fd, short events);
    void (*wait_until)(long long when_ms);

    /* Packet thread: gives 'frame' a buffer with at least so much room before
     * and after its octets, by a copy where the old one is too small.  Updates
     * 'packet', 'data', 'headroom' and 'tailroom'.  False: no memory. */
    bool (*make_room)(struct nvo3_frame *, size_t headroom, size_t tailroom);

    /* Main loop: the status of port 'name' has changed, publish it. */
    void (*status_changed)(const char *name);
};

#ifdef __cplusplus
}
#endif
#endif
