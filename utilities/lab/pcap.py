# SPDX-License-Identifier: Apache-2.0
"""Reads pcap files of Ethernet links and says what each packet on an underlay is.

Anything that is not known to be harmless is `other`: a capture proves something only if the list of the harmless is short.
"""

import collections
import dataclasses
import struct

from .process import LabError

CONTROL_PORTS = (6652, 6654)     # between hosts, with an NVA
STORE_PORTS = (6641, 6644)      # OVSDB between NVAs and servers of the store, RAFT between these
ESP_PORTS = (4500, 4501)
MARKER_ETHERTYPE = 0x88B5   # IEEE 802 local experimental: the end marker of Capture
# Echo and the like are missing on purpose; 130-132 and 143 are multicast listeners, 133-137 neighbour discovery.
HOUSEKEEPING_ICMPV6 = frozenset({130, 131, 132, 133, 134, 135, 136, 137, 143})

KINDS = {
    "esp": "ESP in UDP (4500 Geneve, 4501 VXLAN)",
    "control": "control, TLS on TCP 6652 and 6654",
    "store": "store of the NVA, TLS on TCP 6641 and 6644",
    "neighbour": "ARP, neighbour and multicast discovery",
    "other": "anything else",
}


@dataclasses.dataclass(frozen=True)
class Summary:
    """Packets of each kind, and a line each for the first of kind other."""

    counts: dict
    strangers: list

    def __getattr__(self, kind):
        try:
            return self.counts[kind]
        except KeyError:
            raise AttributeError(kind) from None

    def table(self):
        width = max(len(words) for words in KINDS.values())
        return "\n".join(f"    {KINDS[kind]:<{width}}  {self.counts[kind]:>9}" for kind in KINDS)


def frames(path):
    """The Ethernet frames of a pcap file, as (seconds, bytes); a last record that is cut short is left out."""
    with open(path, "rb") as file:
        head = file.read(24)
        if len(head) < 24:
            return
        order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}.get(head[:4])
        if order is None or struct.unpack(order + "I", head[20:])[0] & 0xFFFF != 1:
            raise LabError(f"{path} is not a pcap file of an Ethernet link")
        record = struct.Struct(order + "IIII")
        while len(head := file.read(record.size)) == record.size:
            seconds, micros, size, _ = record.unpack(head)
            data = file.read(size)
            if len(data) < size:
                return
            yield seconds + micros / 1e6, data


def classify(frame):
    """The kind of a frame (see KINDS), or 'marker'."""
    if len(frame) < 14:
        return "other"
    ethertype = int.from_bytes(frame[12:14], "big")
    if ethertype == MARKER_ETHERTYPE:
        return "marker"
    if ethertype == 0x0806:
        return "neighbour"
    if ethertype == 0x0800:
        protocol, payload = _ipv4(frame[14:])
    elif ethertype == 0x86DD:
        protocol, payload = _ipv6(frame[14:])
    else:
        return "other"
    if protocol == 58 and payload[:1] and payload[0] in HOUSEKEEPING_ICMPV6:
        return "neighbour"
    # "Port unreachable" of a host whose tunnel is gone for a moment shows no more than the ESP packet that it quotes.
    if (protocol, payload[:2]) == (1, b"\x03\x03"):
        protocol, payload = _ipv4(payload[8:])
    elif (protocol, payload[:2]) == (58, b"\x01\x04"):
        protocol, payload = _ipv6(payload[8:])
    if protocol == 2:       # IGMP
        return "neighbour"
    if len(payload) < 12:
        return "other"
    source, destination = struct.unpack("!HH", payload[:4])
    for kind, ports in (("control", CONTROL_PORTS), ("store", STORE_PORTS)):
        if protocol == 6 and (source in ports or destination in ports):
            return kind
    # Four zero octets after the UDP header would be the non-ESP marker (RFC 3948); SPIs below 256 are reserved.
    if protocol == 17 and destination in ESP_PORTS and int.from_bytes(payload[8:12], "big") >= 256:
        return "esp"
    return "other"


def summarize(path):
    """The Summary of a capture."""
    counts = collections.Counter({kind: 0 for kind in KINDS})
    strangers = []
    for _, frame in frames(path):
        kind = classify(frame)
        if kind == "marker":
            continue
        counts[kind] += 1
        if kind == "other" and len(strangers) < 10:
            strangers.append(describe(frame))
    return Summary(dict(counts), strangers)


def describe(frame):
    """One line about a frame, for an error message."""
    ethertype = int.from_bytes(frame[12:14], "big")
    return f"{len(frame)} octets, Ethernet type 0x{ethertype:04x}: {frame[14:62].hex(' ', 4)}"


def _ipv4(packet):
    """(protocol, payload) of an IPv4 packet; a later fragment or a broken one has protocol None."""
    if len(packet) < 20 or packet[0] >> 4 != 4 or int.from_bytes(packet[6:8], "big") & 0x1FFF:
        return None, b""
    return packet[9], packet[(packet[0] & 15) * 4:]


def _ipv6(packet):
    """(protocol, payload) of an IPv6 packet behind a hop-by-hop header at most."""
    if len(packet) < 40 or packet[0] >> 4 != 6:
        return None, b""
    protocol, payload = packet[6], packet[40:]
    if protocol == 0 and len(payload) >= 8:
        protocol, payload = payload[0], payload[8 + payload[1] * 8:]
    return protocol, payload
