# SPDX-License-Identifier: Apache-2.0
"""The rule guard, enforcing, in an overlay that an NVA runs: everything of ours goes on, a foreign controller gets nowhere, the agent hears of it.

Two hosts, networks 5001 (VMs 1 and 2) and 5002 (VMs 3 and 4), the real agent.
"""

import re

import pytest

from lab import wait_until
from test_guard import Bench, refused
from test_pipeline import own_flows

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def lab(module_labs):
    lab = module_labs(wait=False, hosts=2, vms=4, nva=1, vns=2)
    for host in lab.hosts.values():
        Bench(host).mode("enforce")
    wait_all(lab)
    return lab


def wait_all(lab):
    for one, other in (("vm1", "vm2"), ("vm3", "vm4"), ("vm2", "vm1"), ("vm4", "vm3")):
        wait_until(lambda: lab.vms[one].ping(lab.vms[other]), f"{one} reaches {other}", 40)


def served(host):
    return host.appctl_json("nvo3/guard")["served"]


def quiet(lab):
    """The guard has refused nothing of ours."""
    for host in lab.hosts.values():
        assert Bench(host).state()["refused"] == Bench(host).state()["passed"] == 0, host.appctl("nvo3/guard")
        assert "OFPFMFC_EPERM" not in host.log("hvagent")


@pytest.mark.requirement(15, 24)
def test_the_agent_is_not_in_its_own_way(lab):
    """The networks work from the start, after a restart of the agent, of the switch, and of both at once, whatever comes first."""
    quiet(lab)
    hv1 = lab.hosts["hv1"]
    assert served(hv1) == [5001, 5002]
    for daemons in (("hvagent",), ("ovs-vswitchd",), ("ovs-vswitchd", "hvagent")):
        for daemon in daemons:
            hv1.kill(daemon)
        for daemon in daemons:
            hv1.start(daemon)
        wait_all(lab)
        wait_until(lambda: served(hv1) == [5001, 5002], f"the switch knows its networks after {daemons}", 10)
        quiet(lab)


@pytest.mark.requirement(15, 24)
def test_a_network_that_the_host_leaves(lab):
    """From then on it is refused even to root; flows from before carry nothing and are named; it comes back."""
    hv1, bench = lab.hosts["hv1"], Bench(lab.hosts["hv1"])
    tunnel = hv1.vsctl("get", "Interface", "nvo3-geneve", "ofport")
    flow = f"table=5,actions=set_field:5002->tun_id,set_field:172.31.0.2->tun_dst,output:{tunnel}"
    assert bench.ofctl("add-flow", flow) == ""
    nva = lab.nvas["nva1"]
    nva.ctl("vn-leave", "vn5002", "hv1")
    try:
        wait_until(lambda: served(hv1) == [5001], "hv1 has left 5002", 10)
        assert not [sa for sa in hv1.sas() if sa["vni"] == 5002]
        refused(bench, "sets_unserved_vni", "OFPFMFC_EPERM", bench.ofctl, "add-flow", flow.replace("table=5", "table=6"))
        assert re.search(r"there already: table=5, .*: sets tun_id to VNI 5002", hv1.appctl("nvo3/guard", "br-int"))
        event = wait_until(lambda: next((e for e in hv1.audit() if e["event"] == "rule_refused"), None), "the agent has heard", 5)
        assert event["bridge"] == "br-int" and event["rule"] == "sets_unserved_vni" and event["connection"].endswith("/br-int.mgmt")
        assert event["reason"] == "a flow that sets tun_id to VNI 5002, which this host does not serve"
        assert lab.vms["vm1"].ping(lab.vms["vm2"]) and not lab.vms["vm3"].ping(lab.vms["vm4"])
    finally:
        nva.ctl("vn-join", "vn5002", "hv1")
        hv1.ofctl("del-flows", "br-int", "table=5")
    wait_all(lab)
    assert served(hv1) == [5001, 5002]


