# SPDX-License-Identifier: Apache-2.0
"""Commands and conditions. Every failure is a LabError whose text a newcomer can act on."""

import shlex
import subprocess
import time


class LabError(Exception):
    """Something outside went wrong; str() is a sentence for the user."""


def run(argv, *, check=True, timeout=60, env=None, text_input=None):
    """Runs a command to its end and returns the CompletedProcess, output as text.

    Raises LabError if it cannot be started, lasts longer than `timeout` seconds, or fails while `check`.
    """
    argv = [str(a) for a in argv]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=timeout, env=env,
                              input=text_input, stdin=subprocess.DEVNULL if text_input is None else None)
    except FileNotFoundError as error:
        raise LabError(f"{error.filename or argv[0]} not found: run utilities/install-deps and build first") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"'{shlex.join(argv)}' did not end within {timeout} s") from None
    if check and done.returncode != 0:
        words = (done.stderr or done.stdout).strip() or "no output"
        raise LabError(f"'{shlex.join(argv)}' failed with exit status {done.returncode}: {words}")
    return done


def wait_until(predicate, what, timeout=20.0, interval=0.05):
    """Calls `predicate` until it returns something true, and returns that.

    `what` ends the sentence "gave up after N s waiting until ...": a text, or a function that makes one at the end.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"gave up after {timeout:g} s waiting until {what() if callable(what) else what}")
        time.sleep(interval)
