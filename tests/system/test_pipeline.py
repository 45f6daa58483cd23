# SPDX-License-Identifier: Apache-2.0
"""The flows of virtual networks in a real switch: who reaches whom, what a VM may claim to be, and who else's flows stay.

tests/support/pipeline_tool takes the place of the agent, so that no NVA is needed: a world, as JSON, is what one would have told.
"""

import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

import wire
from lab import Capture, Vm, net, run, wait_until

COOKIE = "cookie=0x6e766f3300000000/-1"
FAR = {"mac": "0a:00:00:00:50:09", "addresses": ["10.50.0.9", "fd50::9"], "nve": "hv2"}


def world(nva=True, complete=True, **networks):
    """blue=(5001, mappings...): a network whose other member is hv2 at 172.31.0.2."""
    return {"nva": nva, "complete": complete, "own": "hv1",
            "vns": [{"vni": vni, "name": name, "encap": "geneve", "group": None, "members": {"hv2": ["172.31.0.1", "172.31.0.2"]},
                     "mappings": list(mappings)} for name, (vni, *mappings) in networks.items()]}


class Tool:
    """pipeline_tool on a host; it lives in the host's namespace and directories."""

    def __init__(self, host):
        self._host = host
        build = pathlib.Path(os.environ.get("NVO3_BUILDDIR", pathlib.Path(__file__).parents[2] / "build"))
        self._program = build / "tests/support/pipeline_tool"
        self._world = host.directory / "world.json"

    def start(self, state=None):
        self._host.run(self._program, "--detach", "--no-chdir", "--pidfile", "--log-file", "-vconsole:off")
        if state:
            self.tell(state)

    def tell(self, state):
        """Returns when the switch has it."""
        self._world.write_text(json.dumps(state))
        self._host.appctl("world", self._world, target="pipeline_tool")
        self.settle(state["nva"])

    def settle(self, nva=True):
        wait_until(lambda: self.flows()["settled"] if nva else not own_flows(self._host), "the switch has the flows", 10, interval=0.02)

    def flows(self):
        return self._host.appctl_json("vn/flows", target="pipeline_tool")

    def pid(self):
        return self._host.pid("pipeline_tool")

    def stop(self, number=signal.SIGTERM):
        self._host.stop("pipeline_tool", number)


def own_flows(host):
    lines = host.ofctl("--no-stats", "-OOpenFlow14", "dump-flows", "br-int", COOKIE).splitlines()
    return sorted(line.strip() for line in lines if "actions=" in line)


def trace(host, port, flow):
    """Names of the ports that a packet goes to."""
    return names(host.appctl("ofproto/trace", "--names", "br-int", f"in_port={port},{flow}"))


def names(text):
    actions = re.findall(r"Datapath actions: (.*)", text)[-1]
    return set() if actions == "drop" else {re.sub(r"^.*\)", "", part) or part for part in re.split(r",(?![^(]*\))", actions)}


def plug(lab, name, number, vn=None, addresses=None, ipv6=None):
    """A VM; its MAC and address hang on `number` alone."""
    vm = Vm(name, number, lab.hosts["hv1"], lab.plan.prefix, vni=None)     # its network is that of external_ids
    lab.vms[name] = vm
    vm.start(1400)
    if ipv6:
        net.sysctl(vm.ns, "net.ipv6.conf.eth0.disable_ipv6=0")
        net.ip(vm.ns, f"addr add {ipv6}/64 dev eth0 nodad")
    if vn:
        ids = {"nvo3-vn": vn, "attached-mac": vm.mac, "nvo3-addresses": addresses}
        vm.host.vsctl("set", "Interface", name, *(f'external_ids:{key}="{value}"' for key, value in ids.items() if value))
    return vm


class Bench:
    pass


def fail_mode(host):
    return host.vsctl("get", "Bridge", "br-int", "fail_mode"), host.vsctl("get", "Bridge", "br-int", "external_ids")


def wait_closed(bench):
    """Until the bridge has no flow but ours, which changing its fail_mode has emptied once, and ours for ports of no network."""
    def done():
        state = bench.tool.flows()
        return state["settled"] and any("NORMAL" in flow for flow in state["flows"]) and len(own_flows(bench.host)) == len(state["flows"])
    wait_until(done, "the bridge is closed but for the flows that are wanted", 10, interval=0.02)


