# SPDX-License-Identifier: Apache-2.0
"""Attacker: whoever sits on the underlay. Has captured packets, may alter, repeat and invent; has no key.

Each packet of the attack must be refused under its own counter, and the VM must see nothing of it.
"""

import random

import pytest

import wire
from lab import Capture, net, pcap, wait_until

ATTACKER, WORDS = "attacker", b"from the outsider"
KINDS = {"geneve-ipv4": ("geneve", False), "vxlan-ipv6": ("vxlan", True)}
# Offsets in an ESP packet with an 8-octet IV and 16-octet ICV.
SPI, SEQUENCE, IV, CIPHERTEXT = range(0, 4), range(4, 8), range(8, 16), 16


class Scene:
    """A lab with an attacker on the underlay, who holds packets from hv1 to hv2 that never arrived."""

    def __init__(self, lab):
        self.lab = lab
        self.hv1, self.hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
        self.vm1, self.vm2 = lab.vms["vm1"], lab.vms["vm2"]
        lab.add_underlay_port(lab.underlay_ns, ATTACKER, "to-attacker")
        lab.wait_all_reach()
        self.vm1.know(self.vm2)         # no ARP between what a test does
        self.encap = lab.plan.encap

    def address(self, host):
        return host.ipv6 if self.lab.plan.ipv6 else host.ipv4

    def intercept(self, count):
        """Frames of fresh ESP packets from hv1 to hv2, delivered to nobody."""
        # The link is cut behind the point of capture.
        self.vm1.wait_reach(self.vm2)
        with Capture(self.lab.underlay_ns, "hv1", self.lab.directory / "intercepted.pcap") as capture:
            net.ip(self.lab.underlay_ns, "link set hv2 nomaster")
            try:
                assert self.vm1.ping(self.vm2, count, size=200, interval=0.02) == 0
            finally:
                net.ip(self.lab.underlay_ns, "link set hv2 master underlay")
        found = [f for f in capture.frames() if wire.is_esp(f, self.address(self.hv1), self.address(self.hv2)) and len(f) > 300]
        assert len(found) >= count
        return found[:count]

    def inject(self, frames):
        wire.inject(self.lab.underlay_ns, ATTACKER, frames)

    def refuse(self, frames, reasons):
        """Injects frames; each must be refused for one of `reasons`, none opened, and nothing reach the VM."""
        before, opened = self.hv2.drops(), self.hv2.counter("nvo3_opened")
        with Capture(self.vm2.ns, "eth0", self.lab.directory / "vm2.pcap") as capture:
            self.inject(frames)
            wait_until(lambda: sum(self.hv2.drops().values()) >= sum(before.values()) + len(frames),
                       lambda: f"{len(frames)} packets are refused; counters before {before}, now {self.hv2.drops()}", timeout=5)
        grown = {reason: count - before[reason] for reason, count in self.hv2.drops().items() if count != before[reason]}
        assert set(grown) <= set(reasons) and sum(grown.values()) == len(frames), grown
        assert self.hv2.counter("nvo3_opened") == opened
        assert not capture.frames()
        return grown


@pytest.fixture(scope="module", params=KINDS)
def scene(request, module_labs):
    encap, ipv6 = KINDS[request.param]
    return Scene(module_labs(encap=encap, ipv6=ipv6))


def flip(payload, offset, bit=0):
    return payload[:offset] + bytes([payload[offset] ^ (1 << bit)]) + payload[offset + 1:]


@pytest.mark.requirement(11)
def test_captured_packet_itself_is_good(scene):
    """The tests below alter such a packet: unaltered it must be taken, once. The second time it is a replay."""
    frame = scene.intercept(1)[0]
    opened = scene.hv2.counter("nvo3_opened")
    scene.inject([frame])
    wait_until(lambda: scene.hv2.counter("nvo3_opened") == opened + 1, "the captured packet is opened", timeout=5)
    scene.refuse([frame] * 20, {"replayed"})


@pytest.mark.requirement(11)
def test_old_packet(scene):
    """A captured packet that has meanwhile fallen out of the replay window (1024)."""
    frame = scene.intercept(1)[0]
    assert scene.vm1.ping(scene.vm2, 1200, interval=0.002) >= 1150
    # With extended sequence numbers it looks like one of the next 2^32 (RFC 4303 appendix A), which the ICV refutes.
    scene.refuse([frame], {"old_sequence", "bad_icv"})


@pytest.mark.requirement(11)
def test_flipped_bits(scene):
    """One bit flipped in each octet from the SPI to the ICV, and all eight in those of the headers."""
    frame = scene.intercept(1)[0]
    packet = wire.Datagram(frame)
    size = len(packet.payload)
    flips = [(offset, bit) for offset in range(16) for bit in range(8)]
    flips += [(offset, random.randrange(8)) for offset in range(16, size)]
    groups = {"unknown_spi": [], "non_esp": [], "bad_icv": []}
    for offset, bit in flips:
        altered = flip(packet.payload, offset, bit)
        groups["unknown_spi" if offset in SPI else "bad_icv"].append(packet.rebuild(payload=altered))
    scene.refuse(groups["unknown_spi"], {"unknown_spi"})
    # A changed sequence number may look like one that was seen: that is cheaper to refuse than by the ICV.
    grown = scene.refuse(groups["bad_icv"], {"bad_icv", "replayed", "old_sequence"})
    assert grown["bad_icv"] >= size - 16
    # All that did not use the packet up.
    opened = scene.hv2.counter("nvo3_opened")
    scene.inject([frame])
    wait_until(lambda: scene.hv2.counter("nvo3_opened") == opened + 1, "the unaltered packet is opened", timeout=5)


