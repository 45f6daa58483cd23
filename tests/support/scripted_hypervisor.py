# SPDX-License-Identifier: Apache-2.0
"""A hypervisor that does what a test says: the messages of control.proto between hypervisor and external NVE, on top of insider.py.

It speaks from a hypervisor's namespace, whose agent must be stopped, with that hypervisor's certificate or another. One thread.
"""

import os
import socket
import struct
import time

import wire
from insider import BODIES, HYPERVISOR, Closed, Insider, field, parse_all
from nva_session import mac

BODIES.update({60: "vn_connect", 61: "vn_connect_result", 62: "vn_disconnect", 63: "tsi_request", 64: "tsi_result", 65: "tsi_removed", 66: "tsi_query",
               67: "tsi_report", 68: "tsi_sync_done", 69: "slow_down"})
CONTROL, DATA = 1, 2
ASSOCIATE, ACTIVATE, DEACTIVATE, DISASSOCIATE = 1, 2, 3, 4
STATES = {0: "none", 1: "associated", 2: "active"}
STANDARD, HIGH = "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"


def tsi_request(action, vni, tsi, address, ips=(), migration=False, vm=""):
    body = field(1, action) + field(2, vni) + field(3, tsi.encode()) + field(4, mac(address)) + b"".join(field(5, socket.inet_aton(ip)) for ip in ips)
    return body + (field(6, 1) if migration else b"") + (field(7, vm.encode()) if vm else b"")


class ScriptedHypervisor(Insider):
    """A session for `channel`; `role` and `hello_channel` are what its Hello claims."""

    def __init__(self, host, nve, channel, *, name=None, role=HYPERVISOR, hello_channel=None, files=None, suites=None):
        super().__init__(host, nve, name=name, role=role, hello=False, files=files, suites=suites)
        self.channel, self.slow_downs, self.sent, self.received = channel, 0, 0, 0
        claimed = channel if hello_channel is None else hello_channel
        self.send(3, field(1, 1) + field(2, self.name.encode()) + field(3, role) + field(4, ("fixed64", int.from_bytes(os.urandom(8), "big")))
                  + field(5, ("fixed64", 1)) + (field(6, claimed) if claimed else b""))

    def open(self):
        """The NVE has taken it: its Hello is there. Raises AssertionError with what it said otherwise."""
        while True:
            kind, fields, _ = self.receive(10)
            assert kind != "close", fields.get(2, b"").decode()
            if kind == "hello":
                assert fields[6] == self.channel and fields[3] == 1, fields
                return self

    def send(self, body_number, body=b"", **options):
        self.sent = getattr(self, "sent", 0) + len(body)
        super().send(body_number, body, **options)

    def answer(self, number, kind, timeout=15):
        """The fields of the message of a kind that answers request `number`, repeated ones as lists; pings answered."""
        deadline = time.monotonic() + timeout
        while True:
            got, fields, in_reply_to = self.next_message(deadline - time.monotonic())
            if got == "close":
                raise Closed(fields.get(2, [b""])[0].decode())
            if got == kind and in_reply_to == number:
                return fields

    def next_message(self, timeout):
        """(kind, {number: [values]}, in_reply_to), and keeps count."""
        deadline = time.monotonic() + timeout
        while True:
            if len(self._buffer) >= 4 and len(self._buffer) >= 4 + int.from_bytes(self._buffer[:4], "big"):
                size = int.from_bytes(self._buffer[:4], "big")
                envelope = parse_all(self._buffer[4:4 + size])
                self._buffer = self._buffer[4 + size:]
                number = next(n for n in envelope if n in BODIES)
                kind, fields = BODIES[number], parse_all(envelope[number][0])
                if kind == "ping":
                    self.send(6, in_reply_to=envelope[1][0])
                    continue
                self.received += len(envelope[number][0])
                self.slow_downs += kind == "slow_down"
                return kind, fields, envelope.get(2, [0])[0]
            from OpenSSL import SSL
            try:
                self._buffer += self._tls.recv(65536)
            except SSL.WantReadError:
                self._fill(deadline)
            except SSL.Error as error:
                raise Closed(str(error)) from None

    # ---- control ----

    def connect(self, vn):
        """(accepted, reason, {vni, encap, cipher})"""
        self.send(60, field(1, str(vn).encode()))
        fields = self.answer(self._number, "vn_connect_result")
        numbers = {name: fields.get(n, [0])[0] for name, n in (("vni", 4), ("encap", 5), ("cipher", 6))}
        return bool(fields.get(1, [0])[0]), fields.get(2, [b""])[0].decode(), numbers

    def disconnect(self, vni):
        self.send(62, field(1, vni))

    def tsi(self, action, vni, tsi, address, ips=(), **options):
        """(accepted, reason, state)"""
        self.send(63, tsi_request(action, vni, tsi, address, ips, **options))
        fields = self.answer(self._number, "tsi_result")
        return bool(fields.get(1, [0])[0]), fields.get(2, [b""])[0].decode(), STATES[fields.get(3, [0])[0]]

    def activate(self, vni, tsi, address, ips=()):
        """Associates and activates, which must be accepted."""
        for action, state in ((ASSOCIATE, "associated"), (ACTIVATE, "active")):
            accepted, reason, now = self.tsi(action, vni, tsi, address, ips)
            assert accepted and (now == state or now == "active"), reason

    def query(self):
        """{tsi: (vni, MAC, state)}"""
        self.send(66)
        number, result = self._number, {}
        while True:
            fields = self.answer(number, "tsi_report")
            for tsi in map(parse_all, fields.get(1, [])):
                result[tsi[2][0].decode()] = (tsi[1][0], tsi[3][0].hex(":"), STATES[tsi[5][0]])
            if not fields.get(2, [0])[0]:
                return result

    def sync_done(self):
        self.send(68)


class Data:
    """What a hypervisor sends under an SA that its NVE has offered on the data session."""

    def __init__(self, lab, host, session, vni, timeout=15):
        self.host, self.session, self.vni, self.sequence = host, session, vni, 0
        self.nve = lab.nves[session.peer]
        deadline = time.monotonic() + timeout
        while True:
            self.spi, self.key, self.offer = session.accept_offer(deadline - time.monotonic())
            if self.offer[1] == vni:
                return

    def seal(self, frame, vni=None):
        packet = wire.geneve(self.vni if vni is None else vni, frame)
        self.sequence += 1
        sealed = wire.esp_seal(self.key, self.spi, self.sequence, struct.pack("!HHHH", 50000, wire.GENEVE_PORT, 8 + len(packet), 0) + packet)
        return wire.ethernet(wire.udp(self.host.ipv4, self.nve.ipv4, 50000, 4500, sealed), self.nve_mac())

    def nve_mac(self):
        return f"0a:00:00:00:31:{self.nve.number:02x}"

    def send(self, *frames):
        wire.inject(self.host.ns, "eth0", frames)


def frame(source, destination, words):
    """A frame of a local experimental Ethernet type from a VM."""
    return mac(destination) + mac(source) + b"\x88\xb6" + words.ljust(46, b".")