@pytest.fixture(scope="module")
def bench(module_labs):
    """Blue a1 a2 and red b1 b2 with the same addresses, c1 in a network that is not served, p1 p2 in none."""
    bench = Bench()
    bench.lab = lab = module_labs(hosts=1, vms=0)
    bench.host = host = lab.hosts["hv1"]
    host.stop("hvagent")
    bench.a1 = plug(lab, "a1", 1, "blue", "10.50.0.1,fd50::1", ipv6="fd50::1")
    bench.a2 = plug(lab, "a2", 2, "5001")
    bench.b1 = plug(lab, "b1", 1, "red")
    bench.b2 = plug(lab, "b2", 2, "red")
    bench.c1 = plug(lab, "c1", 3, "green")
    bench.p1 = plug(lab, "p1", 4)
    bench.p2 = plug(lab, "p2", 5)
    bench.tool = Tool(host)
    bench.world = world(blue=(5001, FAR), red=(5002,))
    bench.tool.start(bench.world)
    wait_closed(bench)
    host.ofctl("add-flow", "br-int", "cookie=0x77,table=5,priority=7,actions=drop")
    yield bench
    bench.tool.stop()


@pytest.fixture(autouse=True)
def settled(bench):
    bench.tool.tell(bench.world)
    yield


def test_members_reach_each_other(bench):
    assert bench.a1.all_answered(bench.a2)
    assert bench.b1.all_answered(bench.b2)
    assert bench.p1.all_answered(bench.p2)


@pytest.mark.requirement(24)
def test_networks_with_the_same_addresses_do_not_meet(bench):
    bench.host.vsctl("del-port", "br-int", "a2")
    try:
        bench.tool.settle()
        assert bench.a1.ping("10.50.0.2", count=3) == 0     # b2 has that address, and the MAC that a1 knows
    finally:
        bench.host.vsctl("add-port", "br-int", "a2", "--", "set", "Interface", "a2", "external_ids:nvo3-vn=5001",
                         f'external_ids:attached-mac="{bench.a2.mac}"')
        wait_until(lambda: bench.a1.ping(bench.a2), "a1 reaches a2 again")


