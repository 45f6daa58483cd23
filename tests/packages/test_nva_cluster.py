# SPDX-License-Identifier: Apache-2.0
"""Three NVAs and two hosts by the operators' pages: services of the packages, as the users they run as."""

import re

import pytest

from lab import wait_until

OPERATIONS = "doc/operations/"
NVAS = ["nva1", "nva2", "nva3"]
STATUS = "ovs-appctl -t /run/nvo3-store/store.ctl cluster/status NVO3"


@pytest.fixture(scope="module")
def cluster(readers):
    addresses = {f"nva{n}": f"192.0.2.{200 + n}" for n in (1, 2, 3)} | {"hv1": "192.0.2.1", "hv2": "192.0.2.2", "ca": "192.0.2.9"}
    reader = readers(addresses, {**{name: [name] for name in addresses}, "all": NVAS, "both": ["hv1", "hv2"]})
    page = OPERATIONS + "quick-start.md"
    reader.follow(page, ["1", "2", "3"])
    reader.follow(page, ["4"], until="add-port")
    reader.follow(page, ["6"], until="ping")
    return reader


def reaches(reader):
    return reader.machines["hv1"].reaches("10.0.0.2")


def members(machine):
    """Servers of the store that it knows, in words of cluster/status."""
    return set(re.findall(r"ssl:(192\.0\.2\.20\d):6644", machine.run(STATUS, check=False).stdout.partition("Servers:")[2]))


def test_nva_cluster(cluster):
    page = OPERATIONS + "nva-cluster.md"
    cluster.follow(page, until="cat >/etc/default")
    with cluster.machines.capture() as capture:
        done = cluster.follow(page, ["Options", "The store", "The NVAs", "Networks"])
    summary = capture.summary()
    assert summary.esp >= 6 and summary.control and summary.store and summary.other == 0, (summary, summary.strangers)
    for name in NVAS:
        wait_until(lambda name=name: len(members(cluster.machines[name])) == 3, f"{name} knows three servers")
    shown = {command: output for _, command, output in done if "show" in command}
    assert "192.0.2.201:6654): in use" in shown["ovs-appctl -t hvagent nva/show"], shown
    assert "52:54:00:00:00:02 at hv2" in shown["ovs-appctl -t hvagent vn/show"], shown
    cluster.follow(page, ["A picture"])
    assert re.search("<svg.*hv1.*</svg>", cluster.machines["nva1"].run("cat overlay.svg").stdout, re.DOTALL)


@pytest.mark.parametrize("daemon", ["nvo3-nva", "nvo3-store"])
def test_services_are_nobody_much(cluster, daemon):
    nva1 = cluster.machines["nva1"]
    pid = nva1.run(f"systemctl show -p MainPID --value {daemon}").stdout.strip()
    status = nva1.run(f"cat /proc/{pid}/status").stdout
    uid = nva1.run("id -u _nvo3").stdout.strip()
    assert re.search(rf"^Uid:\s+{uid}\s+{uid}\s", status, re.MULTILINE), status
    assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE) and re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE), status
    nva1.kill_and_wait(daemon)


def test_a_machine_is_off(cluster):
    """One of three: nothing changes, and the operator can change what there is; it comes back by itself."""
    cluster.machines["nva1"].power_off()
    nva2 = cluster.machines["nva2"]
    wait_until(lambda: nva2.run("nvo3-nvactl --timeout=5 vn-add green 5999", check=False).returncode == 0, "the other two take a change", timeout=60)
    assert reaches(cluster)
    hv1 = cluster.machines["hv1"]
    wait_until(lambda: "192.0.2.202:6654): in use" in hv1.run("ovs-appctl -t hvagent nva/show").stdout,
               lambda: "hv1 has the next NVA: " + hv1.run("ovs-appctl -t hvagent nva/show").stdout, timeout=60)
    cluster.machines["nva1"].boot()
    wait_until(lambda: "green" in cluster.machines["nva1"].run("nvo3-nvactl --timeout=5 vn-list", check=False).stdout, "nva1 is back", timeout=60)


