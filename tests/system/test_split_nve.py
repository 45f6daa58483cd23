# SPDX-License-Identifier: Apache-2.0
"""The external NVE, and hypervisors that want more than they may: real switch and agent at the NVE, scripted hypervisors with valid certificates.

The hypervisors' own agents are stopped; scripted_hypervisor.py speaks for them, from their addresses.
"""

import json
import pathlib
import time

import pytest

from insider import NVA, NVE, Closed, field
from lab import Capture, wait_until
from scripted_hypervisor import (ACTIVATE, ASSOCIATE, CONTROL, DATA, DEACTIVATE, DISASSOCIATE, HIGH, STANDARD, Data, ScriptedHypervisor, frame,
                                 tsi_request)

VNI, OTHER = 5001, 5002         # of the ports' lists; 5003 is of none
MAC1, MAC2, MAC3 = "52:54:00:00:01:01", "52:54:00:00:01:02", "52:54:00:00:01:03"
PROTOCOL_ERROR, UNAUTHORIZED = 4, 5


def port_options(nve, hypervisor):
    return {"nvo3_vnis": f"{VNI},{OTHER}", "security_level": "high" if hypervisor.name == "hv2" else "confidential"}


@pytest.fixture(scope="module")
def lab(module_labs):
    lab = module_labs(hosts=2, nves=2, vms=1, wait=False, tunnel_options=port_options)
    for hypervisor in lab.hypervisors.values():
        hypervisor.stop("hvagent")
    lab.nve1 = lab.nves["nve1"]
    wait_until(lambda: len(lab.nve1.tunnels()) == 2 and "error" not in {lab.nve1.tunnel_state(p) for p in lab.nve1.tunnels()},
               "the NVE has its ports", timeout=20)
    return lab


@pytest.fixture
def session(lab):
    """session('hv1') is an open control session of hv1's with nve1; session('hv1', DATA) one for data."""
    made = []

    def opened(name, channel=CONTROL, **options):
        def attempt():
            try:
                return ScriptedHypervisor(lab.hosts[name], lab.nve1, channel, **options)
            except Closed:
                return None     # the NVE limits the handshakes of an address
        made.append(wait_until(attempt, f"nve1 takes a session of {name}'s", interval=0.5))
        return made[-1].open()
    yield opened
    for one in made:
        one.close()


def files(lab, name, *options):
    """Certificate and key of somebody else."""
    directory = pathlib.Path(lab.pki.directory)
    if not (directory / f"{name}.crt").exists():
        lab.pki.host(name, *options)
    return directory / f"{name}.crt", directory / f"{name}.key"


def shown(lab, command):
    return json.loads(lab.nve1.appctl(command, "json", target="hvagent"))


def tsis(lab):
    """{hypervisor/tsi: state}"""
    return {f"{t['hypervisor']}/{t['tsi']}": t["state"] for t in shown(lab, "tsi/show")["tsis"] if "hypervisor" in t}


def audited(lab, since, *words, event=None):
    return [e for e in lab.nve1.audit()[since:] if all(w in str(e) for w in words) and event in (None, e["event"])]


# ---- what it is for ----

