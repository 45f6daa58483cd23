# SPDX-License-Identifier: Apache-2.0
"""A VM: a namespace with one interface, whose other end is a port of the host's br-int."""

import json
import re
import subprocess
import threading

from . import net
from .process import LabError, run, wait_until


class Vm:
    """Fixed after creation; MTU and running programs apart. Call start() after its host has br-int."""

    def __init__(self, name, number, host, prefix, vni, subnet=0):
        self.name = name
        self.host = host
        self.ns = prefix + name
        self.port = name                        # in br-int
        self.vni = vni
        self.address = f"10.50.{subnet}.{number}"
        self.mac = f"0a:00:00:00:50:{number:02x}"

    def start(self, mtu):
        net.add_namespace(self.ns)
        net.veth(self.ns, "eth0", self.host.ns, self.port)
        net.ip(self.ns, f"link set eth0 address {self.mac} mtu {mtu}", f"addr add {self.address}/24 dev eth0")
        self.host.vsctl("--may-exist", "add-port", "br-int", self.port)

    def join(self, vn):
        """Makes the port an interface of a virtual network, as an orchestrator would."""
        self.host.vsctl("set", "Interface", self.port, f"external_ids:nvo3-vn={vn}", f'external_ids:attached-mac="{self.mac}"',
                        f'external_ids:nvo3-addresses="{self.address}"')

    def set_mtu(self, mtu):
        net.ip(self.ns, f"link set eth0 mtu {mtu}")

    def mtu(self):
        return json.loads(run(["ip", "-n", self.ns, "-j", "link", "show", "eth0"]).stdout)[0]["mtu"]

    def run(self, *argv, **options):
        return run(net.inside(self.ns) + [str(a) for a in argv], **options)

    def ping(self, other, count=1, size=56, interval=0.2, options=(), wait=1):
        """Number of answers from another Vm (or address); waits `wait` seconds at most for the last."""
        done = self.run("ping", "-n", "-c", count, "-i", interval, "-W", wait, "-s", size, *options, getattr(other, "address", other),
                        check=False, timeout=count * (interval + 1) + wait + 10)
        match = re.search(r"(\d+) received", done.stdout)
        return int(match.group(1)) if match else 0

    def all_answered(self, other, count=1, **options):
        """Whether each ping is answered, however slow the machine is just now."""
        return self.ping(other, count, wait=10, **options) == count

    def wait_reach(self, other, timeout=15):
        """Waits until a ping is answered."""
        wait_until(lambda: self.ping(other), f"{self.name} reaches {getattr(other, 'name', other)}", timeout, interval=0)

    def know(self, other):
        """Makes two VMs neighbours that need no ARP any more."""
        for one, two in ((self, other), (other, self)):
            net.ip(one.ns, f"neigh replace {two.address} lladdr {two.mac} dev eth0 nud permanent")

    def background_ping(self, other, interval=0.02):
        """A ping that runs until stop() of what is returned, which gives (sent, received)."""
        return BackgroundPing(self, other, interval)

    def time_pings(self, other):
        """Pings until stop() of what is returned, which gives the longest time without an answer, in seconds."""
        return TimedPings(self, getattr(other, "address", other))

    def iperf(self, other, *options, seconds=2):
        """iperf3 from here to another Vm; returns iperf3's own report as a dict."""
        server = subprocess.Popen(net.inside(other.ns) + ["iperf3", "-s", "-1", "--forceflush"], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            for line in server.stdout:
                if "listening" in line:
                    break
            done = self.run("iperf3", "-c", other.address, "-t", seconds, "-J", *options, timeout=seconds + 30, check=False)
            report = json.loads(done.stdout or "{}")
            if done.returncode or "error" in report:
                raise LabError(f"iperf3 from {self.name} to {other.name} failed: {report.get('error', done.stderr.strip())}")
            return report
        finally:
            server.terminate()
            server.wait()
            server.stdout.close()


class BackgroundPing:
    """Pings until stopped."""

    def __init__(self, vm, other, interval):
        # While ARP goes unanswered the kernel would hold the packets back, and traffic is the point.
        vm.know(other)
        self._process = subprocess.Popen(net.inside(vm.ns) + ["ping", "-n", "-q", "-i", str(interval), other.address],
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)

    def stop(self):
        """Ends it; returns (packets sent, answers)."""
        if self._process.poll() is None:
            self._process.send_signal(2)
        out, _ = self._process.communicate(timeout=10)
        match = re.search(r"(\d+) packets transmitted, (\d+) received", out)
        if not match:
            raise LabError(f"ping ended without a summary: {out[-200:]}")
        return int(match.group(1)), int(match.group(2))


class TimedPings:
    """Pings until stopped, and keeps the times of the answers."""

    def __init__(self, vm, address):
        self._command = net.inside(vm.ns) + ["ping", "-n", "-D", "-c", "20", "-i", "0.02", "-W", "1", address]
        self._times = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._more("pings are answered")

    def _more(self, what):
        """Waits for answers, without which there is nothing to measure between."""
        known = len(self._times)
        wait_until(lambda: len(self._times) > known, what, timeout=30)

    def _run(self):
        # Short runs: an address that nobody answers for makes ping slow to end.
        while not self._ended.is_set():
            text = run(self._command, check=False).stdout
            self._times += [float(time) for time in re.findall(r"^\[([0-9.]+)\] \d+ bytes", text, re.MULTILINE)]

    def stop(self):
        try:
            self._more("pings are answered again")
        finally:
            self._ended.set()
            self._thread.join()
        return max((b - a for a, b in zip(self._times, self._times[1:])), default=float("inf"))
