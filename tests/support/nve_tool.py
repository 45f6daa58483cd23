# SPDX-License-Identifier: Apache-2.0
"""Emulated NVEs (nve_tool.cc) and the NVA that they talk to, for tests and benchmarks; what the NVA's process has used."""

import json
import pathlib
import socket
import ssl
import subprocess
import threading
import time
import types

from nva_session import Store


def make_pki(builddir, directory, count, *others):
    """Certificates of nva1, nve0 to nve<count-1> and others (NAME or NAME:ROLE), as Store takes them."""
    pathlib.Path(directory).mkdir(exist_ok=True)
    subprocess.run([f"{builddir}/tests/support/nve_tool", "pki", directory, str(count), *others], check=True)
    return types.SimpleNamespace(directory=pathlib.Path(directory), ca=f"{directory}/ca.crt")


class NveTool:
    """A process of emulated NVEs: tool("open", 10, "nve1") and so on, see nve_tool.cc."""

    def __init__(self, builddir, pki, nva, local="127.1.0.1"):
        self._process = subprocess.Popen([f"{builddir}/tests/support/nve_tool", "run", pki.directory, f"{nva[0]}:{nva[1]}", local],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, *words):
        """Gives a command without waiting for its end."""
        print(*words, file=self._process.stdin, flush=True)

    def finish(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"nve_tool ended with status {self._process.wait(10)}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def __call__(self, *words):
        self.start(*words)
        return self.finish()

    def end(self):
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait(10)


class Usage:
    """CPU and memory of a process."""

    def __init__(self, pid):
        self.pid = pid

    def cpu(self):
        """Seconds, of all threads."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def rss(self):
        """Octets."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0


class NvaStore(Store):
    """A store with networks of the emulated NVEs."""

    def __init__(self, programs, builddir, schema, pki, directory):
        super().__init__(programs, builddir, schema, pki, directory)
        self.ctl("init")

    def ctl_many(self, commands, at_once=50):
        for first in range(0, len(commands), at_once):
            self.ctl(*[word for command in commands[first:first + at_once] for word in ("--", *command)][1:])

    def populate(self, nves, networks, in_each, everywhere=(), base=5000):
        """NVEs nve0.., networks base.., each NVE in `in_each` of them; those `everywhere` in all."""
        self.ctl_many([("nve-add", f"nve{i}", f"10.{i >> 8}.{i & 255}.1") for i in range(nves)]
                      + [("nve-add", name, f"10.255.{i}.1") for i, name in enumerate(everywhere)])
        self.ctl_many([("vn-add", f"vn{v}", str(base + v)) for v in range(networks)])
        members = {v: list(everywhere) for v in range(networks)}
        for i in range(nves):
            for k in range(in_each):
                members[(i + k * max(1, networks // in_each)) % networks].append(f"nve{i}")
        self.ctl_many([("vn-join", f"vn{v}", *names) for v, names in members.items()], 10)
        return {base + v: names for v, names in members.items()}

    def usage(self, name="nva1"):
        return Usage(self._processes[name].pid)

    def session(self, nve, name="nva1"):
        return next(s for s in self.show(name, "session/show")["sessions"] if s["name"] == nve)


def half_handshake(nva, send, timeout=2):
    """Connects, sends what `send` is, reads until the end or `timeout`: octets (sent, received) of a peer that proves nothing."""
    received = 0
    with socket.create_connection(nva, timeout) as stream:
        stream.sendall(send)
        stream.settimeout(timeout)
        try:
            while data := stream.recv(65536):
                received += len(data)
        except (TimeoutError, ConnectionError):
            pass
    return len(send), received


def client_hello():
    """The first octets of a TLS 1.3 handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class Counting:
    """Between one peer and the NVA: a TCP relay that counts, TLS and all."""

    def __init__(self, nva):
        self.nva, self.up, self.down = nva, 0, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self._threads = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.nva)
            for source, target, name in ((client, server, "up"), (server, client, "down")):
                threading.Thread(target=self._pump, args=(source, target, name), daemon=True).start()

    def _pump(self, source, target, name):
        try:
            while data := source.recv(65536):
                setattr(self, name, getattr(self, name) + len(data))
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self._listener.close()


def wait_for(condition, timeout=10):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
