# SPDX-License-Identifier: Apache-2.0
"""A second implementation of the control protocol's peer, from control.proto, for a host that misbehaves.

Holds valid credentials of a host and speaks from that host's namespace, whose agent must be stopped. TLS runs over memory buffers, so
that a test may also damage the records on their way. One thread.
"""

import ctypes
import os
import select
import socket
import struct
import threading
import time

from OpenSSL import SSL

LABEL = b"EXPERIMENTAL-nvo3-esp-sa"
NVE, NVA, HYPERVISOR = 1, 2, 3
KEY_SIZE = {1: 20, 2: 36, 3: 20, 4: 36, 5: 36}     # of a cipher's number, salt included
BODIES = {3: "hello", 4: "close", 5: "ping", 6: "pong", 10: "sa_offer", 11: "sa_answer", 12: "sa_request", 13: "sa_delete"}
CLONE_NEWNET = 0x40000000


def in_namespace(ns, call):
    """Runs `call` in a thread of a network namespace; sockets made there stay there."""
    results = []

    def body():
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{ns}", "rb") as file:
            if libc.setns(file.fileno(), CLONE_NEWNET):
                results.append(OSError(ctypes.get_errno(), "setns"))
                return
        try:
            results.append(call())
        except OSError as error:
            results.append(error)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if isinstance(results[0], OSError):
        raise results[0]
    return results[0]


# ---- protobuf's wire format: just what control.proto needs ----

def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number, value):
    """A field: integers as varint, bytes as such, ('fixed64', n)."""
    if isinstance(value, tuple):
        return varint(number << 3 | 1) + struct.pack("<Q", value[1])
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def parse_all(data):
    """Fields of a message as {number: [values]}."""
    fields, at = {}, 0

    def read_varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(data):
        tag = read_varint()
        if tag & 7 == 0:
            value = read_varint()
        elif tag & 7 == 1:
            value = struct.unpack("<Q", data[at:at + 8])[0]
            at += 8
        else:
            size = read_varint()
            value = data[at:at + size]
            at += size
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def parse(data):
    """Fields of a message as {number: value}; the last of a repeated one."""
    return {number: values[-1] for number, values in parse_all(data).items()}


class Closed(Exception):
    """The other side ended the session."""


