# SPDX-License-Identifier: Apache-2.0
"""VM traffic crosses the underlay as ESP and only so, for each kind of tunnel, underlay and level."""

import json

import pytest

import wire
from lab import net, wait_until

PATTERN = bytes.fromhex("6e766f332d696e6e65722d6f63746574")  # ping -p: 16 octets that must not be seen outside
KINDS = {"geneve-ipv4": ("geneve", False), "geneve-ipv6": ("geneve", True), "vxlan-ipv4": ("vxlan", False), "vxlan-ipv6": ("vxlan", True)}


@pytest.fixture(scope="module", params=KINDS)
def lab(request, module_labs):
    encap, ipv6 = KINDS[request.param]
    lab = module_labs(encap=encap, ipv6=ipv6)
    lab.wait_all_reach()
    return lab


@pytest.fixture(scope="module")
def plain_lab(module_labs):
    lab = module_labs()
    lab.wait_all_reach()
    return lab


def sees_pattern(capture):
    # A ping's payload repeats the pattern, so that each 16 octets of it hold it from some offset on.
    turns = [PATTERN[i:] + PATTERN[:i] for i in range(16)]
    return any(turn in frame for frame in capture.frames() for turn in turns)


def pings_with_pattern(lab, count=10):
    return lab.vms["vm1"].ping(lab.vms["vm2"], count, size=400, interval=0.05, options=("-p", PATTERN.hex()))


@pytest.mark.requirement(10, 11, 12)
def test_only_esp_crosses(lab):
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    before = hv1.counter("nvo3_sealed"), hv2.counter("nvo3_opened")
    with lab.capture() as capture:
        assert pings_with_pattern(lab) == 10
        report = lab.vms["vm1"].iperf(lab.vms["vm2"], "-b", "40M", seconds=1)   # no more than tcpdump can follow on a busy machine
        assert report["end"]["sum_received"]["bytes"] > 1_000_000
    summary = capture.summary()
    assert summary.other == 0, summary.strangers
    assert summary.esp > 100
    assert not sees_pattern(capture)
    assert hv1.counter("nvo3_sealed") > before[0] + 10 and hv2.counter("nvo3_opened") > before[1] + 10


def test_wire_shape(lab):
    """Addresses, ports and entropy of the outer header; one SPI a direction; sequence numbers only grow."""
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    a, b = (hv1.ipv6, hv2.ipv6) if lab.plan.ipv6 else (hv1.ipv4, hv2.ipv4)
    with lab.capture() as capture:
        assert lab.vms["vm1"].all_answered(lab.vms["vm2"], 10, interval=0.02)
    sent = [wire.Datagram(f) for f in capture.frames() if wire.is_esp(f, a, b)]
    assert len(sent) >= 10
    assert {d.dport for d in sent} == {wire.PROTECTED_PORT[lab.plan.encap]}
    assert all(49152 <= d.sport for d in sent)
    assert len({d.payload[:4] for d in sent}) == 1
    numbers = [int.from_bytes(d.payload[4:8], "big") for d in sent]
    assert numbers == sorted(set(numbers))
    received = [wire.Datagram(f) for f in capture.frames() if wire.is_esp(f, b, a)]
    assert received and received[0].payload[:4] != sent[0].payload[:4]


def test_mtu(lab):
    """The MTU that the switch announces fills the underlay's and no more."""
    vm1, vm2 = lab.vms["vm1"], lab.vms["vm2"]
    status = lab.hosts["hv1"].interface("tun2", "status")
    mtu = int(status["nvo3_effective_mtu"])
    assert vm1.mtu() == mtu
    assert mtu + int(status["nvo3_overhead"]) >= 1500
    with lab.capture() as capture:
        assert vm1.all_answered(vm2, 3, size=mtu - 28, options=("-M", "do"))
    # Ethernet header apart; padding to four octets leaves at most three unused.
    assert 1500 - 3 <= max(len(f) for f in capture.frames() if wire.is_esp(f)) - wire.ETHERNET <= 1500


def test_status_words(lab):
    status = lab.hosts["hv1"].interface("tun2", "status")
    assert status["nvo3_state"] == "up" and status["nvo3_peer"] == "hv2"
    assert status["nvo3_sas"] == "in=1 out=1"
    assert status["nvo3_cipher"] == "aes128gcm"
    assert "nvo3_error" not in status


@pytest.mark.requirement(10, 12)
def test_afxdp_underlay(labs):
    lab = labs(underlay="afxdp")
    lab.wait_all_reach()
    with lab.capture() as capture:
        assert pings_with_pattern(lab) == 10
        assert lab.vms["vm1"].all_answered(lab.vms["vm2"], 3, size=lab.vms["vm1"].mtu() - 28, options=("-M", "do"))
        lab.vms["vm1"].iperf(lab.vms["vm2"], "-b", "40M", seconds=1)
    summary = capture.summary()
    assert summary.other == 0 and summary.esp > 100, summary.strangers
    assert not sees_pattern(capture)


