# SPDX-License-Identifier: Apache-2.0
"""The life of two hosts with the packages, by the operators' pages alone: from a stock Open vSwitch to protected VMs, and back to the stock one."""

import re

import pytest

from lab import wait_until

OPERATIONS = "doc/operations/"
SWITCH = "/usr/lib/openvswitch-switch-nvo3/ovs-vswitchd"
STOCK = "/usr/lib/openvswitch-switch/ovs-vswitchd"
STOCK_BRIDGE = "ovs-vsctl get bridge br-before name"


@pytest.fixture(scope="module")
def pair(readers):
    reader = readers({"hv1": "192.0.2.1", "hv2": "192.0.2.2", "ca": "192.0.2.9"},
                     {"hv1": ["hv1"], "hv2": ["hv2"], "both": ["hv1", "hv2"], "ca": ["ca"], "prometheus": ["ca"]})
    hv1 = reader.machines["hv1"]
    # A host that has a switch already, and what it must have in the end.
    hv1.run("apt install openvswitch-switch && ovs-vsctl add-br br-before -- set bridge br-before datapath_type=netdev")
    return reader


def switch(machine):
    return machine.run("readlink -f /proc/$(cat /run/openvswitch/ovs-vswitchd.pid)/exe").stdout.strip()


class Ping:
    """Pings from hv1's test namespace to hv2's for as long as the block lasts; then `sent` and `received`."""

    def __init__(self, machine):
        self._machine = machine

    def __enter__(self):
        self._machine.run("nohup ip netns exec test ping -n -i 0.1 10.0.0.2 >/root/ping 2>&1 &")
        return self

    def __exit__(self, *_):
        self._machine.run("pkill -INT -x ping; while pgrep -x ping; do sleep 0.1; done")
        said = self._machine.run("cat /root/ping").stdout
        self.sent, self.received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", said).groups())

    def __repr__(self):
        return f"{self.received} of {self.sent}"


def reaches(reader):
    """Whether hv1's test namespace reaches hv2's."""
    return reader.machines["hv1"].reaches("10.0.0.2")


def test_quick_start(pair):
    pair.follow(OPERATIONS + "quick-start.md", ["1", "2", "3", "4", "5"])
    assert [switch(machine) for machine in (pair.machines["hv1"], pair.machines["hv2"])] == [SWITCH, SWITCH]
    with pair.machines.capture() as capture:
        pair.follow(OPERATIONS + "quick-start.md", ["6"])
        assert reaches(pair)
    summary = capture.summary()
    assert summary.esp >= 10 and summary.other == 0, summary
    wait_until(lambda: not doctor(pair), lambda: f"the doctor is silent: {doctor(pair)}")


def doctor(reader):
    """What nvo3-doctor says of the two, but of what machines in namespaces have not: a clock and a choice of CPU."""
    lines = []
    for name in ("hv1", "hv2"):
        done = reader.machines[name].run("nvo3-doctor -q", check=False)
        lines += [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith(("warn: clock", "warn: CPU"))]
        lines += [f"exit status {done.returncode}"] if done.returncode and not lines else []
    return lines


def test_units_hold_what_they_promise(pair):
    """The agent as it runs: nothing of root's power but reading what root owns, no new privileges, no system to write to."""
    hv1 = pair.machines["hv1"]
    status = hv1.run("cat /proc/$(cat /run/openvswitch/hvagent.pid)/status").stdout
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\s+0000000000000006$", status, re.MULTILINE), status       # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE), status
    assert hv1.run("systemctl show -p ActiveState --value hvagent openvswitch-switch").stdout.split() == ["active", "active"]
    hv1.kill_and_wait("hvagent")
    wait_until(lambda: not doctor(pair), lambda: f"the doctor is silent: {doctor(pair)}")
    assert reaches(pair)


