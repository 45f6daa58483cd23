# SPDX-License-Identifier: Apache-2.0
"""Groups in the switch alone: hv1 sends under an SA of its own to an underlay multicast address, hv2 and hv3 are members.

The test is the agent: SAs come from tests/support/sa_inject, flows say what goes to the group.
"""

import dataclasses
import pathlib

import pytest

import wire
from lab import Capture, pcap, wait_until

ATTACKER, WORDS, VNI, SPI = "attacker", b"to the whole group", 5001, 0x80000001
KEY = bytes(range(20)).hex()
BROADCAST = "ff:ff:ff:ff:ff:ff"


@dataclasses.dataclass(frozen=True)
class Group:
    address: str
    mac: str
    field: str      # of the flow
    other: str      # another group


GROUPS = {
    "ipv4": Group("239.129.1.1", "01:00:5e:01:01:01", "tun_dst", "239.129.1.2"),
    "ipv6": Group("ff05::1:1", "33:33:00:01:00:01", "tun_ipv6_dst", "ff05::1:2"),
}


class Scene:
    """Three hosts without agents, a port of the NVA on each, and an attacker on the underlay."""

    def __init__(self, lab, name):
        self.lab, self.group, self.v6 = lab, GROUPS[name], name == "ipv6"
        self.inject = pathlib.Path(lab.programs.vswitchd).parents[2] / "tests/support/sa_inject"
        self.hosts, self.vms = list(lab.hosts.values()), list(lab.vms.values())
        self.sender, self.members = self.hosts[0], self.hosts[1:]
        lab.add_underlay_port(lab.underlay_ns, ATTACKER, "to-attacker")
        for host in self.hosts:
            host.stop("hvagent")
            host.vsctl("add-port", "br-int", "nva", "--", "set", "Interface", "nva", "type=geneve", "options:remote_ip=flow",
                       "options:key=flow", "options:nvo3_vnis=nva")
            assert host.error("nva") == ""
            host.ofctl("del-flows", "br-int")
            wait_until(lambda host=host: all(route in host.appctl("ovs/route/show") for route in ("224.0.0.0/4", "ff00::/8")),
                       f"the switch of {host.name} knows the route to groups", timeout=10)
        self.sender.ofctl("add-flow", "br-int", f"in_port=vm1,actions=set_field:{VNI}->tun_id,"
                          f"set_field:{self.group.address}->{self.group.field},output:nva")
        self.sa(self.sender, "install", direction="outbound", remote=self.group.address, group=self.group.address, key=KEY)
        for member, vm in zip(self.members, self.vms[1:]):
            member.ofctl("add-flow", "br-int", f"in_port=nva,tun_id={VNI},actions=output:{vm.name}")
            self.join(member)

    def address(self, host):
        return host.ipv6 if self.v6 else host.ipv4

    def sa(self, host, command, **values):
        return host.run(self.inject, host.rundir / "nvo3-sa.sock", command,
                        *(f"{name}={value}" for name, value in {"spi": SPI, "vni": VNI, **values}.items()))

    def join(self, member):
        self.sa(member, "install", direction="inbound", remote=self.address(self.sender), group=self.group.address, key=KEY)

    def leave(self, member):
        self.sa(member, "remove", direction="inbound", remote=self.address(self.sender))

    def send(self, count):
        """The packets on the underlay of so many frames of vm1."""
        with Capture(self.lab.underlay_ns, "underlay", self.lab.directory / "group.pcap") as capture:
            sealed = self.sender.counter("nvo3_sealed")
            wire.inject(self.vms[0].ns, "eth0", [wire.inner_frame(BROADCAST, WORDS)] * count)
            wait_until(lambda: self.sender.counter("nvo3_sealed") == sealed + count, "all frames are sealed", timeout=5)
        assert capture.summary().other == 0, capture.summary().strangers
        return capture.frames()

    def refused(self, frames, reason, who=None):
        """Injects frames: each is refused by each of `who` for one reason, and no VM sees anything."""
        who = who or self.members
        before = {host.name: host.drops()[reason] for host in who}
        with Capture(self.vms[1].ns, "eth0", self.lab.directory / "vm2.pcap") as capture:
            wire.inject(self.lab.underlay_ns, ATTACKER, frames)
            for host in who:
                wait_until(lambda host=host: host.drops()[reason] == before[host.name] + len(frames),
                           lambda host=host: f"{host.name} refuses {len(frames)} packets as {reason}: {host.drops()}", timeout=5)
        assert not capture.frames()


@pytest.fixture(scope="module", params=GROUPS)
def scene(request, module_labs):
    return Scene(module_labs(hosts=3, vms=3, wait=False, tunnel_options=lambda host, peer: None), request.param)


