# SPDX-License-Identifier: Apache-2.0
"""What is refused and in which words, what is shown, and what removal removes."""

import json
import re
import subprocess

import pytest

from lab import wait_until


@pytest.fixture(scope="module")
def lab(module_labs):
    lab = module_labs()
    lab.wait_all_reach()
    return lab


def add_port(host, kind, **options):
    host.vsctl("--if-exists", "del-port", "br-int", "odd0")
    host.vsctl("add-port", "br-int", "odd0", "--", "set", "Interface", "odd0", f"type={kind}", *(f'options:{k}="{v}"' for k, v in options.items()))
    return host.error("odd0")


@pytest.mark.requirement(10)
@pytest.mark.parametrize("kind", ["gre", "ip6gre", "erspan", "ip6erspan", "lisp", "stt", "gtpu", "bareudp"])
def test_other_tunnel_types_are_refused(lab, kind):
    error = add_port(lab.hosts["hv1"], kind, remote_ip="172.31.0.2", key="7", dst_port="6635")
    assert kind in error and ("nvo3" in error or "protect" in error), error


REFUSED = [
    ("geneve", {"dst_port": "6081"}, "6081"),
    ("geneve", {"dst_port": "4501"}, "4501"),
    ("vxlan", {"dst_port": "4789"}, "4789"),
    ("geneve", {"packet_type": "legacy_l3"}, "packet_type"),
    ("vxlan", {"packet_type": "ptap"}, "packet_type"),
    ("geneve", {"remote_ip": "224.0.0.5"}, "multicast"),
    ("geneve", {"security_level": "none"}, "security_level"),
    ("geneve", {"cipher": "null"}, "cipher"),
    ("geneve", {"cipher": "aes128cbc"}, "cipher"),
    ("geneve", {"replay_window": "0"}, "replay_window"),
    ("geneve", {"replay_window": "1000"}, "replay_window"),
    ("geneve", {"replay_window": "16384"}, "replay_window"),
    ("geneve", {"key": "flow", "nvo3_vnis": "5001,16777216"}, "nvo3_vnis"),
    ("geneve", {"key": "16777216"}, "16777216"),
]


@pytest.mark.requirement(10)
@pytest.mark.parametrize("kind, options, words", REFUSED, ids=[f"{k}-{next(iter(o))}-{next(iter(o.values()))}" for k, o, _ in REFUSED])
def test_bad_option_is_refused_by_name(lab, kind, options, words):
    error = add_port(lab.hosts["hv1"], kind, **{"remote_ip": "172.31.0.77", "key": "5007", **options})
    assert words in error, error


def test_unknown_option_warns_and_own_ones_do_not(lab):
    hv1 = lab.hosts["hv1"]
    add_port(hv1, "geneve", remote_ip="172.31.0.77", key="5007", security_level="high", replay_window="64", remote_name="hv7")
    log = hv1.log("ovs-vswitchd")
    assert not re.search(r"odd0.*unknown geneve argument", log)
    add_port(hv1, "geneve", remote_ip="172.31.0.77", key="5007", shoe_size="44")
    wait_until(lambda: re.search(r"odd0.*unknown geneve argument '?shoe_size", hv1.log("ovs-vswitchd")), "shoe_size is warned about")


def test_one_bad_port_leaves_the_others(lab):
    hv1 = lab.hosts["hv1"]
    assert add_port(hv1, "geneve", remote_ip="172.31.0.2", remote_name="hv2", key="5009", dst_port="6081")
    assert hv1.tunnel_state("tun2") == "up"
    assert lab.vms["vm1"].all_answered(lab.vms["vm2"], 3)
    hv1.vsctl("del-port", "br-int", "odd0")


