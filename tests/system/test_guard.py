# SPDX-License-Identifier: Apache-2.0
"""The rule guard of the switch: what OpenFlow may not do, by whichever message, and who is told of it.

Two halves: networks that a host does not serve, for everybody (one host, the test in the agent's place); the flows of hvagent, against
controllers (tests/support/pipeline_tool makes the flows). test_guard_overlay.py has both with the real agent.
"""

import pathlib
import re

import pytest

import controller
from lab import run, wait_until
from packaged import packaged
from sa_socket import SaSocket
from test_pipeline import Tool, own_flows, plug, world


TOP = pathlib.Path(__file__).resolve().parents[2]


class Bench:
    """A host with the means to ask its switch by OpenFlow, as root or as a controller."""

    def __init__(self, host, bridge="br-int"):
        self.host = host
        self.bridge = bridge

    def mode(self, value):
        self.host.vsctl("set", "Bridge", self.bridge, f"other_config:nvo3-guard={value}")

    def ofctl(self, *argv, remote=None, text_input=None):
        """ovs-ofctl; empty, or the words of an error."""
        options = [word for word in argv if word.startswith("--")]
        command, *rest = [word for word in argv if not word.startswith("--")]
        done = run([*self.host.inside(), self.host._programs.ofctl, "-OOpenFlow15", *options, command, remote or self.bridge, *rest],
                   env=self.host.env, check=False, text_input=text_input)
        return "" if done.returncode == 0 and "OFPT_ERROR" not in done.stderr else done.stderr + done.stdout or "failed"

    def as_controller(self, *argv, **options):
        """The same over a connection that is not the management socket."""
        return self.ofctl(*argv, remote="tcp:127.0.0.1:6654", **options)

    def state(self):
        return next(b for b in self.host.appctl_json("nvo3/guard", self.bridge)["bridges"])

    def flows(self, match=""):
        lines = self.host.ofctl("--no-stats", "-OOpenFlow15", "dump-flows", self.bridge, match).splitlines()
        return [line.strip() for line in lines if "actions=" in line]

    def clear(self):
        """Removes all flows and groups but hvagent's."""
        self.ofctl("del-flows", "cookie=0/-1")      # an error if there is none, as the switch's own are read-only
        assert not self.foreign()
        self.host.ofctl("-OOpenFlow15", "del-groups", self.bridge)

    def foreign(self):
        """Flows that are neither hvagent's nor the switch's own."""
        return sorted(flow for flow in self.flows() if "table=254" not in flow and "cookie=0x6e766f3300000000" not in flow)

    def groups(self):
        return re.findall(r"group_id=\d+.*", self.host.ofctl("-OOpenFlow15", "dump-groups", self.bridge))


def refused(bench, reason, words, ask, *argv, **options):
    """Asks and sees the error, that it was counted under `reason`, and that nothing has changed (of hvagent's the callers see to it)."""
    before, flows, groups = bench.state(), bench.foreign(), bench.groups()
    answer = ask(*argv, **options)
    assert words in answer, f"{argv}: {answer!r}"
    after = bench.state()
    assert after["reasons"][reason] > before["reasons"][reason], f"{argv}: {after}"
    assert after["refused"] > before["refused"]
    assert (bench.foreign(), bench.groups()) == (flows, groups), argv


# ---- Networks, whoever asks ----

@pytest.fixture(scope="module")
def bare(module_labs):
    """Tunnel `tun` (OpenFlow port 9) serves 5001 and 5002 by its own configuration; the switch has heard of no agent."""
    lab = module_labs(hosts=1, vms=0)
    host = lab.hosts["hv1"]
    host.stop("hvagent")
    host.stop("ovs-vswitchd")
    host.start("ovs-vswitchd")
    bench = Bench(host)
    host.vsctl("set", "Bridge", "br-int", "fail_mode=secure", "--",
               "add-port", "br-int", "tun", "--", "set", "Interface", "tun", "type=geneve", "ofport_request=9", "options:remote_ip=flow",
               "options:key=flow", "options:nvo3_vnis=5001,5002", "--",
               "add-port", "br-int", "one", "--", "set", "Interface", "one", "type=geneve", "ofport_request=8", "options:remote_ip=172.31.0.7",
               "options:key=5003", "options:remote_name=hv7")
    assert host.error("tun") == host.error("one") == ""
    return bench


@pytest.fixture
def networks(bare):
    """`bare`, the guard enforcing, no flows."""
    bare.mode("enforce")
    yield bare
    bare.mode("off")
    bare.clear()


