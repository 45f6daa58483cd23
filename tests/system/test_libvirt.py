# SPDX-License-Identifier: Apache-2.0
"""Real libvirt, QEMU (TCG) and guests: two hypervisors and their external NVE, which must know each change at once.

hv2 has the hook, strict where a test says so; hv1 has none. vm1 (network 5001) and vm2 (5002) are at the NVE; 5003 is granted to nobody.
"""

import os
import signal
import threading
import time

import pytest

from lab import Guest, LabError, libvirt, wait_until
from lab.kernel import Unavailable

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def lab(module_labs):
    try:
        libvirt.need()
    except Unavailable as reason:
        pytest.skip(str(reason))
    lab = module_labs(wait=False, hosts=2, vms=2, nves=1, vns=2, libvirt=True)
    try:
        libvirt.images(lab.hypervisors["hv1"].cache)
    except Unavailable as reason:
        pytest.skip(str(reason))
    hv2 = lab.hypervisors["hv2"]
    hv2.install_hook()
    hv2.stop("libvirtd")
    hv2.start("libvirtd")
    return lab


@pytest.fixture
def guest(lab):
    """guest(host, networks, ...) defines a guest; it is removed from all hosts at the end."""
    made = []

    def make(host, *nics, metadata=(), **options):
        one = Guest(f"g{len(made) + 1}", len(made) + 1, lab.directory, host.cache, list(nics), **options)
        made.append(one)
        one.console.unlink(missing_ok=True)
        one.define(host, one.metadata(*(line.format(*one.nics) for line in metadata)) if metadata else "")
        return one
    yield make
    for host in lab.hypervisors.values():
        host.start("libvirtd")
        host.start("hvagent")
        for one in made:
            host.virsh("destroy", one.name, check=False)
            host.virsh("undefine", one.name, check=False)
    wait_until(lambda: not known(lab), "the NVE has forgotten the guests", timeout=10)


def known(lab):
    """What the NVE knows of the hypervisors' interfaces: {(MAC, hypervisor): state}."""
    tsis = lab.nves["nve1"].appctl_json("tsi/show", target="hvagent")["tsis"]
    return {(tsi["mac"], tsi["hypervisor"]): tsi["state"] for tsi in tsis if tsi.get("hypervisor")}


def wait_known(lab, expected, what, timeout=3.0):
    """Waits until the NVE knows exactly that."""
    wait_until(lambda: known(lab) == expected, lambda: f"{what}: the NVE knows {expected}; it knows {known(lab)}", timeout)


def told(host, guest):
    """What the hypervisor's own agent says of a guest's interfaces: {MAC: row}."""
    return {tsi["mac"]: tsi for tsi in host.appctl_json("tsi/show", target="hvagent")["tsis"] if tsi.get("vm") == guest.name}


def events(host):
    return host.appctl_json("throttle/show", target="hvagent")["vm_events"]


def reaches(vm, address, timeout=15):
    wait_until(lambda: vm.ping(address), f"{vm.name} reaches {address}", timeout, interval=0)


def test_life_of_a_vm(lab, guest):
    """Start, pause, resume, NIC plugged and unplugged, reset, restart of libvirtd and of the agent, destroy."""
    hv1, vm1, vm2 = lab.hypervisors["hv1"], lab.vms["vm1"], lab.vms["vm2"]
    g = guest(hv1, ("5001", "10.50.0.11/24"), ("5002", "10.50.1.11/24", True))
    first, second = ((nic.mac, "hv1") for nic in g.nics)

    hv1.virsh("start", g.name)
    wait_known(lab, {first: "active"}, "started")
    assert told(hv1, g)[g.mac]["vm_state"] == "running"
    g.wait_boot()
    reaches(vm1, g.address)

    hv1.virsh("suspend", g.name)
    wait_known(lab, {first: "associated"}, "paused")
    hv1.virsh("resume", g.name)
    wait_known(lab, {first: "active"}, "resumed")
    reaches(vm1, g.address)

    g.attach(hv1, 1)
    wait_known(lab, {first: "active", second: "active"}, "a NIC plugged")
    reaches(vm2, "10.50.1.11")
    assert not vm1.ping("10.50.1.11"), "another network"
    g.detach(hv1, 1)
    wait_known(lab, {first: "active"}, "and unplugged", timeout=8)     # the guest has a say in it

    # Neither libvirtd nor the agent is needed for what runs.
    traffic = vm1.time_pings(g)
    hv1.kill("libvirtd")
    hv1.start("libvirtd")
    hv1.kill("hvagent")
    hv1.start("hvagent")
    wait_until(lambda: told(hv1, g).get(g.mac, {}).get("state") == "active", "the new agent has told the NVE all", timeout=10)
    assert known(lab) == {first: "active"}
    assert traffic.stop() < 2, "traffic went on"
    hv1.virsh("suspend", g.name)
    wait_known(lab, {first: "associated"}, "paused, after the restarts")
    hv1.virsh("resume", g.name)
    wait_known(lab, {first: "active"}, "resumed, after the restarts")

    g.console.write_text("")
    hv1.virsh("reset", g.name)
    g.wait_boot()
    assert known(lab) == {first: "active"}, "a reset changes nothing"
    reaches(vm1, g.address)

    hv1.virsh("destroy", g.name)
    wait_known(lab, {}, "destroyed")
    assert not vm1.ping(g.address)


