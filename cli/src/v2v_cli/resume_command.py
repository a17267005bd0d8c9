# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v resume``."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from v2v_cli.exit import Session
from v2v_cli.options.conversion import Conversion
from v2v_cli.options.copying import Copying
from v2v_cli.options.declaration import Argument, Group, Offer, flag
from v2v_cli.options.destination import Destination
from v2v_cli.options.general import Json, Messages, Report
from v2v_cli.options.source import Source
from v2v_cli.options.values import keys_in, path
from v2v_cli.render.created import write_created
from v2v_core import own_stdout
from v2v_core.errors import UsageError

if TYPE_CHECKING:
    from v2v_core.conversion_dir import ConversionDir


@dataclass(frozen=True, kw_only=True)
class Interrupted(Group):
    """The conversion to go on with."""

    directory: Annotated[
        Path, Argument(metavar="DIR", parse=path, help="The directory that the conversion was given with --dir.")
    ]
    take_over: Annotated[
        bool,
        flag(
            "--take-over",
            help="Kill the process that works on the directory, with all that it has started, and go on in its place. "
            "For one that hangs.",
        ),
    ] = field(default=False)


def _others(group: type[Group], *offered: str) -> tuple[str, ...]:
    """Return the names of the fields of a group that this command does not have."""
    return tuple(one.name for one in fields(group) if one.name not in offered)  # type: ignore[arg-type]


def resume(
    session: Session,
    interrupted: Interrupted,
    source: Annotated[Source, Offer(without=_others(Source, "options"), defaults={"mode": "disk"})],
    destination: Annotated[Destination, Offer(without=_others(Destination, "options"), defaults={"mode": "local"})],
    conversion: Annotated[Conversion, Offer(without=_others(Conversion, "keys", "keys_from_stdin"))],
    copying: Annotated[
        Copying, Offer(without=_others(Copying, "parallel", "bandwidth", "bandwidth_file", "request_timeout"))
    ],
    report: Report,
    json: Json,
    messages: Messages,
) -> int:
    """Go on with a conversion that failed or was killed, and that was given a directory with --dir.

    What is copied already is not copied again. Secrets are not kept in the directory: give --key, and those -io and -oo
    that are secret, again.

    Examples:
    $ v2v resume /var/tmp/guest
    $ v2v resume --take-over /var/tmp/guest --bandwidth 500M
    """
    from v2v_cli import report_file
    from v2v_cli.rendering import start_messages

    if json.json and report.report == report_file.STDOUT:
        raise UsageError("--report - and --json both want stdout", hint="name a file for the report")
    from v2v_core import pipeline, run_record
    from v2v_core.conversion_dir import ConversionDir
    from v2v_core.resume import Again

    directory = ConversionDir.existing(interrupted.directory)
    record = run_record.read(directory)
    report_path = report_file.checked(report.report, record.choice.input.arguments)
    limits: dict[str, object] = {
        "parallel": copying.parallel,
        "bandwidth": copying.bandwidth,
        "bandwidth_file": copying.bandwidth_file and copying.bandwidth_file.absolute(),
        "request_seconds": copying.request_timeout and float(copying.request_timeout),
    }
    again = Again(
        keys=(*conversion.keys, *(keys_in(sys.stdin) if conversion.keys_from_stdin else ())),
        input=source.options,
        output=destination.options,
        copying={name: value for name, value in limits.items() if value},
    )
    start_messages(session, messages, json_lines=json.json)

    def at_end(left: ConversionDir) -> None:
        report_file.write(left, report_path, session.renderers)

    if not record.place.is_dir():
        raise UsageError(
            f"the directory in which the conversion was started is gone: {record.place}",
            hint="relative names were meant from there: make it again",
        )
    # relative names mean what they meant when the conversion was started
    with contextlib.chdir(record.place):
        created = pipeline.resume(
            directory.path, again, session.renderers, take_over=interrupted.take_over, at_end=at_end
        ).created
    if json.json:
        from v2v_cli.render.machine import JsonLines

        JsonLines(own_stdout.stdout()).finished(created=list(created))
    elif not messages.quiet:
        write_created(created)
    return 0
