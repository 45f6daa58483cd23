# SPDX-License-Identifier: Apache-2.0
"""hvagent --check and nvo3-doctor: silent about a healthy host, and each fault is provoked and found, with the way out."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from doctor import doctor, found
from lab import net, wait_until
from lab.pki import Pki
from lab.process import run
from lab.programs import Programs
from packaged import packaged

TOP = pathlib.Path(__file__).resolve().parents[2]
# Of the machine, not of the lab.
MACHINE = ("warn: clock", "warn: CPU")
LINE = re.compile(r"(ok: [^:].*: .+|(warn|fail): [^:].*: .+ - .+)")


def check(host, *before):
    """(exit status, lines) of hvagent --check on a host."""
    done = host.run(*before, "hvagent", "--check", f"unix:{host.rundir}/db.sock", check=False)
    lines = done.stdout.splitlines()
    assert lines and not done.stderr, done.stderr
    assert all(LINE.fullmatch(line) for line in lines), lines
    assert done.returncode == any(line.startswith("fail") for line in lines)
    return done.returncode, lines


@pytest.fixture(scope="module")
def lab(module_labs):
    lab = module_labs()
    lab.wait_all_reach()
    for vm in lab.vms.values():
        net.ip(vm.host.ns, f"link set {vm.port} mtu {vm.mtu()}")
    return lab


@pytest.fixture
def hv1(lab):
    """With its own certificate, after whatever a test has done."""
    hv1 = lab.hosts["hv1"]
    yield hv1
    hv1.set_certificate(hv1.pkidir / "hv1.crt", hv1.pkidir / "hv1.key")


def healthy(host):
    """Waits until nothing is wrong."""
    def try_again():
        lines = check(host)[1]
        return lines if all(line.startswith(("ok: ", *MACHINE)) for line in lines) else None
    return wait_until(try_again, lambda: f"nothing is found wrong: {check(host)}")


def test_healthy_host(lab, hv1):
    """Every part is looked at, nothing is wrong, and the session that lives does not notice."""
    sas, sessions = {sa["spi"] for sa in hv1.sas()}, hv1.appctl_json("peer/show", target="hvagent")["peers"][0]["sessions_opened"]
    lines = healthy(hv1)
    for thing in ("database", "run directory", "ovs-vswitchd", "SA socket", "hvagent", "kernel", "configuration", "certificate", "private key", "CA",
                  "revocation list", "peer 172.31.0.2:6652 of port tun2: is hv2, role nve", "MTU", "uplink eth0"):
        found(lines, "ok", thing)
    assert {sa["spi"] for sa in hv1.sas()} == sas
    other = lab.hosts["hv2"].appctl_json("peer/show", target="hvagent")["peers"][0]
    assert other["state"] == "up" and "error" not in other, other
    assert hv1.appctl_json("peer/show", target="hvagent")["peers"][0]["sessions_opened"] == sessions


# ---- Certificates ----

def certificate(lab, name="hv1", *options, pki=None):
    """One that does not overwrite the host's own: (certificate, key)."""
    pki = pki or lab.pki
    pki.host(name, *([] if pki is not lab.pki else ["--renew"]), *options)
    target = lab.directory / "odd"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    return [shutil.move(f"{pki.directory}/{name}.{kind}", target / f"{name}.{kind}") for kind in ("crt", "key")]


def foreign(lab):
    pki = Pki(lab.programs, lab.directory / "other-ca", lab.pki.trust_domain)
    pki.init()
    return certificate(lab, pki=pki)


def wrong_key(lab):
    cert, key = certificate(lab)
    shutil.copy(lab.hosts["hv1"].pkidir / "hv1.key", key)
    return cert, key


def open_key(lab):
    cert, key = certificate(lab)
    os.chmod(key, 0o644)
    return cert, key


def missing(lab):
    cert, key = certificate(lab)
    os.unlink(key)
    return cert, key


