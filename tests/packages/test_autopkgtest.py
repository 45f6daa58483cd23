# SPDX-License-Identifier: Apache-2.0
"""debian/tests as Debian runs it: autopkgtest installs the packages on a machine and starts each test."""

import shutil

from pages import TOP


def test_autopkgtest(readers):
    machine = readers({"testbed": "192.0.2.1"}, {}).machines["testbed"]
    for part in ("debian", "utilities"):
        shutil.copytree(TOP / part, machine.root / "root/src" / part, symlinks=True)
    machine.run("apt install autopkgtest")
    done = machine.run("autopkgtest --output-dir=/root/results ./*.deb ./src/ -- null; echo ended with $?; cat results/summary", check=False, timeout=600)
    assert "ended with 0\n" in done.stdout and "two-hosts            PASS" in done.stdout, (done.stdout + done.stderr)[-4000:]
