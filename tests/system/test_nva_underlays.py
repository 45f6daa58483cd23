# SPDX-License-Identifier: Apache-2.0
"""An overlay run by an NVA over other kinds of underlay: IPv6, and one without multicast."""

import pytest

import wire
from lab import Capture, wait_until


@pytest.mark.requirement(14)
@pytest.mark.parametrize("options, target", [
    ({"ipv6": True}, ["ff0e::31:1"]),
    ({"ipv6": True, "multicast": False, "level": "high"}, ["fd31::2", "fd31::3"]),
    ({"multicast": False, "encap": "vxlan"}, ["172.31.0.2", "172.31.0.3"]),
], ids=["ipv6", "ipv6-unicast-high", "unicast-vxlan"])
def test_broadcast_over(labs, options, target):
    """One broadcast of a VM leaves once for the group, or once for each other member, and each other VM hears it once."""
    lab = labs(hosts=3, vms=3, nva=1, **options)
    lab.wait_all_reach()
    host, vm = lab.hosts["hv1"], lab.vms["vm1"]
    words = b"heard by all"
    with Capture(lab.vms["vm2"].ns, "eth0", lab.directory / "vm2.pcap") as two, Capture(lab.vms["vm3"].ns, "eth0", lab.directory / "vm3.pcap") as three:
        with lab.capture() as underlay:
            wire.inject(vm.ns, "eth0", [wire.ethernet(wire.udp(vm.address, "255.255.255.255", 7, 7, words), "ff:ff:ff:ff:ff:ff", vm.mac)])
            for capture in (two, three):
                wait_until(lambda: any(words in f for f in capture.frames()), "the VM hears the broadcast", timeout=5)
    for capture in (two, three):
        assert sum(words in f for f in capture.frames()) == 1
    assert underlay.summary().other == 0, underlay.summary().strangers
    source = host.ipv6 if options.get("ipv6") else host.ipv4
    assert sorted(wire.Datagram(f).destination for f in underlay.frames() if wire.is_esp(f, source)) == target
