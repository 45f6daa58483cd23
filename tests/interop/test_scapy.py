# SPDX-License-Identifier: Apache-2.0
"""scapy opens what we seal, and we open what scapy seals."""

import pytest

from esp_tool import KEY_SIZE, OUTER_PORT, EspTool, Sa
from packets import Ether, inner_ping, outer_fields, scapy_open, scapy_seal, tunnel_payload

ADDRESSES = {"ipv4": ("192.0.2.1", "192.0.2.2"), "ipv6": ("2001:db8::1", "2001:db8::2")}
SIZES = [0, 1, 2, 3, 56, 1300]      # of the data in an inner ping: each padding, and large


def associations(underlay="ipv4", **options):
    """One SA from each end to the other."""
    a, b = ADDRESSES[underlay]
    return Sa.make(0x1001, a, b, **options), Sa.make(0x1002, b, a, **options)


@pytest.mark.parametrize("library", ["openssl", "auto"])
@pytest.mark.parametrize("esn", [True, False], ids=["esn", "short"])
@pytest.mark.parametrize("cipher", KEY_SIZE)
def test_ciphers(cipher, esn, library):
    out, back = associations(cipher=cipher, esn=esn)
    with EspTool(outbound=[out], inbound=[back], library=library) as tool:
        for number, size in enumerate(SIZES, 1):
            inner = bytes(inner_ping(size, number=number))
            sealed = tool.seal(out, inner)
            assert tunnel_payload(out, scapy_open(out, sealed, number)) == inner
            opened = tool.open(back.encap, scapy_seal(back, Ether(inner), number))
            assert not isinstance(opened, str), opened
            assert tunnel_payload(back, opened[34:]) == inner


@pytest.mark.parametrize("underlay", ADDRESSES)
@pytest.mark.parametrize("encap", OUTER_PORT)
def test_underlay_and_tunnel(encap, underlay):
    out, back = associations(underlay, encap=encap, vni=0xABCDEF)
    with EspTool(outbound=[out], inbound=[back]) as tool:
        inner = bytes(inner_ping())
        sealed = tool.seal(out, inner)
        ip, sport, dport, checksum, _ = outer_fields(out, sealed)
        assert (ip.src, ip.dst) == (out.source, out.destination)
        assert dport == OUTER_PORT[encap] and sport >= 49152 and checksum == 0
        assert tunnel_payload(out, scapy_open(out, sealed, 1)) == inner
        opened = tool.open(encap, scapy_seal(back, Ether(inner), 1))
        assert not isinstance(opened, str), opened
        assert tunnel_payload(back, opened[54 if back.ipv6 else 34:]) == inner


def test_gcm_encrypts_and_gmac_does_not():
    inner = bytes(inner_ping(200))
    for cipher, visible in (("aes128gcm", False), ("aes256gmac", True)):
        out, _ = associations(cipher=cipher)
        with EspTool(outbound=[out]) as tool:
            assert (inner in tool.seal(out, inner)) is visible


def test_sequence_across_32_bits():
    """The high half is only in the ICV (RFC 4303 2.2.1): both ends must carry over at the same packet."""
    start = (1 << 32) - 3
    out, back = associations()
    out = Sa(**{**out.__dict__, "sequence": start})
    with EspTool(outbound=[out], inbound=[back]) as tool:
        inner = bytes(inner_ping())
        for sequence in range(start, start + 6):
            assert tunnel_payload(out, scapy_open(out, tool.seal(out, inner), sequence)) == inner
        for sequence in (1 << 31, *range(start, start + 6)):    # a first step that leaves the wrap inside one window's reach
            opened = tool.open("geneve", scapy_seal(back, Ether(inner), sequence))
            assert not isinstance(opened, str), (sequence, opened)


def test_without_esn_the_sequence_ends():
    out, _ = associations(esn=False)
    out = Sa(**{**out.__dict__, "sequence": (1 << 32) - 2})
    with EspTool(outbound=[out]) as tool:
        inner = bytes(inner_ping())
        for sequence in ((1 << 32) - 2, (1 << 32) - 1):
            assert tunnel_payload(out, scapy_open(out, tool.seal(out, inner), sequence)) == inner
        assert tool.seal(out, inner) == "sequence_end"


def test_refusals_have_their_names():
    """What scapy seals wrongly is refused, each for its own reason."""
    _, back = associations()
    inner = inner_ping()
    good = scapy_seal(back, inner, 7)
    with EspTool(inbound=[back]) as tool:
        flipped = bytearray(good)
        flipped[-1] ^= 1
        assert tool.open("geneve", flipped) == "bad_icv"
        assert tool.open("geneve", scapy_seal(Sa(**{**back.__dict__, "esn": False}), inner, 7)) == "bad_icv"
        assert not isinstance(tool.open("geneve", good), str)
        assert tool.open("geneve", good) == "replayed"
        assert tool.open("geneve", scapy_seal(back, inner, 8, vni=5002)) == "wrong_vni"
        assert tool.open("geneve", scapy_seal(Sa(**{**back.__dict__, "spi": 0x9999}), inner, 9)) == "unknown_spi"
        assert tool.open("geneve", scapy_seal(Sa(**{**back.__dict__, "source": "192.0.2.3"}), inner, 9)) == "wrong_address"
        assert tool.open("geneve", good[:-8]) in ("short_packet", "bad_icv")