# (flow, reason of the refusal or None)
FLOWS = [
    ("table=1,actions=set_field:5001->tun_id,output:9", None),
    ("table=1,actions=set_field:5003->tun_id", None),
    ("table=1,actions=set_field:7777->tun_id,output:9", "sets_unserved_vni"),
    ("table=1,actions=set_tunnel:7777", "sets_unserved_vni"),
    ("table=1,actions=load:7777->NXM_NX_TUN_ID[],output:9", "sets_unserved_vni"),
    ("table=1,actions=set_field:5001->tun_id,output:9,set_field:7777->tun_id,output:9", "sets_unserved_vni"),
    ("table=1,actions=clone(set_field:7777->tun_id,output:9)", "sets_unserved_vni"),
    ("table=1,actions=write_actions(set_field:7777->tun_id,output:9)", "sets_unserved_vni"),
    ("table=1,actions=load:1->NXM_NX_TUN_ID[0..7]", "sets_unknown_vni"),
    ("table=1,actions=move:NXM_NX_REG0[0..23]->NXM_NX_TUN_ID[0..23]", "sets_unknown_vni"),
    ("table=1,actions=push:NXM_NX_REG0[],pop:NXM_NX_TUN_ID[0..31]", "sets_unknown_vni"),
    ("table=1,actions=output:9", "output_without_vni"),
    ("table=1,actions=enqueue:9:1", "output_without_vni"),
    ("table=1,actions=output(port=9,max_len=64)", "output_without_vni"),
    ("table=1,actions=output:NXM_NX_REG0[0..15]", "output_without_vni"),
    ("table=1,actions=all", "output_without_vni"),
    ("table=1,tun_id=5001,actions=output:9", None),
    ("table=1,actions=output:8", None),
    ("table=1,actions=normal", None),
    ("table=1,tun_id=7777,actions=drop", "matches_unserved_vni"),
    ("table=1,in_port=9,tun_id=7777,actions=normal", "matches_unserved_vni"),
    ("table=1,in_port=local,tun_id=7777,actions=drop", None),
    ("table=1,in_port=9,tun_id=5002,actions=normal", None),
]


@pytest.mark.requirement(15, 24)
def test_flows(networks):
    """Each way to name a network: what is served passes, the rest is a permissions error, over any connection."""
    for flow, reason in FLOWS:
        if reason:
            refused(networks, reason, "OFPFMFC_EPERM", networks.ofctl, "add-flow", flow)
        else:
            assert networks.ofctl("add-flow", flow) == "", flow
            assert len(networks.flows()) == 1
            assert networks.ofctl("del-flows", "table=1") == ""
    log = networks.host.log("ovs-vswitchd")
    assert "bridge br-int: refused a flow that sets tun_id to VNI 7777, which this host does not serve, from punix:" in log


@pytest.mark.requirement(15, 24)
def test_changes_of_flows(networks):
    """A flow that is there is neither modified nor replaced, loosely or strictly, into one that may not be."""
    assert networks.ofctl("add-flow", "table=1,priority=5,ip,actions=drop") == ""
    assert networks.ofctl("add-flow", "table=1,priority=6,ip,tun_id=5002,actions=drop") == ""
    bad = "actions=set_field:7777->tun_id,output:9"
    refused(networks, "sets_unserved_vni", "OFPFMFC_EPERM", networks.ofctl, "mod-flows", f"table=1,{bad}")
    refused(networks, "sets_unserved_vni", "OFPFMFC_EPERM", networks.ofctl, "--strict", "mod-flows", f"table=1,priority=5,ip,{bad}")
    refused(networks, "sets_unserved_vni", "OFPFMFC_EPERM", networks.ofctl, "add-flow", f"table=1,priority=5,ip,{bad}")
    # What counts is the match of each flow that is modified: one of them has a VNI, the other has none.
    refused(networks, "output_without_vni", "OFPFMFC_EPERM", networks.ofctl, "mod-flows", "table=1,ip,actions=output:9")
    assert networks.ofctl("mod-flows", "table=1,ip,tun_id=5002,actions=output:9") == ""