LEVELS = {"integrity": ("security_level", "aes128gmac"), "confidential": ("security_level", "aes128gcm"), "high": ("security_level", "aes256gcm"),
          "aes256gmac": ("cipher", "aes256gmac"), "chacha20poly1305": ("cipher", "chacha20poly1305")}


@pytest.mark.requirement(11, 12)
@pytest.mark.parametrize("level", LEVELS)
def test_level(plain_lab, level):
    """Each level, set while the tunnel is up; only those without encryption show the VM's octets."""
    option, cipher = LEVELS[level]
    with plain_lab.capture() as capture:
        for host, port in (("hv1", "tun2"), ("hv2", "tun1")):
            plain_lab.hosts[host].vsctl("remove", "Interface", port, "options", "security_level", "--", "remove", "Interface", port, "options", "cipher",
                                        "--", "set", "Interface", port, f"options:{option}={level}")
        for host, port in (("hv1", "tun2"), ("hv2", "tun1")):
            wait_until(lambda: (s := plain_lab.hosts[host].interface(port, "status")).get("nvo3_cipher") == cipher
                       and s["nvo3_state"] == "up" and s["nvo3_sas"] == "in=1 out=1", f"{port} of {host} is up with {cipher}")
        plain_lab.wait_all_reach()
        assert pings_with_pattern(plain_lab) == 10
    summary = capture.summary()
    assert summary.other == 0 and summary.esp >= 20, summary.strangers
    assert sees_pattern(capture) == ("gmac" in cipher)


VNIS = (5001, 5002, 5003)


@pytest.fixture(scope="module")
def flow_lab(module_labs):
    """Two hosts, three VMs each, one key=flow tunnel that carries three networks: vm1-vm2 in 5001, vm3-vm4 in 5002, vm5-vm6 in 5003."""
    lab = module_labs(vms=6, tunnel_options=lambda host, peer: {"key": "flow", "nvo3_vnis": ",".join(map(str, VNIS))})
    for host in lab.hosts.values():
        tunnel = host.tunnels()[0]
        host.ofctl("del-flows", "br-int")
        for vm, vni in zip((vm for vm in lab.vms.values() if vm.host is host), VNIS):
            host.ofctl("add-flow", "br-int", f"in_port={vm.port},actions=set_field:{vni}->tun_id,output:{tunnel}")
            host.ofctl("add-flow", "br-int", f"in_port={tunnel},tun_id={vni},actions=output:{vm.port}")
    return lab


PAIRS = (("vm1", "vm2"), ("vm3", "vm4"), ("vm5", "vm6"))


@pytest.mark.requirement(13, 15)
def test_key_flow_networks_are_apart(flow_lab):
    vms = flow_lab.vms
    with flow_lab.capture() as capture:
        for a, b in PAIRS:
            vms[a].wait_reach(vms[b])
        for a, b in PAIRS:
            assert vms[a].all_answered(vms[b], 5, interval=0.02)
        for a, b in (("vm1", "vm4"), ("vm3", "vm6"), ("vm5", "vm2")):
            assert vms[a].ping(vms[b]) == 0
    summary = capture.summary()
    assert summary.other == 0, summary.strangers
    # One SA for each network and direction, each with an SPI of its own on the wire.
    hv1, hv2 = flow_lab.hosts["hv1"], flow_lab.hosts["hv2"]
    for a, b in ((hv1, hv2), (hv2, hv1)):
        assert len({wire.Datagram(f).payload[:4] for f in capture.frames() if wire.is_esp(f, a.ipv4, b.ipv4)}) == 3
    assert hv1.interface("tun2", "status")["nvo3_sas"] == "in=3 out=3"
    assert sorted(sa["vni"] for sa in hv1.sas() if sa["direction"] == "out") == list(VNIS)