@pytest.mark.requirement(15, 24)
def test_a_controller(lab):
    """What a controller of the bridge tries: into a network, out of it, past its gateway, and to delete it all."""
    hv1, bench = lab.hosts["hv1"], Bench(lab.hosts["hv1"])
    vm1, vm3, tunnel = (hv1.vsctl("get", "Interface", name, "ofport") for name in ("vm1", "vm3", "nvo3-geneve"))
    hv1.vsctl("set-controller", "br-int", "ptcp:6654:127.0.0.1")
    wait_all(lab)
    # A network that was left and joined again floods by copies until it has its group.
    wait_until(lambda: all(any(f"set_field:239.31.0.{n}->tun_dst" in flow for flow in own_flows(hv1)) for n in (1, 2)), "groups are in use", 20)
    own = own_flows(hv1)
    tries = [
        ("bypasses_pipeline", f"table=0,priority=60000,in_port={vm1},actions=output:{vm3}"),
        ("bypasses_pipeline", f"table=0,priority=60000,in_port={tunnel},actions=controller"),
        ("output_to_network", f"table=0,priority=1,in_port=local,actions=output:{vm1}"),
        ("output_to_network", f"table=0,priority=1,in_port=local,actions=set_field:5001->tun_id,output:{tunnel}"),
        ("enters_pipeline", "table=0,priority=1,in_port=local,actions=set_field:5001->reg0,goto_table:62"),
        ("uses_pipeline_table", "table=62,priority=65535,actions=normal"),
        ("sets_unserved_vni", "table=7,actions=set_field:7777->tun_id"),
    ]
    for reason, flow in tries:
        refused(bench, reason, "OFPFMFC_EPERM", bench.as_controller, "add-flow", flow)
    refused(bench, "changes_pipeline", "OFPBRC_EPERM", bench.as_controller, "del-flows", "cookie=0x6e766f3300000000/-1")
    assert bench.as_controller("add-flow", "table=7,actions=drop") == "" and bench.as_controller("del-flows") == ""
    assert own_flows(hv1) == own
    wait_all(lab)
    assert not lab.vms["vm1"].ping(lab.vms["vm3"])
    wait_until(lambda: {e["rule"] for e in hv1.audit() if e.get("connection") == "ptcp:6654:127.0.0.1"}.issuperset(r for r, _ in tries),
               "all of it is in the audit log", 5)
    assert Bench(lab.hosts["hv2"]).state()["refused"] == 0


@pytest.mark.requirement(24)
def test_a_controller_that_is_there_before_the_agent(lab):
    """The switch restarts and serves a controller first: nothing that passes the networks by is there when the agent comes, and it hears of it."""
    hv1, bench = lab.hosts["hv1"], Bench(lab.hosts["hv1"])
    vm1, vm3 = (hv1.vsctl("get", "Interface", name, "ofport") for name in ("vm1", "vm3"))
    hv1.vsctl("set-fail-mode", "br-int", "secure", "--", "set-controller", "br-int", "ptcp:6654:127.0.0.1")
    wait_all(lab)
    heard = len(hv1.audit())
    hv1.kill("hvagent")
    hv1.kill("ovs-vswitchd")
    hv1.start("ovs-vswitchd")
    assert own_flows(hv1) == []
    for reason, flow in (("bypasses_pipeline", f"table=0,priority=65535,in_port={vm1},actions=output:{vm3}"),
                         ("output_to_network", f"table=1,actions=output:{vm3}"), ("uses_pipeline_table", "table=62,priority=65535,actions=normal")):
        refused(bench, reason, "OFPFMFC_EPERM", bench.as_controller, "add-flow", flow)
    hv1.start("hvagent")
    wait_all(lab)
    assert bench.foreign() == [] and not lab.vms["vm1"].ping(lab.vms["vm3"])
    wait_until(lambda: {e.get("rule") for e in hv1.audit()[heard:] if e["event"] == "rule_refused"}
               >= {"bypasses_pipeline", "output_to_network", "uses_pipeline_table"}, "all of it is in the audit log", 5)
