# SPDX-License-Identifier: GPL-2.0-or-later
"""The renderers of a run, chosen by the options of the user and by whether the streams are terminals."""

from __future__ import annotations

import os
import sys

from v2v_cli.exit import Session
from v2v_cli.options.general import Events, Messages
from v2v_cli.render import Renderer
from v2v_cli.render.plain import Plain
from v2v_core import own_stdout


def start_messages(
    session: Session,
    messages: Messages,
    *,
    colors: bool = False,
    wrap: bool = False,
    machine_readable: str | None = None,
    json_lines: bool = False,
    events: Events | None = None,
) -> None:
    """Set up the renderers of a session. Standard output is theirs alone from now on (``own_stdout``).

    :param json_lines: whether stdout is for JSON lines alone.

    :raises UsageError: the channel of ``--machine-readable`` or ``--events-fd`` cannot be opened.
    """
    session.prints = False
    session.verbose, session.color = messages.verbose, colors or sys.stderr.isatty()
    channel = None
    if machine_readable is not None:
        from v2v_cli.render.machine import MachineReadable, open_channel

        # before standard output is taken: /dev/stdout leads there, too
        channel = MachineReadable(open_channel(machine_readable))
    stdout = own_stdout.take()
    if messages.trace:
        os.environ["LIBGUESTFS_TRACE"] = "1"
    if json_lines:
        from v2v_cli.render.machine import JsonLines

        session.renderers = [JsonLines(stdout)]
        return
    chosen: list[Renderer] = []
    bars = not messages.quiet and sys.stderr.isatty()
    if channel is not None:
        chosen.append(channel)
    chosen.append(
        Plain(
            session.program,
            # rich shows lines above the bars that are written to sys.stdout
            stdout=None if bars and stdout.isatty() else stdout,
            quiet=messages.quiet,
            verbose=messages.verbose,
            progress=not bars,
            color=colors or stdout.isatty(),
            wrap=wrap,
        )
    )
    if bars:
        from v2v_cli.render.bars import Bars

        chosen.append(Bars())
    if events is not None and events.events_fd is not None:
        from v2v_cli.render.machine import JsonLines, open_descriptor

        chosen.append(JsonLines(open_descriptor(events.events_fd, f"--events-fd {events.events_fd}")))
    session.renderers = chosen
