# SPDX-License-Identifier: Apache-2.0
"""Hosts, VMs and protected tunnels in network namespaces, with the product's own daemons.

nvo3-sandbox and the system tests are both made of this package; README.md says what is in which file.
Standard library only, so that a base Debian 12 runs it. Not thread-safe: one thread per Lab.
"""

from .capture import Capture
from .host import Host
from .lab import Lab
from .libvirt import Guest, Hypervisor
from .process import LabError, run, wait_until
from .vm import Vm

__all__ = ["Capture", "Guest", "Host", "Hypervisor", "Lab", "LabError", "Vm", "run", "wait_until"]
