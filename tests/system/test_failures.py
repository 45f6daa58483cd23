# SPDX-License-Identifier: Apache-2.0
"""Daemons die, restart, and are reconfigured, under traffic: nothing crosses in clear, and the tunnel comes back."""

import pytest

import wire
from lab import net, wait_until

pytestmark = pytest.mark.alone

DAEMONS = ("hvagent", "ovs-vswitchd", "ovsdb-server")


@pytest.fixture(scope="module")
def lab(module_labs):
    lab = module_labs()
    lab.wait_all_reach()
    return lab


def settle(lab):
    """Every tunnel up and both VMs reached, for a defined start and end of each test."""
    for host in lab.hosts.values():
        for daemon in DAEMONS:
            host.start(daemon)
    lab.wait_tunnels()
    lab.wait_all_reach()


def assert_nothing_clear(capture):
    summary = capture.summary()
    assert summary.other == 0, summary.strangers
    assert summary.esp > 0


@pytest.mark.requirement(10)
@pytest.mark.parametrize("name", ["hv1", "hv2"])
@pytest.mark.parametrize("daemon", DAEMONS)
def test_kill_9(lab, daemon, name):
    settle(lab)
    host, other = lab.hosts[name], lab.hosts["hv2" if name == "hv1" else "hv1"]
    vm1, vm2 = lab.vms["vm1"], lab.vms["vm2"]
    with lab.capture() as capture:
        traffic = vm1.background_ping(vm2, interval=0.01)
        try:
            vm1.wait_reach(vm2)
            host.kill(daemon)
            # The live SAs carry on without an agent. Without its database Open vSwitch's main loop, which forwards for ports
            # without PMD threads, stands still: that is stock behaviour, so the count of answers says nothing there.
            answers = vm1.ping(vm2, 20, interval=0.02)
            assert daemon == "ovsdb-server" or answers == (20 if daemon == "hvagent" else 0)
            host.start(daemon)
            for one in (host, other):
                for port in one.tunnels():
                    one.wait_tunnel(port)
            vm1.wait_reach(vm2)
            assert vm1.all_answered(vm2, 20, interval=0.02)
        finally:
            traffic.stop()
    assert_nothing_clear(capture)


@pytest.mark.requirement(10, 11)
def test_switch_restart_gets_new_keys(lab):
    """A switch that lost its SAs: no SPI of before is sent with again, so no counter starts anew under an old key."""
    settle(lab)
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    before = {sa["spi"] for host in (hv1, hv2) for sa in host.sas()}
    with lab.capture() as capture:
        hv1.kill("ovs-vswitchd")
        hv1.start("ovs-vswitchd")
        lab.wait_tunnels()
        lab.wait_all_reach()
    used = {int.from_bytes(wire.Datagram(f).payload[:4], "big") for f in capture.frames() if wire.is_esp(f, hv1.ipv4, hv2.ipv4)}
    assert used and not used & before
    assert_nothing_clear(capture)


@pytest.mark.requirement(10)
def test_host_reboot(lab):
    """All of hv2 dies at once and comes back; the peer notices within seconds."""
    settle(lab)
    hv2, vm1, vm2 = lab.hosts["hv2"], lab.vms["vm1"], lab.vms["vm2"]
    with lab.capture() as capture:
        traffic = vm1.background_ping(vm2, interval=0.01)
        try:
            vm1.wait_reach(vm2)
            for daemon in DAEMONS:
                hv2.kill(daemon)
            for daemon in ("ovsdb-server", "ovs-vswitchd", "hvagent"):
                hv2.start(daemon)
            lab.wait_tunnels(timeout=20)
            vm1.wait_reach(vm2)
        finally:
            traffic.stop()
    assert_nothing_clear(capture)


@pytest.mark.requirement(10)
def test_agent_restart_keeps_traffic(lab):
    settle(lab)
    vm1, vm2 = lab.vms["vm1"], lab.vms["vm2"]
    traffic = vm1.background_ping(vm2, interval=0.01)
    try:
        vm1.wait_reach(vm2)
        for host in lab.hosts.values():
            host.stop("hvagent")
            host.start("hvagent")
        lab.wait_tunnels()
        assert vm1.all_answered(vm2, 20, interval=0.02)
    finally:
        sent, received = traffic.stop()
    # The first packets of a ping may meet an empty flow table; afterwards none is lost.
    assert sent > 20 and received >= sent - 2