@pytest.mark.requirement(15, 24)
def test_bundles(networks):
    """A bundle with one such flow is refused as a whole, wherever in it the flow is."""
    good = "table=1,priority={},actions=set_field:5001->tun_id,output:9"
    bad = "table=1,priority=9,actions=set_field:7777->tun_id,output:9"
    for at in range(3):
        lines = [f"flow add {good.format(number)}" for number in range(3)]
        lines.insert(at, f"flow add {bad}")
        refused(networks, "sets_unserved_vni", "OFPFMFC_EPERM", networks.ofctl, "bundle", "-", text_input="\n".join(lines) + "\n")
    lines = ["group group_id=4,type=all,bucket=output:9", f"flow add {good.format(1)}"]
    refused(networks, "output_without_vni", "OFPGMFC_EPERM", networks.ofctl, "bundle", "-", text_input="\n".join(lines) + "\n")
    assert networks.ofctl("bundle", "-", text_input=f"flow add {good.format(1)}\n") == ""
    assert len(networks.flows()) == 1


@pytest.mark.requirement(15, 24)
def test_groups(networks):
    """Buckets are looked at as they are made, also by a change and by an insertion."""
    good = "group_id=1,type=all,bucket=bucket_id:1,actions=set_field:5001->tun_id,output:9"
    refused(networks, "output_without_vni", "OFPGMFC_EPERM", networks.ofctl, "add-group", "group_id=1,type=all,bucket=output:9")
    assert networks.ofctl("add-group", good) == ""
    refused(networks, "sets_unserved_vni", "OFPGMFC_EPERM", networks.ofctl, "mod-group",
            "group_id=1,type=select,bucket=actions=drop,bucket=set_field:7777->tun_id,output:9")
    refused(networks, "sets_unserved_vni", "OFPGMFC_EPERM", networks.ofctl, "insert-buckets",
            "group_id=1,command_bucket_id=last,bucket=bucket_id:2,actions=set_field:7777->tun_id,output:9")
    assert networks.ofctl("insert-buckets",
                          "group_id=1,command_bucket_id=last,bucket=bucket_id:2,actions=set_field:5002->tun_id,output:9") == ""


PACKET = "packet=" + "ff" * 6 + "0a0000005001" + "1234" + "00" * 46


@pytest.mark.requirement(15, 24)
def test_packets(networks):
    """A packet that is sent by hand, and one that is said to have come from a network."""
    for words, reason in (("actions=set_field:7777->tun_id,output:9", "sets_unserved_vni"), ("actions=output:9", "output_without_vni"),
                          ("tun_id=7777,actions=drop", "sets_unserved_vni")):
        refused(networks, reason, "OFPBRC_EPERM", networks.ofctl, "packet-out", f"in_port=local,{PACKET},{words}")
    for words in ("actions=set_field:5001->tun_id,output:9", "tun_id=5002,actions=output:9", "actions=normal"):
        assert networks.ofctl("packet-out", f"in_port=local,{PACKET},{words}") == "", words


@pytest.mark.requirement(15, 24)
def test_learn(networks):
    """What a flow learns is looked at when it is learned."""
    learn = "actions=learn(table=2,priority=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:{}->NXM_NX_TUN_ID[],output:NXM_OF_IN_PORT[])"
    assert networks.ofctl("add-flow", "table=1," + learn.format(7777)) == ""
    # The error is that of the packet that would have been learned from.
    refused(networks, "sets_unserved_vni", "OFPFMFC_EPERM", networks.ofctl, "packet-out", f"in_port=local,{PACKET},actions=resubmit(,1)")
    assert networks.ofctl("add-flow", "table=1," + learn.format(5001)) == ""
    assert networks.ofctl("packet-out", f"in_port=local,{PACKET},actions=resubmit(,1)") == ""
    wait_until(lambda: networks.flows("table=2"), "the other one is learned", 5)


@pytest.mark.requirement(15, 24)
def test_modes(networks):
    """log lets pass and tells, off does neither; each counts from the next flow on; a wrong word enforces and is named."""
    bad = "table=1,actions=set_field:7777->tun_id"
    networks.mode("log")
    before = networks.state()
    assert networks.ofctl("add-flow", bad) == ""
    after = networks.state()
    assert (after["passed"], after["refused"]) == (before["passed"] + 1, before["refused"])
    wait_until(lambda: "bridge br-int: would refuse a flow that sets tun_id to VNI 7777" in networks.host.log("ovs-vswitchd"), "the log tells", 5)
    networks.mode("enforce")
    # The flow stays, and is named.
    assert len(networks.flows()) == 1
    assert "there already: table=1, priority=32768, cookie=0: sets tun_id to VNI 7777" in networks.host.appctl("nvo3/guard", "br-int")
    refused(networks, "sets_unserved_vni", "OFPFMFC_EPERM", networks.ofctl, "add-flow", bad)
    networks.mode("off")
    assert networks.ofctl("add-flow", bad) == ""
    assert networks.state()["passed"] == after["passed"]
    networks.mode("enforced")
    words = "bridge br-int: other_config:nvo3-guard=enforced is none of off, log, enforce"
    assert words in networks.host.log("ovs-vswitchd")
    assert words in networks.state()["error"]
    refused(networks, "sets_unserved_vni", "OFPFMFC_EPERM", networks.ofctl, "add-flow", bad)
    networks.host.vsctl("remove", "Bridge", "br-int", "other_config", "nvo3-guard")
    assert networks.state()["mode"] == "log" and networks.state()["error"] == ""


