# SPDX-License-Identifier: GPL-2.0-or-later
"""Which renderers a run has, by what the user asked for and where the streams go."""

from __future__ import annotations

import sys

from v2v_cli.render import Renderer
from v2v_cli.render.plain import Plain


def renderers(
    program: str,
    *,
    quiet: bool = False,
    verbose: bool = False,
    colors: bool = False,
    wrap: bool = False,
    machine_readable: str | None = None,
    json_lines: bool = False,
) -> list[Renderer]:
    """Make the renderers of a run; stdout is for JSON lines alone where those were asked for.

    :raises UsageError: the channel of ``--machine-readable`` cannot be opened.
    """
    if json_lines:
        from v2v_cli.render.machine import JsonLines

        return [JsonLines(sys.stdout)]
    chosen: list[Renderer] = []
    bars = not quiet and sys.stderr.isatty()
    if machine_readable is not None:
        from v2v_cli.render.machine import MachineReadable, open_channel

        chosen.append(MachineReadable(open_channel(machine_readable)))
    chosen.append(
        Plain(
            program,
            quiet=quiet,
            verbose=verbose,
            progress=not bars,
            color=colors or sys.stdout.isatty(),
            wrap=wrap,
        )
    )
    if bars:
        from v2v_cli.render.bars import Bars

        chosen.append(Bars())
    return chosen
