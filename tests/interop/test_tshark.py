# SPDX-License-Identifier: Apache-2.0
"""Wireshark, given the key of a test SA, shows what we seal down to the ping inside."""

import shutil
import subprocess

import pytest
from scapy.utils import PcapWriter

from esp_tool import OUTER_PORT, EspTool, Sa
from packets import Ether, inner_ping

FIELDS = ("esp.sequence", "esp.icv_good", "vni", "ip.src", "icmp.seq", "icmp.ident")


def dissect(sa, frames, directory, key):
    """What tshark finds in each frame, as {field: text}."""
    file = directory / "sealed.pcap"
    with PcapWriter(str(file), linktype=1) as writer:
        for frame in frames:
            writer.write(Ether(frame))
    fields = [f"{sa.encap}.vni" if name == "vni" else name for name in FIELDS]
    # The name of the algorithm matters: without "16 octet ICV" the ICV is taken for payload.
    table = (f'uat:esp_sa:"{"IPv6" if sa.ipv6 else "IPv4"}","{sa.source}","{sa.destination}","{sa.spi:#010x}",'
             f'"AES-GCM with 16 octet ICV [RFC4106]","0x{key.hex()}","NULL",""')
    argv = ["tshark", "-r", str(file), "-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE", "-o", table,
            "-d", f"udp.port=={OUTER_PORT[sa.encap]},udpencap", "-T", "fields", "-E", "separator=;", "-E", "occurrence=l"]
    for field in fields:
        argv += ["-e", field]
    output = subprocess.run(argv, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, timeout=60).stdout
    return [dict(zip(FIELDS, line.split(";"))) for line in output.splitlines()]


@pytest.fixture(autouse=True)
def need_tshark():
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed")


@pytest.mark.parametrize("addresses", [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("cipher", "encap"), [("aes128gcm", "geneve"), ("aes256gcm", "geneve"), ("aes128gcm", "vxlan")])
@pytest.mark.parametrize("esn", [False, True], ids=["short", "esn"])
def test_dissected_to_the_inner_ping(esn, cipher, encap, addresses, tmp_path):
    sa = Sa.make(0xC0FFEE, *addresses, cipher=cipher, encap=encap, esn=esn, vni=0x123456)
    with EspTool(outbound=[sa]) as tool:
        frames = [tool.seal(sa, inner_ping(40 + number, number=number)) for number in (1, 2, 3)]
    seen = dissect(sa, frames, tmp_path, sa.key)
    assert len(seen) == 3
    for number, packet in enumerate(seen, 1):
        assert int(packet["esp.sequence"]) == number
        assert int(packet["vni"], 0) == sa.vni
        assert packet["ip.src"] == "10.50.0.1"
        assert packet["icmp.seq"] == str(number) and int(packet["icmp.ident"], 0) == 0x4242
        # tshark 4.0 does not know extended sequence numbers: it opens the packet, but computes another ICV.
        assert esn or packet["esp.icv_good"] in ("1", "True")


def test_wrong_key_shows_nothing(tmp_path):
    """So that the test above proves something."""
    sa = Sa.make(0xC0FFEE, "192.0.2.1", "192.0.2.2", esn=False)
    with EspTool(outbound=[sa]) as tool:
        frames = [tool.seal(sa, inner_ping())]
    (packet,) = dissect(sa, frames, tmp_path, bytes(20))
    # What the wrong key makes of the octets is random, and may end the dissection before the ICV is judged.
    assert packet["icmp.seq"] == "" and packet["esp.icv_good"] not in ("1", "True")
