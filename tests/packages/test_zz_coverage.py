# SPDX-License-Identifier: Apache-2.0
"""After all others: what no test does is no documentation."""

import pytest

from pages import PAGES, console


def test_every_command_was_done(followed, request):
    modules = {item.path.name for item in request.session.items}
    if request.session.testsfailed or modules != {path.name for path in request.path.parent.glob("test_*.py")}:
        pytest.skip("other tests failed or were left out")
    missing = [f"{page}: {prompt}# {command}" for page in PAGES for prompt, command, _ in console(page) if (page, prompt, command) not in followed]
    assert not missing, missing
