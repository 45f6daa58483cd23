# SPDX-License-Identifier: Apache-2.0
"""An overlay that an NVA runs: a store of three servers, two nvo3-nva, four hosts, three networks with overlapping membership.

Network 5001 has all four hosts, 5002 hv1 to hv3, 5003 hv3 and hv4. VM 1 to 4 are in 5001, 5 to 8 in 5002, 9 to 12 in 5003, on the hosts in turn.
"""

import json
import time

import pytest

import wire
from lab import Capture, net, run, wait_until

pytestmark = pytest.mark.alone

MEMBERS = {5001: (1, 2, 3, 4), 5002: (1, 2, 3), 5003: (3, 4)}


@pytest.fixture(scope="module")
def lab(module_labs):
    lab = module_labs(wait=False, hosts=4, vms=12, nva=2, stores=3, vns=3, serves=lambda host, vni: host.number in MEMBERS[vni])
    wait_all(lab)
    return lab


def members(lab):
    """The VMs whose host serves their network."""
    return [vm for vm in lab.vms.values() if vm.host.number in MEMBERS[vm.vni]]


def reach(one, other):
    """Whether a ping is answered, asking for the neighbour anew: broadcast has to work as well."""
    net.ip(one.ns, "neigh flush dev eth0")
    return one.ping(other) == 1


def wait_all(lab, timeout=40):
    """Waits until every VM of a member reaches all others of its network."""
    left = {(a, b) for a in members(lab) for b in members(lab) if a is not b and a.vni == b.vni}

    def again():
        for pair in list(left):
            if pair[0].ping(pair[1]):
                left.discard(pair)
        return not left
    wait_until(again, lambda: "VMs of a network reach each other; missing: " + ", ".join(f"{a.name}->{b.name}" for a, b in sorted(
        left, key=lambda p: p[0].name)), timeout)


def settle(lab):
    """All daemons run, everybody is a member again, everything works: a defined start of each test."""
    for node in lab.nvas.values():
        for daemon, last in (("ovsdb-server", 3), ("nvo3-nva", 2)):
            if node.number <= last:
                node.start(daemon)
    for host in lab.hosts.values():
        host.start("hvagent")
        wait_until(lambda: connected_nva(lab, host), f"{host.name} has a session with an NVA")
    wait_all(lab)


def nva_state(host):
    return host.appctl_json("nva/show", target="hvagent")


def connected_nva(lab, host):
    """The Nva that a host has its session with, or None."""
    return next((lab.nvas[nva["name"]] for nva in nva_state(host)["nvas"] if "session" in nva), None)


def epochs(host):
    return {group["address"]: group["epoch"] for group in host.appctl_json("group/show", target="hvagent")}


def broadcast(vm, words):
    """An IP broadcast of a VM: what is no IP and no ARP it may not send, having an address of its own."""
    return wire.ethernet(wire.udp(vm.address, "255.255.255.255", 7, 7, words), "ff:ff:ff:ff:ff:ff", vm.mac)


@pytest.mark.requirement(15)
def test_traffic_only_within_networks(lab):
    """Each VM reaches all of its network, none of another, not even by a frame that it makes itself; the wire carries ESP."""
    settle(lab)
    outsiders = [vm for vm in lab.vms.values() if vm.host.number not in MEMBERS[vm.vni]]
    assert {vm.name for vm in outsiders} == {"vm8", "vm9", "vm10"}
    with lab.capture() as capture:
        assert lab.vms["vm1"].all_answered(lab.vms["vm4"], 5)
        for outsider in outsiders:
            for other in members(lab):
                if other.vni == outsider.vni:
                    assert outsider.ping(other) == 0, f"{outsider.name} is on a host that does not serve {outsider.vni}"
    summary = capture.summary()
    assert summary.other == 0, summary.strangers
    assert summary.esp > 0

    # A broadcast of vm1's, network 5001, is heard by its network and nobody else, although vm5 and vm9 sit on the same bridges.
    words = b"only for network 5001"
    captures = {vm.name: Capture(vm.ns, "eth0", lab.directory / f"{vm.name}.pcap") for vm in lab.vms.values()}
    wire.inject(lab.vms["vm1"].ns, "eth0", [broadcast(lab.vms["vm1"], words)])
    for name in ("vm2", "vm3", "vm4"):
        wait_until(lambda: any(words in f for f in captures[name].frames()), f"{name} hears the broadcast", timeout=5)
    for capture in captures.values():
        capture.stop()
    heard = {name for name, capture in captures.items() if any(words in f for f in capture.frames())}
    assert heard == {"vm1", "vm2", "vm3", "vm4"}


