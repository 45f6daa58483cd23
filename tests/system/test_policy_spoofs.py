# SPDX-License-Identifier: Apache-2.0
"""Policy between virtual networks: VMs that want more than it gives them, and a host that does not ask it.

tests/support/policy_world.py has the networks.
"""

import ipaddress
import re
import socket
import struct

import pytest

import wire
from lab import Capture, wait_until
from policy_world import POLICY, PORT, VNI, Service, gateway_mac, policy, v6, world  # noqa: F401  (fixtures)

COOKIE = "cookie=0x6e766f3300000000/-1"


# ---- VMs that want more ----

def drops(vm):
    port = vm.host.vsctl("get", "Interface", vm.port, "ofport")
    text = vm.host.ofctl("-OOpenFlow14", "dump-flows", "br-int", f"{COOKIE},table=64,in_port={port}")
    return int(re.search(r"n_packets=(\d+)", text).group(1))


def arp(op, sha, spa, tha, tpa, source, target):
    def mac(text):
        return bytes.fromhex(text.replace(":", ""))
    body = struct.pack("!HHBBH", 1, 0x800, 6, 4, op) + mac(sha) + ipaddress.ip_address(spa).packed + mac(tha) + ipaddress.ip_address(tpa).packed
    return mac(target) + mac(source) + b"\x08\x06" + body


EVERYBODY = "ff:ff:ff:ff:ff:ff"


def spoofs(world):
    """(name, VM that sends, its frame, the VM that must not hear it)."""
    a1, a2, b1, b2 = world.a1, world.a2, world.b1, world.b2
    words = b"a lie"
    return [
        ("the gateway's MAC", a1, wire.ethernet(wire.udp(a1.address, a2.address, 7, 7, words), a2.mac, gateway_mac("a")), a2),
        ("another network's gateway's MAC", b1, wire.ethernet(wire.udp(b1.address, b2.address, 7, 7, words), b2.mac, gateway_mac("a")), b2),
        ("the gateway's address", a1, wire.ethernet(wire.udp("10.50.0.254", a2.address, 7, 7, words), a2.mac, a1.mac), a2),
        ("the gateway's IPv6 address", a1, wire.ethernet(wire.udp("fd50:0::254", v6(a2), 7, 7, words), a2.mac, a1.mac), a2),
        ("ARP for the gateway", a1, arp(2, a1.mac, "10.50.0.254", a2.mac, a2.address, a1.mac, a2.mac) + words, a2),
        ("gratuitous ARP for the gateway", a1, arp(2, a1.mac, "10.50.0.254", EVERYBODY, "10.50.0.254", a1.mac, EVERYBODY) + words, a2),
        ("ARP for a neighbour", a1, arp(2, a1.mac, a2.address, EVERYBODY, a2.address, a1.mac, EVERYBODY) + words, a2),
        ("ARP in the gateway's MAC", a1, arp(2, gateway_mac("a"), a1.address, EVERYBODY, a1.address, a1.mac, EVERYBODY) + words, a2),
        ("a source of another network", b1, wire.ethernet(wire.udp(a1.address, b2.address, 7, 7, words), b2.mac, b1.mac), b2),
        ("a source of another network, to the gateway", b1, wire.ethernet(wire.udp(a1.address, b2.address, 7, 8010, words), gateway_mac("b"), b1.mac), b2),
        ("a source of another network, IPv6", b1, wire.ethernet(wire.udp(v6(a1), v6(b2), 7, 7, words), b2.mac, b1.mac), b2),
    ]


@pytest.mark.requirement(24)
@pytest.mark.parametrize("number", range(11))
def test_spoofed(world, number):
    name, liar, frame, victim = spoofs(world)[number]
    before = drops(liar)
    with Capture(victim.ns, "eth0", world.lab.directory / "lie.pcap") as heard:
        wire.inject(liar.ns, "eth0", [frame] * 3)
        wait_until(lambda: drops(liar) >= before + 3, f"{name} is counted", timeout=10)
    assert not any(b"a lie" in frame for frame in heard.frames()), name


