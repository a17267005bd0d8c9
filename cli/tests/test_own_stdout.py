# SPDX-License-Identifier: GPL-2.0-or-later
"""A command that has taken standard output writes to the stream that it got: ``sys.stdout`` leads elsewhere then."""

from __future__ import annotations

from pathlib import Path

import pytest

import v2v_cli

_COMMANDS = sorted(Path(v2v_cli.__file__).parent.glob("*_command*.py"))


@pytest.mark.parametrize("module", _COMMANDS, ids=lambda path: path.stem)
def test_commands_do_not_write_to_sys_stdout(module: Path) -> None:
    assert "sys.stdout.write" not in module.read_text(encoding="utf-8"), "write to own_stdout.stdout()"