@pytest.mark.requirement(9, 14)
def test_groups_have_keys_of_their_own(lab):
    """Broadcast goes to the group's address, once, under an SA of its sender; only members have it, and of two groups none has the other's."""
    settle(lab)
    vm1 = lab.vms["vm1"]
    for host in lab.hosts.values():
        groups = {(sa["vni"], sa["group"]) for sa in host.sas() if sa.get("group")}
        wanted = {(vni, f"239.31.0.{vni - 5000}") for vni, numbers in MEMBERS.items() if host.number in numbers}
        assert groups == wanted, host.name
    inbound = {sa["spi"] for sa in lab.hosts["hv4"].sas() if sa.get("group") == "239.31.0.1" and sa["direction"] == "in"}
    assert len(inbound) == 3, "one of each other sender"
    with lab.capture() as capture:
        frame = broadcast(vm1, b"to all")
        opened = {h.name: h.counter("nvo3_opened") for h in lab.hosts.values()}
        wire.inject(vm1.ns, "eth0", [frame] * 5)
        for name in ("hv2", "hv3", "hv4"):
            wait_until(lambda: lab.hosts[name].counter("nvo3_opened") >= opened[name] + 5, f"{name} opens the broadcasts", timeout=5)
    to_group = [f for f in capture.frames() if wire.is_esp(f, "172.31.0.1", "239.31.0.1")]
    assert len(to_group) >= 5
    assert all(f[:6].hex(":") == "01:00:5e:1f:00:01" for f in to_group)
    assert b"to all" not in b"".join(capture.frames())
    # The same packets once more are refused as replayed by all members.
    before = {name: lab.hosts[name].counter("nvo3_drop_replayed") for name in ("hv2", "hv3", "hv4")}
    wire.inject(lab.underlay_ns, "underlay", to_group[-3:])
    for name, count in before.items():
        wait_until(lambda: lab.hosts[name].counter("nvo3_drop_replayed") >= count + 3, f"{name} refuses the replayed packets", timeout=5)


@pytest.mark.requirement(9, 14, 15)
def test_host_leaves_a_network(lab):
    """Within two seconds it is lost everywhere: SAs of pair and group, flows; the group has a new epoch, of which the leaver knows nothing."""
    settle(lab)
    node, hv3 = lab.nvas["nva1"], lab.hosts["hv3"]
    before = epochs(hv3)
    spis = {sa["spi"] for sa in lab.hosts["hv1"].sas() if sa["vni"] == 5002 and sa["direction"] == "in"}
    vm5, vm7 = lab.vms["vm5"], lab.vms["vm7"]
    assert reach(vm5, vm7)
    try:
        node.ctl("vn-leave", "vn5002", "hv3")
        begin = time.monotonic()
        wait_until(lambda: not any(sa["vni"] == 5002 for sa in hv3.sas()), "hv3 has no SA of 5002", timeout=2)
        for name in ("hv1", "hv2"):
            host = lab.hosts[name]
            wait_until(lambda: not any(sa["vni"] == 5002 and sa["remote_ip"] == hv3.ipv4 for sa in host.sas()),
                       f"{name} has no SA of 5002 with hv3", timeout=2)
        # New keys of the group between those who stay; every SA that the leaver knew the key of is gone.
        def renewed():
            mine = {sa["spi"] for sa in lab.hosts["hv1"].sas() if sa["vni"] == 5002 and sa.get("group") and sa["direction"] == "in"}
            return len(mine) == 1 and not mine & spis
        wait_until(renewed, "hv1 has the new epoch's keys only", timeout=max(0.1, begin + 3 - time.monotonic()))
        assert time.monotonic() - begin < 3
        assert not vm5.ping(vm7)
        after = epochs(lab.hosts["hv1"])
        assert after["239.31.0.2"] > before["239.31.0.2"]
        assert after["239.31.0.1"] == before["239.31.0.1"], "other groups are not disturbed"
        wait_until(lambda: reach(vm5, lab.vms["vm6"]), "those who stay go on", timeout=5)
    finally:
        node.ctl("vn-join", "vn5002", "hv3")
    wait_until(lambda: reach(vm5, vm7), "hv3 is back", timeout=15)