BROADCAST = "dl_dst=ff:ff:ff:ff:ff:ff"
# (what, port, packet without in_port, ports that may get it)
TRACES = [
    ("blue broadcast stays blue", "a2", f"dl_src=0a:00:00:00:50:02,{BROADCAST},dl_type=0x1234", {"a1"}),
    ("red broadcast stays red", "b1", f"dl_src=0a:00:00:00:50:01,{BROADCAST},dl_type=0x1234", {"b2"}),
    ("known MAC", "b1", "dl_src=0a:00:00:00:50:01,dl_dst=0a:00:00:00:50:02,dl_type=0x1234", {"b2"}),
    ("a port without network floods to its like", "p1", f"dl_src=0a:00:00:00:50:04,{BROADCAST},dl_type=0x1234", {"p2", "br-int"}),
    ("nor reaches a MAC of a network", "p1", "dl_src=0a:00:00:00:50:04,dl_dst=0a:00:00:00:50:01,dl_type=0x1234", {"p2", "br-int"}),
    ("a network that is not served", "c1", f"dl_src=0a:00:00:00:50:03,{BROADCAST},dl_type=0x1234", set()),
    ("another's MAC", "a2", f"dl_src=0a:00:00:00:50:01,{BROADCAST},dl_type=0x1234", set()),
    ("another's MAC, to a known one", "a2", "dl_src=0a:00:00:00:50:09,dl_dst=0a:00:00:00:50:01,dl_type=0x1234", set()),
    ("own address", "a1", "ip,dl_src=0a:00:00:00:50:01,dl_dst=0a:00:00:00:50:02,nw_src=10.50.0.1,nw_dst=10.50.0.2", {"a2"}),
    ("another's address", "a1", "ip,dl_src=0a:00:00:00:50:01,dl_dst=0a:00:00:00:50:02,nw_src=10.50.0.7,nw_dst=10.50.0.2", set()),
    ("another's address inside a VLAN", "a1", "ip,dl_vlan=7,dl_src=0a:00:00:00:50:01,dl_dst=0a:00:00:00:50:02,nw_src=10.50.0.7", set()),
    ("no IP, where addresses are known", "a1", "dl_src=0a:00:00:00:50:01,dl_dst=0a:00:00:00:50:02,dl_type=0x1234", set()),
    ("DHCP", "a1", f"udp,dl_src=0a:00:00:00:50:01,{BROADCAST},nw_src=0.0.0.0,nw_dst=255.255.255.255,udp_src=68,udp_dst=67", {"a2"}),
    ("ARP for another", "a1", f"arp,dl_src=0a:00:00:00:50:01,{BROADCAST},arp_op=2,arp_spa=10.50.0.2,arp_sha=0a:00:00:00:50:01", set()),
    ("ARP with another's MAC", "a2", f"arp,dl_src=0a:00:00:00:50:02,{BROADCAST},arp_op=2,arp_spa=10.50.0.2,arp_sha=0a:00:00:00:50:01", set()),
    ("ARP of its own", "a1", f"arp,dl_src=0a:00:00:00:50:01,{BROADCAST},arp_op=1,arp_spa=10.50.0.1,arp_tpa=10.50.0.1,arp_sha=0a:00:00:00:50:01", {"a2"}),
    ("ARP for what nobody has", "a1", f"arp,dl_src=0a:00:00:00:50:01,{BROADCAST},arp_op=1,arp_spa=10.50.0.1,arp_tpa=10.50.0.8,arp_sha=0a:00:00:00:50:01",
     {"a2"}),
    ("IPv6 of its own", "a1", "ipv6,dl_src=0a:00:00:00:50:01,dl_dst=0a:00:00:00:50:02,ipv6_src=fd50::1,ipv6_dst=fd50::2", {"a2"}),
    ("IPv6 of another", "a1", "ipv6,dl_src=0a:00:00:00:50:01,dl_dst=0a:00:00:00:50:02,ipv6_src=fd50::2,ipv6_dst=fd50::2", set()),
    ("advertisement for another", "a1", "icmp6,dl_src=0a:00:00:00:50:01,dl_dst=33:33:00:00:00:01,ipv6_src=fd50::1,ipv6_dst=ff02::1,"
     "icmpv6_type=136,nd_target=fd50::2,nd_tll=0a:00:00:00:50:01", set()),
    ("advertisement with another's MAC", "a2", "icmp6,dl_src=0a:00:00:00:50:02,dl_dst=33:33:00:00:00:01,ipv6_src=fd50::2,ipv6_dst=ff02::1,"
     "icmpv6_type=136,nd_target=fd50::2,nd_tll=0a:00:00:00:50:01", set()),
    ("solicitation with another's MAC", "a2", "icmp6,dl_src=0a:00:00:00:50:02,dl_dst=33:33:ff:00:00:07,ipv6_src=fd50::2,ipv6_dst=ff02::1:ff00:7,"
     "icmpv6_type=135,nd_target=fd50::7,nd_sll=0a:00:00:00:50:01", set()),
    ("advertisement of its own", "a1", "icmp6,dl_src=0a:00:00:00:50:01,dl_dst=33:33:00:00:00:01,ipv6_src=fd50::1,ipv6_dst=ff02::1,"
     "icmpv6_type=136,nd_target=fd50::1,nd_tll=0a:00:00:00:50:01", {"a2"}),
    ("router advertisement", "a1", "icmp6,dl_src=0a:00:00:00:50:01,dl_dst=33:33:00:00:00:01,ipv6_src=fe80::1,ipv6_dst=ff02::1,icmpv6_type=134", set()),
    ("redirect", "a1", "icmp6,dl_src=0a:00:00:00:50:01,dl_dst=0a:00:00:00:50:02,ipv6_src=fe80::1,ipv6_dst=fd50::2,icmpv6_type=137", set()),
    ("ICMPv6 in pieces", "a1", "icmp6,dl_src=0a:00:00:00:50:01,dl_dst=0a:00:00:00:50:02,ipv6_src=fd50::1,ipv6_dst=fd50::2,ip_frag=later", set()),
    ("is my address free?", "a1", "icmp6,dl_src=0a:00:00:00:50:01,dl_dst=33:33:ff:00:00:01,ipv6_src=::,ipv6_dst=ff02::1:ff00:1,"
     "icmpv6_type=135,nd_target=fd50::1", {"a2"}),
]


