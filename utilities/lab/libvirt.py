# SPDX-License-Identifier: Apache-2.0
"""A hypervisor: a host whose VMs are started by a libvirtd of its own, and those VMs (QEMU under TCG).

All its daemons run in a mount namespace with directories of their own at the standard places, as on a machine of their own.
"""

import functools
import pathlib
import time

from . import kernel, net
from .host import Host
from .process import run, wait_until

PROGRAMS = (("libvirtd", "libvirt-daemon-system"), ("virsh", "libvirt-clients"), ("nsenter", "util-linux"))
HERE = pathlib.Path(__file__).resolve().parent
MODULES = ["virtio_pci", "virtio_net"]
METADATA = "urn:ovs-nvo3:domain:1"
# Kept private to each host, at the places where all of libvirt and its clients look for them.
PLACES = {"libvirt/run": "/run/libvirt", "libvirt/etc": "/etc/libvirt", "libvirt/lib": "/var/lib/libvirt", "libvirt/log": "/var/log/libvirt",
          "run": "/run/openvswitch"}
# Debian's daemon as it is, but for what needs a service manager or cgroups of its own.
LIBVIRTD_CONF = """\
host_uuid = "{uuid}"
auth_unix_ro = "none"
auth_unix_rw = "none"
"""
QEMU_CONF = """\
security_driver = "none"
user = "root"
group = "root"
namespaces = [ ]
cgroup_controllers = [ ]
stdio_handler = "file"
remember_owner = 0
"""


def need():
    """Raises Unavailable where there is no libvirt or QEMU."""
    kernel.need(PROGRAMS)
    kernel.need(kernel.PROGRAMS)


@functools.lru_cache
def images(cache):
    """(kernel image, initramfs) of the guests, made where they are not yet."""
    with kernel.locked(cache) as tree:
        return kernel.image(tree)[0], kernel.initramfs(cache, tree, "libvirt-guest", HERE / "guest-init", MODULES)


class Hypervisor(Host):
    """A Host with libvirtd. `cache` is where kernel, initramfs and libvirt's knowledge of QEMU are kept from run to run."""

    def __init__(self, name, number, programs, prefix, directory, datapath="nvo3", cache=None):
        super().__init__(name, number, programs, prefix, directory, datapath)
        self.cache = pathlib.Path(cache)

    # ---- The mount namespace ----

    @property
    def _holder(self):
        return self.rundir / "holder.pid"

    def hold(self):
        """Makes the namespaces, held by a process that does nothing else."""
        need()
        self.make_directories()
        qemu = self.cache / "libvirt"
        qemu.mkdir(parents=True, exist_ok=True)
        lines = [f"hostname {self.name}", "mount --make-rprivate /"]
        for private, place in {**PLACES, qemu: "/var/cache/libvirt"}.items():
            (self.directory / private).mkdir(parents=True, exist_ok=True)
            pathlib.Path(place).mkdir(parents=True, exist_ok=True)
            lines.append(f"mount --bind '{self.directory / private}' {place}")
        etc = self.directory / "libvirt/etc"
        (etc / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(uuid=f"0a000000-0000-4000-8000-{self.number:012x}"))
        (etc / "qemu.conf").write_text(QEMU_CONF)
        lines.append(f"setsid sleep infinity </dev/null >/dev/null 2>&1 & echo $! >'{self._holder}'")
        run(net.inside(self.ns) + ["unshare", "-m", "-u", "-i", "sh", "-ec", "\n".join(lines)])

    def inside(self):
        if not self._holder.exists():
            return super().inside()
        return ["nsenter", "-t", self._holder.read_text().strip(), "-m", "-u", "-i", "-n"]

    def install_hook(self, wrapper=None):
        """As a package does. `wrapper`: a script of this text in its place, with {hook} for the program. Then libvirtd must be started anew."""
        place = self.directory / "libvirt/etc/hooks/qemu.d/nvo3"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        if wrapper:
            place.write_text(wrapper.format(hook=self._programs.libvirt_hook))
            place.chmod(0o755)
        else:
            place.symlink_to(self._programs.libvirt_hook)

    # ---- Daemons ----

    def start(self, daemon, **options):
        if daemon != "libvirtd":
            return super().start(daemon, **options)
        if not self.pid("libvirtd"):
            run(self.inside() + ["libvirtd", "-d", "-p", self.rundir / "libvirtd.pid"], env=self.env)
            self.virsh("uri")

    def has(self, guest):
        """Whether a guest runs here."""
        return guest.name in self.virsh("list", "--name").split()

    def virsh(self, *argv, check=True, timeout=60):
        """virsh; returns what it prints, without `check` with its errors."""
        done = run(self.inside() + ["virsh", "-q", *argv], env=self.env, check=check, timeout=timeout)
        return done.stdout.strip() if check else (done.stdout + done.stderr).strip()

    def socket(self):
        """libvirtd's, as the other hosts of the lab see it."""
        return self.directory / "libvirt/run/libvirt-sock"

    def qemu_pid(self, guest):
        return int((self.directory / f"libvirt/run/qemu/{guest.name}.pid").read_text())


