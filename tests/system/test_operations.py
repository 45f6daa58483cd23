# SPDX-License-Identifier: Apache-2.0
"""The operators' pages in a lab: the quick start's commands on two bare hosts, the rotation of the CA under traffic. tests/packages does all pages on real machines."""

import os
import pathlib
import re
import shlex
import shutil

import pytest

from lab import net, wait_until
from lab.lab import Lab
from lab.pki import Pki
from lab.process import run
from lab.vm import Vm
from pages import console

TOP = pathlib.Path(__file__).resolve().parents[2]
# What packages and services are for; the lab has the programs, and starts daemons by itself.
NOT_HERE = ("apt", "update-alternatives")
# Of this machine: the host's own directory instead.
NOT_WRITTEN = ("/etc/nvo3", "/etc/systemd/network", "/etc/sysctl.d")


class BareLab(Lab):
    """Hosts with a database and a running switch, an uplink eth1 that has an address, and nothing configured."""

    def _make_host(self, host):
        host.ipv4 = f"192.0.2.{host.number}"
        net.add_namespace(host.ns)
        self.add_underlay_port(host.ns, "eth1", host.name)
        net.sysctl(host.ns, "net.ipv4.conf.all.arp_ignore=0")
        net.ip(host.ns, f"addr add {host.ipv4}/24 dev eth1")
        host.start("ovsdb-server")
        host.start("ovs-vswitchd")
        host.start("hvagent")


@pytest.fixture
def bare(tmp_path):
    lab = BareLab(prefix=f"t{os.getpid()}-bare-", directory=tmp_path / "lab", hosts=2, vms=0, tunnel_options=lambda host, peer: None)
    try:
        lab.up(wait=False)
        yield lab
    finally:
        for vm in lab.vms.values():
            net.delete_namespace(vm.ns)
        lab.down()


def run_command(lab, host, command):
    """A command of the page on a host, with the lab's directories in the place of a machine's."""
    words = shlex.split(command)
    if words[0] in NOT_HERE or words in (["systemctl", "restart", "openvswitch-switch"], ["systemctl", "enable", "systemd-networkd"]):
        return ""
    for there in NOT_WRITTEN:
        command = command.replace(there, str(host.pkidir))
    if words == ["systemctl", "restart", "systemd-networkd"]:
        return networkd(host)
    assert words[0] != "systemctl", command
    return run(host.inside() + ["sh", "-ec", command], env={**host.env, "PATH": f"{host.env['PATH']}:{TOP}/utilities"}).stdout


def networkd(host):
    """What systemd-networkd does with the page's files."""
    for file in host.pkidir.glob("*.network"):
        device, address = (re.search(rf"^{key}=(.*)$", file.read_text(), re.MULTILINE) for key in ("Name", "Address"))
        net.ip(host.ns, f"link set {device[1]} up", *([f"addr add {address[1]} dev {device[1]}"] if address else []))


def on_the_ca(lab, command, directory):
    """A command of the machine with the CA, which is in `directory` here; 192.0.2.N is hvN."""
    words = shlex.split(command.replace("/root/nvo3-ca", str(directory)))
    if words[0] in NOT_HERE:
        return
    if words[0] == "scp":
        address, _, target = words[-1].removeprefix("root@").partition(":")
        host = lab.hosts[f"hv{address.rpartition('.')[2]}"]
        assert target.startswith("/etc/nvo3/")
        for file in words[1:-1]:
            shutil.copy(file, host.pkidir / target.removeprefix("/etc/nvo3/"))
    else:
        run([lab.programs.pki, *words[1:]] if words[0] == "nvo3-pki" else words)


def test_quick_start(bare):
    """Each command of the page up to the VMs, in its order, and what the page says comes of it."""
    pages = list(console("doc/operations/quick-start.md", ["1", "2", "3", "4", "5"]))
    assert len(pages) > 20
    for prompt, command, output in pages:
        if prompt == "ca":
            on_the_ca(bare, command, bare.directory / "made-ca")
            continue
        for host in bare.hosts.values() if prompt == "both" else [bare.hosts[prompt]]:
            if output:      # comes with the keys
                wait_until(lambda: run_command(bare, host, command).splitlines() == output, lambda: f"'{command}' says {output}: {run_command(bare, host, command)}")
            elif command == "nvo3-doctor -q":
                # Of the machine, not of the lab.
                wait_until(lambda: not healthy_but(bare, host), lambda: f"the doctor is silent: {healthy_but(bare, host)}")
            else:
                run_command(bare, host, command)
    for number, host in enumerate(bare.hosts.values(), 1):
        vm = Vm(f"vm{number}", number, host, bare.plan.prefix, 5001)
        bare.vms[vm.name] = vm
        vm.start(1408)
    with bare.capture() as capture:
        bare.wait_all_reach()
        assert bare.vms["vm1"].all_answered(bare.vms["vm2"], 5, interval=0.02, size=1380)
    summary = capture.summary()
    assert summary.esp >= 10 and summary.other == 0, summary