FROM_TUNNEL = "in_port=nvo3-geneve,tun_id={},tun_src=172.31.0.2,dl_src=0a:00:00:00:50:09,"


@pytest.mark.requirement(24)
@pytest.mark.parametrize("vni, packet, expected", [(5001, "dl_dst=0a:00:00:00:50:01", {"a1"}), (5002, "dl_dst=0a:00:00:00:50:01", {"b1"}),
                                                   (5001, BROADCAST, {"a1", "a2"}), (5001, "dl_dst=0a:00:00:00:50:77", {"a1", "a2"}),
                                                   (5003, "dl_dst=0a:00:00:00:50:01", set()), (5003, BROADCAST, set())])
def test_where_a_packet_of_the_tunnel_goes(bench, vni, packet, expected):
    wait_until(lambda: bench.host.vsctl("get", "Interface", "nvo3-geneve", "ofport") not in ("[]", "-1"), "the switch has the tunnel port", 5)
    bench.tool.settle()
    text = bench.host.appctl("ofproto/trace", "--names", "br-int", FROM_TUNNEL.format(vni) + packet)
    assert names(text) == expected
    assert "output to native tunnel" not in text       # never back


@pytest.mark.parametrize("packet, copies", [(f"dl_dst={FAR['mac']}", 1), (BROADCAST, 1), ("dl_dst=0a:00:00:00:50:02", 0)])
def test_what_goes_to_the_tunnel(bench, packet, copies):
    text = bench.host.appctl("ofproto/trace", "--names", "br-int", f"in_port=a1,dl_src=0a:00:00:00:50:01,arp,arp_op=1,arp_spa=10.50.0.1,"
                             f"arp_tpa=10.50.0.88,arp_sha=0a:00:00:00:50:01,{packet}")
    assert text.count("output to native tunnel") == copies, text


@pytest.mark.requirement(24)
@pytest.mark.parametrize("port, packet, expected", [row[1:] for row in TRACES], ids=[row[0].replace(" ", "-") for row in TRACES])
def test_where_a_packet_goes(bench, port, packet, expected):
    tunnels = {name for name in trace(bench.host, port, packet) if name.startswith(("genev", "vxlan", "tnl_push", "br-phy", "eth0"))}
    assert trace(bench.host, port, packet) - tunnels == expected


def test_false_mac_is_dropped_and_counted(bench):
    def drops():
        port = bench.host.vsctl("get", "Interface", "a2", "ofport")
        text = bench.host.ofctl("-OOpenFlow14", "dump-flows", "br-int", f"{COOKIE},table=64,in_port={port}")
        return int(re.search(r"n_packets=(\d+)", text).group(1))

    before = drops()
    net.ip(bench.a2.ns, "link set eth0 address 0a:00:00:00:50:01")
    try:
        assert bench.a2.ping(bench.a1, count=2) == 0
        wait_until(lambda: drops() > before, "the drop is counted")
    finally:
        net.ip(bench.a2.ns, f"link set eth0 address {bench.a2.mac}")
    wait_until(lambda: bench.a2.ping(bench.a1), "a2 with its own MAC reaches a1")


def neighbour(vm, address):
    return run(["ip", "-n", vm.ns, "neigh", "show", address], check=False).stdout


def test_arp_is_answered_from_the_mapping(bench):
    bench.a1.ping("10.50.0.9")
    assert f"lladdr {FAR['mac']}" in neighbour(bench.a1, "10.50.0.9")
    bench.b1.ping("10.50.0.9")          # of the other network: nobody knows it there
    assert "lladdr" not in neighbour(bench.b1, "10.50.0.9")


def test_neighbours_are_answered_from_the_mapping(bench):
    bench.a1.ping("fd50::9", options=("-6",))
    assert f"lladdr {FAR['mac']}" in neighbour(bench.a1, "fd50::9")


def test_own_address_is_not_answered(bench):
    mine = dict(mac=bench.a1.mac, addresses=["10.50.0.1"], nve="hv1")
    bench.tool.tell(world(blue=(5001, FAR, mine), red=(5002,)))
    done = bench.a1.run("arping", "-D", "-c", "1", "-w", "1", "-I", "eth0", "10.50.0.1", check=False)
    assert done.returncode == 0, done.stdout       # duplicate address detection: free
    bench.a2.ping("10.50.0.1")
    assert f"lladdr {bench.a1.mac}" in neighbour(bench.a2, "10.50.0.1")


