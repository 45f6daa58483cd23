# SPDX-License-Identifier: Apache-2.0
"""Hypervisors, external NVEs and an NVA together: fail-over, restarts under traffic, interfaces that the NVA gives to another.

VMs are namespaces whose ports name their network in the database, so no libvirt has a part.
"""

import time

import pytest

from lab import wait_until
from scripted_hypervisor import ACTIVATE, ASSOCIATE, CONTROL, DEACTIVATE, ScriptedHypervisor
from test_split_hypervisor import nve_in_use, settle, state, tsis, uses

VNI = 5001


@pytest.fixture(scope="module")
def pair(module_labs):
    """Two NVEs of an NVA, with hv1 (vm3) that may use both and hv2 (vm4); vm1 and vm2 are on the NVEs."""
    lab = module_labs(wait=False, hosts=2, nves=2, nva=1, vms=4, multicast=False)
    settle(lab)
    return lab


def nva_of(lab):
    return next(iter(lab.nvas.values()))


def mapped_at(lab, mac):
    """The NVE that the NVA's store has a MAC at, or None."""
    lines = [line.split() for line in nva_of(lab).ctl("mapping-list").splitlines()]
    return next((line[3] for line in lines if line[1] == mac), None)


@pytest.mark.requirement(4, 16)
def test_fail_over_with_an_nva(labs):
    """The NVE in use dies with its host: the NVA gives what that held to the second, hosts elsewhere reach the VM there; the first does not get it back."""
    lab = labs(wait=False, hosts=1, nves=3, vms=4, nva=1, multicast=False)
    hv1 = lab.hosts["hv1"]
    at = {vm.host.name: vm for vm in lab.vms.values()}
    vm = at["hv1"]
    uses(hv1, [lab.hosts["nve1"], lab.hosts["nve2"]])
    settle(lab)
    first = nve_in_use(hv1)
    second = {"nve1": "nve2", "nve2": "nve1"}[first]
    assert mapped_at(lab, vm.mac) == first
    begin = time.monotonic()
    for daemon in ("hvagent", "ovs-vswitchd"):
        lab.hosts[first].kill(daemon)
    wait_until(lambda: nve_in_use(hv1) == second, f"hv1 uses {second}", timeout=20)
    vm.wait_reach(at[second], timeout=30)
    vm.wait_reach(at["nve3"], timeout=10)
    print(f"reached by {second} and nve3 after {time.monotonic() - begin:.1f} s")
    assert mapped_at(lab, vm.mac) == second
    alarms = [event["reason"] for event in nva_of(lab).audit() if event["event"] == "alarm"]
    assert len(alarms) == 1 and f"takes over {vm.mac} from '{first}'" in alarms[0], alarms
    # The former comes back: what it has itself works, what it lost stays where it is.
    for daemon in ("ovs-vswitchd", "hvagent"):
        lab.hosts[first].start(daemon)
    lab.wait_all_reach(40)
    assert mapped_at(lab, vm.mac) == second and nve_in_use(hv1) == second


@pytest.mark.requirement(4, 16, 17)
def test_an_nve_restarts_under_traffic(pair):
    """The agent of the NVE in use, then its switch too, end and come back: VMs of hypervisors go on talking to the far NVE's, and nothing moves to the other NVE's."""
    settle(pair)
    hv1 = pair.hosts["hv1"]
    name = nve_in_use(hv1)
    nve, far = pair.hosts[name], next(vm for vm in pair.vms.values() if vm.host.name in pair.nves and vm.host.name != name)
    uses(hv1, [nve])
    wait_until(lambda: nve_in_use(hv1) == name and state(hv1, "vm3") == "active", "hv1 stays", timeout=20)
    vm = pair.vms["vm3"]
    for daemons, limit in ((["hvagent"], 1), (["hvagent", "ovs-vswitchd"], 20)):
        pings = vm.time_pings(far)
        for daemon in daemons:
            nve.kill(daemon)
        for daemon in reversed(daemons):
            nve.start(daemon)
        settle(pair)
        longest = pings.stop()
        print(f"restart of {' and '.join(daemons)} of {name}: {longest:.2f} s without an answer")
        assert longest < limit
        assert mapped_at(pair, vm.mac) == name
    uses(hv1, list(pair.nves.values()))


