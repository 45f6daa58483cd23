# SPDX-License-Identifier: Apache-2.0
"""Policy between virtual networks: what passes a gateway, both hosts' say in it, and VMs that want more than that.

Networks a (5001), b (5002) and c (5003), each with a VM on hv1 and one on hv2. An NVA delivers the policy.
"""

import errno
import ipaddress
import itertools
import re
import socket
import struct
import time

import pytest

import wire
from insider import in_namespace
from lab import Capture, LabError, net, run, wait_until


IP_RECVTTL = 12
COOKIE = "cookie=0x6e766f3300000000/-1"
VNI = {"a": 5001, "b": 5002, "c": 5003}
GATEWAYS = "".join(f"gateway vn{vni} 10.50.{k}.254/24 fd50:{k}::254/64\n" for k, vni in enumerate(VNI.values()))
A_TO_B = ("100 allow from vn5001 to vn5002 proto tcp port 8000-8099\n"
          "100 allow from vn5001 to vn5002 proto udp port 8000-8099\n"
          "100 allow from vn5001 to vn5002 proto icmp\n"
          "100 allow from vn5001 to vn5002 proto icmp6\n")
B_TO_C = ("200 deny from vn5002 to vn5003 proto tcp port 8001 log\n"
          "100 allow from vn5002 to vn5003\n")
POLICY = GATEWAYS + A_TO_B + B_TO_C
PORT = itertools.cycle(range(8010, 8100))       # of the range


def gateway_mac(name):
    vni = VNI[name]
    return f"0e:6e:76:{vni >> 16:02x}:{vni >> 8 & 255:02x}:{vni & 255:02x}"