class Insider:
    """A session with `target`'s agent from `host`'s address, with its certificate or the (certificate, key) files given.

    Raises Closed if the other side ends the handshake. A refused client certificate shows only afterwards (TLS 1.3): in receive().
    """

    def __init__(self, host, target, name=None, role=NVE, hello=True, instance=None, files=None, suites=None):
        self.name = name or host.name
        self.peer = target.name
        self.roles = {self.name: role, self.peer: NVE}
        self._socket = in_namespace(host.ns, lambda: socket.create_connection((target.ipv4, 6652), 5))
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        if suites:      # what pyOpenSSL has no call for
            SSL._lib.SSL_CTX_set_ciphersuites(context._context, suites.encode())
        certificate, key = files or (host.pkidir / f"{host.name}.crt", host.pkidir / f"{host.name}.key")
        context.use_certificate_file(str(certificate))
        context.use_privatekey_file(str(key))
        context.load_verify_locations(str(host.pkidir / "ca.crt"))
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *arguments: bool(arguments[4]))
        self._tls = SSL.Connection(context, None)
        self._tls.set_connect_state()
        self._buffer = b""
        self._number = 0
        self.damage = lambda records: records       # what happens to records on their way out
        self._handshake()
        if hello:
            self.send(3, field(1, 1) + field(2, self.name.encode()) + field(3, role)
                      + field(4, ("fixed64", instance or int.from_bytes(os.urandom(8), "big"))) + field(5, ("fixed64", 1)))

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- TLS over memory ----

    def _flush(self):
        try:
            while True:
                self._socket.sendall(self.damage(self._tls.bio_read(65536)))
        except SSL.WantReadError:
            pass
        except OSError as error:
            raise Closed(str(error)) from None

    def _fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._socket], [], [], left)[0]:
            raise TimeoutError("nothing came")
        try:
            data = self._socket.recv(65536)
        except OSError as error:
            raise Closed(str(error)) from None
        if not data:
            raise Closed("end of stream")
        self._tls.bio_write(data)

    def _handshake(self, timeout=5):
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._tls.do_handshake()
                self._flush()
                return
            except SSL.WantReadError:
                self._flush()
                self._fill(deadline)
            except SSL.Error as error:
                raise Closed(f"handshake: {error}") from None

    def send_raw(self, octets):
        """Application octets as they are, framed by nobody."""
        try:
            self._tls.send(octets)
        except SSL.Error as error:
            raise Closed(str(error)) from None
        self._flush()

    # ---- Messages ----

    def frame(self, body_number, body, request_id=None, in_reply_to=0):
        """A frame; request_id grows by itself unless given."""
        self._number += 1
        envelope = field(1, self._number if request_id is None else request_id)
        if in_reply_to:
            envelope += field(2, in_reply_to)
        envelope += field(body_number, body)
        return struct.pack("!I", len(envelope)) + envelope

    def send(self, body_number, body=b"", **options):
        self.send_raw(self.frame(body_number, body, **options))

    def receive(self, timeout=5):
        """The next message as (body's name, its fields, request_id). Raises Closed or TimeoutError."""
        deadline = time.monotonic() + timeout
        while True:
            if len(self._buffer) >= 4:
                size = int.from_bytes(self._buffer[:4], "big")
                if len(self._buffer) >= 4 + size:
                    envelope = parse(self._buffer[4:4 + size])
                    self._buffer = self._buffer[4 + size:]
                    number = next(n for n in envelope if n in BODIES)
                    return BODIES[number], parse(envelope[number]), envelope.get(1, 0)
            try:
                self._buffer += self._tls.recv(65536)
            except SSL.WantReadError:
                self._fill(deadline)
            except SSL.Error as error:
                raise Closed(str(error)) from None

    def wait_for(self, name, timeout=10):
        """Skips to the next message of a kind, answering pings."""
        deadline = time.monotonic() + timeout
        while True:
            kind, fields, number = self.receive(deadline - time.monotonic())
            if kind == "ping":
                self.send(6, in_reply_to=number)
            if kind == name:
                return fields, number

    def wait_closed(self, timeout=10, answer=True):
        """Waits for the end of the session; returns code and text of the Close, (None, "") without one.

        Answers pings meanwhile, for silence is an end of its own, unless `answer` is false.
        """
        deadline, end = time.monotonic() + timeout, (None, "")
        try:
            while True:
                kind, fields, number = self.receive(deadline - time.monotonic())
                if kind == "ping" and answer:
                    self.send(6, in_reply_to=number)
                if kind == "close":
                    end = fields.get(1, 0), fields.get(2, b"").decode()
        except Closed:
            return end

    # ---- Security associations ----

    def accept_offer(self, timeout=10):
        """Takes the first SaOffer; returns (spi, key and salt, fields): what is needed to send as this host."""
        offer, number = self.wait_for("sa_offer", timeout)
        key = self.traffic_key(sender=self.name, receiver=self.peer, offer=offer)
        self.send(11, field(1, 1), in_reply_to=number)
        return offer[3], key, offer

    def traffic_key(self, sender, receiver, offer):
        """Exporter context as in control/keying.h."""
        def name(text):
            return struct.pack("!H", len(text)) + text.encode()
        context = (b"\x01" + name(sender) + bytes([self.roles.get(sender, NVE)]) + name(receiver) + bytes([self.roles.get(receiver, NVE)])
                   + struct.pack("!IBIBBI", offer.get(1, 0), offer[2], offer[3], offer[4], offer.get(7, 0), offer.get(5, 0)) + offer[6])
        return self._tls.export_keying_material(LABEL, KEY_SIZE[offer[4]], context)
