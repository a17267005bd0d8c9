# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v convert``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from v2v_cli.exit import Session
from v2v_cli.options.conversion import Conversion
from v2v_cli.options.copying import Copying
from v2v_cli.options.declaration import Offer
from v2v_cli.options.destination import Destination
from v2v_cli.options.general import Directory, Json, Messages, Observers, Report
from v2v_cli.options.source import Source
from v2v_cli.render.created import write_created
from v2v_core import own_stdout
from v2v_core.errors import UsageError

if TYPE_CHECKING:
    from v2v_core.conversion_dir import ConversionDir


def convert(
    session: Session,
    source: Annotated[Source, Offer(defaults={"mode": "disk"})],
    destination: Annotated[Destination, Offer(defaults={"mode": "local"})],
    conversion: Annotated[Conversion, Offer(without=("no_serial_console",))],
    copying: Annotated[Copying, Offer(without=("from_",))],
    directory: Directory,
    observers: Observers,
    report: Report,
    json: Json,
    messages: Messages,
) -> int:
    """Convert a guest so that it boots on KVM.

    Examples:
    $ v2v convert guest.vmdk --output-storage /var/lib/libvirt/images
    $ v2v convert --input ova guest.ova --output-storage . --report report.txt
    $ v2v convert --in-place guest.img
    """
    from v2v_cli import report_file
    from v2v_cli.listings import list_what_was_asked_for
    from v2v_cli.rendering import start_messages
    from v2v_core.settings import RunChoice

    if list_what_was_asked_for(source, destination):
        return 0
    if not source.guests:
        raise UsageError("no guest was named", hint="write, for example: v2v convert guest.img --output-storage DIR")
    choice = RunChoice(
        input=source.choice(),
        output=destination.choice(),
        convert=conversion.choice(verbose=messages.verbose or messages.trace),
        copy=copying.choice(),
        directory=directory.directory,
        observers=observers.observers,
        verbose=messages.verbose,
    )
    if json.json and report.report == report_file.STDOUT:
        raise UsageError("--report - and --json both want stdout", hint="name a file for the report")
    report_path = report_file.checked(report.report, source.guests)
    start_messages(session, messages, json_lines=json.json)
    from v2v_core import pipeline

    def at_end(left: ConversionDir) -> None:
        report_file.write(left, report_path, session.renderers)

    if source.in_place:
        pipeline.convert_in_place(choice, session.renderers, at_end=at_end)
        created: tuple[str, ...] = ()
    else:
        created = pipeline.run(choice, session.renderers, at_end=at_end).created
    if json.json:
        from v2v_cli.render.machine import JsonLines

        JsonLines(own_stdout.stdout()).finished(created=list(created))
    elif not messages.quiet:
        write_created(created)
    return 0
