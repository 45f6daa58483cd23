# SPDX-License-Identifier: Apache-2.0
"""A client of the switch's SA socket, from the description in lib/esp/sa_protocol.h: gives a switch SAs of known keys.

It takes the agent's place, so the agent must be stopped. One thread.
"""

import ipaddress
import socket
import struct

INBOUND, OUTBOUND = 1, 2
ENCAPS = {"geneve": 1, "vxlan": 2}
CIPHERS = {"aes128gcm": 1, "aes256gcm": 2, "aes128gmac": 3, "aes256gmac": 4, "chacha20poly1305": 5}


def address(text):
    """Sixteen octets, IPv4 as v4-mapped."""
    ip = ipaddress.ip_address(text)
    return ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed


class SaSocket:
    """A connection to `host`'s switch."""

    def __init__(self, host):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(5)
        self._socket.connect(str(host.rundir / "nvo3-sa.sock"))
        self._buffer = b""
        self._request = 0
        self._send(1, struct.pack("!HQ", 2, 0x6C6162))
        kind, body = self.receive()
        assert kind == 16, f"the switch's first message is of type {kind}"
        self.switch_instance = struct.unpack("!Q", body[2:10])[0]

    def close(self):
        self._socket.close()

    def _send(self, kind, body):
        self._socket.sendall(struct.pack("!IB", 1 + len(body), kind) + body)

    def receive(self):
        """The next message as (type, body)."""
        while len(self._buffer) < 4 or len(self._buffer) < 4 + int.from_bytes(self._buffer[:4], "big"):
            data = self._socket.recv(65536)
            assert data, "the switch closed the SA socket"
            self._buffer += data
        size = int.from_bytes(self._buffer[:4], "big")
        message, self._buffer = self._buffer[4:4 + size], self._buffer[4 + size:]
        return message[0], message[1:]

    def _result(self):
        while True:
            kind, body = self.receive()
            if kind == 17 and int.from_bytes(body[:4], "big") == self._request:
                return int.from_bytes(body[4:8], "big"), body[10:].decode()

    def install(self, direction, spi, remote, vni, key, *, encap="geneve", cipher="aes128gcm", esn=True, window=1024,
                group="::"):
        """Installs an SA; `key` is key and salt. Fails the test if the switch refuses it."""
        self._request += 1
        self._send(2, struct.pack("!IBI", self._request, direction, spi) + address(remote) + bytes(16) + address(group)
                   + struct.pack("!BIBBI", ENCAPS[encap], vni, CIPHERS[cipher], esn, window)
                   + struct.pack("!QQQQII", 0, 0, 0, 0, 0, 1) + struct.pack("!H", len(key)) + key)
        error, words = self._result()
        assert error == 0, f"InstallSa: errno {error}, {words}"

    def port_up(self, port, peer="interop"):
        """Says that a port is up, as an agent does."""
        def text(words):
            return struct.pack("!H", len(words)) + words.encode()
        self._send(6, text(port) + text("up") + text(peer) + text(""))

    def serve(self, *vnis):
        """Says which networks ports with nvo3_vnis=nva may carry, all of them."""
        self._send(7, struct.pack(f"!H{len(vnis)}I", len(vnis), *vnis))

    def guard_notice(self):
        """The next notice of the rule guard: bridge, connection, reason, text, refused, count."""
        while True:
            kind, body = self.receive()
            if kind == 22:
                texts = []
                for _ in range(4):
                    size = int.from_bytes(body[:2], "big")
                    texts.append(body[2:2 + size].decode())
                    body = body[2 + size:]
                return (*texts, bool(body[0]), int.from_bytes(body[1:], "big"))