def words_of(frames):
    return [frame for frame in frames if WORDS in frame]


@pytest.mark.requirement(14)
def test_group_reaches_all_members(scene):
    """One packet on the wire for both members, to the group's MAC and IP address; in clear nowhere, nothing comes back."""
    opened = [member.counter("nvo3_opened") for member in scene.members]
    captures = [Capture(vm.ns, "eth0", scene.lab.directory / f"{vm.name}.pcap") for vm in scene.vms[1:]]
    frames = scene.send(10)
    for member, before in zip(scene.members, opened):
        wait_until(lambda member=member, before=before: member.counter("nvo3_opened") == before + 10, "10 packets are opened", timeout=5)
    for capture in captures:
        capture.stop()
        assert len(words_of(capture.frames())) == 10
    packets = [wire.Datagram(frame) for frame in frames if pcap.classify(frame) == "esp"]
    assert len(packets) == 10
    assert {(p.destination_mac, p.destination, p.source, p.dport) for p in packets} \
        == {(scene.group.mac, scene.group.address, scene.address(scene.sender), 4500)}
    assert {p.payload[:4] for p in packets} == {SPI.to_bytes(4, "big")}
    assert not words_of(frames)
    assert scene.sender.counter("nvo3_opened") == 0
    shown = scene.members[0].appctl_json("nvo3/sa-list")
    assert [(sa["group"], sa["packets"] >= 10) for sa in shown] == [(scene.group.address, True)]
    # No neighbour stands behind a group.
    assert scene.group.address not in scene.sender.appctl("tnl/arp/show")


@pytest.mark.requirement(14)
def test_replay_and_forgery(scene):
    """What a member refuses, by counter: a packet again, from another member, to another group, damaged."""
    frame = next(f for f in scene.send(1) if pcap.classify(f) == "esp")
    packet = wire.Datagram(frame)

    def forged(source, destination):
        return wire.ethernet(wire.udp(source, destination, packet.sport, packet.dport, packet.payload), packet.destination_mac)
    scene.refused([frame] * 5, "replayed")
    scene.refused([forged(scene.address(scene.members[1]), packet.destination)], "wrong_address")
    scene.refused([forged(packet.source, scene.group.other)], "wrong_address")
    number = (int.from_bytes(packet.payload[4:8], "big") + 1).to_bytes(4, "big")
    scene.refused([packet.rebuild(payload=packet.payload[:4] + number + packet.payload[8:])], "bad_icv")


@pytest.mark.requirement(14)
def test_outsider_and_former_member(scene):
    """A host that has left gets the packets, as the underlay floods them, and opens none; the other member does."""
    left, stays = scene.members[1], scene.members[0]
    scene.leave(left)
    opened, unknown, others = left.counter("nvo3_opened"), left.drops()["unknown_spi"], stays.counter("nvo3_opened")
    scene.send(5)
    wait_until(lambda: left.drops()["unknown_spi"] == unknown + 5, "the former member refuses 5 packets", timeout=5)
    wait_until(lambda: stays.counter("nvo3_opened") == others + 5, "the member opens 5 packets", timeout=5)
    assert left.counter("nvo3_opened") == opened
    scene.join(left)    # for the tests that follow


@pytest.mark.requirement(11)
def test_clear_packets_to_the_group(scene):
    """Geneve and VXLAN in clear to a group are refused and counted like any others."""
    inner = wire.inner_frame(BROADCAST, WORDS)
    frames = [wire.ethernet(wire.udp(scene.address(scene.sender), scene.group.address, 50000, wire.CLEAR_PORT[encap],
                                     wire.tunnel_packet(encap, VNI, inner)), scene.group.mac) for encap in ("geneve", "vxlan")]
    scene.refused(frames, "clear_packet", scene.hosts)


def test_other_multicast_reaches_the_host(scene):
    """What is for no tunnel is the host's, as ever."""
    frame = wire.ethernet(wire.udp(scene.address(scene.sender), scene.group.address, 50000, 9999, WORDS), scene.group.mac)
    with Capture(scene.members[0].ns, "br-phy", scene.lab.directory / "host.pcap") as capture:
        wire.inject(scene.lab.underlay_ns, ATTACKER, [frame] * 3)
        wait_until(lambda: len(words_of(capture.frames())) == 3, "3 packets reach the host", timeout=5)


def test_port_takes_its_sas_along(scene):
    """Without a port of the NVA there are no SAs, and what is wrong with one is said. Last: it ends the scene."""
    member = scene.members[0]
    member.vsctl("set", "Interface", "nva", "options:cipher=aes256gcm")
    assert "comes from the NVA" in member.error("nva")
    member.vsctl("del-port", "br-int", "nva")
    assert member.sas() == []
