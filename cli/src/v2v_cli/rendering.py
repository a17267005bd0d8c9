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

_STDOUT = 1


def start_messages(
    session: Session,
    messages: Messages,
    *,
    colors: bool = False,
    wrap: bool = False,
    machine_readable: str | None = None,
    json_lines: bool = False,
    events: Events | None = None,
    result_on_stdout: bool = False,
) -> None:
    """Set up the renderers of a session. Standard output is theirs alone from now on (``own_stdout``).

    :param json_lines: whether stdout is for JSON lines alone.
    :param result_on_stdout: whether stdout is for the text that the command was asked for, so that messages go to
        stderr. They also do if ``--events-fd`` is stdout.

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
    lines = sys.stderr if result_on_stdout or (events is not None and events.events_fd == _STDOUT) else stdout
    if channel is not None:
        chosen.append(channel)
    chosen.append(
        Plain(
            session.program,
            # rich shows lines above the bars that are written to sys.stdout
            stdout=None if bars and lines.isatty() else lines,
            quiet=messages.quiet,
            verbose=messages.verbose,
            progress=not bars,
            color=colors or lines.isatty(),
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
