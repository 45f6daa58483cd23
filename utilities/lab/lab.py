# SPDX-License-Identifier: Apache-2.0
"""A lab: hosts, VMs, the underlay between them, and the record by which a later command finds it again."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal

from . import kernel, net
from .capture import Capture
from .host import DAEMONS, Host
from .libvirt import Guest, Hypervisor
from .nva import Nva
from .pki import Pki
from .process import LabError, run, wait_until
from .programs import Programs
from .vm import Vm

BRIDGE = "underlay"
NVE_NUMBER = 100                # of hosts: NVE n is host 100 + n
VNI = 5001
DEFAULT_DIRECTORY = "/run/nvo3-sandbox"
# Of Geneve or VXLAN in ESP over an underlay of 1500; used where the switch does not say.
FALLBACK_MTU = {False: 1408, True: 1388}


@dataclasses.dataclass
class Plan:
    """What a lab is made of; kept in lab.json."""

    hosts: int = 2
    vms: int = 2
    underlay: str = "afpacket"      # or afxdp
    encap: str = "geneve"           # or vxlan
    ipv6: bool = False              # tunnels over IPv6
    level: str | None = None        # security_level of all tunnels
    prefix: str = ""                # of namespace names, so that labs do not clash
    datapath: str = "nvo3"
    nva: int = 0                    # how many nvo3-nva; 0: tunnels are configured by hand
    stores: int = 1                 # servers of the NVA's store: 1, or 3 for a cluster
    vns: int = 1                    # virtual networks, with an NVA or external NVEs
    multicast: bool = True          # the underlay carries multicast, with an NVA
    nves: int = 0                   # external NVEs; the hosts are hypervisors then, each of all of them
    libvirt: bool = False           # the hypervisors have a libvirtd, and no Vm of this lab
    guests: int = 0                 # but these, which libvirt starts
    policy: str | None = None       # file with the policy between the networks, with an NVA; gateways are 10.50.K-1.254
    builddir: str | None = None

    def check(self):
        if not 1 <= self.hosts <= 64 or not 0 <= self.vms <= 200:
            raise LabError(f"{self.hosts} hosts and {self.vms} VMs: 1 to 64 hosts and 0 to 200 VMs are possible")
        if not 0 <= self.nva <= 8 or self.stores not in (1, 3) or not 1 <= self.vns <= 64 or (self.vns > 1 and not self.nva and not self.nves):
            raise LabError(f"{self.nva} NVAs, {self.stores} stores and {self.vns} networks: 0 to 8 NVAs, 1 or 3 stores and 1 to 64 "
                           "networks are possible, more than one network only with an NVA or external NVEs")
        if not 0 <= self.nves <= 8 or (self.nves and self.ipv6) or (self.libvirt and not self.nves):
            raise LabError("0 to 8 external NVEs are possible, with an IPv4 underlay; libvirt only with one of them")
        if self.policy and not self.nva:
            raise LabError("a policy between networks needs an NVA")
        if not 0 <= self.guests <= 50 or (self.guests and not self.libvirt):
            raise LabError(f"{self.guests} guests: 0 to 50 are possible, on hypervisors with libvirt")
        for name, value, values in (("underlay", self.underlay, ("afpacket", "afxdp")), ("encap", self.encap, ("geneve", "vxlan"))):
            if value not in values:
                raise LabError(f"{name} '{value}' is not known: use {' or '.join(values)}")


class Lab:
    """Made by up(), removed by down(); as a context manager both. Lab.load() finds one that is up."""

    def __init__(self, plan=None, *, directory=DEFAULT_DIRECTORY, tunnel_options=None, serves=None, say=lambda text: None, removal=False, **values):
        """`values` are those of Plan. `tunnel_options(host, peer)` gives further options of a tunnel, and None for no tunnel.
        `serves(host, vni)` says, with an NVA, whether a host is a member of a network; without it all are.

        `removal`: only down() will be called, which needs no program of the build.
        """
        self.plan = plan or Plan(**values)
        self.plan.check()
        self.directory = pathlib.Path(directory)
        self.programs = Programs.find(self.plan.builddir, needed=not removal)
        self.pki = Pki(self.programs, self.directory / "ca")
        self.store_pki = Pki(self.programs, self.directory / "store-ca")
        self.underlay_ns = self.plan.prefix + "nvo3-underlay"
        self._say = say
        self._cache = kernel.cache(kernel.builddir(self.plan.builddir or os.environ.get("NVO3_BUILDDIR")))
        self._tunnel_options = tunnel_options or (lambda host, peer: {})
        self._serves = serves or (lambda host, vni: True)
        self.nves = {name: host for name, host in self._make_host_objects("nve", self.plan.nves, NVE_NUMBER)}
        self.hypervisors = {name: host for name, host in self._make_host_objects("hv", self.plan.hosts, 0)}
        # NVEs come first: they are there when hypervisors look for them.
        self.hosts = {**self.nves, **self.hypervisors}
        self.vms = {}
        places = list(self.nves.values() if self.plan.libvirt else self.hosts.values())
        for n in range(1, self.plan.vms + 1):
            host = places[(n - 1) % len(places)]
            # The hosts in turn, then the networks in turn.
            network = (n - 1) // len(places) % self.plan.vns
            self.vms[f"vm{n}"] = Vm(f"vm{n}", n, host, self.plan.prefix, VNI + network, network)
        self.guests = {}
        for n in range(1, self.plan.guests + 1):
            network = (n - 1) // self.plan.hosts % self.plan.vns
            self.guests[f"g{n}"] = Guest(f"g{n}", n, self.directory, self._cache, [(self.network(VNI + network), f"10.50.{network}.{100 + n}/24")])
        nodes = max(self.plan.nva, self.plan.stores) if self.plan.nva else 0
        self.nvas = {f"nva{n}": Nva(f"nva{n}", n, self.plan.stores, self.programs, self.plan.prefix, self.directory / f"nva{n}")
                     for n in range(1, nodes + 1)}

    def _make_host_objects(self, kind, count, first):
        for n in range(1, count + 1):
            name, options = f"{kind}{n}", {}
            make = Host
            if kind == "hv" and self.plan.libvirt:
                make, options = Hypervisor, {"cache": self._cache}
            yield name, make(name, first + n, self.programs, self.plan.prefix, self.directory / name, self.plan.datapath, **options)

    @classmethod
    def load(cls, directory=DEFAULT_DIRECTORY, **options):
        """The lab that was made in `directory`."""
        try:
            plan = Plan(**json.loads((pathlib.Path(directory) / "lab.json").read_text()))
        except OSError:
            raise LabError(f"no sandbox in {directory}: make one with 'nvo3-sandbox up'") from None
        except (ValueError, TypeError) as error:
            raise LabError(f"{directory}/lab.json is not readable: {error}") from None
        return cls(plan, directory=directory, **options)

    # ---- Life ----

    def up(self, wait=True):
        """Makes everything. If that fails, what there is stays for a look; down() removes it."""
        if (self.directory / "lab.json").exists():
            raise LabError(f"a lab is in {self.directory} already: 'nvo3-sandbox down' removes it")
        self._check_free()
        self.directory.mkdir(parents=True, exist_ok=True)
        os.chmod(self.directory, 0o700)
        (self.directory / "lab.json").write_text(json.dumps(dataclasses.asdict(self.plan), indent=2) + "\n")
        self._make_underlay()
        if self.protected:
            self.pki.init()
        if self.plan.nva:
            self._make_nvas()
        for host in self.hosts.values():
            self._make_host(host)
        for host in self.hosts.values():
            for peer in self.hosts.values():
                self._make_tunnel(host, peer)
        for vm in self.vms.values():
            vm.start(FALLBACK_MTU[self.plan.ipv6])
            if self.plan.nva or self.plan.nves:
                vm.join(self.network(vm.vni))
            if self.plan.policy:
                net.ip(vm.ns, f"route add default via {vm.address.rpartition('.')[0]}.254")
        self._start_guests()
        if wait and self.protected:
            self.wait_tunnels()
            self.set_vm_mtu()

    def down(self):
        """Ends all daemons, removes all namespaces and the directory. What is not there is fine."""
        for host in self.hosts.values():
            for daemon in reversed(DAEMONS):
                host.stop(daemon)
        for nva in self.nvas.values():
            nva.stop("nvo3-nva")
            nva.stop("ovsdb-server")
        for ns in self.namespaces():
            net.delete_namespace(ns)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_):
        self.down()

    # ---- Parts ----

    def _start_guests(self):
        hypervisors = list(self.hypervisors.values())
        for number, guest in enumerate(self.guests.values()):
            host = hypervisors[number % len(hypervisors)]
            self._say(f"guest {guest.name}: libvirt of {host.name} starts QEMU")
            guest.define(host)
            host.virsh("start", guest.name)
        for guest in self.guests.values():
            guest.wait_boot(60)

    def place_of(self, guest):
        """The hypervisor where a guest runs, or None."""
        return next((host for host in self.hypervisors.values() if host.pid("libvirtd") and host.has(guest)), None)

    @property
    def protected(self):
        return self.plan.datapath == "nvo3"

    def namespaces(self):
        return [vm.ns for vm in self.vms.values()] + [host.ns for host in self.hosts.values()] + [nva.ns for nva in self.nvas.values()] + [self.underlay_ns]

    def _check_free(self):
        taken = [ns for ns in self.namespaces() if net.exists(ns)]
        if taken:
            raise LabError(f"network namespace {taken[0]} exists already and belongs to no lab in {self.directory}: "
                           f"remove it ('ip netns del {taken[0]}') or choose other names with --prefix")

    def _make_underlay(self):
        net.add_namespace(self.underlay_ns)
        # No multicast snooping: neighbour discovery of a tunnel must not depend on a querier.
        net.ip(self.underlay_ns, f"link add {BRIDGE} mtu 1500 type bridge mcast_snooping 0", f"link set {BRIDGE} up")

    def add_underlay_port(self, ns, interface, name):
        """Joins a new interface of a namespace to the underlay."""
        net.veth(ns, interface, self.underlay_ns, name)
        net.ip(self.underlay_ns, f"link set {name} master {BRIDGE}")

    def networks(self):
        """VNIs of the virtual networks."""
        return range(VNI, VNI + self.plan.vns)

    def network(self, vni):
        """The name of a virtual network, as ports and libvirt's profiles have it."""
        return f"vn{vni}" if self.plan.nva else str(vni)

    def _make_nvas(self):
        self.store_pki.init()
        nodes = list(self.nvas.values())
        for node in nodes:
            self._say(f"NVA {node.name}: " + ", ".join(d for d, last in (("ovsdb-server", self.plan.stores), ("nvo3-nva", self.plan.nva))
                                                      if node.number <= last))
            net.add_namespace(node.ns)
            self.add_underlay_port(node.ns, "eth0", node.name)
            node.configure()
            node.make(self.pki, self.store_pki)
        key = run(["openssl", "rand", "-hex", "32"]).stdout
        for node in nodes:
            file = node.pkidir / "group.key"
            file.touch(mode=0o600)
            file.write_text(key)
            if node.number <= self.plan.stores:
                node.start("ovsdb-server")
        if self.plan.stores > 1:
            for node in nodes[:self.plan.stores]:
                node.wait_cluster()
        self._describe(nodes[0])
        for node in nodes[:self.plan.nva]:
            node.start("nvo3-nva")

    def _describe(self, node):
        """Tells the store what there is to be."""
        commands = ["init"]
        nves = self.nves or self.hosts
        for host in nves.values():
            commands += ["--", "nve-add", host.name, *([host.ipv6] if self.plan.ipv6 else [host.ipv4, host.ipv6])]
        for vni in self.networks():
            level = [f"--level={self.plan.level}"] if self.plan.level else []
            commands += ["--", *level, f"--encap={self.plan.encap}", "vn-add", f"vn{vni}", vni]
            members = [host.name for host in nves.values() if self._serves(host, vni)]
            if members:
                commands += ["--", "vn-join", f"vn{vni}", *members]
            if self.plan.multicast:
                number = vni - VNI + 1
                commands += ["--", "group-add", f"vn{vni}", f"ff0e::31:{number}" if self.plan.ipv6 else f"239.31.0.{number}"]
        node.ctl(*commands)
        if self.plan.policy:
            node.ctl("policy-set", self.plan.policy)

    def _make_host(self, host):
        hypervisor = host.name in self.hypervisors and self.plan.nves > 0
        kind = "external NVE" if host.name in self.nves else "hypervisor" if hypervisor else "host"
        self._say(f"{kind} {host.name}: ovsdb-server, ovs-vswitchd{', hvagent' if self.protected else ''}{', libvirtd' if isinstance(host, Hypervisor) else ''}")
        net.add_namespace(host.ns)
        if isinstance(host, Hypervisor):
            host.hold()
        self.add_underlay_port(host.ns, "eth0", host.name)
        host.start("ovsdb-server")
        host.start("ovs-vswitchd")
        host.configure(self.plan.underlay)
        if self.protected:
            host.set_certificate(*self.pki.give(host.name, host.pkidir, *(["--role", "hypervisor"] if hypervisor else [])))
            if self.plan.ipv6:
                host.vsctl("set", "Open_vSwitch", ".", 'other_config:nvo3-listen="[::]:6652"')
            if hypervisor:
                nves = " ".join(nve.ipv4 for nve in self.nves.values())
                host.vsctl("set", "Open_vSwitch", ".", "other_config:nvo3-role=hypervisor", f'other_config:nvo3-nve="{nves}"',
                           *([] if self.plan.libvirt else ["other_config:nvo3-libvirt-uri=none"]))
            elif self.plan.nva:
                addresses = [f"[{nva.ipv6}]" if self.plan.ipv6 else nva.ipv4 for nva in list(self.nvas.values())[:self.plan.nva]]
                host.vsctl("set", "Open_vSwitch", ".", f'other_config:nvo3-nva="{" ".join(addresses)}"')
            host.start("hvagent")
        if isinstance(host, Hypervisor):
            host.start("libvirtd")

    def _make_tunnel(self, host, peer):
        if self.plan.nves:
            self._let_in(host, peer)
            return
        options = self._tunnel_options(host, peer) if host is not peer and not self.plan.nva else None
        if options is None:
            return
        address = peer.ipv6 if self.plan.ipv6 else peer.ipv4
        defaults = {"remote_ip": address, "key": VNI}
        if self.protected:
            defaults["security_level"] = self.plan.level
        else:
            defaults["remote_name"] = None
        host.add_tunnel(peer, self.plan.encap, **{**defaults, **options})

    def _let_in(self, nve, hypervisor):
        """The NVE's port to a hypervisor, which is the hypervisor's leave to use it. NVEs know each other by an NVA only."""
        if nve.name in self.nves and hypervisor.name in self.hypervisors:
            options = {"key": "flow", "nvo3_role": "hypervisor", "nvo3_vnis": ",".join(map(str, self.networks())), "security_level": self.plan.level}
            nve.add_tunnel(hypervisor, self.plan.encap, **{**options, **(self._tunnel_options(nve, hypervisor) or {})})

    def wait_tunnels(self, timeout=30):
        """Waits until every tunnel of every host is up."""
        if self.plan.nva or self.plan.nves:
            for host in self.hosts.values():
                wait_until(lambda: host.tunnels(), f"hvagent of {host.name} has made its tunnel port", timeout)
        if self.plan.nves:
            return      # they come up with the first interface in a network
        for host in self.hosts.values():
            for port in host.tunnels():
                host.wait_tunnel(port, timeout=timeout)

    def set_vm_mtu(self):
        """Gives the VMs of each host the MTU that its tunnels carry."""
        for vm in self.vms.values():
            values = [int(vm.host.interface(port, "status").get("nvo3_effective_mtu", FALLBACK_MTU[self.plan.ipv6]))
                      for port in vm.host.tunnels()]
            if values:
                vm.set_mtu(min(values))

    # ---- Use ----

    def capture(self, path=None, **options):
        """A Capture of all that crosses the underlay."""
        return Capture(self.underlay_ns, BRIDGE, path or self.directory / "underlay.pcap", **options)

    def place(self, name):
        """The Host or Vm of a name."""
        if name in self.guests:
            raise LabError(f"{name} is a guest of libvirt, and has no shell; its console is {self.guests[name].console}")
        try:
            return {**self.hosts, **self.nvas, **self.vms}[name]
        except KeyError:
            raise LabError(f"there is no {name}: there are {', '.join([*self.hosts, *self.nvas, *self.vms])}") from None

    def wait_all_reach(self, timeout=20):
        """Waits until every VM reaches every other of its network."""
        pairs = {(a, b) for a in self.vms.values() for b in self.vms.values() if a is not b and a.vni == b.vni}

        def try_again():
            for pair in list(pairs):
                if pair[0].ping(pair[1]):
                    pairs.discard(pair)
            return not pairs
        wait_until(try_again, lambda: "all VMs reach those of their network; missing: "
                   + ", ".join(sorted(f"{a.name}->{b.name}" for a, b in pairs)), timeout)

    def kill_all(self, daemon):
        """kill -9 of one kind of daemon on all hosts, at once."""
        for host in self.hosts.values():
            pid = host.pid(daemon)
            if pid:
                os.kill(pid, signal.SIGKILL)
        for host in self.hosts.values():
            host.stop(daemon, signal.SIGKILL)