class World:
    """The lab, its VMs by name: a1 is network a's on hv1."""

    def __init__(self, lab):
        self.lab = lab
        self.hv1, self.hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
        self.vms = {}
        for number, vm in enumerate(lab.vms.values()):
            name = "abc"[number // 2] + str(number % 2 + 1)
            self.vms[name] = vm
            setattr(self, name, vm)
            add_ipv6(vm, number // 2)

    def load(self, text):
        """Returns when both hosts have it in their switches."""
        load_policy(self.lab, text)

    def state(self, host):
        return host.appctl_json("policy/show", target="hvagent")


def v6(vm):
    return vm.address.replace("10.50.", "fd50:").replace(".", "::")


def add_ipv6(vm, network):
    net.sysctl(vm.ns, "net.ipv6.conf.eth0.disable_ipv6=0")
    net.ip(vm.ns, f"addr add {v6(vm)}/64 dev eth0 nodad", f"route add default via 10.50.{network}.254",
           f"route add default via fd50:{network}::254")
    vm.host.vsctl("set", "Interface", vm.port, f'external_ids:nvo3-addresses="{vm.address},{v6(vm)}"')


def load_policy(lab, text):
    file = lab.directory / "policy"
    file.write_text(text)
    node = lab.nvas["nva1"]
    node.ctl("policy-set", file)
    wanted = sorted(line for line in text.splitlines() if line and line[0].isdigit())
    for host in lab.hosts.values():
        wait_until(lambda: sorted(r["rule"] for r in host.appctl_json("policy/show", target="hvagent")["rules"]) == sorted(map(normal, wanted)),
                   f"{host.name} has the policy", timeout=10, interval=0.05)
        wait_until(lambda: host.appctl_json("vn/flows", target="hvagent")["settled"], f"{host.name}'s switch has the policy", timeout=10, interval=0.05)


def normal(rule):
    return " ".join(rule.split())


@pytest.fixture(scope="module")
def world(module_labs):
    lab = module_labs(hosts=2, vms=6, nva=1, vns=3)
    world = World(lab)
    world.load(POLICY)
    for name in "abc":
        one, two = world.vms[f"{name}1"], world.vms[f"{name}2"]
        wait_until(lambda: one.ping(two) and one.ping(v6(two), options=("-6",)), f"network {name} works", timeout=40)
    for pair in (("a1", "b1"), ("a1", "b2"), ("a2", "b1"), ("a2", "b2")):
        one, two = (world.vms[name] for name in pair)
        wait_until(lambda: one.ping(two) and one.ping(v6(two), options=("-6",)), f"{pair} reach each other", timeout=20)
    return world


@pytest.fixture
def policy(world):
    """What a test loads is gone after it."""
    yield world.load
    world.load(POLICY)


# ---- Sockets ----

class Service:
    """A socket of a VM that answers; TCP or UDP."""

    def __init__(self, vm, family, kind, port):
        address = v6(vm) if family == 6 else vm.address
        self.address, self.family, self.kind = (address, port), socket.AF_INET6 if family == 6 else socket.AF_INET, kind
        self._socket = in_namespace(vm.ns, lambda: socket.socket(self.family, kind))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(self.address)
        self._socket.settimeout(5)
        if kind == socket.SOCK_STREAM:
            self._socket.listen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def connect(self, vm, timeout):
        client = in_namespace(vm.ns, lambda: socket.socket(self.family, self.kind))
        client.settimeout(timeout)
        try:
            client.connect(self.address)
        except OSError:
            client.close()
            raise
        return client

    def accept(self):
        server, _ = self._socket.accept()
        server.settimeout(1)
        return server

    def echo(self):
        data, peer = self._socket.recvfrom(65536)
        self._socket.sendto(data, peer)


def reaches(one, two, proto, family, port, timeout=2.0):
    """Whether one exchange works."""
    if proto == "icmp":
        return one.ping(v6(two) if family == 6 else two, options=(f"-{family}",)) == 1
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    with Service(two, family, kind, port) as service:
        try:
            with service.connect(one, timeout) as client:
                if proto == "tcp":
                    with service.accept() as server:
                        client.sendall(b"there")
                        assert server.recv(100) == b"there"
                        server.sendall(b"and back")
                        return client.recv(100) == b"and back"
                client.send(b"there")
                service._socket.settimeout(timeout)
                service.echo()
                return client.recv(100) == b"there"
        except TimeoutError:
            return False
        except OSError as error:
            if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT):
                return False
            raise


DIRECTIONS = [("a", "b", {"tcp", "udp", "icmp"}), ("b", "a", set()), ("b", "c", {"tcp", "udp", "icmp"}), ("c", "b", set()), ("a", "c", set()), ("c", "a", set())]


@pytest.mark.requirement(24)
@pytest.mark.parametrize("place", ["11", "12"], ids=["one host", "two hosts"])
@pytest.mark.parametrize("family", [4, 6], ids=["v4", "v6"])
@pytest.mark.parametrize("proto", ["tcp", "udp", "icmp"])
@pytest.mark.parametrize("source, target, allowed", DIRECTIONS, ids=[f"{a}-{b}" for a, b, _ in DIRECTIONS])
def test_what_passes(world, source, target, allowed, proto, family, place):
    one, two = world.vms[source + place[0]], world.vms[target + place[1]]
    assert reaches(one, two, proto, family, next(PORT), 2.0 if proto in allowed else 0.4) == (proto in allowed)


@pytest.mark.parametrize("family", [4, 6], ids=["v4", "v6"])
@pytest.mark.parametrize("source, target, port", [("a1", "b2", 8100), ("a1", "b2", 7999), ("b1", "c2", 8001)])
def test_ports_that_are_not_allowed(world, source, target, port, family):
    assert not reaches(world.vms[source], world.vms[target], "tcp", family, port, 0.4)


@pytest.mark.requirement(24)
@pytest.mark.parametrize("family", [4, 6], ids=["v4", "v6"])
@pytest.mark.parametrize("target", ["b1", "b2"])
def test_errors_about_allowed_packets_come_back(world, target, family):
    """Nobody listens: ICMP port unreachable, from a network that may not send anything itself."""
    two = world.vms[target]
    client = in_namespace(world.a1.ns, lambda: socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM))
    with client:
        client.settimeout(3)
        client.connect((v6(two) if family == 6 else two.address, next(PORT)))
        client.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(10)


