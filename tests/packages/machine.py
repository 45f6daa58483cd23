# SPDX-License-Identifier: Apache-2.0
"""Machines with a Debian of their own: systemd as process 1, in namespaces of their own (systemd-nspawn), joined by an underlay.

All begin from one image, made once by debootstrap; what each writes is its own. Packages come from the image's cache: machines reach nothing but each other.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

from lab import Capture, LabError, net, run, wait_until

BRIDGE = "underlay"
# What a machine has besides a minimal Debian: ways in, and what the tests look with.
BASE = "systemd systemd-sysv dbus udev openssh-server openssh-client iproute2 iputils-ping procps ethtool ca-certificates"
TOOLS = "iperf3 tcpdump python3"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}


class Image:
    """The root of a fresh Debian 12 in `directory`, with packages to be installed lying in /root."""

    def __init__(self, directory, debs):
        self.root = pathlib.Path(directory)
        self._debs = [deb for deb in sorted(pathlib.Path(debs).glob("*.deb")) if "-dbgsym_" not in deb.name]
        if not self._debs:
            raise LabError(f"there are no packages in {debs}")

    def make(self, fetch):
        """`fetch`: packages of Debian that a machine may install later, with what they need."""
        if not self.root.exists() or not any(self.root.iterdir()):
            mirror = next(line for line in run(["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]).stdout.splitlines()
                          if "security" not in line)
            # Whole or not at all: a kept image is used again.
            whole, self.root = self.root, self.root.with_name(self.root.name + ".new")
            shutil.rmtree(self.root, ignore_errors=True)
            run(["debootstrap", "--variant=minbase", f"--include={','.join(BASE.split())}", "bookworm", self.root, mirror], timeout=900)
            self._reach_debian()
            self.root = self.root.replace(whole)
        for old in (self.root / "root").glob("*.deb"):
            old.unlink()
        for deb in self._debs:
            shutil.copy(deb, self.root / "root")
        self._inside("apt-get", "-q", "update")
        self._inside("apt-get", "-qy", "install", *TOOLS.split())
        self._inside("apt-get", "-qy", "install", "--download-only", *fetch, *[f"/root/{deb.name}" for deb in self._debs])

    def _reach_debian(self):
        """As this machine does; and machines let each other in."""
        etc, home = self.root / "etc", self.root / "root"
        (etc / "apt/sources.list").unlink(missing_ok=True)
        for path in (*pathlib.Path("/etc/apt").glob("sources.list*"), pathlib.Path("/etc/apt/apt.conf.d")):
            shutil.copytree(path, etc / "apt" / path.name, dirs_exist_ok=True) if path.is_dir() else shutil.copy(path, etc / "apt")
        for name in ("resolv.conf", "hosts"):
            (etc / name).unlink(missing_ok=True)
            shutil.copy(f"/etc/{name}", etc / name)
        # Nothing but what packages depend on, and no waiting for a disk that outlives no test.
        (etc / "apt/apt.conf.d/99-machine").write_text('APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\nDpkg::Use-Pty "false";\n'
                                                       'Binary::apt::APT::Keep-Downloaded-Packages "true";\n')
        (etc / "dpkg/dpkg.cfg.d/machine").write_text("force-unsafe-io\n")
        (etc / "machine-id").write_text("")
        (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / ".ssh/id_ed25519"])
        shutil.copy(home / ".ssh/id_ed25519.pub", home / ".ssh/authorized_keys")
        (home / ".ssh/config").write_text("StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n")

    def _inside(self, *argv):
        """A command in the image itself, with this machine's network; no service starts there."""
        policy = self.root / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        try:
            return run(["chroot", self.root, "/usr/bin/env", "-i", *[f"{name}={value}" for name, value in ENVIRONMENT.items()], *argv], timeout=900)
        finally:
            policy.unlink()


