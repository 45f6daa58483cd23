# SPDX-License-Identifier: Apache-2.0
"""Hypervisors, external NVEs and an NVA together: fail-over, restarts under traffic, interfaces that the NVA gives to another, a storm of events.

VMs are namespaces whose ports name their network in the database, so no libvirt has a part.
"""

import subprocess
import threading
import time

import pytest

import test_split_hypervisor
from lab import net, wait_until
from scripted_hypervisor import ACTIVATE, ASSOCIATE, CONTROL, DEACTIVATE, ScriptedHypervisor
from test_split_hypervisor import nve_in_use, state, throttle, tsis, uses

pytestmark = pytest.mark.alone

VNI = 5001


def settle(lab, timeout=150):
    """An NVE that a hypervisor has left keeps its interfaces for 60 s, and the NVA its mappings; asked again after 60 s at most."""
    test_split_hypervisor.settle(lab, timeout)


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
    # An NVE that hv1 does not use, and whose agent has just begun, follows the directory all the same.
    lab.hosts["nve3"].kill("hvagent")
    lab.hosts["nve3"].start("hvagent")
    vm.wait_reach(at["nve3"], timeout=20)
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
    lab.wait_all_reach(60)
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


@pytest.mark.requirement(16, 17)
def test_hypervisor_leaves_an_nve_that_lives(pair):
    """The list names the other NVE now: VM and mapping are there at once, not when the former NVE gives up what it keeps."""
    settle(pair)
    hv1, vm = pair.hosts["hv1"], pair.vms["vm3"]
    first = nve_in_use(hv1)
    second = next(nve for nve in pair.nves.values() if nve.name != first)
    near = next(vm for vm in pair.vms.values() if vm.host.name == first)
    begin = time.monotonic()
    uses(hv1, [second])
    try:
        wait_until(lambda: state(hv1, vm.port) == "active" and mapped_at(pair, vm.mac) == second.name, lambda: f"{second.name} has the VM: {tsis(hv1)}", timeout=30)
        vm.wait_reach(near, timeout=10)
        print(f"with {second.name} after {time.monotonic() - begin:.1f} s")
        assert not [tsi for tsi in tsis(pair.hosts[first]).values() if tsi["mac"] == vm.mac]
    finally:
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
        assert other.all_answered(owner, 3)
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
    settle(pair)


@pytest.mark.requirement(22, 23)
def test_storm_of_two_hundred_vms(labs):
    """10,000 events of 200 interfaces: not more messages than the limit, no interface forgotten, and a quiet one waits for no more than a turn of all."""
    lab = labs(wait=False, hosts=1, nves=1, vms=2)
    settle(lab)
    hv1, nve, quiet = lab.hosts["hv1"], lab.hosts["nve1"], next(vm for vm in lab.vms.values() if vm.host.name == "hv1")
    ports = {f"storm{n}": f"52:54:00:01:{n >> 8:02x}:{n & 255:02x}" for n in range(200)}

    def all_at_once(words):
        """One transaction, an event of each port."""
        hv1.vsctl("--no-wait", *[word for port in ports for word in ["--", *words(port)]])

    # Their devices do not exist: what is told to the NVE does not depend on that.
    all_at_once(lambda port: ["add-port", "br-int", port, "--", "set", "Interface", port, f'external_ids:attached-mac="{ports[port]}"'])
    before, messages, begin = throttle(hv1)["sent"], nve_messages(nve), time.monotonic()
    waited = []

    def of_the_quiet_one():
        for number in (77, 78):
            address = f"10.50.0.{number}"
            changed = time.monotonic()
            hv1.vsctl("--no-wait", "set", "Interface", quiet.port, f'external_ids:nvo3-addresses="{address}"')
            wait_until(lambda: address in at_nve(nve).get(quiet.mac, ("", ""))[1], "the quiet VM's address is told", timeout=60)
            waited.append(time.monotonic() - changed)
    thread = threading.Thread(target=of_the_quiet_one)
    for event in range(50):
        if event % 2:
            all_at_once(lambda port: ["remove", "Interface", port, "external_ids", "nvo3-vn"])
        else:
            all_at_once(lambda port: ["set", "Interface", port, f"external_ids:nvo3-vn={VNI}"])
        if event == 10:
            thread.start()
    # The last: half of them are there.
    stay = [port for number, port in enumerate(ports) if number % 2]
    hv1.vsctl("--no-wait", *[word for port in stay for word in ("--", "set", "Interface", port, f"external_ids:nvo3-vn={VNI}")])
    thread.join()
    expected = {ports[port] for port in stay} | {quiet.mac}
    wait_until(lambda: {mac for mac, (now, _) in at_nve(nve).items() if now == "active"} == expected and not throttle(hv1)["held"],
               lambda: f"the last state of each is known: {len(at_nve(nve))} interfaces, {len(expected)} wanted", timeout=60)
    took, sent, heard = time.monotonic() - begin, throttle(hv1)["sent"] - before, nve_messages(nve) - messages
    print(f"10,000 events in {took:.1f} s: {sent} sent, {heard} heard, merged {throttle(hv1)['merged']}; the quiet VM waited {[f'{w:.1f}' for w in waited]} s")
    assert sent <= 80 + 40 * took and heard <= sent + 20
    assert len(waited) == 2 and max(waited) < 15, "201 VMs at 40 messages a second"
    # An NVE that stood still for seconds finds what was sent meanwhile all at once, and says so once; one with a lower limit does each second.
    shown = hypervisor_at(nve)
    assert shown["slow_downs"] <= 1 and shown["cut_off"] == 0, "the limit of the NVE is above"


