# SPDX-License-Identifier: Apache-2.0
"""A host: a namespace with ovsdb-server, ovs-vswitchd and hvagent of its own."""

import json
import re

from . import net
from .daemons import Daemons
from .process import LabError, run, wait_until

# The order in which they start; pid files and control sockets bear the same names.
DAEMONS = ("ovsdb-server", "ovs-vswitchd", "hvagent")
UPLINK = "eth0"


class Host(Daemons):
    """Host `number` of a lab. Directories: run, log, db, pki below `directory`."""

    def __init__(self, name, number, programs, prefix, directory, datapath="nvo3"):
        super().__init__(name, prefix + name, programs, directory)
        self.number = number
        self.ipv4 = f"172.31.0.{number}"
        self.ipv6 = f"fd31::{number}"
        self.datapath = datapath

    # ---- Daemons ----

    def start(self, daemon, *, environment=None):
        """Starts a daemon that does not run, and returns when it answers; a switch gets its underlay addresses back."""
        if self.pid(daemon):
            return
        self.make_directories()
        database = f"unix:{self.rundir}/db.sock"
        if daemon == "ovsdb-server":
            file = self.dbdir / "conf.db"
            if not file.exists():
                run([self._programs.ovsdb_tool, "create", file, self._programs.schema], env=self.env)
            argv = [self._programs.ovsdb_server, file, f"--remote=p{database}"]
        elif daemon == "ovs-vswitchd":
            argv = [self._programs.vswitchd, database, "--disable-system"]
        else:
            argv = [self._programs.hvagent, database]
        self.launch(argv, environment)
        if daemon == "ovsdb-server":
            self.vsctl("--no-wait", "init")
        elif daemon == "ovs-vswitchd" and self.vsctl("--if-exists", "get", "Bridge", "br-phy", "name"):
            self.set_underlay_addresses()

    # ---- Configuration ----

    def configure(self, underlay):
        """Bridges, uplink and underlay addresses; `underlay` is afpacket or afxdp."""
        kind = {"afpacket": [], "afxdp": ["type=afxdp-nonpmd"]}[underlay]
        mac = f"0a:00:00:00:31:{self.number:02x}"   # of its own: the address must outlive a restart of the switch
        self.vsctl("add-br", "br-phy", "--", "set", "Bridge", "br-phy", f"datapath_type={self.datapath}",
                   f'other_config:hwaddr="{mac}"',
                   "--", "add-port", "br-phy", UPLINK, *(["--", "set", "Interface", UPLINK, *kind] if kind else []),
                   "--", "add-br", "br-int", "--", "set", "Bridge", "br-int", f"datapath_type={self.datapath}")
        self.set_underlay_addresses()

    def set_underlay_addresses(self):
        """br-phy is a tap of the switch: it comes back bare when the switch does."""
        wait_until(lambda: run(["ip", "-n", self.ns, "link", "show", "br-phy"], check=False).returncode == 0,
                   f"ovs-vswitchd of {self.name} has made br-phy (see {self.logdir}/ovs-vswitchd.log)")
        net.sysctl(self.ns, "net.ipv6.conf.br-phy.disable_ipv6=0")
        net.ip(self.ns, "link set br-phy up", f"addr replace {self.ipv4}/24 dev br-phy",
               f"addr replace {self.ipv6}/64 dev br-phy nodad",
               # By which packets to groups leave.
               "route replace 224.0.0.0/4 dev br-phy", "route replace ff00::/8 dev br-phy")

    def set_certificate(self, certificate, key, ca=None, crl=None):
        """Tells the agent its certificate; CA and CRL default to those in the host's pki directory."""
        ca, crl = ca or self.pkidir / "ca.crt", crl or self.pkidir / "ca.crl"
        self.vsctl("set", "Open_vSwitch", ".", f'other_config:certificate="{certificate}"', f'other_config:private_key="{key}"',
                   f'other_config:ca_cert="{ca}"', f'other_config:nvo3-crl="{crl}"')

    def add_tunnel(self, peer, encap="geneve", **options):
        """The tunnel port to another Host. `options` go to Interface options, e.g. key=5001, remote_ip=...; None leaves one out."""
        options = {"remote_ip": peer.ipv4, "key": 5001, "remote_name": peer.name, **options}
        # Protected ports do not send to each other: a full mesh must not flood in circles.  What one hypervisor
        # sends to another passes the NVE between them.
        protected = str(options.get("nvo3_role") != "hypervisor").lower()
        self.vsctl("add-port", "br-int", f"tun{peer.number}", "--", "set", "Port", f"tun{peer.number}", f"protected={protected}",
                   "--", "set", "Interface", f"tun{peer.number}", f"type={encap}",
                   *(f'options:{key}="{value}"' for key, value in options.items() if value is not None))

    # ---- Questions ----

    def vsctl(self, *argv, timeout=15):
        """ovs-vsctl; returns what it prints."""
        return run([self._programs.vsctl, f"--timeout={timeout}", *argv], env=self.env, timeout=timeout + 5).stdout.strip()

    def ofctl(self, *argv):
        return run([self._programs.ofctl, *argv], env=self.env).stdout.strip()

    def interface(self, port, column):
        """A map column of an Interface (status, statistics, options) as a dict of strings."""
        text = self.vsctl("--format=json", "--columns", column, "find", "Interface", f"name={port}")
        rows = json.loads(text)["data"]
        if not rows:
            raise LabError(f"{self.name} has no port {port}")
        return {key: str(value) for key, value in rows[0][0][1]}

    def error(self, port):
        """Interface error as text, empty if there is none."""
        value = self.vsctl("get", "Interface", port, "error")
        return "" if value == "[]" else json.loads(value)

    def tunnels(self):
        """Names of this host's tunnel ports."""
        if "br-int" not in self.vsctl("list-br").split():
            return []
        ports = self.vsctl("list-ports", "br-int").split()
        return sorted((p for p in ports if re.fullmatch(r"tun\d+", p)), key=lambda p: int(p[3:])) + \
            sorted(p for p in ports if p in ("nvo3-geneve", "nvo3-vxlan"))

    def tunnel_state(self, port):
        """nvo3_state of a tunnel port, or '' while the switch has not said any."""
        return self.interface(port, "status").get("nvo3_state", "")

    def wait_tunnel(self, port, state="up", timeout=20):
        """Waits for a state; the error says what the switch says instead."""
        def words():
            status = self.interface(port, "status")
            return (f"{port} of {self.name} is {state}: it is {status.get('nvo3_state', 'without state')}"
                    f" ({status.get('nvo3_error') or self.error(port) or 'no error given'}; logs in {self.logdir})")
        wait_until(lambda: self.tunnel_state(port) == state, words, timeout, interval=0.1)

    def counter(self, name):
        """A counter of the switch, all peers together, fresh; Interface statistics are refreshed every 5 s only."""
        return self.appctl_json("nvo3/counters")[name]

    def drops(self):
        """{reason: packets} of all that the switch refused."""
        prefix = "nvo3_drop_"
        return {name.removeprefix(prefix): value for name, value in self.appctl_json("nvo3/counters").items() if name.startswith(prefix)}

    def sas(self):
        """The switch's security associations, a dict each: direction (in, out), spi (int), remote_ip, encap, vni, cipher, ..."""
        return [dict(sa, spi=int(sa["spi"], 16), direction=sa["direction"].removesuffix("bound")) for sa in self.appctl_json("nvo3/sa-list")]

    def audit(self):
        """The agent's audit log, a dict per event."""
        file = self.logdir / "hvagent-audit.log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
