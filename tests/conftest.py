# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests with real daemons (system and interop): labs of their own names and directories, removed whatever happens, their logs kept on failure.

$NVO3_BUILDDIR names the build (default: build/), $NVO3_TEST_LOGS the directory for the logs of failed tests.
"""

import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP / "utilities"), str(TOP / "tests/support")]

from lab import Lab, LabError  # noqa: E402  (needs the path above)

_numbers = itertools.count(1)
_live = []


def pytest_configure(config):
    config.addinivalue_line("markers", "requirement(number, ...): the requirements of tests/requirements.md that a test proves")
    config.addinivalue_line("markers", "alone: measures time or loss, so that nothing else may run meanwhile")


def pytest_collection_modifyitems(items):
    reason = _why_not()
    for item in items:
        for mark in item.iter_markers("requirement"):
            item.user_properties.extend(("requirement", number) for number in mark.args)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def _why_not():
    """Why this machine cannot run system tests, or None."""
    if os.geteuid() != 0:
        return "needs root: it makes network namespaces"
    probe = subprocess.run(["unshare", "-n", "ip", "link", "add", "nvo3a", "type", "veth", "peer", "name", "nvo3b"], capture_output=True, text=True)
    return f"this machine cannot make veth pairs in namespaces: {probe.stderr.strip()}" if probe.returncode else None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed and call.when in ("setup", "call"):
        _keep_logs(item.nodeid)


def _keep_logs(name):
    """Copies what explains a failure before the labs are removed."""
    base = pathlib.Path(os.environ.get("NVO3_TEST_LOGS", TOP / "build" / "test-logs"))
    target = base / re.sub(r"[^A-Za-z0-9_.-]+", "-", name.rpartition("/")[2])
    for lab in _live:
        for host in lab.hosts.values():
            shutil.copytree(host.logdir, target / host.name, dirs_exist_ok=True) if host.logdir.exists() else None
            qemu_logs = host.directory / "libvirt/log"
            shutil.copytree(qemu_logs, target / host.name / "libvirt", dirs_exist_ok=True) if qemu_logs.exists() else None
            for words, call in (("vsctl-show", lambda: host.vsctl("show")), ("nvo3-show", lambda: host.appctl("nvo3/show")),
                                ("sa-list", lambda: host.appctl("nvo3/sa-list")), ("counters", lambda: host.appctl("nvo3/counters")),
                                ("interfaces", lambda: host.vsctl("list", "Interface")),
                                ("peers", lambda: host.appctl("peer/show", target="hvagent")),
                                ("tsis", lambda: host.appctl("tsi/show", target="hvagent")),
                                ("throttle", lambda: host.appctl("throttle/show", target="hvagent"))):
                try:
                    text = call()
                except LabError as error:
                    text = str(error)
                (target / host.name).mkdir(parents=True, exist_ok=True)
                (target / host.name / words).write_text(text + "\n")
        for capture in lab.directory.glob("*.pcap"):
            if capture.stat().st_size < 50_000_000:
                shutil.copy(capture, target)


class _Labs:
    """Makes labs with unique names, and removes them at the end of their scope."""

    def __init__(self):
        self._labs = []

    def __call__(self, wait=True, **options):
        prefix = f"t{os.getpid()}-{next(_numbers)}-"
        directory = tempfile.mkdtemp(prefix="nvo3-test-")
        os.rmdir(directory)
        lab = Lab(prefix=prefix, directory=directory, **options)
        self._labs.append(lab)
        _live.append(lab)
        lab.up(wait)
        return lab

    def close(self):
        for lab in self._labs:
            _live.remove(lab)
            lab.down()


@pytest.fixture
def labs():
    """labs(hosts=2, ...) makes a Lab for one test."""
    maker = _Labs()
    yield maker
    maker.close()


@pytest.fixture(scope="module")
def module_labs():
    """The same for labs that the tests of a module share."""
    maker = _Labs()
    yield maker
    maker.close()
