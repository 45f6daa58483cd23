# SPDX-License-Identifier: Apache-2.0
"""Underlay frames as an attacker sees and makes them. Written from the RFCs, apart from the product's own code.

Bytes in, bytes out; no state. `inject` sends frames from a namespace.
"""

import ipaddress
import struct
import subprocess

from lab import net

ETHERNET = 14
GENEVE_PORT, VXLAN_PORT = 6081, 4789
PROTECTED_PORT = {"geneve": 4500, "vxlan": 4501}
CLEAR_PORT = {"geneve": GENEVE_PORT, "vxlan": VXLAN_PORT}


def checksum(data):
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp(source, destination, sport, dport, payload, *, size=None):
    """A UDP datagram in IP, without UDP checksum; `size` lies about the UDP length."""
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    datagram = struct.pack("!HHHH", sport, dport, 8 + len(payload) if size is None else size, 0) + payload
    if a.version == 4:
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0x4000, 64, 17, 0, a.packed, b.packed)
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + datagram
    return struct.pack("!IHBB16s16s", 0x60000000, len(datagram), 17, 64, a.packed, b.packed) + datagram


def ethernet(packet, destination, source="0a:00:00:00:66:66"):
    """An Ethernet frame around an IP packet."""
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    return bytes.fromhex(destination.replace(":", "") + source.replace(":", "")) + struct.pack("!H", kind) + packet


class Datagram:
    """A UDP datagram taken apart; rebuild() gives a frame of it again, lengths and checksum right."""

    def __init__(self, frame):
        packet = frame[ETHERNET:]
        self.destination_mac, self.source_mac = frame[:6].hex(":"), frame[6:12].hex(":")
        if packet[0] >> 4 == 4:
            size, addresses = (packet[0] & 15) * 4, packet[12:20]
            packet = packet[:int.from_bytes(packet[2:4], "big")]    # without Ethernet padding
        else:
            size, addresses = 40, packet[8:40]
        half = len(addresses) // 2
        self.source, self.destination = (str(ipaddress.ip_address(x)) for x in (addresses[:half], addresses[half:]))
        self.sport, self.dport = struct.unpack("!HH", packet[size:size + 4])
        self.payload = packet[size + 8:]

    def rebuild(self, *, payload=None, source=None, dport=None, sport=None, size=None):
        return ethernet(udp(source or self.source, self.destination, sport or self.sport, dport or self.dport,
                            self.payload if payload is None else payload, size=size), self.destination_mac, self.source_mac)


def is_esp(frame, source=None, destination=None):
    """Whether a frame is an IPv4 or IPv6 ESP-in-UDP packet of ours between the given addresses."""
    from lab import pcap
    if pcap.classify(frame) != "esp":
        return False
    datagram = Datagram(frame)
    return (source in (None, datagram.source)) and (destination in (None, datagram.destination))


def geneve(vni, inner):
    """A Geneve packet without options (RFC 8926 3.4)."""
    return struct.pack("!BBH", 0, 0, 0x6558) + vni.to_bytes(3, "big") + b"\0" + inner


def vxlan(vni, inner):
    """A VXLAN packet (RFC 7348 5)."""
    return struct.pack("!II", 0x08000000, vni << 8) + inner


def tunnel_packet(encap, vni, inner):
    return geneve(vni, inner) if encap == "geneve" else vxlan(vni, inner)


def inner_frame(destination_mac, words):
    """An inner frame that a VM's capture recognises: local experimental Ethernet type, `words`, padding."""
    return bytes.fromhex(destination_mac.replace(":", "")) + bytes.fromhex("0a0000006666") + b"\x88\xb6" + words.ljust(46, b".")


def esp_seal(key_and_salt, spi, sequence, inner):
    """ESP with AES-GCM-16 and ESN (RFC 4303, RFC 4106), next header UDP."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    key, salt = key_and_salt[:-4], key_and_salt[-4:]
    pad = -(len(inner) + 2) % 4
    plain = inner + bytes(range(1, pad + 1)) + bytes([pad, 17])
    iv = struct.pack("!Q", sequence)
    aad = struct.pack("!III", spi, sequence >> 32, sequence & 0xFFFFFFFF)
    return struct.pack("!II", spi, sequence & 0xFFFFFFFF) + iv + AESGCM(key).encrypt(salt + iv, plain, aad)


_INJECT = """
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for number, line in enumerate(sys.stdin):
    s.send(bytes.fromhex(line))
    if number % 16 == 15:
        time.sleep(0.01)
"""


def inject(ns, interface, frames):
    """Sends raw frames out of an interface of a namespace; returns when all are sent.

    Not faster than a socket of the receiver can hold while the machine is busy: what the kernel drops proves nothing.
    """
    subprocess.run(net.inside(ns) + ["/usr/bin/python3", "-c", _INJECT, interface], check=True, text=True,
                   input="".join(frame.hex() + "\n" for frame in frames), timeout=60)