@pytest.mark.requirement(15, 24)
def test_what_the_agent_serves(networks):
    """Ports with nvo3_vnis=nva carry what the agent has said; its word outlives it; it hears of refusals."""
    host = networks.host
    host.vsctl("add-port", "br-int", "nva", "--", "set", "Interface", "nva", "type=vxlan", "ofport_request=7", "options:remote_ip=flow",
               "options:key=flow", "options:nvo3_vnis=nva")
    try:
        flow = "table=1,priority=6001,actions=set_field:6001->tun_id,output:7"
        refused(networks, "sets_unserved_vni", "OFPFMFC_EPERM", networks.ofctl, "add-flow", flow)
        agent = SaSocket(host)
        agent.install(1, 0x1001, "172.31.0.9", 6001, bytes(20), encap="vxlan")
        wait_until(lambda: networks.ofctl("add-flow", flow) == "", "the network of an SA is served until the agent tells", 5)
        agent.serve(6002)
        wait_until(lambda: networks.ofctl("add-flow", flow.replace("6001", "6002")) == "", "the agent has told", 5)
        refused(networks, "sets_unserved_vni", "OFPFMFC_EPERM", networks.ofctl, "add-flow", flow + ",output:7")
        while True:     # first come those that no agent was there to hear
            bridge, connection, reason, text, was_refused, count = agent.guard_notice()
            assert bridge == "br-int" and count >= 1
            if text == "a flow that sets tun_id to VNI 6001, which this host does not serve":
                break
        assert (reason, was_refused) == ("sets_unserved_vni", True)
        assert connection.endswith("/br-int.mgmt")
        agent.close()
        assert networks.ofctl("add-flow", flow.replace("6001", "6002")) == ""
        assert host.appctl_json("nvo3/guard")["served"] == [5001, 5002, 5003, 6002]
        assert "cookie=0: sets tun_id to VNI 6001" in host.appctl("nvo3/guard", "br-int"), "what was made before is named"
    finally:
        host.vsctl("del-port", "br-int", "nva")


# ---- The flows of hvagent ----

@pytest.fixture(scope="module")
def pipeline(module_labs):
    """VMs a1 a2 in network 5001, p1 in none; a controller may connect to tcp:127.0.0.1:6654."""
    lab = module_labs(hosts=1, vms=0)
    host = lab.hosts["hv1"]
    host.stop("hvagent")
    bench = Bench(host)
    bench.a1, bench.a2, bench.p1 = (plug(lab, name, number, vn) for name, number, vn in (("a1", 1, "5001"), ("a2", 2, "5001"), ("p1", 4, None)))
    host.vsctl("set", "Bridge", "br-int", "fail_mode=secure", "--", "set-controller", "br-int", "ptcp:6654:127.0.0.1")
    bench.tool = Tool(host)
    bench.tool.start(world(blue=(5001,)))
    agent = SaSocket(host)      # in the place of the real one, too
    agent.serve(5001)
    agent.close()
    bench.port = {name: host.vsctl("get", "Interface", name, "ofport") for name in ("a1", "a2", "p1", "nvo3-geneve")}
    wait_until(lambda: bench.a1.ping(bench.a2), "a1 reaches a2", 10)
    yield bench
    bench.tool.stop()


@pytest.fixture
def guarded(pipeline):
    pipeline.mode("enforce")
    pipeline.tool.settle()
    yield pipeline
    pipeline.mode("off")
    pipeline.clear()
    pipeline.tool.settle()
    assert pipeline.a1.ping(pipeline.a2), "nothing has become of the network"


