# SPDX-License-Identifier: Apache-2.0
"""A namespace with daemons in Open vSwitch's manner: run directory, pid files, control sockets, logs of its own."""

import json
import os
import pathlib
import signal

from . import net
from .process import LabError, run, wait_until


class Daemons:
    """Directories: run, log, db, pki below `directory`."""

    def __init__(self, name, ns, programs, directory):
        self.name = name
        self.ns = ns
        self.directory = pathlib.Path(directory)
        self.rundir = self.directory / "run"
        self.logdir = self.directory / "log"
        self.dbdir = self.directory / "db"
        self.pkidir = self.directory / "pki"
        self._programs = programs
        self.env = dict(os.environ, OVS_RUNDIR=str(self.rundir), OVS_LOGDIR=str(self.logdir), OVS_DBDIR=str(self.dbdir),
                        OVS_SYSCONFDIR=str(self.directory), PATH=f"{programs.path}:{os.environ.get('PATH', '')}")

    def make_directories(self):
        for directory in (self.rundir, self.logdir, self.dbdir, self.pkidir):
            directory.mkdir(parents=True, exist_ok=True)

    def inside(self):
        """The beginning of a command line that runs here."""
        return net.inside(self.ns)

    def launch(self, argv, environment=None):
        """Starts a daemon with the options that all have; returns when it answers."""
        self.make_directories()
        run(self.inside() + [*argv, "--detach", "--no-chdir", "--pidfile", "--log-file", "-vconsole:off"],
            env=dict(self.env, **(environment or {})))

    def pid(self, daemon):
        """Process id of a daemon here that runs, or None."""
        try:
            pid = int((self.rundir / f"{daemon}.pid").read_text())
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return None
        return pid if state != "Z" else None

    def stop(self, daemon, number=signal.SIGTERM, timeout=10):
        """Ends a daemon by a signal and waits until it is gone; one that does not run is fine."""
        pid = self.pid(daemon)
        if pid is None:
            return
        os.kill(pid, number)
        try:
            wait_until(lambda: self.pid(daemon) is None, f"{daemon} of {self.name} has ended", timeout, interval=0.02)
        except LabError:
            if number == signal.SIGKILL:
                raise
            self.stop(daemon, signal.SIGKILL)

    def kill(self, daemon):
        """kill -9."""
        self.stop(daemon, signal.SIGKILL)

    def run(self, *argv, **options):
        """A command in this namespace, with its Open vSwitch directories."""
        return run(self.inside() + [str(a) for a in argv], env=self.env, **options)

    def appctl(self, *argv, target="ovs-vswitchd", check=True):
        """ovs-appctl; returns what it prints."""
        done = run([self._programs.appctl, "-T", "10", "-t", target, *argv], env=self.env, check=check)
        return done.stdout.strip() if check else (done.stdout + done.stderr).strip()

    def appctl_json(self, *argv, target="ovs-vswitchd"):
        text = self.appctl(*argv, "json", target=target)
        try:
            return json.loads(text)
        except ValueError:
            raise LabError(f"'{' '.join(argv)} json' of {target} on {self.name} printed no JSON: {text[:200]!r}") from None

    def log(self, daemon):
        """Text of a daemon's log."""
        return (self.logdir / f"{daemon}.log").read_text(errors="replace")