@pytest.mark.requirement(10)
def test_peer_that_is_not_there(lab):
    hv1 = lab.hosts["hv1"]
    hv1.vsctl("--if-exists", "del-port", "br-int", "odd0")
    hv1.vsctl("add-port", "br-int", "odd0", "--", "set", "Interface", "odd0", "type=geneve", 'options:remote_ip="172.31.0.88"', "options:key=5008")
    wait_until(lambda: hv1.tunnel_state("odd0") in ("connecting", "waiting"), lambda: f"odd0 connects: {hv1.interface('odd0', 'status')}")
    wait_until(lambda: "172.31.0.88" in hv1.interface("odd0", "status").get("nvo3_error", ""), "the error names the address", timeout=30)
    hv1.vsctl("del-port", "br-int", "odd0")


@pytest.mark.requirement(11)
def test_statistics_in_the_database(lab):
    """Interface statistics has the same counters, a few seconds later."""
    hv1 = lab.hosts["hv1"]
    lab.vms["vm1"].ping(lab.vms["vm2"], 5, interval=0.02)
    wanted = hv1.counter("nvo3_sealed")
    wait_until(lambda: int(hv1.interface("tun2", "statistics").get("nvo3_sealed", 0)) >= wanted, "statistics follow", timeout=12)
    names = set(hv1.interface("tun2", "statistics"))
    assert {"nvo3_opened", "nvo3_drop_bad_icv", "nvo3_drop_replayed", "nvo3_drop_wrong_vni", "nvo3_drop_no_sa", "nvo3_drop_unknown_spi"} <= names


COMMANDS = [("ovs-vswitchd", ("nvo3/show",)), ("ovs-vswitchd", ("nvo3/show", "tun2")), ("ovs-vswitchd", ("nvo3/sa-list",)),
            ("ovs-vswitchd", ("nvo3/counters",)), ("hvagent", ("peer/show",)), ("hvagent", ("sa/show",)), ("hvagent", ("tsi/show",)),
            ("hvagent", ("throttle/show",)), ("hvagent", ("audit/show",))]


@pytest.mark.parametrize("target, command", COMMANDS, ids=["-".join(c) for _, c in COMMANDS])
def test_commands_answer_and_print_no_key(lab, target, command):
    """Text and JSON; a key would be at least 16 octets of hexadecimal or base64."""
    hv1 = lab.hosts["hv1"]
    text = hv1.appctl(*command, target=target)
    parsed = hv1.appctl_json(*command, target=target)
    assert isinstance(parsed, (dict, list))
    for output in (text, json.dumps(parsed)):
        assert not re.search(r"\b[0-9a-fA-F]{32,}\b|[A-Za-z0-9+/]{43,}=", output), output
    if command[0] not in ("tsi/show", "audit/show", "throttle/show"):
        assert text


def test_stock_tunnel_on_a_protected_port_is_told(labs):
    """A stock geneve tunnel of a netdev bridge on UDP port 4500, which is closed to it: the reason is in its status."""
    lab = labs(hosts=2, vms=2)
    hv1 = lab.hosts["hv1"]
    hv1.vsctl("add-br", "br-stock", "--", "set", "Bridge", "br-stock", "datapath_type=netdev",
              "--", "add-port", "br-stock", "stock", "--", "set", "Interface", "stock", "type=geneve", "options:remote_ip=192.0.2.99", "options:dst_port=4500",
              "--", "add-port", "br-stock", "other", "--", "set", "Interface", "other", "type=geneve", "options:remote_ip=192.0.2.98")
    wait_until(lambda: "options:dst_port" in hv1.interface("stock", "status").get("nvo3_error", ""), "the stock port's status says it", timeout=15)
    assert "nvo3_error" not in hv1.interface("other", "status")
    assert hv1.interface("tun2", "status")["nvo3_state"] == "up"


def test_no_key_in_logs_and_database(lab):
    key = re.compile(r"\b[0-9a-fA-F]{32,}\b|[A-Za-z0-9+/]{43,}=")
    for host in lab.hosts.values():
        # The rows now, and all that was ever written.
        rows = host.run("ovsdb-client", "dump", f"unix:{host.rundir}/db.sock").stdout
        assert "tun" in rows and "nvo3_state" in rows
        assert not (found := key.search(rows)), found
        journal = re.sub(r"\bOVSDB (JSON|CLUSTER) \d+ [0-9a-f]{40}$", "", (host.dbdir / "conf.db").read_text(), flags=re.MULTILINE)
        assert "private_key" in journal
        assert not (found := key.search(journal)), found
        for daemon in ("ovs-vswitchd", "hvagent", "ovsdb-server"):
            assert not re.search(r"\b[0-9a-f]{32,}\b", host.log(daemon)), f"{daemon} of {host.name}"
        for event in host.audit():
            assert not re.search(r"\b[0-9a-f]{40,}\b", json.dumps(event))