@pytest.mark.requirement(10, 15)
def test_key_flow_other_network_is_dropped(flow_lab):
    """A flow that sets a network which the port does not serve: nothing leaves, and it is counted."""
    hv1, vm1, vm2 = flow_lab.hosts["hv1"], flow_lab.vms["vm1"], flow_lab.vms["vm2"]
    vm1.wait_reach(vm2)
    flow = f"in_port={vm1.port}"
    hv1.ofctl("add-flow", "br-int", f"priority=40000,{flow},actions=set_field:5999->tun_id,output:tun2")
    try:
        # Other VMs may say something meanwhile: what counts is the network that the VM was in, and the one that it is not in.
        def sent():
            return {sa["spi"]: sa["packets"] for sa in hv1.sas() if sa["direction"] == "out" and sa["vni"] in (VNIS[0], 5999)}
        before, sent_before = hv1.counter("nvo3_drop_no_sa"), sent()
        with flow_lab.capture() as capture:
            assert vm1.ping(vm2, 5, interval=0.02) == 0
        assert sent() == sent_before and len(sent_before) == 1
        assert capture.summary().other == 0
        assert hv1.counter("nvo3_drop_no_sa") >= before + 5
    finally:
        hv1.ofctl("--strict", "del-flows", "br-int", f"priority=40000,{flow}")
    vm1.wait_reach(vm2)


@pytest.mark.requirement(10)
def test_remote_ip_flow(labs):
    """remote_ip=flow reaches peers that another port knows; packets to anyone else are dropped and counted."""
    lab = labs()
    lab.wait_all_reach()
    hv1, vm1, vm2 = lab.hosts["hv1"], lab.vms["vm1"], lab.vms["vm2"]
    hv1.vsctl("add-port", "br-int", "tunflow", "--", "set", "Interface", "tunflow", "type=geneve", "options:remote_ip=flow",
              "options:key=flow", "options:nvo3_vnis=5001")
    assert hv1.error("tunflow") == ""
    sealed = hv1.counter("nvo3_sealed")
    hv1.ofctl("add-flow", "br-int", f"priority=40000,in_port={vm1.port},actions=set_field:5001->tun_id,"
              f"set_field:{lab.hosts['hv2'].ipv4}->tun_dst,output:tunflow")
    assert vm1.all_answered(vm2, 5, interval=0.05)
    assert hv1.counter("nvo3_sealed") >= sealed + 5
    hv1.ofctl("add-flow", "br-int", f"priority=40000,in_port={vm1.port},actions=set_field:5001->tun_id,set_field:172.31.0.99->tun_dst,output:tunflow")
    # The next hop must resolve, else OVS drops before the tunnel: an attacker-owned address without an agent.
    lab.add_underlay_port(lab.underlay_ns, "nobody", "to-nobody")
    net.ip(lab.underlay_ns, "addr add 172.31.0.99/24 dev nobody")

    def drops():
        return hv1.counter("nvo3_drop_no_sa") + hv1.counter("nvo3_drop_unknown_peer")
    before = drops()
    with lab.capture() as capture:
        wait_until(lambda: vm1.ping(vm2, 3, interval=0.02) == 0 and drops() > before, "packets to an unknown peer are counted")
    assert not [f for f in capture.frames() if wire.is_esp(f, destination="172.31.0.99")]
    assert capture.summary().other == 0, json.dumps(capture.summary().strangers)


def test_too_big_packets_are_counted(plain_lab):
    """A VM whose MTU is the underlay's: what no longer fits is counted, and nothing crosses in another form."""
    hv1, vm1, vm2 = plain_lab.hosts["hv1"], plain_lab.vms["vm1"], plain_lab.vms["vm2"]
    mtu = vm1.mtu()
    vm1.wait_reach(vm2)
    before = hv1.counter("nvo3_too_big")
    vm1.set_mtu(1500)
    try:
        with plain_lab.capture() as capture:
            assert vm1.ping(vm2, 3, size=1500 - 28, options=("-M", "do")) == 0
    finally:
        vm1.set_mtu(mtu)
    assert hv1.counter("nvo3_too_big") >= before + 3
    assert capture.summary().other == 0, capture.summary().strangers


def test_offloaded_packets_are_refused(labs):
    """A packet that asks for a checksum or for segmentation: counted, never sent wrong; others pass."""
    lab = labs()
    hv1, vm1, vm2 = lab.hosts["hv1"], lab.vms["vm1"], lab.vms["vm2"]
    hv1.vsctl("set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true")
    hv1.kill("ovs-vswitchd")
    hv1.start("ovs-vswitchd")
    lab.wait_tunnels()
    lab.wait_all_reach()
    vm1.run("ethtool", "-K", "eth0", "tx", "on", "tso", "on")
    before = hv1.counter("nvo3_drop_offload")
    with lab.capture() as capture:
        # The first packet of a TCP connection leaves its checksum to the interface.
        vm1.run("/usr/bin/python3", "-c", f"import socket; s = socket.socket(); s.settimeout(1.5); s.connect(({vm2.address!r}, 9))", check=False)
        wait_until(lambda: hv1.counter("nvo3_drop_offload") > before, lambda: f"it is counted: {hv1.drops()}", timeout=5)
    assert capture.summary().other == 0, capture.summary().strangers
    vm1.wait_reach(vm2)
