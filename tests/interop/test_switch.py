# SPDX-License-Identifier: Apache-2.0
"""Linux's ESP in UDP, Geneve and VXLAN, in a guest, against the product's ovs-vswitchd, whose SAs the test installs in the agent's place."""

import dataclasses
import itertools
import types

import pytest

import sa_socket
import wire
from esp_tool import Sa
from guest import Guest
from lab import net, run, wait_until
from linux_peer import GUEST_MAC, VM_IP, VM_MAC, LinuxPeer
from packets import inner_ping, scapy_seal

VNI = 5001
# The guest is host 9 of the lab's underlay.
GUEST = types.SimpleNamespace(name="guest", number=9, ipv4="172.31.0.9", ipv6="fd31::9")
PORT = "tun9"
SPIS = itertools.count(0x7000)


@pytest.fixture(scope="module")
def site(guest_images, module_labs, tmp_path_factory):
    """A lab of one host with one VM, and the guest on the same underlay."""
    lab = module_labs(hosts=1, vms=1)
    lab.hosts["hv1"].stop("hvagent")
    ns = lab.underlay_ns
    run(net.inside(ns) + ["ip", "tuntap", "add", "dev", "guest0", "mode", "tap"])
    net.ip(ns, "link set guest0 master underlay", "link set guest0 up")
    with Guest(ns, "guest0", GUEST_MAC, tmp_path_factory.mktemp("guest") / "console.log") as guest:
        yield types.SimpleNamespace(lab=lab, host=lab.hosts["hv1"], vm=lab.vms["vm1"],
                                    peer=LinuxPeer(guest, (f"{GUEST.ipv4}/24", f"{GUEST.ipv6}/64")))


class Tunnel:
    """A tunnel port of the switch and its counterpart in the guest, with fresh keys. A context manager."""

    def __init__(self, site, *, ipv6=False, encap="geneve", first_sent_by_guest=1, **options):
        self.site, host, peer = site, site.host, site.peer
        ours, theirs = (host.ipv6, GUEST.ipv6) if ipv6 else (host.ipv4, GUEST.ipv4)
        self.to_guest = Sa.make(next(SPIS), ours, theirs, encap=encap, vni=VNI, **options)
        self.from_guest = dataclasses.replace(Sa.make(next(SPIS), theirs, ours, encap=encap, vni=VNI, **options), sequence=first_sent_by_guest)
        self.errors_before = peer.errors()
        # The guest first: it has nothing to say yet, whereas the VM may be asking for its neighbour at any time.
        peer.configure(sa_in=self.to_guest, sa_out=self.from_guest)
        host.add_tunnel(GUEST, encap, key=VNI, remote_ip=theirs, cipher=self.to_guest.cipher)
        try:
            self._socket = sa_socket.SaSocket(host)
            for direction, sa in ((sa_socket.INBOUND, self.from_guest), (sa_socket.OUTBOUND, self.to_guest)):
                self._socket.install(direction, sa.spi, theirs, VNI, sa.key, encap=encap, cipher=sa.cipher, esn=sa.esn)
            self._socket.port_up(PORT)
            self.drops_before = host.drops()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if hasattr(self, "_socket"):
            self._socket.close()
        self.site.host.vsctl("del-port", PORT)

    def counts(self):
        """Packets of each direction as the switch has counted them, and as the guest's kernel has."""
        host, peer = self.site.host, self.site.peer
        return ({name: host.counter(f"nvo3_{name}") for name in ("sealed", "opened")},
                {"sealed": peer.packets(self.to_guest), "opened": peer.packets(self.from_guest)})

    def reach(self):
        """Waits for the first answer: the switch has to learn its underlay, and all ends their neighbours."""
        vm, peer = self.site.vm, self.site.peer
        wait_until(lambda: peer.ping(vm.address, count=1, timeout=1), lambda: f"the VMs reach each other: {self.words()}")
        # From here on nobody asks by ARP, or the two ends could be counted at two moments.
        peer.know(vm.address, vm.mac)
        net.ip(vm.ns, f"neigh replace {VM_IP} lladdr {VM_MAC} dev eth0 nud permanent")

    def new_errors(self):
        """Counters of the guest's xfrm_stat that grew since the tunnel was set up."""
        return {name: count - self.errors_before.get(name, 0) for name, count in self.site.peer.errors().items()
                if count != self.errors_before.get(name, 0)}

    def words(self):
        drops = {name: count - self.drops_before[name] for name, count in self.site.host.drops().items() if count != self.drops_before[name]}
        ours, theirs = self.counts()
        return f"switch: {ours}, refused {drops}; guest: {theirs}, refused {self.new_errors()}"

    def ping_both_ways(self, sizes=(56, 1300)):
        """Pings from both VMs; every packet must come, counted alike at both ends, and no end may have refused any."""
        site = self.site
        self.reach()
        before = self.counts()
        for size in sizes:
            assert site.peer.ping(site.vm.address, count=5, size=size) == 5, self.words()
            assert site.vm.all_answered(VM_IP, 5, size=size, interval=0.05), self.words()
        assert self.new_errors() == {}
        assert site.host.drops() == self.drops_before
        ours, theirs = ({name: now[name] - then[name] for name in now} for now, then in zip(self.counts(), before))
        assert ours == theirs
        assert min(ours.values()) >= 20