@pytest.mark.requirement(22)
def test_flapping_vm(lab, guest):
    """A VM that pauses and resumes as fast as libvirt can: messages stay at its rate, its last state arrives, and a quiet VM waits for nothing."""
    hv1 = lab.hypervisors["hv1"]
    wild = guest(hv1, ("5001", "10.50.0.16/24"))
    quiet = guest(hv1, ("5001", "10.50.0.17/24"))
    for g in (wild, quiet):
        hv1.virsh("start", g.name)
    both = {(wild.mac, "hv1"): "active", (quiet.mac, "hv1"): "active"}
    wait_known(lab, both, "started")
    before, begin = events(hv1), time.monotonic()
    flaps = threading.Thread(target=lambda: hv1.virsh(*[f"suspend {wild.name}; resume {wild.name};" * 150]))
    flaps.start()
    hv1.virsh("suspend", quiet.name)
    wait_until(lambda: known(lab)[quiet.mac, "hv1"] == "associated", "the quiet VM is paused", timeout=1.5)
    flaps.join()
    lasted = time.monotonic() - begin
    after = events(hv1)
    sent = after["sent"] - before["sent"]
    assert sent <= 10 + after["vm_rate"] * (lasted + 1) + 2, f"{sent} messages in {lasted:.1f} s of 300 events"
    assert after["merged"] > before["merged"]
    wait_known(lab, {**both, (quiet.mac, "hv1"): "associated"}, "the last state arrives")
    hv1.virsh("resume", quiet.name)
    wait_known(lab, both, "resumed")


def test_metadata_wins_and_can_change(lab, guest):
    """The network of the domain's metadata counts, and its addresses bind the guest; a running guest moves to another network. QEMU's crash ends all."""
    hv1 = lab.hypervisors["hv1"]
    g = guest(hv1, ("5001", "10.50.1.12/24"), metadata=['mac="{0.mac}" vn="5002" addresses="10.50.1.12"'])
    hv1.virsh("start", g.name)
    wait_known(lab, {(g.mac, "hv1"): "active"}, "started")
    assert told(hv1, g)[g.mac]["vn"] == "5002" and told(hv1, g)[g.mac]["addresses"] == ["10.50.1.12"]
    g.wait_boot()
    reaches(lab.vms["vm2"], "10.50.1.12")
    hv1.virsh("metadata", g.name, "--uri", libvirt.METADATA, "--key", "nvo3", "--live", "--set", "<networks><interface vn='5001'/></networks>")
    wait_until(lambda: told(hv1, g)[g.mac]["vn"] == "5001" and told(hv1, g)[g.mac]["state"] == "active", "the guest is in 5001", timeout=5)
    assert not lab.vms["vm2"].ping("10.50.1.12")
    os.kill(hv1.qemu_pid(g), signal.SIGKILL)
    wait_known(lab, {}, "QEMU was killed", timeout=8)