# (flow with {a1} {p1} {nvo3-geneve} for ports, reason of the refusal or None)
CONTROLLER_FLOWS = [
    ("table=0,priority=39999,in_port={a1},actions=normal", None),
    ("table=0,priority=50000,in_port={a1},actions=output:{p1}", "bypasses_pipeline"),
    ("table=0,priority=40000,in_port={a1},actions=normal", "changes_pipeline"),
    ("table=0,priority=50000,in_port={a1},ip,actions=controller", "bypasses_pipeline"),
    ("table=0,priority=50000,in_port={a1},actions=drop", None),
    ("table=0,priority=50000,ip,actions=output:{p1}", "bypasses_pipeline"),
    ("table=0,priority=50000,in_port={p1},actions=normal", None),
    ("table=0,priority=50000,in_port={nvo3-geneve},actions=output:{p1}", "bypasses_pipeline"),
    ("table=0,priority=7,in_port={p1},actions=output:{a1}", "output_to_network"),
    ("table=0,priority=7,in_port={p1},actions=set_field:5001->tun_id,output:{nvo3-geneve}", "output_to_network"),
    ("table=0,priority=7,in_port={p1},actions=clone(output:{a1})", "output_to_network"),
    ("table=0,priority=7,in_port={p1},actions=output:NXM_NX_REG0[0..15]", "output_to_network"),
    ("table=0,priority=7,in_port={p1},actions=all", "output_to_network"),
    ("table=0,priority=7,in_port={p1},actions=bundle(eth_src,0,active_backup,ofport,members:{p1},{a1})", "output_to_network"),
    ("table=0,priority=7,in_port={p1},actions=set_field:5001->reg0,goto_table:62", "enters_pipeline"),
    ("table=0,priority=7,in_port={p1},actions=set_field:5001->reg0,resubmit(,60)", "enters_pipeline"),
    ("table=0,priority=7,in_port={p1},ip,actions=ct(table=62)", "enters_pipeline"),
    ("table=0,priority=7,in_port={p1},ip,actions=ct(commit,zone=5001)", "changes_connections"),
    ("table=0,priority=7,in_port={p1},ip,actions=ct(commit,zone=NXM_NX_REG0[0..15])", "changes_connections"),
    ("table=0,priority=7,in_port={p1},ip,actions=ct(commit,zone=7)", None),
    ("table=0,priority=7,in_port={p1},actions=resubmit({a1},0)", "injects_packets"),
    ("table=0,priority=7,in_port={p1},actions=load:{a1}->NXM_OF_IN_PORT[],resubmit(,0)", "injects_packets"),
    ("table=0,priority=7,in_port={p1},actions=move:NXM_NX_REG0[0..15]->NXM_OF_IN_PORT[],resubmit(,0)", "injects_packets"),
    ("table=62,actions=drop", "uses_pipeline_table"),
    ("table=75,actions=drop", "uses_pipeline_table"),
    ("table=5,cookie=0x6e766f3300000000,actions=drop", "claims_cookie"),
    ("table=5,actions=learn(table=6,cookie=0x6e766f3300000000,eth_type=0x1234)", "claims_cookie"),
    ("table=5,actions=clone(learn(table=6,cookie=0x6e766f3300000000,eth_type=0x1234))", "claims_cookie"),
    ("table=5,actions=learn(table=6,cookie=0x6e766f3300000001,eth_type=0x1234)", None),
    ("table=5,tun_id=7777,actions=drop", "matches_unserved_vni"),
    ("table=5,actions=output:{p1}", None),
]


def controller_adds(bench, flows):
    """Each flow is refused for its reason, or taken if it has none."""
    for flow, reason in flows:
        flow = flow.format(**bench.port)
        if reason:
            refused(bench, reason, "OFPFMFC_EPERM", bench.as_controller, "add-flow", flow)
        else:
            assert bench.as_controller("add-flow", flow) == "", flow
            bench.clear()


@pytest.mark.requirement(24)
def test_controllers_flows(guarded):
    """A controller may make flows of its own beside the networks, none that gets at them; root may, as far as networks are served."""
    controller_adds(guarded, CONTROLLER_FLOWS)
    assert guarded.ofctl("add-flow", "table=0,priority=50000,in_port={a1},dl_type=0x4321,actions=output:{p1}".format(**guarded.port)) == ""