def test_flows_are_those_that_are_wanted(bench):
    flows = bench.tool.flows()["flows"]
    assert len(own_flows(bench.host)) == len(flows)
    assert "cookie=0x77" in bench.host.ofctl("dump-flows", "br-int", "table=5")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_flows_outlive_the_agent(bench, number):
    before = own_flows(bench.host)
    bench.tool.stop(number)
    assert own_flows(bench.host) == before
    assert bench.a1.all_answered(bench.a2)
    bench.host.ofctl("add-flow", "br-int", "cookie=0x78,table=5,priority=8,actions=drop")
    age = flow_ages(bench.host)
    bench.tool.start()
    # Nothing was told yet: what is there stays, and c1 stays closed.
    bench.tool.tell(world(complete=False))
    assert own_flows(bench.host) == before
    bench.tool.tell(bench.world)
    assert own_flows(bench.host) == before
    now = flow_ages(bench.host)
    assert age and [flow for flow in age if now.get(flow, -1) < age[flow]] == []    # none was made anew
    assert bench.host.ofctl("dump-flows", "br-int", "table=5").count("cookie=0x7") == 2


def flow_ages(host):
    """Seconds by table, priority, match and actions."""
    text = host.ofctl("-OOpenFlow14", "dump-flows", "br-int", COOKIE)
    rows = re.findall(r"duration=([\d.]+)s, table=(\d+), n_packets=\d+, n_bytes=\d+,(.*)", text)
    return {f"{table} {rest}": float(age) for age, table, rest in rows}


def test_flows_come_back_when_somebody_removes_them(bench):
    before = own_flows(bench.host)
    bench.host.ofctl("del-flows", "br-int")
    wait_until(lambda: own_flows(bench.host) == before, "the flows are there again", 2, interval=0.02)
    bench.host.ofctl("add-flow", "br-int", "actions=NORMAL")
    bench.host.ofctl("add-flow", "br-int", "cookie=0x77,table=5,priority=7,actions=drop")


def no_flood(host):
    text = host.ofctl("show", "br-int")
    return {name for name, config in re.findall(r" \d+\((\S+)\): addr:\S+\n +config: +(.*)", text) if "NO_FLOOD" in config}


def test_only_ports_of_networks_are_kept_out_of_flooding(bench):
    wait_until(lambda: no_flood(bench.host) >= {"a1", "a2", "b1", "b2", "c1"}, "the ports are kept out of flooding", 5)
    assert no_flood(bench.host) - {"nvo3-geneve"} == {"a1", "a2", "b1", "b2", "c1"}


def test_tunnel_port_is_made_and_marked(bench):
    host = bench.host
    assert host.interface("nvo3-geneve", "options") == {"remote_ip": "flow", "key": "flow", "nvo3_vnis": "nva"}
    assert host.interface("nvo3-geneve", "external_ids") == {"nvo3-owner": "hvagent"}
    assert "nvo3-vxlan" not in host.vsctl("list-ports", "br-int").split()
    host.vsctl("add-port", "br-int", "other0", "--", "set", "Interface", "other0", "type=internal")
    bench.tool.tell(world())
    wait_until(lambda: "nvo3-geneve" not in host.vsctl("list-ports", "br-int").split(), "the port is removed", 5)
    assert {"other0", "a1", "p1"} <= set(host.vsctl("list-ports", "br-int").split())
    host.vsctl("del-port", "br-int", "other0")
    bench.tool.tell(world(complete=False))
    assert "nvo3-geneve" not in host.vsctl("list-ports", "br-int").split()


def test_port_of_our_name_without_our_mark_is_not_ours(bench):
    host = bench.host
    host.vsctl("add-port", "br-int", "nvo3-vxlan", "--", "set", "Interface", "nvo3-vxlan", "type=internal")
    try:
        needs_vxlan = world(blue=(5001, FAR), red=(5002,))
        needs_vxlan["vns"][1]["encap"] = "vxlan"
        for state in (needs_vxlan, bench.world, world(nva=False), bench.world):
            bench.tool.tell(state)
            # A port of ours comes and goes in the same transactions.
            wait_until(lambda: ("nvo3-geneve" in host.vsctl("list-ports", "br-int").split()) == state["nva"], "our port is as it should be", 5)
            assert host.vsctl("get", "Interface", "nvo3-vxlan", "type") == "internal"
        assert "another port has the name" in host.log("pipeline_tool")
    finally:
        host.vsctl("del-port", "br-int", "nvo3-vxlan")


