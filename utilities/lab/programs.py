# SPDX-License-Identifier: Apache-2.0
"""Where the programs of the lab are: in a build directory, or installed."""

import dataclasses
import os
import pathlib
import re
import shutil

from .process import LabError

TOP = pathlib.Path(__file__).resolve().parents[2]
SWITCH_DIRECTORIES = ("/usr/lib/openvswitch-switch-nvo3", "/usr/local/lib/openvswitch-switch-nvo3",
                      "/usr/lib/x86_64-linux-gnu/openvswitch-switch-nvo3")

HOOKS = ("/usr/libexec/ovs-nvo3/nvo3-libvirt-hook", "/usr/local/libexec/ovs-nvo3/nvo3-libvirt-hook")


@dataclasses.dataclass(frozen=True)
class Programs:
    """Absolute paths; `path` is what $PATH starts with inside the lab."""

    vswitchd: str
    hvagent: str
    nva: str
    nvactl: str
    ovsdb_server: str
    ovsdb_tool: str
    vsctl: str
    appctl: str
    ofctl: str
    pki: str
    libvirt_hook: str
    schema: str
    nva_schema: str
    path: str

    @staticmethod
    def find(builddir=None, needed=True):
        """Programs of `builddir`, $NVO3_BUILDDIR or TOP/build, else the installed ones; LabError if one is missing and `needed`."""
        builddir = builddir or os.environ.get("NVO3_BUILDDIR")
        if builddir is None and (TOP / "build" / "Makefile").exists():
            builddir = TOP / "build"
        found = _built(pathlib.Path(builddir).resolve()) if builddir else _installed()
        for field in dataclasses.fields(found) if needed else ():
            name = getattr(found, field.name)
            if field.name != "path" and not (name and os.path.exists(name)):
                raise LabError(f"{field.name} is missing ({name or 'not in PATH'}): build first (utilities/nvo3-sandbox up does), "
                               "or set NVO3_BUILDDIR to a finished build directory")
        return found


def _built(builddir):
    makefile = builddir / "Makefile"
    match = re.search(r"^OVS_BUILD = (.+)$", makefile.read_text() if makefile.exists() else "", re.MULTILINE)
    ovs = pathlib.Path(match.group(1)) if match else builddir / "ovs"
    parts = [builddir / "ovs-ext/vswitchd", builddir / "hvagent", builddir / "nva", TOP / "utilities", ovs / "utilities", ovs / "ovsdb"]
    return Programs(vswitchd=str(parts[0] / "ovs-vswitchd"), hvagent=str(parts[1] / "hvagent"), pki=str(TOP / "utilities/nvo3-pki"),
                    libvirt_hook=str(builddir / "utilities/libvirt-hook/nvo3-libvirt-hook"),
                    nva=str(builddir / "nva/nvo3-nva"), nvactl=str(builddir / "nva/nvo3-nvactl"), nva_schema=str(TOP / "nva/nvo3.ovsschema"),
                    ovsdb_server=str(ovs / "ovsdb/ovsdb-server"), ovsdb_tool=str(ovs / "ovsdb/ovsdb-tool"),
                    vsctl=str(ovs / "utilities/ovs-vsctl"), appctl=str(ovs / "utilities/ovs-appctl"),
                    ofctl=str(ovs / "utilities/ovs-ofctl"), schema=str(ovs / "vswitchd/vswitch.ovsschema"),
                    path=":".join(map(str, parts)))


def _installed():
    switch = next((d for d in SWITCH_DIRECTORIES if os.path.exists(f"{d}/ovs-vswitchd")), None)
    which = {name: shutil.which(name) or "" for name in
             ("hvagent", "nvo3-nva", "nvo3-nvactl", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-appctl", "ovs-ofctl", "nvo3-pki")}
    return Programs(vswitchd=f"{switch}/ovs-vswitchd" if switch else "", hvagent=which["hvagent"], pki=which["nvo3-pki"],
                    libvirt_hook=next((f for f in HOOKS if os.path.exists(f)), ""),
                    nva=which["nvo3-nva"], nvactl=which["nvo3-nvactl"], nva_schema="/usr/share/openvswitch/nvo3.ovsschema",
                    ovsdb_server=which["ovsdb-server"], ovsdb_tool=which["ovsdb-tool"], vsctl=which["ovs-vsctl"],
                    appctl=which["ovs-appctl"], ofctl=which["ovs-ofctl"],
                    schema="/usr/share/openvswitch/vswitch.ovsschema", path=switch or "")
