# SPDX-License-Identifier: Apache-2.0
"""Hypervisors whose network edge is another host: what hvagent tells the external NVE, and VM traffic between the two.

VMs are namespaces whose ports name their network in the database, so no libvirt has a part: the hypervisors' side, the two channels and the throttle.
"""

import time

import pytest

import wire
from lab import wait_until

VNI = 5001


@pytest.fixture(scope="module")
def lab(module_labs):
    """One NVE (vm1), two hypervisors (vm2, vm3) of different protection: hv1 high, hv2 integrity; control high on hv2's side and the NVE's."""
    lab = module_labs(wait=False, hosts=2, nves=1, vms=3, tunnel_options=lambda nve, hv: {"security_level": {"hv1": "high", "hv2": "integrity"}[hv.name]})
    for hv, level in (("hv1", "high"), ("hv2", "integrity")):
        uses(lab.hosts[hv], [lab.hosts["nve1"]], level)
    for host in lab.hosts.values():
        setting(host, "nvo3-control-level=high")
    settle(lab)
    return lab


@pytest.fixture(scope="module")
def pair(module_labs):
    """Two NVEs of an NVA, with hv1 (vm3) that may use both and hv2 (vm4); vm1 and vm2 are on the NVEs."""
    lab = module_labs(wait=False, hosts=2, nves=2, nva=1, vms=4, multicast=False)
    settle(lab)
    return lab


def setting(host, *pairs):
    host.vsctl("set", "Open_vSwitch", ".", *(f"other_config:{pair}" for pair in pairs))


def uses(hypervisor, nves, level=None):
    """The hypervisor's list of external NVEs."""
    setting(hypervisor, f'nvo3-nve="{" ".join(nve.ipv4 + (f"={level}" if level else "") for nve in nves)}"')


def tsis(host):
    """By the port's name: what tsi/show says of it."""
    return {tsi["port"]: tsi for tsi in host.appctl_json("tsi/show", target="hvagent")["tsis"]}


def state(host, port):
    return tsis(host).get(port, {}).get("state")


def throttle(host):
    return host.appctl_json("throttle/show", target="hvagent")["vm_events"]


def nve_in_use(host):
    """Name of the external NVE that a hypervisor has its control session with, or None."""
    return next((nve["name"] for nve in host.appctl_json("nve/show", target="hvagent")["nves"] if nve["in_use"]), None)


def flows(host):
    return host.appctl_json("vn/flows", target="hvagent")["flows"]


def settle(lab, timeout=40):
    """All agents run, all interfaces are active, all VMs reach each other: a defined start of each test."""
    for node in lab.nvas.values():
        node.start("nvo3-nva")
    for host in lab.hosts.values():
        host.start("hvagent")
    for vm in lab.vms.values():
        if vm.host.name in lab.hypervisors:
            wait_until(lambda: state(vm.host, vm.port) == "active", lambda: f"{vm.name} is active: {tsis(vm.host)}", timeout)
    lab.wait_all_reach(timeout)


@pytest.mark.requirement(16, 17, 21)
def test_traffic_passes_secured_only(lab):
    """VMs of two hypervisors and of the NVE reach each other by the NVE; the wire carries ESP, and of the two hypervisors none talks to the other."""
    settle(lab)
    with lab.capture() as capture:
        for one, other in (("vm2", "vm3"), ("vm2", "vm1"), ("vm3", "vm1")):
            assert lab.vms[one].all_answered(lab.vms[other], 5), f"{one} to {other}"
    summary = capture.summary()
    assert summary.other == 0, summary.strangers
    assert summary.esp > 0
    (own,) = (tsi for tsi in lab.hosts["nve1"].appctl_json("tsi/show", target="hvagent")["tsis"] if "hypervisor" not in tsi)
    assert own["state"] == "here" and not own.get("reason"), "there is no NVA to tell of it"
    hv1, hv2 = lab.hosts["hv1"].ipv4, lab.hosts["hv2"].ipv4
    assert not any(wire.is_esp(frame, hv1, hv2) or wire.is_esp(frame, hv2, hv1) for frame in capture.frames())