class Machine:
    """A machine called `name` whose eth1 is in the underlay, with an address as an installer would give it. run() is its root's shell."""

    def __init__(self, name, address, image, prefix, directory):
        self.name, self.address = name, address
        self.ns = prefix + name
        self._image = image
        self._directory = directory
        self.root = directory / "root"
        self._nspawn = None

    def make(self):
        for part in ("root", "upper", "work"):
            (self._directory / part).mkdir(parents=True)
        run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={self._image.root},upperdir={self._directory}/upper,workdir={self._directory}/work", self.root])
        (self.root / "etc/hostname").write_text(self.name + "\n")
        net.add_namespace(self.ns)
        # As a machine has it.
        net.sysctl(self.ns, "net.ipv4.conf.all.arp_ignore=0")

    def boot(self):
        """Starts it and waits until all its services run."""
        self._nspawn = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={self.root}", f"--machine={self.name}", "--resolv-conf=off",
             f"--network-namespace-path=/run/netns/{self.ns}", "--capability=all", "--console=pipe", "--boot"],
            stdin=subprocess.DEVNULL, stdout=(self._directory / "console").open("a"), stderr=subprocess.STDOUT,
            env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"})
        self._wait_up()

    def _wait_up(self):
        wait_until(lambda: self._init() and self.run("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded"),
                   lambda: f"{self.name} has booted: {(self._directory / 'console').read_text()}", timeout=120)
        failed = self.run("systemctl --failed --plain --no-legend").stdout
        if failed:
            raise LabError(f"services of {self.name} failed: {failed}")

    def _init(self):
        """Its process 1, or None."""
        child = run(["pgrep", "-P", self._nspawn.pid], check=False).stdout.split()
        return int(child[0]) if child else None

    def run(self, command, check=True, timeout=300):
        """A line of shell as root, in /root."""
        return run(["nsenter", "-t", self._init(), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "/usr/bin/env", "-i",
                    *[f"{name}={value}" for name, value in ENVIRONMENT.items()], "sh", "-ec", f"cd /root; {command}"], check=check, timeout=timeout)

    def reboot(self):
        """Off and on again; what was configured by hand and not for the next boot is gone."""
        self.power_off()
        net.ip(self.ns, "addr flush dev eth1", "link set eth1 down")
        net.sysctl(self.ns, "net.ipv4.conf.eth1.arp_ignore=0")
        self.boot()

    def power_off(self):
        if self._nspawn is None:
            return
        init = self._init()
        if init:
            os.kill(init, signal.SIGRTMIN + 4)      # systemd(1): poweroff.target
        try:
            self._nspawn.wait(timeout=90)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self._nspawn = None

    def kill_and_wait(self, unit):
        """Ends a service's process the hard way, and waits until systemd has another one."""
        ask = f"systemctl show -p MainPID --value {unit}"
        old = self.run(ask).stdout
        self.run(f"kill -9 {old}")
        wait_until(lambda: self.run(ask).stdout not in (old, "0\n"), f"systemd has started {unit} again")

    def reaches(self, address):
        """Whether its namespace `test` of the quick start gets each answer from another one's."""
        return "3 received" in self.run(f"ip netns exec test ping -c 3 -i 0.2 -W 5 {address}", check=False, timeout=60).stdout

    def newer(self):
        """The packages in /root with a higher version, as the next release would have."""
        self.run("""for deb in *.deb; do
            dpkg-deb -R $deb new
            sed -i 's/^\\(Version: .*\\)$/\\1+next/; s/(= \\([0-9.]*\\))/(= \\1+next)/g' new/DEBIAN/control
            dpkg-deb --root-owner-group -b new $deb >/dev/null
            rm -rf new
        done""")

    def remove(self):
        self.power_off()
        net.delete_namespace(self.ns)
        if os.path.ismount(self.root):
            run(["umount", "--lazy", self.root])
        shutil.rmtree(self._directory, ignore_errors=True)


class Machines:
    """Machines by name in one underlay, 192.0.2.0/24; removed by close()."""

    def __init__(self, image, prefix, directory, addresses):
        self.directory = pathlib.Path(directory)
        self._underlay = prefix + "wire"
        self._machines = {name: Machine(name, address, image, prefix, self.directory / name) for name, address in addresses.items()}

    def __getitem__(self, name):
        return self._machines[name]

    def __iter__(self):
        return iter(self._machines.values())

    def up(self):
        net.add_namespace(self._underlay)
        net.ip(self._underlay, f"link add {BRIDGE} mtu 9000 type bridge mcast_snooping 0", f"link set {BRIDGE} up")
        hosts = "".join(f"{machine.address} {machine.name}\n" for machine in self)
        for machine in self:
            machine.make()
            (machine.root / "etc/hosts").write_text("127.0.0.1 localhost\n" + hosts)
            # The wire carries more than a machine's interface has at first.
            net.veth(machine.ns, "eth1", self._underlay, machine.name, mtu=9000)
            net.ip(machine.ns, "link set eth1 mtu 1500")
            net.ip(self._underlay, f"link set {machine.name} master {BRIDGE}")
            net.ip(machine.ns, f"addr add {machine.address}/24 dev eth1")
            machine.boot()

    def capture(self):
        return Capture(self._underlay, BRIDGE, self.directory / "underlay.pcap")

    def close(self):
        with contextlib.ExitStack() as all_of_them:      # each, whatever becomes of the others
            all_of_them.callback(shutil.rmtree, self.directory, ignore_errors=True)
            all_of_them.callback(net.delete_namespace, self._underlay)
            for machine in self:
                all_of_them.callback(machine.remove)
