/* SPDX-License-Identifier: Apache-2.0
 *
 * The C ABI of the engine: all that the OVS shim may call.  Functions marked
 * [main] run in the main thread of ovs-vswitchd, [packet] in any thread that
 * handles packets (no lock, no allocation but make_room), [any] in any thread.
 * Errors are positive errno values; '*errp', where given, is then a sentence to
 * be freed with free(). */
#ifndef NVO3_EXT_H
#define NVO3_EXT_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ovs-ext/api/nvo3_host.h"

#ifdef __cplusplus
extern "C" {
#endif

enum nvo3_encap { NVO3_ENCAP_GENEVE = 1, NVO3_ENCAP_VXLAN = 2 };

/* Outer UDP destination ports of protected tunnels. */
#define NVO3_GENEVE_PORT 4500
#define NVO3_VXLAN_PORT 4501

/* ---- Life ---- */

/* [main] Starts the engine: picks the AEAD library, opens the SA socket.  The
 * switch runs on without the socket (fail closed) if it cannot be opened. */
int nvo3_ext_init(const struct nvo3_host *, char **errp);
void nvo3_ext_run(void);        /* [main] once per main loop iteration */
void nvo3_ext_wait(void);       /* [main] arranges the next wake-up */
void nvo3_ext_exit(void);       /* [main] wipes all keys */

/* ---- Ports ---- */

/* The options of a protected tunnel port as given by the user, NULL where
 * absent.  Not kept. */
struct nvo3_port_options {
    enum nvo3_encap encap;
    const char *remote_ip;      /* address or "flow" */
    const char *local_ip;
    const char *in_key;         /* VNI or "flow", of 'in_key' or 'key' */
    const char *out_key;
    const char *nvo3_vnis;
    const char *nvo3_role;      /* of the peer; NULL: nve */
    const char *security_level;
    const char *cipher;
    const char *replay_window;
    const char *dst_port;
    const char *packet_type;
};

/* [main] Creates or changes port 'name'; idempotent.  On error (EINVAL) the
 * port's former configuration stays and '*errp' names port, option, value. */
int nvo3_port_set(const char *name, const struct nvo3_port_options *,
                  char **errp);
void nvo3_port_remove(const char *name);                /* [main] */

/* [main] MTU of the underlay device that port 'name' leaves by; 0 = unknown. */
void nvo3_port_set_underlay_mtu(const char *name, int mtu);

/* [any, may lock] Stable index (1..65534) of the peer at underlay address
 * 'remote' (IPv4 as v4-mapped); 0 = table full: the caller must drop. */
uint16_t nvo3_peer_index(const struct in6_addr *remote);

/* [main] Key and value pairs for Interface status / counters for statistics.
 * Names are valid for the process. */
void nvo3_port_status(const char *name,
                      void (*cb)(const char *key, const char *value, void *aux),
                      void *aux);
void nvo3_port_statistics(const char *name,
                          void (*cb)(const char *key, uint64_t value,
                                     void *aux),
                          void *aux);

/* ---- Packets ---- */

struct nvo3_frame {
    void *packet;               /* the host's handle */
    uint8_t *data;              /* first octet (outer or inner Ethernet) */
    uint32_t size;              /* octets at 'data' */
    uint32_t headroom;          /* free octets before 'data' */
    uint32_t tailroom;          /* free octets after */
    uint16_t l3_ofs, l4_ofs;    /* open: outer IP and UDP, from 'data' */
    uint16_t entropy;           /* seal: outer UDP source port, host order */
    bool offload;               /* seal: asks for checksum or segmentation */
    bool refused;               /* out: drop it, already counted */
};

/* [packet] Encapsulates and seals 'n' (at most 32) frames for the tunnel whose
 * prebuilt outer header (Ethernet to Geneve or VXLAN) is 'header'; its UDP
 * source port field carries the peer index.  Refused frames are marked. */
void nvo3_seal(enum nvo3_encap, const uint8_t *header, size_t header_size,
               struct nvo3_frame *frames, size_t n);

/* [packet] Opens 'n' frames received for a protected tunnel.  What remains is
 * Ethernet, IP, UDP, Geneve or VXLAN, frame, as the stock pop expects it. */
void nvo3_open(enum nvo3_encap, struct nvo3_frame *frames, size_t n);

/* ---- ovs-appctl ---- */

/* [main] Text or JSON, to be freed with free().  'port' NULL: all.  NULL
 * return: no such port. */
char *nvo3_show(const char *port, bool json);
char *nvo3_sa_list(bool json);
char *nvo3_counters(bool json);
char *nvo3_metrics(void);       /* Prometheus' text format */

#ifdef __cplusplus
}
#endif
#endif
