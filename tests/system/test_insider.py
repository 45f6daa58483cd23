# SPDX-License-Identifier: Apache-2.0
"""Attacker: a host with valid credentials, turned hostile. hv1's agent is replaced by insider.py, which has hv1's certificate.

It may serve network 5001 with hv2, as configured, and must get nothing else by it.
"""

import struct
import time

import pytest

import wire
from insider import NVA, Closed, Insider, field
from lab import Capture, wait_until


@pytest.fixture(scope="module")
def lab(module_labs):
    lab = module_labs(hosts=3, vms=3)
    lab.wait_all_reach()
    hv1 = lab.hosts["hv1"]
    hv1.stop("hvagent")
    return lab


def connect(lab):
    """An Insider as hv1 with hv2, or None while hv2 limits the handshakes of hv1's address."""
    try:
        return Insider(lab.hosts["hv1"], lab.hosts["hv2"])
    except Closed:
        return None


@pytest.fixture
def insider(lab):
    with wait_until(lambda: connect(lab), "hv2 takes a session of hv1's", interval=0.5) as insider:
        yield insider


def new_events(host, before, kind):
    return [e for e in host.audit()[before:] if e["event"] == kind]


class Sender:
    """Sends what it likes under a valid SA."""

    def __init__(self, lab, insider):
        self.lab, self.hv2, self.vm2 = lab, lab.hosts["hv2"], lab.vms["vm2"]
        self.spi, self.key, self.offer = insider.accept_offer()
        assert self.offer[1] == 5001
        self._sequence = 0

    def frame(self, inner):
        self._sequence += 1
        sealed = wire.esp_seal(self.key, self.spi, self._sequence, inner)
        return wire.ethernet(wire.udp(self.lab.hosts["hv1"].ipv4, self.hv2.ipv4, 50000, 4500, sealed), "0a:00:00:00:31:02")

    def geneve(self, vni, words=b"from the insider", port=6081):
        packet = wire.geneve(vni, wire.inner_frame(self.vm2.mac, words))
        return struct.pack("!HHHH", 50000, port, 8 + len(packet), 0) + packet

    def send(self, inners):
        wire.inject(self.lab.hosts["hv1"].ns, "eth0", [self.frame(inner) for inner in inners])


@pytest.mark.requirement(11, 15)
def test_other_network_under_a_valid_sa(lab, insider):
    """The right network arrives, which shows that the rest is refused for its VNI alone; it is counted, alarmed, audited."""
    sender = Sender(lab, insider)
    hv2 = sender.hv2
    opened = hv2.counter("nvo3_opened")
    with Capture(lab.vms["vm2"].ns, "eth0", lab.directory / "vm2.pcap") as capture:
        sender.send([sender.geneve(5001)])
        wait_until(lambda: hv2.counter("nvo3_opened") == opened + 1, lambda: f"the good packet is opened: {hv2.drops()}", timeout=5)
        wait_until(lambda: any(b"from the insider" in f for f in capture.frames()), "the VM has the good packet", timeout=5)
        before, events = hv2.counter("nvo3_drop_wrong_vni"), len(hv2.audit())
        foreign = (0, 1, 5000, 5002, 0xFFFFFF)
        sender.send([sender.geneve(vni, b"to another network") for vni in foreign])
        wait_until(lambda: hv2.counter("nvo3_drop_wrong_vni") == before + len(foreign), lambda: f"all are counted: {hv2.drops()}", timeout=5)
    assert not any(b"to another network" in f for f in capture.frames())
    alarms = wait_until(lambda: new_events(hv2, events, "alarm"), "the alarm is in the audit log", timeout=5)
    assert "wrong_vni" in str(alarms[0]) and alarms[0]["peer"] == "hv1"


@pytest.mark.requirement(11)
def test_malformed_packets_under_a_valid_sa(lab, insider):
    """Wrong inner port, broken tunnel headers, nothing at all: each refused, the switch lives on."""
    sender = Sender(lab, insider)
    hv2 = sender.hv2
    good = sender.geneve(5001)
    bad = [sender.geneve(5001, port=6082), sender.geneve(5001, port=4789), good[:8], good[:15], b"", b"\0", good[:8] + b"\xff" * 8 + good[16:],
           struct.pack("!HHHH", 50000, 6081, 4000, 0) + good[8:], struct.pack("!HHHH", 50000, 6081, 7, 0) + good[8:]]
    before, pid = sum(hv2.drops().values()), hv2.pid("ovs-vswitchd")
    sender.send(bad)
    wait_until(lambda: sum(hv2.drops().values()) >= before + len(bad), lambda: f"all are counted: {hv2.drops()}", timeout=5)
    assert hv2.pid("ovs-vswitchd") == pid
    opened = hv2.counter("nvo3_opened")
    sender.send([good])
    wait_until(lambda: hv2.counter("nvo3_opened") == opened + 1, "a good packet still passes", timeout=5)


