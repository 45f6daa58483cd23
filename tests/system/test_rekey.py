# SPDX-License-Identifier: Apache-2.0
"""New keys while traffic flows: no packet is lost, no sequence number is used twice under a key."""

import collections

import pytest

import wire
from lab import wait_until

pytestmark = pytest.mark.alone


def udp_loss(lab, seconds, rate="10M"):
    """(sent, lost) of an iperf3 UDP stream, counted by iperf3's sequence numbers at the receiver; the switches refuse nothing."""
    before = [host.drops() for host in lab.hosts.values()]
    report = lab.vms["vm1"].iperf(lab.vms["vm2"], "-u", "-b", rate, "-l", "800", "--get-server-output", seconds=seconds)
    assert [host.drops() for host in lab.hosts.values()] == before
    end = report["end"]["sum"]
    return end["packets"], end["lost_packets"]


@pytest.fixture(scope="module")
def lab(module_labs):
    lab = module_labs()
    lab.wait_all_reach()
    return lab


@pytest.mark.requirement(11, 13)
def test_rekey_each_second_loses_nothing(lab):
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    for host in (hv1, hv2):
        host.vsctl("set", "Open_vSwitch", ".", "other_config:nvo3-rekey-seconds=1")
    try:
        with lab.capture(snap=64) as capture:
            sent, lost = udp_loss(lab, seconds=10)
    finally:
        for host in (hv1, hv2):
            host.vsctl("remove", "Open_vSwitch", ".", "other_config", "nvo3-rekey-seconds")
    assert sent > 10_000 and lost == 0
    assert capture.summary().other == 0
    numbers = collections.defaultdict(list)
    for frame in capture.frames():
        if wire.is_esp(frame, hv1.ipv4, hv2.ipv4):
            payload = frame[42:]
            numbers[payload[:4]].append(int.from_bytes(payload[4:8], "big"))
    assert len(numbers) >= 8, "an SPI a second"
    for spi, seen in numbers.items():
        assert len(seen) == len(set(seen)), f"SPI {spi.hex()} used a sequence number twice"
        assert min(seen) <= 64, f"SPI {spi.hex()} did not start anew"


@pytest.mark.requirement(13)
def test_rekey_by_command(lab):
    hv1 = lab.hosts["hv1"]
    old = {sa["spi"] for sa in hv1.sas()}
    hv1.appctl("peer/rekey", "hv2", target="hvagent")
    wait_until(lambda: not old & {sa["spi"] for sa in hv1.sas()}, "no SA of before is left", timeout=20)
    assert lab.vms["vm1"].all_answered(lab.vms["vm2"], 5, interval=0.02)


@pytest.mark.requirement(13)
def test_rekey_by_bytes(lab):
    """A limit that a second of traffic passes several times."""
    hv1, hv2 = lab.hosts["hv1"], lab.hosts["hv2"]
    before = {sa["spi"] for sa in hv1.sas()}
    for host in (hv1, hv2):
        host.vsctl("set", "Open_vSwitch", ".", "other_config:nvo3-rekey-bytes=1000000")
    try:
        hv1.appctl("peer/rekey", "hv2", target="hvagent")   # live SAs keep the limits they were made with
        wait_until(lambda: not before & {sa["spi"] for sa in hv1.sas()}, "new SAs replace the old", timeout=20)
        with lab.capture(snap=64) as capture:
            sent, lost = udp_loss(lab, seconds=4)
    finally:
        for host in (hv1, hv2):
            host.vsctl("remove", "Open_vSwitch", ".", "other_config", "nvo3-rekey-bytes")
    assert sent > 4000 and lost == 0
    spis = {frame[42:46] for frame in capture.frames() if wire.is_esp(frame, hv1.ipv4, hv2.ipv4)}
    assert len(spis) >= 3
