# SPDX-License-Identifier: Apache-2.0
"""The commands of the documentation: of fenced blocks marked console, where a line "PROMPT# command" begins one and lines without are what it prints."""

import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGES = [path.relative_to(TOP).as_posix() for path in sorted(TOP.glob("doc/**/*.md"))]


def console(page, sections=None):
    """(prompt, command, lines of output) of a page's console blocks, in their order; a here-document is part of its command.

    `sections`: only those whose heading begins with one of these words.
    """
    parts = re.split(r"^## (.*)$", (TOP / page).read_text(), flags=re.MULTILINE)
    for heading, text in [("", parts[0]), *zip(parts[1::2], parts[2::2])]:
        if sections is None or heading.startswith(tuple(sections)):
            for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
                yield from _entries(block)


def _entries(block):
    entries, until = [], None
    for line in block.splitlines():
        match = re.match(r"(\w+)# (.*)", line)
        if until is not None:
            entries[-1][1].append(line)
            until = None if line == until else until
        elif match:
            entries.append((match.group(1), [match.group(2)], []))
            here = re.search(r"<<'?(\w+)'?", match.group(2))
            until = here.group(1) if here else None
        elif entries[-1][1][-1].endswith("\\"):
            entries[-1][1].append(line)
        else:
            entries[-1][2].append(line)
    for prompt, lines, output in entries:
        yield prompt, "\n".join(lines), output
