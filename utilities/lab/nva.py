# SPDX-License-Identifier: Apache-2.0
"""A node of the NVA: a namespace with nvo3-nva, and on some of them an ovsdb-server of the store."""

import json
import os
import pathlib

from . import net
from .daemons import Daemons
from .process import LabError, run, wait_until

LISTEN_PORT = 6654
STORE_PORT, RAFT_PORT = 6641, 6644


class Nva(Daemons):
    """Node `number`; `stores` is how many nodes, from the first on, have a server of the store (1, or 3 for a cluster)."""

    def __init__(self, name, number, stores, programs, prefix, directory):
        super().__init__(name, prefix + name, programs, directory)
        self.number = number
        self.ipv4 = f"172.31.0.{200 + number}"
        self.ipv6 = f"fd31::{200 + number}"
        self.stores = stores
        self.storepki = self.pkidir / "store"

    # ---- Life ----

    def make(self, pki, store_pki):
        """Certificates of the control channel, and, from a CA of its own, of the store: no host may write there."""
        pki.give(self.name, self.pkidir, "--role", "nva")
        store_pki.give(f"store-{self.name}", self.storepki, "--role", "nva")

    def configure(self):
        net.sysctl(self.ns, "net.ipv6.conf.eth0.disable_ipv6=0")
        net.ip(self.ns, f"addr replace {self.ipv4}/24 dev eth0", f"addr replace {self.ipv6}/64 dev eth0 nodad")

    def start(self, daemon):
        """Starts ovsdb-server or nvo3-nva; one that runs is fine."""
        if self.pid(daemon):
            return
        if daemon == "ovsdb-server":
            self._start_store()
        else:
            self.launch([self._programs.nva, *self._ssl(), f"--nva-private-key={self.pkidir}/{self.name}.key",
                         f"--nva-certificate={self.pkidir}/{self.name}.crt", f"--nva-ca-cert={self.pkidir}/ca.crt",
                         f"--crl={self.pkidir}/ca.crl", f"--group-key={self.pkidir}/group.key", "--listen=[::]:6654",
                         self.remote()])

    def _ssl(self):
        return [f"--private-key={self.storepki}/store-{self.name}.key", f"--certificate={self.storepki}/store-{self.name}.crt",
                f"--ca-cert={self.storepki}/ca.crt"]

    def remote(self):
        """The store as nvo3-nva and nvo3-nvactl name it."""
        return ",".join(f"ssl:172.31.0.{200 + n}:{STORE_PORT}" for n in range(1, self.stores + 1))

    def _start_store(self):
        file = self.dbdir / "nvo3.db"
        self.make_directories()
        if not file.exists():
            local = f"ssl:{self.ipv4}:{RAFT_PORT}"
            if self.stores == 1:
                argv = ["create", file, self._programs.nva_schema]
            elif self.number == 1:
                argv = ["create-cluster", file, self._programs.nva_schema, local]
            else:
                argv = ["join-cluster", file, "NVO3", local, f"ssl:172.31.0.201:{RAFT_PORT}"]
            run([self._programs.ovsdb_tool, *argv], env=self.env)
        self.launch([self._programs.ovsdb_server, file, f"--remote=punix:{self.rundir}/nvo3_db.sock",
                     f"--remote=pssl:{STORE_PORT}:{self.ipv4}", *self._ssl()])

    # ---- Questions ----

    def ctl(self, *argv):
        """nvo3-nvactl against the whole store; returns what it prints."""
        return run(net.inside(self.ns) + [self._programs.nvactl, *self._ssl(), f"--db={self.remote()}", "--timeout=20",
                                          *map(str, argv)], env=self.env).stdout.strip()

    def leads(self):
        """Whether this node's server is the leader of the cluster."""
        text = self.appctl("cluster/status", "NVO3", target="ovsdb-server", check=False)
        return "Role: leader" in text

    def wait_cluster(self, timeout=20):
        """Waits until this node's server belongs to the cluster."""
        wait_until(lambda: "Status: cluster member" in self.appctl("cluster/status", "NVO3", target="ovsdb-server", check=False),
                   f"ovsdb-server of {self.name} has joined the cluster (see {self.logdir}/ovsdb-server.log)", timeout)

    def audit(self):
        """The NVA's audit log, a dict per event."""
        file = self.logdir / "nvo3-nva-audit.log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
