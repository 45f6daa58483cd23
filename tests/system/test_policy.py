# SPDX-License-Identifier: Apache-2.0
"""Policy between virtual networks: what passes a gateway and what does not, changes, fragments, what is seen of it.

tests/support/policy_world.py has the networks. VMs and a host that want more are in test_policy_spoofs.py.
"""

import errno
import ipaddress
import socket
import struct
import time

import pytest

import wire
from insider import in_namespace
from lab import Capture, LabError, net, run, wait_until
from policy_world import A_TO_B, B_TO_C, GATEWAYS, POLICY, PORT, Service, gateway_mac, policy, v6, world  # noqa: F401  (fixtures)

IP_RECVTTL = 12


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