@pytest.mark.requirement(24)
@pytest.mark.parametrize("family", [4, 6], ids=["v4", "v6"])
@pytest.mark.parametrize("target", ["b1", "b2"])
def test_errors_about_answers_go_forth(world, target, family):
    """The client is gone when it is answered: its host's ICMP port unreachable is about a connection that it may have, by a rule that allows no ICMP."""
    with Service(world.vms[target], family, socket.SOCK_DGRAM, next(PORT)) as service:
        client = service.connect(world.a1, 3)
        client.send(b"are you there?")
        _, peer = service._socket.recvfrom(100)
        client.close()
        service._socket.connect(peer)
        service._socket.send(b"yes")
        service._socket.settimeout(3)
        with pytest.raises(ConnectionRefusedError):
            service._socket.recv(100)


def icmp(source, target, kind, code, inner):
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(target)
    body = struct.pack("!BBHI", kind, code, 0, 0) + inner
    body = body[:2] + struct.pack("!H", wire.checksum(body)) + body[4:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, 1, 0, a.packed, b.packed)
    return head[:10] + struct.pack("!H", wire.checksum(head)) + head[12:] + body


# ---- Change ----

def passes(client, server, words=b"x"):
    client.sendall(words)
    try:
        return words[-1:] in server.recv(1000)
    except TimeoutError:
        return False


@pytest.mark.requirement(24)
@pytest.mark.parametrize("target", ["b1", "b2"])
@pytest.mark.parametrize("family", [4, 6], ids=["v4", "v6"])
def test_a_change_cuts_what_it_does_not_allow(world, policy, target, family):
    """A running TCP connection and a running ping stop with the rule, others go on, and it goes on when it may again."""
    with Service(world.vms[target], family, socket.SOCK_STREAM, next(PORT)) as service, service.connect(world.a1, 3) as client, \
            service.accept() as server, Service(world.c2, family, socket.SOCK_STREAM, next(PORT)) as other, other.connect(world.b1, 3) as client2, \
            other.accept() as server2:
        assert passes(client, server, b"1") and passes(server, client, b"2") and passes(client2, server2)
        policy(GATEWAYS + B_TO_C + "100 allow from vn5001 to vn5002 proto udp\n")
        server.settimeout(0.5)
        assert not passes(client, server, b"3")
        assert passes(client2, server2)
        policy(POLICY)
        server.settimeout(10)
        assert b"3" in server.recv(100)         # what TCP sends again
        assert passes(server, client, b"4")


def test_a_ping_that_runs_is_cut(world, policy):
    assert world.a1.ping(world.b2)
    policy(GATEWAYS + A_TO_B.replace("100 allow from vn5001 to vn5002 proto icmp\n", ""))
    assert not world.a1.ping(world.b2)


@pytest.mark.requirement(24)
def test_without_a_policy_nothing_leaves(world, policy):
    policy("")
    assert not world.a1.ping(world.b1) and not world.a1.ping(world.b2) and not world.b1.ping(world.c2)
    assert world.a1.ping(world.a2) and world.b1.ping(world.b2)


def test_stateless(world, policy):
    """Packets alone: an answer needs a rule of its own."""
    one_way = "100 allow from vn5001 to vn5002 proto icmp stateless\n"
    policy(GATEWAYS + one_way)
    assert not world.a1.ping(world.b2)
    policy(GATEWAYS + one_way + "100 allow from vn5002 to vn5001 proto icmp stateless\n")
    world.hv1.appctl("dpctl/flush-conntrack", "zone=5001")
    assert world.a1.ping(world.b2) and world.b1.ping(world.a2)
    assert "icmp" not in world.hv1.appctl("dpctl/dump-conntrack", "zone=5001"), "conntrack has no part in it"


def test_prefixes(world, policy):
    policy(GATEWAYS + f"100 allow from vn5001 {world.a1.address}/32 to vn5002 {world.b2.address}/32\n")
    assert world.a1.ping(world.b2)
    assert not world.a1.ping(world.b1) and not world.a2.ping(world.b2)


# ---- Packets ----

@pytest.mark.parametrize("family", [4, 6], ids=["v4", "v6"])
@pytest.mark.parametrize("target", ["b1", "b2"])
def test_fragments_pass(world, target, family):
    with Service(world.vms[target], family, socket.SOCK_DGRAM, next(PORT)) as service, service.connect(world.a1, 5) as client:
        words = bytes(range(256)) * 20
        client.send(words)
        service.echo()
        assert client.recv(65536) == words


