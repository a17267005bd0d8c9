# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``v2v doctor`` looks for is what the distributions of this repository use."""

from __future__ import annotations

import re

from packaging_site import MEMBERS
from v2v_cli.doctor import nbdkit


def test_parts_of_nbdkit_that_are_looked_for_are_those_that_are_used() -> None:
    code = "".join(
        path.read_text() for member in MEMBERS for path in (member / "src").rglob("*.py") if "testing" not in path.parts
    )
    used = {
        (kind, name) for kind in ("Plugin", "Filter") for name in re.findall(rf'Nbdkit{kind}\(\s*name="([\w-]+)"', code)
    }
    probed = {("Plugin", name) for name, *_ in nbdkit._PLUGINS} | {("Filter", name) for name in nbdkit._FILTERS}
    assert used == probed
