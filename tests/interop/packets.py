# SPDX-License-Identifier: Apache-2.0
"""Packets by scapy: the tunnel packets, and ESP by an implementation that is not ours. No state."""

import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.config import conf

conf.ipv6_enabled = False       # no look at this machine's interfaces
from scapy.contrib.geneve import GENEVE  # noqa: E402
from scapy.layers.inet import ICMP, IP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.ipsec import ESP, SecurityAssociation  # noqa: E402
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.layers.vxlan import VXLAN  # noqa: E402
from scapy.packet import Raw  # noqa: E402

from esp_tool import INNER_PORT, OUTER_PORT  # noqa: E402

__all__ = ["ARP", "ESP", "Ether", "GENEVE", "ICMP", "IP", "IPv6", "Raw", "UDP", "VXLAN", "inner_ping", "outer_fields", "scapy_open",
           "scapy_seal", "tunnel_payload"]

SCAPY_NAMES = {"aes128gcm": "AES-GCM", "aes256gcm": "AES-GCM", "chacha20poly1305": "CHACHA20-POLY1305"}


def inner_ping(size=56, source="10.50.0.1", destination="10.50.0.2", number=1):
    """An inner frame: an ICMP echo request with `size` octets of data."""
    return (Ether(src="0a:00:00:00:50:01", dst="0a:00:00:00:50:02") / IP(src=source, dst=destination)
            / ICMP(type=8, id=0x4242, seq=number) / Raw(bytes(i & 255 for i in range(size))))


def _outer(sa):
    return IPv6(src=sa.source, dst=sa.destination, hlim=64) if sa.ipv6 else IP(src=sa.source, dst=sa.destination, flags="DF")


def _tunnel(sa):
    return GENEVE(vni=sa.vni, proto=0x6558) if sa.encap == "geneve" else VXLAN(vni=sa.vni, flags=0x08)


def outer_fields(sa, frame):
    """(IP layer, outer source port, outer destination port, outer UDP checksum, ESP octets) of a sealed frame, lengths checked."""
    ether = Ether(frame)
    ip = ether.payload
    assert isinstance(ip, IPv6 if sa.ipv6 else IP), ether.summary()
    size = 40 if sa.ipv6 else 20
    datagram = bytes(frame)[14 + size:]
    source, destination, length, checksum = struct.unpack("!HHHH", datagram[:8])
    assert length == len(datagram), "UDP length"
    if sa.ipv6:
        assert ip.nh == 17 and ip.plen == len(datagram)
    else:
        assert ip.proto == 17 and ip.len == 20 + len(datagram)
        copy = ip.copy()
        del copy.chksum
        assert IP(bytes(copy)).chksum == ip.chksum, "IP header checksum"
    return ip, source, destination, checksum, datagram[8:]


# ---- Sealing and opening the transport payload (UDP 6081 or 4789 and what follows) ----

def _association(sa, sequence):
    # The number is given here, because encrypt() takes a 0 for "not given".
    return SecurityAssociation(ESP, spi=sa.spi, seq_num=sequence & 0xFFFFFFFF, crypt_algo=SCAPY_NAMES[sa.cipher], crypt_key=sa.key,
                               esn_en=sa.esn, esn=sequence >> 32)


def _gmac(sa, sequence, iv, plain):
    """The ICV by RFC 4543, which scapy lacks: all is additional data, nothing is encrypted."""
    head = struct.pack("!IQ" if sa.esn else "!II", sa.spi, sequence)
    return AESGCM(sa.key[:-4]).encrypt(sa.key[-4:] + iv, b"", head + iv + plain)


def scapy_open(sa, frame, sequence):
    """The transport payload in a sealed frame, and its trailer checked, by scapy; raises if it does not open.

    `sequence` is the whole number that is expected, of which the packet carries the low half.
    """
    ip, _, _, _, esp = outer_fields(sa, frame)
    spi, low = struct.unpack("!II", esp[:8])
    assert (spi, low) == (sa.spi, sequence & 0xFFFFFFFF)
    if sa.cipher in SCAPY_NAMES:
        association = _association(sa, sequence)
        trailer = association.crypt_algo.decrypt(association, ESP(esp), association.crypt_key, 16, esn_en=sa.esn, esn=sequence >> 32)
        # scapy's trailer.padding is not the padding but the end of the payload; its length is right.
        payload, pad, next_header = trailer.data, trailer.padlen, trailer.nh
    else:
        iv, plain, icv = esp[8:16], esp[16:-16], esp[-16:]
        assert icv == _gmac(sa, sequence, iv, plain), "ICV"
        pad, next_header = plain[-2], plain[-1]
        payload = plain[:-2 - pad]
        assert plain[len(payload):-2] == bytes(range(1, pad + 1)), "padding of RFC 4303"
    assert next_header == 17
    assert pad == -(len(payload) + 2) % 4, "more padding than RFC 4303 asks for"
    return bytes(payload)


def scapy_seal(sa, inner, sequence, *, sport=50000, destination_mac="0a:00:00:00:00:02", source_mac="0a:00:00:00:00:01", vni=None):
    """A sealed Ethernet frame around an inner frame, by scapy. `vni` lies about the network."""
    tunnel = _tunnel(sa)
    if vni is not None:
        tunnel.vni = vni
    clear = _outer(sa) / UDP(sport=sport, dport=INNER_PORT[sa.encap], chksum=0) / tunnel / inner
    outer_udp = UDP(sport=sport, dport=OUTER_PORT[sa.encap])
    if sa.cipher in SCAPY_NAMES:
        association = _association(sa, sequence)
        esp = bytes(association.encrypt(clear)[ESP])
    else:
        plain = bytes(clear[UDP])
        pad = -(len(plain) + 2) % 4
        plain += bytes(range(1, pad + 1)) + bytes([pad, 17])
        iv = struct.pack("!Q", sequence)
        esp = struct.pack("!II", sa.spi, sequence & 0xFFFFFFFF) + iv + plain + _gmac(sa, sequence, iv, plain)
    outer_udp.chksum = 0
    return bytes(Ether(src=source_mac, dst=destination_mac) / _outer(sa) / outer_udp / Raw(esp))


def tunnel_payload(sa, transport):
    """The inner frame of a transport payload, after its UDP and tunnel header are looked at."""
    udp = UDP(transport)
    assert udp.dport == INNER_PORT[sa.encap] and udp.len == len(transport)
    layer = GENEVE(transport[8:]) if sa.encap == "geneve" else VXLAN(transport[8:])
    assert layer.vni == sa.vni
    assert sa.encap == "vxlan" or (layer.proto == 0x6558 and layer.optionlen == 0 and layer.version == 0)
    return transport[16:]