@pytest.mark.requirement(15)
def test_key_of_one_network_is_no_key_of_another(lab, insider):
    """An SPI of hv2's that belongs to hv3, used by hv1 with its own key."""
    sender = Sender(lab, insider)
    hv2 = sender.hv2
    foreign = next(sa for sa in hv2.sas() if sa["direction"] == "in" and sa["remote_ip"] == lab.hosts["hv3"].ipv4)
    sender.spi = foreign["spi"]
    before = hv2.counter("nvo3_drop_wrong_address")
    sender.send([sender.geneve(5001)] * 3)
    wait_until(lambda: hv2.counter("nvo3_drop_wrong_address") == before + 3, lambda: f"counted: {hv2.drops()}", timeout=5)
    # And with hv3's address: the key is another.
    before = hv2.counter("nvo3_drop_bad_icv")
    frames = [wire.Datagram(sender.frame(sender.geneve(5001))).rebuild(source=lab.hosts["hv3"].ipv4) for _ in range(3)]
    # Far ahead of hv3's own packets, so that the replay window is not what refuses.
    frames = [f[:46] + struct.pack("!I", 0x7FFFFF00 + n) + f[50:] for n, f in enumerate(frames)]
    wire.inject(lab.hosts["hv1"].ns, "eth0", frames)
    wait_until(lambda: hv2.counter("nvo3_drop_bad_icv") == before + 3, lambda: f"counted: {hv2.drops()}", timeout=5)
    lab.vms["vm3"].wait_reach(lab.vms["vm2"])


@pytest.mark.requirement(4, 15)
def test_other_network_on_the_control_channel(lab, insider):
    """An SaRequest and an SaOffer for a network that the two do not share: not adopted, reported."""
    hv2 = lab.hosts["hv2"]
    insider.accept_offer()
    events = len(hv2.audit())
    insider.send(12, field(1, 5002) + field(2, 1) + field(3, 1))
    insider.send(10, field(1, 5002) + field(2, 1) + field(3, 0x4444) + field(4, 1) + field(5, 1) + field(6, bytes(16)) + field(7, 1) + field(8, 1024))
    wait_until(lambda: [e for e in new_events(hv2, events, "refused") if "5002" in str(e)], "the refusal is in the audit log", timeout=5)
    assert {sa["vni"] for sa in hv2.sas()} == {5001}


@pytest.mark.requirement(1, 4)
@pytest.mark.parametrize("claim", [{"name": "hv3"}, {"role": NVA}], ids=["another-name", "another-role"])
def test_hello_must_say_what_the_certificate_says(lab, claim):
    hv2 = lab.hosts["hv2"]
    events = len(hv2.audit())
    with Insider(lab.hosts["hv1"], hv2, **claim) as insider:
        assert insider.wait_closed()[0] == CLOSE_UNAUTHORIZED
    wait_until(lambda: [e for e in new_events(hv2, events, "refused") if e.get("peer") == "hv1" or "hv1" in str(e)],
               "the refusal is in the audit log", timeout=5)
    lab.vms["vm3"].wait_reach(lab.vms["vm2"])


CLOSE_PROTOCOL_ERROR, CLOSE_UNAUTHORIZED = 4, 5     # control.proto


def bad_frames(insider):
    """Frames that control.proto forbids, each with a name."""
    return {
        "repeated-number": lambda: insider.send_raw(insider.frame(5, b"") + insider.frame(5, b"", request_id=2)),
        "smaller-number": lambda: insider.send_raw(insider.frame(5, b"", request_id=100) + insider.frame(5, b"", request_id=99)),
        "number-zero": lambda: insider.send(5, request_id=0),
        "no-size": lambda: insider.send_raw(bytes(4)),
        "too-big": lambda: insider.send_raw(struct.pack("!I", 65537)),
        "huge": lambda: insider.send_raw(b"\xff\xff\xff\xff"),
        "garbage": lambda: insider.send_raw(struct.pack("!I", 40) + bytes(range(200, 240))),
        "unknown-body": lambda: insider.send(29, b""),
        "second-hello": lambda: insider.send(3, field(1, 1) + field(2, b"hv3") + field(3, NVA) + field(4, ("fixed64", 5))),
        "offer-without-nonce": lambda: insider.send(10, field(1, 5001) + field(2, 1) + field(3, 0x4444) + field(4, 1) + field(7, 1)),
        "offer-reserved-spi": lambda: insider.send(10, field(1, 5001) + field(2, 1) + field(3, 255) + field(4, 1) + field(6, bytes(16)) + field(7, 1)),
        "vni-too-big": lambda: insider.send(12, field(1, 1 << 24) + field(2, 1) + field(3, 1)),
    }


