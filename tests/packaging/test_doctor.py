# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v doctor`` looks for the parts of nbdkit that the distributions of this repository use, and for no others."""

from __future__ import annotations

import re
from pathlib import Path

from packaging_site import MEMBERS

_USES = re.compile(r'Nbdkit(Plugin|Filter)\(\s*name="([\w-]+)"')


def code_of(member: Path) -> str:
    return "".join(path.read_text() for path in (member / "src").rglob("*.py") if "testing" not in path.parts)


def used_by(*members: Path) -> set[str]:
    return {f"nbdkit {kind.lower()} {name}" for member in members for kind, name in _USES.findall(code_of(member))}


def test_command_line_looks_for_what_core_uses() -> None:
    from v2v_cli.doctor.nbdkit import probe_nbdkit

    core, local = (member for member in MEMBERS if member.name in {"core", "output_local"})
    probed = {finding.name for finding in probe_nbdkit()} - {"nbdkit"}
    # -o null needs the plugin null, which core asks for whenever it looks for a filter
    assert probed == used_by(core, local)