def test_spoofed_by_a_vm_of_any_address(world):
    """Where nvo3-addresses says any, the gateway's and other networks' are still not to be had."""
    a1 = world.a1
    a1.host.vsctl("remove", "Interface", a1.port, "external_ids", "nvo3-addresses")
    try:
        wait_until(lambda: any(f"in_port={a1.host.vsctl('get', 'Interface', a1.port, 'ofport')},dl_src={a1.mac} actions=goto_table:61" in flow
                               for flow in a1.host.appctl_json("vn/flows", target="hvagent")["flows"]), "a1 may use any address", timeout=10)
        wait_until(lambda: a1.host.appctl_json("vn/flows", target="hvagent")["settled"], "the switch knows", timeout=10)
        for number in (0, 2, 3, 4, 5):
            test_spoofed(world, number)
        before = drops(a1)
        wire.inject(a1.ns, "eth0", [wire.ethernet(wire.udp(world.b1.address, world.a2.address, 7, 7, b"a lie"), world.a2.mac, a1.mac)])
        wait_until(lambda: drops(a1) > before, "a source of network b is counted", timeout=10)
    finally:
        a1.host.vsctl("set", "Interface", a1.port, f'external_ids:nvo3-addresses="{a1.address},{v6(a1)}"')
    wait_until(lambda: a1.ping(world.b2), "a1 reaches b2 again", timeout=15)


@pytest.mark.requirement(24)
@pytest.mark.parametrize("port", [wire.GENEVE_PORT, wire.VXLAN_PORT, *wire.PROTECTED_PORT.values()])
def test_tunnel_packets_of_a_vm_stay_what_they_are(world, port):
    """To the underlay there is no way; to a VM of the network they are UDP, and what is inside comes to nobody."""
    inner = wire.inner_frame(world.c2.mac, b"out of a box")
    packet = {wire.GENEVE_PORT: wire.geneve, wire.VXLAN_PORT: wire.vxlan}.get(port, lambda vni, data: struct.pack("!II", 0x1000, 1) + data)(5003, inner)
    frames = [wire.ethernet(wire.udp(world.a1.address, target, 7777, port, packet), mac, world.a1.mac)
              for target, mac in (("172.31.0.2", gateway_mac("a")), ("172.31.0.1", gateway_mac("a")), (world.a2.address, world.a2.mac))]
    before = world.state(world.hv1)["refused"].get("no route", 0)
    with world.lab.capture() as underlay, Capture(world.c2.ns, "eth0", world.lab.directory / "c2.pcap") as c2, \
            Capture(world.a2.ns, "eth0", world.lab.directory / "a2.pcap") as a2:
        wire.inject(world.a1.ns, "eth0", frames)
        wait_until(lambda: any(b"out of a box" in frame for frame in a2.frames()), "a2 gets its UDP", timeout=10)
        wait_until(lambda: world.state(world.hv1)["refused"].get("no route", 0) >= before + 2, "the others are counted", timeout=10)
    assert not any(b"out of a box" in frame for frame in c2.frames())
    assert not any(b"out of a box" in frame for frame in underlay.frames())
    assert underlay.summary().other == 0


def test_flood_of_macs_is_contained(world):
    """A thousand sources: counted on the sender's port, and nobody else notices.

    Thrice each, because the switch does not count the only packet of its kind."""
    frames = 3 * [wire.ethernet(wire.udp(world.a1.address, world.a2.address, 7, 7, b"flood"), world.a2.mac, f"0a:66:{n >> 8:02x}:{n & 255:02x}:00:01")
              for n in range(1000)]
    before = drops(world.a1)
    pings = world.b1.background_ping(world.b2)
    try:
        wire.inject(world.a1.ns, "eth0", frames)
        wait_until(lambda: drops(world.a1) >= before + 1900, lambda: f"the flood is counted; {drops(world.a1) - before} of {len(frames)} are", timeout=20)
        assert world.a2.ping(world.b2)
    finally:
        sent, received = pings.stop()
    assert received >= sent * 0.95


# ---- The target's host does not believe ----

def icmp(source, target, kind, code, inner):
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(target)
    body = struct.pack("!BBHI", kind, code, 0, 0) + inner
    body = body[:2] + struct.pack("!H", wire.checksum(body)) + body[4:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, 1, 0, a.packed, b.packed)
    return head[:10] + struct.pack("!H", wire.checksum(head)) + head[12:] + body