@pytest.mark.requirement(17, 19)
def test_traffic_follows_the_state(lab, session):
    """A VM of the NVE hears a TSI while it is active, and nothing else from that hypervisor, under a valid SA as it may be."""
    control = session("hv1")
    accepted, reason, network = control.connect(VNI)
    assert accepted and network == {"vni": VNI, "encap": 1, "cipher": 1}, reason
    data = Data(lab, lab.hosts["hv1"], session("hv1", DATA), VNI)
    vm, events = lab.vms["vm1"], len(lab.nve1.audit())

    def transmit(words, source=MAC1):
        data.send(*[data.seal(frame(source, vm.mac, words)) for _ in range(3)])
    with Capture(vm.ns, "eth0", lab.directory / "vm1.pcap") as capture:
        def hears(words):
            return any(words in f for f in capture.frames())

        def opened():
            return lab.nve1.counter("nvo3_opened")

        def sent(words, source=MAC1):
            before = opened()
            transmit(words, source)
            wait_until(lambda: opened() >= before + 3, lambda: f"the NVE has opened the packets: {lab.nve1.drops()}", timeout=10)
        sent(b"before it is associated")
        assert control.tsi(ASSOCIATE, VNI, "t1", MAC1, vm="web")[2] == "associated"
        sent(b"while it is associated")
        assert control.tsi(ACTIVATE, VNI, "t1", MAC1)[2] == "active"
        wait_until(lambda: (transmit(b"while it is active"), hears(b"while it is active"))[1], "the VM hears it", timeout=10, interval=0.3)
        sent(b"from another MAC", MAC2)
        assert tsis(lab)["hv1/t1"] == "active"
        assert control.tsi(DEACTIVATE, VNI, "t1", MAC1)[2] == "associated"
        # The switch is told at once; what is on the way may still come.
        wait_until(lambda: not any(MAC1 in line for line in lab.nve1.ofctl("dump-flows", "br-int").splitlines()), "its flows are gone", timeout=10)
        sent(b"after it was deactivated")
        assert control.tsi(DISASSOCIATE, VNI, "t1", MAC1)[2] == "none"
    for words in (b"before it is", b"while it is associated", b"from another MAC", b"after it was"):
        assert not hears(words), words
    assert [e["state"] for e in audited(lab, events, MAC1, event="tsi_changed")] == ["associated", "active", "associated", "none"]


@pytest.mark.requirement(17, 25)
def test_network_changed_on_the_way(lab, session):
    """The VNI is inside of ESP: another one under a valid SA is refused, counted and alarmed; a changed octet opens nothing."""
    control = session("hv1")
    assert control.connect(VNI)[0]
    control.activate(VNI, "t1", MAC1)
    data = Data(lab, lab.hosts["hv1"], session("hv1", DATA), VNI)
    before = lab.nve1.drops()
    good = frame(MAC1, lab.vms["vm1"].mac, b"to another network")
    damaged = bytearray(data.seal(good))
    assert b"to another network" not in damaged         # confidential by default
    damaged[-20] ^= 1
    data.send(data.seal(good, vni=OTHER), data.seal(good, vni=5003), bytes(damaged))

    def more(reason):
        return lab.nve1.drops().get(reason, 0) - before.get(reason, 0)
    wait_until(lambda: more("wrong_vni") == 2 and more("bad_icv") == 1, lambda: f"counted: {lab.nve1.drops()}", timeout=10)
    control.tsi(DISASSOCIATE, VNI, "t1", MAC1)


@pytest.mark.requirement(18, 20)
def test_each_hypervisor_has_its_cipher_and_keys(lab, session):
    controls = {name: session(name) for name in ("hv1", "hv2")}
    ciphers = {name: control.connect(VNI)[2]["cipher"] for name, control in controls.items()}
    assert ciphers == {"hv1": 1, "hv2": 2}
    data = {"hv1": session("hv1", DATA, suites=STANDARD), "hv2": session("hv2", DATA, suites=HIGH)}
    keys = {}
    for name, one in data.items():
        _, key, offer = one.accept_offer()
        assert offer[4] == ciphers[name]
        keys[name] = key
    assert len(keys["hv1"]) == 20 and len(keys["hv2"]) == 36 and keys["hv1"][:16] != keys["hv2"][:16]
    sas = wait_until(lambda: {sa["remote_ip"]: sa["cipher"] for sa in lab.nve1.sas() if sa["direction"] == "in"}, "there are SAs")
    assert sas == {lab.hosts["hv1"].ipv4: "aes128gcm", lab.hosts["hv2"].ipv4: "aes256gcm"}


@pytest.mark.requirement(18, 20, 21)
def test_levels_of_the_channels_are_apart(lab, session):
    """hv1's data may be of the standard level while its control must be high; hv2's the other way round."""
    with ScriptedHypervisor(lab.hosts["hv2"], lab.nve1, DATA, suites=STANDARD) as weak:
        code, words = weak.wait_closed()
        assert code == UNAUTHORIZED and "level high" in words, words
    session("hv2", CONTROL, suites=STANDARD)
    lab.nve1.vsctl("set", "Open_vSwitch", ".", "other_config:nvo3-control-level=high")
    try:
        def refused():
            try:
                with ScriptedHypervisor(lab.hosts["hv1"], lab.nve1, CONTROL, suites=STANDARD) as weak:
                    return weak.wait_closed()
            except Closed:
                return None
        code, words = wait_until(lambda: (lambda end: end if end and end[0] == UNAUTHORIZED else None)(refused()), "weak control is refused", interval=0.5)
        assert "level high" in words
        session("hv1", CONTROL, suites=HIGH)
        session("hv1", DATA, suites=STANDARD)
    finally:
        lab.nve1.vsctl("remove", "Open_vSwitch", ".", "other_config", "nvo3-control-level")