@pytest.mark.requirement(11)
def test_cut_packets(scene):
    """Cut after every octet, with lengths made right, and with a UDP length that says more or less than there is."""
    packet = wire.Datagram(scene.intercept(1)[0])
    cuts = [packet.rebuild(payload=packet.payload[:n]) for n in range(0, len(packet.payload))]
    grown = scene.refuse(cuts, {"short_packet", "bad_icv", "non_esp"})
    assert grown["short_packet"] >= 16 and grown["bad_icv"] >= 100
    lies = [packet.rebuild(size=n) for n in (0, 7, 8, 12, 8 + len(packet.payload) + 1, 65535)]
    scene.refuse(lies, {"short_packet", "bad_icv"})


@pytest.mark.requirement(11)
def test_foreign_spi(scene):
    packet = wire.Datagram(scene.intercept(1)[0])
    strangers = [random.randrange(256, 1 << 32).to_bytes(4, "big") for _ in range(50)]
    frames = [packet.rebuild(payload=spi + packet.payload[4:]) for spi in strangers if spi != packet.payload[:4]]
    scene.refuse(frames, {"unknown_spi"})


def test_non_esp_marker(scene):
    """Four zero octets are IKE to an IPsec host; here they are refused."""
    packet = wire.Datagram(scene.intercept(1)[0])
    scene.refuse([packet.rebuild(payload=bytes(4) + packet.payload[4:])], {"non_esp"})


@pytest.mark.requirement(11)
def test_spoofed_source(scene):
    """A packet of the SA from any other address than the peer's."""
    packet = wire.Datagram(scene.intercept(1)[0])
    others = ["fd31::63", "fd31::2"] if scene.lab.plan.ipv6 else ["172.31.0.99", "10.50.0.1"]
    scene.refuse([packet.rebuild(source=other) for other in others], {"wrong_address"})


@pytest.mark.requirement(11)
def test_reflected_packet(scene):
    """A packet of hv2's own sent back to it: keys differ by direction."""
    scene.vm1.wait_reach(scene.vm2)
    with scene.lab.capture() as capture:
        assert scene.vm1.all_answered(scene.vm2)
    own = next(wire.Datagram(f) for f in capture.frames() if wire.is_esp(f, scene.address(scene.hv2), scene.address(scene.hv1)))
    own.destination, own.destination_mac, own.source_mac = scene.address(scene.hv2), own.source_mac, own.destination_mac
    scene.refuse([own.rebuild(source=scene.address(scene.hv1))], {"unknown_spi", "wrong_address"})


@pytest.mark.requirement(10, 11)
@pytest.mark.parametrize("encap", ["geneve", "vxlan"])
def test_clear_packet_injected(scene, encap):
    """A clear tunnel packet with the right VNI, peer's address and VM's MAC, to the ports of stock and of protected tunnels."""
    inner = wire.inner_frame(scene.vm2.mac, WORDS)
    clear = wire.tunnel_packet(encap, 5001, inner)

    def frame(port):
        return wire.ethernet(wire.udp(scene.address(scene.hv1), scene.address(scene.hv2), 50000, port, clear), "0a:00:00:00:31:02",
                             "0a:00:00:00:31:01")
    scene.refuse([frame(wire.CLEAR_PORT[encap])] * 5, {"clear_packet"})
    scene.refuse([frame(wire.PROTECTED_PORT[scene.encap])] * 5, {"unknown_spi", "clear_packet"})


@pytest.mark.requirement(7, 11)
def test_flood_is_not_answered(scene):
    """Unknown SPIs by the thousand: dropped, nothing comes back, and the tunnel goes on."""
    packet = wire.Datagram(scene.intercept(1)[0])
    frames = [packet.rebuild(payload=(0x10000 + n).to_bytes(4, "big") + packet.payload[4:]) for n in range(5000)]
    before = scene.hv2.counter("nvo3_drop_unknown_spi")
    # All that hv2 sends, but what it says on the control channel and as a neighbour.
    with Capture(scene.lab.underlay_ns, "hv2", scene.lab.directory / "answers.pcap", expression="ether src 0a:00:00:00:31:02") as capture:
        scene.inject(frames)
        wait_until(lambda: scene.hv2.counter("nvo3_drop_unknown_spi") > before + 1000, "the flood is counted", timeout=10)
    assert not [f for f in capture.frames() if pcap.classify(f) in ("esp", "other")]
    scene.vm1.wait_reach(scene.vm2)


@pytest.mark.requirement(11)
def test_refused_packet_teaches_nothing(scene):
    """A refused packet that comes from a strange Ethernet address must not turn the peer's traffic there."""
    packet = wire.Datagram(scene.intercept(1)[0])
    packet.source_mac = "0a:00:00:00:66:66"
    scene.refuse([packet.rebuild(payload=b"\x11\x11\x11\x11" + packet.payload[4:])] * 3, {"unknown_spi"})
    with scene.lab.capture() as capture:
        assert scene.vm2.all_answered(scene.vm1, 3)
    assert not [f for f in capture.frames() if f[:6] == bytes.fromhex("0a0000006666")]