def leader(cluster):
    return next((name for name in NVAS if "Role: leader" in cluster.machines[name].run(STATUS, check=False).stdout), None)


def test_a_disk_is_lost(cluster):
    cluster.machines["nva3"].run("systemctl stop nvo3-store && rm -rf /var/lib/nvo3-nva")
    # If it led, another one does before long. The page says nva1; a member that does not lead passes it on.
    wait_until(lambda: leader(cluster), "there is a leader")
    cluster.follow(OPERATIONS + "nva-cluster.md", ["A machine is lost"], until="ovsdb-client backup")
    for name in NVAS:
        wait_until(lambda name=name: len(members(cluster.machines[name])) == 3, f"{name} knows three servers", timeout=60)
    first = wait_until(lambda: leader(cluster), "there is a leader")
    cluster.follow(OPERATIONS + "nva-cluster.md", ["A machine is lost"], since="ovsdb-client backup", names={"nva1": [first]})
    assert "blue" in cluster.machines[first].run("cat nvo3.backup").stdout


def test_groups_and_policy(cluster):
    cluster.follow("doc/nva.md")
    hv1 = cluster.machines["hv1"]
    for words, command in (("239.1.0.1", "group/show"), ("blue to shop", "policy/show")):
        wait_until(lambda words=words, command=command: words in hv1.run(f"ovs-appctl -t hvagent {command}").stdout,
                   lambda command=command: f"{command} tells it: " + hv1.run(f"ovs-appctl -t hvagent {command}").stdout)
    assert reaches(cluster)


def test_rotation_and_revocation(cluster):
    page, nva1 = OPERATIONS + "rotation.md", cluster.machines["nva1"]
    before = nva1.run("cat /etc/nvo3/nva.crt /etc/nvo3/group.key").stdout
    cluster.follow(page, ["An NVA's certificate", "The group key"])
    assert nva1.run("cat /etc/nvo3/nva.crt").stdout not in before and nva1.run("cat /etc/nvo3/group.key").stdout not in before
    assert reaches(cluster)
    cluster.follow(page, ["The revocation list"], only=["nva1"])
    wait_until(lambda: not reaches(cluster), "the revoked host is out", timeout=60)
    nva1.run("nvo3-nvactl nve-restore hv2")
    wait_until(lambda: reaches(cluster), "hv2 is in again", timeout=60)


def test_upgrade_of_nvas(cluster):
    page = OPERATIONS + "upgrade.md"
    first = wait_until(lambda: leader(cluster), "there is a leader")
    for name in NVAS:
        cluster.machines[name].newer()
    old = cluster.machines[first].run("systemctl show -p MainPID --value nvo3-nva nvo3-store").stdout.split()
    cluster.follow(page, ["An NVA"], until="systemctl stop", names={"nva1": [first]})
    new = cluster.machines[first].run("systemctl show -p MainPID --value nvo3-nva nvo3-store").stdout.split()
    assert "+next" in cluster.machines[first].run("dpkg-query -W nvo3-nva").stdout and not set(old) & set(new)
    assert reaches(cluster)
    cluster.follow(page, ["An NVA"], since="systemctl stop", names={"nva1": [wait_until(lambda: leader(cluster), "there is a leader")]})
    for name in NVAS:
        wait_until(lambda name=name: len(members(cluster.machines[name])) == 3, f"{name} knows three servers")
        wait_until(lambda name=name: cluster.machines[name].run("nvo3-doctor -q", check=False).returncode == 0, f"the doctor finds nothing that fails on {name}")
    assert reaches(cluster)


def test_purge(cluster):
    nva3 = cluster.machines["nva3"]
    nva3.run("apt purge nvo3-nva")
    assert not nva3.run("ps -o args= -u _nvo3", check=False).stdout
    assert not nva3.run("find /etc /usr /var /run -path /var/cache/apt -prune -o -path '/etc/nvo3*' -prune -o -path /usr/share/doc -prune -o "
                        "'(' -name 'nvo3-nva*' -o -name 'nvo3-store*' -o -name 'nvo3_db*' ')' -print").stdout
