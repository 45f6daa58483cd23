# SPDX-License-Identifier: Apache-2.0
"""Who is refused, and in which words: certificates, pre-shared keys, certificates of ovs-pki.

Each refusal has its reason, in the audit log of who refuses or in the status of who is wrong; afterwards hv2 has its own certificate back.
"""

import re
import shutil
import subprocess

import pytest

import wire
from insider import Closed, Insider
from lab import pcap, wait_until
from lab.lab import Lab
from lab.pki import Pki


@pytest.fixture(scope="module")
def lab(module_labs):
    lab = module_labs()
    lab.wait_all_reach()
    return lab


def other_authority(lab):
    """A CA of the same name and trust domain, but not the one that the hosts trust."""
    pki = Pki(lab.programs, lab.directory / "other-ca", lab.pki.trust_domain)
    if not (lab.directory / "other-ca").exists():
        pki.init()
    return pki


def make_elsewhere(lab, name, *options, pki=None):
    """A certificate that does not overwrite the host's own."""
    pki = pki or lab.pki
    pki.host(name, "--renew", *options)
    target = lab.directory / "bad"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for kind in ("crt", "key"):
        shutil.move(f"{pki.directory}/{name}.{kind}", target / f"{name}.{kind}")
    return target / f"{name}.crt", target / f"{name}.key"


def wrong_ca(lab):
    return make_elsewhere(lab, "hv2", pki=other_authority(lab))


def expired(lab):
    return make_elsewhere(lab, "hv2", "--start", "20200101000000Z", "--end", "20200201000000Z")


def not_yet(lab):
    return make_elsewhere(lab, "hv2", "--start", "20990101000000Z", "--end", "20990201000000Z")


def wrong_name(lab):
    return make_elsewhere(lab, "hv9")


def role_nva(lab):
    return make_elsewhere(lab, "hv2", "--role", "nva")


def role_hypervisor(lab):
    return make_elsewhere(lab, "hv2", "--role", "hypervisor")


def wrong_domain(lab):
    """A name of another trust domain under the same CA."""
    domain = lab.directory / "ca/db/trust-domain"
    own = domain.read_text()
    domain.write_text("elsewhere.test\n")
    try:
        return make_elsewhere(lab, "hv2")
    finally:
        domain.write_text(own)


def restore(lab):
    hv2 = lab.hosts["hv2"]
    hv2.set_certificate(hv2.pkidir / "hv2.crt", hv2.pkidir / "hv2.key")
    lab.wait_tunnels()
    lab.wait_all_reach()


# A certificate of hv2's, and a pattern for hv1's reason in its audit log.
BAD = [
    (wrong_ca, r"not.*(issued|of a CA)"),
    (expired, r"expired"),
    (not_yet, r"not valid yet"),
    (wrong_name, r"names hv9"),
    (role_nva, r"role nva"),
    (role_hypervisor, r"role hypervisor"),
    (wrong_domain, r"elsewhere\.test"),
]


@pytest.mark.requirement(1, 10)
@pytest.mark.parametrize("make, words", BAD, ids=[make.__name__ for make, _ in BAD])
def test_bad_certificate_is_refused(lab, make, words):
    """A client at hv2's address, whose own agent would not even use such a certificate. Its good one is let in by the same way."""
    restore(lab)
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    hv2.stop("hvagent")
    try:
        with Insider(hv2, hv1) as good:
            good.wait_for("hello")
        before, sas = len(hv1.audit()), {sa["spi"] for sa in hv1.sas()}
        with pytest.raises(Closed), Insider(hv2, hv1, files=make(lab)) as bad:
            bad.wait_for("sa_offer", timeout=5)
        wait_until(lambda: any(e["event"] == "refused" and re.search(words, e["reason"]) for e in hv1.audit()[before:]),
                   lambda: f"'{words}' is in hv1's audit log: {hv1.audit()[before:]}")
        assert {sa["spi"] for sa in hv1.sas()} <= sas
    finally:
        hv2.start("hvagent")
    restore(lab)


# What hv2's own agent says of such a certificate in its status.
OWN_BAD = [(wrong_ca, r"not issued by the CA"), (expired, r"expired"), (not_yet, r"not (yet )?valid"), (role_nva, r"role"), (role_hypervisor, r"role")]