def test_restart_of_the_machine(pair):
    """The machine comes back, with its address and its tunnel, without a hand."""
    hv1 = pair.machines["hv1"]
    hv1.reboot()
    assert hv1.run("ip -br addr show dev br-phy").stdout.split()[2:] == ["192.0.2.1/24"]
    assert hv1.run("ip -br -4 addr show dev eth1").stdout.split()[2:] == []
    assert hv1.run("sysctl -n net.ipv4.conf.eth1.arp_ignore").stdout.strip() == "1"
    wait_until(lambda: hv1.run("ovs-vsctl get interface tun2 status:nvo3_state", check=False).stdout.strip() == "up", "the tunnel is up")
    # The namespace is none of systemd's.
    pair.follow(OPERATIONS + "quick-start.md", ["6"], only=["hv1", "both"], names={"both": ["hv1"]}, replace=[("add-port", "--may-exist add-port")])
    wait_until(lambda: not doctor(pair), lambda: f"the doctor is silent: {doctor(pair)}")


def test_mtu_of_the_underlay(pair):
    """mtu.md: with an underlay of 1592 VMs keep their 1500, over a restart too."""
    pair.follow(OPERATIONS + "mtu.md")
    for name, tunnel in (("hv1", "tun2"), ("hv2", "tun1")):
        machine = pair.machines[name]
        wait_until(lambda: machine.run(f"ovs-vsctl get interface {tunnel} status:nvo3_effective_mtu", check=False).stdout == '"1500"\n', f"{name} carries 1500")
        machine.run("ip link set test0 mtu 1500; ip -n test link set eth0 mtu 1500")
    wait_until(lambda: "3 received" in pair.machines["hv1"].run("ip netns exec test ping -M do -s 1472 -c 3 -i 0.2 -W 5 10.0.0.2", check=False).stdout,
               "packets of 1500 octets are answered")
    pair.machines["hv1"].reboot()
    assert pair.machines["hv1"].run("cat /sys/class/net/eth1/mtu /sys/class/net/br-phy/mtu").stdout.split() == ["1592", "1592"]
    pair.follow(OPERATIONS + "quick-start.md", ["6"], only=["hv1", "both"], names={"both": ["hv1"]}, replace=[("add-port", "--may-exist add-port"), ("1408", "1500")])
    assert reaches(pair)


def test_pages_that_look(pair):
    pair.follow(OPERATIONS + "README.md")
    assert all(output for _, command, output in pair.follow(OPERATIONS + "drops.md") if "doctor" not in command)


def test_monitoring(pair):
    """What the timer writes is what the node exporter tells, and what Prometheus takes with our rules."""
    ca = pair.machines["ca"]
    ca.run("apt install prometheus")
    pair.follow(OPERATIONS + "monitoring.md")
    hv1 = pair.machines["hv1"]
    # As Prometheus would, from the other machine.
    tell = "import urllib.request; print(urllib.request.urlopen('http://192.0.2.1:9100/metrics').read().decode())"
    wait_until(lambda: 'nvo3_daemon_up{daemon="hvagent"} 1' in ca.run(f'python3 -c "{tell}"').stdout, "the node exporter tells our metrics", timeout=60)
    text = ca.run(f'python3 -c "{tell}"').stdout
    assert re.search(r"^nvo3_sealed_\S* [1-9]", text, re.MULTILINE), re.findall("^nvo3_seal.*", text, re.MULTILINE)
    assert hv1.run("systemctl show -p Result --value nvo3-metrics").stdout.strip() == "success"
    ca.run("printf 'rule_files: [nvo3-alerts.yml]\nscrape_configs:\n- job_name: hosts\n  static_configs:\n  - targets: [192.0.2.1:9100]\n' "
           ">/etc/prometheus/prometheus.yml && systemctl restart prometheus")
    ask = "import urllib.request; print(urllib.request.urlopen('http://localhost:9090/api/v1/rules').read().decode())"
    wait_until(lambda: "Nvo3DaemonDown" in ca.run(f'python3 -c "{ask}"', check=False).stdout, "Prometheus has the rules", timeout=60)
    # Captures below count what it fetches as a stranger's.
    ca.run("systemctl stop prometheus")