CERTIFICATES = [
    ("expired", lambda lab: certificate(lab, "hv1", "--start", "20200101000000Z", "--end", "20200201000000Z"), "fail", "certificate", "expired at .* - issue it anew"),
    ("soon", lambda lab: certificate(lab, "hv1", "--days", "5"), "warn", "certificate", "ends in 4 days - nvo3-pki host"),
    ("not-yet", lambda lab: certificate(lab, "hv1", "--start", "20990101000000Z", "--end", "20990201000000Z"), "fail", "clock", "before the beginning .* - set the time"),
    ("role", lambda lab: certificate(lab, "hv1", "--role", "hypervisor"), "fail", "certificate", "role hypervisor"),
    ("foreign", foreign, "fail", "certificate", "not issued by the CA in"),
    ("wrong-key", wrong_key, "fail", "certificate", "does not belong to certificate"),
    ("missing-key", missing, "fail", "certificate", "does not exist"),
    ("open-key", open_key, "fail", "private key", "every user of this host - chmod 600"),
]


@pytest.mark.parametrize("make, grade, thing, words", [c[1:] for c in CERTIFICATES], ids=[c[0] for c in CERTIFICATES])
def test_certificates(lab, hv1, make, grade, thing, words):
    hv1.set_certificate(*make(lab))
    status, lines = check(hv1)
    found(lines, grade, thing, words)
    assert status == (grade == "fail")


def test_no_revocation_list(hv1):
    hv1.vsctl("remove", "Open_vSwitch", ".", "other_config", "nvo3-crl")
    found(check(hv1)[1], "warn", "revocation list", "none is set")


def test_pre_shared_key_and_configuration(lab, hv1):
    """Of a port of its own; that of tun2 is fine."""
    def port(**options):
        hv1.vsctl("--if-exists", "del-port", "br-int", "odd0")
        hv1.vsctl("add-port", "br-int", "odd0", "--", "set", "Interface", "odd0", "type=geneve", "options:remote_ip=172.31.0.77", "options:key=7",
                  *(f"options:{key}={value}" for key, value in options.items()))
        return check(hv1)[1]
    try:
        key = lab.directory / "psk"
        key.write_text("x" * 32)
        os.chmod(key, 0o644)
        found(port(psk=f'"{key}"'), "fail", "pre-shared key of port odd0")
        found(port(psk="0123456789abcdef"), "warn", "pre-shared key of port odd0", "who can read the database")
        found(port(remote_cert='"/nonexistent.crt"'), "fail", "remote_cert of port odd0", "does not exist")
        found(port(security_level="none"), "fail", "configuration of port odd0", "security_level=none is not one of")
    finally:
        hv1.vsctl("--if-exists", "del-port", "br-int", "odd0")


# ---- Host ----

def test_sockets(hv1):
    socket = hv1.rundir / "nvo3-sa.sock"
    try:
        os.chmod(socket, 0o666)
        found(check(hv1)[1], "fail", "SA socket", "open to others .* - chmod 600")
        os.chmod(socket, 0)
        # Root without its power over files, as in a container.
        found(check(hv1, "setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override,-dac_read_search")[1], "fail", "SA socket", "Permission denied - run hvagent as")
    finally:
        os.chmod(socket, 0o600)
    os.chmod(hv1.rundir, 0o777)
    try:
        found(check(hv1)[1], "fail", "run directory", "chmod go-w")
    finally:
        os.chmod(hv1.rundir, 0o755)