@pytest.mark.requirement(1, 15)
def test_revoked_host(lab):
    """nve-revoke: no session with an NVA, no SA with anybody, at once."""
    settle(lab)
    node, hv4 = lab.nvas["nva1"], lab.hosts["hv4"]
    try:
        node.ctl("nve-revoke", "hv4")
        for name in ("hv1", "hv2", "hv3"):
            host = lab.hosts[name]
            wait_until(lambda: not any(sa["remote_ip"] == hv4.ipv4 for sa in host.sas()), f"{name} has no SA with hv4", timeout=3)
        wait_until(lambda: not lab.vms["vm1"].ping(lab.vms["vm4"]), "hv4's VM is cut off", timeout=3)
        wait_until(lambda: any(e["event"] == "refused" and "hv4" in json.dumps(e) for n in list(lab.nvas.values())[:2] for e in n.audit()),
                   "the refusal is audited", timeout=10)
    finally:
        node.ctl("set", "NVE", "hv4", "revoked=false")
    wait_until(lambda: reach(lab.vms["vm1"], lab.vms["vm4"]), "hv4 is back", timeout=20)


@pytest.mark.parametrize("what", ["leader", "connected", "all"])
def test_failures_lose_nothing(lab, what):
    """The store's leader, the connected nvo3-nva, or all of the NVA dies: running traffic loses nothing; what changes then arrives."""
    settle(lab)
    vm1, vm4 = lab.vms["vm1"], lab.vms["vm4"]
    victims = {"leader": [(n, "ovsdb-server") for n in lab.nvas.values() if n.leads()][:1],
               "connected": [(connected_nva(lab, lab.hosts["hv1"]), "nvo3-nva")],
               "all": [(n, d) for n in lab.nvas.values() for d in ("nvo3-nva", "ovsdb-server")]}[what]
    assert victims and all(node for node, _ in victims)
    traffic = vm1.background_ping(vm4, interval=0.02)
    try:
        for node, daemon in victims:
            node.kill(daemon)
        assert vm1.all_answered(vm4, 25, interval=0.04)
        if what == "all":
            lab.hosts["hv1"].appctl("peer/rekey", "hv4", target="hvagent")     # keys of running pairs still renew
            assert vm1.all_answered(vm4, 25, interval=0.04)
            for node, daemon in reversed(victims):
                node.start(daemon)
        # What changes is told all the same: a VM moves its MAC address.
        store = next(n for n in lab.nvas.values() if n.pid("ovsdb-server"))
        wait_until(lambda: connected_nva(lab, lab.hosts["hv1"]), "hv1 has a session with an NVA", timeout=20)
        store.ctl("vn-leave", "vn5003", "hv4")
        wait_until(lambda: not any(sa["vni"] == 5003 for sa in lab.hosts["hv4"].sas()), "the change reaches hv4", timeout=10)
        store.ctl("vn-join", "vn5003", "hv4")
    finally:
        sent, received = traffic.stop()
        for node, daemon in reversed(victims):
            node.start(daemon)
    assert received >= sent - 1, "the last may be under way"


def test_store_server_cut_off(lab):
    """One of three servers is cut off from the others: the two go on, and it catches up."""
    settle(lab)
    node = next(n for n in lab.nvas.values() if not n.leads())
    net.ip(lab.underlay_ns, f"link set {node.name} down")
    try:
        other = next(n for n in lab.nvas.values() if n is not node)
        other.ctl("vn-leave", "vn5003", "hv4")
        wait_until(lambda: not any(sa["vni"] == 5003 for sa in lab.hosts["hv4"].sas()), "the change reaches hv4", timeout=15)
        other.ctl("vn-join", "vn5003", "hv4")
        assert reach(lab.vms["vm1"], lab.vms["vm2"])
    finally:
        net.ip(lab.underlay_ns, f"link set {node.name} up")
    settle(lab)


def test_nvactl_of_each_server(lab):
    """The operator need not know which server leads: each takes changes, and passes them on."""
    settle(lab)
    nodes = list(lab.nvas.values())
    assert sum(node.leads() for node in nodes) == 1 and len(nodes) == 3
    for number, node in enumerate(nodes):
        def here(*argv, node=node):
            return run(net.inside(node.ns) + [lab.programs.nvactl, "--timeout=20", *argv], env=node.env).stdout
        here("vn-add", f"green{number}", str(6000 + number))
        wait_until(lambda: f"green{number}" in here("vn-list"), f"{node.name} has what was written there")
        here("vn-del", f"green{number}")


