# SPDX-License-Identifier: Apache-2.0
"""Policy between networks from a file, at an external NVE without an NVA: reading it again, and what is wrong with it.

Network 5001 has vm1 at the NVE, vm2 on hv1, vm3 on hv2; 5002 has vm4 to vm6 in the same places.
"""

import pytest

from doctor import doctor, found
from lab import LabError, net, wait_until


GATEWAYS = "gateway 5001 10.50.0.254/24\ngateway 5002 10.50.1.254/24\n"
ALLOW = "100 allow from 5001 to 5002\n"


class World:
    def __init__(self, lab):
        self.lab, self.nve = lab, lab.hosts["nve1"]
        self.file = lab.directory / "policy"
        self.vms = list(lab.vms.values())
        for vm in self.vms:
            net.ip(vm.ns, f"route add default via {vm.address.rpartition('.')[0]}.254")

    def state(self):
        return self.nve.appctl_json("policy/show", target="hvagent")

    def write(self, text):
        self.file.write_text(text)

    def reload(self):
        return self.nve.appctl("policy/reload", target="hvagent")

    def settle(self):
        wait_until(lambda: self.nve.appctl_json("vn/flows", target="hvagent")["settled"], "the switch has it", timeout=10, interval=0.02)


@pytest.fixture(scope="module")
def world(module_labs):
    lab = module_labs(hosts=2, nves=1, vms=6, vns=2)
    world = World(lab)
    lab.wait_all_reach(40)
    world.write(GATEWAYS + ALLOW)
    world.nve.vsctl("set", "Open_vSwitch", ".", f"other_config:nvo3-policy={world.file}")
    wait_until(lambda: world.state()["rules"], "the NVE has read it", timeout=10)
    world.settle()
    return world


@pytest.mark.requirement(24)
@pytest.mark.parametrize("source, target", [(0, 3), (0, 4), (1, 3), (1, 4), (1, 5)], ids=["NVE itself", "NVE to hv1", "hv1 to NVE", "hv1 to itself", "hv1 to hv2"])
def test_the_nve_is_the_gateway_of_its_hypervisors(world, source, target):
    one, two = world.vms[source], world.vms[target]
    wait_until(lambda: one.ping(two), f"{one.name} reaches {two.name}", timeout=10)
    assert not two.ping(one)        # answers pass, questions do not


@pytest.mark.parametrize("text, why", [(GATEWAYS + "100 allow from 5001\n", "line 3"), (GATEWAYS + "what\n", "line 3"),
                                       ("gateway 5001 10.50.0.254/24\ngateway 5002 10.50.0.254/16\n" + ALLOW, "no route between overlapping prefixes"),
                                       (None, "No such file")])
@pytest.mark.requirement(24)
def test_a_bad_policy_never_replaces_a_good_one(world, text, why):
    try:
        if text is None:
            world.file.unlink()
        else:
            world.write(text)
        with pytest.raises(LabError, match=why):
            world.reload()
        assert why in world.state()["error"] and str(world.file) in world.state()["error"]
        assert "former policy stays in force" in world.nve.appctl("policy/show", target="hvagent")
        # What an operator looks at first; the file as it is now, and what the agent has made of it.
        lines = doctor(world.nve)
        found(lines, "fail", f"policy of file {world.file}: ", why)
        found(lines, "fail", f"policy: file {world.file}", f"{why}.*; the former policy stays in force - correct it, then ovs-appctl -t hvagent policy/reload")
        assert "\nhvagent_policy_refused 1\n" in world.nve.appctl("metrics/show", target="hvagent")
        assert world.vms[0].ping(world.vms[3])
        assert str(world.file) in (world.nve.logdir / "hvagent.log").read_text()
    finally:
        world.write(GATEWAYS + ALLOW)
        world.reload()
    assert world.state()["error"] is None
    assert "\nhvagent_policy_refused 0\n" in world.nve.appctl("metrics/show", target="hvagent")
    found(doctor(world.nve), "ok", f"policy of file {world.file}", "2 gateways, 1 rules")


def test_read_again_when_told(world):
    try:
        world.write(GATEWAYS + "100 deny from 5001 to 5002\n")
        assert world.vms[0].ping(world.vms[3])
        world.reload()
        world.settle()
        assert not world.vms[0].ping(world.vms[3]) and not world.vms[1].ping(world.vms[4])
    finally:
        world.write(GATEWAYS + ALLOW)
        world.reload()
        world.settle()
    assert world.vms[0].ping(world.vms[3])


def test_a_hypervisor_has_none(world):
    hv1 = world.lab.hosts["hv1"]
    hv1.vsctl("set", "Open_vSwitch", ".", f"other_config:nvo3-policy={world.file}")
    try:
        wait_until(lambda: any("nvo3-policy is ignored" in p["text"] for p in hv1.appctl_json("peer/show", target="hvagent")["problems"]), "it says so")
        assert "external NVE is the gateway" in hv1.appctl("policy/show", target="hvagent")
    finally:
        hv1.vsctl("remove", "Open_vSwitch", ".", "other_config", "nvo3-policy")


def test_removed_key_ends_it(world):
    world.nve.vsctl("remove", "Open_vSwitch", ".", "other_config", "nvo3-policy")
    try:
        wait_until(lambda: not world.state()["gateways"], "there is no policy", timeout=10)
        world.settle()
        assert not world.vms[0].ping(world.vms[3])
    finally:
        world.nve.vsctl("set", "Open_vSwitch", ".", f"other_config:nvo3-policy={world.file}")
    wait_until(lambda: world.vms[0].ping(world.vms[3]), "it is back", timeout=10)
