# SPDX-License-Identifier: Apache-2.0
"""Network namespaces and veth pairs, by iproute2.

Interfaces are made inside their namespaces, so the machine's own never shows them, and they vanish with a namespace.
"""

import os
import signal

from .process import LabError, run, wait_until


def exists(ns):
    return os.path.exists(f"/run/netns/{ns}")


def add_namespace(ns):
    """Makes a namespace with a loopback and no IPv6 chatter; IPv6 is enabled where an address is set."""
    if exists(ns):
        raise LabError(f"network namespace {ns} exists already and is not this lab's: remove it (ip netns del {ns}) or use --prefix")
    run(["ip", "netns", "add", ns])
    run(["ip", "-n", ns, "link", "set", "lo", "up"])
    # No router solicitations and duplicate address detection: a capture shows what the tunnels do and little else.
    sysctl(ns, "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1",
           "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.accept_ra=0",
           # An uplink without address must not answer ARP for the bridge above it, with a MAC that bypasses the switch.
           "net.ipv4.conf.all.arp_ignore=1")


def delete_namespace(ns):
    """Removes a namespace and ends what still runs in it; one that does not exist is fine."""
    if not exists(ns):
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids(ns):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        try:
            wait_until(lambda: not pids(ns), f"the processes in {ns} have ended", timeout=3)
            break
        except LabError:
            if number == signal.SIGKILL:
                raise
    run(["ip", "netns", "del", ns])


def pids(ns):
    """Processes in a namespace."""
    return [int(p) for p in run(["ip", "netns", "pids", ns], check=False).stdout.split()]


def sysctl(ns, *settings):
    run(inside(ns) + ["sysctl", "-qw", *settings])


def ip(ns, *lines):
    """Runs lines of `ip` in a namespace, as one batch."""
    run(["ip", "-n", ns, "-batch", "-"], text_input="\n".join(lines) + "\n")


def veth(ns, name, peer_ns, peer_name, mtu=1500):
    """A veth pair between two namespaces, both ends up, without offloads.

    One receive queue, because Open vSwitch opens one with AF_XDP; no offloads, because the userspace datapath sends what it gets.
    """
    ends = ((ns, name), (peer_ns, peer_name))
    run(["ip", "link", "add", name, "netns", ns, "mtu", mtu, "numrxqueues", "1", "numtxqueues", "1", "type", "veth",
         "peer", "name", peer_name, "netns", peer_ns, "mtu", mtu, "numrxqueues", "1", "numtxqueues", "1"])
    for end_ns, end in ends:
        run(inside(end_ns) + ["ethtool", "-K", end, "tx", "off", "tso", "off", "gso", "off"])
        ip(end_ns, f"link set {end} up")


def inside(ns):
    """The beginning of a command line that runs in a namespace."""
    return ["ip", "netns", "exec", ns]