def test_live_migration(lab, guest):
    """The NVE moves the interface when the guest runs at the destination; traffic pauses no longer than the migration lasts. And back, without a hook there."""
    hv1, hv2, vm1 = lab.hypervisors["hv1"], lab.hypervisors["hv2"], lab.vms["vm1"]
    g = guest(hv1, ("5001", "10.50.0.13/24"))
    hv1.virsh("start", g.name)
    g.wait_boot()
    reaches(vm1, g.address)
    for source, target in ((hv1, hv2), (hv2, hv1)):
        traffic = vm1.time_pings(g)
        lasted = g.migrate(source, target)
        wait_known(lab, {(g.mac, target.name): "active"}, f"migrated to {target.name}")
        reaches(vm1, g.address)
        gap = traffic.stop()
        assert gap < lasted, f"no answer for {gap:.2f} s in a migration of {lasted:.2f} s"
        wait_until(lambda: not told(source, g), f"{source.name} has forgotten it")

    # A migration that is given up changes nothing.
    hv1.virsh("migrate-setspeed", g.name, "1")
    failed = threading.Thread(target=lambda: pytest.raises(LabError, g.migrate, hv1, hv2))
    failed.start()
    wait_until(lambda: told(hv2, g).get(g.mac, {}).get("vm_state") == "incoming", "it is on its way", timeout=10)
    assert known(lab) == {(g.mac, "hv1"): "active", (g.mac, "hv2"): "associated"}, "reserved there, and at work here"
    hv1.virsh("domjobabort", g.name)
    failed.join()
    wait_until(lambda: not told(hv2, g), "hv2 has forgotten it", timeout=10)
    assert known(lab) == {(g.mac, "hv1"): "active"}
    reaches(vm1, g.address)


def strictly(host):
    host.vsctl("set", "Open_vSwitch", ".", "other_config:nvo3-hook=strict")


def leniently(host):
    host.start("hvagent")
    host.vsctl("remove", "Open_vSwitch", ".", "other_config", "nvo3-hook")


def test_strict_hook_without_the_agent_or_readable_metadata(lab, guest):
    """Who cannot be asked has granted nothing, and what cannot be read neither; virsh says why. A guest that runs is not touched. Lenient: it starts."""
    hv2 = lab.hypervisors["hv2"]
    plain = guest(hv2, ("", "10.50.0.14/24"), profile=False)
    wrong = guest(hv2, ("5001", "10.50.0.15/24"), metadata=['vn=""'])
    hv2.virsh("start", plain.name)
    strictly(hv2)
    try:
        words = hv2.virsh("start", wrong.name, check=False)
        assert "domain g2, <metadata>, <interface>: vn='' is not the name or VNI of a network" in words, words
        hv2.stop("hvagent")
        words = hv2.virsh("start", wrong.name, check=False)
        assert "nvo3: hvagent cannot be asked whether the domain's networks are granted" in words, words
        hv2.stop("libvirtd")
        hv2.start("libvirtd")
        assert hv2.virsh("domstate", plain.name) == "running", "reconnect is never refused"
        hv2.virsh("destroy", plain.name)
        assert "cannot be asked" in hv2.virsh("start", plain.name, check=False)
        leniently(hv2)
        hv2.virsh("start", wrong.name)
        assert hv2.virsh("domstate", wrong.name) == "running"
    finally:
        leniently(hv2)


def test_strict_hook(lab, guest):
    """No start without the networks, with the reason in virsh. Lenient: it starts, and its port is closed."""
    hv2, vm1 = lab.hypervisors["hv2"], lab.vms["vm1"]
    good = guest(hv2, ("5001", "10.50.0.14/24"))
    bad = guest(hv2, ("5003", "10.50.0.15/24"))
    strictly(hv2)
    try:
        words = hv2.virsh("start", bad.name, check=False)
        assert "5003" in words and "nvo3: " in words, words
        assert hv2.virsh("domstate", bad.name) == "shut off"
        assert not told(hv2, bad) and not known(lab), "nothing is left of it"
        hv2.virsh("start", good.name)
        wait_known(lab, {(good.mac, "hv2"): "active"}, "started")
    finally:
        leniently(hv2)
    hv2.virsh("start", bad.name)
    wait_until(lambda: told(hv2, bad).get(bad.mac, {}).get("state") == "refused", "its interface is refused", timeout=5)
    assert "5003" in told(hv2, bad)[bad.mac]["reason"]
    assert known(lab) == {(good.mac, "hv2"): "active"}
    good.wait_boot()
    reaches(vm1, good.address)
    assert not vm1.ping(bad.address)