@pytest.fixture
def past_policy(world):
    """forge(match, vni, eth_src, eth_dst): hv1 sends what a1 sends straight into the tunnel, as a host that is not honest would."""
    hv1 = world.hv1

    def forge(match, vni, source, target):
        hv1.ofctl("-OOpenFlow14", "add-flow", "br-int",
                  f"cookie=0x99,table=0,priority=65000,in_port={hv1.vsctl('get', 'Interface', world.a1.port, 'ofport')},{match},"
                  f"actions=set_field:{source}->eth_src,set_field:{target}->eth_dst,set_field:{vni}->tun_id,"
                  f"set_field:{hv1.ipv4}->tun_src,set_field:{world.hv2.ipv4}->tun_dst,output:{hv1.vsctl('get', 'Interface', 'nvo3-geneve', 'ofport')}")
    yield forge
    hv1.ofctl("-OOpenFlow14", "del-flows", "br-int", "cookie=0x99/-1")


def refused(host):
    state = host.appctl_json("policy/show", target="hvagent")
    return sum(state["refused"].values())


FORGED = [("a port that no rule allows", "b", 9999, "gateway", "b2"), ("from a network that no rule connects", "c", 8010, "gateway", "c2"),
          ("with the MAC of a VM", "b", 8010, "b1", "b2"), ("to nobody", "b", 8010, "gateway", "nobody")]


@pytest.mark.requirement(24)
@pytest.mark.parametrize("network, port, source, target", [row[1:] for row in FORGED], ids=[row[0] for row in FORGED])
def test_forged_by_the_host_where_it_enters(world, past_policy, network, port, source, target):
    victim = world.vms[network + "2"]
    past_policy("udp", VNI[network], gateway_mac(network) if source == "gateway" else world.vms[source].mac,
                victim.mac if target != "nobody" else "0a:00:00:00:99:99")
    before = refused(world.hv2)
    frame = wire.ethernet(wire.udp(world.a1.address, victim.address, 7, port, b"forged"), gateway_mac("a"), world.a1.mac)
    with Capture(victim.ns, "eth0", world.lab.directory / "forged.pcap") as heard:
        wire.inject(world.a1.ns, "eth0", [frame] * 3)
        wait_until(lambda: refused(world.hv2) >= before + 3, "hv2 counts them", timeout=10)
    assert not any(b"forged" in frame for frame in heard.frames())


@pytest.mark.requirement(24)
def test_forged_error_about_a_connection_with_another_network(world, past_policy, policy):
    """It is one of the victim's zone, but not one of the network that the error comes from."""
    policy(POLICY + "100 allow from vn5001 to vn5003 proto udp\n")
    port = next(PORT)
    past_policy("icmp", VNI["a"], gateway_mac("a"), world.a2.mac)
    with Service(world.c2, 4, socket.SOCK_DGRAM, port) as service, service.connect(world.a2, 3) as client:
        client.send(b"x")
        service.echo()
        assert client.recv(10) == b"x"
        inner = wire.udp(world.a2.address, world.c2.address, client.getsockname()[1], port, b"named")
        frame = wire.ethernet(icmp(world.b1.address, world.a2.address, 3, 3, inner), gateway_mac("a"), world.a1.mac)
        reason = "about a connection of other networks"
        before = world.state(world.hv2)["refused"][reason]
        with Capture(world.a2.ns, "eth0", world.lab.directory / "error.pcap") as heard:
            wire.inject(world.a1.ns, "eth0", [frame] * 3)
            wait_until(lambda: world.state(world.hv2)["refused"][reason] >= before + 3, "hv2 counts them", timeout=10)
        assert not any(b"named" in frame for frame in heard.frames())


def test_forger_can_send_what_is_allowed(world, past_policy):
    """So the test above fails for its own reason."""
    past_policy("udp", VNI["b"], gateway_mac("b"), world.b2.mac)
    frame = wire.ethernet(wire.udp(world.a1.address, world.b2.address, 7, 8010, b"allowed"), gateway_mac("a"), world.a1.mac)
    with Capture(world.b2.ns, "eth0", world.lab.directory / "allowed.pcap") as heard:
        wire.inject(world.a1.ns, "eth0", [frame])
        wait_until(lambda: any(b"allowed" in frame for frame in heard.frames()), "b2 hears it", timeout=10)