def test_without_nva_nothing_of_ours_is_there(bench):
    bench.tool.tell(world(nva=False))
    assert own_flows(bench.host) == []
    wait_until(lambda: not no_flood(bench.host), "the ports take part in flooding again", 5)
    wait_until(lambda: fail_mode(bench.host) == ("[]", "{}"), "fail_mode is as it was", 5)
    wait_until(lambda: bench.p1.ping(bench.p2), "the bridge serves ports by itself again", 5)
    wait_until(lambda: "nvo3-geneve" not in bench.host.vsctl("list-ports", "br-int").split(), "the port is removed", 5)
    # Nor after a restart, if the former process left something.
    bench.tool.tell(bench.world)
    bench.tool.stop(signal.SIGKILL)
    assert own_flows(bench.host)
    wait_until(lambda: fail_mode(bench.host)[0] == "secure", "the bridge was closed", 5)
    bench.tool.start(world(nva=False))
    assert own_flows(bench.host) == []
    wait_until(lambda: not no_flood(bench.host), "the ports take part in flooding again", 5)
    wait_until(lambda: fail_mode(bench.host) == ("[]", "{}"), "the bridge is as it was", 5)
    bench.tool.tell(bench.world)
    wait_closed(bench)


SHOUT = """
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
while True:
    for frame in sys.argv[1:]:
        s.send(bytes.fromhex(frame))
    time.sleep(0.002)
"""


