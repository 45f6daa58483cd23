# SPDX-License-Identifier: Apache-2.0
"""A Linux kernel of Debian's in QEMU (TCG, no KVM needed): the independent peer for ESP in UDP, Geneve and VXLAN.

Kernel and initramfs are made by lab.kernel, with iproute2 and the helpers of guest/ in it. Guest boots it on a
tap in a network namespace and runs shell scripts in it. One thread.
"""

import base64
import os
import pathlib
import re
import select
import shutil
import subprocess
import time

from lab import kernel, run
from lab.kernel import Unavailable  # noqa: F401  (for users of this module)

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = sorted((HERE / "guest").glob("*.c"))

# drbg, sha512 and authenc feed the IV generators, without which ESP's AEADs cannot be set up.
MODULES = """virtio_pci virtio_net udp_tunnel ip6_udp_tunnel geneve vxlan xfrm_user esp4 esp6 sha512_generic drbg authenc
    gcm ghash-generic ctr seqiv echainiv aesni-intel chacha_generic poly1305_generic chacha20poly1305""".split()
# Not in every kernel or on every CPU; an SA that needs them says so in words when it is added.
OPTIONAL = {"aesni-intel", "chacha_generic", "poly1305_generic", "chacha20poly1305"}
VIRTIO_OFF = "".join(f",{name}=off" for name in (
    "csum", "gso", "host_tso4", "host_tso6", "host_ecn", "host_ufo",
    "guest_csum", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo"))


class GuestError(Exception):
    """The guest did not do what it should; str() has its output."""


def builddir():
    return kernel.builddir(os.environ.get("NVO3_BUILDDIR"))


# ---- What it boots ----

def _fill(root):
    for source in SOURCES:
        run([os.environ.get("CC", "gcc"), "-O1", "-Wall", "-static", "-o", root / "bin" / source.stem, source])
    kernel.copy_with_libraries("/usr/sbin/ip" if os.path.exists("/usr/sbin/ip") else shutil.which("ip"), root)


def prepare():
    """(kernel image, initramfs), made where they are not yet; raises Unavailable."""
    cache = kernel.cache(builddir())
    with kernel.locked(cache) as tree:
        return kernel.image(tree)[0], kernel.initramfs(cache, tree, "interop", HERE / "guest/init", MODULES, OPTIONAL, _fill,
                                                       [__file__, *SOURCES])


# ---- The guest ----

class Guest:
    """A running guest whose eth0 is tap `interface` of namespace `ns`. A context manager: leaving it ends QEMU."""

    def __init__(self, ns, interface, mac, log):
        """Boots; returns when the guest takes commands. `log` is a file for its console."""
        image, initramfs = prepare()
        self._log = pathlib.Path(log)
        # setpriv: QEMU must not outlive a test run that is killed.
        argv = ["ip", "netns", "exec", ns, "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64",
                "-accel", "tcg", "-cpu", "max", "-nodefaults", "-no-reboot", "-display", "none", "-m", "256", "-kernel", image, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1",
                "-serial", f"file:{self._log}", "-chardev", "stdio,id=commands,signal=off", "-serial", "chardev:commands",
                "-netdev", f"tap,id=n0,ifname={interface},script=no,downscript=no",
                "-device", f"virtio-net-pci,netdev=n0,mac={mac}{VIRTIO_OFF}"]
        self._qemu = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._buffer = ""
        try:
            self._read_until(r"@@ ready\r?\n", 60, "boot")
        except BaseException:
            self.close()
            raise

    def close(self):
        self._qemu.kill()
        self._qemu.wait()
        self._qemu.stdin.close()
        self._qemu.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read_until(self, pattern, timeout, what):
        """What comes before `pattern`, and the match."""
        deadline = time.monotonic() + timeout
        while not (match := re.search(pattern, self._buffer)):
            ready = select.select([self._qemu.stdout], [], [], max(0, deadline - time.monotonic()))[0]
            data = os.read(self._qemu.stdout.fileno(), 65536) if ready else b""
            if not data:
                console = self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""
                raise GuestError(f"the guest {'ended' if ready else f'said nothing for {timeout} s'} at: {what}\n"
                                 f"{self._buffer}\nconsole: {console}")
            self._buffer += data.decode(errors="replace")
        before = self._buffer[:match.start()]
        self._buffer = self._buffer[match.end():]
        return before, match

    def run(self, script, *, check=True, timeout=30):
        """Runs a shell script in the guest (sh -e; at most about 2 kB) and returns its output. Raises GuestError if it fails."""
        self._qemu.stdin.write(base64.b64encode(script.encode()) + b"\n")
        self._qemu.stdin.flush()
        output, match = self._read_until(r"@@ (\d+)\r?\n", timeout, script)
        if check and match.group(1) != "0":
            raise GuestError(f"exit status {match.group(1)} of guest script\n{script}\n{output}")
        return output.replace("\r", "")

    def ip(self, *lines):
        """Runs iproute2 commands in the guest, one after the other; the first that fails raises GuestError."""
        self.run("/usr/sbin/ip -batch - <<end\n" + "\n".join(lines) + "\nend\n")

    def xfrm_errors(self):
        """Nonzero counters of /proc/net/xfrm_stat."""
        counters = dict(line.split() for line in self.run("cat /proc/net/xfrm_stat").splitlines())
        return {name: int(value) for name, value in counters.items() if int(value)}