@pytest.mark.requirement(1)
@pytest.mark.parametrize("make, words", OWN_BAD, ids=[make.__name__ for make, _ in OWN_BAD])
def test_own_bad_certificate_is_named(lab, make, words):
    restore(lab)
    hv2 = lab.hosts["hv2"]
    hv2.set_certificate(*make(lab))
    wait_until(lambda: re.search(words, hv2.interface("tun1", "status").get("nvo3_error", "")),
               lambda: f"'{words}' is said: {hv2.interface('tun1', 'status')}")
    restore(lab)


@pytest.mark.requirement(1, 10)
def test_wrong_name_takes_the_tunnel_down(lab):
    """A certificate of the right CA for another host: hv1 says both names, and no packet crosses."""
    restore(lab)
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    hv2.set_certificate(*wrong_name(lab))
    wait_until(lambda: re.search(r"hv9.*hv2", hv1.interface("tun2", "status").get("nvo3_error", "")) and hv1.tunnel_state("tun2") != "up",
               lambda: f"hv1 names both: {hv1.interface('tun2', 'status')}")
    wait_until(lambda: not hv1.sas() and not hv2.sas(), lambda: f"no SA is left: {hv1.sas()}, {hv2.sas()}")
    with lab.capture() as capture:
        assert lab.vms["vm1"].ping(lab.vms["vm2"], 3) == 0
    assert capture.summary().esp == 0 and capture.summary().other == 0
    restore(lab)


@pytest.mark.requirement(1, 10)
def test_no_certificate(lab):
    """Not configured at all: hv2 says which key is missing; the other tunnels of others are not its affair."""
    restore(lab)
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    for key in ("certificate", "private_key"):
        hv2.vsctl("remove", "Open_vSwitch", ".", "other_config", key)
    hv2.wait_tunnel("tun1", "error")
    assert "certificate" in hv2.interface("tun1", "status")["nvo3_error"]
    wait_until(lambda: hv1.tunnel_state("tun2") != "up", "hv1 notices")
    restore(lab)


@pytest.mark.requirement(1)
@pytest.mark.parametrize("case, words", [("mismatch", r"hv8\.key does not belong"), ("unreadable", r"/nonexistent/hv2\.crt"), ("garbage", r"garbage\.pem")])
def test_bad_file_is_named(lab, case, words):
    """Files of hv2 itself that cannot be: the sentence names the file or the key."""
    restore(lab)
    hv2 = lab.hosts["hv2"]
    certificate, key = hv2.pkidir / "hv2.crt", hv2.pkidir / "hv2.key"
    if case == "mismatch":
        key = make_elsewhere(lab, "hv8")[1]
    elif case == "unreadable":
        certificate = "/nonexistent/hv2.crt"
    else:
        certificate = lab.directory / "garbage.pem"
        certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    hv2.set_certificate(certificate, key)
    wait_until(lambda: re.search(words, hv2.interface("tun1", "status").get("nvo3_error", "")),
               lambda: f"'{words}' is said: {hv2.interface('tun1', 'status')}")
    restore(lab)


@pytest.mark.requirement(1)
def test_tls_without_certificate_or_old_version(lab):
    """A client without a certificate, or of TLS 1.2, gets nowhere; the refusal is in the audit log with the reason."""
    hv1 = lab.hosts["hv1"]

    def client(*options):
        done = subprocess.run(["ip", "netns", "exec", lab.hosts["hv2"].ns, "openssl", "s_client", "-connect", f"{hv1.ipv4}:6652", "-ign_eof", *options],
                              capture_output=True, text=True, input="", timeout=20)
        return done.stdout + done.stderr
    before = len(hv1.audit())
    assert re.search(r"alert.*(certificate required|handshake failure)", client("-tls1_3"))
    assert re.search(r"alert.*protocol version|wrong version|unsupported protocol", client("-tls1_2"))
    wait_until(lambda: [e for e in hv1.audit()[before:] if e["event"] == "refused"], "a refusal is in the audit log", timeout=5)


@pytest.mark.requirement(7)
def test_nothing_is_said_before_the_handshake(lab):
    """A client that is silent, or sends no TLS: not one octet of ours before theirs, fewer than theirs afterwards (alerts apart)."""
    hv1 = lab.hosts["hv1"]
    probe = ("import socket,sys; s=socket.create_connection((sys.argv[1],6652),5); s.settimeout(1.5)\n"
             "def read():\n"
             "    try: return len(s.recv(65536))\n"
             "    except (socket.timeout, ConnectionError): return 0\n"
             "silent=read(); s.sendall(b'G'*600); print(silent, read())")
    silent, answer = map(int, lab.hosts["hv2"].run("/usr/bin/python3", "-c", probe, hv1.ipv4).stdout.split())
    assert silent == 0 and answer < 20


