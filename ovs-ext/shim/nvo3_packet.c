/* SPDX-License-Identifier: Apache-2.0
 *
 * Packet access: batches of OVS to frames of the engine and back.
 *
 * Fail closed: on a device that an nvo3 datapath owns, a packet leaves these
 * hooks sealed, opened or not at all.
 *
 * Threads: any thread that handles packets; nothing here is shared but two
 * flags. */

#include "coverage.h"
#include "dp-packet.h"
#include "netdev-native-tnl.h"
#include "odp-netlink.h"
#include "ovs-atomic.h"
#include "ovs-ext/shim/nvo3_internal.h"
#include "ovs-rcu.h"
#include "packets.h"

COVERAGE_DEFINE(nvo3_push_refused);
COVERAGE_DEFINE(nvo3_pop_refused);

/* Outer UDP source ports: the dynamic range of RFC 6335, as RFC 8926 section
 * 3.3 has it. */
#define ENTROPY_BASE 49152
#define ENTROPY_MASK 0x3fff

static atomic_bool stopped = false;

static bool
is_stopped(void)
{
    bool value;

    atomic_read_relaxed(&stopped, &value);
    return value;
}

void
nvo3_packet_stop(void)
{
    atomic_store(&stopped, true);
    ovsrcu_synchronize();
}

static const struct udp_header *
tunnel_udp_header(const struct ovs_action_push_tnl *data)
{
    size_t l3_size = netdev_tnl_is_header_ipv6(data->header)
                     ? IPV6_HEADER_LEN : IP_HEADER_LEN;

    return (const struct udp_header *) ((const uint8_t *) data->header
                                        + ETH_HEADER_LEN + l3_size);
}

static void
frame_from_packet(struct nvo3_frame *frame, struct dp_packet *packet)
{
    frame->packet = packet;
    frame->data = dp_packet_data(packet);
    frame->size = dp_packet_size(packet);
    frame->headroom = dp_packet_headroom(packet);
    frame->tailroom = dp_packet_tailroom(packet);
    frame->l3_ofs = packet->l3_ofs;
    frame->l4_ofs = packet->l4_ofs;
    frame->entropy = 0;
    frame->offload = false;
    frame->refused = false;
}

static struct dp_packet *
packet_from_frame(const struct nvo3_frame *frame)
{
    struct dp_packet *packet = frame->packet;

    dp_packet_set_data(packet, frame->data);
    dp_packet_set_size(packet, frame->size);
    packet->packet_type = htonl(PT_ETH);
    dp_packet_reset_offsets(packet);
    return packet;
}

bool
nvo3_push_header_batch(const struct netdev *netdev,
                       struct dp_packet_batch *batch,
                       const struct ovs_action_push_tnl *data)
{
    const struct udp_header *udp = tunnel_udp_header(data);
    enum nvo3_encap encap = nvo3_vport_encap(netdev);
    bool ours = encap && nvo3_dpif_owns(encap);

    if (!ours && !udp->udp_src) {
        return false;           /* A stock tunnel of another datapath. */
    }

    uint16_t port = (encap == NVO3_ENCAP_GENEVE
                     ? NVO3_GENEVE_PORT : NVO3_VXLAN_PORT);
    if (!ours || !udp->udp_src || udp->udp_dst != htons(port)
        || is_stopped()) {
        /* A header that was not made for a protected port. */
        COVERAGE_ADD(nvo3_push_refused, dp_packet_batch_size(batch));
        dp_packet_delete_batch(batch, true);
        return true;
    }

    struct nvo3_frame frames[NETDEV_MAX_BURST];
    size_t n = dp_packet_batch_size(batch);
    struct dp_packet *packet;

    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        frame_from_packet(&frames[i], packet);
        frames[i].entropy = ENTROPY_BASE + (dp_packet_get_rss_hash(packet)
                                            & ENTROPY_MASK);
        frames[i].offload = dp_packet_hwol_is_tso(packet)
                            || dp_packet_hwol_l4_mask(packet);
    }

    nvo3_seal(encap, (const uint8_t *) data->header, data->header_len,
              frames, n);

    uint16_t l4_ofs = (const uint8_t *) udp - (const uint8_t *) data->header;
    dp_packet_batch_refill_init(batch);
    for (size_t i = 0; i < n; i++) {
        if (frames[i].refused) {
            dp_packet_delete(frames[i].packet);
            continue;
        }
        packet = packet_from_frame(&frames[i]);
        packet->l3_ofs = ETH_HEADER_LEN;
        packet->l4_ofs = l4_ofs;
        /* What a device said of the checksums was about the inner headers. */
        *dp_packet_ol_flags_ptr(packet) &= ~(DP_PACKET_OL_RX_IP_CKSUM_MASK
                                             | DP_PACKET_OL_RX_L4_CKSUM_MASK);
        dp_packet_batch_refill(batch, packet, i);
    }
    return true;
}

void
nvo3_pop_header_batch(struct netdev *netdev, struct dp_packet_batch *batch)
{
    enum nvo3_encap encap = nvo3_vport_encap(netdev);

    if (!encap || !nvo3_dpif_owns(encap)) {
        return;
    }
    if (is_stopped()) {
        COVERAGE_ADD(nvo3_pop_refused, dp_packet_batch_size(batch));
        dp_packet_delete_batch(batch, true);
        return;
    }

    struct nvo3_frame frames[NETDEV_MAX_BURST];
    size_t n = dp_packet_batch_size(batch);
    struct dp_packet *packet;

    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        frame_from_packet(&frames[i], packet);
    }

    nvo3_open(encap, frames, n);

    dp_packet_batch_refill_init(batch);
    for (size_t i = 0; i < n; i++) {
        if (frames[i].refused) {
            dp_packet_delete(frames[i].packet);
            continue;
        }
        packet = packet_from_frame(&frames[i]);
        packet->l3_ofs = frames[i].l3_ofs;
        packet->l4_ofs = frames[i].l4_ofs;

        /* The ICV says more than a checksum that pop_header() would take
         * another pass over the payload for.  That of the IP header, which the
         * engine has only adapted, is still worth what it was. */
        *dp_packet_ol_flags_ptr(packet) &= ~DP_PACKET_OL_RX_L4_CKSUM_MASK;
        *dp_packet_ol_flags_ptr(packet) |= DP_PACKET_OL_RX_L4_CKSUM_GOOD;
        dp_packet_batch_refill(batch, packet, i);
    }
}
