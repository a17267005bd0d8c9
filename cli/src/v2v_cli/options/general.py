# SPDX-License-Identifier: GPL-2.0-or-later
"""Options about the run itself: messages, events, the report, the conversion directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from v2v_cli.options.declaration import Group, Use, flag, option
from v2v_cli.options.values import at_least, path
from v2v_core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Messages(Group):
    """How much is written to the terminal."""

    panel: ClassVar = "General"

    quiet: Annotated[bool, flag("--quiet", "-q", help="Write warnings and errors only.")] = False
    verbose: Annotated[bool, flag("--verbose", "-v", help="Write debug messages to standard error, too.")] = False
    trace: Annotated[bool, flag("-x", help="Write every call of libguestfs to the log of the conversion.")] = False


@dataclass(frozen=True, kw_only=True)
class Json(Group):
    """Output for programs."""

    panel: ClassVar = "General"

    json: Annotated[bool, flag("--json", help="Write JSON, and nothing else, to standard output.")] = False


@dataclass(frozen=True, kw_only=True)
class Events(Group):
    """The events of a step for the supervisor that started it."""

    panel: ClassVar = "General"

    events_fd: Annotated[
        int | None,
        option(
            "--events-fd",
            metavar="N",
            parse=at_least(0),
            help="File descriptor that the events are written to, as JSON lines.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Directory(Group):
    """The conversion directory."""

    panel: ClassVar = "General"

    directory: Annotated[
        Path | None,
        option(
            "--dir",
            metavar="DIR",
            parse=path,
            help="Conversion directory: what the steps of a run leave for each other. 'v2v convert' makes one of its "
            "own if not given.",
        ),
    ] = None

    def required(self) -> Path:
        """Return the directory.

        :raises UsageError: none was given.
        """
        if self.directory is None:
            raise UsageError("the option --dir is missing", hint="name the conversion directory with --dir DIR")
        return self.directory


@dataclass(frozen=True, kw_only=True)
class Report(Group):
    """The report of a run."""

    panel: ClassVar = "General"

    report: Annotated[
        Path | None,
        option(
            "--report",
            metavar="FILE",
            parse=path,
            help="File for a report of what was done: JSON if its name ends in .json, text if not; '-' is standard "
            "output.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Observers(Group):
    """Plugins that watch a run."""

    panel: ClassVar = "General"

    observers: Annotated[
        tuple[str, ...],
        option(
            "--observer",
            metavar="NAME",
            modes="observer",
            use=Use.EACH,
            help="Plugin that gets every event of the run. Repeatable.",
        ),
    ] = ()