@pytest.mark.requirement(17, 18, 20, 25)
def test_channels_have_protection_of_their_own(lab):
    """Of one NVE one hypervisor's data is AES-256-GCM and the other's is integrity only, at once; the control sessions are high in both cases."""
    settle(lab)
    nve = lab.hosts["nve1"]
    ciphers = {name: {sa["cipher"] for sa in lab.hosts[name].sas()} for name in ("hv1", "hv2")}
    assert ciphers == {"hv1": {"aes256gcm"}, "hv2": {"aes128gmac"}}
    for name, data in (("hv1", "TLS_AES_256_GCM_SHA384"), ("hv2", "TLS_AES_128_GCM_SHA256")):
        host = lab.hosts[name]
        (peer,) = host.appctl_json("peer/show", target="hvagent")["peers"]
        assert peer["name"] == "nve1"
        assert peer["control"]["tls"].startswith("TLS_AES_256_GCM_SHA384"), "nvo3-control-level=high"
        assert peer["session"]["tls"].startswith(data), f"the data channel's of {name}"
        assert {sa["vni"] for sa in host.sas()} == {VNI}
        assert {sa["spi"] for sa in host.sas() if sa["direction"] == "out"} <= {sa["spi"] for sa in nve.sas() if sa["direction"] == "in"}
    # Integrity means that anybody can read it: what was asked for of hv2, and of nobody else.
    words = b"plain to see"
    with lab.capture() as capture:
        for name in ("vm2", "vm3"):
            vm = lab.vms[name]
            wire.inject(vm.ns, "eth0", [wire.ethernet(wire.udp(vm.address, "255.255.255.255", 7, 7, words), "ff:ff:ff:ff:ff:ff", vm.mac)] * 3)
        wait_until(lambda: any(words in f for f in capture.frames()), "the broadcast of vm3 is on the wire", timeout=5)
    assert not any(words in f for f in capture.frames() if wire.is_esp(f, lab.hosts["hv1"].ipv4, nve.ipv4))


@pytest.mark.requirement(16)
def test_hypervisor_listens_nowhere(lab):
    """No port of the hypervisor's is open: whoever wants to talk to it has to be its NVE."""
    settle(lab)
    for name in ("hv1", "hv2"):
        listening = lab.hosts[name].run("ss", "-Hltn").stdout
        assert ":6652" not in listening, listening
    assert ":6652" in lab.hosts["nve1"].run("ss", "-Hltn").stdout


@pytest.mark.requirement(17, 19)
def test_closed_until_the_nve_says_active(lab):
    """A port whose network the NVE refuses passes nothing, and tsi/show says why; once it is in a network that the NVE grants, it works."""
    settle(lab)
    vm2 = lab.vms["vm2"]
    hv1 = vm2.host
    try:
        hv1.vsctl("set", "Interface", vm2.port, "external_ids:nvo3-vn=7777")
        wait_until(lambda: state(hv1, vm2.port) == "refused", lambda: f"the NVE refuses network 7777: {tsis(hv1)}", timeout=10)
        assert "7777" in tsis(hv1)[vm2.port]["reason"]
        assert vm2.ping(lab.vms["vm1"]) == 0
        assert any(event["event"] == "refused" and "7777" in str(event) for event in hv1.audit())
        # Its former network has nothing left here: no SA, no flow.
        wait_until(lambda: not hv1.sas(), "hv1 has no SA any more", timeout=10)
        assert not any(f"reg0={VNI}" in flow for flow in flows(hv1))
    finally:
        hv1.vsctl("set", "Interface", vm2.port, f"external_ids:nvo3-vn={VNI}")
    settle(lab)


@pytest.mark.requirement(16, 17)
def test_agents_and_nve_restart(lab):
    """The agent of a hypervisor ends and comes back, then the NVE's: traffic goes on, all interfaces are told anew and active."""
    settle(lab)
    vm2, vm1 = lab.vms["vm2"], lab.vms["vm1"]
    for name in ("hv1", "nve1"):
        host = lab.hosts[name]
        ping = vm2.background_ping(vm1)
        host.kill("hvagent")
        host.start("hvagent")
        wait_until(lambda: nve_in_use(lab.hosts["hv1"]) == "nve1" and state(lab.hosts["hv1"], vm2.port) == "active", f"vm2 is active after {name} came back",
                   timeout=20)
        settle(lab)
        sent, received = ping.stop()
        assert received >= sent - 60, f"restart of {name}: {sent - received} of {sent} lost at 50 a second"


@pytest.mark.requirement(22, 23)
def test_storm_is_held_to_the_rate(lab):
    """A port that changes for ever is merged: the NVE hears of it no more often than the limit of one VM, of others without delay, and its last state is what it knows."""
    settle(lab)
    vm2 = lab.vms["vm2"]
    hv1 = vm2.host
    setting(hv1, "nvo3-throttle-vm-rate=2")
    before = throttle(hv1)
    begin = time.monotonic()
    addresses = [f"10.50.0.{n}" for n in range(100, 160)]
    for address in addresses:
        hv1.vsctl("set", "Interface", vm2.port, f'external_ids:nvo3-addresses="{address}"')
    hv1.vsctl("set", "Interface", vm2.port, f'external_ids:nvo3-addresses="{vm2.address}"')
    wait_until(lambda: not throttle(hv1)["held"], "nothing is held any more", timeout=20)
    after = throttle(hv1)
    sent = after["sent"] - before["sent"]
    assert 1 <= sent <= 4 + 2 * (time.monotonic() - begin) + 1, f"{sent} messages for {len(addresses)} changes"
    assert after["merged"] > before["merged"]
    hv1.vsctl("remove", "Open_vSwitch", ".", "other_config", "nvo3-throttle-vm-rate")
    settle(lab)


