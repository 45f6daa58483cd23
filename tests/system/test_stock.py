# SPDX-License-Identifier: Apache-2.0
"""The switch is a complete ovs-vswitchd: on other datapaths tunnels are what they are in stock Open vSwitch."""

import time

import pytest

import wire
from lab import pcap


@pytest.mark.parametrize("encap", ["geneve", "vxlan"])
def test_clear_tunnels_of_netdev_bridges(labs, encap):
    lab = labs(datapath="netdev", encap=encap)
    with lab.capture() as capture:
        lab.wait_all_reach()
        assert lab.vms["vm1"].all_answered(lab.vms["vm2"], 5, interval=0.02)
    summary = capture.summary()
    assert summary.esp == 0 and summary.other >= 10
    ports = {wire.Datagram(f).dport for f in capture.frames() if pcap.classify(f) == "other"}
    assert ports == {wire.CLEAR_PORT[encap]}


def test_netdev_gre(labs):
    """A type that is refused on nvo3 works elsewhere."""
    lab = labs(datapath="netdev", tunnel_options=lambda host, peer: None)
    for host, peer in ((lab.hosts["hv1"], lab.hosts["hv2"]), (lab.hosts["hv2"], lab.hosts["hv1"])):
        host.vsctl("add-port", "br-int", "gre0", "--", "set", "Interface", "gre0", "type=gre", f"options:remote_ip={peer.ipv4}")
        assert host.error("gre0") == ""
    lab.wait_all_reach()


def test_nvo3_and_netdev_side_by_side(labs):
    """A netdev bridge beside nvo3 ones: its clear tunnel port is stock, the nvo3 tunnel stays protected."""
    lab = labs()
    hv1 = lab.hosts["hv1"]
    hv1.vsctl("add-br", "br-stock", "--", "set", "Bridge", "br-stock", "datapath_type=netdev",
              "--", "add-port", "br-stock", "plain0", "--", "set", "Interface", "plain0", "type=geneve", "options:remote_ip=192.0.2.9",
              "options:dst_port=6081")
    assert hv1.error("plain0") == ""
    assert "nvo3_state" not in hv1.interface("plain0", "status")
    with lab.capture() as capture:
        lab.wait_all_reach()
    assert capture.summary().other == 0


def test_datapath_types(labs):
    lab = labs(hosts=1, vms=0)
    hv1 = lab.hosts["hv1"]
    types = hv1.vsctl("get", "Open_vSwitch", ".", "datapath_types")
    assert "netdev" in types and "nvo3" in types
    assert "geneve" in hv1.vsctl("get", "Open_vSwitch", ".", "iface_types")


def test_idle_switch_sleeps(labs):
    """Hooks in the main loop must not keep it awake: an idle switch and agent use next to no time."""
    lab = labs()
    lab.wait_all_reach()
    for daemon in ("ovs-vswitchd", "hvagent"):
        stat = f"/proc/{lab.hosts['hv1'].pid(daemon)}/stat"

        def ticks():
            with open(stat) as file:
                fields = file.read().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])
        before = ticks()
        time.sleep(2)       # what is measured is this time
        assert ticks() - before < 20, daemon