def test_store_without_a_majority(lab):
    """Two of three servers are away: no NVA can know what has changed, so that none serves hosts; their traffic goes on as it was."""
    settle(lab)
    vm1, vm4 = lab.vms["vm1"], lab.vms["vm4"]
    victims = list(lab.nvas.values())[1:]
    traffic = vm1.background_ping(vm4, interval=0.02)
    try:
        for node in victims:
            node.kill("ovsdb-server")
        wait_until(lambda: not any(connected_nva(lab, host) for host in lab.hosts.values()), "no host has a session with an NVA", timeout=30)
        assert all(any(e["event"] == "alarm" and "lost the store" in e["reason"] for e in node.audit()) for node in list(lab.nvas.values())[:2])
        assert vm1.all_answered(vm4, 50, interval=0.04)
    finally:
        sent, received = traffic.stop()
        for node in victims:
            node.start("ovsdb-server")
    assert received >= sent - 1, "the last may be under way"
    settle(lab)


def test_agent_restart_while_the_nva_is_away(lab):
    """Nothing is torn down for want of an NVA, not even by an agent that knows nothing yet."""
    settle(lab)
    hv1 = lab.hosts["hv1"]
    vm1, vm4 = lab.vms["vm1"], lab.vms["vm4"]
    try:
        for node in lab.nvas.values():
            node.kill("nvo3-nva")
        hv1.kill("hvagent")
        hv1.start("hvagent")
        wait_until(lambda: hv1.appctl("peer/show", target="hvagent", check=False) is not None, "the agent answers")
        assert vm1.all_answered(vm4, 50, interval=0.04)
    finally:
        settle(lab)


def test_switch_restart(lab):
    """New SAs of pairs and groups, flows and tunnel port are there again."""
    settle(lab)
    hv2 = lab.hosts["hv2"]
    hv2.kill("ovs-vswitchd")
    hv2.start("ovs-vswitchd")
    wait_until(lambda: reach(lab.vms["vm2"], lab.vms["vm1"]), "hv2 is back", timeout=20)
    wait_until(lambda: any(sa.get("group") and sa["direction"] == "out" for sa in hv2.sas()), "hv2 sends to its groups again", timeout=10)
    assert reach(lab.vms["vm6"], lab.vms["vm7"])


@pytest.mark.requirement(11, 14)
@pytest.mark.parametrize("what", [("ovs-vswitchd",), ("ovs-vswitchd", "hvagent")], ids=["switch", "switch and agent"])
def test_group_packets_are_not_taken_again_after_a_restart(lab, what):
    """Replay windows go with a switch: what was captured before is refused from its first moment on, and a new epoch makes all work again."""
    settle(lab)
    vm1, vm2, hv2 = lab.vms["vm1"], lab.vms["vm2"], lab.hosts["hv2"]
    words = b"heard once"
    with lab.capture() as capture, Capture(vm2.ns, "eth0", lab.directory / "once.pcap") as heard:
        wire.inject(vm1.ns, "eth0", [broadcast(vm1, words)] * 3)
        wait_until(lambda: sum(words in f for f in heard.frames()) == 3, "vm2 hears the broadcasts", timeout=5)
    old = [f for f in capture.frames() if wire.is_esp(f, "172.31.0.1", "239.31.0.1")]
    assert len(old) >= 3
    before = epochs(hv2)
    for daemon in what:
        hv2.kill(daemon)

    def renewed():
        wire.inject(lab.underlay_ns, "underlay", old)
        return connected_nva(lab, hv2) and all(epoch > before[group] for group, epoch in epochs(hv2).items()) and len(epochs(hv2)) == len(before)

    with Capture(vm2.ns, "eth0", lab.directory / "again.pcap") as heard:
        for daemon in what:
            hv2.start(daemon)
        wait_until(renewed, "hv2's groups have another epoch", timeout=15, interval=0)
        dropped = hv2.drops()["unknown_spi"]
        wire.inject(lab.underlay_ns, "underlay", old)
        wait_until(lambda: hv2.drops()["unknown_spi"] >= dropped + len(old), "hv2 refuses the captured packets", timeout=5)
        assert not any(words in f for f in heard.frames())
        fresh = b"and so it goes on"

        def goes_on():
            wire.inject(vm1.ns, "eth0", [broadcast(vm1, fresh)])
            return any(fresh in f for f in heard.frames())
        # One NVE has an epoch every ten seconds at most: an earlier test may have had one.
        wait_until(goes_on, "hv2 hears broadcasts again", timeout=15)
    assert hv2.drops()["replayed"] == 0, "none of it had a window to be in"


