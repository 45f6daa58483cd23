/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of ovs-ext/shim/nvo3_packet.c and of the host's make_room: what becomes
 * of the packets of a batch, with an engine that does as each test says. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dp-packet.h"
#include "netdev-afxdp.h"
#include "netdev-native-tnl.h"
#include "odp-netlink.h"
#include "ovs-ext/shim/nvo3_internal.h"
#include "packets.h"

/* ---- Doubles ---- */

static enum nvo3_encap device_encap;    /* Of the device under test. */
static bool owned;                      /* By an nvo3 datapath. */
static unsigned int refuse;             /* Bitmap of frames. */
static size_t n_seen;                   /* Frames of the last call. */
static struct nvo3_frame seen[NETDEV_MAX_BURST];

enum nvo3_encap
nvo3_vport_encap(const struct netdev *netdev OVS_UNUSED)
{
    return device_encap;
}

bool
nvo3_dpif_owns(enum nvo3_encap encap OVS_UNUSED)
{
    return owned;
}

static void
engine(struct nvo3_frame *frames, size_t n)
{
    n_seen = n;
    memcpy(seen, frames, n * sizeof *frames);
    for (size_t i = 0; i < n; i++) {
        frames[i].refused = (refuse >> i) & 1;
    }
}

void
nvo3_seal(enum nvo3_encap encap OVS_UNUSED, const uint8_t *header,
          size_t header_size, struct nvo3_frame *frames, size_t n)
{
    engine(frames, n);
    for (size_t i = 0; i < n; i++) {
        if (!frames[i].refused) {
            nvo3_host()->make_room(&frames[i], header_size, 16);
            frames[i].data -= header_size;
            frames[i].size += header_size + 16;
            memcpy(frames[i].data, header, header_size);
        }
    }
}

void
nvo3_open(enum nvo3_encap encap OVS_UNUSED, struct nvo3_frame *frames,
          size_t n)
{
    engine(frames, n);
    for (size_t i = 0; i < n; i++) {
        frames[i].data += 24;
        frames[i].size -= 40;
    }
}

/* ---- Helpers ---- */

static const char *test;
static int failures;