def test_uplink(hv1):
    try:
        net.sysctl(hv1.ns, "net.ipv4.conf.all.arp_ignore=0")
        found(check(hv1)[1], "fail", "uplink eth0", r"answers ARP .* - sysctl -w net.ipv4.conf.eth0.arp_ignore=1")
        net.ip(hv1.ns, "addr add 192.0.2.1/24 dev eth0")
        found(check(hv1)[1], "fail", "uplink eth0", "has the address 192.0.2.1")
        # Another bridge of VMs has no address, and so no uplink.
        net.ip(hv1.ns, "link add more0 type veth peer more1")
        hv1.vsctl("add-br", "br-more", "--", "set", "bridge", "br-more", "datapath_type=nvo3", "--", "add-port", "br-more", "more0")
        lines = check(hv1)[1]
        assert not any("more0" in line for line in lines), lines
    finally:
        hv1.vsctl("--if-exists", "del-br", "br-more")
        net.ip(hv1.ns, "link del more0")
        net.sysctl(hv1.ns, "net.ipv4.conf.all.arp_ignore=1")
        net.ip(hv1.ns, "addr flush dev eth0")


def test_mtu(lab, hv1):
    vm = lab.vms["vm1"]
    try:
        net.ip(hv1.ns, f"link set {vm.port} mtu 1500")
        wait_until(lambda: hv1.vsctl("get", "Interface", vm.port, "mtu") == "1500", "the database has the VM's MTU")
        found(check(hv1)[1], "warn", "MTU", r"1500, of which 1408 .*vm1 may send up to 1500 - give these VMs an MTU of 1408, or the underlay at least 1592")
        hv1.vsctl("set", "Interface", "br-phy", "mtu_request=1300")
        wait_until(lambda: hv1.vsctl("get", "Interface", "br-phy", "mtu") == "1300", "br-phy has a small MTU")
        found(check(hv1)[1], "fail", "MTU", "1300, of which 1208 .* - give the underlay at least")
        # What hv2 sees: the other end announces less.
        found(check(lab.hosts["hv2"])[1], "warn", "peer 172.31.0.1:6652", "MTU of 1300, this host's 1500 - one MTU")
    finally:
        hv1.vsctl("clear", "Interface", "br-phy", "mtu_request", "--", "set", "Interface", "br-phy", "mtu_request=1500")
        net.ip(hv1.ns, f"link set {vm.port} mtu {vm.mtu()}")
        wait_until(lambda: hv1.vsctl("get", "Interface", "br-phy", "mtu") == "1500", "br-phy has its MTU back")


def test_peer(lab, hv1):
    """One that is not there, and one that is another."""
    hv2 = lab.hosts["hv2"]
    hv2.stop("hvagent")
    try:
        found(check(hv1)[1], "fail", "peer 172.31.0.2:6652", "Connection refused - is its daemon running")
        assert any(re.match("(warn|fail): (peer hv2|port tun2|peer 172)", line) for line in doctor(hv1))
        net.ip(lab.underlay_ns, "link set hv2 down")
        found(check(hv1)[1], "fail", "peer 172.31.0.2:6652", "no TCP connection: (Connection timed out|No route to host)")
    finally:
        net.ip(lab.underlay_ns, "link set hv2 up")
        hv2.start("hvagent")
    hv1.vsctl("set", "Interface", "tun2", "options:remote_name=hv9")
    found(check(hv1)[1], "fail", "peer 172.31.0.2:6652", "is hv2, role nve, not hv9 - correct options:remote_name")
    hv1.vsctl("set", "Interface", "tun2", "options:remote_name=hv2")
    lab.wait_tunnels()


def test_peer_of_another_authority(lab, hv1):
    """TLS fails there, in words."""
    hv1.set_certificate(*foreign_with_ca(lab), ca=lab.directory / "third-ca/ca.crt", crl=lab.directory / "third-ca/ca.crl")
    found(check(hv1)[1], "fail", "peer 172.31.0.2:6652", "TLS fails: .*hv2.* not of a CA that this host trusts")


def foreign_with_ca(lab):
    pki = Pki(lab.programs, lab.directory / "third-ca", lab.pki.trust_domain)
    pki.init()
    return certificate(lab, pki=pki)


def test_doctor_of_healthy_host(lab, hv1):
    lab.wait_tunnels()
    healthy(hv1)
    lines = doctor(hv1)
    found(lines, "ok", "port tun2", "up, 1 SAs in, 1 out")
    assert not [line for line in doctor(hv1, "-q") if not line.startswith(MACHINE)]