def test_fragments_to_a_port_that_is_denied(world):
    with Service(world.b2, 4, socket.SOCK_DGRAM, 9000) as service, service.connect(world.a1, 0.5) as client:
        client.send(bytes(5000))
        service._socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            service.echo()


def test_fragments_to_a_port_that_is_denied_stateless(world, policy):
    """No fragment has a port there, and a rule below allows all others."""
    policy(GATEWAYS + "200 deny from vn5001 to vn5002 proto udp port 9000 stateless\n100 allow from vn5001 to vn5002 proto udp stateless\n")
    for port, size, arrives in ((9001, 100, True), (9000, 100, False), (9000, 5000, False)):
        with Service(world.b2, 4, socket.SOCK_DGRAM, port) as service, service.connect(world.a1, 1) as client:
            client.send(bytes(size))
            service._socket.settimeout(5 if arrives else 0.5)
            if arrives:
                assert len(service._socket.recv(65536)) == size
            else:
                with pytest.raises(TimeoutError):
                    service._socket.recv(65536)


@pytest.mark.requirement(24)
def test_fragments_stay_in_their_network(world):
    """Those of datagrams that never get whole expire in conntrack, which must not send them along with the next connection of another network."""
    source, target = (ipaddress.ip_address(vm.address).packed for vm in (world.a1, world.b2))
    def first_fragment(number):
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 1320, number, 0x2000, 64, 17, 0, source, target)
        head = head[:10] + struct.pack("!H", wire.checksum(head)) + head[12:]
        return bytes.fromhex(gateway_mac("a").replace(":", "") + world.a1.mac.replace(":", "") + "0800") + head + struct.pack("!HHHH", 5000, 8010, 2000, 0) + bytes(1292)
    begin = time.monotonic()
    wire.inject(world.a1.ns, "eth0", [first_fragment(number) for number in range(1, 9)])
    # conntrack gives one up after 15 s; nothing tells.
    wait_until(lambda: time.monotonic() > begin + 17, "they expire", timeout=20)
    with Capture(world.c2.ns, "eth0", world.lab.directory / "c2.pcap") as c2:
        for _ in range(8):
            assert world.b1.all_answered(world.c2)
    assert not [frame for frame in c2.frames() if frame[26:30] == source]


@pytest.mark.parametrize("target", ["b1", "b2"])
def test_ttl_goes_down_by_one_and_ends(world, target):
    with Service(world.vms[target], 4, socket.SOCK_DGRAM, next(PORT)) as service, service.connect(world.a1, 1) as client:
        service._socket.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        for ttl in (64, 2):
            client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            client.send(b"x")
            _, extra, _, _ = service._socket.recvmsg(10, 100)
            assert struct.unpack("i", extra[0][2])[0] == ttl - 1
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        client.send(b"x")
        service._socket.settimeout(0.4)
        with pytest.raises(TimeoutError):
            service._socket.recvmsg(10)


@pytest.mark.parametrize("family", [4, 6], ids=["v4", "v6"])
@pytest.mark.parametrize("name", ["a1", "a2"])
def test_gateway_answers_with_one_mac_on_every_host(world, name, family):
    vm, address = world.vms[name], "fd50:0::254" if family == 6 else "10.50.0.254"
    net.ip(vm.ns, "neigh flush dev eth0")
    assert vm.all_answered(address, options=(f"-{family}",))
    shown = run(["ip", "-n", vm.ns, "neigh", "show", str(ipaddress.ip_address(address))]).stdout
    assert gateway_mac("a") in shown
    assert not vm.ping("fd50:1::254" if family == 6 else "10.50.1.254", options=(f"-{family}",)), "another network's gateway"


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


# ---- What is seen ----

def rule(state, text):
    return next(r for r in state["rules"] if r["rule"] == text)


