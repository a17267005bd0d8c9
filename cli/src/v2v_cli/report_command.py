# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v report``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from v2v_cli.exit import Session
from v2v_cli.options.conversion import Conversion
from v2v_cli.options.declaration import Argument, Group, Offer, Use, option
from v2v_cli.options.general import Json, Messages
from v2v_core import own_stdout
from v2v_core.errors import ConversionError, UsageError


@dataclass(frozen=True, kw_only=True)
class Subject(Group):
    """What the report is about."""

    directories: Annotated[
        tuple[str, ...],
        Argument(metavar="DIR", help="A conversion directory, or the kept logs of a failed run."),
    ] = ()
    disks: Annotated[
        tuple[str, ...],
        option(
            "--disk",
            metavar="IMAGE",
            use=Use.EACH,
            help="A disk of a converted guest that has run since and is shut down: tell what it did at its first boot. "
            "Repeatable, in the order of the disks.",
        ),
    ] = ()
    disk_format: Annotated[
        str | None,
        option(
            "--disk-format", metavar="FORMAT", help="Format of the disks: raw or qcow2; detected where that is safe."
        ),
    ] = None


#: Only what helps to look into a guest.
_NOT_OFFERED = (
    *("maps", "networks", "bridges", "macs", "block_driver", "no_trim", "no_serial_console"),
    *("collect", "collect_output"),
)


def report(
    session: Session,
    subject: Subject,
    conversion: Annotated[Conversion, Offer(without=_NOT_OFFERED)],
    json: Json,
    messages: Annotated[Messages, Offer(without=("quiet",))],
) -> int:
    """Print what a run did to a guest, or what a converted guest did at its first boot.

    The first is read from the directory of the run. The second is read with --disk from the disks of the guest, which
    are not changed; the exit code is 0 if all went well, and 6 if a script failed or is still to run.

    Examples:
    $ v2v report ~/.local/state/v2v/logs/RUN
    $ v2v report --json DIR
    $ v2v report --disk /var/lib/libvirt/images/guest-sda --disk-format raw
    """
    if subject.disks and subject.directories:
        raise UsageError("a directory and --disk were given", hint="give one of them: they are two reports")
    if subject.disks:
        return _first_boot(session, subject, conversion, json, messages)
    if len(subject.directories) != 1:
        raise UsageError(
            f"{len(subject.directories) or 'no'} directories were named",
            hint="name one conversion directory, or the disk of a converted guest with --disk",
        )
    if subject.disk_format is not None or conversion != Conversion():
        raise UsageError(
            "--disk-format and the options of the conversion, such as --key, have no meaning without --disk",
            hint="name the disk of a converted guest with --disk",
        )
    from v2v_cli.render.report import report_as_json, report_as_text
    from v2v_core.run_report import read_report

    run = read_report(Path(subject.directories[0]))
    own_stdout.stdout().write(report_as_json(run) if json.json else report_as_text(run))
    return 0


def _first_boot(session: Session, subject: Subject, conversion: Conversion, json: Json, messages: Messages) -> int:
    from v2v_cli.render.first_boot import first_boot_as_json, first_boot_as_text
    from v2v_cli.rendering import start_messages
    from v2v_core import pipeline
    from v2v_core.settings import Hardware, InputChoice, OutputChoice, RunChoice

    # Only the disks matter. Stated hardware keeps the input from making some up, and from warning about it.
    hardware = Hardware(memory=1024**3, vcpus=1, nics=())
    choice = RunChoice(
        input=InputChoice(mode="disk", arguments=subject.disks, format=subject.disk_format, hardware=hardware),
        output=OutputChoice(mode="null"),
        convert=conversion.choice(verbose=messages.verbose or messages.trace),
        verbose=messages.verbose,
    )
    start_messages(session, replace(messages, quiet=True))
    status = pipeline.read_first_boot(choice, session.renderers)
    session.prints = True
    own_stdout.stdout().write((first_boot_as_json if json.json else first_boot_as_text)(status))
    return 0 if status.succeeded or not status.planned else ConversionError.exit_code
