# SPDX-License-Identifier: Apache-2.0
"""A capture of a link that misses nothing between its begin and its end.

tcpdump is listening when the constructor returns, and stop() sends a marker frame and waits until that is in the file.
"""

import os
import re
import subprocess

from . import net, pcap
from .process import LabError, run, wait_until

_SEND_MARKER = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
s.send(bytes.fromhex(sys.argv[2]))
"""


class Capture:
    """tcpdump on `interface` of namespace `ns`, into `path`. Also a context manager; `snap` octets of each packet."""

    def __init__(self, ns, interface, path, snap=65535, expression=""):
        self.path = str(path)
        self._ns = ns
        self._interface = interface
        self.dropped = None         # known after stop()
        self._process = subprocess.Popen(
            net.inside(ns) + ["tcpdump", "-U", "-n", "--immediate-mode", "-B", "65536", "-s", str(snap), "-i", interface,
                              "-w", self.path] + ([f"({expression}) or ether proto {pcap.MARKER_ETHERTYPE}"] if expression else []),
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        words = []
        for line in self._process.stderr:
            words.append(line.strip())
            if "listening on" in line:
                return
        self._process.wait()
        raise LabError(f"tcpdump did not start on {interface} in {ns}: {' '.join(words)}")

    def stop(self):
        """Ends the capture once everything before has reached the file."""
        if self._process.returncode is not None:
            return
        try:
            marker = bytes.fromhex("01 00 5e 00 00 00 02 00 00 00 00 00 88 b5") + os.urandom(16) + bytes(30)
            run(net.inside(self._ns) + ["/usr/bin/python3", "-c", _SEND_MARKER, self._interface, marker.hex()])
            wait_until(lambda: self._tail_has(marker[14:30]), f"tcpdump has written all of {self.path}", timeout=60)
        finally:
            self._process.send_signal(2)
            _, words = self._process.communicate(timeout=20)
            match = re.search(r"(\d+) packets? dropped by kernel", words)
            self.dropped = int(match.group(1)) if match else None

    def _tail_has(self, text):
        with open(self.path, "rb") as file:
            file.seek(max(0, os.path.getsize(self.path) - 1_000_000))
            return text in file.read()

    def summary(self):
        """What was seen, after stop(). Raises LabError if tcpdump lost packets: such a capture proves nothing."""
        if self.dropped:
            raise LabError(f"the kernel dropped {self.dropped} packets before tcpdump saw them: the capture is not complete")
        return pcap.summarize(self.path)

    def frames(self):
        """The captured Ethernet frames, markers left out."""
        return [frame for _, frame in pcap.frames(self.path) if pcap.classify(frame) != "marker"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