@pytest.mark.requirement(4, 17, 19)
def test_refused_by_the_nva(pair):
    """A VM of hv2 has the MAC of a VM elsewhere: the hypervisor is told so and keeps its port closed; the other VM loses nothing; in the end it gets it."""
    settle(pair)
    hv2, vm4 = pair.hosts["hv2"], pair.vms["vm4"]
    owner = next(vm for vm in pair.vms.values() if vm.host.name in pair.nves and vm.host.name != nve_in_use(hv2))
    other = next(vm for vm in pair.vms.values() if vm.host.name == nve_in_use(hv2))
    try:
        hv2.vsctl("set", "Interface", vm4.port, f'external_ids:attached-mac="{owner.mac}"')
        wait_until(lambda: "held by" in tsis(hv2)[vm4.port].get("reason", ""), lambda: f"hv2 knows why: {tsis(hv2)}", timeout=15)
        shown = tsis(hv2)[vm4.port]
        assert shown["state"] == "refused" and owner.host.name in shown["reason"], shown
        assert any(event["event"] == "refused" and "held by" in event["reason"] for event in hv2.audit())
        assert f"in_port={hv2.vsctl('get', 'Interface', vm4.port, 'ofport')} actions=drop" in hv2.ofctl("dump-flows", "br-int"), "the port is closed"
        assert mapped_at(pair, owner.mac) == owner.host.name
        assert other.ping(owner, count=3) == 3
    finally:
        hv2.vsctl("set", "Interface", vm4.port, f'external_ids:attached-mac="{vm4.mac}"')
    settle(pair)


@pytest.mark.requirement(4, 19)
def test_taken_by_another_while_the_nva_was_away(pair):
    """While its NVE has no session with the NVA, another NVE is given a TSI's MAC: when the NVE is back, the TSI is removed, and the hypervisor is told why."""
    settle(pair)
    hv2, vm4 = pair.hosts["hv2"], pair.vms["vm4"]
    nva, name = nva_of(pair), nve_in_use(hv2)
    other = next(nve for nve in pair.nves.values() if nve.name != name)
    nva.stop("nvo3-nva")
    nva.ctl("mapping-del", f"vn{VNI}", vm4.mac)
    try:
        other.vsctl("add-port", "br-int", "thief", "--", "set", "Interface", "thief", "type=internal", f"external_ids:nvo3-vn=vn{VNI}",
                    f'external_ids:attached-mac="{vm4.mac}"')
        # The other NVE is the first whom the NVA hears.
        pair.hosts[name].vsctl("set", "Open_vSwitch", ".", "other_config:nvo3-nva=172.31.0.249")
        nva.start("nvo3-nva")
        wait_until(lambda: mapped_at(pair, vm4.mac) == other.name, f"the MAC is at {other.name}", timeout=20)
        pair.hosts[name].vsctl("set", "Open_vSwitch", ".", f"other_config:nvo3-nva={nva.ipv4}")
        wait_until(lambda: "held by" in tsis(hv2)[vm4.port].get("reason", ""), lambda: f"hv2 is told: {tsis(hv2)}", timeout=20)
    finally:
        pair.hosts[name].vsctl("set", "Open_vSwitch", ".", f"other_config:nvo3-nva={nva.ipv4}")
        other.vsctl("--if-exists", "del-port", "br-int", "thief")
    settle(pair, timeout=90)


@pytest.mark.requirement(17)
def test_the_nva_delays_no_migration(pair):
    """An interface that moves between hypervisors of one NVE stays where it is for the NVA: the activation is answered at once; a new one is when the NVA has it."""
    settle(pair)
    mac, controls = "52:54:00:00:07:07", {}
    nve = pair.nves["nve1"]
    hosts = [pair.hosts[name] for name in ("hv1", "hv2")]
    for host in hosts:
        host.stop("hvagent")
    try:
        for host in hosts:
            controls[host.name] = ScriptedHypervisor(host, nve, CONTROL).open()
            assert controls[host.name].connect(VNI)[0]
        one, two = controls.values()
        one.activate(VNI, "t7", mac)
        assert mapped_at(pair, mac) == "nve1", "the NVA had the last word"
        assert two.tsi(ASSOCIATE, VNI, "t7", mac, migration=True)[0]
        assert one.tsi(DEACTIVATE, VNI, "t7", mac, migration=True)[0]
        begin = time.monotonic()
        assert two.tsi(ACTIVATE, VNI, "t7", mac, migration=True) == (True, "", "active")
        assert time.monotonic() - begin < 1.5
        assert mapped_at(pair, mac) == "nve1"
    finally:
        for control in controls.values():
            control.close()
        for host in hosts:
            host.start("hvagent")
    settle(pair, timeout=60)
