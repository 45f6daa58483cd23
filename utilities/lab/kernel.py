# SPDX-License-Identifier: Apache-2.0
"""What a guest boots: a kernel of Debian's, fetched by apt once per cache directory, and an initramfs made for a purpose.

The guests run under TCG: no KVM is needed.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

from .process import LabError, run

META_PACKAGE = "linux-image-cloud-amd64"
PROGRAMS = (("qemu-system-x86_64", "qemu-system-x86"), ("cpio", "cpio"), ("modprobe", "kmod"), ("depmod", "kmod"), ("busybox", "busybox-static"))


class Unavailable(LabError):
    """QEMU or the kernel package cannot be had on this machine; str() says why."""


def need(programs):
    """Raises Unavailable if one of (program, Debian package) is not there."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    for program, package in programs:
        if not shutil.which(program, path=path):
            raise Unavailable(f"{program} is not installed (package {package})")


def builddir(name=None):
    """The build directory of that name, or else the usual one."""
    return pathlib.Path(name or pathlib.Path(__file__).resolve().parents[2] / "build").resolve()


def cache(build):
    """Where a build directory keeps what is fetched and made once."""
    return build / "tests/guest-cache"


# ---- The kernel ----

def _package_name():
    """The package with the kernel that META_PACKAGE stands for at present, or None."""
    done = subprocess.run(["apt-cache", "depends", META_PACKAGE], capture_output=True, text=True)
    match = re.search(r"Depends: (linux-image-\S+)", done.stdout)
    return match and match.group(1)


def _fetch(cache):
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
    run(["dpkg", "-x", next(download.glob("*.deb")), tree])
    run(["depmod", "-b", tree, image(tree)[1]])
    shutil.rmtree(download)
    return tree


def image(tree):
    """(kernel image, its release) below `tree`."""
    found = next((tree / "boot").glob("vmlinuz-*"))
    return found, found.name.removeprefix("vmlinuz-")


@contextlib.contextmanager
def locked(cache):
    """The directory with the kernel package, unpacked in `cache` when it is not yet; one process at a time."""
    need(PROGRAMS)
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tree = cache / "kernel"
        if not tree.exists():
            _fetch(cache).rename(tree)
        yield tree


# ---- The initramfs ----

def copy_with_libraries(program, root):
    """Copies a program and what ldd names to the same paths below `root`."""
    files = [program] + re.findall(r"(/\S+)", run(["ldd", program]).stdout)
    for file in dict.fromkeys(files):
        target = root / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


def _copy_modules(tree, modules, optional, root):
    """Copies the modules and what they depend on; their load order goes to /etc/modules.order."""
    order = {}
    for module in modules:
        done = subprocess.run(["modprobe", "-d", tree, "-S", image(tree)[1], "--show-depends", module], capture_output=True, text=True)
        if done.returncode and module not in optional:
            raise LabError(f"the kernel package has no module {module}: {done.stderr.strip()}")
        order.update(dict.fromkeys(re.findall(r"^insmod (\S+)", done.stdout, re.MULTILINE)))
    (root / "modules").mkdir()
    for path in order:
        shutil.copy(path, root / "modules")
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/modules.order").write_text("".join(pathlib.Path(path).name + "\n" for path in order))


def initramfs(cache, tree, name, init, modules, optional=(), fill=None, sources=()):
    """An initramfs called `name` with busybox, `init` and `modules`, made anew when one of them or of `sources` changes.

    `fill(root)` puts more into it. Call it within locked().
    """
    busybox = shutil.which("busybox")
    if subprocess.run(["ldd", busybox], capture_output=True).returncode == 0:
        raise Unavailable("no statically linked busybox: install busybox-static")
    digest = hashlib.sha256(" ".join(modules).encode())
    for file in (__file__, init, *sources):
        digest.update(pathlib.Path(file).read_bytes())
    target = cache / f"{name}-{image(tree)[1]}-{digest.hexdigest()[:16]}"
    if target.exists():
        return target
    for old in cache.glob(f"{name}-*"):
        old.unlink()
    root = cache / "root"
    shutil.rmtree(root, ignore_errors=True)
    (root / "bin").mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    shutil.copy(init, root / "init")
    os.chmod(root / "init", 0o755)
    if fill:
        fill(root)
    _copy_modules(tree, modules, optional, root)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*"))) + "\n"
    new = target.with_suffix(".new")
    with open(new, "wb") as file:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], input=names.encode(), cwd=root, stdout=file, check=True)
    new.rename(target)
    shutil.rmtree(root)
    return target