def test_audit_log(lab):
    """Authentication, SAs and configuration changes are there, with peer and time."""
    events = lab.hosts["hv1"].audit()
    assert {"authenticated", "sa_installed", "config_changed"} <= {e["event"] for e in events}
    assert all("time" in e for e in events)
    assert any(e["event"] == "authenticated" and e["peer"] == "hv2" for e in events)


@pytest.mark.requirement(10)
def test_sa_socket_is_private(lab):
    socket = lab.hosts["hv1"].rundir / "nvo3-sa.sock"
    assert socket.stat().st_mode & 0o777 == 0o600
    probe = ("import os,socket,sys; os.setgid(65534); os.setuid(65534); s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])")
    done = lab.hosts["hv1"].run("/usr/bin/python3", "-c", probe, socket, check=False)
    assert "PermissionError" in done.stderr


@pytest.mark.requirement(13, 15)
def test_removal_of_a_network(labs):
    """A VNI taken off the list of a key=flow port: its SAs go on both sides, the other's stay."""
    lab = labs(tunnel_options=lambda host, peer: {"key": "flow", "nvo3_vnis": "5001,5002"})
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]

    def vnis(host):
        return sorted({sa["vni"] for sa in host.sas()})
    wait_until(lambda: vnis(hv1) == vnis(hv2) == [5001, 5002], "both networks have SAs")
    hv1.vsctl("set", "Interface", "tun2", "options:nvo3_vnis=5001")
    wait_until(lambda: vnis(hv1) == vnis(hv2) == [5001], lambda: f"5002 is gone on both sides: {vnis(hv1)}, {vnis(hv2)}")


@pytest.mark.requirement(10)
def test_removal_of_a_tunnel(labs):
    lab = labs()
    lab.wait_all_reach()
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    assert hv1.sas() and hv2.sas()
    hv1.vsctl("del-port", "br-int", "tun2")
    wait_until(lambda: not hv1.sas() and not hv2.sas(), lambda: f"no SA is left: {hv1.sas()}, {hv2.sas()}")
    wait_until(lambda: hv2.tunnel_state("tun1") != "up", "hv2's tunnel is not up any more")
    hv1.add_tunnel(hv2)
    lab.wait_tunnels()
    lab.wait_all_reach()


def test_mixed_datapath_types_are_said(labs):
    """The underlay bridge is of another type: packets would vanish without a word; the status has the words."""
    lab = labs(wait=False)
    hv1 = lab.hosts["hv1"]
    hv1.vsctl("set", "Bridge", "br-phy", "datapath_type=netdev")
    hv1.set_underlay_addresses()
    wait_until(lambda: re.search(r"datapath", hv1.interface("tun2", "status").get("nvo3_error", "") + hv1.error("tun2")),
               lambda: f"the status names the datapath types: {hv1.interface('tun2', 'status')}")


def test_agent_that_is_told_to_exit(lab):
    """It ends with status 0."""
    hv1 = lab.hosts["hv1"]
    hv1.stop("hvagent")
    try:
        agent = subprocess.Popen([*hv1.inside(), "hvagent", f"unix:{hv1.rundir}/db.sock", "--pidfile", "--no-chdir", "-vconsole:off"], env=hv1.env, stdin=subprocess.DEVNULL)
        wait_until(lambda: (hv1.rundir / "hvagent.pid").exists() and "hv1" in hv1.appctl("peer/show", target="hvagent", check=False), "the agent answers")
        hv1.appctl("exit", target="hvagent")
        assert agent.wait(10) == 0
    finally:
        hv1.start("hvagent")
        lab.wait_tunnels()
