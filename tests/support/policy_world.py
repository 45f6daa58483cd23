# SPDX-License-Identifier: Apache-2.0
"""Three networks with a policy between them, for the tests of it; and services of their VMs.

Networks a (5001), b (5002) and c (5003), each with a VM on hv1 and one on hv2. An NVA delivers the policy.
"""

import itertools
import socket

import pytest

from insider import in_namespace
from lab import net, wait_until

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
