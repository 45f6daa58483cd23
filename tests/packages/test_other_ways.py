# SPDX-License-Identifier: Apache-2.0
"""Hosts that come from somewhere else or do something else: an external NVE, OVS IPsec."""

from lab import wait_until

OPERATIONS = "doc/operations/"
QUICK_START = OPERATIONS + "quick-start.md"


def test_external_nve(readers):
    """A hypervisor and an NVE, in the place of hv2."""
    reader = readers({"hv1": "192.0.2.1", "nve1": "192.0.2.101", "ca": "192.0.2.9"},
                     {"hv1": ["hv1"], "hv2": ["nve1"], "nve1": ["nve1"], "both": ["hv1", "nve1"], "ca": ["ca"]})
    reader.follow(QUICK_START, ["1"])
    reader.follow(QUICK_START, ["3"], replace=[("192.0.2.2/", "192.0.2.101/")])
    reader.follow(QUICK_START, ["4"], until="add-port")
    reader.follow(QUICK_START, ["6"], until="ping", replace=[("10.0.0.2", "10.0.0.9")])
    reader.follow(OPERATIONS + "external-nve.md")
    hv1, nve1 = reader.machines["hv1"], reader.machines["nve1"]
    for machine in (hv1, nve1):
        wait_until(lambda machine=machine: "52:54:00:00:00:01" in machine.run("ovs-appctl -t hvagent tsi/show").stdout,
                   lambda machine=machine: f"{machine.name} has the interface: " + machine.run("ovs-appctl -t hvagent tsi/show; ovs-appctl -t hvagent peer/show").stdout)
    # A VM of the NVE itself in the same network.
    nve1.run("ip -n test link set eth0 address 52:54:00:00:00:09; ovs-vsctl set Interface test0 external_ids:nvo3-vn=5001 external_ids:attached-mac=52:54:00:00:00:09")
    with reader.machines.capture() as capture:
        wait_until(lambda: hv1.run("ip netns exec test ping -c 3 -i 0.2 -W 2 10.0.0.9", check=False).returncode == 0, "the VM reaches its network through the NVE")
    summary = capture.summary()
    assert summary.esp >= 6 and summary.other == 0, summary.strangers


def test_from_ovs_ipsec(readers):
    """Two hosts as OVS IPsec leaves them: certificates of ovs-pki, a tunnel with a dst_port on a stock bridge."""
    reader = readers({"hv1": "192.0.2.1", "hv2": "192.0.2.2"}, {"hv1": ["hv1"], "hv2": ["hv2"], "both": ["hv1", "hv2"]})
    hosts = [reader.machines[name] for name in ("hv1", "hv2")]
    for machine in hosts:
        machine.run("apt install openvswitch-ipsec openvswitch-switch openvswitch-pki")
    first = hosts[0]
    first.run("ovs-pki init --force && cd /etc/ssl && for n in hv1 hv2; do ovs-pki req -u $n; ovs-pki -b sign $n switch; done; mkdir -p /etc/keys; mv /etc/ssl/hv[12]-* /etc/keys")
    first.run("cp /var/lib/openvswitch/pki/switchca/cacert.pem /etc/keys/ && ssh root@192.0.2.2 mkdir -p /etc/keys && scp /etc/keys/* root@192.0.2.2:/etc/keys/")
    for machine, peer, tunnel in ((hosts[0], hosts[1], "tun2"), (hosts[1], hosts[0], "tun1")):
        name = machine.name
        machine.run(f"ovs-vsctl set Open_vSwitch . other_config:certificate=/etc/keys/{name}-cert.pem other_config:private_key=/etc/keys/{name}-privkey.pem "
                    f"other_config:ca_cert=/etc/keys/cacert.pem -- add-br br-int -- set bridge br-int datapath_type=netdev -- add-port br-int {tunnel} "
                    f"-- set interface {tunnel} type=geneve options:remote_ip={peer.address} options:key=5001 options:dst_port=6081")
    page = OPERATIONS + "from-ipsec.md"
    with reader.machines.capture() as capture:
        reader.follow(page, until="remove interface")
        reader.follow(QUICK_START, ["3"])
        reader.follow(page, since="remove interface")
    for machine, tunnel in ((hosts[0], "tun2"), (hosts[1], "tun1")):
        wait_until(lambda machine=machine, tunnel=tunnel: machine.run(f"ovs-vsctl get interface {tunnel} status:nvo3_state", check=False).stdout == "up\n",
                   lambda machine=machine, tunnel=tunnel: f"{tunnel} is up: " + machine.run(f"ovs-vsctl get interface {tunnel} status error; ovs-appctl -t hvagent peer/show", check=False).stdout)
    summary = capture.summary()
    assert summary.other == 0, summary.strangers
    assert not hosts[0].run("ss -Hlun sport = :500").stdout
