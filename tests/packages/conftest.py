# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of the packages: an image, machines made of it, and who does what a page says.

$NVO3_DEBS: directory with the packages. $NVO3_IMAGE: directory where the image is kept for the next time; without it each run makes one.
"""

import contextlib
import itertools
import os
import pathlib
import shutil
import tempfile

import pytest

from lab import LabError, wait_until
from machine import Image, Machines
from pages import console

_numbers = itertools.count(1)
# What pages install, and what their machines have before.
DEBIAN = ["openvswitch-switch", "openvswitch-ipsec", "prometheus", "prometheus-node-exporter", "graphviz", "autopkgtest", "dpkg-dev"]


@pytest.fixture(scope="session")
def image():
    debs, kept = os.environ.get("NVO3_DEBS"), os.environ.get("NVO3_IMAGE")
    assert debs, "NVO3_DEBS names no directory with packages: use tests/run-packages"
    directory = pathlib.Path(kept or tempfile.mkdtemp(prefix="nvo3-image-"))
    try:
        made = Image(directory, debs)
        made.make(DEBIAN)
        yield made
    finally:
        if not kept:
            shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def followed():
    """(page, prompt, command) of all that was done."""
    return set()


class Reader:
    """Does on machines what pages say. `names`: the machines of each prompt."""

    def __init__(self, machines, names, followed):
        self.machines = machines
        self._names = names
        self._followed = followed

    def follow(self, page, sections=None, only=None, since="", until=None, names=None, replace=()):
        """The page's commands in their order, from the first with `since` in it up to the next with `until`; of `only` these prompts.
        What a page says comes of a command must come, soon.

        `names`: machines of prompts for once; `replace`: pairs of words that are others here. Returns [(machine, command, output)].
        """
        done, begun = [], False
        for prompt, command, output in console(page, sections):
            begun |= since in command
            if not begun:
                continue
            if until and until in command:
                break
            if only and prompt not in only:
                continue
            self._followed.add((page, prompt, command))
            for old, new in replace:
                command = command.replace(old, new)
            for name in {**self._names, **(names or {})}[prompt]:
                done.append((name, command, self._do(page, self.machines[name], command, output)))
        assert done, (page, sections, only)
        return done

    def _do(self, page, machine, command, output):
        if output or command == "nvo3-doctor -q":
            # Keys, a session or a leader may take a moment.
            wait_until(lambda: told(machine, command) == (0, output),
                       lambda: f"'{command}' of {page} on {machine.name} prints {output}, not {told(machine, command)}", timeout=60)
            return "\n".join(output)
        if " ping " in command:
            # The first packets may find no keys yet.
            return wait_until(lambda: _answered(machine, command), f"'{command}' of {page} on {machine.name} loses nothing", timeout=60)
        try:
            return machine.run(command).stdout
        except LabError as error:
            raise LabError(f"{page} on {machine.name}: {command}: {error}") from None


def _answered(machine, command):
    """What a ping prints, if all is answered."""
    printed = machine.run(command, check=False).stdout
    return " 0% packet loss" in printed and printed


def told(machine, command):
    """(exit status, lines) of a command; of the doctor those that fail, for its warnings are of the machine, or chosen."""
    done = machine.run(command, check=False)
    return done.returncode, [line for line in done.stdout.splitlines() if not line.startswith("warn: ")]


@pytest.fixture(scope="module")
def readers(image, followed):
    """readers(addresses, names) boots machines with what a Debian has that is no part of a page."""
    with contextlib.ExitStack() as live:
        def make(addresses, names):
            directory = pathlib.Path(tempfile.mkdtemp(prefix="nvo3-machines-"))
            machines = Machines(image, f"t{os.getpid()}-{next(_numbers)}-", directory, addresses)
            live.callback(machines.close)
            machines.up()
            return Reader(machines, names, followed)
        yield make