def healthy_but(lab, host):
    env = {**host.env, "PATH": f"{host.env['PATH']}:{TOP}/utilities"}
    lines = run(host.inside() + [str(TOP / "utilities/nvo3-doctor"), "-q"], env=env, check=False).stdout.splitlines()
    return [line for line in lines if not line.startswith(("warn: clock", "warn: CPU"))]


def test_rotation_of_certificate_and_revocation_list(labs):
    """The commands of rotation.md, in their order, up to the CA; the session stays, until hv2 is revoked."""
    lab = labs()
    lab.wait_all_reach()
    hv1 = lab.hosts["hv1"]
    ca = pathlib.Path(lab.pki.directory)
    # As it was made there; the lab keeps none.
    for kind in ("crt", "key"):
        shutil.copy(lab.hosts["hv2"].pkidir / f"hv2.{kind}", ca / f"hv2.{kind}")
    before = (hv1.pkidir / "hv1.crt").read_text()
    ping = lab.vms["vm1"].background_ping(lab.vms["vm2"])
    done = []
    for prompt, command, _ in console("doc/operations/rotation.md", ["A host's certificate", "The revocation list"]):
        if "nvo3-pki revoke" in command:
            break
        done.append(command)
        on_the_ca(lab, command, ca) if prompt == "ca" else run_command(lab, hv1, command.replace("hvagent --check", f"hvagent --check unix:{hv1.rundir}/db.sock"))
    sent, received = ping.stop()
    assert len(done) > 8 and sent > 10 and received >= sent - 1, (sent, received, done)
    assert (hv1.pkidir / "hv1.crt").read_text() != before
    wait_until(lambda: hv1.tunnel_state("tun2") == "up" and hv1.sas(), "the tunnel is up")
    # As the page goes on: revoked, and the new list on every host.
    on_the_ca(lab, "nvo3-pki revoke hv2 --dir /root/nvo3-ca", ca)
    on_the_ca(lab, "scp /root/nvo3-ca/ca.crl root@192.0.2.1:/etc/nvo3/ca.crl.new", ca)
    run_command(lab, hv1, "mv /etc/nvo3/ca.crl.new /etc/nvo3/ca.crl")
    wait_until(lambda: not hv1.sas(), lambda: f"the keys with hv2 are gone: {hv1.sas()}", timeout=30)


def put(text, path):
    path.with_suffix(".new").touch(mode=0o600)
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def test_rotation_of_the_ca(labs):
    """The three steps of rotation.md: not a packet is lost, and in the end the old CA counts for nothing."""
    lab = labs()
    lab.wait_all_reach()
    new = Pki(lab.programs, lab.directory / "ca-2", lab.pki.trust_domain)
    new.init()
    old_ca, new_ca = (pathlib.Path(pki.directory) for pki in (lab.pki, new))
    ping = lab.vms["vm1"].background_ping(lab.vms["vm2"])

    def on_all(kinds, text):
        for host in lab.hosts.values():
            for kind in kinds:
                put("".join((ca / kind).read_text() for ca in text), host.pkidir / kind)
            host.appctl("reload", target="hvagent")

    def fine():
        for host in lab.hosts.values():
            done = host.run("hvagent", "--check", f"unix:{host.rundir}/db.sock", check=False)
            bad = [line for line in done.stdout.splitlines() if line.startswith("fail")]
            assert not bad, bad
    on_all(("ca.crt", "ca.crl"), (old_ca, new_ca))
    fine()
    for host in lab.hosts.values():
        # Both new before the old are gone, key first, as the page has it.
        cert, key = new.host(host.name)
        put(pathlib.Path(key).read_text(), host.pkidir / f"{host.name}.key")
        put(pathlib.Path(cert).read_text(), host.pkidir / f"{host.name}.crt")
        host.appctl("reload", target="hvagent")
        fine()
        # Instead of an hour's wait: sessions made with the new certificate.
        host.stop("hvagent")
        host.start("hvagent")
        lab.wait_tunnels()
    wait_until(lambda: all(host.appctl_json("peer/show", target="hvagent")["peers"][0]["state"] == "up" for host in lab.hosts.values()), "both have a session")
    on_all(("ca.crt", "ca.crl"), (new_ca,))
    fine()
    lab.wait_tunnels()
    sent, received = ping.stop()
    assert sent > 50 and received >= sent - 1, (sent, received)
    # One who has a certificate of the old CA alone.
    hv1 = lab.hosts["hv1"]
    lab.pki.host("hv1", "--renew")
    for kind in ("key", "crt"):
        shutil.copy(old_ca / f"hv1.{kind}", hv1.pkidir / f"hv1.{kind}")
    text = hv1.run("hvagent", "--check", f"unix:{hv1.rundir}/db.sock", check=False).stdout
    assert re.search("fail: certificate: .* not issued by the CA", text), text
