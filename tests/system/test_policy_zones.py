# SPDX-License-Identifier: Apache-2.0
"""conntrack zones of networks: what was in one is nothing to the network that gets it next, nor is what others have put there.

Networks a (5001) and b (5002), each with a VM on the one host, and 70537, whose VNI ends in the same 16 bits as that of a.
"""

import socket

import pytest

import wire
from lab import wait_until
from policy_world import Service, add_ipv6, load_policy

A_AND_B = "gateway vn5001 10.50.0.254/24\ngateway vn5002 10.50.1.254/24\n100 allow from vn5001 to vn5002\n"
OTHER = "gateway vn70537 10.99.0.254/24\n"


@pytest.fixture(scope="module")
def lab(module_labs):
    lab = module_labs(hosts=1, vms=2, nva=1, vns=2)
    for number, vm in enumerate(lab.vms.values()):
        add_ipv6(vm, number)
    node = lab.nvas["nva1"]
    node.ctl("vn-add", "vn70537", 70537)
    node.ctl("vn-join", "vn70537", "hv1")
    return lab


@pytest.fixture
def a_and_b(lab):
    """Their VMs, which have an exchange behind them."""
    load_policy(lab, A_AND_B + OTHER)
    a, b = lab.vms["vm1"], lab.vms["vm2"]
    wait_until(lambda: zones(lab) == {"vn5001": 5001, "vn5002": 5002, "vn70537": 5003}, lambda: f"each network has a zone: {zones(lab)}", timeout=20)
    wait_until(lambda: a.ping(b), "a reaches b", timeout=20)
    return a, b


def zones(lab):
    return {gateway["vn"]: gateway.get("zone") for gateway in lab.hosts["hv1"].appctl_json("policy/show", target="hvagent")["gateways"]}


def connections(lab, zone):
    return lab.hosts["hv1"].appctl("dpctl/dump-conntrack", f"zone={zone}").splitlines()


@pytest.mark.requirement(24)
def test_a_zone_that_gets_another_network_is_emptied(lab, a_and_b):
    a, b = a_and_b
    assert connections(lab, 5001) and connections(lab, 5002)
    # Without gateway a the other gets its zone; b keeps its own, and what is in there.
    load_policy(lab, "gateway vn5002 10.50.1.254/24\n" + OTHER)
    assert zones(lab) == {"vn5002": 5002, "vn70537": 5001}
    assert not connections(lab, 5001) and connections(lab, 5002)
    load_policy(lab, A_AND_B + OTHER)
    assert zones(lab)["vn5001"] == 5001 and a.ping(b)
    # One that has nobody for a while, and then its own network again, keeps all.
    load_policy(lab, "gateway vn5002 10.50.1.254/24\n")
    load_policy(lab, A_AND_B)
    assert connections(lab, 5001)


@pytest.mark.requirement(24)
def test_a_connection_of_others_lets_no_answer_pass(lab, a_and_b):
    """One of the zone, between addresses of the two networks, that they have not begun: as it stays when another network gets the zone, or somebody puts it there."""
    a, b = a_and_b
    host = lab.hosts["hv1"]
    with Service(b, 4, socket.SOCK_DGRAM, 8010) as service, Service(a, 4, socket.SOCK_DGRAM, 8020) as client:
        question = wire.ethernet(wire.udp(a.address, b.address, 8020, 8010, b"never asked"), b.mac, a.mac)
        host.ofctl("-OOpenFlow14", "packet-out", "br-int", f"in_port=LOCAL,packet={question.hex()},actions=ct(commit,zone=5001),ct(commit,zone=5002)")
        assert any("sport=8020,dport=8010" in line for line in connections(lab, 5001)) and any("sport=8020,dport=8010" in line for line in connections(lab, 5002))
        reason = "about a connection of other networks"
        before = host.appctl_json("policy/show", target="hvagent")["refused"][reason]

        def is_counted():
            # The switch does not count the only packet of its kind.
            service._socket.sendto(b"an answer", client.address)
            return host.appctl_json("policy/show", target="hvagent")["refused"][reason] > before
        wait_until(is_counted, "answers are refused", timeout=10)
        client._socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client._socket.recv(100)
    with Service(b, 4, socket.SOCK_DGRAM, 8011) as service, service.connect(a, 5) as client:
        client.send(b"a question")
        service.echo()
        assert client.recv(100) == b"a question"
