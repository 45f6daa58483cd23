# SPDX-License-Identifier: Apache-2.0
"""The product's ESP as a program: tests/support/esp_tool.cc, one line asked, one line answered.

SAs are values that all peers of these tests share. One thread at a time for each EspTool.
"""

import dataclasses
import os
import select
import subprocess
import time

from guest import builddir

KEY_SIZE = {"aes128gcm": 16, "aes256gcm": 32, "aes128gmac": 16, "aes256gmac": 32, "chacha20poly1305": 32}
OUTER_PORT = {"geneve": 4500, "vxlan": 4501}
INNER_PORT = {"geneve": 6081, "vxlan": 4789}


@dataclasses.dataclass(frozen=True)
class Sa:
    """One direction between two underlay addresses; `key` is key and salt, `sequence` the first number sent."""

    spi: int
    source: str
    destination: str
    key: bytes
    cipher: str = "aes128gcm"
    esn: bool = True
    vni: int = 5001
    encap: str = "geneve"
    sequence: int = 1

    @staticmethod
    def make(spi, source, destination, cipher="aes128gcm", **options):
        """An SA with a fresh key."""
        return Sa(spi, source, destination, os.urandom(KEY_SIZE[cipher] + 4), cipher, **options)

    @property
    def ipv6(self):
        return ":" in self.destination


class EspTool:
    """A running esp_tool with SAs of both directions. A context manager. `library` is auto, ipsec-mb or openssl."""

    def __init__(self, *, outbound=(), inbound=(), library="auto"):
        program = builddir() / "tests/support/esp_tool"
        if not program.exists():
            raise FileNotFoundError(f"{program} is missing: run 'make check', or 'make tests/support/esp_tool', in the build directory")
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                                         env=dict(os.environ, NVO3_AEAD=library))
        try:
            for sa in outbound:
                self._add("out", sa.destination, sa.source, sa)
            for sa in inbound:
                self._add("in", sa.source, sa.destination, sa)
        except BaseException:
            self.close()
            raise

    def _add(self, direction, remote, local, sa):
        kind, words = self._ask(f"sa direction={direction} spi={sa.spi} remote={remote} local={local} cipher={sa.cipher} key={sa.key.hex()} "
                                f"esn={'on' if sa.esn else 'off'} vni={sa.vni} encap={sa.encap} sequence={sa.sequence}")
        if kind != "ok":
            raise ValueError(f"esp_tool: {words}")

    def _ask(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        deadline = time.monotonic() + 10
        if not select.select([self._process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
            raise TimeoutError(f"esp_tool did not answer '{line.split()[0]}'")
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"esp_tool ended at '{line.split()[0]}' with status {self._process.wait()}")
        kind, _, words = answer.strip().partition(" ")
        return kind, words

    def seal(self, sa, inner):
        """The sealed Ethernet frame around an inner frame, or the name of the refusal."""
        return self._frame(self._ask(f"seal {sa.destination} {sa.encap} {sa.vni} {bytes(inner).hex()}"))

    def open(self, encap, frame):
        """The clear tunnel packet (Ethernet, IP, UDP, Geneve or VXLAN, frame), or the name of the refusal."""
        return self._frame(self._ask(f"open {encap} {bytes(frame).hex()}"))

    @staticmethod
    def _frame(answer):
        kind, words = answer
        if kind == "frame":
            return bytes.fromhex(words)
        if kind == "drop":
            return words
        raise ValueError(f"esp_tool: {kind} {words}")

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