@pytest.mark.requirement(2, 4)
@pytest.mark.parametrize("name", list(bad_frames(None)))
def test_forbidden_frame_ends_the_session(lab, insider, name):
    insider.accept_offer()
    bad_frames(insider)[name]()
    code, words = insider.wait_closed()
    assert code == CLOSE_PROTOCOL_ERROR and words, (code, words)
    assert lab.hosts["hv2"].pid("hvagent")
    lab.vms["vm3"].wait_reach(lab.vms["vm2"])


def flip(records):
    return records[:-1] + bytes([records[-1] ^ 1])


DAMAGES = {"flipped": flip, "replayed": lambda records: records + records, "cut": lambda records: records[:len(records) // 2] + b"\x17\x03\x03\x00\x40" + bytes(64)}


@pytest.mark.requirement(2)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_stream_ends_the_session(lab, insider, damage):
    """One TLS record flipped, sent twice, or cut by somebody on the way: nothing of it is adopted."""
    hv2 = lab.hosts["hv2"]
    insider.accept_offer()
    before = [sa for sa in hv2.sas() if sa["direction"] == "out" and sa["remote_ip"] == lab.hosts["hv1"].ipv4]
    insider.damage = DAMAGES[damage]
    body = field(1, 5001) + field(2, 1) + field(3, 0x5555) + field(4, 1) + field(5, 7) + field(6, bytes(16)) + field(7, 1) + field(8, 1024)
    insider.send(10 if damage != "replayed" else 5, body if damage != "replayed" else b"")
    # TLS ends it, with an alert and no Close; at once, not because nothing was heard.
    begin = time.monotonic()
    assert insider.wait_closed(answer=False) == (None, "")
    assert time.monotonic() - begin < 4
    after = [sa for sa in hv2.sas() if sa["direction"] == "out" and sa["remote_ip"] == lab.hosts["hv1"].ipv4]
    assert {sa["spi"] for sa in after} <= {sa["spi"] for sa in before}


@pytest.mark.requirement(6)
def test_flood_is_held_to_the_rate(lab, insider):
    """Pings without pause: taken no faster than the receiver's rate, while others are served."""
    hv2, hv3 = lab.hosts["hv2"], lab.hosts["hv3"]
    hv2.vsctl("set", "Open_vSwitch", ".", "other_config:nvo3-control-rate=50", "other_config:nvo3-control-burst=50")
    try:
        hv2.appctl("reload", target="hvagent")
        insider.accept_offer()
        for _ in range(1000):
            insider.send(5)
        begin, pongs = time.monotonic(), 0
        old = {sa["spi"] for sa in hv3.sas() if sa["remote_ip"] == hv2.ipv4}
        hv3.appctl("peer/rekey", "hv2", target="hvagent")
        while time.monotonic() < begin + 4:
            try:
                pongs += insider.receive(begin + 4 - time.monotonic())[0] == "pong"
            except TimeoutError:
                break
        assert 20 <= pongs <= 50 + 50 * 5, pongs
        wait_until(lambda: not old & {sa["spi"] for sa in hv3.sas()}, "hv3 gets new keys meanwhile", timeout=20)
    finally:
        for key in ("nvo3-control-rate", "nvo3-control-burst"):
            hv2.vsctl("remove", "Open_vSwitch", ".", "other_config", key)


@pytest.mark.requirement(7)
def test_handshakes_are_limited(lab):
    """Connections without end from one address: held back; other hosts' sessions stay."""
    refused = 0
    for _ in range(200):
        try:
            with Insider(lab.hosts["hv1"], lab.hosts["hv2"], hello=False):
                pass
        except (Closed, TimeoutError, OSError):
            refused += 1
            if refused >= 5:
                break
    assert refused >= 1
    lab.vms["vm3"].wait_reach(lab.vms["vm2"])
    hv3 = lab.hosts["hv3"]
    assert hv3.tunnel_state("tun2") == "up"


@pytest.mark.requirement(5, 8, 13)
def test_keys_differ_between_peers(lab, insider):
    """hv1's session with hv2 gives a key that opens nothing of hv3's: the exporter's secret is the session's."""
    _, key, offer = insider.accept_offer()
    with Insider(lab.hosts["hv1"], lab.hosts["hv3"]) as other:
        assert other.traffic_key(sender=other.name, receiver=other.peer, offer=offer) != key
        assert other.traffic_key(sender=insider.name, receiver=insider.peer, offer=offer) != key