# ---- who is refused ----

@pytest.mark.requirement(16, 19)
@pytest.mark.parametrize("claim, words", [
    ({"role": NVE}, "has proved to be 'hv1', role hypervisor"), ({"role": NVA}, "has proved to be"), ({"name": "hv2"}, "has proved to be 'hv1'"),
    ({"hello_channel": 0}, "with a hypervisor each session is one")], ids=["nve", "nva", "another-name", "no-channel"])
def test_claims_of_the_hello(lab, claim, words):
    events = len(lab.nve1.audit())
    with ScriptedHypervisor(lab.hosts["hv1"], lab.nve1, CONTROL, **claim) as one:
        code, text = one.wait_closed()
    assert code == UNAUTHORIZED and words in text, text
    wait_until(lambda: audited(lab, events, words, event="refused"), "the refusal is audited", timeout=5)


@pytest.mark.requirement(16)
@pytest.mark.parametrize("who, words", [(("hv2", "--role", "hypervisor"), "names hv2, but options:remote_name is hv1"),
                                        (("plain", "--role", "nve"), "is for the role nve, options:nvo3_role=hypervisor needs hypervisor")],
                         ids=["another-hypervisor", "an-nve"])
def test_certificates_at_the_port_of_hv1(lab, who, words):
    """A valid certificate of somebody else, from hv1's address; an NVE's too, which would be served more."""
    certificate = files(lab, *who) if who[0] != "hv2" else (lab.hosts["hv2"].pkidir / "hv2.crt", lab.hosts["hv2"].pkidir / "hv2.key")
    role = NVE if "nve" in who else 3
    with ScriptedHypervisor(lab.hosts["hv1"], lab.nve1, CONTROL if role == 3 else 0, name=who[0], role=role, files=certificate) as one:
        code, text = one.wait_closed()
    assert code == UNAUTHORIZED and words in text, text


@pytest.mark.requirement(16, 19)
def test_hypervisor_towards_another_nve(lab):
    """nve2 takes hv1 for an NVE, by a port without nvo3_role: its certificate says what it is. Without a port it says nothing at all."""
    nve2, hv1 = lab.nves["nve2"], lab.hosts["hv1"]
    nve2.vsctl("del-port", "br-int", next(p for p in nve2.tunnels() if nve2.interface(p, "options").get("remote_ip") == hv1.ipv4))
    nve2.vsctl("add-port", "br-int", "tun9", "--", "set", "Interface", "tun9", "type=geneve", f"options:remote_ip={hv1.ipv4}", "options:key=5001")
    wait_until(lambda: "tun9" in nve2.tunnels(), "the port is there")

    def attempt(role, channel):
        try:
            with ScriptedHypervisor(hv1, nve2, channel, role=role) as one:
                return one.wait_closed()
        except Closed:
            return None
    for role, channel in ((3, CONTROL), (3, DATA), (NVE, 0)):
        end = wait_until(lambda: (lambda end: end if end and end[0] else None)(attempt(role, channel)), "it is refused", interval=0.5)
        assert end[0] == UNAUTHORIZED and "is for the role hypervisor, a tunnel needs nve" in end[1], end
    assert not nve2.sas()
    nve2.vsctl("del-port", "br-int", "tun9")
    wait_until(lambda: "tun9" not in nve2.tunnels(), "the port is gone")
    assert wait_until(lambda: attempt(3, CONTROL) in (None, (None, "")), "nothing is said")


