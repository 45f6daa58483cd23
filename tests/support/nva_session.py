# SPDX-License-Identifier: Apache-2.0
"""An NVE's side of the session with an NVA, from control.proto, on top of insider.py; and a store with one NVA to talk to.

One thread. No namespace: everything is on the loopback address.
"""

import hashlib
import os
import pathlib
import shutil
import socket
import subprocess
import time

from OpenSSL import SSL

from insider import BODIES, NVE, Closed, Insider, field, parse_all
from lab.process import run, wait_until

BODIES.update({30: "directory_request", 31: "vn_update", 32: "vn_gone", 33: "directory_ready", 34: "mapping_announce", 35: "mapping_result",
               36: "group_register", 37: "group_grant", 38: "group_key", 41: "policy_update"})
NUMBERS = {name: number for number, name in BODIES.items()}


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


class Directory:
    """What VnUpdate, VnGone, PolicyUpdate and DirectoryReady have told: networks[vni] = {members, mappings, groups, version, name};
    policies are the texts of the policy in order, policy is the last."""

    def __init__(self):
        self.networks, self.ready, self.steps = {}, False, []
        self.policies, self.policies_at_ready, self.policy_version = [], None, 0
        self._parts, self._text = None, b""

    @property
    def policy(self):
        return self.policies[-1] if self.policies else None

    def take(self, kind, fields):
        if kind == "vn_gone":
            self.networks.pop(fields[1][0], None)
        elif kind == "directory_ready":
            self.ready, self.policies_at_ready = True, len(self.policies)
        elif kind == "policy_update":
            self._text += fields.get(2, [b""])[0]
            if not fields.get(3, [0])[0]:
                self.policies.append(self._text.decode())
                self.policy_version, self._text = fields.get(1, [0])[0], b""
        elif kind == "vn_update":
            self._update(fields)

    def _update(self, fields):
        vni, start = fields[1][0], fields.get(2, [0])[0]
        if self._parts is None:
            vn = self.networks.get(vni) if start else {"members": {}, "mappings": {}}
            assert vn is not None and (not start or vn["version"] == start), "a step from a version that was not told"
            self._parts = {**vn, "members": dict(vn["members"]), "mappings": dict(vn["mappings"]), "name": fields[5][0].decode(),
                           "groups": fields.get(8, [])}
            self.steps.append((vni, start, fields[3][0]))
        vn = self._parts
        for member in map(parse_all, fields.get(9, [])):
            vn["members"][member[1][0].decode()] = member[2]
        for name in fields.get(10, []):
            vn["members"].pop(name.decode(), None)
        for mapping in map(parse_all, fields.get(11, [])):
            vn["mappings"][mapping[1][0].hex(":")] = (mapping[3][0].decode(), mapping.get(2, []))
        for gone in fields.get(12, []):
            vn["mappings"].pop(gone.hex(":"), None)
        if not fields.get(4, [0])[0]:
            self.networks[vni] = {**vn, "version": fields[3][0]}
            self._parts = None