def test_beside_ovn(pair):
    """The agent's bridge is another one; what was configured in br-int goes on."""
    pair.follow(OPERATIONS + "ovn.md")
    hv1 = pair.machines["hv1"]
    assert reaches(pair)
    wait_until(lambda: not doctor(pair), lambda: f"the doctor is silent: {doctor(pair)}")
    hv1.run("ovs-vsctl remove Open_vSwitch . other_config nvo3-bridge -- del-br br-secure")


def test_rotation(pair):
    """Certificate, CRL and CA, while packets go on; a revoked host is out."""
    page, hv1 = OPERATIONS + "rotation.md", pair.machines["hv1"]
    before = hv1.run("openssl x509 -noout -serial -in /etc/nvo3/hv1.crt").stdout
    with Ping(hv1) as ping:
        pair.follow(page, ["A host's certificate", "The CA"])
    assert ping.received >= ping.sent - 1 and ping.sent > 10, ping
    assert hv1.run("openssl x509 -noout -serial -in /etc/nvo3/hv1.crt").stdout != before
    pair.follow(page, ["The revocation list"], only=["ca", "hv1"])
    # As the page goes on: the new list on every host.
    ca = pair.machines["ca"]
    ca.run("scp /root/nvo3-ca/ca.crl root@192.0.2.1:/etc/nvo3/ca.crl.new")
    hv1.run("mv /etc/nvo3/ca.crl.new /etc/nvo3/ca.crl")
    wait_until(lambda: not reaches(pair), "the revoked host is out", timeout=60)
    assert "revoked" in hv1.run("ovs-vsctl get interface tun2 error; ovs-appctl -t hvagent peer/show").stdout
    # And in again with a new one.
    ca.run("nvo3-pki host hv2 --dir /root/nvo3-ca && scp /root/nvo3-ca/hv2.crt /root/nvo3-ca/hv2.key root@192.0.2.2:/etc/nvo3/")
    wait_until(lambda: reaches(pair), "hv2 is in again", timeout=60)


def test_upgrade_back_and_purge(pair):
    """No packet is lost by a new agent; the operator's choice stays; the stock switch sends nothing in clear; in the end all is as before."""
    page, hv1 = OPERATIONS + "upgrade.md", pair.machines["hv1"]
    hv1.newer()
    with Ping(hv1) as ping:
        pair.follow(page, ["A host: packages"])
    assert ping.received >= ping.sent - 1 and ping.sent > 10, ping
    assert "+next" in hv1.run("dpkg-query -W hvagent").stdout
    pair.follow(page, ["A host: the switch"])
    assert switch(hv1) == SWITCH and reaches(pair)
    with pair.machines.capture() as capture:
        pair.follow(page, ["Back"], until="datapath_type=netdev")
        assert switch(hv1) == STOCK and not reaches(pair)
        # For good: the tunnel first.
        pair.follow(page, ["Remove"], until="apt purge")
        pair.follow(page, ["Back"], since="datapath_type=netdev")
        assert not reaches(pair)
    assert capture.summary().other == 0, capture.summary()
    pair.follow(page, ["Remove"], since="apt purge")
    assert hv1.run(STOCK_BRIDGE).stdout == "br-before\n"
    assert switch(hv1) == STOCK and hv1.run("readlink -f /usr/sbin/ovs-vswitchd").stdout.strip() == STOCK
    # The operator's own stay: keys, what step 3 wrote, the packages in the cache.
    left = hv1.run("find /etc /usr /var /run -path /var/cache/apt -prune -o -path '/etc/nvo3*' -prune -o -path /etc/sysctl.d/50-nvo3.conf -o "
                   "'(' -name '*nvo3*' -o -name '*hvagent*' ')' -print").stdout
    assert not left, left
    hv1.reboot()
    assert hv1.run(STOCK_BRIDGE).stdout == "br-before\n" and switch(hv1) == STOCK