@pytest.mark.requirement(11)
@pytest.mark.parametrize("esn", [True, False], ids=["esn", "short"])
@pytest.mark.parametrize("encap", ["geneve", "vxlan"])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_underlay_and_tunnel(site, ipv6, encap, esn):
    with Tunnel(site, ipv6=ipv6, encap=encap, esn=esn) as tunnel, site.lab.capture() as capture:
        tunnel.ping_both_ways()
    summary = capture.summary()
    assert summary.other == 0, summary.strangers
    assert summary.esp >= 40


@pytest.mark.requirement(11, 12)
@pytest.mark.parametrize("cipher", ["aes256gcm", "aes128gmac", "aes256gmac", "chacha20poly1305"])
def test_ciphers(site, cipher):
    with Tunnel(site, cipher=cipher) as tunnel:
        tunnel.ping_both_ways()


@pytest.mark.requirement(11)
def test_linux_sends_across_32_bits(site):
    """The switch follows Linux into the next 2^32 numbers (RFC 4303 2.2.1)."""
    with Tunnel(site, first_sent_by_guest=(1 << 32) - 4) as tunnel:
        # A receiver that starts at 0 must first be led to the upper half of the low 32 bits.
        mac = site.host.run("cat", "/sys/class/net/br-phy/address").stdout.strip()
        opened = site.host.counter("nvo3_opened")
        wire.inject(site.lab.underlay_ns, "hv1", [scapy_seal(tunnel.from_guest, inner_ping(source=VM_IP, destination=site.vm.address),
                                                             1 << 31, destination_mac=mac, source_mac=GUEST_MAC)])
        wait_until(lambda: site.host.counter("nvo3_opened") == opened + 1, tunnel.words, timeout=5)
        tunnel.ping_both_ways()


@pytest.mark.requirement(13)
def test_other_key_opens_nothing(site):
    """What makes the tests above fail is seen, and counted at both ends."""
    with Tunnel(site) as tunnel:
        other = Sa.make(next(SPIS), tunnel.from_guest.source, tunnel.from_guest.destination)
        site.peer.configure(sa_in=tunnel.to_guest, sa_out=dataclasses.replace(tunnel.from_guest, key=other.key))
        before = site.host.counter("nvo3_drop_bad_icv")
        assert site.peer.ping(site.vm.address, count=2, timeout=1) == 0
        assert site.host.counter("nvo3_drop_bad_icv") > before
        site.peer.configure(sa_in=dataclasses.replace(tunnel.to_guest, key=other.key), sa_out=tunnel.from_guest)
        assert site.vm.ping(VM_IP, count=2) == 0
        assert tunnel.new_errors().get("XfrmInStateProtoError", 0) > 0, tunnel.words()