@pytest.mark.requirement(24)
def test_controllers_bundles_and_groups(guarded):
    a1 = guarded.port["a1"]
    refused(guarded, "bypasses_pipeline", "OFPFMFC_EPERM", guarded.as_controller, "bundle", "-",
            text_input=f"flow add table=5,actions=drop\nflow add table=0,priority=50000,in_port={a1},actions=normal\n")
    refused(guarded, "output_to_network", "OFPGMFC_EPERM", guarded.as_controller, "add-group", f"group_id=3,type=all,bucket=output:{a1}")
    refused(guarded, "output_to_network", "OFPBRC_EPERM", guarded.as_controller, "packet-out", f"in_port=local,{PACKET},actions=output:{a1}")
    refused(guarded, "injects_packets", "OFPBRC_EPERM", guarded.as_controller, "packet-out", f"in_port={a1},{PACKET},actions=resubmit(,0)")
    refused(guarded, "enters_pipeline", "OFPBRC_EPERM", guarded.as_controller, "packet-out", f"in_port=local,{PACKET},actions=resubmit(,62)")
    assert guarded.as_controller("packet-out", f"in_port=local,{PACKET},actions=output:{guarded.port['p1']}") == ""


@pytest.mark.requirement(24)
def test_controllers_cannot_delete(guarded):
    """Deletes and modifications leave hvagent's flows alone and do the rest; if there is no rest they are an error."""
    own = own_flows(guarded.host)
    refused(guarded, "changes_pipeline", "OFPBRC_EPERM", guarded.as_controller, "del-flows", "cookie=0x6e766f3300000000/-1")
    refused(guarded, "changes_pipeline", "OFPBRC_EPERM", guarded.as_controller, "--strict", "del-flows",
            f"table=0,priority=40000,in_port={guarded.port['a1']}")
    refused(guarded, "changes_pipeline", "OFPBRC_EPERM", guarded.as_controller, "mod-flows",
            f"table=0,in_port={guarded.port['a1']},actions=normal")
    assert guarded.as_controller("add-flow", "table=5,actions=drop") == ""
    assert guarded.as_controller("del-flows") == ""
    assert guarded.foreign() == []
    assert own_flows(guarded.host) == own


@pytest.mark.requirement(24)
def test_controllers_cannot_open_ports(guarded):
    """NORMAL keeps out of the networks' ports by a flag of theirs: who could clear it would be in."""
    for port, words in (("a1", "OFPPMFC_EPERM"), ("nvo3-geneve", "OFPPMFC_EPERM"), ("p1", "")):
        done = run([*guarded.host.inside(), guarded.host._programs.ofctl, "-OOpenFlow14", "mod-port", "tcp:127.0.0.1:6654", guarded.port[port],
                    "no-forward"], env=guarded.host.env, check=False)
        assert words in done.stderr and bool(words) == ("OFPT_ERROR" in done.stderr), done.stderr
    guarded.host.ofctl("mod-port", "br-int", "p1", "forward")
    answer = guarded.as_controller("mod-table", "62", "evict") or guarded.as_controller("mod-table", "all", "evict")
    assert "OFPTMFC_EPERM" in answer
    # OpenFlow 1.1 and 1.2: a packet that matches nothing there goes on in table 60.
    done = run([*guarded.host.inside(), guarded.host._programs.ofctl, "-OOpenFlow12", "mod-table", "tcp:127.0.0.1:6654", "59", "continue"],
               env=guarded.host.env, check=False)
    assert "OFPTMFC_EPERM" in done.stderr, done.stderr
    assert guarded.as_controller("mod-table", "5", "evict") == ""


@pytest.mark.requirement(24)
def test_a_controller_that_the_switch_connects_to(guarded):
    """The same from a real controller, by raw OpenFlow; the notice names it."""
    host, port = guarded.host, {name: int(number) for name, number in guarded.port.items()}
    own = own_flows(host)
    rogue = controller.Controller(host.ns)
    agent = SaSocket(host)
    try:
        host.vsctl("set-controller", "br-int", "tcp:127.0.0.1:6653", "ptcp:6654:127.0.0.1")
        rogue.connected()
        guarded.tool.settle()
        eperm = (5, 4)      # OFPET_FLOW_MOD_FAILED, OFPFMFC_EPERM
        assert rogue.flow(table=0, priority=50000, match=controller.in_port(port["a1"]),
                          instructions=controller.apply(controller.output(port["p1"]))) == eperm
        assert rogue.flow(table=0, priority=7, instructions=controller.goto(62)) == eperm
        assert rogue.flow(table=5, instructions=controller.apply(controller.set_tunnel(7777))) == eperm
        assert rogue.flow(table=5, match=controller.tunnel_id(7777)) == eperm
        assert rogue.flow(table=5, cookie=0x6e766f3300000000) == eperm
        assert rogue.flow(table=5, priority=1, instructions=controller.apply(controller.output(port["p1"]))) is None
        assert len(guarded.flows("table=5")) == 1
        assert rogue.flow(command=controller.DELETE, table=0xff) is None
        assert guarded.flows("table=5") == []
        told = set()        # of what was refused before, notices may be waiting
        while not told >= {"bypasses_pipeline", "enters_pipeline", "sets_unserved_vni", "claims_cookie"}:
            notice = agent.guard_notice()
            told |= {notice[2]} if notice[1] == "tcp:127.0.0.1:6653" else set()
    finally:
        host.vsctl("set-controller", "br-int", "ptcp:6654:127.0.0.1")
        agent.close()
        rogue.close()
    assert own_flows(host) == own