@pytest.mark.requirement(10)
def test_no_agent_no_packet(labs):
    """Switches with tunnels but without agents, from their first packet on: nothing leaves, and the state says why."""
    lab = labs(wait=False)
    hv1, hv2, vm1, vm2 = lab.hosts["hv1"], lab.hosts["hv2"], lab.vms["vm1"], lab.vms["vm2"]
    for host in (hv1, hv2):
        host.kill("hvagent")
        host.kill("ovs-vswitchd")
    with lab.capture() as capture:
        hv1.start("ovs-vswitchd")
        hv2.start("ovs-vswitchd")
        hv1.wait_tunnel("tun2", "no-agent")
        traffic = vm1.background_ping(vm2, interval=0.01)
        assert vm1.ping(vm2, 20, interval=0.02) == 0
        traffic.stop()
    summary = capture.summary()
    assert summary.other == 0 and summary.esp == 0, summary.strangers
    settle(lab)


@pytest.mark.requirement(10)
def test_reconfiguration_under_traffic(lab):
    """Options, ports and bridges change while packets flow."""
    settle(lab)
    hv1, hv2, vm1, vm2 = lab.hosts["hv1"], lab.hosts["hv2"], lab.vms["vm1"], lab.vms["vm2"]
    with lab.capture() as capture:
        traffic = vm1.background_ping(vm2, interval=0.005)
        try:
            vm1.wait_reach(vm2)
            hv1.vsctl("set", "Interface", "tun2", "options:key=5002")
            hv1.vsctl("set", "Interface", "tun2", "options:key=5001")
            hv1.vsctl("set", "Interface", "tun2", "type=vxlan")
            hv1.vsctl("set", "Interface", "tun2", "type=geneve")
            hv1.vsctl("set", "Interface", "tun2", "options:security_level=high")
            hv1.vsctl("remove", "Interface", "tun2", "options", "security_level")
            hv1.vsctl("set", "Interface", "tun2", f'options:local_ip="{hv1.ipv4}"')
            hv1.vsctl("del-port", "br-int", "tun2")
            hv1.add_tunnel(hv2)
            hv1.vsctl("set", "Open_vSwitch", ".", "other_config:nvo3-listen=0.0.0.0:6652")
            settle(lab)
        finally:
            traffic.stop()
    assert_nothing_clear(capture)


@pytest.mark.requirement(10)
def test_bridge_turned_to_another_datapath(labs):
    """br-int leaves the nvo3 datapath while the underlay stays: the tunnel must not become a clear one."""
    lab = labs()
    lab.wait_all_reach()
    hv1, vm1, vm2 = lab.hosts["hv1"], lab.vms["vm1"], lab.vms["vm2"]
    with lab.capture() as capture:
        traffic = vm1.background_ping(vm2, interval=0.01)
        hv1.vsctl("set", "Bridge", "br-int", "datapath_type=netdev")
        assert vm1.ping(vm2, 20, interval=0.02) == 0
        hv1.vsctl("set", "Bridge", "br-int", "datapath_type=nvo3")
        settle(lab)
        traffic.stop()
    assert_nothing_clear(capture)


@pytest.mark.requirement(10)
def test_underlay_cut(lab):
    """The underlay is cut for longer than the keep-alive's patience: noticed, and all recovers."""
    settle(lab)
    hv1 = lab.hosts["hv1"]
    net.ip(lab.underlay_ns, "link set hv2 nomaster")
    try:
        wait_until(lambda: hv1.appctl_json("peer/show", target="hvagent")["peers"][0].get("session", "none") == "none",
                   "hv1 notices that hv2 is gone", timeout=20)
    finally:
        net.ip(lab.underlay_ns, "link set hv2 master underlay")
    settle(lab)


@pytest.mark.requirement(10)
def test_packet_out_without_key_sends_nothing(lab):
    """Actions that Open vSwitch's slow path executes: a packet that the tunnel refuses must not go on to the underlay as it is."""
    settle(lab)
    host, vm1, vm2 = lab.hosts["hv1"], lab.vms["vm1"], lab.vms["vm2"]
    for one in lab.hosts.values():
        one.stop("hvagent")
    host.stop("ovs-vswitchd")
    host.start("ovs-vswitchd")      # its keys are gone, and nobody gives it new ones

    def refused():
        vm1.ping(vm2)
        return host.drops().get("no_sa", 0)
    # From then on the outer header is complete: the next hop is known.
    wait_until(refused, "the switch refuses packets for want of an SA")

    text = b"in clear, on the wire"
    echo = bytes.fromhex("0800" + "0000" + "00010001") + text
    ip = bytes.fromhex("4500") + (20 + len(echo)).to_bytes(2, "big") + bytes.fromhex("0000400040012666" + "0a3200010a320002")
    frame = bytes.fromhex(vm2.mac.replace(":", "") + vm1.mac.replace(":", "") + "0800") + ip + echo
    before = host.drops()["no_sa"]
    with lab.capture() as capture:
        for actions in ("set_field:0->icmp_type,output:tun2", "output:tun2"):
            host.ofctl("-O", "OpenFlow15", "packet-out", "br-int", f"in_port=controller packet={frame.hex()} actions={actions}")
    assert not any(text in frame for frame in capture.frames())
    assert host.drops()["no_sa"] > before
    settle(lab)
