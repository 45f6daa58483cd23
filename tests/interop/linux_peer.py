# SPDX-License-Identifier: Apache-2.0
"""The guest as a peer: xfrm states and policies for ESP in UDP, and a Geneve or VXLAN device over them. One thread."""

import re

from esp_tool import INNER_PORT, OUTER_PORT

LINUX_NAMES = {"aes128gcm": "rfc4106(gcm(aes))", "aes256gcm": "rfc4106(gcm(aes))", "aes128gmac": "rfc4543(gcm(aes))",
               "aes256gmac": "rfc4543(gcm(aes))", "chacha20poly1305": "rfc7539esp(chacha20,poly1305)"}
VM_IP, VM_MAC = "10.50.0.2", "0a:00:00:00:50:02"
GUEST_MAC, PEER_MAC = "0a:00:00:00:00:02", "0a:00:00:00:00:01"


class LinuxPeer:
    """Configures a Guest; one tunnel at a time. `addresses` are the guest's on the underlay, with prefix lengths."""

    def __init__(self, guest, addresses=("192.0.2.2/24", "2001:db8::2/64")):
        self._guest = guest
        self._configured = False
        guest.run("echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_ra; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6\n"
                  "espinudp 4500 && espinudp 4501")
        guest.ip("link set eth0 up", *(f"addr add {a} dev eth0{' nodad' if ':' in a else ''}" for a in addresses))

    def neighbours(self, mac, *addresses):
        """Underlay neighbours that answer neither ARP nor neighbour solicitations."""
        self._guest.ip(*(f"neigh replace {a} lladdr {mac} dev eth0 nud permanent" for a in addresses))

    def know(self, ip, mac):
        """A neighbour inside the tunnel that need not be asked for."""
        self._guest.ip(f"neigh replace {ip} lladdr {mac} dev tun0 nud permanent")

    def configure(self, sa_in, sa_out, mtu=1350):
        """Replaces the tunnel: `sa_in` comes to the guest, `sa_out` leaves it, `sequence` first."""
        if self._configured:
            self._guest.ip("link del tun0")
        self._configured = True
        inner, remote, local = INNER_PORT[sa_in.encap], sa_out.destination, sa_out.source
        zero = "udp6zerocsumtx udp6zerocsumrx" if sa_in.ipv6 else ""
        device = (f"geneve id {sa_in.vni} remote {remote} dstport {inner} {zero}" if sa_in.encap == "geneve" else
                  f"vxlan id {sa_in.vni} remote {remote} local {local} dstport {inner} dev eth0 {zero}")
        self._guest.ip("xfrm state flush", "xfrm policy flush",
                       self._state(sa_in), self._state(sa_out),
                       *(f"xfrm policy add dir {way} src {sa.source} dst {sa.destination} proto 17 dport {inner} "
                         f"tmpl src {sa.source} dst {sa.destination} proto esp reqid 1 mode transport"
                         for way, sa in (("in", sa_in), ("out", sa_out))),
                       f"link add tun0 address {VM_MAC} mtu {mtu} type {device}",
                       "link set tun0 up", f"addr add {VM_IP}/24 dev tun0")

    @staticmethod
    def _state(sa):
        port = OUTER_PORT[sa.encap]
        # Numbers before the first: none was sent or, seen from the receiver, all were received.
        low, high = (sa.sequence - 1) & 0xFFFFFFFF, (sa.sequence - 1) >> 32
        counters = f"replay-seq {low:#x} replay-oseq {low:#x}" + (f" replay-seq-hi {high:#x} replay-oseq-hi {high:#x}" if sa.esn else "")
        return (f"xfrm state add src {sa.source} dst {sa.destination} proto esp spi {sa.spi:#x} reqid 1 mode transport "
                f"replay-window {1024 if sa.esn else 32} {counters} {'flag esn' if sa.esn else ''} "
                f"aead '{LINUX_NAMES[sa.cipher]}' 0x{sa.key.hex()} 128 encap espinudp {port} {port} 0.0.0.0")

    def ping(self, ip, count=5, size=56, timeout=3):
        """Pings from the guest's VM; returns how many came back."""
        output = self._guest.run(f"ping -q -c {count} -i 0.05 -W {timeout} -s {size} {ip}", check=False)
        match = re.search(r"(\d+) packets received", output)
        assert match, output
        return int(match.group(1))

    def packets(self, sa):
        """Packets that the guest's kernel has counted for an SA."""
        output = self._guest.run(f"/usr/sbin/ip -s xfrm state get src {sa.source} dst {sa.destination} proto esp spi {sa.spi:#x}")
        return int(re.search(r"lifetime current:\s+\d+\(bytes\), (\d+)\(packets\)", output).group(1))

    def errors(self):
        return self._guest.xfrm_errors()
