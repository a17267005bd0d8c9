# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run has created: a line for each file, disk or virtual machine, at the very end of its output."""

from __future__ import annotations

from collections.abc import Iterable

from v2v_cli.render.streams import sanitize_created
from v2v_core import own_stdout


def write_created(created: Iterable[str]) -> None:
    """Write the lines to standard output."""
    stdout = own_stdout.stdout()
    stdout.write("".join(f"created {sanitize_created(name, stdout)}\n" for name in created))