def hypervisor_at(nve):
    (shown,) = nve.appctl_json("hypervisor/show", target="hvagent")["hypervisors"]
    return shown


def nve_messages(nve):
    return hypervisor_at(nve)["messages"]


def at_nve(nve):
    """{MAC: (state, addresses)} of the TSIs of hypervisors."""
    return {tsi["mac"]: (tsi["state"], str(tsi.get("addresses", ""))) for tsi in nve.appctl_json("tsi/show", target="hvagent")["tsis"] if "hypervisor" in tsi}


@pytest.mark.requirement(16, 19)
def test_hypervisor_that_plays_nve_towards_another(pair):
    """hv2 listens with its own, valid certificate, and hv1 is told that it is its NVE: hv1 says whom it met, and tells it nothing."""
    settle(pair)
    hv1, hv2 = pair.hosts["hv1"], pair.hosts["hv2"]
    former = pair.nves[nve_in_use(hv1)]
    hv2.stop("hvagent")
    server = subprocess.Popen(net.inside(hv2.ns) + ["openssl", "s_server", "-accept", "6652", "-tls1_3", "-quiet", "-cert", hv2.pkidir / "hv2.crt",
                                                    "-key", hv2.pkidir / "hv2.key", "-CAfile", hv2.pkidir / "ca.crt", "-Verify", "1"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        events = len(hv1.audit())
        uses(hv1, [hv2])
        wait_until(lambda: any(event["event"] == "refused" and "does not talk to the role hypervisor" in event["reason"] for event in hv1.audit()[events:]),
                   lambda: f"hv1 refuses hv2: {hv1.audit()[events:]}", timeout=20)
        assert nve_in_use(hv1) is None
        assert not hv1.sas(), "keys are for NVEs"
    finally:
        server.kill()
        said, _ = server.communicate()
        uses(hv1, [former])     # back to whoever holds its VM: the other would get it after 60 s
        hv2.start("hvagent")
    assert b"hv1" not in said, "no Hello"
    settle(pair)
    uses(hv1, list(pair.nves.values()))


@pytest.mark.requirement(17, 19)
def test_port_of_a_vm_that_is_not_known(pair):
    """libvirt's port (vm-id) without a network is closed as long as nobody has told of its VM; one without a VM of libvirt's is an ordinary port."""
    settle(pair)
    hv1 = pair.hosts["hv1"]
    hv1.vsctl("add-port", "br-int", "vnet9", "--", "set", "Interface", "vnet9", "type=internal", "external_ids:iface-id=one",
              'external_ids:vm-id="6f6b4d0c-3f6e-4a52-9c8b-d1d9c4b1a001"', 'external_ids:attached-mac="52:54:00:00:09:09"')
    number = hv1.vsctl("get", "Interface", "vnet9", "ofport")

    def flow():
        lines = [line for line in hv1.ofctl("dump-flows", "br-int").splitlines() if f"in_port={number} " in line or "in_port=vnet9 " in line]
        return [line.split("actions=")[1] for line in lines]
    try:
        # This lab has no libvirt.
        wait_until(lambda: flow() == ["NORMAL"], lambda: f"an ordinary port: {flow()}", timeout=10)
        hv1.vsctl("set", "Open_vSwitch", ".", "other_config:nvo3-libvirt-uri=test+unix:///no-such-libvirt")
        wait_until(lambda: flow() == ["drop"], lambda: f"closed: {flow()}", timeout=10)
        hv1.vsctl("remove", "Interface", "vnet9", "external_ids", "vm-id")
        wait_until(lambda: flow() == ["NORMAL"], lambda: f"an ordinary port: {flow()}", timeout=10)
    finally:
        hv1.vsctl("set", "Open_vSwitch", ".", "other_config:nvo3-libvirt-uri=none")
        hv1.vsctl("del-port", "br-int", "vnet9")
    settle(pair)