@pytest.mark.requirement(19)
@pytest.mark.parametrize("channel, number, body, words", [
    (CONTROL, 10, field(1, VNI) + field(2, 1) + field(3, 0x4444) + field(4, 1) + field(5, 1) + field(6, bytes(16)) + field(7, 1), "SaOffer on the control channel"),
    (CONTROL, 12, field(1, VNI) + field(2, 1) + field(3, 1), "SaRequest on the control channel"),
    (CONTROL, 30, b"", "DirectoryRequest on the control channel"),
    (CONTROL, 34, field(1, VNI) + field(2, bytes.fromhex("525400000001")), "MappingAnnounce on the control channel"),
    (CONTROL, 69, field(1, 1), "SlowDown on the control channel"),
    (DATA, 63, tsi_request(ASSOCIATE, VNI, "t1", MAC1), "TsiRequest on the data channel"),
    (DATA, 60, field(1, b"5001"), "VnConnect on the data channel")], ids=["offer", "sa-request", "directory", "announce", "slow-down", "tsi-on-data", "connect-on-data"])
def test_message_that_is_not_for_it_ends_the_session(lab, session, channel, number, body, words):
    one, events, sas = session("hv1", channel), len(lab.nve1.audit()), {sa["spi"] for sa in lab.nve1.sas()}
    one.send(number, body)
    code, text = one.wait_closed()
    assert code == UNAUTHORIZED and words in text, text
    wait_until(lambda: audited(lab, events, words, event="refused"), "the refusal is audited", timeout=5)
    assert {sa["spi"] for sa in lab.nve1.sas()} <= sas


@pytest.mark.requirement(19)
def test_networks_that_the_port_does_not_name(lab, session):
    control, events = session("hv1"), len(lab.nve1.audit())
    for vn in (5003, "no-such", 0):
        accepted, reason, _ = control.connect(vn)
        assert not accepted and "may not connect to network" in reason
    # Without a connection nothing of an allowed network either, and no SA.
    assert control.tsi(ASSOCIATE, OTHER, "t1", MAC1) == (False, "the hypervisor is not connected to this network", "none")
    data = session("hv1", DATA)
    data.send(12, field(1, OTHER) + field(2, 1) + field(3, 1))
    wait_until(lambda: audited(lab, events, str(OTHER), event="refused") and audited(lab, events, "5003", event="refused"), "audited", timeout=5)
    assert OTHER not in {sa["vni"] for sa in lab.nve1.sas()}
    assert not [t for t in shown(lab, "tsi/show")["tsis"] if t.get("vni") == OTHER]


@pytest.mark.requirement(19)
def test_interface_of_another_hypervisor(lab, session):
    """hv2 cannot have hv1's TSI, its MAC or a VM's of the NVE, whatever flag it sets, while hv1 holds it."""
    one, two = session("hv1"), session("hv2")
    assert one.connect(VNI)[0] and two.connect(VNI)[0]
    one.activate(VNI, "t1", MAC1)
    for tsi, address, options, words in (("t1", MAC1, {}, "it is at hv1, and no migration was said"), ("t1", MAC2, {"migration": True}, "it has the MAC"),
                                         ("t2", MAC1, {}, "its MAC is that of another interface"), ("t2", MAC1, {"migration": True}, "its MAC is that of"),
                                         ("t2", lab.vms["vm1"].mac, {}, "its MAC is that of a VM port of this NVE")):
        accepted, reason, state = two.tsi(ASSOCIATE, VNI, tsi, address, **options)
        assert not accepted and words in reason and state == "none", reason
    assert two.tsi(ASSOCIATE, VNI, "t1", MAC1, migration=True)[0]
    assert two.tsi(ACTIVATE, VNI, "t1", MAC1) == (False, "it is active at hv1, and no migration was said", "associated")
    begin = time.monotonic()
    accepted, reason, state = two.tsi(ACTIVATE, VNI, "t1", MAC1, migration=True)
    assert not accepted and reason == "hv1 has not given way for 5 seconds" and time.monotonic() - begin > 4
    assert tsis(lab) == {"hv1/t1": "active", "hv2/t1": "associated"}
    # And when hv1 lets it go, it moves; hv1 is told.
    assert one.tsi(DEACTIVATE, VNI, "t1", MAC1, migration=True)[0]
    assert two.tsi(ACTIVATE, VNI, "t1", MAC1, migration=True) == (True, "", "active")
    while True:
        kind, fields, _ = one.next_message(10)
        if kind == "tsi_removed":
            break
    assert fields[3][0] == b"moved to hv2"
    assert tsis(lab) == {"hv2/t1": "active"}
    two.tsi(DISASSOCIATE, VNI, "t1", MAC1)