@pytest.mark.requirement(24)
def test_learned_bypass(guarded):
    """What a controller may not say it may not have learned either, not even by a flow of root's."""
    a1, p1 = guarded.port["a1"], guarded.port["p1"]
    flow = f"table=5,actions=learn(table=0,priority=50000,dl_type=0x1234,output:NXM_OF_IN_PORT[])"
    for ask in (guarded.as_controller, guarded.ofctl):
        assert ask("add-flow", flow) == ""
        assert guarded.ofctl("add-flow", f"table=0,priority=7,in_port={p1},actions=resubmit(,5)") == ""
        guarded.p1.ping("10.50.0.1")
        wait_until(lambda: guarded.state()["reasons"]["bypasses_pipeline"], "the learned flow is refused", 5)
        assert not [each for each in guarded.flows("table=0") if "priority=50000" in each]
        guarded.clear()


@pytest.mark.requirement(24)
def test_log_mode_lets_pass(guarded):
    guarded.mode("log")
    before = guarded.state()
    flow = "table=0,priority=50000,in_port={a1},dl_type=0x4321,actions=output:{p1}".format(**guarded.port)
    assert guarded.as_controller("add-flow", flow) == ""
    state = guarded.state()
    assert state["passed"] == before["passed"] + 1 and state["refused"] == before["refused"]
    text = guarded.host.appctl("nvo3/guard", "br-int")
    assert re.search(r"there already: table=0, priority=50000, cookie=0: takes packets of port \d+ of virtual networks past", text), text
    assert "bypasses_pipeline" in text


# ---- Before the flows of hvagent are there ----

# (flow, reason of the refusal or None)
EARLY_FLOWS = [
    ("table=0,priority=65535,actions=output:{a1}", "bypasses_pipeline"),
    ("table=0,priority=65535,in_port={a1},actions=output:{a2}", "bypasses_pipeline"),
    ("table=0,priority=1,actions=normal", "bypasses_pipeline"),
    ("table=0,priority=65535,in_port={a1},actions=drop", None),
    ("table=62,priority=65535,actions=normal", "uses_pipeline_table"),
    ("table=5,actions=output:{a1}", "output_to_network"),
    ("table=5,actions=goto_table:62", "enters_pipeline"),
    ("table=5,ip,actions=ct(commit,zone=5001)", "changes_connections"),
    ("table=5,actions=normal", None),
]


def early(bench):
    assert own_flows(bench.host) == []
    controller_adds(bench, EARLY_FLOWS)
    refused(bench, "injects_packets", "OFPBRC_EPERM", bench.as_controller, "packet-out",
            f"in_port={bench.port['a1']},{PACKET},actions=output:{bench.port['a2']}")


@pytest.fixture
def absent(guarded):
    """The switch was restarted while nobody was in the agent's place; who is, is back afterwards."""
    host = guarded.host
    guarded.tool.stop()
    host.stop("ovs-vswitchd")
    host.start("ovs-vswitchd")
    yield guarded
    if not guarded.tool.pid():
        guarded.tool.start(world(blue=(5001,)))
    agent = SaSocket(host)
    agent.serve(5001)
    agent.close()


