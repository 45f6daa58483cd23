# SPDX-License-Identifier: Apache-2.0
"""Real libvirt, QEMU (TCG) and guests: two hypervisors and their external NVE.

hv2 has the hook, strict where a test says so; hv1 has none. vm1 (network 5001) and vm2 (5002) are at the NVE.
"""

import pytest

from lab import Guest, libvirt, wait_until
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
    """What the NVE knows of the hypervisors' interfaces: {MAC: (state, hypervisor)}."""
    tsis = lab.nves["nve1"].appctl_json("tsi/show", target="hvagent")["tsis"]
    return {tsi["mac"]: (tsi["state"], tsi["hypervisor"]) for tsi in tsis if tsi.get("hypervisor")}


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