@pytest.mark.requirement(15)
def test_networks_do_not_meet_while_the_agent_is_down(lab):
    """A switch that starts without its agent lets nothing through between VMs of two networks on one host; with it both work again."""
    settle(lab)
    hv3, vm3, vm7 = lab.hosts["hv3"], lab.vms["vm3"], lab.vms["vm7"]
    words = b"of network 5001"
    with Capture(vm7.ns, "eth0", lab.directory / "closed.pcap") as heard:
        hv3.kill("hvagent")
        hv3.kill("ovs-vswitchd")
        hv3.start("ovs-vswitchd")
        wait_until(lambda: "(vm7)" in hv3.ofctl("-OOpenFlow14", "dump-ports-desc", "br-int"), "the switch has the ports", timeout=10)
        wire.inject(vm3.ns, "eth0", [broadcast(vm3, words), wire.ethernet(wire.udp(vm3.address, vm7.address, 7, 7, words), vm7.mac, vm3.mac)] * 20)
        assert vm3.ping(vm7) == 0
        hv3.start("hvagent")
        wait_until(lambda: reach(vm3, lab.vms["vm1"]) and reach(vm7, lab.vms["vm5"]), "both networks work again", timeout=20)
        wire.inject(vm3.ns, "eth0", [broadcast(vm3, words)])
    assert not any(words in frame for frame in heard.frames())


def test_foreign_flows_stay(lab):
    """Whoever else programs the bridge is left alone, and so is its cookie."""
    settle(lab)
    hv1 = lab.hosts["hv1"]
    hv1.ofctl("add-flow", "br-int", "cookie=0x77,table=99,priority=7,actions=drop")
    hv1.kill("hvagent")
    hv1.start("hvagent")
    wait_all(lab)
    assert "priority=7" in hv1.ofctl("dump-flows", "br-int", "cookie=0x77/-1")


@pytest.mark.requirement(3, 8)
def test_control_and_store_show_nothing(lab):
    """What hosts and NVAs, NVAs and store, and servers of the store say to each other crosses under TLS: no name, no MAC address in clear."""
    settle(lab)
    node = lab.nvas["nva1"]
    with lab.capture() as capture:
        lab.vms["vm1"].host.vsctl("set", "Interface", "vm1", "external_ids:nvo3-addresses=10.50.0.77")
        wait_until(lambda: "10.50.0.77" in node.ctl("mapping-list"), "the store has the new address", timeout=10)
        lab.vms["vm1"].join("vn5001")
        wait_until(lambda: "10.50.0.77" not in node.ctl("mapping-list"), "the store has the former address", timeout=10)
    summary = capture.summary()
    assert summary.control > 0 and summary.store > 0
    assert summary.other == 0, summary.strangers
    tcp = b"\n".join(frame[34:] for frame in capture.frames() if frame[23] == 6)
    for secret in (b"vn5001", b"10.50.0.77", lab.vms["vm1"].mac.encode(), bytes.fromhex(lab.vms["vm1"].mac.replace(":", "")), b"OVSDB", b"NVO3"):
        assert secret not in tcp, secret


@pytest.mark.requirement(1, 4)
def test_hosts_have_no_access_to_the_store(lab):
    """The store has a CA of its own: a host's certificate, valid as it is, opens nothing there."""
    settle(lab)
    hv1, node = lab.hosts["hv1"], lab.nvas["nva1"]
    pki = hv1.pkidir
    done = hv1.run("nvo3-nvactl", f"--private-key={pki}/hv1.key", f"--certificate={pki}/hv1.crt", f"--ca-cert={node.storepki}/ca.crt",
                   f"--db={node.remote()}", "--timeout=5", "vn-join", "vn5003", "hv1", check=False)
    assert done.returncode != 0
    # The same command with the store's own certificate would have done it.
    assert "vn5003" in node.ctl("vn-list")
    assert not any(sa["vni"] == 5003 for sa in hv1.sas())
