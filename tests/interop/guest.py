# SPDX-License-Identifier: Apache-2.0
"""A Linux kernel of Debian's in QEMU (TCG, no KVM needed): the independent peer for ESP in UDP, Geneve and VXLAN.

The kernel package comes by apt, once per build directory; an initramfs with busybox, iproute2 and the helpers of guest/ is
made from it. Guest boots it on a tap in a network namespace and runs shell scripts in it. One thread.
"""

import base64
import fcntl
import hashlib
import os
import pathlib
import re
import select
import shutil
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
META_PACKAGE = "linux-image-cloud-amd64"
# Debian packages that this module needs, besides a C compiler with the static C library.
PACKAGES = "qemu-system-x86 busybox-static cpio kmod iproute2"

# drbg, sha512 and authenc feed the IV generators, without which ESP's AEADs cannot be set up.
MODULES = """virtio_pci virtio_net udp_tunnel ip6_udp_tunnel geneve vxlan xfrm_user esp4 esp6 sha512_generic drbg authenc
    gcm ghash-generic ctr seqiv echainiv aesni-intel chacha_generic poly1305_generic chacha20poly1305""".split()
# Not in every kernel or on every CPU; an SA that needs them says so in words when it is added.
OPTIONAL = {"aesni-intel", "chacha_generic", "poly1305_generic", "chacha20poly1305"}
VIRTIO_OFF = "".join(f",{name}=off" for name in (
    "csum", "gso", "host_tso4", "host_tso6", "host_ecn", "host_ufo",
    "guest_csum", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo"))


class Unavailable(Exception):
    """QEMU or the kernel package cannot be had on this machine; str() says why."""


class GuestError(Exception):
    """The guest did not do what it should; str() has its output."""


def build_dir():
    return pathlib.Path(os.environ.get("NVO3_BUILDDIR", HERE.parents[1] / "build")).resolve()


# ---- The kernel ----

def _run(argv, **options):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        raise GuestError(f"'{' '.join(map(str, argv))}' failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _package_name():
    """The package with the kernel that META_PACKAGE stands for at present, or None."""
    done = subprocess.run(["apt-cache", "depends", META_PACKAGE], capture_output=True, text=True)
    match = re.search(r"Depends: (linux-image-\S+)", done.stdout)
    return match and match.group(1)


def _fetch_kernel(cache):
    """Downloads and unpacks the kernel package below `cache`; returns the directory."""
    if os.uname().machine != "x86_64":
        raise Unavailable("the guest is x86-64 and this machine is not")
    if not shutil.which("apt-get"):
        raise Unavailable("no apt-get: the guest kernel is a Debian package")
    name = _package_name()
    download = cache / "download"
    shutil.rmtree(download, ignore_errors=True)
    download.mkdir()
    for attempt in range(2):
        if name and subprocess.run(["apt-get", "-q", "download", name], cwd=download, capture_output=True).returncode == 0:
            break
        if attempt == 0:    # lists that are missing or older than the archive
            subprocess.run(["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", "update"], capture_output=True)
            name = _package_name()
    else:
        raise Unavailable(f"apt-get cannot download {name or META_PACKAGE}")
    tree = cache / "kernel.new"
    shutil.rmtree(tree, ignore_errors=True)
    _run(["dpkg", "-x", next(download.glob("*.deb")), tree])
    _run(["depmod", "-b", tree, _image(tree)[1]])
    shutil.rmtree(download)
    return tree


def _image(tree):
    """(kernel image, its release) below `tree`."""
    image = next((tree / "boot").glob("vmlinuz-*"))
    return image, image.name.removeprefix("vmlinuz-")


# ---- The initramfs ----

def _copy_with_libraries(program, root):
    """Copies a program and what ldd names to the same paths below `root`."""
    files = [program] + re.findall(r"(/\S+)", _run(["ldd", program]))
    for file in dict.fromkeys(files):
        target = root / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


def _copy_modules(tree, release, root):
    """Copies the modules and what they depend on; their load order goes to /etc/modules.order."""
    order = {}
    for module in MODULES:
        done = subprocess.run(["modprobe", "-d", tree, "-S", release, "--show-depends", module], capture_output=True, text=True)
        if done.returncode and module not in OPTIONAL:
            raise GuestError(f"the kernel package has no module {module}: {done.stderr.strip()}")
        order.update(dict.fromkeys(re.findall(r"^insmod (\S+)", done.stdout, re.MULTILINE)))
    (root / "modules").mkdir()
    for path in order:
        shutil.copy(path, root / "modules")
    (root / "etc").mkdir()
    (root / "etc/modules.order").write_text("".join(pathlib.Path(path).name + "\n" for path in order))


def _make_initramfs(cache, tree, target):
    busybox = shutil.which("busybox")
    if not busybox or subprocess.run(["ldd", busybox], capture_output=True).returncode == 0:
        raise Unavailable("no statically linked busybox: install busybox-static")
    root = cache / "root"
    shutil.rmtree(root, ignore_errors=True)
    (root / "bin").mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    shutil.copy(HERE / "guest/init", root / "init")
    for source in (HERE / "guest").glob("*.c"):
        _run([os.environ.get("CC", "gcc"), "-O1", "-Wall", "-static", "-o", root / "bin" / source.stem, source])
    _copy_with_libraries("/usr/sbin/ip" if os.path.exists("/usr/sbin/ip") else shutil.which("ip"), root)
    _copy_modules(tree, _image(tree)[1], root)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*"))) + "\n"
    new = target.with_suffix(".new")
    with open(new, "wb") as file:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], input=names.encode(), cwd=root, stdout=file, check=True)
    new.rename(target)
    shutil.rmtree(root)


def prepare():
    """(kernel image, initramfs), made where they are not yet; raises Unavailable."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    for program, package in (("qemu-system-x86_64", "qemu-system-x86"), ("cpio", "cpio"), ("modprobe", "kmod"), ("depmod", "kmod")):
        if not shutil.which(program, path=path):
            raise Unavailable(f"{program} is not installed (package {package}; all of them: {PACKAGES})")
    cache = build_dir() / "tests/interop/cache"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tree = cache / "kernel"
        if not tree.exists():
            _fetch_kernel(cache).rename(tree)
        image, release = _image(tree)
        sources = hashlib.sha256(pathlib.Path(__file__).read_bytes())
        for file in sorted((HERE / "guest").iterdir()):
            sources.update(file.read_bytes())
        initramfs = cache / f"initramfs-{release}-{sources.hexdigest()[:16]}"
        if not initramfs.exists():
            for old in cache.glob("initramfs-*"):
                old.unlink()
            _make_initramfs(cache, tree, initramfs)
    return image, initramfs


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
