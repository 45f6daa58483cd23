# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the interoperability tests. $NVO3_BUILDDIR names the build (default: build/)."""

import itertools
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import guest as guest_module  # noqa: E402  (needs the path above)

_numbers = itertools.count(1)


def run(*argv):
    subprocess.run([str(a) for a in argv], check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def guest_images():
    """Skips where no guest can be had; makes what the guest boots."""
    try:
        return guest_module.prepare()
    except guest_module.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def tap_namespace():
    """A namespace with a tap `guest0` and without any address, removed afterwards."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes network namespaces")
    ns = f"nvo3-interop-{os.getpid()}-{next(_numbers)}"
    run("ip", "netns", "add", ns)
    try:
        inside = ["ip", "netns", "exec", ns]
        run(*inside, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        run(*inside, "ip", "tuntap", "add", "dev", "guest0", "mode", "tap")
        run("ip", "-n", ns, "link", "set", "guest0", "up")
        yield ns
    finally:
        run("ip", "netns", "del", ns)