@pytest.mark.requirement(1, 10)
def test_revocation(labs):
    """A revoked certificate: session and SAs go on both sides within seconds, and hv1 says why."""
    lab = labs()
    lab.wait_all_reach()
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    lab.pki.revoke("hv2")
    lab.pki.publish(hv1.pkidir)
    wait_until(lambda: "revoked" in hv1.interface("tun2", "status").get("nvo3_error", ""), "hv1 says that hv2's certificate is revoked")
    wait_until(lambda: not hv1.sas() and not hv2.sas(), "no SA is left on either side")
    with lab.capture() as capture:
        assert lab.vms["vm1"].ping(lab.vms["vm2"], 3) == 0
    assert capture.summary().esp == 0 and capture.summary().other == 0
    assert any(e["event"] == "refused" and "revoked" in e["reason"] for e in hv1.audit())
    assert hv1.tunnel_state("tun2") != "up"
    # A new certificate under the same name is another certificate.
    lab.pki.give("hv2", hv2.pkidir)
    lab.wait_tunnels()
    lab.wait_all_reach()


@pytest.mark.requirement(10)
def test_certificate_renewal_keeps_the_tunnel(lab):
    """New files under the same names: taken up by itself, traffic goes on."""
    restore(lab)
    hv2, vm1, vm2 = lab.hosts["hv2"], lab.vms["vm1"], lab.vms["vm2"]
    certificate, key = make_elsewhere(lab, "hv2")
    traffic = vm1.background_ping(vm2, interval=0.01)
    try:
        vm1.wait_reach(vm2)
        shutil.copy(key, hv2.pkidir / "hv2.key")
        shutil.copy(certificate, hv2.pkidir / "hv2.crt")
        hv2.appctl("reload", target="hvagent")
        lab.wait_tunnels()
        assert vm1.all_answered(vm2, 20, interval=0.02)
    finally:
        sent, received = traffic.stop()
    assert received >= sent - 2


def psk_options(path):
    return lambda host, peer: {"psk": path, "remote_name": None}


@pytest.mark.requirement(1, 10)
def test_psk(labs, tmp_path):
    """Both ends with the same key file, no certificates; then a different key on one side: down, and no fallback."""
    key = tmp_path / "psk"
    key.write_text("a pre-shared key of the tests, long enough to be one\n")
    key.chmod(0o600)
    lab = labs(tunnel_options=psk_options(str(key)), wait=False)
    for host in lab.hosts.values():
        for name in ("certificate", "private_key", "ca_cert", "nvo3-crl"):
            host.vsctl("remove", "Open_vSwitch", ".", "other_config", name)
    lab.wait_tunnels()
    lab.wait_all_reach()
    with lab.capture() as capture:
        assert lab.vms["vm1"].all_answered(lab.vms["vm2"], 5)
    assert capture.summary().other == 0 and capture.summary().esp >= 10
    other = tmp_path / "other"
    other.write_text("quite another pre-shared key of the tests, long as well\n")
    other.chmod(0o600)
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    hv2.vsctl("set", "Interface", "tun1", f'options:psk="{other}"')
    wait_until(lambda: hv1.tunnel_state("tun2") != "up" and hv2.tunnel_state("tun1") != "up", "the tunnel is down with two keys")
    wait_until(lambda: "psk" in (hv2.interface("tun1", "status").get("nvo3_error", "") + hv1.interface("tun2", "status").get("nvo3_error", "")).lower()
               or "pre-shared" in hv2.interface("tun1", "status").get("nvo3_error", ""), "the words name the pre-shared key")
    hv2.vsctl("set", "Interface", "tun1", f'options:psk="{key}"')
    lab.wait_tunnels()


@pytest.mark.requirement(1)
def test_psk_in_the_database_warns(labs, tmp_path):
    lab = labs(tunnel_options=lambda host, peer: {"psk": "inline-key-of-the-tests-0123456789abcdef", "remote_name": None})
    lab.wait_all_reach()
    log = lab.hosts["hv1"].log("hvagent")
    assert re.search(r"WARN.*psk", log)
    assert "inline-key-of-the-tests" not in log


