# SPDX-License-Identifier: Apache-2.0
"""An NVE in user space behind a tap: opens and seals by esp_tool, and has one VM that answers ARP and ping.

A thread of its own receives; ping() is for the test's thread. The tool is used by one of them at a time.
"""

import os
import queue
import select
import socket
import threading

from insider import in_namespace
from packets import ARP, ICMP, IP, Ether, IPv6, Raw, UDP

from esp_tool import INNER_PORT

ETH_P_ALL = 3
PACKET_OUTGOING = 4


class Responder:
    """`sa_in` comes from the guest, `sa_out` goes to it. A context manager.

    `refused` are the names of refusals, `strangers` summaries of packets that are neither ESP nor discovery of neighbours.
    """

    def __init__(self, ns, interface, tool, sa_in, sa_out, vm_mac="0a:00:00:00:50:01", vm_ip="10.50.0.1"):
        def open_socket():
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            raw.bind((interface, ETH_P_ALL))
            return raw
        self._socket = in_namespace(ns, open_socket)
        self._tool, self._in, self._out = tool, sa_in, sa_out
        self._mac, self._ip = vm_mac, vm_ip
        self._lock = threading.Lock()
        self._replies = queue.Queue()
        self._stop, self._stopped = os.pipe()
        self.opened = self.sealed = 0
        self.refused, self.strangers, self.failure = [], [], None
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def close(self):
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def check(self):
        """Fails the test if anything went wrong here."""
        assert self.failure is None, self.failure
        assert not self.refused and not self.strangers, (self.refused, self.strangers)

    def inject(self, frame):
        """Sends an outer frame as it is."""
        self._socket.send(frame)

    def send(self, inner):
        """Seals and sends an inner frame."""
        with self._lock:
            sealed = self._tool.seal(self._out, bytes(inner))
            if isinstance(sealed, str):
                self.refused.append(sealed)
                return
            self.sealed += 1
            self._socket.send(sealed)

    def ping(self, mac, ip, *, number=1, size=56, timeout=5.0):
        """Pings from the VM here; returns the octets that came back, or None."""
        self.send(Ether(src=self._mac, dst=mac) / IP(src=self._ip, dst=ip) / ICMP(type=8, id=7, seq=number)
                  / Raw(bytes(i & 255 for i in range(size))))
        try:
            while (reply := self._replies.get(timeout=timeout)).seq != number:
                pass
            return bytes(reply.payload)
        except queue.Empty:
            return None

    # ---- The receiving thread ----

    def _loop(self):
        try:
            while self._stop not in (ready := select.select([self._socket, self._stop], [], [])[0]):
                if ready:
                    frame, address = self._socket.recvfrom(65536)
                    if address[2] != PACKET_OUTGOING:
                        self._receive(frame)
        except Exception as error:     # whatever it is, the test must hear of it
            self.failure = repr(error)

    def _receive(self, frame):
        outer = Ether(frame)
        if ARP in outer or (IPv6 in outer and outer[IPv6].nh in (0, 58)):
            return
        if UDP not in outer or outer[UDP].dport == INNER_PORT[self._in.encap]:
            self.strangers.append(outer.summary())
            return
        with self._lock:
            clear = self._tool.open(self._in.encap, frame)
        if isinstance(clear, str):
            self.refused.append(clear)
            return
        self.opened += 1
        self._handle(Ether(clear[14 + (40 if self._in.ipv6 else 20) + 16:]))

    def _handle(self, inner):
        """What the VM does with a frame."""
        if ARP in inner and inner[ARP].op == 1 and inner[ARP].pdst == self._ip:
            self.send(Ether(src=self._mac, dst=inner.src)
                      / ARP(op=2, hwsrc=self._mac, psrc=self._ip, hwdst=inner[ARP].hwsrc, pdst=inner[ARP].psrc))
        elif ICMP in inner and inner[IP].dst == self._ip:
            if inner[ICMP].type == 8:
                self.send(Ether(src=self._mac, dst=inner.src) / IP(src=self._ip, dst=inner[IP].src)
                          / ICMP(type=0, id=inner[ICMP].id, seq=inner[ICMP].seq) / Raw(bytes(inner[ICMP].payload)))
            elif inner[ICMP].type == 0:
                self._replies.put(inner[ICMP])