def test_show_counts_and_log_tells(world):
    text = "200 deny from vn5002 to vn5003 proto tcp port 8001 log"
    before = rule(world.state(world.hv1), text)["packets"]
    default = {(d["from"], d["to"]): d["packets"] for d in world.state(world.hv1)["defaults"]}
    assert not reaches(world.b1, world.c2, "tcp", 4, 8001, 0.3)
    assert not reaches(world.b1, world.a2, "tcp", 4, 8001, 0.3)
    wait_until(lambda: rule(world.state(world.hv1), text)["packets"] > before, "the rule counts", timeout=10)
    wait_until(lambda: {(d["from"], d["to"]): d["packets"] for d in world.state(world.hv1)["defaults"]}["vn5002", "vn5001"] > default["vn5002", "vn5001"],
               "what no rule allows is counted", timeout=10)
    log = world.hv1.logdir / "hvagent.log"
    wait_until(lambda: f"of rule '{text}'" in log.read_text() and "denied from network vn5002 to vn5001" in log.read_text(), "the log tells", timeout=25)
    shown = world.hv1.appctl("policy/show", target="hvagent")
    assert "gateway vn5001 10.50.0.254/24 fd50::254/64: VNI 5001, 0e:6e:76:00:13:89, conntrack zone 5001" in shown
    assert text in shown


def trace(world, *words, host=None):
    return (host or world.hv1).appctl_json("policy/trace", *words, target="hvagent")


def test_trace_says_which_rule_and_why(world):
    allowed = trace(world, "vn5001", world.a1.address, world.b2.address, "tcp", "8010")
    assert allowed["passes"] and allowed["rule"] == "100 allow from vn5001 to vn5002 proto tcp port 8000-8099"
    assert allowed["host"] == "hv2" and allowed["mac"] == world.b2.mac
    assert trace(world, "5001", v6(world.a1), v6(world.b1), "udp", "8010")["host"] == "this host"
    for words, why in ((("vn5001", world.a1.address, world.b2.address, "tcp", "80"), "denied by default"),
                       (("vn5002", world.b1.address, world.c1.address, "tcp", "8001"), "200 deny"),
                       (("vn5001", world.a1.address, world.c1.address, "tcp", "80"), "no network that a rule connects"),
                       (("vn5001", "10.9.9.9", world.b1.address, "icmp"), "no prefix of network vn5001"),
                       (("vn5001", world.a1.address, "10.50.1.77", "icmp"), "nobody in network vn5002"),
                       (("vn5009", world.a1.address, world.b1.address, "icmp"), "not served here"),
                       (("vn5001", world.a1.address, "10.50.0.254", "icmp"), "the gateway itself")):
        answer = trace(world, *words)
        assert not answer["passes"] and any(why in step for step in answer["steps"]), (words, answer)
    with pytest.raises(LabError, match="is not an IP address"):
        world.hv1.appctl("policy/trace", "vn5001", "x", "10.50.1.1", "tcp", target="hvagent")


@pytest.mark.requirement(24)
def test_a_host_routes_only_networks_that_it_serves(world):
    """hv2 leaves network b: its VMs of a reach nobody there any more, and it says why; hv1's only those on hv1."""
    node = world.lab.nvas["nva1"]
    node.ctl("vn-leave", "vn5002", "hv2")
    try:
        wait_until(lambda: not trace(world, "vn5001", world.a2.address, world.b1.address, "icmp", host=world.hv2)["passes"], "hv2 knows", timeout=10)
        wait_until(lambda: not world.a2.ping(world.b1), "a2 does not reach b1", timeout=10)
        assert world.a1.ping(world.b1)
    finally:
        node.ctl("vn-join", "vn5002", "hv2")
    wait_until(lambda: world.a2.ping(world.b1) and world.a1.ping(world.b2), "hv2 is back", timeout=30)


# ---- Who dies ----

@pytest.mark.requirement(24)
def test_agent_restart_lets_connections_live(world):
    with Service(world.b2, 4, socket.SOCK_STREAM, next(PORT)) as service, service.connect(world.a1, 3) as client, service.accept() as server:
        assert passes(client, server)
        world.hv1.kill("hvagent")
        assert passes(client, server) and passes(server, client)
        world.hv1.start("hvagent")
        wait_until(lambda: world.hv1.appctl_json("vn/flows", target="hvagent")["settled"], "the switch has all again", timeout=30)
        server.settimeout(5)
        assert passes(client, server)
    wait_until(lambda: world.state(world.hv1)["rules"], "hv1 has the policy again", timeout=20)
