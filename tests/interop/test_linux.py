# SPDX-License-Identifier: Apache-2.0
"""Linux's ESP in UDP with its Geneve and VXLAN, in a guest, against lib/esp in user space (esp_tool). Both directions in each test."""

import dataclasses

import pytest

from esp_tool import KEY_SIZE, EspTool, Sa
from guest import Guest
from linux_peer import GUEST_MAC, PEER_MAC, VM_IP, VM_MAC, LinuxPeer
from packets import inner_ping, scapy_seal
from responder import Responder

ADDRESSES = {"ipv4": ("192.0.2.1", "192.0.2.2"), "ipv6": ("2001:db8::1", "2001:db8::2")}
SPIS = iter(range(0x5000, 0xFFFF))


@pytest.fixture(scope="module")
def peer(guest_images, tap_namespace, tmp_path_factory):
    with Guest(tap_namespace, "guest0", GUEST_MAC, tmp_path_factory.mktemp("guest") / "console.log") as guest:
        peer = LinuxPeer(guest)
        peer.neighbours(PEER_MAC, *(pair[0] for pair in ADDRESSES.values()))
        yield peer


class Link:
    """A tunnel between the guest and a Responder, with fresh keys. A context manager.

    `to_guest` and `from_guest` change the SAs of the two directions, `received_as` what we take the second for.
    """

    def __init__(self, peer, ns, underlay="ipv4", *, to_guest=None, from_guest=None, received_as=None, **options):
        here, there = ADDRESSES[underlay]
        self.peer = peer
        self.to_guest = dataclasses.replace(Sa.make(next(SPIS), here, there, **options), **(to_guest or {}))
        self.from_guest = dataclasses.replace(Sa.make(next(SPIS), there, here, **options), **(from_guest or {}))
        self.errors_before = peer.errors()
        self.tool = EspTool(outbound=[self.to_guest], inbound=[dataclasses.replace(self.from_guest, **(received_as or {}))])
        self.responder = Responder(ns, "guest0", self.tool, sa_in=self.from_guest, sa_out=self.to_guest)
        try:
            peer.configure(sa_in=self.to_guest, sa_out=self.from_guest)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.responder.close()
        self.tool.close()

    def ping_both_ways(self, sizes=(56, 1300)):
        """Pings from both ends; every packet must come, and no end may have refused any."""
        for size in sizes:
            assert self.peer.ping("10.50.0.1", count=5, size=size) == 5, self.words()
        for number, size in enumerate(sizes, 1):
            assert self.responder.ping(VM_MAC, VM_IP, number=number, size=size) == bytes(i & 255 for i in range(size)), self.words()
        self.responder.check()
        assert self.new_errors() == {}
        # Each packet that one end sealed, the other end opened.
        assert self.peer.packets(self.from_guest) == self.responder.opened >= 6 * len(sizes)
        assert self.peer.packets(self.to_guest) == self.responder.sealed >= 6 * len(sizes)

    def new_errors(self):
        """Counters of the guest's xfrm_stat that grew since the tunnel was set up."""
        return {name: count - self.errors_before.get(name, 0) for name, count in self.peer.errors().items()
                if count != self.errors_before.get(name, 0)}

    def words(self):
        return (f"guest: {self.new_errors()}; here: opened {self.responder.opened}, sealed {self.responder.sealed}, "
                f"refused {self.responder.refused}, strangers {self.responder.strangers}, {self.responder.failure}")


@pytest.mark.parametrize("esn", [True, False], ids=["esn", "short"])
@pytest.mark.parametrize("cipher", KEY_SIZE)
def test_ciphers(peer, tap_namespace, cipher, esn):
    with Link(peer, tap_namespace, cipher=cipher, esn=esn) as link:
        link.ping_both_ways()


@pytest.mark.parametrize("esn", [True, False], ids=["esn", "short"])
@pytest.mark.parametrize("encap", ["geneve", "vxlan"])
@pytest.mark.parametrize("underlay", ADDRESSES)
def test_underlay_and_tunnel(peer, tap_namespace, underlay, encap, esn):
    with Link(peer, tap_namespace, underlay, encap=encap, esn=esn, vni=0xABCDE) as link:
        link.ping_both_ways()


def test_sequence_across_32_bits(peer, tap_namespace):
    """Linux and we carry over to the high half at the same packet, as sender and as receiver (RFC 4303 2.2.1)."""
    start = {"sequence": (1 << 32) - 4}
    with Link(peer, tap_namespace, to_guest=start, from_guest=start) as link:
        # A receiver that starts at 0 must first be led to the upper half of the low 32 bits.
        assert not isinstance(link.tool.open("geneve", scapy_seal(link.from_guest, inner_ping(), 1 << 31)), str)
        link.ping_both_ways()


def test_without_esn_the_last_number_is_the_end(peer, tap_namespace):
    """Nothing is sent after 2^32 - 1: the counter never begins again under the same key."""
    with Link(peer, tap_namespace, esn=False, to_guest={"sequence": (1 << 32) - 2}) as link:
        peer.know("10.50.0.1", "0a:00:00:00:50:01")     # an ARP reply would take a number
        assert [link.responder.ping(VM_MAC, VM_IP, number=n) is not None for n in (1, 2)] == [True, True], link.words()
        link.responder.check()
        link.responder.send(inner_ping())
        assert link.responder.refused == ["sequence_end"]
        assert link.new_errors() == {}


def test_linux_refuses_a_packet_altered_or_repeated(peer, tap_namespace):
    """What makes the tests above fail is seen, and the guest's counters tell which check it was."""
    with Link(peer, tap_namespace) as link:
        sealed = bytearray(link.tool.seal(link.to_guest, bytes(inner_ping())))
        link.responder.inject(bytes(sealed))
        link.responder.inject(bytes(sealed))
        sealed[-1] ^= 1
        sealed[46:50] = (5).to_bytes(4, "big")      # another sequence number, or it would be a replay as well
        link.responder.inject(bytes(sealed))
        assert link.responder.ping(VM_MAC, VM_IP, number=9) is not None, link.words()
        assert link.new_errors() == {"XfrmInStateSeqError": 1, "XfrmInStateProtoError": 1}


def test_we_refuse_linux_with_the_other_kind_of_number(peer, tap_namespace):
    """ESN at one end only: the high half is in the ICV, so nothing opens."""
    with Link(peer, tap_namespace, from_guest={"esn": False}, received_as={"esn": True}) as link:
        assert link.peer.ping("10.50.0.1", count=2, timeout=1) == 0
        assert set(link.responder.refused) == {"bad_icv"}