#define CHECK(CONDITION)                                              \
    do {                                                              \
        if (!(CONDITION)) {                                           \
            printf("%s:%d: %s: not so: %s\n", __FILE__, __LINE__,     \
                   test, #CONDITION);                                 \
            failures++;                                               \
        }                                                             \
    } while (0)

static void
start(const char *name, enum nvo3_encap encap, bool owned_)
{
    test = name;
    device_encap = encap;
    owned = owned_;
    refuse = 0;
    n_seen = 0;
}

static void
fill(struct dp_packet_batch *batch, size_t n)
{
    dp_packet_batch_init(batch);
    for (size_t i = 0; i < n; i++) {
        struct dp_packet *packet = dp_packet_new(100);

        memset(dp_packet_put_uninit(packet, 100), (int) i, 100);
        packet->l3_ofs = 14;
        packet->l4_ofs = 34;
        packet->l2_pad_size = 4;
        dp_packet_set_rss_hash(packet, 0xabcd0000 + i);
        dp_packet_batch_add(batch, packet);
    }
}

static void
header(struct ovs_action_push_tnl *data, uint16_t peer_index, uint16_t port)
{
    memset(data, 0, sizeof *data);
    data->header_len = 50;

    struct eth_header *eth = (struct eth_header *) data->header;
    eth->eth_type = htons(ETH_TYPE_IP);
    struct udp_header *udp = (void *) ((uint8_t *) data->header + 34);
    udp->udp_src = htons(peer_index);
    udp->udp_dst = htons(port);
}

static bool
push(struct dp_packet_batch *batch, uint16_t peer_index, uint16_t port)
{
    struct ovs_action_push_tnl data;

    header(&data, peer_index, port);
    return nvo3_push_header_batch(NULL, batch, &data);
}

/* ---- Tests ---- */

/* Whatever happens to a batch on an owned or unowned device. */
static void
test_push_rows(void)
{
    static const struct {
        const char *what;
        enum nvo3_encap encap;
        bool owned;
        uint16_t peer_index, port;
        bool taken;
        size_t sealed, left;
    } rows[] = {
        { "stock tunnel", 0, false, 0, 6081, false, 0, 3 },
        { "stock tunnel beside nvo3", 0, true, 0, 6081, false, 0, 3 },
        { "stock tunnel on 4500", NVO3_ENCAP_GENEVE, false, 0, 4500,
          false, 0, 3 },
        { "protected geneve", NVO3_ENCAP_GENEVE, true, 7, 4500, true, 3, 3 },
        { "protected vxlan", NVO3_ENCAP_VXLAN, true, 7, 4501, true, 3, 3 },
        { "clear header", NVO3_ENCAP_GENEVE, true, 0, 4500, true, 0, 0 },
        { "clear port", NVO3_ENCAP_GENEVE, true, 0, 6081, true, 0, 0 },
        { "index, clear port", NVO3_ENCAP_GENEVE, true, 7, 6081, true, 0, 0 },
        { "vxlan's port", NVO3_ENCAP_GENEVE, true, 7, 4501, true, 0, 0 },
        { "index, device not owned", NVO3_ENCAP_GENEVE, false, 7, 4500,
          true, 0, 0 },
        { "index, other device", 0, true, 7, 4500, true, 0, 0 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct dp_packet_batch batch;

        start(rows[i].what, rows[i].encap, rows[i].owned);
        fill(&batch, 3);
        CHECK(push(&batch, rows[i].peer_index, rows[i].port)
              == rows[i].taken);
        CHECK(n_seen == rows[i].sealed);
        CHECK(dp_packet_batch_size(&batch) == rows[i].left);
        dp_packet_delete_batch(&batch, true);
    }
}

static void
test_push_frames(void)
{
    struct dp_packet_batch batch;

    start("push: frames", NVO3_ENCAP_GENEVE, true);
    fill(&batch, 4);
    *dp_packet_ol_flags_ptr(batch.packets[1]) |= DP_PACKET_OL_TX_TCP_SEG;
    *dp_packet_ol_flags_ptr(batch.packets[2]) |= DP_PACKET_OL_TX_UDP_CKSUM;
    *dp_packet_ol_flags_ptr(batch.packets[3]) |= DP_PACKET_OL_RX_L4_CKSUM_GOOD;
    refuse = 0x6;
    CHECK(push(&batch, 9, NVO3_GENEVE_PORT));

    CHECK(!seen[0].offload && seen[1].offload && seen[2].offload
          && !seen[3].offload);
    CHECK(seen[3].entropy == 49152 + 3);
    CHECK(dp_packet_batch_size(&batch) == 2);

    struct dp_packet *packet = batch.packets[1];
    CHECK(dp_packet_size(packet) == 50 + 100 + 16);
    CHECK(((uint8_t *) dp_packet_data(packet))[50] == 3);
    CHECK(packet->l3_ofs == 14 && packet->l4_ofs == 34);
    CHECK(packet->l2_pad_size == 0);
    CHECK(!dp_packet_l4_checksum_valid(packet));
    dp_packet_delete_batch(&batch, true);
}

static void
test_pop(void)
{
    struct dp_packet_batch batch;

    start("pop: not owned", NVO3_ENCAP_GENEVE, false);
    fill(&batch, 2);
    nvo3_pop_header_batch(NULL, &batch);
    CHECK(n_seen == 0 && dp_packet_batch_size(&batch) == 2);

    start("pop: owned", NVO3_ENCAP_GENEVE, true);
    *dp_packet_ol_flags_ptr(batch.packets[1]) |= DP_PACKET_OL_RX_L4_CKSUM_BAD
                                                 | DP_PACKET_OL_RX_IP_CKSUM_BAD;
    refuse = 0x1;
    nvo3_pop_header_batch(NULL, &batch);
    CHECK(n_seen == 2);
    CHECK(seen[0].l3_ofs == 14 && seen[0].l4_ofs == 34);
    CHECK(dp_packet_batch_size(&batch) == 1);

    struct dp_packet *packet = batch.packets[0];
    CHECK(dp_packet_size(packet) == 60);
    CHECK(*(uint8_t *) dp_packet_data(packet) == 1);
    CHECK(packet->l3_ofs == 14 && packet->l4_ofs == 34);
    CHECK(packet->l2_pad_size == 0);
    CHECK(dp_packet_ip_checksum_bad(packet));
    CHECK(dp_packet_l4_checksum_valid(packet));
    dp_packet_delete_batch(&batch, true);
}

static struct nvo3_frame
frame_of(struct dp_packet *packet)
{
    return (struct nvo3_frame) {
        .packet = packet,
        .data = dp_packet_data(packet),
        .size = dp_packet_size(packet),
        .headroom = dp_packet_headroom(packet),
        .tailroom = dp_packet_tailroom(packet),
    };
}

static void
test_make_room(void)
{
    struct dp_packet *packet = dp_packet_new(10);

    test = "make_room";
    dp_packet_put(packet, "0123456789", 10);
    packet->md.in_port.odp_port = 5;
    dp_packet_set_rss_hash(packet, 77);

    struct nvo3_frame frame = frame_of(packet);
    CHECK(nvo3_make_room(&frame, 100, 30));
    packet = frame.packet;
    CHECK(frame.headroom >= 100 && frame.tailroom >= 30);
    CHECK(dp_packet_headroom(packet) == frame.headroom);
    CHECK(dp_packet_tailroom(packet) == frame.tailroom);
    CHECK(frame.data == dp_packet_data(packet) && frame.size == 10);
    CHECK(!memcmp(frame.data, "0123456789", 10));
    CHECK(packet->md.in_port.odp_port == 5);
    CHECK(dp_packet_rss_valid(packet) && dp_packet_get_rss_hash(packet) == 77);

    test = "make_room: more than a packet can have";
    CHECK(!nvo3_make_room(&frame, 65000, 1000));
    CHECK(frame.packet == packet && !memcmp(frame.data, "0123456789", 10));
    dp_packet_delete(packet);
}

#if HAVE_AF_XDP
/* dp_packet_resize() would abort for such a packet. */
static void
test_make_room_afxdp(void)
{
    struct dp_packet_afxdp xpacket;
    uint8_t umem[256];

    test = "make_room: AF_XDP buffer";
    memset(&xpacket, 0, sizeof xpacket);
    dp_packet_use_afxdp(&xpacket.packet, umem + 16, 200, 16);
    dp_packet_set_size(&xpacket.packet, 200);
    memset(umem + 16, 0x5a, 200);

    struct nvo3_frame frame = frame_of(&xpacket.packet);
    CHECK(nvo3_make_room(&frame, 100, 100));
    CHECK(((struct dp_packet *) frame.packet)->source == DPBUF_MALLOC);
    CHECK(frame.size == 200 && frame.data[0] == 0x5a && frame.data[199] == 0x5a);
    dp_packet_delete(frame.packet);
}
#endif

/* Last: nothing starts the hooks again. */
static void
test_stop(void)
{
    struct dp_packet_batch batch;

    start("stop", NVO3_ENCAP_GENEVE, true);
    nvo3_packet_stop();
    fill(&batch, 2);
    CHECK(push(&batch, 7, NVO3_GENEVE_PORT));
    CHECK(n_seen == 0 && dp_packet_batch_is_empty(&batch));
    fill(&batch, 2);
    nvo3_pop_header_batch(NULL, &batch);
    CHECK(n_seen == 0 && dp_packet_batch_is_empty(&batch));

    start("stop: stock tunnel", 0, false);
    fill(&batch, 2);
    CHECK(!push(&batch, 0, 6081));
    CHECK(dp_packet_batch_size(&batch) == 2);
    dp_packet_delete_batch(&batch, true);
}

int
main(void)
{
    test_push_rows();
    test_push_frames();
    test_pop();
    test_make_room();
#if HAVE_AF_XDP
    test_make_room_afxdp();
#endif
    test_stop();
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