@pytest.mark.requirement(24)
def test_a_controller_that_is_there_before_the_agent(absent):
    """After a restart of the switch, and after somebody emptied its tables, it gets no further than with all flows in place; then they come."""
    host = absent.host
    assert host.vsctl("get", "Bridge", "br-int", "other_config:nvo3-pipeline").strip('"') == "true"
    early(absent)
    absent.mode("log")
    before = absent.state()
    assert absent.as_controller("add-flow", "table=0,priority=65535,in_port={a1},actions=output:{p1}".format(**absent.port)) == ""
    assert absent.state()["passed"] == before["passed"] + 1
    assert "there already: table=0, priority=65535" in host.appctl("nvo3/guard", "br-int")
    absent.clear()
    absent.mode("enforce")

    agent = SaSocket(host)
    told = set()
    while not told >= {("bypasses_pipeline", True), ("bypasses_pipeline", False), ("changes_connections", True)}:
        _, connection, reason, _, was_refused, _ = agent.guard_notice()
        assert connection.startswith("ptcp:6654") or connection.startswith("tcp:")
        told.add((reason, was_refused))
    # The flows are there before the agent has told the networks: any zone may be of one.
    absent.tool.start(world(blue=(5001,)))
    wait_until(lambda: absent.a1.ping(absent.a2), "the network is back", 10)
    flow = "table=5,ip,actions=ct(commit,zone={})"
    refused(absent, "changes_connections", "OFPFMFC_EPERM", absent.as_controller, "add-flow", flow.format(77))
    agent.serve(5001)
    agent.close()
    wait_until(lambda: absent.as_controller("add-flow", flow.format(77)) == "", "zone 77 is of no network", 5)
    refused(absent, "changes_connections", "OFPFMFC_EPERM", absent.as_controller, "add-flow", flow.format(5001))
    assert absent.as_controller("add-flow", "table=0,priority=65535,in_port={p1},actions=normal".format(**absent.port)) == ""
    absent.clear()

    own = own_flows(host)
    absent.tool.stop()
    host.ofctl("-OOpenFlow15", "del-flows", "br-int")
    early(absent)
    absent.tool.start(world(blue=(5001,)))
    assert own_flows(host) == own and absent.foreign() == []


@pytest.mark.requirement(24)
def test_the_mark_goes_when_the_package_is_purged(absent, tmp_path):
    """Not when it is removed or upgraded: whoever comes back must not find a controller there first."""
    if not (TOP / "debian").exists():
        pytest.skip("the distribution has no debian/")
    host = absent.host

    def postrm(word):
        # Logs of this machine are none of its business.
        run([*host.inside(), *packaged(tmp_path / word, "mount -t tmpfs tmpfs /var/log"), "sh", "-e", TOP / "debian/hvagent.postrm", word], env=host.env)
    for word in ("upgrade", "remove"):
        postrm(word)
        assert host.vsctl("get", "Bridge", "br-int", "other_config:nvo3-pipeline").strip('"') == "true"
        early(absent)
    before = host.vsctl("get", "Bridge", "br-int", "other_config")
    postrm("purge")
    assert "nvo3-pipeline" in before and "nvo3-guard" in host.vsctl("get", "Bridge", "br-int", "other_config")
    assert "nvo3-pipeline" not in host.vsctl("get", "Bridge", "br-int", "other_config")
    wait_until(lambda: absent.as_controller("add-flow", "table=0,priority=65535,actions=normal") == "", "it is the controller's bridge", 5)
    absent.clear()
    postrm("purge")     # nothing to do


@pytest.mark.requirement(24)
def test_bridges_that_hvagent_has_no_flows_in(guarded):
    """A controller may do anything with them, from the start on; so it may where hvagent's flows belong no longer."""
    host, other = guarded.host, Bench(guarded.host, "br-other")
    flows = ("table=0,priority=65535,actions=normal", "table=62,actions=output:1", "table=5,ip,actions=ct(commit,zone=5001)")
    host.vsctl("add-br", "br-other", "--", "set", "Bridge", "br-other", "datapath_type=nvo3", "fail_mode=secure", "other_config:nvo3-guard=enforce",
               "--", "set-controller", "br-other", "ptcp:6655:127.0.0.1")
    try:
        for flow in flows:
            assert other.ofctl("add-flow", flow, remote="tcp:127.0.0.1:6655") == "", flow
        assert other.state()["refused"] == 0
        assert "nvo3-pipeline" not in host.vsctl("get", "Bridge", "br-other", "other_config")
    finally:
        host.vsctl("del-br", "br-other")
    guarded.tool.tell(world(nva=False))
    try:
        wait_until(lambda: "nvo3-pipeline" not in host.vsctl("get", "Bridge", "br-int", "other_config"), "the mark is gone", 5)
        for flow in flows:
            assert guarded.as_controller("add-flow", flow) == "", flow
    finally:
        guarded.clear()
        guarded.tool.tell(world(blue=(5001,)))
    wait_until(lambda: "nvo3-pipeline" in host.vsctl("get", "Bridge", "br-int", "other_config"), "the mark is back", 5)