def test_resynchronisation(lab, session):
    """What is not told again after a reconnect goes; what is told stays without a gap."""
    one = session("hv1")
    assert one.connect(VNI)[0]
    one.activate(VNI, "t1", MAC1)
    one.activate(VNI, "t2", MAC2)
    one.close()
    events = len(lab.nve1.audit())
    again = session("hv1")
    assert tsis(lab) == {"hv1/t1": "active", "hv1/t2": "active"}
    assert again.connect(VNI)[0]
    again.activate(VNI, "t1", MAC1)
    again.sync_done()
    assert again.query() == {"t1": (VNI, MAC1, "active")}
    assert [e["tsi"] for e in audited(lab, events, event="tsi_changed")] == ["t2"]
    again.disconnect(VNI)
    wait_until(lambda: not [name for name in tsis(lab) if name.startswith("hv1/")]
               and not [sa for sa in lab.nve1.sas() if sa["remote_ip"] == lab.hosts["hv1"].ipv4], "nothing is left", timeout=10)


# ---- too much ----

@pytest.mark.requirement(23)
def test_refusals_are_little(lab, session):
    """Octets of messages: what a hypervisor gets for requests that are refused, and that one question of much is answered once."""
    control = session("hv1")
    assert control.connect(VNI)[0]
    control.sent = control.received = 0
    for n in range(30):
        assert not control.tsi(ACTIVATE, VNI, f"interface-{n}", MAC3)[0]
        assert not control.connect(f"network-{n}")[0]
    assert control.received <= 3 * control.sent
    control.query()
    control.send(66)
    code, words = control.wait_closed()
    assert code == PROTOCOL_ERROR and "every 10 seconds" in words


@pytest.mark.requirement(22)
@pytest.mark.alone
def test_flood_is_slowed_and_cut_off(lab, session):
    """A flapping VM without end: read at the limit, told to slow down, cut off after 30 s; the other hypervisor is served meanwhile."""
    rate = 20
    lab.nve1.vsctl("set", "Open_vSwitch", ".", f"other_config:nvo3-hypervisor-rate={rate}")
    try:
        wait_until(lambda: shown(lab, "hypervisor/show")["rate"] == rate, "the limit is in force")
        one, two = session("hv1"), session("hv2")
        assert one.connect(VNI)[0] and two.connect(VNI)[0]
        one.activate(VNI, "t1", MAC1)
        events, taken, begin, slowest = len(lab.nve1.audit()), 0, time.monotonic(), 0
        number, next_probe, end = 0, begin + 3, None
        one._socket.settimeout(0.2)
        try:
            while time.monotonic() < begin + 60:
                # Always some hundreds on the way.
                while number - taken < 400:
                    number += 1
                    one.send(63, tsi_request(ACTIVATE if number % 2 else DEACTIVATE, VNI, "t1", MAC1))
                try:
                    kind, fields, _ = one.next_message(0.2)
                except TimeoutError:
                    kind = ""
                taken += kind == "tsi_result"
                if kind == "close":
                    end = fields
                    break
                if time.monotonic() > next_probe:
                    next_probe = time.monotonic() + 3
                    asked = time.monotonic()
                    assert two.connect(VNI)[0]
                    slowest = max(slowest, time.monotonic() - asked)
        except Closed:
            pass
        lasted = time.monotonic() - begin
        assert taken <= rate * lasted + 2 * rate + 5, (taken, lasted)
        assert one.slow_downs > 0
        assert 25 < lasted < 50, lasted
        assert end and b"nvo3-hypervisor-rate" in end[2][0], end
        assert slowest < 1, slowest
        wait_until(lambda: audited(lab, events, "nvo3-hypervisor-rate", event="refused"), "it is audited", timeout=5)
        with ScriptedHypervisor(lab.hosts["hv1"], lab.nve1, CONTROL) as again:
            assert "was cut off" in again.wait_closed()[1]
        two.disconnect(VNI)
    finally:
        lab.nve1.vsctl("remove", "Open_vSwitch", ".", "other_config", "nvo3-hypervisor-rate")
