# SPDX-License-Identifier: Apache-2.0
"""A small OpenFlow 1.4 controller that a switch connects to (ovs-vsctl set-controller BRIDGE tcp:127.0.0.1:PORT).

It listens in the namespace of a host, in a process of its own, and does what its standard input says: each line is a message without its
header, "TYPE BODY" with TYPE in decimal and BODY in hexadecimal. For each it prints "ok", or "error TYPE CODE", before it takes the next.
"""

import socket
import struct
import subprocess
import sys

VERSION = 5     # OpenFlow 1.4
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FLOW_MOD, BARRIER_REQUEST, BARRIER_REPLY = 0, 1, 2, 3, 14, 20, 21
ANY = 0xffffffff
ADD, DELETE = 0, 3


def flow(command=ADD, table=0, priority=0, cookie=0, match=b"", instructions=b""):
    """The body of a flow mod. `match` are OXM fields."""
    size = 4 + len(match)
    return struct.pack("!QQBBHHHIIIHH", cookie, 0, table, command, 0, 0, priority, ANY, ANY, ANY, 0, 0) \
        + struct.pack("!HH", 1, size) + match + bytes(-size % 8) + instructions


def in_port(port):
    return struct.pack("!HBBI", 0x8000, 0, 4, port)


def tunnel_id(vni):
    return struct.pack("!HBBQ", 0x8000, 38 << 1, 8, vni)


def apply(*actions):
    body = b"".join(actions)
    return struct.pack("!HHI", 4, 8 + len(body), 0) + body


def goto(table):
    return struct.pack("!HHBBBB", 1, 8, table, 0, 0, 0)


def output(port):
    return struct.pack("!HHIHHI", 0, 16, port, 0xffff, 0, 0)


def set_tunnel(vni):
    field = tunnel_id(vni)
    size = 4 + len(field)
    return struct.pack("!HH", 25, size + -size % 8) + field + bytes(-size % 8)


class Controller:
    """The controller of one switch; `port` is where it listens. Starts when it is made, waits for the switch with connected()."""

    def __init__(self, ns, port=6653):
        self._process = subprocess.Popen(["ip", "netns", "exec", ns, sys.executable, __file__, str(port)], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)
        assert self._line() == "listening"

    def _line(self):
        return self._process.stdout.readline().strip()

    def connected(self):
        assert self._line() == "connected"

    def send(self, kind, body):
        """None, or (type, code) of the error that came back."""
        self._process.stdin.write(f"{kind} {body.hex()}\n")
        self._process.stdin.flush()
        words = self._line().split()
        assert words, "the controller has ended"
        return None if words[0] == "ok" else (int(words[1]), int(words[2]))

    def flow(self, **values):
        return self.send(FLOW_MOD, flow(**values))

    def close(self):
        self._process.stdin.close()
        self._process.wait(5)


class _Connection:
    def __init__(self, stream):
        self._stream = stream
        self._data = b""
        self._send(HELLO, 0, struct.pack("!HHI", 1, 8, 1 << VERSION))

    def _send(self, kind, xid, body=b""):
        self._stream.sendall(struct.pack("!BBHI", VERSION, kind, 8 + len(body), xid) + body)

    def _receive(self):
        while len(self._data) < 8 or len(self._data) < int.from_bytes(self._data[2:4], "big"):
            part = self._stream.recv(65536)
            if not part:
                raise EOFError
            self._data += part
        size = int.from_bytes(self._data[2:4], "big")
        message, self._data = self._data[:size], self._data[size:]
        return message[1], int.from_bytes(message[4:8], "big"), message[8:]

    def ask(self, xid, kind, body):
        """What became of a message: an error, or the answer of the barrier behind it."""
        self._send(kind, xid, body)
        self._send(BARRIER_REQUEST, xid + 1)
        found = "ok"
        while True:
            got, number, words = self._receive()
            if got == ECHO_REQUEST:
                self._send(ECHO_REPLY, number, words)
            elif got == ERROR and number == xid:
                found = "error {} {}".format(*struct.unpack("!HH", words[:4]))
            elif got == BARRIER_REPLY and number == xid + 1:
                return found


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    print("listening", flush=True)
    stream, _ = listener.accept()
    connection = _Connection(stream)
    print("connected", flush=True)
    for number, line in enumerate(sys.stdin):
        kind, _, body = line.strip().partition(" ")
        print(connection.ask(2 * number + 2, int(kind), bytes.fromhex(body)), flush=True)


if __name__ == "__main__":
    main()