@pytest.mark.requirement(17, 19)
def test_removed_by_the_nve(lab):
    """The NVE's operator takes the network away: within seconds hv2 has no SA, no flow and a closed port, and comes back when it is given again."""
    settle(lab)
    nve, vm3 = lab.hosts["nve1"], lab.vms["vm3"]
    hv2 = vm3.host
    port = next(port for port in nve.tunnels() if nve.interface(port, "options")["remote_ip"] == hv2.ipv4)
    try:
        nve.vsctl("set", "Interface", port, "options:nvo3_vnis=5999")
        wait_until(lambda: state(hv2, vm3.port) == "refused" and not hv2.sas(), lambda: f"vm3 is closed: {tsis(hv2)}", timeout=15)
        assert vm3.ping(lab.vms["vm1"]) == 0
        assert lab.vms["vm2"].all_answered(lab.vms["vm1"]), "nobody else is concerned"
    finally:
        nve.vsctl("set", "Interface", port, f"options:nvo3_vnis={VNI}")
    settle(lab, timeout=90)


@pytest.mark.requirement(20, 25)
def test_ciphers_that_differ_are_refused_in_words(lab):
    """Hypervisor and NVE ask for different protection of data: no SA, and a sentence that says what to do."""
    settle(lab)
    vm3, nve = lab.vms["vm3"], lab.hosts["nve1"]
    hv2 = vm3.host
    try:
        uses(hv2, [nve], "confidential")
        wait_until(lambda: "make them the same" in tsis(hv2)[vm3.port].get("reason", ""), lambda: f"{tsis(hv2)}", timeout=20)
        assert not hv2.sas()
    finally:
        uses(hv2, [nve], "integrity")
    settle(lab)


@pytest.mark.requirement(16)
def test_role_and_certificate_contradict(lab):
    """A hypervisor that configuration calls an NVE has no certificate for that: it says so, and talks to nobody."""
    settle(lab)
    hv1 = lab.hosts["hv1"]
    try:
        setting(hv1, "nvo3-role=nve", "nvo3-nva=172.31.0.250")      # of which an NVE needs a certificate to talk to
        wait_until(lambda: "role hypervisor" in hv1.appctl("reload", target="hvagent", check=False), "hvagent names the certificate's role", timeout=5)
        assert nve_in_use(hv1) is None
    finally:
        setting(hv1, "nvo3-role=hypervisor")
        hv1.vsctl("remove", "Open_vSwitch", ".", "other_config", "nvo3-nva")
    settle(lab)


@pytest.mark.requirement(16, 17)
def test_network_of_an_nva(pair):
    """With an NVA: VMs of hypervisors reach those of their own NVE and of the other NVE, everything in ESP."""
    settle(pair)
    with pair.capture() as capture:
        for one in ("vm3", "vm4"):
            for other in ("vm1", "vm2"):
                assert pair.vms[one].all_answered(pair.vms[other], 3), f"{one} to {other}"
    summary = capture.summary()
    assert summary.other == 0, summary.strangers


@pytest.mark.requirement(16)
def test_fail_over_to_the_second_nve(labs):
    """The NVE in use dies: the hypervisor finds the other one, with keys of its own, and its VM is reached by it."""
    lab = labs(wait=False, hosts=1, nves=2, vms=3)
    hv1, vm3 = lab.hosts["hv1"], lab.vms["vm3"]
    wait_until(lambda: state(hv1, vm3.port) == "active", lambda: f"vm3 is active: {tsis(hv1)}", timeout=40)
    first = nve_in_use(hv1)
    second = {"nve1": "nve2", "nve2": "nve1"}[first]
    near, far = (next(vm for vm in lab.vms.values() if vm.host.name == name) for name in (first, second))
    vm3.wait_reach(near, timeout=30)
    lab.hosts[first].kill("hvagent")
    wait_until(lambda: nve_in_use(hv1) == second, f"hv1 uses {second}", timeout=20)
    vm3.wait_reach(far, timeout=30)
    assert state(hv1, vm3.port) == "active"
    assert {peer["name"] for peer in hv1.appctl_json("peer/show", target="hvagent")["peers"]} == {second}
    assert {sa["remote_ip"] for sa in hv1.sas()} == {lab.hosts[second].ipv4}, "nothing is left of the former"
