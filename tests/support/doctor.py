# SPDX-License-Identifier: Apache-2.0
"""What nvo3-doctor says of a host or NVA of a lab."""

import pathlib
import re

from lab.process import run

UTILITIES = pathlib.Path(__file__).resolve().parents[2] / "utilities"


def doctor(place, *options):
    """Its lines, by the directories of the lab."""
    env = {**place.env, "PATH": f"{place.env['PATH']}:{UTILITIES}"}
    done = run(place.inside() + [str(UTILITIES / "nvo3-doctor"), *options], env=env, check=False)
    assert not done.stderr and done.returncode == any(line.startswith("fail") for line in done.stdout.splitlines()), done
    return done.stdout.splitlines()


def found(lines, grade, thing, words=""):
    """The line of a grade about a thing; fails if there is none."""
    for line in lines:
        if line.startswith(f"{grade}: {thing}") and re.search(words, line):
            return line
    raise AssertionError(f"no '{grade}: {thing}... {words}' among {lines}")