def test_peer_by_pre_shared_key(labs, tmp_path):
    """The right key, another one, and a peer that does not know this host."""
    for name, octet in (("key", "a"), ("other", "b")):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(octet * 32)
    lab = labs(tunnel_options=lambda host, peer: {"psk": tmp_path / "key", "remote_name": None})
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    found(check(hv1)[1], "ok", "peer 172.31.0.2:6652", "has the pre-shared key")
    hv1.vsctl("set", "Interface", "tun2", f'options:psk="{tmp_path}/other"')
    found(check(hv1)[1], "fail", "peer 172.31.0.2:6652", "TLS fails: .* - both hosts need")
    hv2.vsctl("del-port", "br-int", "tun1")
    wait_until(lambda: not hv2.appctl_json("peer/show", target="hvagent")["peers"], "hv2 knows no peer")
    found(check(hv1)[1], "fail", "peer 172.31.0.2:6652", "says nothing - it does not know this host's address")


def test_switch(labs):
    """None runs; a stock one; no database."""
    lab = labs()
    hv1 = lab.hosts["hv1"]
    hv1.stop("ovs-vswitchd")
    found(check(hv1)[1], "fail", "ovs-vswitchd", "does not run")
    # What a stock switch tells the database; a process in the place of its own.
    hv1.vsctl("--no-wait", "set", "Open_vSwitch", ".", "datapath_types=netdev,system")
    other = subprocess.Popen(["sleep", "300"])
    try:
        (hv1.rundir / "ovs-vswitchd.pid").write_text(f"{other.pid}\n")
        found(check(hv1)[1], "fail", "ovs-vswitchd", "sleep runs, which knows no datapath type nvo3: a stock switch - update-alternatives --set ovs-vswitchd")
    finally:
        other.kill()
        other.wait()
        (hv1.rundir / "ovs-vswitchd.pid").unlink()
    hv1.stop("ovsdb-server")
    status, lines = check(hv1)
    assert status == 1
    found(lines, "fail", "database", "start ovsdb-server")
    found(lines, "ok", "kernel")


def test_nva(labs):
    """A host's way to the NVA, and the NVA's own machine."""
    lab = labs(nva=1, hosts=2, multicast=False)
    hv1, nva = lab.hosts["hv1"], lab.nvas["nva1"]
    found(check(hv1)[1], "ok", "NVA 172.31.0.201:6654", "is nva1, role nva")
    wait_until(lambda: any(line.startswith("ok: NVA: nva1 serves 2 NVEs") for line in doctor(nva)), lambda: f"the NVA is well: {doctor(nva)}")
    # nvo3-nvactl asks the NVA here as well.
    assert nva.ctl("graph").count("palegreen") == 2
    said = [lab.directory / f"{host.name}.json" for host in lab.hosts.values()]
    for host, file in zip(lab.hosts.values(), said):
        file.write_text(host.appctl("peer/show", "json", target="hvagent"))
    assert nva.ctl("graph", *said).count('color=forestgreen, label="1 keyed"') == 2, nva.ctl("graph", *said)
    lab.hosts["hv2"].stop("hvagent")
    wait_until(lambda: "no session" in nva.ctl("graph"), lambda: f"the graph shows that hv2 is gone: {nva.ctl('graph')}")
    (lab.directory / "policy").write_text("gateway vn5001 10.50.0.254/24\n")
    nva.ctl("policy-set", lab.directory / "policy")
    # As another tool might write it.
    nva.ctl("set", "Policy", ".", 'text="gateway vn5001"', "version=9")
    wait_until(lambda: any(line.startswith("fail: policy: version 9 of the policy is not used: line 1") for line in doctor(nva)), lambda: f"the policy is told: {doctor(nva)}")
    assert not [line for line in doctor(nva) if line.startswith("fail: NVA")]
    nva.stop("ovsdb-server")
    wait_until(lambda: any(re.match(r"fail: NVA: store.* - ", line) for line in doctor(nva)), lambda: f"the store is missed: {doctor(nva)}")
    nva.stop("nvo3-nva")
    found(check(hv1)[1], "fail", "NVA 172.31.0.201:6654", "Connection refused")
    wait_until(lambda: any(line.startswith("fail: NVA 172.31.0.201") for line in doctor(hv1) if "TCP" not in line), lambda: f"the agent misses its NVA: {doctor(hv1)}")