class Shouting:
    """A VM sends frames of `words` without end, to everybody and to the MAC address of each of `others`."""

    def __init__(self, vm, words, others):
        frames = [wire.ethernet(wire.udp(vm.address, "255.255.255.255", 7, 7, words), to, vm.mac) for to in ["ff:ff:ff:ff:ff:ff", *others]]
        self._process = subprocess.Popen([*net.inside(vm.ns), "/usr/bin/python3", "-c", SHOUT, *(frame.hex() for frame in frames)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()


@pytest.mark.requirement(24)
def test_switch_that_restarts_bridges_nobody_without_the_agent(bench):
    """No frame passes between networks while the agent is down, nor when it comes back; a port that is plugged in meanwhile gets none either."""
    host, words = bench.host, b"of the blue network"
    bench.tool.stop()
    captures = {vm.name: Capture(vm.ns, "eth0", bench.lab.directory / f"closed-{vm.name}.pcap") for vm in (bench.a2, bench.b1, bench.p1)}

    def heard(name):
        return any(words in frame for frame in captures[name].frames())
    late = None
    try:
        with Shouting(bench.a1, words, [bench.a2.mac, bench.b1.mac, bench.p1.mac]):
            wait_until(lambda: heard("a2"), "the flows outlive the agent", 5)
            host.kill("ovs-vswitchd")
            host.start("ovs-vswitchd")
            wait_until(lambda: host.ofctl("-OOpenFlow14", "dump-ports-desc", "br-int").count("(a1)"), "the switch has the ports", 10)
            assert own_flows(host) == [] and "NORMAL" not in host.ofctl("dump-flows", "br-int")
            late = plug(bench.lab, "late", 6, "red")
            captures["late"] = Capture(late.ns, "eth0", bench.lab.directory / "closed-late.pcap")
            assert bench.a1.ping(bench.a2, count=3) == 0, "closed is closed"
            bench.tool.start(bench.world)
            wait_closed(bench)
            wait_until(lambda: bench.a1.ping(bench.a2) and bench.b1.ping(bench.b2), "networks work again")
            wait_until(lambda: bench.p1.ping(bench.p2), "so do ports of none")
        for capture in captures.values():
            capture.stop()
        assert heard("a2")
        assert not heard("b1") and not heard("p1") and not heard("late")
    finally:
        if late:
            host.vsctl("--if-exists", "del-port", "br-int", "late")
        host.ofctl("add-flow", "br-int", "cookie=0x77,table=5,priority=7,actions=drop")


def test_fail_mode_of_the_operator_stays(bench):
    """A bridge that is secure already, or has a controller, is left as it is, and has no flow of ours for ports of no network."""
    host = bench.host

    def plain():
        return [flow for flow in own_flows(host) if "NORMAL" in flow]
    try:
        assert fail_mode(host)[0] == "secure" and "nvo3-fail-mode=none" in fail_mode(host)[1]
        host.vsctl("set-controller", "br-int", "tcp:127.0.0.1:1")
        wait_until(lambda: fail_mode(host) == ("[]", "{}") and not plain(), "the bridge is its controller's", 5)
        host.vsctl("del-controller", "br-int")
        wait_closed(bench)
        bench.tool.tell(world(nva=False))
        wait_until(lambda: fail_mode(host) == ("[]", "{}"), "the bridge is as it was", 5)
        host.vsctl("set-fail-mode", "br-int", "secure")
        bench.tool.tell(bench.world)
        assert fail_mode(host) == ("secure", "{}") and not plain()
        bench.tool.tell(world(nva=False))
        assert fail_mode(host) == ("secure", "{}")
        host.vsctl("set-fail-mode", "br-int", "standalone")
        bench.tool.tell(bench.world)
        wait_closed(bench)
        bench.tool.tell(world(nva=False))
        wait_until(lambda: fail_mode(host) == ("standalone", "{}"), "what the operator said is there again", 5)
    finally:
        host.vsctl("del-controller", "br-int", "--", "del-fail-mode", "br-int")
        bench.tool.tell(bench.world)
        wait_closed(bench)
        host.ofctl("add-flow", "br-int", "cookie=0x77,table=5,priority=7,actions=drop")


def test_switch_that_restarts_gets_them_again(bench):
    before = own_flows(bench.host)
    bench.host.kill("ovs-vswitchd")
    bench.host.start("ovs-vswitchd")
    wait_until(lambda: own_flows(bench.host) == before, "the flows are there again", 10, interval=0.05)
    wait_until(lambda: bench.a1.ping(bench.a2), "a1 reaches a2 again")
    wait_until(lambda: {"a1", "b1"} <= no_flood(bench.host), "the ports are kept out of flooding", 5)


# ---- Hypervisors of an external NVE ----

REMOTE = [{"name": "hv7/a", "port": "tun7", "vni": 5001, "mac": "0a:00:00:00:50:71", "addresses": ["10.50.0.71"]},
          {"name": "hv7/b", "port": "tun7", "vni": 5001, "mac": "0a:00:00:00:50:72", "addresses": []},
          {"name": "hv8/c", "port": "tun8", "vni": 5001, "mac": "0a:00:00:00:50:81", "addresses": []},
          {"name": "hv8/d", "port": "tun8", "vni": 5002, "mac": "0a:00:00:00:50:71", "addresses": ["10.50.0.71"]}]


@pytest.fixture(scope="module")
def split(bench):
    """The bench as external NVE of hv7 (IPv4) and hv8 (IPv6), with TSIs in blue and red; the MAC of hv7/a is in both."""
    for port, address in (("tun7", "172.31.0.7"), ("tun8", "fd31::8")):
        bench.host.vsctl("add-port", "br-int", port, "--", "set", "Interface", port, "type=geneve", f'options:remote_ip="{address}"', "options:key=flow",
                         "options:nvo3_role=hypervisor", "options:nvo3_vnis=5001,5002", f"options:remote_name={port}")
        wait_until(lambda: bench.host.vsctl("get", "Interface", port, "ofport") not in ("[]", "-1"), "the switch has the port", 5)
    bench.world = {**bench.world, "remote": REMOTE}
    yield bench
    bench.world = {key: value for key, value in bench.world.items() if key != "remote"}
    for port in ("tun7", "tun8"):
        bench.host.vsctl("del-port", "br-int", port)


A, B, C = (row["mac"] for row in REMOTE[:3])
# (what, network, packet, local ports that get it, copies in tunnels)
FROM_HV7 = [
    ("to a VM", 5001, f"ip,dl_src={A},dl_dst=0a:00:00:00:50:01,nw_src=10.50.0.71,nw_dst=10.50.0.1", {"a1"}, 0),
    ("to a member", 5001, f"ip,dl_src={A},dl_dst={FAR['mac']},nw_src=10.50.0.71,nw_dst=10.50.0.9", set(), 1),
    ("to another hypervisor", 5001, f"ip,dl_src={A},dl_dst={C},nw_src=10.50.0.71,nw_dst=10.50.0.81", set(), 1),
    ("not back to its own", 5001, f"ip,dl_src={A},dl_dst={B},nw_src=10.50.0.71,nw_dst=10.50.0.72", set(), 0),
    ("broadcast", 5001, f"dl_src={B},{BROADCAST},dl_type=0x1234", {"a1", "a2"}, 2),
    ("another's address", 5001, f"ip,dl_src={A},dl_dst=0a:00:00:00:50:01,nw_src=10.50.0.72,nw_dst=10.50.0.1", set(), 0),
    ("another's MAC", 5001, f"dl_src={C},dl_dst=0a:00:00:00:50:01,dl_type=0x1234", set(), 0),
    ("a MAC of nobody", 5001, "dl_src=0a:00:00:00:50:99,dl_dst=0a:00:00:00:50:01,dl_type=0x1234", set(), 0),
    ("a VM's MAC", 5001, "dl_src=0a:00:00:00:50:02,dl_dst=0a:00:00:00:50:01,dl_type=0x1234", set(), 0),
    ("another network, where it has nothing", 5002, f"ip,dl_src={A},dl_dst=0a:00:00:00:50:01,nw_src=10.50.0.71,nw_dst=10.50.0.1", set(), 0),
    ("no network", 5003, f"dl_src={B},{BROADCAST},dl_type=0x1234", set(), 0),
    ("false ARP", 5001, f"arp,dl_src={A},{BROADCAST},arp_op=2,arp_spa=10.50.0.1,arp_sha={A}", set(), 0),
]


@pytest.mark.requirement(19, 24)
@pytest.mark.parametrize("vni, packet, local, copies", [row[1:] for row in FROM_HV7], ids=[row[0].replace(" ", "-") for row in FROM_HV7])
def test_where_a_packet_of_a_hypervisor_goes(split, vni, packet, local, copies):
    text = split.host.appctl("ofproto/trace", "--names", "br-int", f"in_port=tun7,tun_id={vni},tun_src=172.31.0.7,tun_dst=172.31.0.1,{packet}")
    assert text.count("output to native tunnel") == copies, text
    assert local <= names(text) and not names(text) & {"a1", "a2", "b1", "b2", "p1", "p2"} - local, text


@pytest.mark.requirement(24)
@pytest.mark.parametrize("port, packet, copies", [("a1", f"ip,dl_src=0a:00:00:00:50:01,dl_dst={A},nw_src=10.50.0.1", 1),
                                                  ("b1", f"dl_src=0a:00:00:00:50:01,dl_dst={C},dl_type=0x1234", 2),     # unknown in red: hv8, hv2
                                                  ("a2", f"dl_src=0a:00:00:00:50:02,{BROADCAST},dl_type=0x1234", 3),    # hv7, hv8, hv2
                                                  ("p1", f"dl_src=0a:00:00:00:50:04,{BROADCAST},dl_type=0x1234", 0)])
def test_what_goes_to_hypervisors(split, port, packet, copies):
    text = split.host.appctl("ofproto/trace", "--names", "br-int", f"in_port={port},{packet}")
    assert text.count("output to native tunnel") == copies, text


def test_packet_of_a_member_goes_to_the_hypervisor(split):
    wait_until(lambda: split.host.vsctl("get", "Interface", "nvo3-geneve", "ofport") not in ("[]", "-1"), "the switch has the tunnel port", 5)
    split.tool.settle()
    text = split.host.appctl("ofproto/trace", "--names", "br-int", FROM_TUNNEL.format(5001) + f"dl_dst={A}")
    assert text.count("output to native tunnel") == 1, text
    text = split.host.appctl("ofproto/trace", "--names", "br-int", FROM_TUNNEL.format(5001) + BROADCAST)
    assert text.count("output to native tunnel") == 2 and {"a1", "a2"} <= names(text), text      # hv7, hv8, never back to members


def test_address_of_a_hypervisors_interface_is_answered_for(split):
    assert split.a1.run("arping", "-c", "1", "-w", "2", "-I", "eth0", "10.50.0.71", check=False).stdout.lower().count(A) == 1