@pytest.fixture(scope="module")
def ovs_pki_lab(module_labs):
    """Hosts with certificates of Open vSwitch's own ovs-pki: names in the CN, no SPIFFE name."""
    lab = module_labs(wait=False)
    base = lab.directory / "ovs-pki"
    tool = next(d for d in lab.programs.path.split(":") if d.endswith("ovs/utilities")) + "/ovs-pki"

    def pki(*argv):
        subprocess.run([tool, f"--dir={base}", f"--log={lab.directory}/ovs-pki.log", *argv], cwd=lab.directory, check=True, capture_output=True, timeout=120)
    pki("init", "--force")
    for host in lab.hosts.values():
        pki("-B", "2048", "-u", "req+sign", host.name, "switch")
        host.vsctl("remove", "Open_vSwitch", ".", "other_config", "nvo3-crl")
        host.vsctl("set", "Open_vSwitch", ".", f'other_config:certificate="{lab.directory}/{host.name}-cert.pem"',
                   f'other_config:private_key="{lab.directory}/{host.name}-privkey.pem"', f'other_config:ca_cert="{base}/switchca/cacert.pem"')
    return lab


@pytest.mark.requirement(1, 10)
def test_ovs_pki_certificates(ovs_pki_lab):
    """Accepted where the port names the peer; refused where it does not."""
    lab: Lab = ovs_pki_lab
    lab.wait_tunnels()
    lab.wait_all_reach()
    hv1 = lab.hosts["hv1"]
    hv1.vsctl("remove", "Interface", "tun2", "options", "remote_name")
    wait_until(lambda: hv1.tunnel_state("tun2") != "up" and "remote_name" in hv1.interface("tun2", "status").get("nvo3_error", ""),
               lambda: f"the error names remote_name: {hv1.interface('tun2', 'status')}")
    hv1.vsctl("set", "Interface", "tun2", "options:remote_name=hv2")
    lab.wait_tunnels()


@pytest.mark.requirement(3)
def test_control_channel_shows_nothing(lab):
    """What the agents say of SAs, seen from the underlay: TLS records, and not one of the words inside."""
    hv1 = lab.hosts["hv1"]
    before = {sa["spi"] for sa in hv1.sas()}
    with lab.capture() as capture:
        hv1.appctl("peer/rekey", "hv2", target="hvagent")
        wait_until(lambda: not before & {sa["spi"] for sa in hv1.sas()}, "the SAs are new", timeout=20)
    control = [f for f in capture.frames() if pcap.classify(f) == "control"]
    assert control
    spis = [sa["spi"].to_bytes(4, "big") for sa in hv1.sas()]
    for frame in control:
        assert b"aes128gcm" not in frame and b"hv2" not in frame[54:]
        assert not any(spi in frame[54:] for spi in spis)
    assert wire.is_esp(control[0]) is False


@pytest.mark.requirement(1, 10)
def test_pinned_certificate(labs):
    """remote_cert: the peer must have exactly this certificate, whatever the CA says."""
    lab = labs()
    lab.wait_all_reach()
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    hv1.vsctl("set", "Interface", "tun2", f'options:remote_cert="{hv2.pkidir}/hv2.crt"')
    lab.wait_tunnels()
    lab.wait_all_reach()
    hv1.vsctl("set", "Interface", "tun2", f'options:remote_cert="{hv1.pkidir}/hv1.crt"')
    wait_until(lambda: hv1.tunnel_state("tun2") != "up" and "remote_cert" in hv1.interface("tun2", "status").get("nvo3_error", ""),
               lambda: f"the error names remote_cert: {hv1.interface('tun2', 'status')}")
    wait_until(lambda: not hv1.sas() and not hv2.sas(), lambda: f"no SA is left: {hv1.sas()}, {hv2.sas()}")


@pytest.mark.requirement(3)
def test_control_level_high(labs):
    """Both set to high: the session has AES-256."""
    lab = labs()
    for host in lab.hosts.values():
        host.vsctl("set", "Open_vSwitch", ".", "other_config:nvo3-control-level=high")
    for host in lab.hosts.values():
        wait_until(lambda: "TLS_AES_256_GCM_SHA384" in host.appctl("peer/show", target="hvagent"),
                   lambda: f"the session is of level high: {host.appctl('peer/show', target='hvagent')}")
    lab.wait_tunnels()
    lab.wait_all_reach()