# ---- What the NVA of the packages can read: it is not root ----

KEYS = [  # what is done to its files, what is said; "": nothing is wrong with them
    ("as-documented", "chgrp _nvo3 nva1.key && chmod 640 nva1.key && chown _nvo3 group.key", ""),
    ("key-of-root", "chown _nvo3 group.key", "private key"),
    ("key-of-another-group", "chgrp daemon nva1.key && chmod 640 nva1.key && chown _nvo3 group.key", "private key"),
    ("group-key-of-root", "chown _nvo3 nva1.key", "group key"),
    ("folder-of-root", "chown _nvo3 nva1.key group.key && chmod 700 .", "certificate"),
]


@pytest.fixture(scope="module")
def nva_files():
    """Certificates, and what /etc/default says; where others than root may go, unlike a directory of pytest's."""
    with tempfile.TemporaryDirectory(prefix="nvo3-test-") as name:
        directory = pathlib.Path(name)
        directory.chmod(0o711)
        pki = Pki(Programs.find(), directory / "ca")
        pki.init()
        pki.give("nva1", directory / "keys", "--role", "nva")
        (directory / "keys/group.key").touch(mode=0o600)
        (directory / "keys/group.key").write_bytes(bytes(range(32)))
        (directory / "default").write_text('NVA_OPTS="--nva-private-key=KEYS/nva1.key \\\n--nva-certificate=KEYS/nva1.crt --nva-ca-cert=KEYS/ca.crt --group-key=KEYS/group.key"\n'
                                           .replace("KEYS", str(directory / "keys")))
        yield directory


@pytest.mark.parametrize("script, what", [case[1:] for case in KEYS], ids=[case[0] for case in KEYS])
def test_keys_that_the_user_of_the_nva_cannot_read(nva_files, tmp_path, script, what):
    """Looked at before the service has ever started, when there is nothing of it but its file."""
    programs, keys = Programs.find(), nva_files / "keys"
    run(["sh", "-ec", f"cd {keys}; chmod 711 .; chown root:root *; chmod 644 *; chmod 600 *.key"])
    env = {**os.environ, "PATH": f"{programs.path}:{os.environ['PATH']}", "OVS_RUNDIR": "/run/openvswitch"}
    prefix = packaged(tmp_path, f"cp {nva_files}/default /etc/default/nvo3-nva; (cd {keys} && {script})")
    lines = run([*prefix, TOP / "utilities/nvo3-doctor"], env=env, check=False).stdout.splitlines()
    unread = [line for line in lines if "cannot be read" in line]
    if what:
        assert f" NVA {what}: {keys}/" in unread[0] and unread[0].endswith("the NVA's user is _nvo3") and (len(unread) == 1 or what == "certificate"), lines
    else:
        assert not unread, lines
        found(lines, "ok", "NVA certificate")


def test_options_of_the_nva_that_are_not_quoted_well(tmp_path):
    programs = Programs.find()
    env = {**os.environ, "PATH": f"{programs.path}:{os.environ['PATH']}", "OVS_RUNDIR": "/run/openvswitch"}
    prefix = packaged(tmp_path, "echo 'NVA_OPTS=\"--group-key=/x' >/etc/default/nvo3-nva")
    done = run([*prefix, TOP / "utilities/nvo3-doctor"], env=env, check=False)
    assert not done.stderr
    found(done.stdout.splitlines(), "fail", "NVA", "cannot be read: No closing quotation - quote NVA_OPTS in /etc/default/nvo3-nva")