class Guest:
    """A VM that libvirt runs; its interfaces are `nics`, each (network, address with prefix, and whether it is plugged in later)."""

    def __init__(self, name, number, directory, cache, nics, memory=96, profile=True):
        self.name = name
        self.network = nics[0][0]
        self.uuid = f"aaaaaaaa-0000-4000-8000-{number:012x}"
        self.nics = [Nic(f"52:54:00:00:{index:02x}:{number:02x}", f"ff0cf2db-0000-4000-{0x8000 + index:04x}-{number:012x}", *nic)
                     for index, nic in enumerate(nics)]
        self.address = self.nics[0].address.partition("/")[0]
        self.mac = self.nics[0].mac
        self.console = pathlib.Path(directory) / f"{name}.console"
        self._cache = pathlib.Path(cache)
        self._memory = memory
        self._profile = profile

    def xml(self, metadata=""):
        kernel_image, initramfs = images(self._cache)
        addresses = " ".join(f"lab.{nic.mac.replace(':', '')}={nic.address}" for nic in self.nics)
        interfaces = "".join(nic.xml(self._profile) for nic in self.nics if not nic.later)
        return f"""\
<domain type='qemu'>
  <name>{self.name}</name>
  <uuid>{self.uuid}</uuid>
  {f'<metadata>{metadata}</metadata>' if metadata else ''}
  <memory unit='MiB'>{self._memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{kernel_image}</kernel>
    <initrd>{initramfs}</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 {addresses}</cmdline>
  </os>
  <features><acpi/></features>
  <on_reboot>restart</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type='file'><source path='{self.console}'/></serial>
    <memballoon model='none'/>
    {interfaces}
  </devices>
</domain>
"""

    def metadata(self, *lines):
        """The element of ours; each line is the attributes of one <interface>."""
        return f"<n:networks xmlns:n='{METADATA}'>" + "".join(f"<n:interface {line}/>" for line in lines) + "</n:networks>"

    def define(self, host, metadata=""):
        file = host.directory / f"{self.name}.xml"
        file.write_text(self.xml(metadata))
        host.virsh("define", file)

    def attach(self, host, index):
        """Plugs an interface into the running guest."""
        file = host.directory / f"{self.name}-nic{index}.xml"
        file.write_text(self.nics[index].xml(self._profile))
        host.virsh("attach-device", self.name, file, "--live")

    def detach(self, host, index):
        file = host.directory / f"{self.name}-nic{index}.xml"
        file.write_text(self.nics[index].xml(self._profile))
        host.virsh("detach-device", self.name, file, "--live")

    def wait_boot(self, timeout=30):
        """Waits until the first process of the guest runs."""
        wait_until(lambda: self.console.exists() and "guest is up" in self.console.read_text(errors="replace"),
                   f"guest {self.name} has booted (see {self.console})", timeout, interval=0.1)

    def migrate(self, source, target):
        """Live, to another host; returns how long virsh took."""
        begin = time.monotonic()
        socket = target.directory / "libvirt/migrate.sock"
        socket.unlink(missing_ok=True)
        source.virsh("migrate", "--live", "--persistent", "--undefinesource", self.name,
                     "--desturi", f"qemu+unix:///system?socket={target.socket()}", "--migrateuri", f"unix://{socket}")
        return time.monotonic() - begin


class Nic:
    """One interface of a Guest. Offloads are off: the switch's userspace datapath computes no checksums for others."""

    def __init__(self, mac, tsi, network, address, later=False):
        self.mac = mac
        self.tsi = tsi
        self.network = network
        self.address = address
        self.later = later

    def xml(self, profile=True):
        offloads = "csum='off' tso4='off' tso6='off' ecn='off' ufo='off'"
        return f"""<interface type='bridge'>
      <mac address='{self.mac}'/><source bridge='br-int'/>
      <virtualport type='openvswitch'><parameters interfaceid='{self.tsi}'{f" profileid='{self.network}'" if profile else ''}/></virtualport>
      <model type='virtio'/><rom enabled='no'/>
      <driver name='qemu'><host gso='off' {offloads}/><guest {offloads}/></driver>
    </interface>"""