class NveSession(Insider):
    """A session of NVE `name` with the NVA at `address`; `files` are its certificate, key and CA."""

    def __init__(self, address, name, files, role=NVE, hello=True):
        self.name, self.peer = name, "nva"
        self.directory, self.keys = Directory(), {}
        self.nva_instance = None
        self._socket = socket.create_connection(address, 5)
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.use_certificate_file(files[0])
        context.use_privatekey_file(files[1])
        context.load_verify_locations(files[2])
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *arguments: bool(arguments[4]))
        self._tls = SSL.Connection(context, None)
        self._tls.set_connect_state()
        self._buffer, self._number = b"", 0
        self.damage = lambda records: records
        self._handshake()
        if hello:
            self.send(3, field(1, 1) + field(2, name.encode()) + field(3, role) + field(4, ("fixed64", 7)) + field(5, ("fixed64", 1)))

    def receive(self, timeout=10):
        """The next message as (kind, fields, in_reply_to), pings answered, the directory kept."""
        deadline = time.monotonic() + timeout
        while True:
            while len(self._buffer) < 4 or len(self._buffer) < 4 + int.from_bytes(self._buffer[:4], "big"):
                try:
                    self._buffer += self._tls.recv(65536)
                except SSL.WantReadError:
                    self._fill(deadline)
                except SSL.Error as error:
                    raise Closed(str(error)) from None
            size = int.from_bytes(self._buffer[:4], "big")
            envelope = parse_all(self._buffer[4:4 + size])
            self._buffer = self._buffer[4 + size:]
            number = next(n for n in envelope if n in BODIES)
            kind, fields = BODIES[number], parse_all(envelope[number][0])
            if kind == "ping":
                self.send(6, in_reply_to=envelope[1][0])
                continue
            if kind == "hello":
                self.nva_instance = fields[4][0]
            self.directory.take(kind, fields)
            if kind == "group_key":
                self.keys[(fields[1][0], fields[2][0])] = fields
            return kind, fields, envelope.get(2, [0])[0]

    def until(self, condition, timeout=10):
        """Reads until condition() holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            self.receive(deadline - time.monotonic())

    def ask_directory(self, known=None, instance=0, policy=None):
        body = field(1, ("fixed64", instance)) if instance else b""
        for vni, version in (known or {}).items():
            body += field(2, field(1, vni) + field(2, version))
        if policy is not None:
            body += field(3, hashlib.sha256(policy.encode()).digest())
        self.send(NUMBERS["directory_request"], body)

    def call(self, kind, body, answer, timeout=10):
        """Sends a message and returns the fields of what answers it."""
        self.send(NUMBERS[kind], body)
        number, deadline = self._number, time.monotonic() + timeout
        while True:
            got, fields, reply = self.receive(deadline - time.monotonic())
            if got == answer and reply == number:
                return fields

    def announce(self, vni, address, ips=(), withdraw=False, migration=False):
        """(accepted, reason)"""
        body = field(1, vni) + field(2, mac(address)) + b"".join(field(3, socket.inet_aton(ip)) for ip in ips)
        body += field(4, 1) if withdraw else b""
        body += field(5, 1) if migration else b""
        fields = self.call("mapping_announce", body, "mapping_result")
        return bool(fields.get(1, [0])[0]), fields.get(2, [b""])[0].decode()

    def register(self, vni, group, epoch):
        return self.call("group_register", field(1, vni) + field(2, group) + field(3, epoch), "group_grant")

    def closed(self, timeout=10):
        """Waits for the end; returns code and text of the Close."""
        deadline, last = time.monotonic() + timeout, (0, "")
        try:
            while True:
                kind, fields, _ = self.receive(deadline - time.monotonic())
                if kind == "close":
                    last = (fields.get(1, [0])[0], fields.get(2, [b""])[0].decode())
        except Closed:
            return last


class Store:
    """ovsdb-server with the NVO3 schema and one nvo3-nva in `directory`."""

    def __init__(self, programs, builddir, schema, pki, directory):
        self.directory, self.pki = pathlib.Path(directory), pki
        self._programs, self._builddir = programs, pathlib.Path(builddir)
        self.env = dict(os.environ, OVS_RUNDIR=str(directory), OVS_LOGDIR=str(directory), OVS_DBDIR=str(directory))
        self._processes = {}
        run([programs.ovsdb_tool, "create", f"{directory}/nvo3.db", schema], env=self.env)
        self.start_server()

    def _start(self, name, argv):
        log = open(self.directory / f"{name}.out", "ab")
        self._processes[name] = subprocess.Popen(argv, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def start_server(self):
        self._start("ovsdb-server", [self._programs.ovsdb_server, f"{self.directory}/nvo3.db", f"--remote=punix:{self.directory}/nvo3_db.sock",
                                     f"--unixctl={self.directory}/db.ctl", "--no-chdir"])
        wait_until(lambda: (self.directory / "nvo3_db.sock").exists(), "the store listens")

    def pid(self, name):
        return self._processes[name].pid

    def stop(self, name):
        process = self._processes.pop(name)
        process.terminate()
        process.wait(20)
        if name == "ovsdb-server":
            (self.directory / "nvo3_db.sock").unlink(missing_ok=True)

    def start_nva(self, name="nva1", *options):
        """Starts an NVA and returns where it listens."""
        certificate, key = f"{self.pki.directory}/{name}.crt", f"{self.pki.directory}/{name}.key"
        if not os.path.exists(certificate):
            self.pki.host(name, "--role", "nva")
        self._start(name, [self._builddir / "nva/nvo3-nva", "--listen=127.0.0.1:0", f"--certificate={certificate}", f"--private-key={key}",
                           f"--ca-cert={self.pki.ca}", f"--audit-log={self.directory}/{name}-audit.log", f"--unixctl={self.directory}/{name}.ctl",
                           "--no-chdir", f"--log-file={self.directory}/{name}.log", *options])
        wait_until(lambda: (self.directory / f"{name}.ctl").exists(), f"{name} answers")
        where = wait_until(lambda: self.show(name, "session/show")["listening"], f"{name} listens")
        host, _, port = where.rpartition(":")
        return host, int(port)

    def appctl(self, name, *argv):
        return run([self._programs.appctl, "-t", f"{self.directory}/{name}.ctl", *argv], env=self.env).stdout

    def show(self, name, command):
        import json
        return json.loads(self.appctl(name, command, "json"))

    def ctl(self, *argv, check=True, input=None):
        """nvo3-nvactl; returns its output, or with check=False the process."""
        done = run([self._builddir / "nva/nvo3-nvactl", "--timeout=20", *argv], env=self.env, check=check, text_input=input)
        return done.stdout if check else done

    def files(self, name, *options):
        """Certificate, key and CA of an NVE, made when first asked for."""
        certificate, key = f"{self.pki.directory}/{name}.crt", f"{self.pki.directory}/{name}.key"
        if not os.path.exists(certificate):
            self.pki.host(name, *options)
        return certificate, key, self.pki.ca

    def down(self):
        for name in list(self._processes):
            self.stop(name)
        shutil.rmtree(self.directory, ignore_errors=True)
